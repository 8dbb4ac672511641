"""What networks of several families ask of their layers."""

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def zeroed(layer: nn.Module) -> None:
    """Set weight and bias of a layer to 0, so that it is without effect when new."""
    for parameter in layer.parameters(recurse=False):
        nn.init.zeros_(parameter)


def dtype_of(network: nn.Module) -> torch.dtype:
    """In which a network computes."""
    return next(network.parameters()).dtype


def placed(network: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """The network itself, moved to a device and a type, its channels last in memory."""
    return network.to(device, dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # not in the stubs


def pad(image: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of a number."""
    h, w = image.shape[2:]
    return F.pad(image, (0, -w % multiple, 0, -h % multiple), mode="replicate")
