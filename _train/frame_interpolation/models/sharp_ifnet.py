"""IFNet that draws what animation is made of, sharp lines and what rests, and is faster than the published one.

Blocks read frames that were reduced to their scale. Both frames are sampled along the motion with a kernel that is a
little sharper than the bicubic one, so that lines keep their width and contrast. What is at rest in both frames is
copied from them. Motion is placed on the straight line from one frame to the other, in proportion to the time: the
network alone places it some tenths of a pixel too close to the nearer frame, so that it would be uneven over time.

    frame0, frame1 (b, 3, h, w), t  →  frame (b, 3, h, w), motion (b, 4, h, w), mask (b, 1, h, w)

The state dict has the published names, so published weights fit too.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.models.ifnet import (
    PUBLISHED_DEPTHS,
    PUBLISHED_WIDTHS,
    FramePyramid,
    IFNet,
    Interpolation,
    read,
    time_plane,
)

_ALIKE = 1.5 / 255  # difference of colours up to which frames agree
_RESTING = 0.5  # pixels of motion up to which what agrees rests
_AROUND = 2  # pixels to each side within which frames must agree
_CELL = 4  # pixels, the side of the cells in which motion is straightened; the means of 3×3 of them
_STRAY = 0.7  # pixels up to which motion is straightened in full; from 1 on it is not: it is meant, or found wrong


class SharpIFNet(IFNet):
    """IFNet read with a sharp kernel, still where frames are, and even over time.

    Args:
        widths, depths: of `IFNet`.
    """

    def __init__(self, widths: tuple[int, ...] = PUBLISHED_WIDTHS, depths: tuple[int, ...] = PUBLISHED_DEPTHS):
        super().__init__(widths, depths, reads_small=True)

    def synthesise(self, prepared: FramePyramid, t: float | Tensor) -> Interpolation:
        """The frame at time t from what `prepare` returned."""
        h, w = prepared.size
        motion, mask = self.stages(prepared, t)[-1]
        coarser = prepared.frames.shape[-1] // prepared.levels[-1].shape[-1]
        motion = straightened(motion, time_plane(t, prepared.frames), coarser)
        drawn = mix(prepared.frames, motion, mask)
        return Interpolation(*(image[:, :, :h, :w] for image in drawn))


def straightened(motion: Tensor, time: Tensor, coarser: int = 1) -> Tensor:
    """Motion whose two ends lie on opposite sides of each pixel, in the ratio of the times to them.

    Only what is off by a fraction of a pixel is changed, by as much at both ends, so that they still fit one another.

    Args:
        motion: (n, 4, h, w) x y to frame 0, x y to frame 1, pixels.
        time: (n, 1, h, w) in [0, 1].
        coarser: how many times coarser than usual it was found; h and w are multiples of 4 times that.
    """
    to0, to1 = motion.split(2, 1)
    stray = F.avg_pool2d(to0.lerp(to1, time), _CELL * coarser)
    share = (2 - stray.square().sum(1, keepdim=True) / (_STRAY * coarser) ** 2).clamp(0, 1)
    stray = F.avg_pool2d(stray * share, 3, 1, 1, count_include_pad=False)
    stray = F.interpolate(stray, motion.shape[2:], mode="bilinear", align_corners=False)
    return (motion.unflatten(1, (2, 2)) - stray[:, None]).flatten(1, 2)


def mix(frames: Tensor, motion: Tensor, mask: Tensor) -> Interpolation:
    """Both frames read along a motion and mixed; what rests is left where it is.

    Args:
        frames: (2, b, 3, h, w).
        motion: (n, 4, h, w); n is b, or b is 1.
        mask: (n, 1, h, w) logits of frame 0's share.
    """
    rests = _agreement(frames) & (motion.abs().amax(1, keepdim=True) < _RESTING)
    motion = motion * ~rests
    read0, read1 = read(frames, motion, "sharp")
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
