"""Run a convolutional network over bands of rows, so that its activations stay small enough for the cache."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

BAND_PIXELS = 2**18
_AT_ONCE = 2**22  # pixels that a GPU works on together


class Banded(Protocol):
    """A network that can be run over bands."""

    halo: int  # rows of context that it needs above and below
    training: bool


def in_bands(network: Banded, rows: Callable[[int, int], Tensor], image: Tensor) -> Tensor:
    """Evaluate a network on all rows of an image: at once in training, in bands in inference, so that activations fit
    the caches or a GPU's memory.

    Args:
        rows: called with (start, stop), returns (b, c, stop - start, w) that the network computes from these rows
            alone. Right except within `halo` rows of a band's edge that is not an edge of the image.
        image: (b, any, h, w).

    Returns:
        (b, c, h, w).
    """
    b, _, h, w = image.shape
    fits = image.is_cuda and b * h * w <= _AT_ONCE
    if network.training or torch.is_grad_enabled() or fits:
        return rows(0, h)
    height = max(1, BAND_PIXELS // w)
    bands = []
    for start in range(0, h, height):
        stop = min(h, start + height)
        first, last = max(0, start - network.halo), min(h, stop + network.halo)
        bands.append(rows(first, last)[:, :, start - first : stop - first])
    return torch.cat(bands, 2)
