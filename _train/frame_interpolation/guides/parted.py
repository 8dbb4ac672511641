"""In-betweens whose parts have come further, or less far, than the rest.

The time differs from pixel to pixel: it is that of a part where the part is at its own time, and where it would be at
the time of the rest, so that its ground shows there as it is without it. Where a part is at a time is carried along the
drawing, as alpha is, by whatever draws.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.pipeline import Pipeline
from _util.flow import backwarp

_GROWN = 1 / 80  # of the width, by which a part is larger than its mask, outlines included


class Parted:
    """A pair of keys and the parts of the first, ready to be drawn.

    Args:
        frame0, frame1: (1, 3, h, w) RGB or (1, 4, h, w) RGBA in [0, 1].
        masks: (1, 1, h, w) in [0, 1], where key 0 shows each part, the hindmost first.
    """

    def __init__(self, pipe: Pipeline, frame0: Tensor, frame1: Tensor, masks: Sequence[Tensor]):
        self.pipeline = pipe
        self.prepared = pipe.prepare(frame0, frame1)
        back = pipe.flow(self.prepared).flow10
        grown = [_grown(mask).to(frame0) for mask in masks]
        self._masks = torch.cat([torch.cat([mask, backwarp(mask, back.to(mask), quirk=False)]) for mask in grown], 1)

    def frame(self, t: float, own: Sequence[float]) -> Tensor:
        """The frame (1, c, h, w) at time t, each part at a time of its own; all in (0, 1)."""
        result, rest = self.pipeline.carry(self.prepared, t, self._masks)
        for i, time in enumerate(own):
            if time != t:
                drawn, there = self.pipeline.carry(self.prepared, time, self._masks)
                share = torch.maximum(rest[:, i : i + 1], there[:, i : i + 1]).clamp(0, 1).to(result)
                result = _mixed(result, drawn, share)
        return result


def _grown(mask: Tensor) -> Tensor:
    """A mask that is larger, with a soft edge."""
    reach = max(1, round(_GROWN * mask.shape[3]))
    larger = F.max_pool2d(mask, 2 * reach + 1, 1, reach)
    return F.avg_pool2d(larger, 3, 1, 1, count_include_pad=False)


def _mixed(ground: Tensor, top: Tensor, share: Tensor) -> Tensor:
    """Two frames, RGB or RGBA, mixed by their visible colours."""
    if ground.shape[1] == 3:
        return ground.lerp(top, share)
    alpha = ground[:, 3:].lerp(top[:, 3:], share)
    colours = (ground[:, :3] * ground[:, 3:]).lerp(top[:, :3] * top[:, 3:], share)
    return torch.cat([(colours / alpha.clamp(min=1e-6)).clamp(0, 1) * (alpha > 0), alpha], 1)
