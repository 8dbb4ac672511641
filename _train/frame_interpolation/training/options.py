"""The options of training: the command line, and defaults per task."""

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from _databacks import sources
from _util import device, files
from _util.command import Parser, number, whole
from _util.counts import counted
from _util.errors import InputError

if TYPE_CHECKING:
    from _train.frame_interpolation.training.tasks.task import Task

FEATURES = "imagenet"
OUTPUTS = ("checkpoints", "metrics.csv", "curves.png", "samples", "tensorboard", "flows")  # of a run, in its folder


def parse(description: str) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(
        prog="python -m _train.frame_interpolation.train",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Many GPUs: torchrun --nproc-per-node N -m _train.frame_interpolation.train …; many machines: --nnodes, "
        "OUT in a shared folder; with --max-restarts N, all start again from the last checkpoint after a loss.",
    )
    add = parser.add_argument
    add(
        "data",
        metavar="DATA",
        nargs="+",
        help="toons, clipart, a folder or FILE.h5, if need be with its kind, "
        "such as keyframes:PATH; PATH:0.3: with weight 0.3",
    )
    add("out", metavar="OUT", type=Path, help="folder of the run")
    _add_model(parser.add_argument_group("what is trained"))
    _add_steps(parser.add_argument_group("steps"))
    _add_networks(parser.add_argument_group("options of some models"))
    _add_validation(parser.add_argument_group("validation and checkpoints"))
    _add_machine(parser.add_argument_group("the machine"))
    options = parser.parse_args()
    _check_weights(parser, options)
    _check_validation(parser, options)
    device.check_cuda_name(options.device)
    return options


def _add_model(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--model",
        default="rfr",
        help="what is trained: rfr, the flow; ifnet, motion and synthesis in one; ssldtm, fusion, "
        "animeinterp or animeinterp-gma, the synthesis; unet, resunet or transunet (default: rfr)",
    )
    add(
        "--task",
        choices=("vfi", "optflow"),
        help="of a U-Net: vfi, the frame between two frames, on the flow of --flow; optflow, the flow between them "
        "(default: vfi)",
    )
    add(
        "--from",
        dest="start",
        type=Path,
        nargs="+",
        metavar="WEIGHTS",
        help="start from a folder or file of weights; animeinterp-gma from several, AnimeInterp's before GMA's",
    )
    add(
        "--weights", type=number(above=0), nargs="+", metavar="W", help="how often each DATA is drawn (default: 1 each)"
    )
    add("--seed", type=whole(0, 2**64 - 1), default=0, help="of order, augmentation and initial weights (default: 0)")


def _add_steps(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--steps", type=whole(1), default=100_000, help="steps of the optimiser (default: 100000)")
    add("--batch-size", type=whole(1), default=8, help="triplets in a batch (default: 8)")
    add("--accumulate", type=whole(1), default=1, help="batches in a step, of each process (default: 1)")
    add(
        "--crop",
        type=whole(32),
        nargs=2,
        metavar=("H", "W"),
        help="of the frames (default: 256 256, animeinterp's 380 380)",
    )
    add("--lr", type=number(above=0), help="learning rate (default: the model's)")
    add(
        "--schedule",
        choices=("plateau", "cosine"),
        help="halve the learning rate after 10 validations without a better LPIPS, or let it rise over 5 %% of the "
        "steps and fall along a cosine (default: the model's)",
    )
    add("--ema", type=number(0, below=1), default=0.999, help="decay of the averaged weights (default: 0.999)")


def _add_networks(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--flow",
        help="flow that synthesis learns on, as interpolation names it, or exact, that of toons (default: dis; "
        "animeinterp's, which it refines: sgm)",
    )
    add(
        "--features",
        metavar="NAME",
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
    add("--blocks", type=whole(1), metavar="N", help="ifnet: how many of its four learn, finest first (default: 1)")
    add("--self-supervise", action="store_true", help="flow: learn by appearance from triplets without exact flow")
    add("--freeze-batch-norm", action="store_true", help="use the running statistics of batch norms, and keep them")


def _add_validation(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--validate",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="keyframes in order, of which each is drawn from its neighbours; of several folders each counts the same",
    )
    add("--align", action="store_true", help="also validate at the best of nine times, and with position set aside")
    add("--validate-every", type=whole(1), metavar="N", help="steps between validations (default: 1000)")
    add("--save-every", type=whole(1), default=500, metavar="N", help="steps between checkpoints (default: 500)")
    add("--log-every", type=whole(1), default=50, metavar="N", help="steps between rows of metrics.csv (default: 50)")
    add("--budget", type=number(0), default=math.inf, metavar="MINUTES", help="stop after that time, with exit code 0")


def _add_machine(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="of the networks (default: fp32)")
    add("--workers", type=whole(0), default=0, help="processes that load files (default: 0, in the main process)")
    add("--device", default="auto", help=f"{device.CUDA_NAMES} (default: auto)")


def _check_weights(parser: Parser, options: argparse.Namespace) -> None:
    """Separate the weights from the words of DATA."""
    options.data, weights = zip(*map(split_weight, options.data), strict=True)
    if options.weights and any(weight != 1 for weight in weights):
        parser.error("--weights is not allowed with weights of DATA such as PATH:0.3; keep one of them")
    options.weights = options.weights or list(weights)
    if len(options.weights) != len(options.data):
        numbers = counted(len(options.data), "number")
        parser.error(f"--weights must be {numbers}, one for each DATA, not {len(options.weights)}")
    for data, weight in zip(options.data, options.weights, strict=True):
        if not 0 < weight < math.inf:
            parser.error(f"{data} has weight {weight:g}; weights are above 0 and finite, and DATA without one has 1")


def _check_validation(parser: Parser, options: argparse.Namespace) -> None:
    if not options.validate:
        of_validation = {
            "--align": options.align,
            "--validate-every": options.validate_every,
            "--schedule plateau": options.schedule == "plateau",
        }
        if name := next(filter(of_validation.get, of_validation), None):
            parser.error(f"{name} is of validation; add --validate FOLDER")
    options.validate_every = options.validate_every or 1000


def split_weight(data: str) -> tuple[str, float]:
    """Split `PATH:0.3` into the path and the weight, which is 1 by default."""
    path, _, weight = data.rpartition(":")
    is_kind = path in sources.KINDS and not (sources.KINDS[path].default or Path(path).exists())
    if not path or is_kind or Path(data).exists():
        return data, 1.0
    try:
        return path, float(weight)
    except ValueError:
        return data, 1.0


def take_defaults(options: argparse.Namespace, kind: "type[Task]") -> None:
    """Set options that were not given to the defaults of the task.

    Raises:
        InputError: an option is set that the task does not use.
    """
    from _train.frame_interpolation import methods

    for name in ("flow", "features", "style_features", "stages", "blocks", "self_supervise"):
        if getattr(options, name) and not getattr(kind, name):
            called = options.model if options.task is None else f"{options.model} with --task {options.task}"
            raise InputError(f"{called} does not use --{name.replace('_', '-')}; leave it out.")
    if options.style_features and kind.self_supervise and not options.self_supervise:
        raise InputError("--style-features is of learning by appearance; add --self-supervise, or leave it out.")
    if options.flow:
        methods.find("flow", methods.FLOWS, options.flow, ["exact"])
    for name in ("lr", "schedule", "crop", "flow", "style_features", "stages", "blocks"):
        setattr(options, name, getattr(options, name) or getattr(kind, name))
    options.features = options.features or FEATURES  # with every task, as earlier runs recorded it
    options.crop = list(options.crop)


def require_outside_of_data(options: argparse.Namespace) -> None:
    """Raise InputError if OUT lies in data or keyframes, of which its pictures would become a part."""
    data = [sources.find_kind(one)[1] for one in options.data if one != "toons"]
    for path in (*data, *(options.validate or [])):
        files.require_outside(options.out, path, "choose another OUT")


def require_own(out: Path) -> None:
    """Raise InputError if a folder holds something other than a run of training."""
    checkpoints = (out / "checkpoints" / name for name in ("last.ckpt", "best.ckpt"))
    if not out.is_dir() or any(path.exists() for path in checkpoints):
        return
    with files.writing(out, "choose another OUT"):
        names = [path.name for path in out.iterdir()]
    if any(name not in OUTPUTS and name[0] != "." for name in names):
        raise InputError(f"{out} holds something other than a run of training; choose a new or empty folder.")


def require_writing(folder: Path) -> None:
    """Raise InputError if a folder cannot be written to."""
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder} cannot be written to; choose another OUT.")
