"""Selection of training triplets by their RRLD (Chen and Zwicker, ECCV 2022, section 4).

In: the flow from the middle frame to the previous and to the next one, and the middle frame. Out: how far the motion
deviates from linear motion, the share of the picture that moves, and whether the triplet is accepted: enough of the
drawing moves, its middle position is near the middle of its way, and the motion is neither a camera pan nor a roll of
credits. The published thresholds are for 360×640 pixels.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

SIZE = (360, 640)  # h, w for which the thresholds are meant


@dataclass(frozen=True)
class Thresholds:
    """Thresholds, by default the published ones; lengths in pixels, others are shares of the picture or ratios."""

    largest_rrld: float = 0.3
    smallest_share: float = 0.05**2  # of the picture that moves
    largest_share: float = 0.5
    moving: float = 2  # displacement to either frame above which a pixel moves
    pan_length: float = 0.25  # mean length of a flow above which it may be a pan
    pan_deviation: float = 0.25  # standard deviation of its x or y below which it is one
    dark: float = 2 / 255  # a pixel is dark if all its channels are below
    dark_share: float = 0.8  # least share of dark pixels in credits


class RRLD(NamedTuple):
    """The result of `judge`."""

    rrld: float  # 0: linear motion; ½: the middle frame equals one of the others; NaN if nothing moves
    coverage: float  # share of the picture that moves and stays inside it
    pan: bool  # a flow is nearly uniform along at least one axis, or more than the largest share moves
    accepted: bool


def judge(flow_to_previous: Tensor, flow_to_next: Tensor, middle: Tensor | None = None, **thresholds: float) -> RRLD:
    """Judge a triplet by the flows of its middle frame.

    A pixel moves if it is displaced by more than `moving` in either flow and leaves the picture in neither. RRLD is the
    mean over these of ‖(to previous + to next) / 2‖ / ‖to previous − to next‖.

    Args:
        flow_to_previous, flow_to_next: (2, h, w) or (1, 2, h, w), x then y in pixels, on the grid of the middle frame.
        middle: (3, h, w) or (1, 3, h, w) RGB in [0, 1]; without it, credits are not detected.
        thresholds: fields of `Thresholds` that override the published values.
    """
    limits = Thresholds(**thresholds)
    flows = [_array(flow, 2) for flow in (flow_to_previous, flow_to_next)]
    lengths = [cv2.magnitude(*flow) for flow in flows]
    moves = (cv2.max(*lengths) > limits.moving) & _stays_inside(flows[0]) & _stays_inside(flows[1])
    coverage = float(moves.mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (cv2.magnitude(*(flows[0] + flows[1])) / 2 / cv2.magnitude(*(flows[0] - flows[1])))[moves]
    rrld = float(ratios.mean(dtype=np.float64)) if ratios.size else float("nan")

    pan = coverage > limits.largest_share or any(
        cv2.mean(length)[0] > limits.pan_length
        and min(cv2.meanStdDev(axis)[1].item() for axis in flow) < limits.pan_deviation
        for flow, length in zip(flows, lengths, strict=True)
    )
    accepted = rrld < limits.largest_rrld and coverage > limits.smallest_share and not pan
    if middle is not None:
        dark = _array(middle, 3).max(0) < limits.dark
        accepted = accepted and dark.mean() < limits.dark_share
    return RRLD(rrld, coverage, pan, bool(accepted))


def _array(tensor: Tensor, channels: int) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().reshape(channels, *tensor.shape[-2:]).float().cpu().numpy())


def _stays_inside(flow: np.ndarray) -> np.ndarray:
    h, w = flow.shape[1:]
    x = flow[0] + np.arange(w, dtype=np.float32)
    y = flow[1] + np.arange(h, dtype=np.float32)[:, None]
    return (x >= 0) & (x <= w) & (y >= 0) & (y <= h)
