"""The options of how frames are drawn, alike in several command lines."""

import argparse
from pathlib import Path
from typing import Any


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `Interpolator` has."""
    from _train.frame_interpolation.methods import FLOWS, SYNTHESES, summaries

    add = parser.add_argument
    add(
        "--flow",
        metavar="NAME",
        default="auto",
        help=f"how flow is found, where the synthesis needs it (default: auto, the best that has weights). "
        f"{summaries(FLOWS)}",
    )
    add(
        "--synthesis",
        metavar="NAME",
        default="auto",
        help=f"how frames are drawn (default: auto, the best that has weights). {summaries(SYNTHESES)}",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--precision", default="auto", help="of the networks: auto, fp32, bf16 or fp16 (default: auto)")
    add("--checkpoints", type=Path, metavar="DIR", help="folder of weights (default: checkpoints)")


def chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was chosen, as keywords of `Interpolator`."""
    from _util import checkpoints

    named = {name: getattr(arguments, name) for name in ("flow", "synthesis", "device", "precision")}
    return {**named, "folder": arguments.checkpoints or checkpoints.FOLDER}
