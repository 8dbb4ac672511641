"""A family of U-Nets (Ronneberger et al., MICCAI 2015) that interpolate in two steps: flow, then the frame.

`FlowUNet`   two frames                   →  the flow between them, in both directions
`FrameUNet`  two frames, that flow, time  →  the frame at that time

Each comes in three variants, which differ in the blocks of their levels:

    unet        encoder: downsampling convolution, two more; decoder: upsampling, two convolutions
    resunet     encoder: downsampling convolution, residual block, attention guided by a mask of what moves
                decoder: upsampling, residual block, attention
    transunet   as unet, with transformer layers at the bottleneck (TransUNet, Chen et al., 2021)

Both unshuffle pictures into blocks of 2×2 pixels, so their finest level is at half the size. At initialisation,
FlowUNet predicts zero flow and FrameUNet cross-fades the two splatted frames. Any size is accepted; frames are padded
internally, by replication, to a multiple that the levels need.
"""

import itertools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models.layers import StridedConv2d, dtype_of, pad, zeroed
from _train.frame_interpolation.models.splatting import (
    SplatSource,
    SplattedPair,
    SplattingNetwork,
    Synthesis,
    at_times,
    half_warp,
    halves,
    length,
    splat_metric,
    times_of,
)
from _util.flow import Flows, backwarp
from _util.flow import resize as resize_flow
from _util.image import logit

Variant = Literal["unet", "resunet", "transunet"]
VARIANTS = ("unet", "resunet", "transunet")
_CHANNELS_OF_MATCHING = 16
_REACH = 3  # radius of the cost volume, in pixels of each level
_UNIT = 8.0  # unit of flow inside the network, in pixels
_HEADS = 4
_MOVES = slice(8, 9)  # the channel of FrameUNet's input that tells what moves
_LAYERS = 4


def convolution(i: int, o: int, stride: int = 1) -> nn.Sequential:
    convolved = StridedConv2d(i, o, 3, stride, padding=1)
    nn.init.kaiming_normal_(convolved.weight, nonlinearity="relu")  # the default initialisation makes features vanish
    assert convolved.bias is not None
    nn.init.zeros_(convolved.bias)
    return nn.Sequential(convolved, nn.ReLU(inplace=True))


class ResidualBlock(nn.Module):
    """ReLU(x + conv(ReLU(conv(x)))), with a 1×1 convolution of x if the number of channels changes."""

    def __init__(self, i: int, o: int):
        super().__init__()
        self.net = nn.Sequential(convolution(i, o), nn.Conv2d(o, o, 3, padding=1))
        self.shortcut = nn.Identity() if i == o else nn.Conv2d(i, o, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.net(x))


class ChannelAttention(nn.Module):
    """Scales channels by 0 to 2, given their spatial means (Hu et al., CVPR 2018). The identity at initialisation."""

    def __init__(self, channels: int, summaries: int = 1):
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Linear(summaries * channels, channels // 4), nn.ReLU(inplace=True), nn.Linear(channels // 4, channels)
        )
        zeroed(self.weigh[2])

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """`x`: features (b, c, h, w); `others`: further summaries of them (b, c)."""
        summary = torch.cat([x.mean((2, 3)), *others], 1)
        return x * (2 * self.weigh(summary).sigmoid())[:, :, None, None]


class MaskAttention(nn.Module):
    """Channel attention from the means over all pixels and over moving ones, then spatial attention from the mean and
    maximum over channels and the mask (CBAM, Woo et al., ECCV 2018, with a mask). The identity at initialisation."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = ChannelAttention(channels, summaries=2)
        self.places = nn.Conv2d(3, 1, 7, padding=3)
        zeroed(self.places)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Features (b, c, h, w) and a mask (b, 1, h, w) in [0, 1]."""
        moving = (x * mask).mean((2, 3)) / (mask.mean((2, 3)) + 1e-3)
        x = self.channels(x, moving)
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True), mask], 1)
        return x * (2 * self.places(seen).sigmoid())


class EncoderLevel(nn.Module):
    """Maps features (b, i, h, w) to (b, o, h/stride, w/stride)."""

    def __init__(self, variant: Variant, i: int, o: int, stride: int):
        super().__init__()
        self.reduce = convolution(i, o, stride)
        is_residual = variant == "resunet"
        self.block = ResidualBlock(o, o) if is_residual else nn.Sequential(convolution(o, o), convolution(o, o))
        self.attention = MaskAttention(o) if is_residual else None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`mask`: (b, 1, H, W) in [0, 1] at any size, used by attention alone."""
        x = self.block(self.reduce(x))
        if self.attention is None:
            return x
        return self.attention(x, F.interpolate(mask, x.shape[2:], mode="area"))


class DecoderLevel(nn.Module):
    """Maps features of the coarser level (b, i, h, w) and a skip connection (b, s, 2h, 2w) to (b, o, 2h, 2w)."""

    def __init__(self, variant: Variant, i: int, skip: int, o: int):
        super().__init__()
        if variant == "resunet":
            self.block = nn.Sequential(ResidualBlock(i + skip, o), ChannelAttention(o))
        else:
            self.block = nn.Sequential(convolution(i + skip, o), convolution(o, o))

    def forward(self, x: Tensor | None, skip: Tensor) -> Tensor:
        """`x` is None at the coarsest level, if that also has a decoder."""
        if x is None:
            return self.block(skip)
        return self.block(torch.cat([F.interpolate(x, skip.shape[2:], mode="nearest"), skip], 1))


class TransformerLayer(nn.Module):
    """Self-attention over all positions, then a perceptron at each, both with residual connections."""

    def __init__(self, channels: int):
        super().__init__()
        # Encodes positions at any picture size (conditional positional encoding, Chu et al., ICLR 2023).
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv, self.project = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.perceptron = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        tokens = (x + self.position(x)).flatten(2).transpose(1, 2)  # (b, places, c)
        q, k, v = self.qkv(self.norm1(tokens)).view(b, h * w, 3, _HEADS, c // _HEADS).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        tokens = tokens + self.project(attended)
        tokens = tokens + self.perceptron(self.norm2(tokens))
        return tokens.transpose(1, 2).view(b, c, h, w)


class FrameEncoder(nn.Module):
    """Maps (b, i, h, w) to features at 1/2, 1/4, … of the size, one level per entry of `channels`."""

    def __init__(self, variant: Variant, i: int, channels: tuple[int, ...]):
        super().__init__()
        ins = (4 * i, *channels)
        self.levels = nn.ModuleList(
            EncoderLevel(variant, ins[n], o, stride=2 if n else 1) for n, o in enumerate(channels)
        )
        layers = _LAYERS if variant == "transunet" else 0
        self.bottleneck = nn.Sequential(*(TransformerLayer(channels[-1]) for _ in range(layers)))

    def forward(self, picture: Tensor, mask: Tensor) -> list[Tensor]:
        features = [F.pixel_unshuffle(picture, 2)]
        for level in self.levels:
            features.append(level(features[-1], mask))
        return [*features[1:-1], self.bottleneck(features[-1])]


class FlowUNet(nn.Module):
    """The flow between two frames.

    A shared encoder processes each frame. The skip connections of the decoder carry the frame's features, the other
    frame's features warped by the flow of the coarser levels, a cost volume of the two (as in PWC-Net, Sun et al., CVPR
    2018), and that flow. Each level corrects the flow.
    """

    def __init__(self, variant: Variant = "resunet", channels: tuple[int, ...] = (24, 40, 64, 96, 128)):
        super().__init__()
        self.encoder = FrameEncoder(variant, 3, channels)
        self.matching = nn.ModuleList(nn.Conv2d(c, _CHANNELS_OF_MATCHING, 1) for c in channels)
        steps = (2 * _REACH + 1) ** 2
        ins = (*channels[1:], 0)
        self.decoder = nn.ModuleList(
            DecoderLevel(variant, i, 2 * c + steps + 2, c) for i, c in zip(ins, channels, strict=True)
        )
        self.heads = nn.ModuleList(nn.Conv2d(c, 2, 3, padding=1) for c in channels)
        for head in self.heads:
            zeroed(head)

    def forward(self, frame0: Tensor, frame1: Tensor) -> Flows:
        """flow01 and flow10.

        Args:
            frame0, frame1: (b, 3, h, w) RGB in [0, 1].

        Returns:
            Two tensors (b, 2, h, w) float32, x then y, pixels.
        """
        return Flows(*self.refinements(frame0, frame1)[-1].chunk(2))

    def refinements(self, frame0: Tensor, frame1: Tensor) -> list[Tensor]:
        """The flow after every level, coarse to fine: each (2b, 2, h, w), flow01 first, then flow10."""
        h, w = frame0.shape[2:]
        frames = pad(torch.cat([frame0, frame1]), 2 ** len(self.heads))
        frame0, frame1 = frames.chunk(2)
        mask = (4 * (frame0 - frame1).abs().mean(1, keepdim=True)).clamp(max=1)  # changing pixels count as moving
        dtype = dtype_of(self.heads)
        features = self.encoder((frames - 0.5).to(dtype), torch.cat([mask, mask]).to(dtype))
        flow = frames.new_zeros((len(frames), 2, *features[-1].shape[2:]), dtype=torch.float32)
        x, flows = None, []
        for level in range(len(features) - 1, -1, -1):
            flow = resize_flow(flow, features[level].shape[2:])
            x = self._refine(level, x, features[level], flow.detach())
            flow = flow + _UNIT * self.heads[level](x).float()
            flows.append(resize_flow(flow, frames.shape[2:])[:, :, :h, :w])
        return flows

    def _refine(self, level: int, x: Tensor | None, features: Tensor, flow: Tensor) -> Tensor:
        others = torch.cat(features.chunk(2)[::-1])
        seen = backwarp(others.float(), flow, quirk=False)
        match = _match(*(F.normalize(self.matching[level](y).float(), dim=1) for y in (features, seen.to(features))))
        skip = torch.cat([y.to(features.dtype) for y in (features, seen, match, flow / _UNIT)], 1)
        return self.decoder[level](x, skip)


def _match(features: Tensor, others: Tensor) -> Tensor:
    """Cost volume (b, steps, h, w): cosines of unit vectors (b, c, h, w) with others up to `_REACH` pixels away."""
    h, w = features.shape[2:]
    around = F.pad(others, [_REACH] * 4)
    steps = range(2 * _REACH + 1)
    return torch.stack([(features * around[:, :, y : y + h, x : x + w]).sum(1) for y in steps for x in steps], 1)


class FrameUNet(SplattingNetwork):
    """The frame at a time between two frames: predicts how to mix both splatted frames, and a correction."""

    def __init__(self, variant: Variant = "resunet", channels: tuple[int, ...] = (32, 48, 72, 96)):
        super().__init__()
        self.encoder = FrameEncoder(variant, 2 * 3 + 2 + 1 + 1, channels)
        self.decoder = nn.ModuleList(
            DecoderLevel(variant, coarse, fine, fine) for fine, coarse in itertools.pairwise(channels)
        )
        self.head = nn.Conv2d(channels[0], 4 * (1 + 3), 3, padding=1)
        zeroed(self.head)

    def prepare(self, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor) -> SplattedPair:
        """The channels to splat of both frames: RGB, and 1 - exp(-‖flow‖ / 2), which is 0 for static pixels."""
        flow = torch.cat([flow01, flow10])
        moves = 1 - (-length(flow) / 2).exp()
        values = torch.cat([torch.cat([frame0, frame1]), moves], 1)
        return SplattedPair(SplatSource(values, flow, splat_metric(frame0, frame1, flow01, flow10)))

    def synthesise(self, prepared: SplattedPair, t: float | Tensor) -> Synthesis:
        bases, masks, moves = self._warp(at_times(prepared, t).image, t)
        return Synthesis(self._draw(bases, masks, moves, t), bases, masks)

    @staticmethod
    def _warp(image: SplatSource, t: float | Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
        """Splat both frames to the time, with holes filled from each other; also returns masks of where each landed and
        a map of what moves there."""
        warp = half_warp(image, t)
        landed = torch.maximum(*warp.masks)
        fade = torch.lerp(*halves(image.values), times_of(t, len(landed), landed))
        (base0, moves0), (base1, moves1) = (torch.where(landed > 0, x, fade).split([3, 1], 1) for x in warp.bases)
        disagree = (4 * (base0 - base1).abs().mean(1, keepdim=True)).clamp(max=1)
        return (base0, base1), warp.masks, torch.maximum(torch.maximum(moves0, moves1), disagree)

    def _draw(
        self, bases: tuple[Tensor, Tensor], masks: tuple[Tensor, Tensor], moves: Tensor, t: float | Tensor
    ) -> Tensor:
        h, w = moves.shape[2:]
        dtype = self.head.weight.dtype
        times = times_of(t, len(moves), moves)
        inputs = torch.cat([*(base - 0.5 for base in bases), *masks, moves, times.expand_as(moves) - 0.5], 1)
        inputs = pad(inputs, 2 ** len(self.encoder.levels)).to(dtype, memory_format=torch.channels_last)
        *skips, x = self.encoder(inputs, inputs[:, _MOVES])
        for level, skip in zip(reversed(self.decoder), reversed(skips), strict=True):
            x = level(x, skip)
        choice, correction = F.pixel_shuffle(self.head(x), 2)[:, :, :h, :w].float().split([1, 3], 1)
        mixture = torch.lerp(*bases, torch.sigmoid(times.logit() + choice))
        return torch.sigmoid(logit(mixture.clamp(0, 1)) + 0.5 * correction)
