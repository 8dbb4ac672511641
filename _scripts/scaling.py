"""Measure how training scales on this machine, and estimate how it would on more.

1, 2, … processes   →   supplementary/scaling.md    step and all-reduce times, measured; for 8 and 64, estimated
"""

import argparse
import os
from pathlib import Path

from _util import command, places
from _util.command import whole

OUT = Path("supplementary/scaling.md") if places.IS_REPOSITORY else Path("scaling.md")


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.scaling",
        description="Train for some steps on 1, 2, … processes, time steps and the averaging of gradients, and "
        "estimate from these what more processes would take.",
        epilog="The table says which figures are estimates, and by which formula.",
    )
    add = parser.add_argument
    add("data", metavar="DATA", nargs="?", default="toons", help="what is trained on (default: toons)")
    add("--model", default="rfr", help="what is trained (default: rfr)")
    add(
        "--processes",
        type=whole(1),
        nargs="+",
        default=[1, 2],
        metavar="N",
        help="to measure, rising from 1 (default: 1 2)",
    )
    add("--estimate", type=whole(2), nargs="+", default=[8, 64], metavar="N", help="to estimate (default: 8 64)")
    add("--steps", type=whole(4), default=8, metavar="N", help="of each run (default: 8)")
    add("--batch-size", type=whole(1), default=1, help="triplets of each process in a step (default: 1)")
    add(
        "--crop",
        type=whole(32),
        nargs=2,
        default=[128, 128],
        metavar=("H", "W"),
        help="of the frames (default: 128 128)",
    )
    add("--device", default="auto", help="cpu or cuda (default: auto, GPUs if there are any)")
    add("--out", type=Path, default=OUT, metavar="FILE", help=f"where the table goes (default: {OUT})")
    arguments = parser.parse_args()
    if arguments.processes[0] != 1 or sorted(set(arguments.processes)) != arguments.processes:
        parser.error(f"--processes is {arguments.processes}; it must rise from 1")
    if len(arguments.processes) < 2:
        parser.error("--processes needs a number above 1")
    if not arguments.out.parent.is_dir():
        parser.error(f"there is no folder {arguments.out.parent}")
    return arguments


def main() -> None:
    arguments = parse()
    import tempfile

    from tqdm import tqdm

    from _train.frame_interpolation.benchmarks import scaling
    from _util.files import write_text

    training = [arguments.data, "--model", arguments.model, "--batch-size", str(arguments.batch_size)]
    training += ["--crop", *map(str, arguments.crop)]
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for n in tqdm(arguments.processes, unit="run", disable=None):
            out = Path(folder) / str(n)
            measured.append(scaling.measure(n, training, out, arguments.steps, arguments.device))
    text = describe(arguments, measured)
    write_text(arguments.out, text)
    print(text)


def describe(arguments: argparse.Namespace, measured: list) -> str:
    from _train.frame_interpolation.benchmarks import scaling

    (h, w), last = arguments.crop, measured[-1]
    known = scaling.network(last)
    paragraphs = [
        "# Scaling of training",
        f"`{command.as_typed('_scripts.scaling')}`",
        f"`{arguments.model}` on {arguments.data}, {arguments.batch_size} × {h}×{w} for each process in a step, "
        f"{last.gradients / 1e6:.1f} MB of gradients, on {last.hardware} ({os.cpu_count()} cores, one thread for each "
        "process).",
        scaling.table(measured, arguments.estimate),
        "A process is one GPU, or one core where there are none. Throughput is in triplets a second, against one "
        "process. Rows marked as estimates were not run: they are step(1) + 2 (n − 1) · latency + 2 (n − 1) / n · "
        "bytes / bandwidth, a step of one process followed by a ring all-reduce, with the latency "
        f"({1e3 * known.latency:.2f} ms) and the bandwidth ({known.bandwidth / 1e9:.2f} GB/s) that were measured "
        f"between {last.processes} processes here. Other devices and networks have other figures: run the "
        "command on them.",
    ]
    return "\n\n".join(paragraphs) + "\n"


if __name__ == "__main__":
    command.run(main)
