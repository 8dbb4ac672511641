"""In-betweens whose parts have come further, or less far, than the rest.

The time is a map: that of a part where the part is when it is drawn, and where it would be at the time of the rest,
which its ground then shows; and it goes over smoothly into that of the rest. Where a part is at a time is read from its
mask in key 0 backward along the motion found at the new frame; with the map, the motion is found once more.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.pipeline import Pipeline
from _util.errors import InputError
from _util.flow import backwarp

_SOFT = 1 / 100  # of the width, by which a map is smoothed
_ROUNDS = 2


class Parted:
    """A pair of keys and the masks (1, 1, h, w) of its parts in key 0, later ones in front.

    Raises:
        InputError: the pipeline draws a whole frame at one time.
    """

    def __init__(self, pipe: Pipeline, frame0: Tensor, frame1: Tensor, masks: Sequence[Tensor]):
        if pipe.synthesiser.motion is None:
            raise InputError(
                "This --synthesis draws a whole frame at one time; parts with a timing of their own need one that "
                "finds motion at the new frame, as ifnet or rife."
            )
        self.pipeline, self.masks = pipe, masks
        self.prepared = pipe.prepare(frame0, frame1)

    def frame(self, t: float, times: Sequence[float]) -> Tensor:
        """The frame (1, c, h, w) at time t, its parts at times of their own."""
        return self.pipeline.frames(self.prepared, self.time_map(t, times))

    def time_map(self, t: float, times: Sequence[float]) -> Tensor:
        """(1, 1, h, w), how far what shows at a pixel has come."""
        plane = torch.full_like(self.masks[0], t)
        there = [self._carried(mask, plane) for mask in self.masks]
        alone = [self._carried(mask, torch.full_like(plane, own)) for mask, own in zip(self.masks, times, strict=True)]
        covers = [_soft(torch.maximum(*both)) for both in zip(there, alone, strict=True)]
        for _ in range(_ROUNDS):
            drawn = plane
            for cover, own in zip(covers, times, strict=True):
                drawn = drawn.lerp(torch.full_like(plane, own), cover)
            now = [self._carried(mask, drawn) for mask in self.masks]
            covers = [torch.maximum(cover, _soft(carried)) for cover, carried in zip(covers, now, strict=True)]
        return drawn

    def _carried(self, mask: Tensor, t: Tensor) -> Tensor:
        """A mask of key 0 at the new frame."""
        motion = self.pipeline.synthesiser.motion(self.prepared.synthesis, t)
        return backwarp(mask, motion[:, :2].to(mask), quirk=False)


def _soft(mask: Tensor) -> Tensor:
    """A mask that is full where it was, and falls off around."""
    reach = max(1, round(_SOFT * mask.shape[3]))
    grown = F.max_pool2d(mask, 2 * reach + 1, 1, reach)
    for _ in range(2):
        grown = F.avg_pool2d(grown, reach | 1, 1, (reach | 1) // 2, count_include_pad=False)
    return grown
