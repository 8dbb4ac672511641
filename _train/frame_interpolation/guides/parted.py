"""In-betweens in which parts of the drawing are ahead of the rest, or behind it.

The time differs from pixel to pixel: it is that of a part where the part is at its own time, and where it would be at
the time of the rest, so that its ground shows there as it is without it. Where a part is at a time is carried along the
drawing, as alpha is, by whatever draws: the automatic motion, or hints.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.pipeline import Pipeline, PreparedPair
from _util.flow import backwarp

_GROWN = 1 / 80  # of the width, by which a part is larger than its mask, outlines included


class Carries(Protocol):
    """What draws a pair at any time, and tells where masks of its first key are then."""

    def attach(self, masks: Tensor) -> Any:
        """What is carried of masks (1, k, h, w) of key 0."""
        ...

    def carry(self, t: float, attached: Any) -> tuple[Tensor, Tensor]:
        """The frame (1, c, h, w) at time t in (0, 1), and where the masks are in it, (1, k, h, w)."""
        ...


class AutomaticMotion(NamedTuple):
    """A pair that is drawn by its estimated motion."""

    pipeline: Pipeline
    prepared: PreparedPair

    def attach(self, masks: Tensor) -> Tensor:
        """(2, k, h, w), the masks in both keys."""
        back = self.pipeline.flow(self.prepared).flow10
        return torch.cat([masks, backwarp(masks, back.to(masks), quirk=False)])

    def carry(self, t: float, attached: Tensor) -> tuple[Tensor, Tensor]:
        return self.pipeline.carry(self.prepared, t, attached)


class Parted:
    """A pair of keys and the parts of the first, prepared for drawing.

    Args:
        motion: draws the pair, and carries masks along.
        masks: of each part in key 0, (1, 1, h, w) in [0, 1], from back to front.
    """

    def __init__(self, motion: Carries, masks: Sequence[Tensor]):
        self._motion = motion
        self._attached = motion.attach(torch.cat([_grown(mask) for mask in masks], 1))

    def frame(self, t: float, own: Sequence[float]) -> Tensor:
        """The frame (1, c, h, w) at time t, each part at a time of its own; all in (0, 1)."""
        result, rest = self._motion.carry(t, self._attached)
        for i, time in enumerate(own):
            if time != t:
                drawn, there = self._motion.carry(time, self._attached)
                share = torch.maximum(rest[:, i : i + 1], there[:, i : i + 1]).clamp(0, 1).to(result)
                result = _mixed(result, drawn, share)
        return result


def _grown(mask: Tensor) -> Tensor:
    """A dilated mask with a soft edge."""
    reach = max(1, round(_GROWN * mask.shape[3]))
    larger = F.max_pool2d(mask, 2 * reach + 1, 1, reach)
    return F.avg_pool2d(larger, 3, 1, 1, count_include_pad=False)


def _mixed(ground: Tensor, top: Tensor, share: Tensor) -> Tensor:
    """Two frames, RGB or RGBA, blended by a share (1, 1, h, w); colours are weighted by alpha."""
    if ground.shape[1] == 3:
        return ground.lerp(top, share)
    alpha = ground[:, 3:].lerp(top[:, 3:], share)
    colours = (ground[:, :3] * ground[:, 3:]).lerp(top[:, :3] * top[:, 3:], share)
    return torch.cat([(colours / alpha.clamp(min=1e-6)).clamp(0, 1) * (alpha > 0), alpha], 1)
