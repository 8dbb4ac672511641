"""Flow estimators, created by the entries of `methods.FLOWS`.

An estimator takes two frames, (1, 3, h, w) RGB in [0, 1], and returns the flow between them in both directions: flow01
and flow10, (1, 2, h, w) float32, x then y, in pixels. Those of pieces that rotate also have a method `paths`, which
may return paths, (1, 9, h, w), in their place (`_util.paths`). Estimators are imported where they are created, since
some of their dependencies are optional or slow to import.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation import methods
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.models.layers import placed
from _util import checkpoints, graphs
from _util.dis import dis, multidis, select
from _util.flow import Flows, from_arrays, to_array
from _util.flow import resize as resize_flow
from _util.image import pictures_of

if TYPE_CHECKING:
    from _train.frame_interpolation.models.rfr import RFR, InitialMode
    from _train.frame_interpolation.models.unet import Variant
    from _util.sgm import SGM

FlowEstimator = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
_MATCHING = ("sgm", "pieces")  # first words of the flows that describe pieces by a backbone of `_util.features`
_LONGEST_SIDE = 32000
LARGEST_AREA = 960 * 540  # RFR's training size; it misses displacements larger than those it was trained on


def create(name: str, context: Context) -> FlowEstimator:
    """Create an estimator by its name in `methods.FLOWS`.

    Raises:
        InputError: an unknown name, or its weights are missing or do not fit.
    """
    return methods.find("flow", methods.FLOWS, name, ()).creator()(context)


def weights_of(name: str, folder: Path = checkpoints.FOLDER) -> dict[str, Path]:
    """The files of weights that one of `methods.FLOWS` depends on, by name."""
    found = {part: checkpoints.find(part, folder) for part in methods.FLOWS[name].weights}
    if name.split("+")[0] in _MATCHING:
        from _util import features

        backbone = features.best(folder)
        found[backbone] = features.find(backbone, folder)
    return {part: path for part, path in found.items() if path}


def dis1(_: Context) -> FlowEstimator:
    return dis


def dis3(_: Context) -> FlowEstimator:
    return multidis


def sgm(context: Context) -> "SGM":
    from _util.sgm import SGM

    return SGM(device=context.device, folder=context.folder)


def sgm_dis(context: Context) -> FlowEstimator:
    return partial(_match_and_search, sgm(context))


def rfr(context: Context) -> FlowEstimator:
    return graphs.replayed(_rfr(context).both_ways, context.device)


def unet(context: Context, variant: "Variant") -> FlowEstimator:
    from _train.frame_interpolation.models.unet import FlowUNet

    network = FlowUNet(variant).eval()
    checkpoints.load(network, f"{variant}_flow", context.folder)
    placed(network, context.device, context.flow_dtype)
    return graphs.replayed(network, context.device)


def _rfr(context: Context) -> "RFR":
    from _train.frame_interpolation.models.rfr import RFR

    network = RFR().eval()
    checkpoints.load(network, "rfr", context.folder)
    return placed(network, context.device, context.flow_dtype)


def sgm_rfr(context: Context, mode: "InitialMode") -> FlowEstimator:
    """RFR, initialised with the flow of segment-guided matching."""
    refine = graphs.replayed(partial(_refine, _rfr(context), mode), context.device)
    return partial(_match_and_refine, sgm(context), refine)  # unlike a lambda, can be sent to a loader's workers


def _refine(network: "RFR", mode: "InitialMode", frame0: Tensor, frame1: Tensor, *coarse: Tensor) -> Flows:
    return network.both_ways(frame0, frame1, initial=Flows(*coarse), initial_mode=mode)


def _match_and_refine(matching: "SGM", refine: Callable[..., Flows], frame0: Tensor, frame1: Tensor) -> Flows:
    return refine(frame0, frame1, *matching(frame0, frame1))


def _match_and_search(matching: "SGM", frame0: Tensor, frame1: Tensor) -> Flows:
    return better(frame0, frame1, matching(frame0, frame1))


def better(frame0: Tensor, frame1: Tensor, matched: tuple[Tensor, Tensor]) -> Flows:
    """At each pixel, `matched` or the flow of `multidis`, whichever matches both frames better (`_util.dis.select`)."""
    searched, (picture0, picture1) = multidis(frame0, frame1), pictures_of(frame0, frame1)
    # `matched` is 0 where no segment was matched; there the searched flow is used.
    proposed = [torch.where((x != 0).any(1, keepdim=True), x, y) for x, y in zip(matched, searched, strict=True)]
    forth, back = ([to_array(flow) for flow in of_way] for of_way in zip(searched, proposed, strict=True))
    return from_arrays((select(picture0, picture1, forth), select(picture1, picture0, back)), frame0.device)


def with_paths(estimator: FlowEstimator) -> FlowEstimator:
    """The estimator's own estimator of paths (`_util.paths`) if it has one, else the estimator itself."""
    return getattr(estimator, "paths", estimator)


def at_moderate_size(estimator: FlowEstimator, frame0: Tensor, frame1: Tensor) -> Flows:
    """Estimate flow on frames reduced to at most `LARGEST_AREA` pixels, and upscale it to the size of the frames."""
    size = frame0.shape[2:]
    seen0, seen1 = (reduced(frame, LARGEST_AREA) for frame in (frame0, frame1))
    flow01, flow10 = estimator(seen0, seen1)
    if seen0.shape[2:] == size:
        return Flows(flow01, flow10)
    return Flows(resize_flow(flow01, size), resize_flow(flow10, size))


def reduced(frames: Tensor, area: int) -> Tensor:
    """Frames (b, c, h, w) reduced to at most `area` pixels, of 16 to 32,000 a side, as OpenCV warps no longer ones."""
    h, w = frames.shape[2:]
    scale = min((area / (h * w)) ** 0.5, _LONGEST_SIDE / max(h, w))
    if scale >= 1:
        return frames
    size = max(16, round(h * scale)), max(16, round(w * scale))
    return F.interpolate(frames, size, mode="bilinear", align_corners=False, antialias=True)
