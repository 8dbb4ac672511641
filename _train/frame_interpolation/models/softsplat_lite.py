"""SoftsplatLite (Chen and Zwicker, "Improving the Perceptual Quality of 2D Animation Interpolation", ECCV 2022).

In: two frames, the flow between them in both directions, a time. Out: the frame at that time. Both frames, with their
distance transforms, and three levels of ResNet features are splatted to the time; holes of one frame are filled from
the other; a U-Net fuses the features, and a small network at full size corrects the mean of the two warps.

Attribute names follow the published checkpoint `ssl.pt`.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models.gridnet import GridNet, LateralBlock, PReLU, preactivated
from _train.frame_interpolation.models.layers import dtype_of
from _train.frame_interpolation.models.splatting import (
    SplatSource,
    SplattingNetwork,
    Synthesis,
    Warp,
    at_times,
    half_warp,
    length,
    splat_metric,
)
from _util.features import IMAGENET_DEVIATION, IMAGENET_MEAN
from _util.flow import resize as resize_flow
from _util.graphs import constant
from _util.image import logit, resize_rows
from _util.lines import nedt
from _util.tiling import in_bands


class FeaturePair(NamedTuple):
    """Everything about a pair of frames that does not depend on the time."""

    image: SplatSource  # 4 channels: RGB and NEDT
    features: list[SplatSource]  # 64, 256 and 512 channels


class FeatureExtractor(nn.Module):
    """The first three levels of a frozen ResNet-50, at a shorter side of 256 pixels."""

    def __init__(self):
        super().__init__()
        from torchvision.models.resnet import Bottleneck, ResNet  # lazy: as slow to import as PyTorch

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
        mean, std = (constant(of, image).view(1, 3, 1, 1) for of in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        image = ((image - mean) / std).to(self.conv1.weight.dtype, memory_format=torch.channels_last)
        conv1 = self.bn1(self.conv1(image)).relu()
        layer1 = self.layer1(F.max_pool2d(conv1, 3, stride=2, padding=1))
        return [conv1, layer1, self.layer2(layer1)]


class GridNetConverter(nn.Module):
    """Converts ResNet features to the channel counts of the GridNet."""

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

    halo = 9  # number of successive 3×3 convolutions

    def __init__(self, features: int = 32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(5 * 3 + 2 + 2 + features, 64, 1),
            LateralBlock(64),
            nn.Sequential(*preactivated(64, 32)),
            LateralBlock(32),
            nn.Sequential(*preactivated(32, 16)),
            LateralBlock(16),
            nn.Sequential(PReLU(16), nn.Conv2d(16, 3, 3, padding=1)),
        )

    def forward(self, warp: Warp, features: Tensor) -> Tensor:
        """Map full-size warps (b, 4, h, w) and features (b, 32, any, any) to a frame (b, 3, h, w)."""
        return in_bands(self, lambda start, stop: self.rows(warp, features, start, stop), warp.masks[0])

    def rows(self, warp: Warp, features: Tensor, start: int, stop: int) -> Tensor:
        h, w = warp.masks[0].shape[2:]
        base0, base1, warp0, warp1 = (x[:, :3, start:stop] for x in warp.bases + warp.warps)
        mean = (base0 + base1) / 2
        logits = [logit(x) for x in (mean, base0, base1, warp0, warp1)]
        flow01, flow10 = (length(flow[:, :, start:stop]) / (h**2 + w**2) ** 0.5 for flow in warp.flows)
        masks = [mask[:, :, start:stop] for mask in warp.masks]
        inputs = torch.cat([x.to(dtype_of(self.net)) for x in (*logits, flow10, flow01, *masks)], 1)
        inputs = torch.cat([inputs, resize_rows(features, (h, w), start, stop)], 1)
        correction = self.net(inputs.contiguous(memory_format=torch.channels_last)).to(mean.dtype)
        return torch.sigmoid(logits[0] + 0.5 * correction)


class SoftsplatLite(SplattingNetwork):
    def __init__(self):
        super().__init__()
        self.feature_extractor = FeatureExtractor()
        self.gridnet_converter = GridNetConverter((64, 256, 512), (32, 64, 128))
        self.gridnet = GridNet((32, 64, 128))
        self.synthesizer = Synthesizer(32)

    def prepare(self, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor) -> FeaturePair:
        """Compute metric, distance transforms and features of both frames; arguments as in `forward`."""
        frames, flow = torch.cat([frame0, frame1]), torch.cat([flow01, flow10])
        metric = splat_metric(frame0, frame1, flow01, flow10)
        features = []
        for feature in self.feature_extractor(frames):
            size = feature.shape[2:]
            resized = F.interpolate(metric, size, mode="bilinear", align_corners=False)
            features.append(SplatSource(feature.contiguous(), resize_flow(flow, size), resized))
        return FeaturePair(SplatSource(torch.cat([frames, nedt(frames)], 1), flow, metric), features)

    def synthesise(self, prepared: FeaturePair, t: float | Tensor) -> Synthesis:
        prepared = at_times(prepared, t)
        warp = half_warp(prepared.image, t)
        pairs = [half_warp(source, t).bases for source in prepared.features]
        dtype = dtype_of(self.gridnet_converter)
        bases = [((a + b) / 2).to(dtype, memory_format=torch.channels_last) for a, b in pairs]
        fused = self.gridnet(self.gridnet_converter(bases))
        return Synthesis(self.synthesizer(warp, fused), warp.bases, warp.masks)
