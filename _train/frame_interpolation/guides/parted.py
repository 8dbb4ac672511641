"""In-betweens in which parts of the drawing are ahead of the rest, or behind it.

The time differs from pixel to pixel. A part's own time applies where the part is at that time, and where it would be at
the time of the rest, so that the uncovered background shows there. Masks of the parts are moved like alpha, by the
method that draws: the automatic motion, or hints.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.pipeline import Pipeline, PreparedPair
from _util.flow import backwarp
from _util.morphology import dilated

if TYPE_CHECKING:
    from _train.frame_interpolation.guides.hinted import PreparedHints

_GROWN = 1 / 80  # of the width, by which masks are dilated to include outlines


class AutomaticMotion(NamedTuple):
    """A pair drawn by its estimated motion."""

    pipeline: Pipeline
    prepared: PreparedPair

    def attach(self, masks: Tensor) -> Tensor:
        """The masks in both keys, (2, k, h, w)."""
        back = self.pipeline.flow(self.prepared).flow10
        return torch.cat([masks, backwarp(masks, back.to(masks), quirk=False)])

    def carry(self, t: float, attached: Tensor) -> tuple[Tensor, Tensor]:
        """The frame (1, c, h, w) at time t in (0, 1), and the masks moved to that time, (1, k, h, w)."""
        return self.pipeline.carry(self.prepared, t, attached)


class PreparedParts:
    """A pair of keys and the parts of the first, prepared for drawing.

    Args:
        motion: draws the pair, and moves masks along.
        masks: of each part in key 0, (1, 1, h, w) in [0, 1], from back to front.

    Attributes:
        count: of the parts.
    """

    def __init__(self, motion: "AutomaticMotion | PreparedHints", masks: Sequence[Tensor]):
        self._motion = motion
        self.count = len(masks)
        self._attached: Any = motion.attach(torch.cat([_grown(mask) for mask in masks], 1))

    def frame(self, t: float, own: Sequence[float]) -> Tensor:
        """The frame (1, c, h, w) at time t, with each part at its own time; all times in (0, 1)."""
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
    return F.avg_pool2d(dilated(mask, reach), 3, 1, 1, count_include_pad=False)


def _mixed(ground: Tensor, top: Tensor, share: Tensor) -> Tensor:
    """Two frames, RGB or RGBA, blended by a share (1, 1, h, w); colours are weighted by alpha."""
    if ground.shape[1] == 3:
        return ground.lerp(top, share)
    alpha = ground[:, 3:].lerp(top[:, 3:], share)
    colours = (ground[:, :3] * ground[:, 3:]).lerp(top[:, :3] * top[:, 3:], share)
    return torch.cat([(colours / alpha.clamp(min=1e-6)).clamp(0, 1) * (alpha > 0), alpha], 1)
