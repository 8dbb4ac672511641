"""Forward warping by softmax splatting (Niklaus and Liu, "Softmax Splatting for Video Frame Interpolation", CVPR 2020).

Every source pixel is moved by its flow and distributed bilinearly to the four target pixels around that point. Values
that land on the same target are summed or averaged. Targets that nothing reaches are holes, and 0.

There are three implementations of one function: Numba on the CPU, CUDA kernels, and PyTorch operations elsewhere (CUDA
without CuPy, other devices). Half precisions are accumulated in fp32. The CPU result does not depend on the number of
threads; the CUDA result varies in the last bits, because the order of its sums is not fixed.
"""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from _util import cuda, threads
from _util.compiled import njit

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
        ValueError: shapes do not fit, or a metric is missing or given for a mode without one.
    """
    return _splat(values, flow, metric, mode, masked=False)[0]


def softsplat_with_mask(
    values: Tensor, flow: Tensor, metric: Tensor | None = None, mode: Mode = "softmax"
) -> tuple[Tensor, Tensor]:
    """`softsplat`, and a (b, 1, h, w) mask in the same dtype: 1 where anything landed, 0 in holes (no gradient)."""
    result, mask = _splat(values, flow, metric, mode, masked=True)
    assert mask is not None
    return result, mask


def splat_part(values: Tensor, flow: Tensor, corner: tuple[int, int]) -> Tensor:
    """`softsplat` in mode "sum" of a part of images, on the CPU and without gradient. What lands outside is left out.

    Args:
        values, flow: (b, c, h, w) and (b, 2, h, w), of the part.
        corner: x, y of its first pixel in the whole images, in which positions are rounded.

    Returns:
        (b, c, h, w), of the same part.
    """
    flow = flow.to(_accumulator(values.dtype))
    return _forward_on_cpu(values, flow, None, normalise=False, masked=False, corner=corner)[0]


def _splat(
    values: Tensor, flow: Tensor, metric: Tensor | None, mode: Mode, masked: bool
) -> tuple[Tensor, Tensor | None]:
    """The result and, if asked for, the mask."""
    _check(values, flow, metric, mode)
    flow = flow.to(_accumulator(values.dtype))
    metric = None if metric is None else metric.to(flow.dtype)
    if cuda.available(values):
        return _SplatOnCUDA.apply(values, flow, metric, mode, masked)
    weight = metric.exp() if mode == "softmax" and metric is not None else metric
    if values.device.type == "cpu":
        result, total = _SplatOnCPU.apply(values, flow, weight, mode != "sum", masked)
    else:
        result, total = _compose(values, flow, weight, mode != "sum")
    return result, (total != 0).to(values.dtype) if masked else None


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


def _compose(values: Tensor, flow: Tensor, weight: Tensor | None, normalise: bool) -> tuple[Tensor, Tensor]:
    """`_SplatOnCPU` by PyTorch operations, differentiated by autograd."""
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


# Channels that are splatted together as one vector, and the largest number of pixels for which they fit the cache.
_LANES = 16
_LARGEST_TILE = 2**19


class _SplatOnCPU(torch.autograd.Function):
    """(values, flow, weight or None) -> (result, total weight that landed on each pixel, 0 if it is not needed)."""

    @staticmethod
    def forward(ctx, values, flow, weight, normalise, masked):
        values, flow = values.contiguous(), flow.contiguous()
        weight = None if weight is None else weight.contiguous()
        result, total = _forward_on_cpu(values, flow, weight, normalise, masked)
        ctx.save_for_backward(values, flow, weight, result if normalise else None, total)
        ctx.mark_non_differentiable(total)
        return result, total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient, _):  # pyright: ignore[reportIncompatibleMethodOverride]
        values, flow, weight, result, total = ctx.saved_tensors
        gradient = gradient.to(flow.dtype)
        gradient_total = torch.zeros_like(total)
        if result is not None:  # result = sum / total: the chain rule through both comes before the kernel
            gradient = gradient / total.where(total != 0, 1)
            gradient_total = -(gradient * result).sum(1, keepdim=True)
        to_values, to_flow, to_weight = _backward_on_cpu(gradient, gradient_total, values, flow, weight)
        return to_values, to_flow, to_weight if weight is not None else None, None, None


def _forward_on_cpu(values, flow, weight, normalise, masked, corner=(0, 0)):
    """Each task is a group of channels of one image, so no two threads add to the same plane.

    Groups of `_LANES` channels are transposed to channels-last tiles, for vector instructions; the rest is not.
    """
    b, c, h, w = values.shape
    planes, flows = _array(values, flow.dtype), _array(flow, flow.dtype)
    ones = np.ones((b, 1, h, w), flows.dtype)
    weights = ones if weight is None else _array(weight, flow.dtype)
    total, out = np.zeros((b, 1, h, w), flows.dtype), np.empty((b, c, h, w), flows.dtype)
    if normalise or masked:
        threads.run(_splat_channels, b, ones, flows, weights, total, total, *corner, False, 0, 1)
    tiled = c // _LANES * _LANES if h * w <= _LARGEST_TILE else 0
    threads.run(_splat_tiles, b * tiled // _LANES, planes, flows, weights, total, out, *corner, normalise)
    out[:, tiled:] = 0
    group = max(1, min(4, math.ceil(b * (c - tiled) / torch.get_num_threads())))
    tasks = b * math.ceil((c - tiled) / group)
    threads.run(_splat_channels, tasks, planes, flows, weights, total, out, *corner, normalise, tiled, group)
    return torch.from_numpy(out).to(values.dtype), torch.from_numpy(total)


def _backward_on_cpu(gradient, gradient_total, values, flow, weight):
    b, _, h, w = values.shape
    planes, flows = _array(values, flow.dtype), _array(flow, flow.dtype)
    weights = np.ones((b, 1, h, w), flows.dtype) if weight is None else _array(weight, flow.dtype)
    gradients = np.concatenate([_array(gradient, flow.dtype), _array(gradient_total, flow.dtype)], 1)
    to_values, to_flow, to_weight = np.zeros_like(planes), np.zeros_like(flows), np.zeros_like(weights)
    threads.run(_gather_rows, b * h, gradients, planes, flows, weights, to_values, to_flow, to_weight)
    return torch.from_numpy(to_values).to(values.dtype), torch.from_numpy(to_flow), torch.from_numpy(to_weight)


def _array(tensor: Tensor, dtype: torch.dtype) -> np.ndarray:
    return tensor.detach().to(dtype).contiguous().numpy()


@njit(fastmath={"contract", "nsz"})
def _splat_channels(values, flow, weight, total, out, x0, y0, normalise, skipped, group, start, stop):
    # One task: `group` channels of one image, after the `skipped` ones, or of the part of it that begins at (x0, y0).
    # `total` is read only if `normalise`. Planes are flat and their indices unsigned, which spares the handling of
    # negative ones; positions round as in the released fp32 kernels.
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
                u, v = dtype(dtype(x + x0) + flows[n, 0, pixel]), dtype(dtype(y + y0) + flows[n, 1, pixel])
                if not (u > x0 - 1 and u < x0 + w and v > y0 - 1 and v < y0 + h):  # also rejects NaN
                    continue
                floor_u, floor_v, scale = np.floor(u), np.floor(v), weights[n, pixel]
                across, back, down, up = u - floor_u, floor_u + one - u, v - floor_v, floor_v + one - v
                a00, a01, a10, a11 = back * up * scale, across * up * scale, back * down * scale, across * down * scale
                left, top = int(floor_u) - x0, int(floor_v) - y0
                if across == 0 and down == 0:
                    place = np.uintp(top * w + left)
                    for k in range(first, last):
                        splatted[k, place] += planes[k, pixel] * a00
                    continue
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


@njit(fastmath={"contract", "nsz"})
def _splat_tiles(values, flow, weight, total, out, x0, y0, normalise, start, stop):
    # One task: `_LANES` channels of an image, or of the part of it that begins at (x0, y0). Remaining channels are left
    # to `_splat_channels`.
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
                u, v = dtype(dtype(x + x0) + flow[n, 0, y, x]), dtype(dtype(y + y0) + flow[n, 1, y, x])
                if not (u > x0 - 1 and u < x0 + w and v > y0 - 1 and v < y0 + h):
                    continue
                floor_u, floor_v, scale = np.floor(u), np.floor(v), weight[n, 0, y, x]
                across, back, down, up = u - floor_u, floor_u + one - u, v - floor_v, floor_v + one - v
                a00, a01, a10, a11 = back * up * scale, across * up * scale, back * down * scale, across * down * scale
                left, top = int(floor_u) - x0, int(floor_v) - y0
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


@njit(fastmath={"contract", "nsz"})
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


class _SplatOnCUDA(torch.autograd.Function):
    """(values, flow, metric or None) -> (result, mask or None).

    Forward, every source pixel is inserted into a linked list of those that land between the same four targets. Each
    target then walks the four lists around it and accumulates in registers. Only the heads of the lists need atomic
    operations. The time depends on the longest list, which is short unless the flow converges on a point. Backward,
    each source pixel gathers from its four targets.
    """

    @staticmethod
    def forward(ctx, values, flow, metric, mode, masked):
        b, c, h, w = values.shape
        values, flow = values.contiguous(), flow.contiguous()
        metric = None if metric is None else metric.contiguous()
        heads = torch.full((b, h + 1, w + 1), -1, dtype=torch.int32, device=values.device)
        landings = torch.empty((b, h, w, 4), dtype=torch.float32, device=values.device)
        result = torch.empty_like(values)
        mask = values.new_empty(b, 1, h, w) if masked else None
        total = flow.new_empty(b, 1, h, w) if any(ctx.needs_input_grad) else None
        softmax, normalise = int(mode == "softmax"), int(mode != "sum")
        pixels = cuda.blocks_for(b * h * w)
        cuda.launch(CUDA_SOURCE, "link", values.dtype, (pixels, 1), flow, metric, heads, landings, b, h, w, softmax)
        outputs, shape = (result, mask, total), (b, c, h, w)
        collect, room = ("collect_few", _FEW) if c <= _FEW else ("collect_many", _MANY)
        blocks = (pixels, math.ceil(c / room))
        cuda.launch(CUDA_SOURCE, collect, values.dtype, blocks, values, heads, landings, *outputs, *shape, normalise)
        if total is not None:
            ctx.save_for_backward(values, flow, metric, result if normalise else None, total if normalise else None)
        ctx.softmax = softmax
        if masked:
            ctx.mark_non_differentiable(mask)
        return result, mask

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient, _):  # pyright: ignore[reportIncompatibleMethodOverride]
        values, flow, metric, result, total = ctx.saved_tensors
        b, c, h, w = values.shape
        inputs = (gradient.contiguous(), values, flow, metric, result, total)
        wanted = zip((values, flow, metric), ctx.needs_input_grad, strict=False)
        outputs = [torch.empty_like(tensor) if needed else None for tensor, needed in wanted]
        slices = 1 if c < 16 else 8 if c < 256 else 32
        blocks = cuda.blocks_for(b * h * w * slices)
        cuda.launch(
            CUDA_SOURCE, "gather", values.dtype, (blocks, 1), *inputs, *outputs, b, c, h, w, ctx.softmax, slices
        )
        return *outputs, None, None


_FEW, _MANY = 6, 16  # channels of a thread: fewer registers allow more threads

CUDA_SOURCE = (
    f"#define FEW {_FEW}\n#define MANY {_MANY}\n"
    r"""
// Where a source pixel lands, and the next one that lands between the same targets; -1 if there is none.
struct alignas(16) Landing {
    float u, v, weight;
    int next;
};

__device__ bool lands(float u, float v, int h, int w) { return u > -1.f && u < w && v > -1.f && v < h; }

extern "C" __global__ void link(const float* flow, const float* metric, int* heads, Landing* landings, int b, int h,
                                int w, int softmax) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x, area = h * w;
    if (thread >= b * area) return;
    index_t n = thread / area, plane = area;
    int pixel = thread % area;
    float u = pixel % w + flow[2 * n * plane + pixel], v = pixel / w + flow[(2 * n + 1) * plane + pixel];
    if (!lands(u, v, h, w)) return;
    float weight = metric ? metric[thread] : 1.f;
    if (softmax) weight = expf(weight);
    // Landing points lie from -1 on, so the cells between targets begin there too.
    index_t cell = (n * (h + 1) + (int)floorf(v) + 1) * (w + 1) + (int)floorf(u) + 1;
    Landing landing = {u, v, weight, atomicExch(&heads[cell], pixel)};
    landings[thread] = landing;
}

// One target pixel, and as many of its channels as there is room for in registers.
template <int ROOM>
__device__ __forceinline__ void collect(const scalar* values, const int* heads, const Landing* landings, scalar* result,
                                        scalar* mask, float* total, int b, int c, int h, int w, int normalise) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x, area = h * w;
    if (thread >= b * area) return;
    index_t n = thread / area, plane = area;
    int pixel = thread % area, y = pixel / w, x = pixel % w;
    int first = blockIdx.y * ROOM, channels = min(ROOM, c - first);
    index_t planes = (n * c + first) * plane;
    int sources[4];  // of the cells whose lower right, lower left, upper right and upper left target this pixel is
#pragma unroll
    for (int cell = 0; cell < 4; ++cell)
        sources[cell] = heads[(n * (h + 1) + y + cell / 2) * (w + 1) + x + cell % 2];
    float sums[ROOM] = {}, sum_weights = 0.f;
#pragma unroll
    for (int cell = 0; cell < 4; ++cell) {
        bool upper = cell / 2, left = cell % 2;
        for (int source = sources[cell]; source >= 0;) {
            Landing landing = landings[n * plane + source];
            float across = left ? x + 1.f - landing.u : landing.u - (x - 1);
            float down = upper ? y + 1.f - landing.v : landing.v - (y - 1);
            float share = across * down * landing.weight;
            sum_weights += share;
            const scalar* from = values + planes + source;
#pragma unroll
            for (int k = 0; k < ROOM; ++k)
                if (k < channels) sums[k] += load(from[k * plane]) * share;
            source = landing.next;
        }
    }
    float divisor = normalise && sum_weights != 0.f ? sum_weights : 1.f;
    scalar* to = result + planes + pixel;
#pragma unroll
    for (int k = 0; k < ROOM; ++k)
        if (k < channels) to[k * plane] = store(sums[k] / divisor);
    if (first == 0) {
        if (mask) mask[thread] = store(sum_weights != 0.f ? 1.f : 0.f);
        if (total) total[thread] = sum_weights;
    }
}

extern "C" __global__ void collect_few(const scalar* values, const int* heads, const Landing* landings, scalar* result,
                                       scalar* mask, float* total, int b, int c, int h, int w, int normalise) {
    collect<FEW>(values, heads, landings, result, mask, total, b, c, h, w, normalise);
}

extern "C" __global__ void collect_many(const scalar* values, const int* heads, const Landing* landings, scalar* result,
                                        scalar* mask, float* total, int b, int c, int h, int w, int normalise) {
    collect<MANY>(values, heads, landings, result, mask, total, b, c, h, w, normalise);
}

// `slices` threads share the channels of a pixel. With the result r and the total weight T of a target, a share of it
// that grows by 1 changes the loss by Σ gradient / T · (value - r) over the channels; without normalisation r is 0.
extern "C" __global__ void gather(const scalar* gradient, const scalar* values, const float* flow, const float* metric,
                                  const scalar* result, const float* total, scalar* to_values, float* to_flow,
                                  float* to_metric, int b, int c, int h, int w, int softmax, int slices) {
    __shared__ float partial[4][256];
    int pixels = blockDim.x / slices, slice = threadIdx.x / pixels;
    unsigned source = blockIdx.x * pixels + threadIdx.x % pixels, area = h * w;
    bool exists = source < b * area;
    index_t n = source / area, plane = area;
    int pixel = source % area;
    float u = exists ? pixel % w + flow[2 * n * plane + pixel] : 0.f;
    float v = exists ? pixel / w + flow[(2 * n + 1) * plane + pixel] : 0.f;
    bool landed = exists && lands(u, v, h, w);
    if (!landed) u = v = 0.f;
    float weight = landed && metric ? metric[source] : 1.f;
    if (landed && softmax) weight = expf(weight);
    int left = (int)floorf(u), top = (int)floorf(v);
    float across = u - left, down = v - top;
    index_t at[4];  // of the targets top left, top right, bottom left, bottom right; -1 outside the image
    float shares[4], inverse[4], changes[4] = {};
    for (int corner = 0; corner < 4; ++corner) {
        int row = top + corner / 2, column = left + corner % 2;
        bool inside = landed && row >= 0 && row < h && column >= 0 && column < w;
        at[corner] = inside ? (index_t)row * w + column : -1;
        shares[corner] = (corner / 2 ? down : top + 1.f - v) * (corner % 2 ? across : left + 1.f - u);
        float divisor = inside && total ? total[n * plane + at[corner]] : 1.f;
        inverse[corner] = 1.f / (divisor != 0.f ? divisor : 1.f);
    }
    if (exists)
        for (int k = slice; k < c; k += slices) {
            index_t channel = (n * c + k) * plane;
            float value = load(values[channel + pixel]), gathered = 0.f;
#pragma unroll
            for (int corner = 0; corner < 4; ++corner) {
                if (at[corner] < 0) continue;
                float from = load(gradient[channel + at[corner]]) * inverse[corner];
                gathered += from * shares[corner];
                changes[corner] += from * (result ? value - load(result[channel + at[corner]]) : value);
            }
            if (to_values) to_values[channel + pixel] = store(gathered * weight);
        }
    for (int corner = 0; corner < 4; ++corner) partial[corner][threadIdx.x] = changes[corner];
    __syncthreads();
    if (slice > 0 || !exists) return;
    for (int other = 1; other < slices; ++other)
        for (int corner = 0; corner < 4; ++corner) changes[corner] += partial[corner][threadIdx.x + other * pixels];
    float upper = changes[1] - changes[0], lower = changes[3] - changes[2];
    if (to_flow) {
        to_flow[2 * n * plane + pixel] = (upper + down * (lower - upper)) * weight;
        float before = changes[2] - changes[0], after = changes[3] - changes[1];
        to_flow[(2 * n + 1) * plane + pixel] = (before + across * (after - before)) * weight;
    }
    if (to_metric) {
        float change = 0.f;
        for (int corner = 0; corner < 4; ++corner) change += shares[corner] * changes[corner];
        to_metric[source] = softmax ? change * weight : change;
    }
}
"""
)
