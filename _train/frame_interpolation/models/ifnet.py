"""Intermediate flow: motion is estimated at the new frame; both frames are warped backward along it and mixed.

`IFNet` is the network of RIFE 4.6 (Huang et al., Real-Time Intermediate Flow Estimation for Video Frame Interpolation,
ECCV 2022; Practical-RIFE): four blocks from coarse to fine. Each sees both frames warped along the motion so far, and
corrects the motion and the mask that mixes the warped frames.

    frame0, frame1 (b, 3, h, w), t  →  frame (b, 3, h, w), motion (b, 4, h, w), mask (b, 1, h, w)

The time is an input plane, so it may differ per pixel: the fraction of the way from frame 0 to frame 1 that the content
at the pixel has covered (distance indexing; Zhong et al., Clearer Frames, Anytime, ECCV 2024).

Attribute names follow the published weights.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models.layers import StridedConv2d, dtype_of, pad
from _util.flow import backwarp

SCALES = (8, 4, 2, 1)
_SLOPE = 0.2
_STRIDE = 4  # of a block's convolutions
_LARGEST_SIDE = 800  # largest shorter side at which blocks use their default scales; coarser above


class Interpolation(NamedTuple):
    """A frame and what it was made from."""

    frame: Tensor  # (b, 3, h, w) RGB in [0, 1]
    motion: Tensor  # (b, 4, h, w) x y to frame 0, x y to frame 1, pixels
    mask: Tensor  # (b, 1, h, w) logits of frame 0's share


class FramePyramid(NamedTuple):
    """A pair of frames, padded to sides that the blocks can divide, and reduced to the size that each block reads."""

    frames: Tensor  # (2, b, 3, H, W)
    seen: Tensor | None  # (2, b, 3, H, W), the frames to estimate motion from, if different
    levels: list[Tensor]  # (2, b, 3, ≥ H / r, ≥ W / r), the same, reduced, then padded
    reductions: list[int]  # r of each level
    size: tuple[int, int]  # (h, w) before padding
    static_limit: Tensor | None = None  # (b, 1, h, w) of `mixing.static_limit`, where that is used


def coarseness(size: Sequence[int]) -> int:
    """The factor, a power of 2, by which blocks work coarser on a frame of (h, w) than at 540 lines.

    Keeps the reach of the motion, as a fraction of the frame, about constant: 1 up to 800 lines, 2 up to 1600, 4 at 4K.
    """
    factor = 1
    while min(size) > _LARGEST_SIDE * factor:
        factor *= 2
    return factor


def rife_coarseness(size: Sequence[int]) -> int:
    """The same factor as RIFE's players choose it: 2 above 1088 lines, 4 from 2160 lines (4K)."""
    return 1 if min(size) <= 1088 else 2 if min(size) < 2160 else 4


class ResidualConv(nn.Module):
    """A 3×3 convolution with per-channel scale, added to its input, then leaky ReLU."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.beta = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu_(torch.addcmul(x, self.conv(x), self.beta), _SLOPE)

    def folded(self) -> nn.Module:
        """The same with the scale and the residual connection folded into the convolution, for inference."""
        conv = copy.deepcopy(self.conv).requires_grad_(False)
        scale, middle = self.beta.detach().flatten(), torch.arange(len(conv.weight))
        conv.weight *= scale.view(-1, 1, 1, 1)
        conv.weight[middle, middle, 1, 1] += 1
        assert conv.bias is not None
        conv.bias *= scale
        return nn.Sequential(conv, nn.LeakyReLU(_SLOPE, inplace=True))


class Block(nn.Module):
    """Corrects motion and mask at one scale.

    Args:
        in_channels: of the input, motion included.
        channels: inside the block.
        depth: number of residual convolutions.
    """

    def __init__(self, in_channels: int, channels: int, depth: int):
        super().__init__()

        def halve(i: int, o: int) -> nn.Sequential:
            return nn.Sequential(StridedConv2d(i, o, 3, stride=2, padding=1), nn.LeakyReLU(_SLOPE, inplace=True))

        self.conv0 = nn.Sequential(halve(in_channels, channels // 2), halve(channels // 2, channels))
        self.convblock = nn.Sequential(*(ResidualConv(channels) for _ in range(depth)))
        self.lastconv = nn.Sequential(nn.ConvTranspose2d(channels, 4 * 6, 4, stride=2, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor, scale: int) -> tuple[Tensor, Tensor]:
        """Map images (b, c, h / scale, w / scale), with motion in pixels of that size, to the corrections of the motion
        (b, 4, h, w), in pixels of the full size, and of the mask (b, 1, h, w)."""
        inner = x.to(dtype_of(self.conv0), memory_format=torch.channels_last)
        change = self.lastconv(self.convblock(self.conv0(inner)))[:, :5]
        change = change.to(x.dtype, memory_format=torch.contiguous_format)
        if scale == 1:
            return change[:, :4], change[:, 4:]
        change = F.interpolate(change, scale_factor=scale, mode="bilinear", align_corners=False)
        return change[:, :4] * scale, change[:, 4:]


class IFNet(nn.Module):
    """RIFE 4.6's intermediate flow network, 5,306,256 parameters with the published widths and depths.

    Args:
        widths: channels of the blocks, coarsest first; with fewer than four, the finest are omitted.
        depths: number of residual convolutions of each block.
    """

    # Whether frames are reduced to the scale of each block before they are warped, rather than after, as published.
    # Before is about as accurate with the published weights, and a third faster.
    reduces_before_warping = False

    def __init__(self, widths: tuple[int, ...] = (192, 128, 96, 64), depths: tuple[int, ...] = (8, 8, 8, 8)):
        super().__init__()
        self.scales = SCALES[: len(widths)]
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            setattr(self, f"block{i}", Block(7 if i == 0 else 12, width, depth))

    def fold(self) -> Self:
        """Fold constants into convolutions, in place, for inference in fp32; in half precision it costs accuracy."""
        for block in self.blocks:
            block.convblock = nn.Sequential(*(cast(ResidualConv, conv).folded() for conv in block.convblock))
        return self

    def trim(self) -> Self:
        """Remove the sixth of the outputs of each block that is not used, in place, for inference."""
        for block in self.blocks:
            conv = cast(nn.ConvTranspose2d, block.lastconv[0])
            conv.out_channels = 4 * 5
            conv.weight = nn.Parameter(conv.weight.detach()[:, : conv.out_channels].clone(), requires_grad=False)
            assert conv.bias is not None
            conv.bias = nn.Parameter(conv.bias.detach()[: conv.out_channels].clone(), requires_grad=False)
        return self

    @property
    def blocks(self) -> list[Block]:
        return [getattr(self, f"block{i}") for i in range(len(self.scales))]

    def forward(
        self, frame0: Tensor, frame1: Tensor, t: float | Tensor = 0.5, coarser: int | None = None
    ) -> Interpolation:
        """Interpolate at time t.

        Args:
            frame0, frame1: (b, 3, h, w) RGB in [0, 1].
            t: time in (0, 1): one for all, (b,), or (b, 1, h, w) per pixel; or (n,) for a single pair.
            coarser: factor by which the blocks work coarser than at their default scales; by default `coarseness` of
                the frame.
        """
        return self.synthesise(self.prepare(frame0, frame1, coarser), t)

    def prepare(
        self, frame0: Tensor, frame1: Tensor, coarser: int | None = None, seen: tuple[Tensor, Tensor] | None = None
    ) -> FramePyramid:
        """Compute what does not depend on the time; arguments as in `forward`.

        Args:
            seen: two frames (b, 3, h, w) to estimate motion from; by default frame0 and frame1.
        """
        h, w = frame0.shape[2:]
        scales = [scale * (coarser or coarseness((h, w))) for scale in self.scales]
        multiple = scales[0] if self.reduces_before_warping else _STRIDE * scales[0]

        def padded(pair: tuple[Tensor, Tensor]) -> Tensor:
            return pad(torch.stack(pair).flatten(0, 1), multiple).unflatten(0, (2, -1))

        frames = padded((frame0, frame1))
        seen = seen or (frame0, frame1)
        is_same = seen[0] is frame0 and seen[1] is frame1
        others = None if is_same else padded(seen)
        flat = (frames if others is None else others).flatten(0, 1)
        reductions = scales if self.reduces_before_warping else [scales[0], *(1 for _ in scales[1:])]
        levels = [pad(shrink(flat, reduction), _STRIDE).unflatten(0, (2, -1)) for reduction in reductions]
        return FramePyramid(frames, others, levels, reductions, (h, w))

    def synthesise(self, prepared: FramePyramid, t: float | Tensor) -> Interpolation:
        """The frame at time t from what `prepare` returned."""
        motion, mask = self.stages(prepared, t)[-1]
        read0, read1 = warp_both(prepared.frames, motion)
        h, w = prepared.size
        frame = read1.lerp(read0, torch.sigmoid(mask))
        return Interpolation(*(x[:, :, :h, :w] for x in (frame, motion, mask)))

    def stages(self, prepared: FramePyramid, t: float | Tensor) -> list[tuple[Tensor, Tensor]]:
        """Motion (b, 4, ·, ·) and mask (b, 1, ·, ·) after each block, the last at the size that its block reads, others
        at that of the next block. Motion is in pixels of that size."""
        levels, reductions = prepared.levels, prepared.reductions
        planes = time_planes(t, prepared)
        stages: list[tuple[Tensor, Tensor]] = []
        for i, (block, images, plane) in enumerate(zip(self.blocks, levels, planes, strict=True)):
            if not stages:
                both = torch.cat([*images], 1).expand(len(plane), -1, -1, -1)
                motion, mask = block(torch.cat([both, plane], 1), 1)
            else:
                motion, mask = stages[-1]
                within = reductions[0] // 2**i // reductions[i]  # the block's scale relative to its input
                seen = [*warp_both(images, motion), plane, mask, motion if within == 1 else motion / within]
                change, change_of_mask = block(shrink(torch.cat(seen, 1), within), within)
                motion, mask = motion + change, mask + change_of_mask
            if i + 1 < len(levels):
                motion, mask = enlarge(motion, mask, reductions[i] // reductions[i + 1], levels[i + 1].shape[-2:])
            stages.append((motion, mask))
        return stages


def time_planes(t: float | Tensor, prepared: FramePyramid) -> list[Tensor]:
    """Expand times to (b, 1, ·, ·) of the size of each level; maps are reduced like the frames."""
    if not isinstance(t, Tensor) or t.dim() < 4:
        return [time_plane(t, level) for level in prepared.levels]
    full = time_plane(t, prepared.frames)
    return [pad(shrink(full, reduction), _STRIDE) for reduction in prepared.reductions]


def time_plane(t: float | Tensor, frames: Tensor) -> Tensor:
    """Expand times to (b, 1, H, W); maps of the unpadded size are padded like the frames (2, b, 3, H, W)."""
    b, (h, w) = frames.shape[1], frames.shape[-2:]
    if not isinstance(t, Tensor):
        return frames.new_full((1, 1, 1, 1), t).expand(b, 1, h, w)
    if t.dim() < 4:
        t = t.to(frames).view(-1, 1, 1, 1)
        return t.expand(max(b, len(t)), 1, h, w)
    down, right = h - t.shape[2], w - t.shape[3]
    return F.pad(t.to(frames), (0, right, 0, down), mode="replicate")


def warp_both(frames: Tensor, motion: Tensor, mode: str = "bilinear") -> tuple[Tensor, Tensor]:
    """Warp both frames (2, b, c, h, w) backward along motion (n, 4, h, w), to (n, c, h, w) each; n is b, or b is 1."""
    n = len(motion)
    frame0, frame1 = (frame.expand(n, -1, -1, -1) for frame in frames)
    to0, to1 = motion.split(2, 1)
    return backwarp(frame0, to0, False, mode), backwarp(frame1, to1, False, mode)


def shrink(image: Tensor, scale: int) -> Tensor:
    """Reduce (b, c, h, w) to (b, c, h / scale, w / scale), bilinearly: the mean of each cell's four central pixels.

    Args:
        scale: 1, or an even number that divides both sides.
    """
    if scale == 1:
        return image
    middle = scale // 2
    rows = image[:, :, middle - 1 :: scale] + image[:, :, middle::scale]
    return (rows[:, :, :, middle - 1 :: scale] + rows[:, :, :, middle::scale]).mul_(0.25)


def enlarge(motion: Tensor, mask: Tensor, factor: int, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Enlarge motion and mask, and crop them to (h, w) = `size`; motion is scaled to pixels of the new size."""
    if factor != 1:
        both = torch.cat([motion * factor, mask], 1)
        both = F.interpolate(both, scale_factor=factor, mode="bilinear", align_corners=False)
        motion, mask = both[:, :4], both[:, 4:]
    h, w = size
    return motion[:, :, :h, :w], mask[:, :, :h, :w]
