"""The options of how frames are drawn, alike in several command lines."""

import argparse
from pathlib import Path
from typing import Any


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `Interpolator` has."""
    add = parser.add_argument
    add(
        "--flow",
        default="auto",
        help="auto, rfr, sgm+dis, multidis, dis, sgm, sgm+rfr, sgm+rfr-paper or a trained U-Net (default: auto, the "
        "best that has weights)",
    )
    add(
        "--synthesis",
        default="auto",
        help="auto, ssldtm, fusion, resunet, transunet, unet, ssl or splat (default: auto, the best that has weights); "
        "animeinterp or animeinterp-gma, which refine the flow they are given (auto: sgm), as published or with -paper "
        "as the paper has it",
    )
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add("--precision", default="auto", help="of the networks: auto, fp32, bf16 or fp16 (default: auto)")
    add("--checkpoints", type=Path, metavar="DIR", help="folder of weights (default: checkpoints)")


def chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was chosen, as keywords of `Interpolator`."""
    from _util import checkpoints

    named = {name: getattr(arguments, name) for name in ("flow", "synthesis", "device", "precision")}
    return {**named, "folder": arguments.checkpoints or checkpoints.FOLDER}
