"""Intermediate flow, and a network at full size that mixes and corrects what is read along it.

`IFNet` finds the motion at the new frame. Both frames are read along it with a bicubic kernel, which keeps lines sharp,
and `Refiner`, a small U-Net, sees both readings and both frames, decides anew which reading to trust, and corrects
their mixture in logits, so that black and white stay what they are. What rests in both frames is taken from them as it
is.

    frame0, frame1 (b, 3, h, w), t  →  frame (b, 3, h, w), motion (b, 4, h, w), mask (b, 1, h, w)

`RefinedIFNet.prepare` does what does not depend on the time, `RefinedIFNet.synthesise` the rest.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models import ifnet
from _train.frame_interpolation.models.ifnet import IFNet, Interpolation
from _util.image import inverse_logit, logit

_SLOPE = 0.2
_ALIKE = 1.5 / 255  # difference of colours up to which frames agree
_RESTING = 0.5  # pixels of motion up to which what agrees rests
_AROUND = 2  # pixels to each side within which frames must agree
_FAR = 64  # pixels of motion that the refiner sees as 1


class Prepared(NamedTuple):
    """A pair of frames as `IFNet` prepares it, and where both frames agree."""

    pair: ifnet.Prepared
    agreement: Tensor  # (b, 1, H, W) 1 where the colours around a pixel are the same in both frames


class Residual(nn.Module):
    """x + conv(LeakyReLU(conv(x))), then LeakyReLU; without effect when new."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv1.weight)
        nn.init.zeros_(self.conv1.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.conv1(F.leaky_relu(self.conv0(x), _SLOPE)), _SLOPE)


class Refiner(nn.Module):
    """A U-Net from full size down to 1/8, which gives 4 channels at full size, 0 when new.

    Args:
        in_channels: at full size.
        widths: channels at 1/2, 1/4 and 1/8.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...] = (24, 48, 64)):
        super().__init__()
        self.down = nn.ModuleList(
            nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in zip((in_channels, *widths), widths, strict=False)
        )
        self.before = nn.ModuleList(Residual(width) for width in widths)
        self.up = nn.ModuleList(nn.Conv2d(i, 4 * o, 1) for o, i in pairwise(widths))
        self.after = nn.ModuleList(Residual(width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], 16, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w), sides multiples of 8, to (b, 4, h, w)."""
        dtype, skips = x.dtype, []
        x = x.to(self.head.weight.dtype, memory_format=torch.channels_last)
        for down, before in zip(self.down, self.before, strict=True):
            x = before(F.leaky_relu(down(x), _SLOPE))
            skips.append(x)
        x = skips.pop()
        for up, after in zip(reversed(self.up), reversed(self.after), strict=True):
            x = after(F.pixel_shuffle(up(x), 2) + skips.pop())
        return F.pixel_shuffle(self.head(x), 2).to(dtype)


FAST = {"widths": (192, 128, 64), "depths": (8, 8, 6), "refiner_widths": ()}  # arguments of the small network


class RefinedIFNet(nn.Module):
    """IFNet that reads small, and a refiner.

    Args:
        widths, depths: of `IFNet`.
        refiner_widths: of `Refiner`; none: readings are mixed as the motion network says.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = ifnet.PUBLISHED_WIDTHS,
        depths: tuple[int, ...] = ifnet.PUBLISHED_DEPTHS,
        refiner_widths: tuple[int, ...] = (24, 48, 64),
    ):
        super().__init__()
        self.ifnet = IFNet(widths, depths, reads_small=True)
        self.refiner = Refiner(3 * 3 + 2 * 3 + 4 + 2, refiner_widths) if refiner_widths else None

    def forward(
        self, frame0: Tensor, frame1: Tensor, t: float | Tensor = 0.5, coarser: int | None = None
    ) -> Interpolation:
        """Interpolate at time t; arguments as of `IFNet.forward`."""
        return self.synthesise(self.prepare(frame0, frame1, coarser), t)

    def prepare(
        self,
        frame0: Tensor,
        frame1: Tensor,
        coarser: int | None = None,
        seen: tuple[Tensor, Tensor] | None = None,
    ) -> Prepared:
        """What does not depend on the time; arguments as of `IFNet.prepare`."""
        pair = self.ifnet.prepare(frame0, frame1, coarser, seen)
        alike = ((pair.frames[0] - pair.frames[1]).abs() <= _ALIKE).all(1, keepdim=True)
        return Prepared(pair, _around(alike).to(frame0.dtype))

    def synthesise(self, prepared: Prepared, t: float | Tensor) -> Interpolation:
        """The frame at time t from what `prepare` returned."""
        return self.refine(prepared, t, *self.ifnet.stages(prepared.pair, t)[-1])

    def refine(self, prepared: Prepared, t: float | Tensor, motion: Tensor, mask: Tensor) -> Interpolation:
        """The frame at time t along a motion (b, 4, H, W), mixed by a mask (b, 1, H, W) to begin with."""
        frames = prepared.pair.frames
        moves = 1 - prepared.agreement * (motion.abs().amax(1, keepdim=True) < _RESTING)
        motion = motion * moves
        read0, read1 = (x.clamp(0, 1) for x in ifnet.read(frames, motion, "bicubic"))
        n = len(motion)
        mixture = read1.lerp(read0, torch.sigmoid(mask))
        if self.refiner is None:
            return _cropped(prepared, mixture, motion, mask)
        images = torch.cat([mixture, read0, read1, *(frame.expand(n, -1, -1, -1) for frame in frames)], 1) - 0.5
        time = ifnet.time_plane(t, frames)
        change = self.refiner(torch.cat([images, motion / _FAR, mask / 4, time], 1))
        mask = mask + change[:, 3:]
        mixture = read1.lerp(read0, torch.sigmoid(mask))
        return _cropped(prepared, inverse_logit(logit(mixture) + moves * change[:, :3]), motion, mask)


def _cropped(prepared: Prepared, *images: Tensor) -> Interpolation:
    h, w = prepared.pair.size
    return Interpolation(*(image[:, :, :h, :w] for image in images))


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
