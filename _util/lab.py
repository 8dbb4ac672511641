"""Conversion of sRGB to CIE L*a*b* (D65), in which colour differences are measured.

In: tensors (b, 3, h, w) in [0, 1], or integer arrays (h, w, 3). Out: the same layout in L*a*b*, L* from 0 to 100, as in
kornia. Arrays, and float32 tensors on the CPU without gradient, are converted by a kernel that takes both powers of the
formula from tables, to within 0.002.
"""

import functools

import numpy as np
import torch
from torch import Tensor

from _util import threads
from _util.compiled import njit

_STEPS = 1 << 12  # of the tables over [0, 1]
# Linear RGB to XYZ over the white of D65, as kornia's.
_XYZ = (
    np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
    / np.array([[0.95047], [1.0], [1.08883]])
).astype(np.float32)


def rgb_to_lab(image: Tensor) -> Tensor:
    """Convert (b, 3, h, w) RGB in [0, 1] to L*a*b* of the same dtype; differentiable."""
    if image.device.type != "cpu" or image.requires_grad or image.dtype != torch.float32:
        return _formula(image)
    image = image.contiguous()
    lab = torch.empty_like(image)
    b, _, h, w = image.shape
    source, target = (tensor.view(b, 3, h * w).numpy() for tensor in (image.detach(), lab))
    strips = max(1, h * w // (1 << 14))
    threads.run(_planes, b * strips, source, target, strips, _linear(_STEPS), _root(), _XYZ)
    return lab


def _formula(image: Tensor) -> Tensor:
    # Unlike kornia's, which copies a matrix from the host: that synchronizes, and cannot be captured in a CUDA graph.
    linear = torch.where(image > 0.04045, ((image + 0.055).clamp(min=0) / 1.055) ** 2.4, image / 12.92)
    r, g, b = linear.unbind(1)
    xyz = (shares[0] * r + shares[1] * g + shares[2] * b for shares in _XYZ.tolist())
    x, y, z = (torch.where(v > 0.008856, v.clamp(min=0.008856) ** (1 / 3), 7.787 * v + 4 / 29) for v in xyz)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def pixels_to_lab(pixels: np.ndarray) -> np.ndarray:
    """(h, w, 3) RGB, uint8 or uint16, to float32 L*a*b*."""
    lab = np.empty(pixels.shape, np.float32)
    _interleaved(np.ascontiguousarray(pixels), lab, _linear(np.iinfo(pixels.dtype).max), _root(), _XYZ)
    return lab


@functools.cache
def _linear(largest: int) -> np.ndarray:
    """Linear light for sRGB values 0, 1 / largest, …, 1; the last entry is repeated, for interpolation at 1."""
    x = np.arange(largest + 1) / largest
    linear = np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
    return np.append(linear, linear[-1]).astype(np.float32)


@functools.cache
def _root() -> np.ndarray:
    """CIE's f, a cube root that is linear near 0, of 0, 1 / `_STEPS`, …, 1, and one step beyond."""
    x = np.arange(_STEPS + 2) / _STEPS
    return np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 4 / 29).astype(np.float32)


@njit(inline="always")
def _between(table, x):
    # Clamps to the table; NaN becomes 0, as it must not become an index.
    last = np.float32(len(table) - 2)
    x = (x if x < last else last) if x > np.float32(0) else np.float32(0)
    i = np.uint32(x)  # unsigned, which avoids Numba's test for negative indices
    return table[i] + (x - np.float32(i)) * (table[i + np.uint32(1)] - table[i])


@njit(inline="always")
def _lab(r, g, b, root, xyz):
    steps = np.float32(len(root) - 2)
    x = _between(root, (xyz[0, 0] * r + xyz[0, 1] * g + xyz[0, 2] * b) * steps)
    y = _between(root, (xyz[1, 0] * r + xyz[1, 1] * g + xyz[1, 2] * b) * steps)
    z = _between(root, (xyz[2, 0] * r + xyz[2, 1] * g + xyz[2, 2] * b) * steps)
    return np.float32(116) * y - np.float32(16), np.float32(500) * (x - y), np.float32(200) * (y - z)


@njit(fastmath={"contract", "nsz"})
def _planes(source, target, strips, linear, root, xyz, start, stop):
    # One task: a strip of one image.
    pixels = source.shape[2]
    steps = np.float32(len(linear) - 2)
    for task in range(start, stop):
        n, strip = task // strips, task % strips
        for i in range(pixels * strip // strips, pixels * (strip + 1) // strips):
            r = _between(linear, source[n, 0, i] * steps)
            g = _between(linear, source[n, 1, i] * steps)
            b = _between(linear, source[n, 2, i] * steps)
            target[n, 0, i], target[n, 1, i], target[n, 2, i] = _lab(r, g, b, root, xyz)


@njit(fastmath={"contract", "nsz"})
def _interleaved(source, target, linear, root, xyz):
    for y in range(source.shape[0]):
        for x in range(source.shape[1]):
            r, g, b = linear[source[y, x, 0]], linear[source[y, x, 1]], linear[source[y, x, 2]]
            target[y, x, 0], target[y, x, 1], target[y, x, 2] = _lab(r, g, b, root, xyz)
