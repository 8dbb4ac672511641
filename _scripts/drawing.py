"""The options of how frames are drawn, alike in several command lines."""

import argparse
import sys
from pathlib import Path
from typing import Any

from _train.frame_interpolation.choice import choose
from _train.frame_interpolation.methods import BACKENDS, FLOWS, SYNTHESES, summaries
from _train.frame_interpolation.quality import QUALITIES
from _util import device, weights
from _util.errors import InputError

_OF_PYTORCH = {"device": "it chooses one itself", "precision": "export_onnx --precision decides it"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `Interpolator` has."""
    add = parser.add_argument_group("how frames are drawn").add_argument
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
    add(
        "--quality",
        choices=QUALITIES,
        help="instead of --synthesis and --precision: fast, balanced, which is the default, or best",
    )
    add("--device", default="auto", help=f"{device.NAMES} (default: auto)")
    add(
        "--precision",
        choices=device.PRECISIONS,
        default="auto",
        help="of the networks: auto, fp32, bf16 or fp16 (default: auto)",
    )
    add(
        "--backend",
        choices=BACKENDS,
        default="pytorch",
        help="what runs the networks; onnxruntime and openvino draw the ifnets that export_onnx has written, on "
        "whatever devices they support (default: pytorch)",
    )
    add("--checkpoints", type=Path, metavar="DIR", help="folder of weights (default: checkpoints)")


def add_matching(parser: argparse.ArgumentParser | argparse._ArgumentGroup, default: str) -> None:
    """Add the option that decides whether strokes and pieces are matched."""
    parser.add_argument(
        "--matching",
        choices=("auto", "off"),
        default=default,
        help="auto: match what rotates or moves so far that the network loses it, strokes of line drawings and pieces "
        f"of flat drawings (default: {default})",
    )


def add_line_art(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the option of keys that decides whether their lines are redrawn."""
    parser.add_argument(
        "--line-art",
        choices=("auto", "on", "off"),
        default="auto",
        help="redraw the lines of line drawings as wide as in the keys, without grey (default: auto, where both keys "
        "are line drawings)",
    )


def check(arguments: argparse.Namespace) -> None:
    """Raise InputError for names of nothing and for weights that are not there; PyTorch is not imported for that."""
    if arguments.quality:
        named = next((name for name in ("flow", "synthesis", "precision") if getattr(arguments, name) != "auto"), None)
        if named:
            raise InputError(f"--quality {arguments.quality} chooses --{named} itself; leave one of the two out.")
    for option, instead in _OF_PYTORCH.items() if arguments.backend != "pytorch" else ():
        if given(arguments)[option] != "auto":
            is_given = getattr(arguments, option) != "auto"
            name = f"--{option}" if is_given else f"The {option} of --quality {arguments.quality}"
            print(f"{name} has no effect with --backend {arguments.backend}: {instead}.", file=sys.stderr)
    device.check_name(arguments.device)
    choose(arguments.flow, arguments.synthesis, arguments.checkpoints or weights.FOLDER)


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was chosen, as keywords of `Interpolator`."""
    names = ("flow", "synthesis", "device", "precision", "backend")
    folder = {"folder": arguments.checkpoints} if arguments.checkpoints else {}
    quality = QUALITIES[arguments.quality]._asdict() if arguments.quality else {}
    return {name: getattr(arguments, name) for name in names} | quality | folder
