"""Train a network of frame interpolation, and go on with it when called again.

DATA, one or more       →   OUT/
    toons                       checkpoints/last.ckpt    the state after the last step; a run goes on from here
                                checkpoints/best.ckpt    of the best validation LPIPS
    lottie/*.json               metrics.csv  curves.png  losses and validation, by step
    rrld/images/ flows/         samples/                 frame 0, what was drawn between, frame 1
    triplets/name/{a,b,c}.png   tensorboard/

`toons` are cartoons with exact flow, drawn while training. A triplet is two frames and the truth between them. Then
`python -m _scripts.export_weights OUT` turns the best checkpoint into weights to interpolate with.
"""

import argparse
import contextlib
import logging
import math
import os
import platform
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

from _util import command

# What a run keeps from its first leg to its last; other options may change when it goes on.
FIXED = (
    "model", "data", "weights", "batch_size", "crop", "lr", "schedule", "precision", "ema", "seed",
    "task", "flow", "features", "style_features", "stages", "self_supervise", "freeze_batch_norm",
)  # fmt: skip


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _train.frame_interpolation.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Many GPUs: torchrun --nproc-per-node N -m _train.frame_interpolation.train …; many machines: --nnodes, "
        "OUT in a shared folder; with --max-restarts N, all start again from the last checkpoint after a loss.",
    )
    add = parser.add_argument
    add("data", metavar="DATA", nargs="+", help="toons, triplets in a folder or FILE.h5; PATH:0.3: with weight 0.3")
    add("out", metavar="OUT", type=Path, help="where the run lives")
    add(
        "--model",
        default="rfr",
        help="what is trained: rfr, the flow; ssldtm, fusion, animeinterp or animeinterp-gma, the synthesis; unet, "
        "resunet or transunet (default: rfr)",
    )
    add(
        "--task",
        choices=("vfi", "optflow"),
        help="of a U-Net: vfi, the frame between two frames, on the flow of --flow; optflow, the flow between them "
        "(default: vfi)",
    )
    add("--weights", type=float, nargs="+", metavar="W", help="how often each DATA is drawn (default: 1 each)")
    add("--steps", type=int, default=100_000, help="steps of the optimiser (default: 100000)")
    add("--batch-size", type=int, default=8, help="triplets in a batch (default: 8)")
    add("--accumulate", type=int, default=1, help="batches in a step, of each process (default: 1)")
    add("--crop", type=int, nargs=2, metavar=("H", "W"), help="of the frames (default: 256 256, animeinterp's 380 380)")
    add("--lr", type=float, help="learning rate (default: the model's)")
    add(
        "--schedule",
        choices=("plateau", "cosine"),
        help="halve the learning rate after 10 validations without a better LPIPS, or let it rise over 5 %% of the "
        "steps and fall along a cosine (default: the model's)",
    )
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="of the networks (default: fp32)")
    add("--ema", type=float, default=0.999, help="how slowly the averaged weights follow (default: 0.999)")
    add("--seed", type=int, default=0, help="of order, augmentation and first weights (default: 0)")
    add(
        "--flow",
        help="flow that synthesis learns on, as interpolation names it, or exact, that of toons (default: dis; "
        "animeinterp's, which it refines: sgm)",
    )
    add(
        "--features",
        default="imagenet",
        help="ssldtm's ResNet-50: imagenet, downloaded by torchvision; its file; or random, which is trained too "
        "(default: imagenet)",
    )
    add(
        "--style-features",
        metavar="NAME",
        help="backbone that animeinterp and the U-Nets compare pictures by: vgg19, vgg16, alexnet (shipped), or the "
        "file of one (default: vgg19)",
    )
    add(
        "--stages",
        nargs="+",
        metavar="STAGE",
        help="animeinterp: frozen (flow is not trained; L1), l1, vgg (with VGG features) and style (with their Gram "
        "matrices too), each @STEP or @EPOCHe from which on it holds (default: frozen vgg@10000 style@30000)",
    )
    add("--self-supervise", action="store_true", help="flow: learn from triplets without exact flow by their looks")
    add("--freeze-batch-norm", action="store_true", help="use the running statistics of batch norms, and keep them")
    add(
        "--from",
        dest="start",
        type=Path,
        nargs="+",
        metavar="WEIGHTS",
        help="start from a folder or file of weights; animeinterp-gma from several, AnimeInterp's before GMA's",
    )
    add(
        "--validate",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="keyframes in order, of which each is drawn from its neighbours; of several folders each counts the same",
    )
    add("--align", action="store_true", help="also validate at the best of nine times, and with position set aside")
    add("--validate-every", type=int, default=1000, metavar="N", help="steps between validations (default: 1000)")
    add("--save-every", type=int, default=500, metavar="N", help="steps between checkpoints (default: 500)")
    add("--log-every", type=int, default=50, metavar="N", help="steps between rows of metrics.csv (default: 50)")
    add("--budget", type=float, default=math.inf, metavar="MINUTES", help="end this leg cleanly after that time")
    add("--workers", type=int, default=0, help="processes that load files (default: 0, in the main process)")
    add("--device", default="auto", help="cpu, cuda or cuda:N (default: auto, a GPU if there is one)")
    options = parser.parse_args()
    for name in ("steps", "batch_size", "accumulate", "validate_every", "save_every", "log_every"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be 1 or more")
    if options.crop and min(options.crop) < 32:
        parser.error(f"--crop is {options.crop[0]} {options.crop[1]}; sides must be 32 or more")
    if not 0 <= options.ema < 1:
        parser.error(f"--ema is {options.ema:g}; it must be 0 or more and below 1")
    options.data, weights = zip(*map(split_weight, options.data), strict=True)
    options.weights = options.weights or list(weights)
    if len(options.weights) != len(options.data):
        parser.error(f"--weights must be {len(options.data)} numbers, one for each DATA, not {len(options.weights)}")
    for data, weight in zip(options.data, options.weights, strict=True):
        if not 0 < weight < math.inf:
            parser.error(f"{data} has weight {weight:g}; weights are above 0 and finite, and DATA without one has 1")
    return options


def split_weight(data: str) -> tuple[str, float]:
    """`PATH:0.3` to the path and the weight, which is 1 if there is none."""
    path, _, weight = data.rpartition(":")
    if not path or Path(data).exists():
        return data, 1.0
    try:
        return path, float(weight)
    except ValueError:
        return data, 1.0


def main() -> None:
    options = parse()
    from _util.files import making_folder
    from _util.locks import holding

    with holding(options.out), making_folder(options.out / "checkpoints"):
        require_writing(options.out / "checkpoints")
        train(options)


def train(options: argparse.Namespace) -> None:
    from _util.errors import InputError

    try:
        import lightning
        import matplotlib  # noqa: F401
        import tensorboard  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"Training needs {error.name}: run make/setup train.") from error
    import torch

    from _databacks.keyframes import Keyframes
    from _train.frame_interpolation.training import elastic, tasks
    from _train.frame_interpolation.training.journal import read_checkpoint
    from _train.frame_interpolation.training.loop import TrainModel
    from _util import memory
    from _util.device import choose as choose_device

    kind = tasks.choose(options.model, options.task)
    take_defaults(options, kind)
    processes, processes_here = (int(os.environ.get(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    options.device = choose_device(options.device)
    if options.device.type == "cuda" and options.device.index is None:
        options.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    for folder in options.validate or []:
        Keyframes(folder)  # raises if there are none
    elastic.join(options.device)
    last = options.out / "checkpoints/last.ckpt"
    state = read_checkpoint(last) if last.exists() else None
    elastic.require_one_state(state["step"] if state else 0, last)
    if state and state["facts"]["legs"][-1].get("processes", processes) != processes:
        options.accumulate = elastic.share(state["facts"]["options"]["batches_a_step"], processes)
    facts = gather_facts(options, processes)
    if state:
        refuse_changes(state["facts"]["options"], facts["options"], last)
        facts["legs"] = [*state["facts"]["legs"], *facts["legs"]]

    memory.keep_freed()
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    task = kind(options, options.device)
    if state is None:
        task.begin()
    sources = [open_data(data, options) for data in options.data]
    sources = [with_flow(source, options.out / f"flows/{i}", options, task) for i, source in enumerate(sources)]
    task.plan(steps_in_epoch(sources, options, processes))
    model = TrainModel(task, options, list(zip(sources, options.weights, strict=True)), facts, state)
    if model.step >= options.steps:
        raise InputError(f"{last} is at step {model.step} already; ask for more --steps.")

    quieten_lightning()
    on_gpu = options.device.type == "cuda"
    strategy = "ddp" if task.uses_all_weights else "ddp_find_unused_parameters_true"
    trainer = lightning.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=[options.device.index] if on_gpu and processes == 1 else processes_here,
        num_nodes=processes // processes_here,
        strategy=strategy if processes > 1 else "auto",
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[options.precision],
        max_epochs=1,  # of one endless stretch: steps are counted by the model
        min_epochs=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    try:
        trainer.fit(model)
    except OSError as error:
        raise InputError(f"Training stopped at step {model.step} ({error}); earlier checkpoints are whole.") from error
    if trainer.is_global_zero:
        print(
            f"Trained to step {model.step} of {options.steps}, in {model.seconds / 60:.1f} minutes; see {options.out}."
        )


def take_defaults(options: argparse.Namespace, kind: type) -> None:
    """What was not asked for becomes what the task has by default; what it has no use for must not be asked for."""
    from _train.frame_interpolation import methods
    from _util.errors import InputError

    for name in ("style_features", "stages"):
        if getattr(options, name) and not getattr(kind, name):
            raise InputError(f"--{name.replace('_', '-')} is nothing that {options.model} makes use of; leave it out.")
    if options.flow:
        methods.find("flow", methods.FLOWS, options.flow, ["exact"])
    for name in ("lr", "schedule", "crop", "flow", "style_features", "stages"):
        setattr(options, name, getattr(options, name) or getattr(kind, name))
    options.crop = list(options.crop)


def steps_in_epoch(sources: list, options: argparse.Namespace, processes: int) -> int | None:
    """Steps that see as many triplets as there are; None if some are drawn without end."""
    if any(hasattr(source, "batch") for source in sources):
        return None
    return math.ceil(sum(map(len, sources)) / (options.batch_size * options.accumulate * processes))


def open_data(data: str, options: argparse.Namespace):
    """Toons, or the triplets of a folder."""
    if data == "toons":
        from _databacks.toons.scenes import Toons

        return Toons(tuple(options.crop), options.batch_size, options.seed, options.device)
    from _databacks.lottie import Lottie
    from _databacks.sources import open_source

    source = open_source(data)
    if isinstance(source, Lottie):  # drawn as large as crops want them, since most of a wide frame would be empty
        return Lottie(data, tuple(side * 5 // 4 for side in options.crop), options.seed, each=64)
    return source


def with_flow(source, cache: Path, options: argparse.Namespace, task):
    """A source with the flow that the task learns on; toons have theirs."""
    from _train.frame_interpolation.training.batches import CachedFlows
    from _util.errors import InputError

    if task.flow is None or hasattr(source, "batch"):
        return source
    source = CachedFlows(source, task.estimate, cache, options.device)
    if options.workers and options.device.type == "cuda":  # of which a loader's workers cannot make use
        first = len(source) * int(os.environ.get("RANK", 0)) // int(os.environ.get("WORLD_SIZE", 1))
        for i in (*range(first, len(source)), *range(first)):  # processes begin apart, and find each other's files
            with contextlib.suppress(InputError):
                source[i]
    return source


def require_writing(path: Path) -> None:
    from _util.errors import InputError

    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"The name of {path} is not UTF-8, which TensorBoard needs; choose another OUT.") from error
    if not os.access(path, os.W_OK):
        raise InputError(f"{path} cannot be written to; choose another OUT.")


def gather_facts(options: argparse.Namespace, processes: int) -> dict:
    """Plain values that say how a checkpoint came about."""
    import torch

    commit = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True)
    cuda = options.device.type == "cuda"
    name = torch.cuda.get_device_name(options.device) if cuda else platform.processor() or platform.machine()
    leg = {
        "command": shlex.join(["python", "-m", "_train.frame_interpolation.train", *sys.argv[1:]]),
        "commit": commit.stdout.strip() or "unknown",
        "hardware": f"{processes} × {name}",
        "processes": processes,
    }
    chosen = {name: getattr(options, name) for name in FIXED} | {"batches_a_step": options.accumulate * processes}
    if options.schedule == "cosine":
        chosen["steps"] = options.steps
    return {"options": {name: list(v) if isinstance(v, tuple) else v for name, v in chosen.items()}, "legs": [leg]}


def refuse_changes(before: dict, now: dict, last: Path) -> None:
    from _util.errors import InputError

    for name in before | now:
        if before.get(name) != now.get(name):
            raise InputError(
                f"{last} was begun with {name.replace('_', '-')} {before.get(name)}, not {now.get(name)}; "
                "ask for the same or choose another OUT."
            )


def quieten_lightning() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")


if __name__ == "__main__":
    command.run(main)
