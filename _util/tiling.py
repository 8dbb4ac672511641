"""Run a convolutional network over bands of rows, so that its activations stay small enough for the cache."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

BAND_PIXELS = 2**18
_AT_ONCE = 2**22  # pixels that a GPU works on together


class Banded(Protocol):
    """A network that can be run over bands."""

    halo: int  # rows of context above and below
    training: bool


def by_rows(network: Callable[[int, int], Tensor], size: tuple[int, int], halo: int) -> Tensor:
    """Evaluate `network` on the rows of an image, a band at a time; equal to one evaluation on all rows.

    Args:
        network: called with (start, stop), returns (b, c, stop - start, w) computed from these rows alone. Right except
            within `halo` rows of a band's edge that is not an edge of the image.
        size: (h, w) of the image.
        halo: rows of context that the network needs above and below.

    Returns:
        (b, c, h, w).
    """
    h, w = size
    height = max(1, BAND_PIXELS // w)
    bands = []
    for start in range(0, h, height):
        stop = min(h, start + height)
        first, last = max(0, start - halo), min(h, stop + halo)
        bands.append(network(first, last)[:, :, start - first : stop - first])
    return torch.cat(bands, 2)


def in_bands(network: Banded, rows: Callable[[int, int], Tensor], image: Tensor) -> Tensor:
    """Compute `rows(start, stop)` for all rows of an image: at once in training, in bands in inference, so that
    activations fit the caches or a GPU's memory."""
    b, _, h, w = image.shape
    fits = image.is_cuda and b * h * w <= _AT_ONCE
    if network.training or torch.is_grad_enabled() or fits:
        return rows(0, h)
    return by_rows(rows, (h, w), network.halo)
