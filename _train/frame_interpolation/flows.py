"""Flow estimators by name. Each is called with two frames and returns the flow between them in both directions.

In: (1, 3, h, w) RGB in [0, 1], twice. Out: flow01 and flow10, (1, 2, h, w) float32, x then y, in pixels.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.models.rfr import RFR
from _util import checkpoints
from _util.dis import dis, multidis
from _util.flow import resize as resize_flow

FlowEstimator = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
_WITHOUT_WEIGHTS = {"multidis": multidis, "dis": dis}
NAMES = ("rfr", *_WITHOUT_WEIGHTS)
LARGEST_AREA = 960 * 540  # what RFR was trained at; larger displacements than it has seen are lost


def create(name: str, device: torch.device, dtype: torch.dtype, folder: Path = checkpoints.FOLDER) -> FlowEstimator:
    """The estimator of that name, on a device and in a precision, with weights from a folder of checkpoints."""
    if name in _WITHOUT_WEIGHTS:
        return _WITHOUT_WEIGHTS[name]
    network = RFR().eval()
    checkpoints.load(network, "rfr", folder)
    return network.to(device, dtype, memory_format=torch.channels_last).both_ways


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
