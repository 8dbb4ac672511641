"""Correlation as the released AnimeInterp looks it up.

Its code leaves the alignment of `grid_sample` to PyTorch, whose default has changed since: pixel x of n is now read at
x · n / (n - 1) - ½, which on coarse maps is far from x. In and out: as `CorrelationPyramid`. A map of one pixel, at
which the released code fails, is read exactly.
"""

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _util import threads
from _util.correlation import CorrelationPyramid


class StretchedCorrelationPyramid(CorrelationPyramid):
    """`CorrelationPyramid` with the released AnimeInterp's lookup."""

    def _sample(self, scales: list[Tensor], coordinates: Tensor) -> Tensor:
        b, _, h, w = coordinates.shape
        offset = torch.arange(-self.radius, self.radius + 1, device=coordinates.device, dtype=coordinates.dtype)
        window = torch.stack(torch.meshgrid(offset, offset, indexing="ij"), -1)
        centres = coordinates.permute(0, 2, 3, 1).reshape(b * h * w, 1, 1, 2)
        sampled = []
        for i, products in enumerate(scales):
            if products.numel():
                (stretch_x, shift_x), (stretch_y, shift_y) = map(_stretch_and_shift, products.shape[:2:-1])
                places = centres / 2**i + window
                places = places * places.new_tensor([stretch_x, stretch_y]) - places.new_tensor([shift_x, shift_y])
                grid = (2 * places + 1) / places.new_tensor(products.shape[:2:-1]) - 1
                maps = products.reshape(b * h * w, 1, *products.shape[3:])
                sampled.append(F.grid_sample(maps, grid, align_corners=False).view(b, h, w, -1))
            else:
                sampled.append(coordinates.new_zeros(b, h, w, window[..., 0].numel()))
        return torch.cat(sampled, -1).permute(0, 3, 1, 2)

    def _lookup_numba(self, coordinates: Tensor) -> Tensor:
        n, _, h, w = coordinates.shape
        b, side = n // len(self.directions), 2 * self.radius + 1
        found = torch.zeros(n, h, w, len(self.directions[0]), side, side)
        out = found.numpy()
        places = coordinates.float().contiguous().numpy()
        for d, scales in enumerate(self.directions):
            part = slice(d * b, (d + 1) * b)
            for i, products in enumerate(scales):
                if products.numel():
                    axes = np.array([_stretch_and_shift(n) for n in products.shape[:2:-1]], np.float32)
                    scale, maps = np.float32(0.5**i), products.detach().numpy()
                    threads.run(_lookup, b * h * w, maps, places[part], scale, axes, self.radius, i, out[part])
        return found.view(n, h, w, -1).permute(0, 3, 1, 2)


def _stretch_and_shift(n: int) -> tuple[float, float]:
    return (n / (n - 1), 0.5) if n > 1 else (1.0, 0.0)


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def _lookup(maps, places, scale, axes, radius, level, out, start, stop):
    # One task: one pixel of map 0. `out` is zero.
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
