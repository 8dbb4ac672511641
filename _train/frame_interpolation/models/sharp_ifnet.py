"""IFNet that draws what animation is made of, sharp lines and what rests, and is faster than the published one.

Blocks read frames that were reduced to their scale. Both frames are read along the motion with a bicubic kernel, which
keeps lines sharp. What rests in both frames is taken from them as it is.

    frame0, frame1 (b, 3, h, w), t  →  frame (b, 3, h, w), motion (b, 4, h, w), mask (b, 1, h, w)

`SharpIFNet.prepare` does what does not depend on the time, `SharpIFNet.synthesise` the rest. The state dict has the
published names, so published weights fit too.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from _train.frame_interpolation.models.ifnet import (
    PUBLISHED_DEPTHS,
    PUBLISHED_WIDTHS,
    FramePyramid,
    IFNet,
    Interpolation,
    read,
)

_ALIKE = 1.5 / 255  # difference of colours up to which frames agree
_RESTING = 0.5  # pixels of motion up to which what agrees rests
_AROUND = 2  # pixels to each side within which frames must agree


class AgreeingFrames(NamedTuple):
    """A pair of frames as blocks read it, and where both agree."""

    pair: FramePyramid
    agreement: Tensor  # (b, 1, H, W) 1 where the colours around a pixel are the same in both frames


class SharpIFNet(IFNet):
    """IFNet read with a bicubic kernel, and still where frames are.

    Args:
        widths, depths: of `IFNet`.
    """

    def __init__(self, widths: tuple[int, ...] = PUBLISHED_WIDTHS, depths: tuple[int, ...] = PUBLISHED_DEPTHS):
        super().__init__(widths, depths, reads_small=True)

    def prepare(
        self,
        frame0: Tensor,
        frame1: Tensor,
        coarser: int | None = None,
        seen: tuple[Tensor, Tensor] | None = None,
    ) -> AgreeingFrames:
        """What does not depend on the time; arguments as of `IFNet.prepare`."""
        pair = super().prepare(frame0, frame1, coarser, seen)
        return AgreeingFrames(pair, agreement_of(pair.frames))

    def synthesise(self, prepared: AgreeingFrames, t: float | Tensor) -> Interpolation:
        """The frame at time t from what `prepare` returned."""
        return self.draw(prepared, *self.stages(prepared.pair, t)[-1])

    def draw(self, prepared: AgreeingFrames, motion: Tensor, mask: Tensor) -> Interpolation:
        """The frame along a motion (b, 4, H, W), mixed by a mask (b, 1, H, W) in logits."""
        h, w = prepared.pair.size
        drawn = mix(prepared.pair.frames, prepared.agreement, motion, mask)
        return Interpolation(*(image[:, :, :h, :w] for image in drawn))


def mix(frames: Tensor, agreement: Tensor, motion: Tensor, mask: Tensor) -> Interpolation:
    """Both frames read along a motion and mixed.

    Args:
        frames: (2, b, 3, h, w).
        agreement: of them, by `agreement_of`.
        motion: (n, 4, h, w); n is b, or b is 1.
        mask: (n, 1, h, w) logits of frame 0's share.
    """
    rests = (motion.abs().amax(1, keepdim=True) < _RESTING) * agreement
    motion = motion * (1 - rests)
    read0, read1 = read(frames, motion, "bicubic")
    return Interpolation(read1.lerp(read0, torch.sigmoid(mask)).clamp(0, 1), motion, mask)


def agreement_of(frames: Tensor) -> Tensor:
    """(2, b, 3, h, w) to (b, 1, h, w): 1 where the colours around a pixel are the same in both frames."""
    alike = (frames[0] - frames[1]).abs_().amax(1, keepdim=True) <= _ALIKE
    return _around(alike).to(frames.dtype)


def _around(mask: Tensor) -> Tensor:
    """Where a mask (b, 1, h, w) is true all around; several times faster than pooling."""
    for dim in (2, 3):
        size = mask.shape[dim]
        found = mask.clone()
        for step in range(1, min(_AROUND, size - 1) + 1):
            found.narrow(dim, 0, size - step).logical_and_(mask.narrow(dim, step, size - step))
            found.narrow(dim, step, size - step).logical_and_(mask.narrow(dim, 0, size - step))
        mask = found
    return mask
