"""Which triplets of frames are worth training on, by their RRLD (Chen and Zwicker, ECCV 2022, section 4).

In: the flow from the middle frame to the one before and to the one after, and the middle frame itself. Out: how far
what moves is from moving straight and evenly, how much of the picture that is, and whether the triplet is accepted:
enough of the drawing moves, its middle position is near the middle of its way, and it is neither the camera nor a roll
of credits that moves. The published thresholds are meant for 360×640 pixels.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

SIZE = (360, 640)  # h, w that the thresholds are meant for


@dataclass(frozen=True)
class Thresholds:
    """The published ones by default; lengths in pixels, the others are shares of the picture or ratios."""

    largest_rrld: float = 0.3
    smallest_share: float = 0.05**2  # of the picture that moves
    largest_share: float = 0.5
    moving: float = 2  # a longer displacement, to either frame, is motion
    pan_length: float = 0.25  # mean length of a flow above which it may be a pan
    pan_deviation: float = 0.25  # standard deviation of its x or its y below which it is one
    dark: float = 2 / 255  # a pixel is dark if all its channels are below
    dark_share: float = 0.8  # of the picture, from which on it is taken for credits


class RRLD(NamedTuple):
    """What `judge` finds."""

    rrld: float  # 0: straight and even; ½: the middle frame equals one of the others; nan where nothing moves
    coverage: float  # share of the picture that moves and stays inside it
    pan: bool  # either flow is nearly uniform, along one axis at least, or more moves than the largest share
    accepted: bool


def judge(flow_to_previous: Tensor, flow_to_next: Tensor, middle: Tensor | None = None, **thresholds: float) -> RRLD:
    """Judge the triplet whose middle frame has these flows.

    A pixel moves if it is displaced by more than `moving` in either flow and leaves the picture in neither; RRLD is the
    mean over these of ‖(to previous + to next) / 2‖ / ‖to previous − to next‖.

    Args:
        flow_to_previous, flow_to_next: (2, h, w) or (1, 2, h, w), x then y in pixels, on the grid of the middle frame.
        middle: (3, h, w) or (1, 3, h, w) RGB in [0, 1]; without it, credits are not looked for.
        thresholds: those of `Thresholds` that are to differ from the published ones.
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
