"""Helpers for layers that several network families share."""

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class StridedConv2d(nn.Conv2d):
    """A convolution that is also right in bf16 on the CPU for inputs no wider than its stride.

    Where a strided bf16 convolution has an output of one column, oneDNN's kernels for AMX leave it partly uninitialised
    (seen in PyTorch 2.14). The input is widened by zeros there, which the padding would have supplied.
    """

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        stride = self.stride[1]
        if x.dtype != torch.bfloat16 or x.device.type != "cpu" or x.shape[3] > stride:
            return super().forward(x)
        return super().forward(F.pad(x, (0, stride)))[..., :1]


def zeroed(layer: nn.Module) -> None:
    """Set weight and bias of a layer to 0, so that it has no effect at initialisation."""
    for parameter in layer.parameters(recurse=False):
        nn.init.zeros_(parameter)


def dtype_of(network: nn.Module) -> torch.dtype:
    """The dtype that a network computes in."""
    return next(network.parameters()).dtype


def placed(network: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """Move a network, in place, to a device, dtype and the channels-last memory format, and return it."""
    return network.to(device, dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # not in the stubs


def pad(image: Tensor, multiple: int) -> Tensor:
    """Replicate the last row and column of (b, c, h, w) until both sides are multiples; without a copy if they are."""
    down, right = (-side % multiple for side in image.shape[2:])
    return F.pad(image, (0, right, 0, down), mode="replicate") if down or right else image
