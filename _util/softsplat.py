"""Forward warping by softmax splatting (Niklaus and Liu, "Softmax Splatting for Video Frame Interpolation", CVPR 2020).

Every source pixel lands at its own position plus its flow and is shared out, bilinearly, among the four target pixels
around that point; what lands on the same target is summed or averaged. Targets that nothing reaches are holes and 0.

Three implementations of one function: Numba on the CPU, CuPy on CUDA, and plain PyTorch operations where neither fits
(CUDA without CuPy, other devices). Half precisions are accumulated in fp32. The CPU result does not depend on the
number of threads; the CUDA one varies in the last bits, as atomic additions have no order.
"""

import math
from typing import Literal

import numba
import numpy as np
import torch
from torch import Tensor

from _util import cuda, threads

Mode = Literal["sum", "average", "linear", "softmax"]


def softsplat(values: Tensor, flow: Tensor, metric: Tensor | None = None, mode: Mode = "softmax") -> Tensor:
    """Warp `values` forward along `flow`.

    Args:
        values: (b, c, h, w), any floating dtype.
        flow: (b, 2, h, w), x then y, in pixels, from the grid of `values` to the grid of the result.
        metric: (b, 1, h, w), importance of each source pixel; for "linear" (a weight) and "softmax" (its logarithm).
        mode: "sum" (mass is conserved), "average", "linear" or "softmax" (equations 2 to 5 of the paper).

    Returns:
        (b, c, h, w) in the dtype of `values`; 0 in holes. Differentiable in all three tensors.

    Raises:
        ValueError: shapes do not fit, or a metric is missing or not wanted.
    """
    return _splat(values, flow, metric, mode)[0]


def softsplat_with_mask(
    values: Tensor, flow: Tensor, metric: Tensor | None = None, mode: Mode = "softmax"
) -> tuple[Tensor, Tensor]:
    """`softsplat`, and a (b, 1, h, w) mask in the same dtype: 1 where anything landed, 0 in holes (no gradient)."""
    splatted, total = _splat(values, flow, metric, mode)
    return splatted, (total != 0).to(values.dtype)


def _splat(values: Tensor, flow: Tensor, metric: Tensor | None, mode: Mode) -> tuple[Tensor, Tensor]:
    """The result and the total weight that landed on each pixel, (b, 1, h, w)."""
    _check(values, flow, metric, mode)
    flow = flow.to(_accumulator(values.dtype))
    weight = None
    if metric is not None:
        metric = metric.to(flow.dtype)
        weight = metric.exp() if mode == "softmax" else metric
    normalise = mode != "sum"
    if _backend(values) is None:
        return _compose(values, flow, weight, normalise)
    return _Softsplat.apply(values, flow, weight, normalise)


def _check(values: Tensor, flow: Tensor, metric: Tensor | None, mode: str) -> None:
    if mode not in ("sum", "average", "linear", "softmax"):
        raise ValueError(f"mode is {mode!r}; it can be sum, average, linear or softmax")
    if values.dim() != 4 or not values.is_floating_point():
        raise ValueError(f"values must be floating and (b, c, h, w), not {values.dtype} {tuple(values.shape)}")
    b, _, h, w = values.shape
    if flow.shape != (b, 2, h, w):
        raise ValueError(f"flow must be {(b, 2, h, w)} like the values, not {tuple(flow.shape)}")
    if (metric is not None) != (mode in ("linear", "softmax")):
        raise ValueError(f"mode {mode!r} takes {'a' if metric is None else 'no'} metric")
    if metric is not None and metric.shape != (b, 1, h, w):
        raise ValueError(f"metric must be {(b, 1, h, w)} like the values, not {tuple(metric.shape)}")


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _backend(values: Tensor) -> "type[_Numba] | type[_CuPy] | None":
    if values.device.type == "cpu":
        return _Numba
    return _CuPy if cuda.available(values) else None


class _Softsplat(torch.autograd.Function):
    """(values, flow, weight or None) -> (result, total weight that landed on each pixel)."""

    @staticmethod
    def forward(ctx, values, flow, weight, normalise):
        values, flow = values.contiguous(), flow.contiguous()
        weight = None if weight is None else weight.contiguous()
        result, total = _backend(values).forward(values, flow, weight, normalise)
        ctx.save_for_backward(values, flow, weight, result if normalise else None, total)
        ctx.mark_non_differentiable(total)
        return result, total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient, _):
        values, flow, weight, result, total = ctx.saved_tensors
        gradient = gradient.to(flow.dtype)
        gradient_total = torch.zeros_like(total)
        if result is not None:  # result = sum / total: the chain rule through both comes before the kernel
            gradient = gradient / total.where(total != 0, 1)
            gradient_total = -(gradient * result).sum(1, keepdim=True)
        to_values, to_flow, to_weight = _backend(values).backward(
            gradient.contiguous(), gradient_total, values, flow, weight
        )
        return to_values, to_flow, to_weight if weight is not None else None, None


def _compose(values: Tensor, flow: Tensor, weight: Tensor | None, normalise: bool) -> tuple[Tensor, Tensor]:
    """The same from PyTorch operations alone; autograd sees through it."""
    weighted = values.to(flow.dtype)
    ones = torch.ones_like(flow[:, :1]) if weight is None else weight
    if weight is not None:
        weighted = weighted * weight
    splatted = _scatter(torch.cat([weighted, ones], 1), flow)
    result, total = splatted[:, :-1], splatted[:, -1:]
    if normalise:
        result = result / total.where(total != 0, 1)
    return result.to(values.dtype), total.detach()


def _scatter(values: Tensor, flow: Tensor) -> Tensor:
    b, c, h, w = values.shape
    x = torch.arange(w, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(h, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    lands = (x > -1) & (x < w) & (y > -1) & (y < h)
    x, y = x.where(lands, 0), y.where(lands, 0)
    left, top = x.detach().floor(), y.detach().floor()
    out = torch.zeros_like(values).flatten(2)
    for column, across in ((left, left + 1 - x), (left + 1, x - left)):
        for row, down in ((top, top + 1 - y), (top + 1, y - top)):
            inside = lands & (column >= 0) & (column < w) & (row >= 0) & (row < h)
            share = (across * down).where(inside, 0)
            index = (row * w + column).where(inside, 0).long()
            out = out.scatter_add(2, index.reshape(b, 1, -1).expand(-1, c, -1), (values * share[:, None]).flatten(2))
    return out.view_as(values)


# Channels that are splatted together as one vector, and up to how many pixels there is room for them in the cache.
_LANES = 16
_LARGEST_TILE = 2**19


class _Numba:
    """CPU: one task is a group of channels of one image, so that no two threads add to the same plane.

    Many channels are turned, tile by tile, to lie side by side in memory; few are not worth that.
    """

    @staticmethod
    def forward(values, flow, weight, normalise):
        b, c, h, w = values.shape
        planes, flows = _array(values, flow.dtype), _array(flow, flow.dtype)
        ones = np.ones((b, 1, h, w), flows.dtype)
        weights = ones if weight is None else _array(weight, flow.dtype)
        total, out = np.zeros((b, 1, h, w), flows.dtype), np.empty((b, c, h, w), flows.dtype)
        threads.run(_splat_channels, b, ones, flows, weights, total, total, False, 0, 1)
        tiled = c // _LANES * _LANES if h * w <= _LARGEST_TILE else 0
        threads.run(_splat_tiles, b * tiled // _LANES, planes, flows, weights, total, out, normalise)
        out[:, tiled:] = 0
        group = max(1, min(4, math.ceil(b * (c - tiled) / torch.get_num_threads())))
        tasks = b * math.ceil((c - tiled) / group)
        threads.run(_splat_channels, tasks, planes, flows, weights, total, out, normalise, tiled, group)
        return torch.from_numpy(out).to(values.dtype), torch.from_numpy(total)

    @staticmethod
    def backward(gradient, gradient_total, values, flow, weight):
        b, _, h, w = values.shape
        planes, flows = _array(values, flow.dtype), _array(flow, flow.dtype)
        weights = np.ones((b, 1, h, w), flows.dtype) if weight is None else _array(weight, flow.dtype)
        gradients = np.concatenate([_array(gradient, flow.dtype), _array(gradient_total, flow.dtype)], 1)
        to_values, to_flow, to_weight = np.zeros_like(planes), np.zeros_like(flows), np.zeros_like(weights)
        threads.run(_gather_rows, b * h, gradients, planes, flows, weights, to_values, to_flow, to_weight)
        return torch.from_numpy(to_values).to(values.dtype), torch.from_numpy(to_flow), torch.from_numpy(to_weight)


def _array(tensor: Tensor, dtype: torch.dtype) -> np.ndarray:
    return tensor.detach().to(dtype).contiguous().numpy()


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def _splat_channels(values, flow, weight, total, out, normalise, skipped, group, start, stop):
    # One task: `group` channels of one image, after the `skipped` ones. `total` is read only if `normalise`. Planes are
    # flat and their indices unsigned, which spares the handling of negative ones; positions round as in the released
    # fp32 kernels.
    b, c, h, w = out.shape
    dtype, one = out.dtype.type, out.dtype.type(1)
    planes, splatted = values.reshape(b * c, h * w), out.reshape(b * c, h * w)
    flows, weights, totals = flow.reshape(b, 2, h * w), weight.reshape(b, h * w), total.reshape(b, h * w)
    groups = (c - skipped + group - 1) // group
    for task in range(start, stop):
        n, channel = task // groups, skipped + task % groups * group
        first, last = np.uintp(n * c + channel), np.uintp(n * c + min(c, channel + group))
        for y in range(h):
            for x in range(w):
                pixel = np.uintp(y * w + x)
                u, v = dtype(dtype(x) + flows[n, 0, pixel]), dtype(dtype(y) + flows[n, 1, pixel])
                if not (u > -1 and u < w and v > -1 and v < h):  # nor does a flow that is not a number land
                    continue
                floor_u, floor_v, scale = np.floor(u), np.floor(v), weights[n, pixel]
                across, back, down, up = u - floor_u, floor_u + one - u, v - floor_v, floor_v + one - v
                a00, a01, a10, a11 = back * up * scale, across * up * scale, back * down * scale, across * down * scale
                left, top = int(floor_u), int(floor_v)
                if left >= 0 and left + 1 < w and top >= 0 and top + 1 < h:
                    p00, p10 = np.uintp(top * w + left), np.uintp((top + 1) * w + left)
                    p01, p11 = p00 + np.uintp(1), p10 + np.uintp(1)
                    for k in range(first, last):
                        value = planes[k, pixel]
                        splatted[k, p00] += value * a00
                        splatted[k, p01] += value * a01
                        splatted[k, p10] += value * a10
                        splatted[k, p11] += value * a11
                    continue
                for k in range(first, last):
                    value = planes[k, pixel]
                    if top >= 0 and left >= 0:
                        splatted[k, top * w + left] += value * a00
                    if top >= 0 and left + 1 < w:
                        splatted[k, top * w + left + 1] += value * a01
                    if top + 1 < h and left >= 0:
                        splatted[k, (top + 1) * w + left] += value * a10
                    if top + 1 < h and left + 1 < w:
                        splatted[k, (top + 1) * w + left + 1] += value * a11
        if normalise:
            for k in range(first, last):
                for pixel in range(h * w):
                    divisor = totals[n, pixel]
                    splatted[k, pixel] /= divisor if divisor != 0 else one


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def _splat_tiles(values, flow, weight, total, out, normalise, start, stop):
    # One task: `_LANES` channels of one image; a rest of fewer channels is left out.
    c, h, w = out.shape[1:]
    dtype, one = out.dtype.type, out.dtype.type(1)
    tiles = c // _LANES
    row, tile = np.empty((w, _LANES), out.dtype), np.empty((h * w, _LANES), out.dtype)
    for task in range(start, stop):
        n, first = task // tiles, task % tiles * _LANES
        tile[:] = 0
        for y in range(h):
            for k in range(_LANES):
                for x in range(w):
                    row[x, k] = values[n, first + k, y, x]
            for x in range(w):
                u, v = dtype(dtype(x) + flow[n, 0, y, x]), dtype(dtype(y) + flow[n, 1, y, x])
                if not (u > -1 and u < w and v > -1 and v < h):
                    continue
                floor_u, floor_v, scale = np.floor(u), np.floor(v), weight[n, 0, y, x]
                across, back, down, up = u - floor_u, floor_u + one - u, v - floor_v, floor_v + one - v
                a00, a01, a10, a11 = back * up * scale, across * up * scale, back * down * scale, across * down * scale
                left, top = int(floor_u), int(floor_v)
                from_ = np.uintp(x)
                if left >= 0 and left + 1 < w and top >= 0 and top + 1 < h:
                    p00, p10 = np.uintp(top * w + left), np.uintp((top + 1) * w + left)
                    p01, p11 = p00 + np.uintp(1), p10 + np.uintp(1)
                    for lane in range(_LANES):
                        k = np.uintp(lane)
                        value = row[from_, k]
                        tile[p00, k] += value * a00
                        tile[p01, k] += value * a01
                        tile[p10, k] += value * a10
                        tile[p11, k] += value * a11
                    continue
                for corner in range(4):
                    y_to, x_to = top + corner // 2, left + corner % 2
                    if y_to >= 0 and y_to < h and x_to >= 0 and x_to < w:
                        share = (a00, a01, a10, a11)[corner]
                        for k in range(_LANES):
                            tile[y_to * w + x_to, k] += row[x, k] * share
        for y in range(h):
            for k in range(_LANES):
                for x in range(w):
                    divisor = total[n, 0, y, x] if normalise else one
                    out[n, first + k, y, x] = tile[y * w + x, k] / (divisor if divisor != 0 else one)


@numba.njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def _gather_rows(gradient, values, flow, weight, to_values, to_flow, to_weight, start, stop):
    # One task: one source row of one image. The last channel of `gradient` belongs to the total weight.
    c, h, w = values.shape[1:]
    dtype, one, zero = values.dtype.type, values.dtype.type(1), values.dtype.type(0)
    for task in range(start, stop):
        n, y = task // h, task % h
        for k in range(c + 1):
            for x in range(w):
                u, v = dtype(dtype(x) + flow[n, 0, y, x]), dtype(dtype(y) + flow[n, 1, y, x])
                if not (u > -1 and u < w and v > -1 and v < h):
                    continue
                left, top = int(np.floor(u)), int(np.floor(v))
                across, down, scale = dtype(u - np.floor(u)), dtype(v - np.floor(v)), weight[n, 0, y, x]
                g00 = gradient[n, k, top, left] if top >= 0 and left >= 0 else zero
                g01 = gradient[n, k, top, left + 1] if top >= 0 and left + 1 < w else zero
                g10 = gradient[n, k, top + 1, left] if top + 1 < h and left >= 0 else zero
                g11 = gradient[n, k, top + 1, left + 1] if top + 1 < h and left + 1 < w else zero
                upper, lower = g00 + across * (g01 - g00), g10 + across * (g11 - g10)
                gathered = upper + down * (lower - upper)
                value = one
                if k < c:
                    value = values[n, k, y, x]
                    to_values[n, k, y, x] = gathered * scale
                to_weight[n, 0, y, x] += gathered * value
                to_flow[n, 0, y, x] += ((one - down) * (g01 - g00) + down * (g11 - g10)) * value * scale
                to_flow[n, 1, y, x] += (lower - upper) * value * scale


class _CuPy:
    """CUDA: one thread is one pixel and a group of channels; sums are atomic, in fp32."""

    group = 8

    @staticmethod
    def forward(values, flow, weight, normalise):
        b, c, h, w = values.shape
        summed = torch.zeros((b, c, h, w), dtype=torch.float32, device=values.device)
        total = torch.zeros((b, 1, h, w), dtype=torch.float32, device=values.device)
        size, shape = (b * h * w, math.ceil(c / _CuPy.group)), (b, c, h, w, _CuPy.group)
        cuda.launch(CUDA_SOURCE, "splat", values.dtype, size, values, flow, weight, summed, total, *shape)
        if not normalise:
            return summed.to(values.dtype), total
        result = torch.empty_like(values)
        cuda.launch(CUDA_SOURCE, "normalise", values.dtype, size, summed, total, result, *shape)
        return result, total

    @staticmethod
    def backward(gradient, gradient_total, values, flow, weight):
        b, c, h, w = values.shape
        to_values, to_flow, to_weight = torch.zeros_like(values), torch.zeros_like(flow), torch.zeros_like(flow[:, :1])
        tensors = (gradient, gradient_total, values, flow, weight, to_values, to_flow, to_weight)
        cuda.launch(CUDA_SOURCE, "gather", values.dtype, (b * h * w, 1), *tensors, b, c, h, w)
        return to_values, to_flow, to_weight


CUDA_SOURCE = r"""
struct Landing {
    int left, top;
    float shares[4];  // of the corners (top, left), (top, right), (bottom, left), (bottom, right)
    bool inside[4], any;
};

__device__ Landing land(const float* flow, int n, int y, int x, int h, int w) {
    index_t plane = (index_t)h * w, pixel = (index_t)y * w + x;
    float u = x + flow[2 * n * plane + pixel], v = y + flow[(2 * n + 1) * plane + pixel];
    Landing to;
    to.any = u > -1.f && u < w && v > -1.f && v < h;
    if (!to.any) return to;
    to.left = (int)floorf(u), to.top = (int)floorf(v);
    float across = u - to.left, back = to.left + 1.f - u, down = v - to.top, up = to.top + 1.f - v;
    for (int corner = 0; corner < 4; ++corner) {
        int row = to.top + corner / 2, column = to.left + corner % 2;
        to.inside[corner] = row >= 0 && row < h && column >= 0 && column < w;
        to.shares[corner] = (corner / 2 ? down : up) * (corner % 2 ? across : back);
    }
    return to;
}

#define CORNER(base, corner) (base)[(index_t)(to.top + (corner) / 2) * w + to.left + (corner) % 2]

extern "C" __global__ void splat(const scalar* values, const float* flow, const float* weight, float* summed,
                                 float* total, int b, int c, int h, int w, int group) {
    index_t thread = (index_t)blockIdx.x * blockDim.x + threadIdx.x, plane = (index_t)h * w;
    if (thread >= b * plane) return;
    int n = thread / plane, y = thread % plane / w, x = thread % w;
    Landing to = land(flow, n, y, x, h, w);
    if (!to.any) return;
    index_t pixel = (index_t)y * w + x;
    float scale = weight ? weight[n * plane + pixel] : 1.f;
    if (blockIdx.y == 0)
        for (int corner = 0; corner < 4; ++corner)
            if (to.inside[corner]) atomicAdd(&CORNER(total + n * plane, corner), scale * to.shares[corner]);
    int first = blockIdx.y * group, last = min(c, first + group);
    for (int k = first; k < last; ++k) {
        index_t channel = ((index_t)n * c + k) * plane;
        float value = load(values[channel + pixel]) * scale;
        for (int corner = 0; corner < 4; ++corner)
            if (to.inside[corner]) atomicAdd(&CORNER(summed + channel, corner), value * to.shares[corner]);
    }
}

extern "C" __global__ void normalise(const float* summed, const float* total, scalar* result, int b, int c, int h,
                                     int w, int group) {
    index_t thread = (index_t)blockIdx.x * blockDim.x + threadIdx.x, plane = (index_t)h * w;
    if (thread >= b * plane) return;
    index_t n = thread / plane, pixel = thread % plane;
    float divisor = total[thread] != 0.f ? total[thread] : 1.f;
    int first = blockIdx.y * group, last = min(c, first + group);
    for (int k = first; k < last; ++k) {
        index_t at = (n * c + k) * plane + pixel;
        result[at] = store(summed[at] / divisor);
    }
}

extern "C" __global__ void gather(const float* gradient, const float* gradient_total, const scalar* values,
                                  const float* flow, const float* weight, scalar* to_values, float* to_flow,
                                  float* to_weight, int b, int c, int h, int w) {
    index_t thread = (index_t)blockIdx.x * blockDim.x + threadIdx.x, plane = (index_t)h * w;
    if (thread >= b * plane) return;
    int n = thread / plane, y = thread % plane / w, x = thread % w;
    Landing to = land(flow, n, y, x, h, w);
    if (!to.any) return;
    index_t pixel = (index_t)y * w + x;
    float scale = weight ? weight[n * plane + pixel] : 1.f;
    float sum_weight = 0.f, sum_x = 0.f, sum_y = 0.f;
    for (int k = 0; k <= c; ++k) {  // channel c is the total weight, whose value is 1 everywhere
        const float* from = k < c ? gradient + ((index_t)n * c + k) * plane : gradient_total + n * plane;
        float g[4], gathered = 0.f;
        for (int corner = 0; corner < 4; ++corner) {
            g[corner] = to.inside[corner] ? CORNER(from, corner) : 0.f;
            gathered += g[corner] * to.shares[corner];
        }
        float across = to.shares[1] + to.shares[3], down = to.shares[2] + to.shares[3], value = 1.f;
        if (k < c) {
            index_t at = ((index_t)n * c + k) * plane + pixel;
            value = load(values[at]);
            to_values[at] = store(gathered * scale);
        }
        sum_weight += gathered * value;
        sum_x += ((1.f - down) * (g[1] - g[0]) + down * (g[3] - g[2])) * value * scale;
        sum_y += ((1.f - across) * (g[2] - g[0]) + across * (g[3] - g[1])) * value * scale;
    }
    to_weight[n * plane + pixel] = sum_weight;
    to_flow[2 * n * plane + pixel] = sum_x;
    to_flow[(2 * n + 1) * plane + pixel] = sum_y;
}
"""
