"""Flow estimators by name. Each is called with two frames and returns the flow between them in both directions.

In: (1, 3, h, w) RGB in [0, 1], twice. Out: flow01 and flow10, (1, 2, h, w) float32, x then y, in pixels.

    rfr               recurrent refinement, which needs weights
    sgm+dis           at each pixel the better of sgm and multidis
    multidis, dis     dense inverse search, at several sizes or one
    sgm               segment-guided matching; 0 where no piece was found again
    sgm+rfr           RFR that begins with it, as AnimeInterp was released
    sgm+rfr-paper     RFR that begins with it, as the paper has it
    unet, resunet, transunet    learned by --task optflow
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.models import unet
from _train.frame_interpolation.models.rfr import RFR
from _util import checkpoints, graphs, image, paths
from _util.dis import costs, dis, multidis
from _util.flow import resize as resize_flow
from _util.sgm import SGM
from _util.sgm.motion import UNKNOWN

FlowEstimator = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
_WITHOUT_WEIGHTS = {"multidis": multidis, "dis": dis}
_INITIAL_MODES = {"sgm+rfr": "released", "sgm+rfr-paper": "paper"}
NAMES = ("rfr", "sgm+dis", *_WITHOUT_WEIGHTS, "sgm", *_INITIAL_MODES, *unet.VARIANTS)  # the best first
_NO_GROUND = 1.0  # order of what is searched for: what lies around everything is known
_BETTER = 0.1  # of a cost of at most 1, by which search must win over pieces
LARGEST_AREA = 960 * 540  # what RFR was trained at; larger displacements than it has seen are lost


def create(name: str, device: torch.device, dtype: torch.dtype, folder: Path = checkpoints.FOLDER) -> FlowEstimator:
    """The estimator of that name, on a device and in a precision, with weights from a folder of checkpoints."""
    if name in _WITHOUT_WEIGHTS:
        return _WITHOUT_WEIGHTS[name]
    if name in unet.VARIANTS:
        network = unet.FlowUNet(name).eval()
        checkpoints.load(network, f"{name}_flow", folder)
        return graphs.replayed(network.to(device, dtype, memory_format=torch.channels_last), device)
    sgm = SGM(device=device, folder=folder) if name.startswith("sgm") else None
    if name == "sgm":
        return sgm
    if name == "sgm+dis":
        return MatchingAndSearch(sgm)
    network = RFR().eval()
    checkpoints.load(network, "rfr", folder)
    network.to(device, dtype, memory_format=torch.channels_last)
    if sgm is None:
        return graphs.replayed(network.both_ways, device)

    def refine(frame0: Tensor, frame1: Tensor, *coarse: Tensor) -> tuple[Tensor, Tensor]:
        return network.both_ways(frame0, frame1, initial=coarse, initial_mode=_INITIAL_MODES[name])

    refine = graphs.replayed(refine, device)
    return lambda frame0, frame1: refine(frame0, frame1, *sgm(frame0, frame1))


class MatchingAndSearch:
    """The motion of pieces where it is known and finds its surroundings, else dense inverse search."""

    def __init__(self, sgm: SGM):
        self.sgm = sgm

    def __call__(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(paths.flow(path).contiguous() for path in self.paths(frame0, frame1))

    def paths(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        """The same as paths (1, 9, h, w), of which what was searched for is straight; in line art, the flow alone."""
        searched, pieces = multidis(frame0, frame1), self.sgm.pieces(frame0, frame1)
        if pieces.is_line_art:
            return searched
        pictures = [image.to_array(frame[0], np.uint8) for frame in (frame0, frame1)]
        found = []
        for i, (flow, path) in enumerate(zip(searched, pieces.paths(), strict=True)):
            owners = pieces.owners[:: 1 - 2 * i]
            kept = _find_themselves(pictures[i], pictures[1 - i], path, flow, *owners)
            path = torch.from_numpy(path).permute(2, 0, 1)[None].to(flow.device)
            found.append(torch.where(torch.from_numpy(kept).to(flow.device), path, paths.straight(flow, _NO_GROUND)))
        return found[0], found[1]


def _find_themselves(
    here: np.ndarray, there: np.ndarray, path: np.ndarray, flow: Tensor, owners: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """(h, w) whether a pixel is of a piece that finds itself about as well by its motion as by the flow."""
    searched = flow[0].permute(1, 2, 0).cpu().numpy()
    visible = (owners != UNKNOWN) & (_owners_reached(path, others) == owners)
    count = int(owners.max()) + 1
    known, other = (
        np.bincount(owners[visible], cost[visible], count)
        for cost in costs(here, there, [np.ascontiguousarray(path[:, :, :2]), searched])
    )
    pixels = np.bincount(owners[visible], minlength=count)
    return np.append(known <= other + _BETTER * pixels, False)[owners]  # the last is that of no piece


def _owners_reached(path: np.ndarray, others: np.ndarray) -> np.ndarray:
    h, w = others.shape
    x = np.rint(path[:, :, 0] + np.arange(w)).astype(int).clip(0, w - 1)
    y = np.rint(path[:, :, 1] + np.arange(h)[:, None]).astype(int).clip(0, h - 1)
    return others[y, x]


def with_paths(estimator: FlowEstimator) -> FlowEstimator:
    """An estimator of paths, where that of flows has one, else the same."""
    return getattr(estimator, "paths", estimator)


def at_moderate_size(estimator: FlowEstimator, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate at no more than `LARGEST_AREA` pixels and scale the flow up to the size of the frames."""
    h, w = frame0.shape[2:]
    scale = min(1, (LARGEST_AREA / (h * w)) ** 0.5)
    if scale == 1:
        return estimator(frame0, frame1)
    size = max(16, round(h * scale)), max(16, round(w * scale))
    reduced = F.interpolate(torch.cat([frame0, frame1]), size, mode="bilinear", align_corners=False, antialias=True)
    flow01, flow10 = estimator(*reduced.chunk(2))
    return resize_flow(flow01, (h, w)), resize_flow(flow10, (h, w))
