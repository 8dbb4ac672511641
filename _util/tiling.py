"""Run a convolutional network over bands of rows, so that its activations stay small enough for the cache."""

from collections.abc import Callable

import torch
from torch import Tensor

BAND_PIXELS = 2**18


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
