"""Synthesis that mixes forward splatting and backward warping per pixel.

In: two frames, the flow between them in both directions, a time. Out: the frame at that time. Forward splatting
(Niklaus and Liu, CVPR 2020) resolves occlusions, but tears thin lines and leaves holes. Backward warping keeps lines
intact, but needs the motion at the new frame. So both frames are splatted together with their motion. Networks at 1/4
and 1/2 of the size correct the splatted motion, given both frames' features along it; at 1/4, also how well these match
some steps away from it (a bilateral cost volume, Park et al., ECCV 2020). The corrected motion is used to warp both
frames backward. A network at full size mixes the two splats and the two warps, with one weight each, and corrects the
mixture in logits, as SoftsplatLite does. The weights of pixels that land on the same place are also learned.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models.layers import StridedConv2d, dtype_of, pad, zeroed
from _train.frame_interpolation.models.splatting import (
    EPSILON,
    FULL_WEIGHT,
    SplatSource,
    SplattingNetwork,
    Synthesis,
    at_times,
    fill,
    splat_in_order,
    splat_metric,
    times_of,
)
from _util import paths
from _util.flow import backwarp
from _util.flow import resize as resize_flow
from _util.graphs import constant
from _util.image import inverse_logit, logit
from _util.sampling import sample
from _util.softsplat import softsplat

_CANDIDATES = 4
_CORRECTION = 0.4  # trained with 0.5, on toons; a slightly smaller value is better for real drawings
_LARGEST_METRIC = 10.0
_REACH = 3  # radius of the cost volume, in pixels at 1/4 and at 1/8 of the size


def convolution(i: int, o: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(StridedConv2d(i, o, kernel, stride, kernel // 2 * dilation, dilation), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """ReLU(x + conv(ReLU(conv(x)))); the last convolution is initialised to 0."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.net = nn.Sequential(
            convolution(channels, channels, dilation=dilation), nn.Conv2d(channels, channels, 3, padding=1)
        )
        zeroed(self.net[1])
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.net(x))


class Encoder(nn.Module):
    """Maps (b, 3, h, w) RGB to features at 1/2, 1/4, … of the size, one level per entry of `channels`."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        first, *others = channels
        self.levels = nn.ModuleList([nn.Sequential(nn.PixelUnshuffle(2), convolution(12, first), Residual(first))])
        for i, (finer, coarser) in enumerate(zip(channels, others, strict=False), start=1):
            blocks = [Residual(coarser) for _ in range(i)]
            self.levels.append(nn.Sequential(convolution(finer, coarser, stride=2), *blocks))

    def forward(self, image: Tensor) -> list[Tensor]:
        features = []
        for level in self.levels:
            features.append(level(features[-1] if features else image - 0.5))
        return features


class FusedPair(NamedTuple):
    """Everything about a pair of frames that does not depend on the time."""

    image: SplatSource  # values RGB, at the size of the frames
    padded: SplatSource  # the same, padded to sides that are multiples of 4
    features: list[Tensor]  # (2b, c, h, w) at 1/2 and 1/4
    matched: list[Tensor]  # (2b, c, h, w), normalised to length 1, at 1/4 and 1/8


class Fusion(SplattingNetwork):
    def __init__(self, channels: tuple[int, int] = (24, 48), width: int = 24):
        super().__init__()
        a, b = channels
        self.encoder = Encoder(channels)
        self.metric = nn.Sequential(convolution(2 * a + 2, 32), Residual(32), nn.Conv2d(32, 1, 3, padding=1))
        self.trust = nn.Parameter(torch.ones(()))
        self.matching = nn.Conv2d(b, 16, 1)
        self.at_quarter = nn.Sequential(
            convolution(3 * b + 2 * 3 + 2 + 4 + 2 * (2 * _REACH + 1) ** 2, 96),
            Residual(96, 1),
            Residual(96, 2),
            Residual(96, 4),
            Residual(96, 1),
        )
        self.at_half = nn.Sequential(
            convolution(3 * a + 4 * 6 + 2 + 48, 48), Residual(48, 1), Residual(48, 2), Residual(48, 1)
        )
        self.flows = nn.ModuleList([nn.Conv2d(96, 4, 3, padding=1), nn.Conv2d(48, 4, 3, padding=1)])
        self.states = nn.ModuleList([nn.Conv2d(96, 48, 1), nn.Conv2d(48, 4 * 12, 1)])
        self.full = nn.Sequential(convolution(_CANDIDATES * 3 + 2 + 12, width), Residual(width), Residual(width))
        self.mix = nn.Conv2d(width, _CANDIDATES + 3, 3, padding=1)
        for head in (self.metric[-1], *self.flows, self.mix):
            zeroed(head)

    def prepare(self, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor) -> FusedPair:
        """Compute the features of both frames and the splatting metric; arguments as in `forward`."""
        h, w = frame0.shape[2:]
        frames, flow = pad(torch.cat([frame0, frame1]), 4), pad(torch.cat([flow01, flow10]), 4)
        features = self.encoder(frames.to(dtype_of(self.encoder)))
        padded = SplatSource(frames, flow, self._importance(frames, flow, features[0]))
        matching = self.matching(features[1]).float()
        matched = [F.normalize(x, dim=1) for x in (matching, F.avg_pool2d(matching, 2, ceil_mode=True))]
        return FusedPair(SplatSource(*(x[:, :, :h, :w] for x in padded)), padded, features, matched)

    def _importance(self, frames: Tensor, flow: Tensor, features: Tensor) -> Tensor:
        """The logarithm of each pixel's weight, (2b, 1, h, w), from how well the pixel, and its features at half the
        size, agree with the other frame where the flow points."""
        size = features.shape[2:]
        half = resize_flow(paths.flow(flow), size)
        opposite, others = (torch.cat(x.chunk(2)[::-1]) for x in (half, features))
        seen = backwarp(others.float(), half, quirk=False)
        gap = (half + backwarp(opposite, half, quirk=False)).norm(dim=1, keepdim=True).clamp(max=16) / 4
        agreement = splat_metric(*frames.chunk(2), *flow.chunk(2))
        inputs = features, seen, gap, F.interpolate(agreement, size, mode="area")
        learned = self.metric(torch.cat([x.to(features.dtype) for x in inputs], 1)).float()
        learned = F.interpolate(learned, frames.shape[2:], mode="bilinear", align_corners=False)
        return (self.trust * agreement + learned).clamp(-_LARGEST_METRIC, _LARGEST_METRIC)

    def synthesise(self, prepared: FusedPair, t: float | Tensor) -> Synthesis:
        prepared = at_times(prepared, t)
        frames, flow, _ = prepared.padded
        times = times_of(t, len(frames) // 2, flow)
        splats, weights, velocity, off = self._splat(prepared.padded, torch.cat([1 - times, times]))
        share = torch.cat([-times, 1 - times])  # of the motion from frame 0 to 1: from time t to 0, and from t to 1
        motion = share * torch.cat([velocity, velocity]) - torch.cat([off, off])
        motion, state = self._correct_motion(prepared, splats, weights, motion, share)
        candidates = torch.stack([*splats.chunk(2), *backwarp(frames, motion, quirk=False).chunk(2)], 1)
        frame = self._mix(candidates, weights, state, times)
        h, w = prepared.image.values.shape[2:]
        frame, splats, landed = (x[:, :, :h, :w] for x in (frame, splats, (weights > EPSILON).to(frame.dtype)))
        return Synthesis(frame, tuple(splats.chunk(2)), tuple(landed.chunk(2)))

    def _correct_motion(
        self, prepared: FusedPair, splats: Tensor, weights: Tensor, motion: Tensor, share: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Correct the motion from time t to each frame, (2b, 2, h, w); also returns features at 1/2 of the size."""
        size, state = motion.shape[2:], None
        for features, net, correct, project in zip(
            prepared.features[::-1], (self.at_quarter, self.at_half), self.flows, self.states, strict=True
        ):
            here = features.shape[2:]
            small = resize_flow(motion, here)
            seen0, seen1 = backwarp(features.float(), small, quirk=False).chunk(2)
            coverage = F.interpolate(weights.log1p(), here, mode="area")
            inputs = [seen0, seen1, (seen0 - seen1).abs(), *coverage.chunk(2)]
            if state is None:
                inputs += [*F.interpolate(splats, here, mode="area").chunk(2), *(small / 16).chunk(2)]
                for matched in prepared.matched:
                    match = _match(matched, resize_flow(motion, matched.shape[2:]), share)
                    inputs.append(F.interpolate(match, here, mode="bilinear", align_corners=False))
            else:
                inputs += [*F.pixel_unshuffle(splats, 2).chunk(2), F.interpolate(state, here, mode="nearest")]
            x = net(torch.cat([x.to(features.dtype) for x in inputs], 1))
            state = project(x)
            motion = motion + resize_flow(torch.cat(correct(x).float().chunk(2, 1)), size)
        assert state is not None
        return motion, state

    def _mix(self, candidates: Tensor, weights: Tensor, state: Tensor, times: Tensor) -> Tensor:
        """Mix four candidates (b, 4, 3, h, w), of frame 0 and 1 in turn, into one frame (b, 3, h, w).

        The network is not told the time, (b, 1, 1, 1): its shares and correction are taken for those at ½. At others,
        each frame counts in proportion to its nearness, and the correction decreases to 0 at the frames themselves.
        """
        inputs = candidates.flatten(1, 2) - 0.5, *weights.log1p().chunk(2), F.pixel_shuffle(state, 2)
        x = self.full(torch.cat([x.to(state.dtype) for x in inputs], 1))
        shares, correction = self.mix(x).float().split([_CANDIDATES, 3], 1)
        nearness = torch.cat([1 - times, times] * 2, 1)
        shares = (shares + (2 * nearness).log()).softmax(1)
        mixture = (shares.unsqueeze(2) * candidates).sum(1).clamp(0, 1)
        return inverse_logit(logit(mixture) + 4 * times * (1 - times) * (_CORRECTION * correction))

    @staticmethod
    def _splat(source: SplatSource, nearness: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Splat both frames, and their motion from frame 0 to frame 1, to the time.

        Args:
            nearness: (2b, 1, 1, 1), of each frame to the time: 1 - t and t.

        Returns:
            The splats (2b, 3, h, w), blended with each other where little weight has landed; the weight that
            landed (2b, 1, h, w); the mean velocity of both (b, 2, h, w), holes filled from the surroundings; and the
            deviation from the straight path at this time (b, 2, h, w), 0 unless the flow is a path.
        """
        frames, path, metric = source
        flow, is_straight = paths.flow(path), path.shape[1] == 2
        b = len(frames) // 2
        velocity = torch.cat([flow[:b], -flow[b:]])
        importance = metric.exp()
        off = [] if is_straight else [paths.off_straight(path, 1 - nearness)]
        values = torch.cat([frames, velocity, *off, torch.ones_like(metric)], 1) * importance
        way = paths.at(path, 1 - nearness)
        sums, covered = (softsplat(values, way, mode="sum"), None) if is_straight else splat_in_order(values, path, way)
        weights = sums[:, -1:]
        pictures = sums[:, :3] / weights.clamp(min=EPSILON)
        together = (sums * nearness).view(2, b, *sums.shape[1:]).sum(0)
        filled = fill(together[:, :-1], together[:, -1:])
        confidence = (weights / FULL_WEIGHT).clamp(max=1) if covered is None else covered
        swapped, other = (torch.cat(x.chunk(2)[::-1]) for x in (pictures, confidence))
        around = torch.cat([filled[:, :3]] * 2)
        pictures = confidence * pictures + (1 - confidence) * (other * swapped + (1 - other) * around)
        velocity = filled[:, 3:5]
        return pictures, weights, velocity, torch.zeros_like(velocity) if is_straight else filled[:, 5:]


def _match(features: Tensor, motion: Tensor, share: Tensor) -> Tensor:
    """The bilateral cost volume: the similarity of both frames for each offset added to the motion from 0 to 1.

    Args:
        features: (2b, c, h, w) of length 1.
        motion: (2b, 2, h, w) from time t to each frame, in pixels of this size.
        share: (2b, 1, 1, 1), the fraction of the motion from 0 to 1 that this is: -t and 1 - t.

    Returns:
        (b, steps, h, w), cosines.
    """
    h, w = motion.shape[2:]
    axis = torch.arange(-_REACH, _REACH + 1, device=motion.device, dtype=motion.dtype)
    steps = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(1, -1, 2, 1, 1)
    y, x = torch.meshgrid(torch.arange(h, device=motion.device), torch.arange(w, device=motion.device), indexing="ij")
    place = torch.stack([x, y]) + motion.unsqueeze(1) + share.unsqueeze(1) * steps  # (2b, steps, 2, h, w)
    grid = (2 * place + 1) / constant([w, h], place).view(2, 1, 1) - 1
    grid = grid.permute(0, 1, 3, 4, 2).flatten(1, 2)
    seen = sample(features, grid)
    seen0, seen1 = seen.unflatten(2, (-1, h)).chunk(2)
    return (seen0 * seen1).sum(1)
