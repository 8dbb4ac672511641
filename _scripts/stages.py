"""What the command lines of the five stages of extraction share.

Each takes the options of all stages, shows its own in --help and heeds those alone, so that one list of options can be
handed to all five and a mistake in it is found by the first.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _train.frame_interpolation import methods
from _train.frame_interpolation.choice import choose
from _util import command, device, weights
from _util.command import number, reading, whole

if TYPE_CHECKING:
    from _databacks.extraction.filtering import FlowEstimator
    from _databacks.extraction.options import ExtractionOptions

ENCODE, DIFFER, FILTER, IMAGES, FLOWS = (
    "encode_video",
    "duplicate_frame_features",
    "rrld_filter",
    "extract_triplet_images",
    "extract_triplet_flows",
)
_THRESHOLDS = {
    "largest_rrld": "accept an RRLD below this (default: 0.3)",
    "smallest_share": "accept a moving share of the picture above this (default: 0.0025)",
    "largest_share": "accept a moving share of the picture up to this (default: 0.5)",
    "moving": "displacement in pixels, at 640×360, above which a pixel moves (default: 2)",
    "pan_length": "mean motion above which a uniform flow is a pan (default: 0.25)",
    "pan_deviation": "standard deviation of x or y below which a flow is uniform (default: 0.25)",
    "dark": "a pixel is dark if all its channels, in [0, 1], are below this (default: 2/255)",
    "dark_share": "a picture with at least this share of dark pixels is credits (default: 0.8)",
}


def parse(stage: str, description: str) -> argparse.Namespace:
    """The arguments of the command line of a stage."""
    parser = command.Parser(prog=f"python -m _scripts.{stage}", description=description)
    if stage == ENCODE:
        parser.add_argument("video", metavar="VIDEO", type=Path, help="a video, or a folder of numbered drawings")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder for the triplets of this video")

    def add(stages: tuple[str, ...], name: str, help: str, **how: Any) -> None:
        parser.add_argument(name, help=help if stage in stages else argparse.SUPPRESS, **how)

    size_help = "height, to which larger videos are scaled down; WIDTHxHEIGHT, scaled and cropped; or source"
    default = {ENCODE: "1080", IMAGES: "960x540"}.get(stage)
    add((ENCODE, IMAGES), "--size", f"{size_help} (default: {default})", type=reading(_size))
    add((ENCODE,), "--codec", "h264 or hevc (default: h264)", choices=["h264", "hevc"])
    add((ENCODE,), "--crf", "quality, 0 (best) to 51 (worst) (default: 18)", type=whole(0, 51), metavar="N")
    add((FILTER, FLOWS), "--flow", "dis, multidis, sgm+dis, rfr, … or auto, the best (default: dis)", default="dis")
    add((FILTER, FLOWS), "--device", f"{device.NAMES} (default: auto)", default="auto")
    add((FILTER, FLOWS), "--precision", "of a network (default: auto)", default="auto", choices=device.PRECISIONS)
    add((FILTER, FLOWS), "--checkpoints", "folder of weights (default: checkpoints)", type=Path, metavar="DIR")
    add((FILTER,), "--one-per-cut", "accept only the triplet with the lowest RRLD of each shot", action="store_true")
    add((FILTER,), "--cut-threshold", "threshold of the cut detector (default: its own)", type=number(0), metavar="X")
    add(
        (FILTER,),
        "--repeats",
        "frames that repeat a drawing are found by the published model of OUT/duplicates.db, or detected as when a "
        "video is interpolated, robust to compression and slow pans: published or detected (default: published)",
        choices=["published", "detected"],
    )
    add(
        (FILTER,),
        "--sensitivity",
        "differences in OUT/duplicates.db are multiplied by this before the published model is applied (default: 1)",
        type=number(0),
        metavar="X",
    )
    add_thresholds(parser, shown=stage == FILTER)
    add((IMAGES,), "--format", "png or jpg (default: png)", choices=["png", "jpg"])
    add((IMAGES,), "--quality", "JPEG quality, 1 to 100 (default: 95)", type=whole(1, 100), metavar="N")
    add(
        (IMAGES,),
        "--origin",
        "take the frames of the original video or of the encoded one, OUT/video.mp4 (default: original)",
        choices=["original", "encoded"],
    )
    return parser.parse_args()


def add_thresholds(parser: argparse.ArgumentParser | argparse._ArgumentGroup, shown: bool = True) -> None:
    """Add an option for each threshold of RRLD."""
    for name, help in _THRESHOLDS.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=number(0), metavar="X", help=help if shown else argparse.SUPPRESS)


def thresholds(arguments: argparse.Namespace) -> dict[str, float]:
    """The thresholds that were given."""
    return command.given(arguments, _THRESHOLDS)


def options(arguments: argparse.Namespace, flow: str | None = None) -> "ExtractionOptions":
    """What was chosen; `flow` is the name of the estimator in use."""
    from _databacks.extraction.options import ExtractionOptions

    chosen = command.given(arguments, set(ExtractionOptions.__dataclass_fields__) - {"flow"})
    if arguments.size is not None:
        chosen["video_size"] = chosen["image_size"] = arguments.size[0]
    chosen["thresholds"] = thresholds(arguments)
    if flow:
        chosen["flow"] = flow
    return ExtractionOptions(**chosen)


def check_flow(arguments: argparse.Namespace) -> None:
    """Raise InputError as `flow_estimator`, which is called only for what PyTorch has to be imported for."""
    chosen = choose(arguments.flow, "splat", arguments.checkpoints or weights.FOLDER).flow
    device.check_name(arguments.device)
    is_simple = arguments.device in ("auto", "cpu") and arguments.precision == "auto"
    if not is_simple or chosen is None or methods.FLOWS[chosen].weights:
        flow_estimator(arguments.flow, arguments.device, arguments.precision, arguments.checkpoints)


def flow_estimator(flow: str, device: str, precision: str, checkpoints: Path | None) -> tuple[str, "FlowEstimator"]:
    """What identifies the estimator that was chosen, and the estimator, which takes frames on the CPU.

    The former is a line of its name, a digest of its weights if it has any, and the precision if that was chosen.

    Raises:
        InputError: there is none of that name, or no such device, precision or weights.
    """
    import torch

    from _train.frame_interpolation import flows
    from _train.frame_interpolation.interpolator import Interpolator
    from _util import paths, runs
    from _util.flow import Flows

    folder = checkpoints or weights.FOLDER
    interpolator = Interpolator(flow, "splat", device, precision, folder)
    name, estimator = interpolator.flow, interpolator.pipeline.estimator
    assert name is not None  # as splatting needs an estimator
    assert estimator is not None

    @torch.inference_mode()
    def estimate(frame0: torch.Tensor, frame1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames = frame0.to(interpolator.device), frame1.to(interpolator.device)
        return Flows(*map(paths.flow, flows.at_moderate_size(estimator, *frames)))

    identity, digests = [name], {key: runs.digest(path) for key, path in flows.weights_of(name, folder).items()}
    if digests:
        identity.append(runs.digest_of(digests)[:16])
    if precision != "auto":
        identity.append(precision)
    return " ".join(identity), estimate


def _size(text: str) -> tuple[Any]:
    from _databacks.extraction.options import parse_size

    return (parse_size(text),)
