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
from _util import checkpoints, graphs, image
from _util.dis import dis, multidis, select
from _util.flow import resize as resize_flow
from _util.sgm import SGM

FlowEstimator = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
_WITHOUT_WEIGHTS = {"multidis": multidis, "dis": dis}
_INITIAL_MODES = {"sgm+rfr": "released", "sgm+rfr-paper": "paper"}
NAMES = ("rfr", "sgm+dis", *_WITHOUT_WEIGHTS, "sgm", *_INITIAL_MODES, *unet.VARIANTS)  # the best first
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
    """At each pixel the flow, of segment-guided matching or of dense inverse search, that finds its surroundings."""

    def __init__(self, sgm: SGM):
        self.sgm = sgm

    def __call__(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        searched, matched = multidis(frame0, frame1), self.sgm(frame0, frame1)
        # Where no piece was found again there is nothing to choose.
        proposed = [torch.where((x != 0).any(1, keepdim=True), x, y) for x, y in zip(matched, searched, strict=True)]
        return _better(frame0, frame1, searched[0], proposed[0]), _better(frame1, frame0, searched[1], proposed[1])


def _better(here: Tensor, there: Tensor, *flows: Tensor) -> Tensor:
    pictures = (image.to_array(frame[0], np.uint8) for frame in (here, there))
    flow = select(*pictures, [flow[0].permute(1, 2, 0).cpu().numpy() for flow in flows])
    return torch.from_numpy(flow).permute(2, 0, 1)[None].contiguous().to(here.device)


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
