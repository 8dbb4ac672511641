"""Judge interpolation against true frames: the published protocol on ATD-12K, or any methods on any triplets.

(nothing)                  ATD-12K in _data/atd12k, its flows, the best synthesis that uses flow → subset, metric, score
--data FOLDER              any triplets: folders of three pictures, RRLD, FILE.h5; or keyframes of one cut
--compare ifnet dis+splat film/  several methods on the same items   →   means, paired differences, how often which wins
--data toons               errors of the flow in pixels: all, near edges, of the background there

Scores of every item are kept with all digits in a CSV. A run that was ended resumes where it was when its command is
given again; torchrun --nproc-per-node N -m _scripts.evaluate … shares the work.
"""

import argparse
import contextlib
import re
import sys
from datetime import timedelta
from pathlib import Path

from _databacks import sources
from _train.frame_interpolation import methods
from _train.frame_interpolation.methods import FLOWS, METRICS, PUBLISHED, SYNTHESES
from _util import command, device, tables, torchrun

UNSEEN, BATCHES = 2**20, 16  # a seed that training does not use, and how much of it
TOONS = ["toons"]
OF_TOONS = "flow", "device", "precision", "checkpoints"  # options
TIMEOUT = timedelta(days=7)  # processes may finish at very different times


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.evaluate",
        description="Interpolate the middle frame of triplets from the outer ones, and compare it with the true one.",
        epilog="LPIPS, chamfer and SSIM follow the papers on 2D animation. SSIM is shown in percent.",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        default=["atd12k"],
        metavar="DATA",
        help="a folder or file; its kind is detected, or named before it (default: atd12k, in _data/atd12k); or "
        f"toons, to evaluate --flow against exact flow. Kinds: {sources.summaries()}",
    )
    parser.add_argument("--split", choices=["test", "train"], default="test", help="of ATD-12K (default: test)")
    add_methods(parser)
    add_measures(parser)
    parser.add_argument("--report", type=Path, metavar="DIR", help="also write an HTML page that shows every item")
    parser.add_argument("--table", type=Path, metavar="FILE", help="also write the tables in Markdown")
    parser.add_argument("--strict", action="store_true", help="stop at the first damaged item")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="scores of every item as CSV (default: _data/evaluation/….csv)"
    )
    arguments = parser.parse_args()
    refuse_ignored(parser, arguments)
    for name in ("out", "table"):
        path = getattr(arguments, name)
        if path and not path.parent.is_dir():
            parser.error(f"--{name}: there is no folder {path.parent}")
        if path and path.is_dir():
            parser.error(f"--{name}: {path} is a folder")
    if arguments.out and arguments.table and arguments.out.resolve() == arguments.table.resolve():
        parser.error(f"--out and --table are the same file, {arguments.out}; choose another for one of them")
    return arguments


def add_methods(parser: argparse.ArgumentParser) -> None:
    """Add what is evaluated."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--compare",
        nargs="+",
        metavar="METHOD",
        help="evaluate these on the same items: FLOW+SYNTHESIS, blend, or a folder of frames named by item; FLOW or "
        "SYNTHESIS may be left out, and a name of both, as unet, is the flow (auto+unet: the synthesis); with @ease at "
        "the end, at times estimated from the neighbouring keyframes",
    )
    what.add_argument(
        "--baseline", choices=["mean"], help="evaluate this instead of a method: the mean of both neighbours"
    )
    parser.add_argument(
        "--flow",
        metavar="NAME",
        default="auto",
        help=f"where the synthesis needs flow: precomputed, which comes with the data, or {', '.join(FLOWS)} (default: "
        "auto, precomputed if there is any, else the best that has weights)",
    )
    parser.add_argument(
        "--synthesis",
        metavar="NAME",
        default="auto",
        help=f"{', '.join(SYNTHESES)} (default: auto, the best that has weights)",
    )
    parser.add_argument("--device", default="auto", help=f"{device.NAMES} (default: auto)")
    parser.add_argument(
        "--precision", choices=device.PRECISIONS, default="fp32", help="of the networks (default: fp32)"
    )
    parser.add_argument(
        "--checkpoints", "--checkpoint", type=Path, metavar="DIR", help="folder of weights (default: checkpoints)"
    )


def add_measures(parser: argparse.ArgumentParser) -> None:
    """Add what is measured."""
    parser.add_argument(
        "--protocol",
        choices=["paper", "standard"],
        default="paper",
        help="LPIPS and SSIM as in the papers on 2D animation, or as in other papers (default: paper)",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        choices=METRICS,
        metavar="NAME",
        help=f"of {', '.join(METRICS)} (default: {', '.join(PUBLISHED)})",
    )
    parser.add_argument(
        "--annotations",
        action="store_true",
        help="also report by ATD-12K's levels, motions and behaviours, and PSNR, SSIM and IE in its regions of motion",
    )
    parser.add_argument(
        "--align",
        action="store_true",
        help="also interpolate at nine more times, 0.1 to 0.9, and report every metric at the one with the best LPIPS",
    )
    parser.add_argument(
        "--register",
        action="store_true",
        help="also report LPIPS and chamfer after smooth alignment to the truth, so that position does not count",
    )
    parser.add_argument(
        "--sequence",
        action="store_true",
        help="also report, at four times the frame rate, how uneven motion is and how much lines flicker",
    )


def refuse_ignored(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a sentence if an option was given that would do nothing."""
    given = [name for name, value in vars(arguments).items() if value != parser.get_default(name)]
    ignored: dict[str, str] = {}  # option -> why
    if named := next((name for name in ("compare", "baseline") if getattr(arguments, name)), None):
        ignored |= dict.fromkeys(("flow", "synthesis"), f"not allowed with --{named}, which names what is judged")
    if arguments.metrics and not {"lpips", "chamfer"} & set(arguments.metrics):
        ignored["register"] = "of lpips and chamfer, which --metrics leaves out"
    if arguments.data == TOONS:
        why = f"not of toons, which take --{', --'.join(OF_TOONS)}"
        ignored |= dict.fromkeys(set(given) - {"data", *OF_TOONS}, why)
    if name := next((name for name in given if name in ignored), None):
        parser.error(f"--{name} is {ignored[name]}")


def main() -> None:
    arguments = parse()
    from _util import checkpoints

    arguments.checkpoints = arguments.checkpoints or checkpoints.FOLDER
    if arguments.data == TOONS:
        judge_flow(arguments)
    else:
        judge(arguments)


def judge(arguments: argparse.Namespace) -> None:
    import torch.distributed

    from _train.frame_interpolation.evaluation import candidates, judging
    from _train.frame_interpolation.evaluation.items import Items
    from _train.frame_interpolation.evaluation.measures import Measures
    from _util.errors import InputError
    from _util.files import require_outside
    from _util.locks import holding

    items = Items(arguments.data, arguments.split, arguments.annotations)
    if arguments.strict and items.shortages:
        raise InputError(items.shortages[0])
    if torchrun.count() > 1:
        torch.distributed.init_process_group("gloo", timeout=TIMEOUT)
    if not arguments.compare:
        methods.find("flow", FLOWS, arguments.flow, ("auto", candidates.PRECOMPUTED))
        methods.find("synthesis", SYNTHESES, arguments.synthesis)
    words = arguments.compare or ["blend" if arguments.baseline else f"{arguments.flow}+{arguments.synthesis}"]
    options = {
        "device": device_by_rank(arguments.device),
        "precision": arguments.precision,
        "folder": arguments.checkpoints,
    }
    judged_methods = candidates.create_all(words, items.names, items.has_flows, items.neighbours, **options)
    refuse_one_time(arguments, judged_methods)
    measures = Measures(
        arguments.metrics or [*PUBLISHED, *(["ie"] if arguments.annotations else [])],
        arguments.protocol,
        judging.device_of(judged_methods),
        in_roi=arguments.annotations,
        aligned=arguments.align,
        registered=arguments.register,
        in_sequence=arguments.sequence,
    )
    settings = {
        "data": str(items.source.path.resolve()),
        "split": arguments.split,
        "protocol": arguments.protocol,
        "precision": arguments.precision,
        "device": judging.device_of(judged_methods).type,
        "checkpoints": str(arguments.checkpoints.resolve()),
        "methods": [method.name for method in judged_methods],
    }
    out = arguments.out or judging.default_out(
        items, judged_methods, settings | {"metrics": list(measures.higher_is_better)}
    )
    refuse_overwriting(out, arguments.table, items, judged_methods)
    if arguments.report:
        require_outside(arguments.report, items.source.path, "choose another --report")
    with holding(out, *([arguments.report] if arguments.report else [])):
        report_on(arguments, out, settings, items, measures, judged_methods)


def refuse_overwriting(out: Path, table: Path | None, items, judged_methods) -> None:
    """Raise InputError for an output in the place of a file that is read, or that was not written by this command."""
    from _train.frame_interpolation.evaluation.scores import is_table
    from _util.errors import InputError

    recognises = {out: is_table, **({table: is_markdown} if table else {})}
    existing = {path.resolve(): path for path in recognises if path.is_file()}
    if not existing:
        return
    read = {items.source.path.resolve()}
    for i, name in enumerate(items.names):
        with contextlib.suppress(InputError):  # an item without its files is named when it is judged
            files = [*items.source.files(i), *(file for method in judged_methods for file in method.sources(name))]
            read.update(file.resolve() for file in files)
    for path in read & existing.keys():
        raise InputError(f"{existing[path]} is read here, and would be overwritten; choose another place.")
    for path in existing.values():
        try:
            is_own = recognises[path](path)
        except OSError:  # no permission
            is_own = False
        if not is_own:
            raise InputError(f"{path} is not a table written by this command, and would be overwritten; move it away.")


def refuse_one_time(arguments: argparse.Namespace, judged_methods) -> None:
    """Raise InputError if frames at several times are wanted of a method that has one."""
    from _util.errors import InputError

    option = next((name for name in ("align", "sequence") if getattr(arguments, name)), None)
    method = next((method for method in judged_methods if not method.draws_any_time), None)
    if option and method:
        raise InputError(f"--{option} needs frames at several times; {method.name} has one of each item, leave it out.")


def device_by_rank(name: str) -> str:
    """The device of this name; for "auto" and "cuda" with several processes, GPUs are assigned by local rank."""
    import torch

    if torchrun.count() == 1 or name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    return f"cuda:{torchrun.local_rank() % torch.cuda.device_count()}"


def report_on(arguments: argparse.Namespace, out: Path, settings: dict, items, measures, judged_methods) -> None:
    """Judge, and write, print and show what was found; `settings` are what scores depend on besides the code."""
    import torch.distributed

    from _train.frame_interpolation.evaluation import comparison, judging
    from _train.frame_interpolation.evaluation.items import is_keyframes
    from _train.frame_interpolation.evaluation.pages.report import Report
    from _train.frame_interpolation.evaluation.scores import Gathered
    from _util import runs

    gathered = Gathered(out, settings | {"code": runs.digest_of_code()}, items.metadata, measures.higher_is_better)
    title, names = items.source.title, settings["methods"]
    report = None
    if arguments.report:
        report = Report(arguments.report, title, measures.higher_is_better, names, gathered.run)
    judged = judging.judge(items, judged_methods, measures, gathered, report, arguments.strict)
    if torchrun.count() > 1:
        torch.distributed.destroy_process_group()
    if judged is None:
        return
    metrics = list(measures.higher_is_better)
    table = comparison.summary(judged.rows, metrics)
    if is_keyframes(arguments.data) and len(names) == 1:
        print(tables.aligned(comparison.items(judged.rows, metrics), comparison.TEXT_COLUMNS), end="\n\n")
    print(tables.aligned(table, comparison.TEXT_COLUMNS))
    differences = comparison.differences(judged.rows, measures.comparable) if arguments.compare else []
    if differences:
        print("\n" + tables.aligned(differences, comparison.TEXT_COLUMNS))
    if arguments.table:
        write_tables(arguments.table, title, len(items) - len(judged.damaged), [table, differences])
    if report:
        print(f"Report: {report.finish(table, {row.name for row in judged.rows})}", file=sys.stderr)
    print(f"Scores of every item: {gathered.out}", file=sys.stderr)
    end(len(items), judged.damaged, items.shortages)


def write_tables(path: Path, title: str, count: int, shown: list[list[dict[str, str]]]) -> None:
    from _util.counts import counted
    from _util.files import write_text

    parts = [f"# {title}: {counted(count, 'item')}", f"`{command.as_typed('_scripts.evaluate')}`"]
    parts += [tables.markdown(rows) for rows in shown if rows]
    write_text(path, "\n\n".join(parts) + "\n")


def is_markdown(path: Path) -> bool:
    """Whether a file begins as `write_tables` begins it, or is empty."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return not text or re.match(r"# .*: \d+ items?\n\n`.*evaluate", text) is not None


def end(count: int, damaged: dict[str, str], shortages: list[str]) -> None:
    """Say what the table lacks, with exit code 1 if it lacks anything."""
    for shortage in shortages:
        print(shortage, file=sys.stderr)
    command.exit_if_failed(damaged, f"{len(damaged)} of {count} items are left out")
    if shortages:
        sys.exit(1)


def judge_flow(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from _databacks.toons.scenes import Toons
    from _train.frame_interpolation.evaluation.validation import flow_errors
    from _train.frame_interpolation.interpolator import Interpolator

    interpolator = Interpolator(arguments.flow, "splat", arguments.device, arguments.precision, arguments.checkpoints)
    toons = Toons((256, 448), batch_size=4, seed=UNSEEN, device=interpolator.device)
    scenes = (toons.batch(i) for i in tqdm(range(BATCHES), unit="batch", leave=False))
    flow, estimator = interpolator.flow, interpolator.pipeline.estimator
    assert flow is not None  # as splatting needs an estimator
    assert estimator is not None
    errors = flow_errors(estimator, scenes, interpolator.device)
    names = "all", "near edges", "background there"
    figures = {name: f"{error:.2f}" for name, error in zip(names, errors.values(), strict=True)}
    print(tables.markdown([{"flow": flow, **figures}]))


if __name__ == "__main__":
    command.run(main)
