"""Correlation lookup as in the released AnimeInterp.

Its code uses the default alignment of PyTorch's `grid_sample`, which has changed since: pixel x of n is now sampled at
x · n / (n - 1) - ½, which on coarse maps is far from x. The interface is that of `CorrelationPyramid`. A map of one
pixel, at which the released code fails, is sampled exactly.
"""

import numpy as np
from torch import Tensor

from _util import threads
from _util.compiled import njit
from _util.correlation import CorrelationPyramid
from _util.graphs import constant


class StretchedCorrelationPyramid(CorrelationPyramid):
    """`CorrelationPyramid` with the released AnimeInterp's lookup."""

    stretched = True

    def _placed(self, places: Tensor, size: tuple[int, int]) -> Tensor:
        (stretch_x, shift_x), (stretch_y, shift_y) = map(_stretch_and_shift, size)
        return places * constant([stretch_x, stretch_y], places) - constant([shift_x, shift_y], places)

    def _read(self, maps: np.ndarray, places: np.ndarray, level: int, out: np.ndarray) -> None:
        b, _, h, w = places.shape
        axes = np.array([_stretch_and_shift(n) for n in maps.shape[:2:-1]], np.float32)
        threads.run(_lookup, b * h * w, maps, places, np.float32(0.5**level), axes, self.radius, level, out)


def _stretch_and_shift(n: int) -> tuple[float, float]:
    return (n / (n - 1), 0.5) if n > 1 else (1.0, 0.0)


@njit(fastmath={"contract", "nsz"})
def _lookup(maps, places, scale, axes, radius, level, out, start, stop):
    # One task: one pixel of map 0.
    height, width = maps.shape[3:]
    h, w = places.shape[2:]
    side, zero = 2 * radius + 1, np.float32(0)
    columns, rows = np.zeros(side, np.int64), np.zeros(side, np.int64)
    across, down = np.zeros(side, np.float32), np.zeros(side, np.float32)
    for task in range(start, stop):
        n, y, x = task // (h * w), task // w % h, task % w
        products, window = maps[n, y, x], out[n, y, x, level]
        u, v = places[n, 0, y, x] * scale, places[n, 1, y, x] * scale
        if not (u > -radius - 1 and u < width + radius and v > -radius - 1 and v < height + radius):
            window[:] = 0
            continue
        for k in range(side):
            place = np.float32((u + (k - radius)) * axes[0, 0] - axes[0, 1])
            columns[k], across[k] = int(np.floor(place)), np.float32(place - np.floor(place))
            place = np.float32((v + (k - radius)) * axes[1, 0] - axes[1, 1])
            rows[k], down[k] = int(np.floor(place)), np.float32(place - np.floor(place))
        for i in range(side):
            top = rows[i]
            above, below = top >= 0 and top < height, top >= -1 and top + 1 < height
            for j in range(side):
                left = columns[j]
                here, right = left >= 0 and left < width, left >= -1 and left + 1 < width
                p00 = products[top, left] if above and here else zero
                p01 = products[top, left + 1] if above and right else zero
                p10 = products[top + 1, left] if below and here else zero
                p11 = products[top + 1, left + 1] if below and right else zero
                upper, lower = p00 + across[j] * (p01 - p00), p10 + across[j] * (p11 - p10)
                window[j, i] = upper + down[i] * (lower - upper)
