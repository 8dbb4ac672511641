"""IFNet for animation: keeps lines sharp and static areas still, and is faster than the published network.

Blocks read frames that are reduced to their scale. Both frames are sampled along the motion with a kernel slightly
sharper than bicubic, so that lines keep their contrast. Areas that are static in both frames are copied.
Motion is placed on the straight line between the frames, in proportion to the time: the network alone places it some
tenths of a pixel too close to the nearer frame, which makes motion uneven over time.

    frame0, frame1 (b, 3, h, w), t  →  frame (b, 3, h, w), motion (b, 4, h, w), mask (b, 1, h, w)

The state dict has the published names, so published weights fit too.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.models.ifnet import (
    FramePyramid,
    IFNet,
    Interpolation,
    enlarge_to_frames,
    time_planes,
    warp_both,
)

_ALIKE = 1.5 / 255  # difference of colours up to which frames agree
_NEAR, _FAR = 2, 32  # pixels to each side within which frames must agree, at least and at most
_STATIC = 0.5  # pixels of motion below which pixels that agree are at rest
_KERNEL = 2  # pixels to each side that the sampling kernel reads
_CELL = 4  # side of the cells that motion is straightened in, pixels; corrections are averaged over 3×3 cells
_STRAY = 0.7  # pixels of deviation corrected in full; from about 1 on, it is intended or an error, and is kept


class SharpIFNet(IFNet):
    """IFNet with a sharp sampling kernel, still where the frames are still, and with motion that is even over time."""

    reduces_before_warping = True

    def synthesise(self, prepared: FramePyramid, t: float | Tensor) -> Interpolation:
        """The frame at time t from what `prepare` returned."""
        h, w = prepared.size
        motion, mask = self.stages(prepared, t)[-1]
        motion = straightened(motion, time_planes(t, prepared)[-1])
        motion, mask = enlarge_to_frames(prepared, motion, mask)
        seen = None if prepared.seen is None else prepared.seen[..., :h, :w]
        return mix(
            *(x[..., :h, :w] for x in (prepared.frames, motion, mask)), coarser=prepared.reductions[-1], seen=seen
        )


def straightened(motion: Tensor, time: Tensor) -> Tensor:
    """Straighten motion, so that its ends lie on opposite sides of each pixel, in the ratio of the times to them.

    Only deviations of a fraction of a pixel are corrected, by the same amount at both ends, so that they still match.

    Args:
        motion: (n, 4, h, w) x y to frame 0, x y to frame 1, pixels; h and w are multiples of 4.
        time: (n, 1, h, w) in [0, 1].
    """
    to0, to1 = motion.split(2, 1)
    stray = F.avg_pool2d(to0.lerp(to1, time), _CELL)
    share = (2 - stray.square().sum(1, keepdim=True) / _STRAY**2).clamp(0, 1)
    stray = F.avg_pool2d(stray * share, 3, 1, 1, count_include_pad=False)
    stray = F.interpolate(stray, motion.shape[2:], mode="bilinear", align_corners=False)
    return (motion.unflatten(1, (2, 2)) - stray[:, None]).flatten(1, 2)


def mix(frames: Tensor, motion: Tensor, mask: Tensor, coarser: int = 1, seen: Tensor | None = None) -> Interpolation:
    """Warp both frames along the motion and mix them; pixels at rest are not moved.

    Args:
        frames: (2, b, 3, h, w).
        motion: (n, 4, h, w); n is b, or b is 1.
        mask: (n, 1, h, w) logits of frame 0's share.
        coarser: the factor by which the finest block worked coarser than the frames; motion spreads that much further.
        seen: (2, b, 3, h, w), the frames that motion was estimated from, which tell what rests; `frames` by default.
    """
    is_static = _is_static(frames if seen is None else seen, motion, coarser)
    motion = motion * (~is_static).to(motion.dtype)  # faster than by a mask
    read0, read1 = warp_both(frames, motion, "sharp")
    frame = read1.addcmul(torch.sigmoid(mask), read0 - read1)
    return Interpolation(frame.clamp_(0, 1), motion, mask)


def _is_static(frames: Tensor, motion: Tensor, coarser: int) -> Tensor:
    """Map frames (2, b, 3, h, w) and motion (n, 4, h, w) to (n, 1, h, w): whether each pixel is at rest.

    It is where the frames agree in a window around it and motion is small, or large but samples only that window: such
    motion has spread from something that moves nearby. Windows are `_NEAR` pixels to each side, twice that, and so on.
    """
    h, w = motion.shape[2:]
    length = motion.abs().amax(1, keepdim=True)
    difference = (frames[0] - frames[1]).abs_().amax(1, keepdim=True)
    farthest = _FAR * coarser
    agree, side = F.pad(difference, 4 * [farthest]) <= _ALIKE, 1  # the side of windows, whose corners these are
    radius, is_static = _NEAR, length.new_zeros(1, dtype=torch.bool)
    while radius <= farthest:
        while side < 2 * radius + 1:
            step = min(side, 2 * radius + 1 - side)
            agree = agree[..., step:, :] & agree[..., :-step, :]
            agree = agree[..., step:] & agree[..., :-step]
            side += step
        within = farthest - radius
        centres = agree[..., within : within + h, within : within + w]
        is_static = is_static | centres & (length < (_STATIC if radius == _NEAR else radius - _KERNEL))
        radius *= 2
    return is_static
