"""All-pairs correlation of two feature maps, at several scales (RAFT: Teed and Deng, ECCV 2020, section 3.2).

Without gradient, products are looked up in place by the project's own kernel, in Numba on the CPU and in CUDA; with
gradient, on other devices, or on CUDA without CuPy, by PyTorch's `grid_sample`.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _util import cuda, threads
from _util.compiled import njit
from _util.graphs import constant


class CorrelationPyramid:
    """Scalar products of every feature of one map with every feature of another, and of its 2×, 4×, 8× means.

    Pooling is linear, so a coarse scale is the correlation with pooled features; a scale without a pixel is zero. The
    products are fp32 whatever the features.

    Args:
        features0: (b, c, h, w), whose pixels look up.
        features1: (b, c, h, w), where they look.
        both_ways: the pixels of map 1 look in map 0 too. The finest scale then is one matrix, read along both axes.
        scales: number of scales.
        radius: a lookup returns (2 · radius + 1)² products per scale.
        stretched: look up as in the released AnimeInterp, whose code uses the default alignment of PyTorch's
            `grid_sample`, which has changed since: pixel x of n is now sampled at x · n / (n - 1) - ½, which on coarse
            maps is far from x. A map of one pixel, at which the released code fails, is sampled exactly.
    """

    def __init__(
        self,
        features0: Tensor,
        features1: Tensor,
        both_ways: bool = False,
        scales: int = 4,
        radius: int = 4,
        stretched: bool = False,
    ):
        self.radius, self.stretched = radius, stretched
        finest = _products(features0, features1)
        self.directions = [[finest, *_coarser(features0, features1, scales - 1)]]
        if both_ways:
            transposed = finest.permute(0, 3, 4, 1, 2)
            if not self._is_read_in_place(finest):
                transposed = transposed.contiguous()
            self.directions.append([transposed, *_coarser(features1, features0, scales - 1)])

    def lookup(self, coordinates: Tensor) -> Tensor:
        """Products around the given places.

        Args:
            coordinates: (b, 2, h, w), x then y, where each pixel of map 0 looks in map 1, in pixels of map 1. Both
                ways: (2b, 2, h, w), where those of map 1 look in map 0 in the second half.

        Returns:
            (b or 2b, scales · (2 · radius + 1)², h, w) float32, scale by scale; within one, x offset by x offset as in
            the released RAFT code (whose window is transposed). Bilinear; zero outside the map.
        """
        if self._is_read_in_place(coordinates):
            return self._lookup_in_place(coordinates)
        places = coordinates.chunk(len(self.directions))
        return torch.cat([self._sample(scales, at) for scales, at in zip(self.directions, places, strict=True)])

    def _sample(self, scales: list[Tensor], coordinates: Tensor) -> Tensor:
        b, _, h, w = coordinates.shape
        offset = torch.arange(-self.radius, self.radius + 1, device=coordinates.device, dtype=coordinates.dtype)
        window = torch.stack(torch.meshgrid(offset, offset, indexing="ij"), -1)
        centres = coordinates.permute(0, 2, 3, 1).reshape(b * h * w, 1, 1, 2)
        sampled = []
        for i, products in enumerate(scales):
            if products.numel():
                size = products.shape[4], products.shape[3]
                places = centres / 2**i + window
                if self.stretched:
                    stretches, shifts = zip(*map(_stretch_and_shift, size), strict=True)
                    places = places * constant(stretches, places) - constant(shifts, places)
                grid = (2 * places + 1) / constant(size, places) - 1
                maps = products.reshape(b * h * w, 1, *products.shape[3:])
                sampled.append(F.grid_sample(maps, grid, align_corners=False).view(b, h, w, -1))
            else:
                sampled.append(coordinates.new_zeros(b, h, w, window[..., 0].numel()))
        return torch.cat(sampled, -1).permute(0, 3, 1, 2)

    def _lookup_in_place(self, coordinates: Tensor) -> Tensor:
        n, _, h, w = coordinates.shape
        b, side = n // len(self.directions), 2 * self.radius + 1
        coordinates = coordinates.float().contiguous()
        found = coordinates.new_empty(n, h, w, len(self.directions[0]), side, side)
        for d, scales in enumerate(self.directions):
            part = slice(d * b, (d + 1) * b)
            if coordinates.device.type == "cpu":
                for i, products in enumerate(scales):
                    self._read(products.detach().numpy(), coordinates[part].numpy(), i, found[part].numpy())
            else:
                self._read_on_cuda(scales, coordinates[part], found[part])
        return found.view(n, h, w, -1).permute(0, 3, 1, 2)

    def _is_read_in_place(self, tensor: Tensor) -> bool:
        """Whether lookups use the kernels for inference, which read products in place, in any order."""
        if torch.is_grad_enabled():
            return False
        on_cpu = tensor.device.type == "cpu"
        return on_cpu or (cuda.available(tensor) and self.radius <= _LARGEST_RADIUS)

    def _read(self, maps: np.ndarray, places: np.ndarray, level: int, out: np.ndarray) -> None:
        """Look up one scale, without gradient, on the CPU."""
        b, _, h, w = places.shape
        shared, scale = (self.radius, level, out), np.float32(0.5**level)
        if self.stretched:
            axes = np.array([_stretch_and_shift(n) for n in maps.shape[:2:-1]], np.float32)
            threads.run(_stretched_lookup, b * h * w, maps, places, scale, axes, *shared)
        else:
            threads.run(_lookup, b * h * w, maps, places, scale, *shared)

    def _read_on_cuda(self, scales: list[Tensor], places: Tensor, out: Tensor) -> None:
        """Look up all scales, without gradient, on CUDA."""
        b, _, h, w = places.shape
        shared = (places, out, b, h, w, self.radius, len(scales), int(self.stretched))
        for level, products in enumerate(scales):
            height, width = products.shape[3:]
            # The maps are contiguous one after the other, or, in the reverse direction, interleaved value by value.
            if products.is_contiguous():
                steps = height * width, 1
            else:
                products, steps = products.permute(0, 3, 4, 1, 2), (1, h * w)
            blocks = cuda.blocks_for(32 * b * h * w)
            cuda.launch(
                CUDA_SOURCE, "lookup", torch.float32, (blocks, 1), products, *shared, level, *steps, height, width
            )


def _coarser(features0: Tensor, features1: Tensor, scales: int) -> list[Tensor]:
    products = []
    for _ in range(scales):
        features1 = F.avg_pool2d(features1, 2) if min(features1.shape[2:]) > 1 else features1[:, :, :0, :0]
        products.append(_products(features0, features1))
    return products


def _products(features0: Tensor, features1: Tensor) -> Tensor:
    """(b, c, h0, w0) and (b, c, h1, w1) to (b, h0, w0, h1, w1), divided by √c."""
    b, c, h, w = features0.shape
    size1 = features1.shape[2:]
    with torch.autocast(features0.device.type, enabled=False):
        features0, features1 = features0.float(), features1.float() / c**0.5
        on_cpu = features0.device.type == "cpu"
        if on_cpu and b == 1 and features1.numel() and not torch.is_grad_enabled():
            # One map's features are the filters of a 1×1 convolution over the other: oneDNN is faster than BLAS here.
            filters = features0[0].flatten(1).T.contiguous()[:, :, None, None]
            products = F.conv2d(features1.contiguous(memory_format=torch.channels_last), filters)
        else:
            products = features0.flatten(2).transpose(1, 2) @ features1.flatten(2)
    return products.view(b, h, w, *size1)


def _stretch_and_shift(n: int) -> tuple[float, float]:
    return (n / (n - 1), 0.5) if n > 1 else (1.0, 0.0)


_LARGEST_RADIUS = 4

CUDA_SOURCE = r"""
struct Axis {  // of one window: where it is read, and the part of the map that it needs
    float centre, stretch, shift;
    int first, last;
};

__device__ float place(Axis axis, int offset) { return (axis.centre + offset) * axis.stretch - axis.shift; }

__device__ Axis axis_around(float centre, int size, int radius, int stretched) {
    bool is_stretched = stretched && size > 1;
    Axis axis = {centre, is_stretched ? size / (size - 1.f) : 1.f, is_stretched ? 0.5f : 0.f};
    axis.first = max(0, (int)floorf(place(axis, -radius)));
    axis.last = min(min(size - 1, (int)floorf(place(axis, radius)) + 1), axis.first + 11);
    return axis;
}

// A warp looks up the window of one pixel at one scale: it fetches what the window touches, then interpolates. Steps
// are between the maps of neighbouring pixels and between neighbouring places of a map.
extern "C" __global__ void lookup(const float* products, const float* places, float* out, int b, int h, int w,
                                  int radius, int scales, int stretched, int level, int pixel_step, int place_step,
                                  int height, int width) {
    __shared__ float patches[8][12 * 12];
    float* patch = patches[threadIdx.x / 32];
    int lane = threadIdx.x % 32, side = 2 * radius + 1;
    unsigned thread = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, area = h * w;
    bool exists = thread < b * area, meets = false;
    index_t n = thread / area, pixel = thread % area, plane = area;
    Axis across = {}, down = {};
    int columns = 0;
    if (exists) {
        float scale = 1.f / (1 << level);
        float u = places[2 * n * plane + pixel] * scale, v = places[(2 * n + 1) * plane + pixel] * scale;
        meets = u > -radius - 1 && u < width + radius && v > -radius - 1 && v < height + radius;
        if (meets) {
            across = axis_around(u, width, radius, stretched), down = axis_around(v, height, radius, stretched);
            columns = max(0, across.last - across.first + 1);
            const float* map = products + n * plane * height * width + pixel * pixel_step;
            for (int i = lane; i < columns * (down.last - down.first + 1); i += 32) {
                int row = down.first + i / columns, column = across.first + i % columns;
                patch[i] = map[((index_t)row * width + column) * place_step];
            }
        }
    }
    __syncthreads();
    if (!exists) return;
    float* found = out + ((index_t)thread * scales + level) * side * side;
    for (int i = lane; i < side * side; i += 32) {
        float sum = 0.f;
        if (meets) {
            float x = place(across, i / side - radius), y = place(down, i % side - radius);
            int left = (int)floorf(x), top = (int)floorf(y);
            for (int corner = 0; corner < 4; ++corner) {
                int row = top + corner / 2, column = left + corner % 2;
                if (row < down.first || row > down.last || column < across.first || column > across.last) continue;
                float share = (corner / 2 ? y - top : top + 1.f - y) * (corner % 2 ? x - left : left + 1.f - x);
                sum += share * patch[(row - down.first) * columns + column - across.first];
            }
        }
        found[i] = sum;
    }
}
"""


@njit(fastmath={"contract", "nsz"})
def _lookup(maps, places, scale, radius, level, out, start, stop):
    # One task: one pixel of map 0.
    height, width = maps.shape[3:]
    h, w = places.shape[2:]
    side = 2 * radius + 1
    patch = np.zeros((side + 1, side + 1), np.float32)
    for task in range(start, stop):
        n, y, x = task // (h * w), task // w % h, task % w
        products, window = maps[n, y, x], out[n, y, x, level]
        u, v = places[n, 0, y, x] * scale, places[n, 1, y, x] * scale
        if not (u > -radius - 1 and u < width + radius and v > -radius - 1 and v < height + radius):
            window[:] = 0
            continue
        left, top = int(np.floor(u)) - radius, int(np.floor(v)) - radius
        across, down = np.float32(u - np.floor(u)), np.float32(v - np.floor(v))
        if left >= 0 and top >= 0 and left + side < width and top + side < height:
            for i in range(side + 1):
                for j in range(side + 1):
                    patch[i, j] = products[np.uintp(top + i), np.uintp(left + j)]
        else:
            for i in range(side + 1):
                for j in range(side + 1):
                    row, column = top + i, left + j
                    inside = row >= 0 and row < height and column >= 0 and column < width
                    patch[i, j] = products[row, column] if inside else np.float32(0)
        for i in range(side):
            for j in range(side):
                upper = patch[i, j] + across * (patch[i, j + 1] - patch[i, j])
                lower = patch[i + 1, j] + across * (patch[i + 1, j + 1] - patch[i + 1, j])
                window[j, i] = upper + down * (lower - upper)


@njit(fastmath={"contract", "nsz"})
def _stretched_lookup(maps, places, scale, axes, radius, level, out, start, stop):
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
