"""All-pairs correlation of two feature maps, at several scales (RAFT: Teed and Deng, ECCV 2020, section 3.2)."""

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _util import threads


class CorrelationPyramid:
    """Scalar products of every feature of one map with every feature of another, and of its 2×, 4×, 8× means.

    Pooling is linear, so a coarse level is the correlation with the pooled features. Levels without a pixel are zero.
    The products are fp32 whatever the features.

    Args:
        features0: (b, c, h, w), whose pixels look up.
        features1: (b, c, h, w), where they look.
        levels: number of scales.
        radius: a lookup returns (2 · radius + 1)² products per scale.
    """

    def __init__(self, features0: Tensor, features1: Tensor, levels: int = 4, radius: int = 4):
        self.radius, self.levels = radius, []
        for _ in range(levels):
            self.levels.append(_products(features0, features1))
            features1 = F.avg_pool2d(features1, 2) if min(features1.shape[2:]) > 1 else features1[:, :, :0, :0]

    @classmethod
    def both_ways(
        cls, features0: Tensor, features1: Tensor, levels: int = 4, radius: int = 4
    ) -> "tuple[CorrelationPyramid, CorrelationPyramid]":
        """The pyramids 0 → 1 and 1 → 0; the finest scale is one matrix, which the second reads transposed."""
        forward = cls(features0, features1, levels, radius)
        finest = forward.levels[0]
        backward = cls.__new__(cls)
        backward.radius = radius
        backward.levels = [finest.permute(0, 3, 4, 1, 2)]
        backward.levels += cls(features1, F.avg_pool2d(features0, 2), levels - 1, radius).levels
        return forward, backward

    def lookup(self, coordinates: Tensor) -> Tensor:
        """Products around the given places.

        Args:
            coordinates: (b, 2, h, w), x then y, where each pixel of map 0 looks in map 1, in pixels of map 1.

        Returns:
            (b, levels · (2 · radius + 1)², h, w) float32, scale by scale; within one, x offset by x offset as in the
            released RAFT code (whose window is transposed). Bilinear; zero outside the map.
        """
        if coordinates.device.type == "cpu" and not torch.is_grad_enabled():
            return self._lookup_numba(coordinates)
        b, _, h, w = coordinates.shape
        offset = torch.arange(-self.radius, self.radius + 1, device=coordinates.device, dtype=coordinates.dtype)
        window = torch.stack(torch.meshgrid(offset, offset, indexing="ij"), -1)
        centres = coordinates.permute(0, 2, 3, 1).reshape(b * h * w, 1, 1, 2)
        sampled = []
        for i, level in enumerate(self.levels):
            size = level.new_tensor([max(level.shape[4], 1), max(level.shape[3], 1)])
            grid = (2 * (centres / 2**i + window) + 1) / size - 1
            if level.numel():
                flat = level.reshape(b * h * w, 1, *level.shape[3:])
                products = F.grid_sample(flat, grid, align_corners=False)
            else:
                products = grid.new_zeros(b * h * w, 1, *window.shape[:2])
            sampled.append(products.view(b, h, w, -1))
        return torch.cat(sampled, -1).permute(0, 3, 1, 2)

    def _lookup_numba(self, coordinates: Tensor) -> Tensor:
        b, _, h, w = coordinates.shape
        side = 2 * self.radius + 1
        out = np.empty((b, h, w, len(self.levels), side, side), np.float32)
        places = coordinates.float().contiguous().numpy()
        for i, level in enumerate(self.levels):
            threads.run(_lookup, b * h * w, level.detach().numpy(), places, np.float32(0.5**i), self.radius, i, out)
        return torch.from_numpy(out).view(b, h, w, -1).permute(0, 3, 1, 2)


def _products(features0: Tensor, features1: Tensor) -> Tensor:
    """(b, c, h0, w0) and (b, c, h1, w1) to (b, h0, w0, h1, w1), divided by √c."""
    b, c, h, w = features0.shape
    with torch.autocast(features0.device.type, enabled=False):
        products = features0.float().flatten(2).transpose(1, 2) @ (features1.float().flatten(2) / c**0.5)
    return products.view(b, h, w, *features1.shape[2:])


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def _lookup(products, places, scale, radius, level, out, start, stop):
    # One task: one pixel of map 0.
    height, width = products.shape[3:]
    h, w = places.shape[2:]
    side = 2 * radius + 1
    patch = np.zeros((side + 1, side + 1), np.float32)
    for task in range(start, stop):
        n, y, x = task // (h * w), task // w % h, task % w
        u, v = places[n, 0, y, x] * scale, places[n, 1, y, x] * scale
        if not (u > -radius - 1 and u < width + radius and v > -radius - 1 and v < height + radius):
            out[n, y, x, level] = 0
            continue
        left, top = int(np.floor(u)) - radius, int(np.floor(v)) - radius
        across, down = np.float32(u - np.floor(u)), np.float32(v - np.floor(v))
        for i in range(side + 1):
            row = top + i
            for j in range(side + 1):
                column = left + j
                inside = row >= 0 and row < height and column >= 0 and column < width
                patch[i, j] = products[n, y, x, row, column] if inside else np.float32(0)
        for j in range(side):
            for i in range(side):
                upper = patch[i, j] + across * (patch[i, j + 1] - patch[i, j])
                lower = patch[i + 1, j] + across * (patch[i + 1, j + 1] - patch[i + 1, j])
                out[n, y, x, level, j, i] = upper + down * (lower - upper)
