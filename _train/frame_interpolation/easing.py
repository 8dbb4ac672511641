"""Timing from four drawings: whether motion speeds up or slows down between two of them.

    before ──▶ frame 0 ──▶ frame 1 ──▶ after

Two drawings do not determine how far motion has progressed at a time between them. The motion before and after does,
if acceleration is constant over the three gaps: with speeds v₀, 1 and v₂, in displacements of the middle gap, progress
at time t is `t − ½ a t (1 − t)`, where a is the slope of the speeds (Xu et al., "Quadratic Video Interpolation",
NeurIPS 2019, for displacement along the motion of the gap alone). As drawings are rarely that regular,
speeds are means over areas of the frame, mixed with that of the whole.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from _util.flow import backwarp

_CELLS = 18  # areas over which speeds are averaged, in a side of a square frame
_SHARE = 0.3  # weight of the mean of the whole frame, beside that of the cell
_STILL = 0.01  # square pixels; regularises speeds where hardly anything moves
_LEAST, _GREATEST = -1.0, 3.0  # limits of displacements in multiples of another
_MOST = 2.0  # of acceleration; beyond it, motion would turn back


class GapMotion(NamedTuple):
    """The motion from one drawing to the next."""

    displacement: Tensor  # (1, 2, h, w), x then y, as of `Pipeline.displacement`
    duration: float  # in any unit, the same for all gaps


class Easing(NamedTuple):
    """How motion between two frames speeds up.

    Attributes:
        acceleration: (1, 1, rows, columns) of cells of the frame, in displacements per squared duration of the gap, in
            [-2, 2]; positive where motion starts slowly.
    """

    acceleration: Tensor

    def progress(self, t: float, size: tuple[int, int]) -> Tensor:
        """The progress of each pixel at time t, (1, 1, h, w) in [0, 1], for `Pipeline.frames`."""
        acceleration = F.interpolate(self.acceleration, size, mode="bilinear", align_corners=False)
        return (t - acceleration * (t * (1 - t) / 2)).clamp(0, 1)

    def mean(self, t: float) -> float:
        """The mean progress of the frame at time t; both in (0, 1)."""
        return t - self.acceleration.mean().item() * t * (1 - t) / 2


def estimate(before: GapMotion, gap: GapMotion, after: GapMotion) -> Easing:
    """The easing of a gap from those before and after it, without cuts or holds between them.

    Displacements are of one size.
    """
    rates = [other.duration / gap.duration for other in (before, after)]
    first, last = (
        _projected(backwarp(other.displacement, way * gap.displacement, quirk=False), gap.displacement) / rate
        for other, way, rate in zip((before, after), (-1, 1), rates, strict=True)
    )
    acceleration = (last - first) / (1 + sum(rates) / 2)
    return Easing(acceleration.clamp(-_MOST, _MOST))


def _projected(displacement: Tensor, onto: Tensor) -> Tensor:
    """One displacement, (1, 2, h, w), in multiples of another, by cells: (1, 1, rows, columns).

    It is the least-squares fit of a multiple of the other, regularised by that of the whole frame.
    """
    side = max(1, round((onto.shape[2] * onto.shape[3]) ** 0.5 / _CELLS))
    products = torch.cat([(of * onto).sum(1, keepdim=True) for of in (displacement - onto, onto)], 1).float()
    cells = F.avg_pool2d(products, side, ceil_mode=True, count_include_pad=False)
    difference, squared = (cells + _SHARE * cells.mean((2, 3), keepdim=True)).split(1, 1)
    return (1 + difference / (squared + _STILL)).clamp(_LEAST, _GREATEST)
