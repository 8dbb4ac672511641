"""The exact Euclidean distance transform of line drawings.

The squared distance to the nearest line separates: first along columns, then, for every row, a minimum over the
parabolas that the columns raise (Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions", 2012).
All of it is integer arithmetic up to one square root, so the result equals SciPy's to the last bit of fp32.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from _util import cuda, threads


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
        return _cupy(on_line).unsqueeze(1)
    return _compose(on_line).unsqueeze(1)


def _numba(on_line: Tensor) -> Tensor:
    b, h, w = on_line.shape
    rises = np.empty((b, h, w), np.int32)
    distance = np.empty((b, h, w), np.float32)
    strips = min(w, 4 * torch.get_num_threads())
    threads.run(_columns, b * strips, on_line.contiguous().numpy(), rises, strips)
    threads.run(_rows, b * h, rises, distance)
    return torch.from_numpy(distance)


@numba.njit(nogil=True, cache=True)
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


@numba.njit(nogil=True, cache=True)
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
    return _root(nearest.view(b, h, w), on_line)


def _root(squared: Tensor, on_line: Tensor) -> Tensor:
    h, w = on_line.shape[1:]
    distance = squared.double().sqrt().float()
    return torch.where(on_line.flatten(1).any(1)[:, None, None], distance, float(np.sqrt(h * h + w * w)))


def _cupy(on_line: Tensor) -> Tensor:
    b, h, w = on_line.shape
    rises = torch.empty((b, h, w), dtype=torch.int32, device=on_line.device)
    distance = torch.empty((b, h, w), dtype=torch.float32, device=on_line.device)
    cuda.launch(CUDA_SOURCE, "columns", torch.float32, (b * w, 1), on_line.contiguous(), rises, b, h, w)
    cuda.launch(CUDA_SOURCE, "rows", torch.float32, (b * h * w, 1), rises, distance, b, h, w)
    return distance


CUDA_SOURCE = r"""
extern "C" __global__ void columns(const bool* on_line, int* rises, int b, int h, int w) {
    int thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= b * w) return;
    index_t at = (index_t)(thread / w) * h * w + thread % w;
    int rise = h + w;
    for (int y = 0; y < h; ++y, at += w) rises[at] = rise = on_line[at] ? 0 : min(rise + 1, h + w);
    for (int y = 0; y < h; ++y) {
        at -= w;
        rises[at] = rise = min(rises[at], rise + 1);
    }
}

// Each pixel looks left and right, and no further than the nearest line found so far.
extern "C" __global__ void rows(const int* rises, scalar* distance, int b, int h, int w) {
    index_t thread = (index_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= (index_t)b * h * w) return;
    int x = thread % w;
    const int* row = rises + (thread - x);
    index_t nearest = row[x] >= h + w ? (index_t)h * h + (index_t)w * w : (index_t)row[x] * row[x];
    for (int step = 1; step < w; ++step) {
        index_t across = (index_t)step * step;
        if (across >= nearest) break;
        if (x >= step && row[x - step] < h + w)
            nearest = min(nearest, across + (index_t)row[x - step] * row[x - step]);
        if (x + step < w && row[x + step] < h + w)
            nearest = min(nearest, across + (index_t)row[x + step] * row[x + step]);
    }
    distance[thread] = (float)sqrt((double)nearest);
}
"""
