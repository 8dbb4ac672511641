"""IFNet that draws what animation is made of, sharp lines and what rests, and is faster than the published one.

Blocks read frames that were reduced to their scale. Both frames are read along the motion with a bicubic kernel, which
keeps lines sharp. What rests in both frames is taken from them as it is.

    frame0, frame1 (b, 3, h, w), t  →  frame (b, 3, h, w), motion (b, 4, h, w), mask (b, 1, h, w)

The state dict has the published names, so published weights fit too.
"""

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


class SharpIFNet(IFNet):
    """IFNet read with a bicubic kernel, and still where frames are.

    Args:
        widths, depths: of `IFNet`.
    """

    def __init__(self, widths: tuple[int, ...] = PUBLISHED_WIDTHS, depths: tuple[int, ...] = PUBLISHED_DEPTHS):
        super().__init__(widths, depths, reads_small=True)

    def synthesise(self, prepared: FramePyramid, t: float | Tensor) -> Interpolation:
        """The frame at time t from what `prepare` returned."""
        h, w = prepared.size
        drawn = mix(prepared.frames, *self.stages(prepared, t)[-1])
        return Interpolation(*(image[:, :, :h, :w] for image in drawn))


def mix(frames: Tensor, motion: Tensor, mask: Tensor) -> Interpolation:
    """Both frames read along a motion and mixed; what rests is left where it is.

    Args:
        frames: (2, b, 3, h, w).
        motion: (n, 4, h, w); n is b, or b is 1.
        mask: (n, 1, h, w) logits of frame 0's share.
    """
    rests = _agreement(frames) & (motion.abs().amax(1, keepdim=True) < _RESTING)
    motion = motion * ~rests
    read0, read1 = read(frames, motion, "bicubic")
    frame = read1.addcmul(torch.sigmoid(mask), read0 - read1)
    return Interpolation(frame.clamp(0, 1), motion, mask)


def _agreement(frames: Tensor) -> Tensor:
    """(2, b, 3, h, w) to (b, 1, h, w): whether the colours around a pixel are the same in both frames."""
    return _around((frames[0] - frames[1]).abs_().amax(1, keepdim=True) <= _ALIKE)


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
