"""GridNet (Fourure et al., BMVC 2017) as EISAI uses it: one column down, one column up, which makes it a U-Net.

In: one feature map per level, each level half the size of the one above. Out: the feature map of the top level.
Attribute names follow the published checkpoint (`gridnet.encoders.0.resnet_0.net.1.weight`).
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models.layers import StridedConv2d


class PReLU(nn.PReLU):
    """`torch.nn.PReLU` with one slope per channel, faster on the CPU for few channels.

    PyTorch's CPU kernel vectorises over the channels of one pixel, which is slow if they are few, so pixels that are
    adjacent in memory are passed to it as one.
    """

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        b, c, h, w = x.shape
        together = next((n for n in (16, 8, 4, 2) if b * h * w % n == 0), 1)
        if c > 32 or x.device.type != "cpu" or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        pixels = F.prelu(x.permute(0, 2, 3, 1).reshape(-1, together * c), self.weight.repeat(together))
        return pixels.view(b, h, w, c).permute(0, 3, 1, 2)


def preactivated(i: int, o: int, stride: int = 1) -> list[nn.Module]:
    """PReLU, a 3×3 convolution, and batch normalisation."""
    return [PReLU(i), StridedConv2d(i, o, 3, stride, padding=1), nn.BatchNorm2d(o)]


class LateralBlock(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.net = nn.Sequential(*preactivated(channels, channels), *preactivated(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class Downsample(nn.Module):
    def __init__(self, i: int, o: int):
        super().__init__()
        self.net = nn.Sequential(*preactivated(i, i, stride=2), *preactivated(i, o))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Upsample(nn.Module):
    def __init__(self, i: int, o: int):
        super().__init__()
        self.net = nn.Sequential(nn.UpsamplingNearest2d(scale_factor=2), *preactivated(i, o), *preactivated(o, o))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class GridNet(nn.Module):
    def __init__(self, channels: tuple[int, ...] = (32, 64, 128)):
        super().__init__()
        levels = range(len(channels))
        encoder = {f"resnet_{i}": LateralBlock(channels[i]) for i in levels}
        encoder |= {f"downsample_{i}{i + 1}": Downsample(channels[i], channels[i + 1]) for i in levels[:-1]}
        decoder = {f"resnet_{i}": LateralBlock(channels[i]) for i in levels}
        decoder |= {f"upsample_{i + 1}{i}": Upsample(channels[i + 1], channels[i]) for i in levels[:-1]}
        self.encoders = nn.ModuleList([nn.ModuleDict(encoder)])
        self.decoders = nn.ModuleList([nn.ModuleDict(decoder)])

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Map (b, channels[i], h_i, w_i) per level, h_(i+1) = ⌈h_i / 2⌉, same for w, to (b, channels[0], h_0, w_0)."""
        encoder, decoder = (cast(nn.ModuleDict, column[0]) for column in (self.encoders, self.decoders))
        encoded: list[Tensor] = []
        for i, x in enumerate(inputs):
            x = encoder[f"resnet_{i}"](x)
            if encoded:
                x = x + encoder[f"downsample_{i - 1}{i}"](encoded[-1])
            encoded.append(x)
        decoded = decoder[f"resnet_{len(encoded) - 1}"](encoded[-1])
        for i in reversed(range(len(encoded) - 1)):
            h, w = encoded[i].shape[2:]
            above = decoder[f"upsample_{i + 1}{i}"](decoded)[:, :, :h, :w]  # sizes may be odd
            decoded = decoder[f"resnet_{i}"](encoded[i]) + above
        return decoded
