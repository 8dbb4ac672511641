"""Reference CUDA kernels of splatting and the distance transform, written from the description of the published ones.

The baseline for the project's kernels. Splatting: PyTorch multiplies by exp(metric) and appends a channel of ones; one
thread per image, channel and pixel computes the target and adds to four pixels; PyTorch divides. The gradient uses one
thread per element. Distance transform: each pixel searches its whole row for a line, then its whole column for the
nearest row result. In: tensors on CUDA, with CuPy installed. Out: as from `_util.softsplat` and
`_util.distance_transform`, in fp32.
"""

import torch
from torch import Tensor

from _util import cuda


def softsplat(values: Tensor, flow: Tensor, metric: Tensor) -> Tensor:
    """Softmax splatting, differentiable in all three tensors.

    Args:
        values: (b, c, h, w) of any floating dtype; the kernels compute in fp32.
        flow: (b, 2, h, w), x then y, in pixels.
        metric: (b, 1, h, w), logarithm of each pixel's weight.

    Returns:
        (b, c, h, w) in the dtype of `values`; 0 in holes.
    """
    weight = metric.float().exp()
    splatted = _Splat.apply(torch.cat([values.float() * weight, weight], 1), flow.float())
    total = splatted[:, -1:]
    return (splatted[:, :-1] / torch.where(total == 0, 1, total)).to(values.dtype)


class _Splat(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, flow):
        values, flow = values.contiguous(), flow.contiguous()
        ctx.save_for_backward(values, flow)
        out = torch.zeros_like(values)
        _launch("splat", values.numel(), values, flow, out, *values.shape)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        values, flow = ctx.saved_tensors
        gradient = gradient.contiguous()
        to_values, to_flow = torch.empty_like(values), torch.empty_like(flow)
        _launch("gradient_of_values", values.numel(), gradient, flow, to_values, *values.shape)
        _launch("gradient_of_flow", flow.numel(), gradient, values, flow, to_flow, *values.shape)
        return to_values, to_flow


def edt(lines: Tensor) -> Tensor:
    """Distance in pixels to the nearest line.

    Args:
        lines: (b, 1, h, w), 1 on lines and 0 elsewhere.

    Returns:
        (b, 1, h, w) float32; the diagonal √(h² + w²) everywhere in an image without a line.
    """
    b, _, h, w = lines.shape
    on_line = (lines > 0.5).contiguous()
    across = torch.empty((b, 1, h, w), dtype=torch.float32, device=lines.device)
    distance = torch.empty_like(across)
    _launch("search_rows", across.numel(), on_line, across, b, h, w)
    _launch("search_columns", across.numel(), across, distance, b, h, w)
    return distance


def _launch(name: str, threads: int, *arguments: Tensor | int) -> None:
    cuda.launch(CUDA_SOURCE, name, torch.float32, (cuda.blocks_for(threads), 1), *arguments)


CUDA_SOURCE = r"""
struct Corners {
    int left, top;
    float across, down;
};

// Where a pixel lands; false if that is not on the image.
__device__ bool land(const float* flow, index_t n, int y, int x, int h, int w, Corners& to) {
    index_t plane = (index_t)h * w, pixel = (index_t)y * w + x;
    float u = x + flow[2 * n * plane + pixel], v = y + flow[(2 * n + 1) * plane + pixel];
    if (!(u > -1.f && u < w && v > -1.f && v < h)) return false;
    to.left = (int)floorf(u), to.top = (int)floorf(v);
    to.across = u - to.left, to.down = v - to.top;
    return true;
}

__device__ bool inside(int y, int x, int h, int w) { return y >= 0 && y < h && x >= 0 && x < w; }

__device__ void add(float* plane, int y, int x, int h, int w, float value) {
    if (inside(y, x, h, w)) atomicAdd(&plane[(index_t)y * w + x], value);
}

__device__ float read(const float* plane, int y, int x, int h, int w) {
    return inside(y, x, h, w) ? plane[(index_t)y * w + x] : 0.f;
}

extern "C" __global__ void splat(const float* values, const float* flow, float* out, int b, int c, int h, int w) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x, plane = h * w;
    if (thread >= b * c * plane) return;
    int y = thread % plane / w, x = thread % w;
    Corners to;
    if (!land(flow, thread / plane / c, y, x, h, w, to)) return;
    float value = values[thread], *summed = out + thread / plane * plane;
    add(summed, to.top, to.left, h, w, value * (1.f - to.across) * (1.f - to.down));
    add(summed, to.top, to.left + 1, h, w, value * to.across * (1.f - to.down));
    add(summed, to.top + 1, to.left, h, w, value * (1.f - to.across) * to.down);
    add(summed, to.top + 1, to.left + 1, h, w, value * to.across * to.down);
}

extern "C" __global__ void gradient_of_values(const float* gradient, const float* flow, float* to_values, int b, int c,
                                              int h, int w) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x, plane = h * w;
    if (thread >= b * c * plane) return;
    int y = thread % plane / w, x = thread % w;
    Corners to;
    float sum = 0.f;
    if (land(flow, thread / plane / c, y, x, h, w, to)) {
        const float* from = gradient + thread / plane * plane;
        sum += read(from, to.top, to.left, h, w) * (1.f - to.across) * (1.f - to.down);
        sum += read(from, to.top, to.left + 1, h, w) * to.across * (1.f - to.down);
        sum += read(from, to.top + 1, to.left, h, w) * (1.f - to.across) * to.down;
        sum += read(from, to.top + 1, to.left + 1, h, w) * to.across * to.down;
    }
    to_values[thread] = sum;
}

extern "C" __global__ void gradient_of_flow(const float* gradient, const float* values, const float* flow,
                                            float* to_flow, int b, int c, int h, int w) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x, plane = h * w;
    if (thread >= 2 * b * plane) return;
    index_t n = thread / plane / 2;
    int pixel = thread % plane, y = pixel / w, x = pixel % w;
    Corners to;
    float sum = 0.f;
    if (land(flow, n, y, x, h, w, to)) {
        bool along_x = thread / plane % 2 == 0;
        float near = along_x ? to.down : to.across;  // along the other axis
        for (int k = 0; k < c; ++k) {
            const float* from = gradient + (n * c + k) * plane;
            float g00 = read(from, to.top, to.left, h, w), g01 = read(from, to.top, to.left + 1, h, w);
            float g10 = read(from, to.top + 1, to.left, h, w), g11 = read(from, to.top + 1, to.left + 1, h, w);
            float first = along_x ? g01 - g00 : g10 - g00, second = along_x ? g11 - g10 : g11 - g01;
            sum += values[(n * c + k) * plane + pixel] * ((1.f - near) * first + near * second);
        }
    }
    to_flow[thread] = sum;
}

// The squared distance to the nearest line of the row; negative if there is none.
extern "C" __global__ void search_rows(const bool* on_line, float* across, int b, int h, int w) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= b * h * w) return;
    int x = thread % w;
    float nearest = -1.f;
    for (int column = 0; column < w; ++column) {
        float squared = (float)(column - x) * (column - x);
        if (on_line[thread - x + column] && (nearest < 0.f || squared < nearest)) nearest = squared;
    }
    across[thread] = nearest;
}

extern "C" __global__ void search_columns(const float* across, float* distance, int b, int h, int w) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= b * h * w) return;
    int y = thread / w % h;
    float nearest = -1.f;
    for (int row = 0; row < h; ++row) {
        float found = across[(index_t)thread + (row - y) * w], squared = found + (float)(row - y) * (row - y);
        if (found >= 0.f && (nearest < 0.f || squared < nearest)) nearest = squared;
    }
    distance[thread] = sqrtf(nearest < 0.f ? (float)h * h + (float)w * w : nearest);
}
"""
