"""SoftsplatLite (Chen and Zwicker, "Improving the Perceptual Quality of 2D Animation Interpolation", ECCV 2022).

In: two frames, the flow between them in both directions, a time. Out: the frame at that time. Both frames, with their
distance transforms, and three levels of ResNet features are splatted to the time; what one frame leaves open is taken
from the other; a U-Net fuses the features, and a small network at full size corrects the mean of the two warps.

`SoftsplatLite.prepare` does all that does not depend on the time, `SoftsplatLite.synthesise` the rest. Attribute names
follow the published checkpoint `ssl.pt`.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from _train.frame_interpolation.models.gridnet import GridNet, PReLU, ResidualBlock
from _util import paths
from _util.flow import backwarp
from _util.flow import resize as resize_flow
from _util.graphs import constant
from _util.image import logit, resize_rows
from _util.lab import rgb_to_lab
from _util.lines import nedt
from _util.morphology import opening
from _util.softsplat import softsplat_with_mask
from _util.tiling import by_rows

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NOTHING = 1e-6  # weight under which nothing has landed
_AT_ONCE = 2**22  # pixels that a GPU works on together at full size

T = TypeVar("T")


class Synthesis(NamedTuple):
    """A synthesised frame and what it was made from."""

    frame: Tensor  # (b, 3, h, w) RGB in [0, 1]
    bases: tuple[Tensor, Tensor]  # (b, 4, h, w) RGB and NEDT, frame 0 warped and filled from frame 1, and vice versa
    masks: tuple[Tensor, Tensor]  # (b, 1, h, w) 1 where frame 0 (frame 1) landed


class Source(NamedTuple):
    """What is splatted at one size. Frame 0 and its flow01 fill the first half of each batch, frame 1 the second."""

    values: Tensor  # (2b, c, h, w)
    flow: Tensor  # (2b, 2, h, w) from each frame to the other, in pixels of this size; or a path, (2b, 9, h, w)
    metric: Tensor  # (2b, 1, h, w)


class Prepared(NamedTuple):
    """Everything about a pair of frames that does not depend on the time."""

    image: Source  # 4 channels: RGB and NEDT
    features: list[Source]  # 64, 256 and 512 channels


class Warp(NamedTuple):
    """Both frames splatted to the same time."""

    bases: tuple[Tensor, Tensor]  # warps with their holes filled from each other
    warps: tuple[Tensor, Tensor]
    masks: tuple[Tensor, Tensor]
    flows: tuple[Tensor, Tensor]  # flow01 and flow10 scaled by the time


class FeatureExtractor(nn.Module):
    """The first three levels of a frozen ResNet-50, at a shorter side of 256 pixels."""

    def __init__(self):
        super().__init__()
        from torchvision.models.resnet import Bottleneck, ResNet  # takes as long to import as PyTorch

        resnet = ResNet(Bottleneck, [3, 4, 1, 1])
        self.conv1, self.bn1 = resnet.conv1, resnet.bn1
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> "FeatureExtractor":
        return super().train(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(b, 3, h, w) RGB to (b, 64, h/2, w/2), (b, 256, h/4, w/4) and (b, 512, h/8, w/8) of the reduced size."""
        h, w = image.shape[2:]
        shorter = min(h, w)
        size = (256 * h // shorter, 256 * w // shorter)
        image = F.interpolate(image, size, mode="bilinear", align_corners=False)
        mean, std = (constant(of, image).view(1, 3, 1, 1) for of in (IMAGENET_MEAN, IMAGENET_STD))
        image = ((image - mean) / std).to(self.conv1.weight.dtype, memory_format=torch.channels_last)
        conv1 = self.bn1(self.conv1(image)).relu()
        layer1 = self.layer1(F.max_pool2d(conv1, 3, stride=2, padding=1))
        return [conv1, layer1, self.layer2(layer1)]


class GridNetConverter(nn.Module):
    """Brings ResNet features to the channels of the GridNet."""

    def __init__(self, in_channels: tuple[int, ...], out_channels: tuple[int, ...]):
        super().__init__()
        self.nets = nn.ModuleList(
            nn.Sequential(PReLU(i), nn.Conv2d(i, o, 1), nn.BatchNorm2d(o))
            for i, o in zip(in_channels, out_channels, strict=True)
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [net(x) for net, x in zip(self.nets, features, strict=True)]


class Synthesizer(nn.Module):
    """Corrects the mean of the two bases, in logits, at full size."""

    halo = 9  # 3×3 convolutions in a row

    def __init__(self, features: int = 32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(5 * 3 + 2 + 2 + features, 64, 1),
            ResidualBlock(64),
            nn.Sequential(PReLU(64), nn.Conv2d(64, 32, 3, padding=1), nn.BatchNorm2d(32)),
            ResidualBlock(32),
            nn.Sequential(PReLU(32), nn.Conv2d(32, 16, 3, padding=1), nn.BatchNorm2d(16)),
            ResidualBlock(16),
            nn.Sequential(PReLU(16), nn.Conv2d(16, 3, 3, padding=1)),
        )

    def forward(self, warp: Warp, features: Tensor) -> Tensor:
        """Full-size warps of (b, 4, h, w) and features (b, 32, any, any) to a frame (b, 3, h, w)."""
        return in_bands(self, lambda start, stop: self.rows(warp, features, start, stop), warp.masks[0])

    def rows(self, warp: Warp, features: Tensor, start: int, stop: int) -> Tensor:
        h, w = warp.masks[0].shape[2:]
        base0, base1, warp0, warp1 = (x[:, :3, start:stop] for x in warp.bases + warp.warps)
        mean = (base0 + base1) / 2
        logits = [logit(x) for x in (mean, base0, base1, warp0, warp1)]
        flow01, flow10 = (length(flow[:, :, start:stop]) / (h**2 + w**2) ** 0.5 for flow in warp.flows)
        masks = [mask[:, :, start:stop] for mask in warp.masks]
        weight = self.net[0].weight
        inputs = torch.cat([x.to(weight.dtype) for x in (*logits, flow10, flow01, *masks)], 1)
        inputs = torch.cat([inputs, resize_rows(features, (h, w), start, stop)], 1)
        correction = self.net(inputs.contiguous(memory_format=torch.channels_last)).to(mean.dtype)
        return torch.sigmoid(logits[0] + 0.5 * correction)


class SoftsplatLite(nn.Module):
    def __init__(self):
        super().__init__()
        self.feature_extractor = FeatureExtractor()
        self.gridnet_converter = GridNetConverter((64, 256, 512), (32, 64, 128))
        self.gridnet = GridNet((32, 64, 128))
        self.synthesizer = Synthesizer(32)

    def forward(
        self, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor, t: float | Tensor = 0.5
    ) -> Synthesis:
        """Synthesise the frame at time t.

        Args:
            frame0, frame1: (b, 3, h, w) RGB in [0, 1], h and w at least 16.
            flow01, flow10: (b, 2, h, w), x then y, pixels, or paths, (b, 9, h, w).
            t: time in (0, 1), one for all or (b,), or for a single pair several, (n,).
        """
        return self.synthesise(self.prepare(frame0, frame1, flow01, flow10), t)

    def prepare(self, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor) -> Prepared:
        """Metric, distance transforms and features of both frames; arguments as in `forward`."""
        frames, flow = torch.cat([frame0, frame1]), torch.cat([flow01, flow10])
        metric = splat_metric(frame0, frame1, flow01, flow10)
        features = []
        for feature in self.feature_extractor(frames):
            size = feature.shape[2:]
            resized = F.interpolate(metric, size, mode="bilinear", align_corners=False)
            features.append(Source(feature.contiguous(), resize_flow(flow, size), resized))
        return Prepared(Source(torch.cat([frames, nedt(frames)], 1), flow, metric), features)

    def synthesise(self, prepared: Prepared, t: float | Tensor) -> Synthesis:
        """The frame at time t, (0, 1), from what `prepare` returned."""
        prepared = at_times(prepared, t)
        warp = half_warp(prepared.image, t)
        bases = [sum(half_warp(source, t).bases) / 2 for source in prepared.features]
        weight = self.gridnet_converter.nets[0][1].weight
        bases = [base.to(weight.dtype, memory_format=torch.channels_last) for base in bases]
        fused = self.gridnet(self.gridnet_converter(bases))
        return Synthesis(self.synthesizer(warp, fused), warp.bases, warp.masks)


def at_times(prepared: T, t: float | Tensor) -> T:
    """What was prepared of a pair of frames, once for each of several times (n,); of several pairs, as it is.

    Args:
        prepared: tensors, whose batch is that of a `Source`, in named tuples and lists.
    """
    pairs = len(pytree.tree_leaves(prepared)[0]) // 2
    times = t.numel() if isinstance(t, Tensor) else 1
    if times in (1, pairs):
        return prepared
    return pytree.tree_map(lambda x: x.repeat_interleave(times, 0), prepared)


def in_bands(network: nn.Module, rows: Callable[[int, int], Tensor], image: Tensor) -> Tensor:
    """What `rows(start, stop)` computes of an image's rows, for all of them: at once in training, in inference so that
    caches, or a GPU's memory, hold the activations. `network.halo` is how many rows it looks up and down."""
    b, _, h, w = image.shape
    fits = image.is_cuda and b * h * w <= _AT_ONCE
    if network.training or torch.is_grad_enabled() or fits:
        return rows(0, h)
    return by_rows(rows, (h, w), network.halo)


def splat_metric(frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor) -> Tensor:
    """How well each pixel agrees with where it goes, -0.1 · ‖Δ Lab‖: (2b, 1, h, w), frame 0's first."""
    both = torch.cat([flow01, flow10])
    lab0, lab1 = rgb_to_lab(torch.cat([frame0, frame1])).chunk(2)
    seen = backwarp(torch.cat([lab1, lab0]), paths.flow(both), quirk=True)
    return -0.1 * length(torch.cat([lab0, lab1]) - seen)


def length(vectors: Tensor) -> Tensor:
    """Euclidean length over the channels, (b, c, h, w) to (b, 1, h, w); several times faster than `Tensor.norm`."""
    squared = vectors.square().sum(1, keepdim=True)
    return squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt()  # at 0 the gradient is 0


def _splatted(source: Source, way: Tensor) -> tuple[Tensor, Tensor]:
    """Values that went some way, and where any landed."""
    if source.flow.shape[1] == 2:
        return softsplat_with_mask(source.values, way, source.metric)
    weights = source.metric.exp()
    sums = paths.splat(torch.cat([source.values * weights, weights], 1), source.flow, way)
    landed = sums[:, -1:] > _NOTHING
    return sums[:, :-1] / sums[:, -1:].clamp(min=_NOTHING) * landed, landed.to(sums.dtype)


def half_warp(source: Source, t: float | Tensor) -> Warp:
    """Splat both frames to time t and fill the holes of each from the other."""
    times = torch.as_tensor(t, dtype=source.flow.dtype, device=source.flow.device).expand(len(source.flow) // 2)
    flow = paths.at(source.flow, torch.cat([times, 1 - times]).view(-1, 1, 1, 1))
    warps, masks = _splatted(source, flow)
    (warp0, warp1), (mask0, mask1) = warps.chunk(2), opening(masks).chunk(2)
    bases = mask0 * warp0 + (1 - mask0) * warp1, mask1 * warp1 + (1 - mask1) * warp0
    return Warp(bases, (warp0, warp1), (mask0, mask1), tuple(flow.chunk(2)))
