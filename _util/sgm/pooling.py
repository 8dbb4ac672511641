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
                x = first_columns[j]
                while x < first_columns[j + 1]:
                    piece, left, right = labels[y, x], np.float32(0), np.float32(0)
                    while x < first_columns[j + 1] and labels[y, x] == piece:
                        left, right = left + (1 - across[x]), right + across[x]
                        x += 1
                    if count == 0 or present[last] != piece:
                        last = 0
                        while last < count and present[last] != piece:
                            last += 1
                        if last == count:
                            present[last] = piece
                            weights[last] = 0
                            count += 1
                    weights[last, 0] += (1 - down[y]) * left
                    weights[last, 1] += (1 - down[y]) * right
                    weights[last, 2] += down[y] * left
                    weights[last, 3] += down[y] * right
            below, beside = min(i + 1, height - 1), min(j + 1, width - 1)  # beyond the last one, weights are 0
            one, two, three, four = level[i, j], level[i, beside], level[below, j], level[below, beside]
            for k in range(count):
                total = sums[present[k]]
                first, second, third, fourth = weights[k, 0], weights[k, 1], weights[k, 2], weights[k, 3]
                for c in range(channels):
                    total[c] += first * one[c] + second * two[c] + third * three[c] + fourth * four[c]
