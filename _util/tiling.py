"""Run a convolutional network over bands of rows, so that its activations stay small enough for the cache."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

BAND_PIXELS = 2**18
_AT_ONCE = 2**22  # pixels that a GPU works on together


class Banded(Protocol):
    """A network that can be run over bands."""

    halo: int  # rows that it looks up and down
    training: bool


def by_rows(network: Callable[[int, int], Tensor], size: tuple[int, int], halo: int) -> Tensor:
    """Evaluate `network` on the rows of an image, a band at a time; equal to one evaluation on all rows.

    Args:
        network: called with (start, stop), returns (b, c, stop - start, w) computed from these rows alone. Right except
            within `halo` rows of a band's edge that is not an edge of the image.
        size: (h, w) of the image.
        halo: how many rows the network looks up and down.

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
    """What `rows(start, stop)` computes of an image's rows, for all of them: at once in training, in inference so that
    caches, or a GPU's memory, hold the activations."""
    b, _, h, w = image.shape
    fits = image.is_cuda and b * h * w <= _AT_ONCE
    if network.training or torch.is_grad_enabled() or fits:
        return rows(0, h)
    return by_rows(rows, (h, w), network.halo)
