"""IFNet for animation: keeps lines sharp and static areas still, and is faster than the published network.

Blocks read frames that are reduced to their scale. Both frames are sampled along the motion with a kernel slightly
sharper than bicubic, so that lines keep their contrast. Areas that are static in both frames are copied.
Motion is placed on the straight line between the frames, in proportion to the time: the network alone places it some
tenths of a pixel too close to the nearer frame, which makes motion uneven over time. At times closer to a frame than
1/6, at which it places things as at 1/10, motion is continued from what it finds at 1/6.

    frame0, frame1 (b, 3, h, w), t  →  frame (b, 3, h, w), motion (b, 4, h, w), mask (b, 1, h, w)

The state dict has the published names, so published weights fit too.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.models.ifnet import FramePyramid, IFNet, Interpolation, time_planes
from _train.frame_interpolation.models.mixing import mix, static_limit

_CELL = 4  # side of the cells that motion is straightened in, pixels; corrections are averaged over 3×3 cells
_STRAY = 0.7  # pixels of deviation corrected in full; from about 1 on, it is intended or an error, and is kept
_LEAST_SHARE = 1e-3  # of the farther frame, at its time
_EARLIEST = 1 / 6  # time from which on the network knows where things are, until 1 - 1 / 6


class SharpIFNet(IFNet):
    """IFNet with a sharp sampling kernel, still where the frames are still, and with motion that is even over time."""

    reduces_before_warping = True

    def prepare(
        self, frame0: Tensor, frame1: Tensor, coarser: int | None = None, seen: tuple[Tensor, Tensor] | None = None
    ) -> FramePyramid:
        prepared = super().prepare(frame0, frame1, coarser, seen)
        limit = static_limit(*(seen or (frame0, frame1)), prepared.reductions[-1])
        return prepared._replace(static_limit=limit)

    def synthesise(self, prepared: FramePyramid, t: float | Tensor) -> Interpolation:
        """The frame at time t from what `prepare` returned."""
        h, w = prepared.size
        known = _clamped(t)
        motion, mask = self.stages(prepared, known)[-1]
        time = time_planes(known, prepared)[-1]
        motion = straightened(motion, time)
        if known is not t:
            motion, mask = continued(motion, mask, time, time_planes(t, prepared)[-1])
        assert prepared.static_limit is not None
        return mix(prepared.frames[..., :h, :w], motion, mask, prepared.static_limit, prepared.reductions[-1])


def _clamped(t: float | Tensor) -> float | Tensor:
    """The time nearest to t at which motion is estimated; a number that is one already is returned as it is."""
    if isinstance(t, Tensor):
        return t.clamp(_EARLIEST, 1 - _EARLIEST)
    return t if _EARLIEST <= t <= 1 - _EARLIEST else min(max(t, _EARLIEST), 1 - _EARLIEST)


def continued(motion: Tensor, mask: Tensor, known: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Continue motion and mask from the times that they were estimated at to times nearer to a frame.

    Deviations from the straight line vanish towards the frame, with the square of the distance in time.

    Args:
        motion: (n, 4, h, w) x y to frame 0, x y to frame 1, pixels.
        mask: (n, 1, h, w) logits of frame 0's share.
        known, time: (n, 1, h, w) in (0, 1) and in [0, 1], the times of both and those to continue to.
    """
    to0, to1 = motion.split(2, 1)
    deviation = to0.lerp(to1, known)
    nearness = torch.minimum(time / known, (1 - time) / (1 - known))
    change = (known - time) * (to1 - to0) - (1 - nearness.square()) * deviation
    share = torch.logit(known, _LEAST_SHARE) - torch.logit(time, _LEAST_SHARE)
    return (motion.unflatten(1, (2, 2)) + change[:, None]).flatten(1, 2), mask + share


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
