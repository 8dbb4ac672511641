"""The exact Euclidean distance transform of line drawings.

The squared distance to the nearest line separates: first along columns, then, for every row, a minimum over the
parabolas that the columns raise (Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions", 2012).
All of it is integer arithmetic up to one square root, so the result equals SciPy's to the last bit of fp32.
"""

import numpy as np
import torch
from torch import Tensor

from _util import cuda, threads
from _util.compiled import njit
from _util.device import lacks_float64


def edt(lines: Tensor) -> Tensor:
    """Distance in pixels from each pixel to the nearest line pixel.

    Args:
        lines: (b, 1, h, w), 1 on lines and 0 elsewhere, any dtype.

    Returns:
        (b, 1, h, w) float32 without gradient; the image diagonal √(h² + w²) everywhere in an image without a line.

    Raises:
        ValueError: not (b, 1, h, w), or a side of 32768 pixels or more (its squares would not fit 32 bits).
    """
    if lines.dim() != 4 or lines.shape[1] != 1:
        raise ValueError(f"lines must be (b, 1, h, w), not {tuple(lines.shape)}")
    if max(lines.shape[2:]) >= 2**15:
        raise ValueError(f"lines of {tuple(lines.shape[2:])} pixels are too large; a side is at most 32767")
    on_line = lines.detach().squeeze(1) > 0.5
    if on_line.device.type == "cpu":
        return _numba(on_line).unsqueeze(1)
    if cuda.available(torch.empty(0, device=lines.device)):
        return _on_cuda(on_line).unsqueeze(1)
    return _compose(on_line).unsqueeze(1)


def _numba(on_line: Tensor) -> Tensor:
    b, h, w = on_line.shape
    rises = np.empty((b, h, w), np.int32)
    distance = np.empty((b, h, w), np.float32)
    strips = min(w, 4 * torch.get_num_threads())
    threads.run(_columns, b * strips, on_line.contiguous().numpy(), rises, strips)
    threads.run(_rows, b * h, rises, distance)
    return torch.from_numpy(distance)


@njit()
def _columns(on_line, rises, strips, start, stop):
    # One task: a vertical strip of one image. `rises`: distance to the nearest line of the same column, h + w if none.
    h, w = on_line.shape[1:]
    for task in range(start, stop):
        n, strip = task // strips, task % strips
        left, right = w * strip // strips, w * (strip + 1) // strips
        for x in range(left, right):
            rises[n, 0, x] = 0 if on_line[n, 0, x] else h + w
        for y in range(1, h):
            for x in range(left, right):
                rises[n, y, x] = 0 if on_line[n, y, x] else min(rises[n, y - 1, x] + 1, h + w)
        for y in range(h - 2, -1, -1):
            for x in range(left, right):
                rises[n, y, x] = min(rises[n, y, x], rises[n, y + 1, x] + 1)


@njit()
def _rows(rises, distance, start, stop):
    # One task: one row. Stack of the columns whose parabolas form the lower envelope, and where each one begins.
    h, w = rises.shape[1:]
    column, begin = np.empty(w, np.int64), np.empty(w, np.int64)
    for task in range(start, stop):
        n, y = task // h, task % h
        row = rises[n, y]
        size = 0
        for x in range(w):
            rise = np.int64(row[x])
            if rise >= h + w:
                continue
            at = 0
            while size > 0:
                low = column[size - 1]
                # The first pixel at which the new parabola is below the last one of the stack.
                at = (x * x - low * low + rise * rise - np.int64(row[low]) ** 2) // (2 * (x - low)) + 1
                if at > begin[size - 1]:
                    break
                size -= 1
            if size == 0:
                at = 0
            if at < w:
                column[size], begin[size] = x, at
                size += 1
        if size == 0:
            distance[n, y, :] = np.sqrt(np.float64(h * h + w * w))
            continue
        piece = 0
        for x in range(w):
            while piece + 1 < size and begin[piece + 1] <= x:
                piece += 1
            across, rise = x - column[piece], np.int64(row[column[piece]])
            distance[n, y, x] = np.sqrt(np.float64(across * across + rise * rise))


def _rises(on_line: Tensor) -> Tensor:
    h, w = on_line.shape[1:]
    rows = torch.arange(h, device=on_line.device, dtype=torch.int32).view(1, h, 1)
    above = rows - torch.where(on_line, rows, -h - w).cummax(1).values
    below = torch.where(on_line, rows, 2 * h + w).flip(1).cummin(1).values.flip(1) - rows
    return torch.minimum(above, below).clamp(max=h + w)


def _compose(on_line: Tensor) -> Tensor:
    """The same from PyTorch operations alone: each row tries every column, a few rows at a time to bound memory."""
    b, h, w = on_line.shape
    squares = _rises(on_line).long().square().flatten(0, 1)
    columns = torch.arange(w, device=on_line.device)
    across = (columns[:, None] - columns[None]).square()
    rows_at_once = max(1, 2**24 // (w * w))
    nearest = torch.cat([(rows[:, None] + across).amin(2) for rows in squares.split(rows_at_once)])
    nearest = nearest.cpu() if lacks_float64(nearest.device) else nearest
    distance = nearest.view(b, h, w).double().sqrt().float().to(on_line.device)
    return torch.where(on_line.flatten(1).any(1)[:, None, None], distance, float(np.sqrt(h * h + w * w)))


def _on_cuda(on_line: Tensor) -> Tensor:
    b, h, w = on_line.shape
    words = -(-h // 32)
    packed, above, below = torch.empty((3, b, words, w), dtype=torch.int32, device=on_line.device)
    squares = torch.empty((b, h, w), dtype=torch.int32, device=on_line.device)
    distance = torch.empty((b, h, w), dtype=torch.float32, device=on_line.device)

    def launch(name: str, blocks: int, *arguments: Tensor | int) -> None:
        cuda.launch(CUDA_SOURCE, name, torch.float32, (blocks, 1), *arguments)

    launch("pack", cuda.blocks_for(b * words * w), on_line.contiguous(), packed, b, h, w)
    launch("link", cuda.blocks_for(b * w), packed, above, below, b, words, w)
    launch("rows", b * h, packed, above, below, squares, distance, h, w)
    return distance


CUDA_SOURCE = r"""
// One bit a pixel: 32 rows of a column in a word, the uppermost in the lowest bit.
extern "C" __global__ void pack(const bool* on_line, unsigned* packed, int b, int h, int w) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x, words = (h + 31) / 32;
    if (thread >= b * words * w) return;
    int first = thread / w % words * 32, x = thread % w;
    const bool* from = on_line + ((index_t)(thread / w / words) * h + first) * w + x;
    unsigned word = 0;
#pragma unroll 8
    for (int bit = 0; bit < min(32, h - first); ++bit) word |= (unsigned)from[(index_t)bit * w] << bit;
    packed[thread] = word;
}

// For every word, the rows of the nearest lines above and below it in its column; far outside if there are none.
extern "C" __global__ void link(const unsigned* packed, int* above, int* below, int b, int words, int w) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= b * w) return;
    index_t column = (index_t)(thread / w) * words * w + thread % w;
    int nearest = -65536;
#pragma unroll 8
    for (int i = 0; i < words; ++i) {
        unsigned word = packed[column + (index_t)i * w];
        above[column + (index_t)i * w] = nearest;
        if (word) nearest = i * 32 + 31 - __clz(word);
    }
    nearest = 131072;
#pragma unroll 8
    for (int i = words - 1; i >= 0; --i) {
        unsigned word = packed[column + (index_t)i * w];
        below[column + (index_t)i * w] = nearest;
        if (word) nearest = i * 32 + __ffs(word) - 1;
    }
}

#define NOWHERE 0x80000000u  // the square of a column without a line; no sum of two squares of a side reaches it

__device__ unsigned squared_distance(const unsigned* squares, int x, int column) {
    return (unsigned)((x - column) * (x - column)) + squares[column];
}

// The column between first and last that is nearest to x, the leftmost of several: found by a whole warp.
__device__ int nearest_column(const unsigned* squares, int x, int first, int last) {
    unsigned long long best = ~0ull;
    for (int column = first + threadIdx.x % 32; column <= last; column += 32)
        best = min(best, (unsigned long long)squared_distance(squares, x, column) << 32 | column);
    for (int lanes = 16; lanes > 0; lanes /= 2) best = min(best, __shfl_xor_sync(0xffffffffu, best, lanes));
    return (int)(best & 0xffffffffu);
}

// One block is one row. From left to right, the nearest column never moves to the left: those of every 1024th pixel
// bound those of every 32nd between them, and these bound all others, each time with a sum of searches of one row.
extern "C" __global__ void rows(const unsigned* packed, const int* above, const int* below, unsigned* squares,
                                float* distance, int h, int w) {
    __shared__ int nearest[1025];
    int y = blockIdx.x % h, words = (h + 31) / 32;
    index_t start = ((index_t)(blockIdx.x / h) * words + y / 32) * w;
    squares += (index_t)blockIdx.x * w, distance += (index_t)blockIdx.x * w;
    for (int x = threadIdx.x; x < w; x += blockDim.x) {
        unsigned word = packed[start + x], before = word << (31 - y % 32), after = word >> y % 32;
        int up = before ? __clz(before) : y - above[start + x], down = after ? __ffs(after) - 1 : below[start + x] - y;
        int rise = min(up, down);
        squares[x] = rise < h ? rise * rise : NOWHERE;
    }
    __syncthreads();
    int warp = threadIdx.x / 32, warps = blockDim.x / 32, lane = threadIdx.x % 32, strips = (w + 31) / 32;
    for (int strip = warp * 32; strip < strips; strip += warps * 32) {
        int found = nearest_column(squares, strip * 32, 0, w - 1);
        if (lane == 0) nearest[strip] = found;
    }
    __syncthreads();
    for (int strip = warp; strip < strips; strip += warps) {
        if (strip % 32 == 0) continue;
        int left = strip / 32 * 32, right = left + 32;
        int found = nearest_column(squares, strip * 32, nearest[left], right < strips ? nearest[right] : w - 1);
        if (lane == 0) nearest[strip] = found;
    }
    __syncthreads();
    for (int strip = warp; strip < strips; strip += warps) {
        int x = strip * 32 + lane, last = strip + 1 < strips ? nearest[strip + 1] : w - 1;
        unsigned least = ~0u;
#pragma unroll 4
        for (int column = nearest[strip]; column <= last; ++column)
            least = min(least, squared_distance(squares, x, column));
        if (x >= w) continue;
        if (least >= NOWHERE)
            distance[x] = (float)sqrt((double)h * h + (double)w * w);
        else  // fp32 holds a whole number below 2^24, and then its root rounds as one of fp64 does
            distance[x] = least < 1u << 24 ? sqrtf((float)least) : (float)sqrt((double)least);
    }
}
"""
