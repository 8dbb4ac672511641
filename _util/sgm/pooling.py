"""Features of pieces: the mean of each activation over a piece, at every level of a network.

In: activations, each on the grid of its level, and label maps of the size of images. Out: one vector for each piece.

The mean equals that of activations resized bilinearly to the image, without resizing them: all pixels of a piece that
lie between the same four activations share one product. So even a piece smaller than the spacing of activations has
features of its own.
"""

from collections.abc import Sequence

import numpy as np

from _util import threads
from _util.compiled import njit

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def pool(activations: Sequence[np.ndarray], grids: Sequence[tuple[int, float]], labels: np.ndarray) -> np.ndarray:
    """The features of all pieces of an image; levels are pooled in parallel.

    Args:
        activations: for each level, (height, width, channels) float32, contiguous.
        grids: for each level (stride, offset), the positions of its activations, see `features.Backbone.grids`.
        labels: (h, w) int32, 0 … n - 1.

    Returns:
        (n, channels of all levels) float32.
    """
    areas = np.bincount(labels.ravel()).astype(np.float32)
    sums = [np.zeros((len(areas), level.shape[2]), np.float32) for level in activations]

    def work(start: int, stop: int) -> None:
        for level, (stride, offset), total in list(zip(activations, grids, sums, strict=True))[start:stop]:
            sides = zip(labels.shape, level.shape[:2], strict=True)
            rows, columns = (_places(pixels, cells, stride, offset) for pixels, cells in sides)
            largest = np.diff(rows[0]).max() * np.diff(columns[0]).max()
            _accumulate(level, labels, *rows, *columns, largest, total)

    threads.run(work, len(sums))
    return np.concatenate(sums, 1) / areas[:, None]


def _places(pixels: int, cells: int, stride: int, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """For one axis: the first pixel of each cell between two activations, and each pixel's position in its cell."""
    place = np.clip((np.arange(pixels) - offset) / stride, 0, cells - 1)
    cell = place.astype(np.int64)
    return np.searchsorted(cell, np.arange(cells + 1)), (place - cell).astype(np.float32)


@njit(fastmath={"contract", "nsz", "reassoc"})
def _accumulate(level, labels, first_rows, down, first_columns, across, largest, sums):
    height, width, channels = level.shape
    present = np.empty(largest, np.int32)
    weights = np.empty((largest, 4), np.float32)
    for i in range(height):
        for j in range(width):
            count = last = 0
            for y in range(first_rows[i], first_rows[i + 1]):
                for x in range(first_columns[j], first_columns[j + 1]):
                    piece = labels[y, x]
                    if count == 0 or present[last] != piece:
                        last = 0
                        while last < count and present[last] != piece:
                            last += 1
                        if last == count:
                            present[last] = piece
                            weights[last] = 0
                            count += 1
                    weights[last, 0] += (1 - down[y]) * (1 - across[x])
                    weights[last, 1] += (1 - down[y]) * across[x]
                    weights[last, 2] += down[y] * (1 - across[x])
                    weights[last, 3] += down[y] * across[x]
            for corner, (below, right) in enumerate(_CORNERS):
                if i + below < height and j + right < width:
                    activation = level[i + below, j + right]
                    for k in range(count):
                        weight = weights[k, corner]
                        if weight > 0:
                            total = sums[present[k]]
                            for c in range(channels):
                                total[c] += weight * activation[c]
