"""Chroma of lower resolution than luma: where it is sampled, and which chroma represents a picture best.

    4:4:4  ─reduced─▶  4:2:0, 4:2:2, …  ─swscale, bicubic─▶  4:4:4, as near to the former as it can be

Each axis is fitted by least squares (Unser, Aldroubi and Eden, "The L2 polynomial spline pyramid", PAMI 1993). So
frames of a video that were converted to RGB get back the chroma that they had. The usual average of neighbours blurs
it: drawn frames would differ in colour from copied ones beside them, and flicker.
"""

import functools
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from _util import planes

# FFmpeg's numbers of places in the pixels that share a sample. Without one, swscale assumes the centre.
UNSPECIFIED, LEFT, CENTER, TOP_LEFT, TOP, BOTTOM_LEFT, BOTTOM = range(7)
NAMES = ("unspecified", "left", "center", "topleft", "top", "bottomleft", "bottom")
_POSITIONS = ((0.5, 0.5), (0.0, 0.5), (0.5, 0.5), (0.0, 0.0), (0.5, 0.0), (0.0, 1.0), (0.5, 1.0))  # x, y among them
_KINDS = {(1, 1): "444", (2, 2): "420", (2, 1): "422", (4, 1): "411", (1, 2): "440", (4, 4): "410"}
_PROBE = 32  # pixels
_NEGLIGIBLE = 1e-5  # weight
_REACH = 16  # samples of chroma to each side, beyond which weights are negligible
_BLOCK = 32  # samples of chroma, and columns, that one product of matrices fits


def subsampling(pixel_format: av.VideoFormat) -> tuple[int, int]:
    """Columns and rows of pixels that share a sample of chroma."""
    if pixel_format.is_rgb or len(pixel_format.components) <= 2:
        return 1, 1
    return 64 // pixel_format.chroma_width(64), 64 // pixel_format.chroma_height(64)


def name(pixel_format: av.VideoFormat) -> str:
    """The subsampling as in names of formats: "420"."""
    return _KINDS[subsampling(pixel_format)]


def location(frame: av.VideoFrame) -> int:
    """Where the chroma of a decoded frame is sampled; the centre counts as `UNSPECIFIED`.

    Of frames with chroma of full resolution it is `LEFT`, which players assume once it is reduced.

    PyAV does not tell it. It is measured: by what swscale makes of one coloured sample in a frame that has the same
    properties.
    """
    shared = subsampling(frame.format)
    if shared == (1, 1):
        return LEFT
    probe = VideoReformatter().reformat(frame, _PROBE, _PROBE, f"yuv{name(frame.format)}p", threads=1)
    for plane in probe.planes:
        planes.values(plane, False)[:] = 64
    middle = probe.planes[1]
    planes.values(middle, False)[middle.height // 2, middle.width // 2] = 192
    full = VideoReformatter().reformat(probe, format="yuv444p", interpolation=Interpolation.BICUBIC, threads=1)
    found = planes.values(full.planes[1], False).astype(np.int64) - 64
    x, y = (
        (found.sum(axis) @ np.arange(_PROBE) / found.sum() - _PROBE // 2) / (factor - 1) if factor > 1 else 0.5
        for axis, factor in enumerate(shared)
    )
    nearest = round(2 * x) / 2, round(2 * y) / 2
    return _POSITIONS.index(nearest) if nearest in _POSITIONS else UNSPECIFIED


def reduced(values: np.ndarray, pixel_format: av.VideoFormat, place: int) -> np.ndarray:
    """Map chroma (h, w) uint16 of full resolution to that of `pixel_format`, sampled at `place`."""
    (columns, rows), (x, y) = subsampling(pixel_format), _POSITIONS[place]
    if (columns, rows) == (1, 1):
        return values
    h, w = values.shape
    down = _applied(_fit(h, rows, y), values.astype(np.float32))
    across = _applied(_fit(w, columns, x), np.ascontiguousarray(down.T))
    return across.T.round().clip(0, 65535).astype(np.uint16)


class _Block(NamedTuple):
    """A run of fitted samples: a matrix, and the run of values that it is applied to."""

    matrix: np.ndarray
    first: int
    last: int


@functools.lru_cache(maxsize=8)
def _fit(length: int, factor: int, position: float) -> list[_Block]:
    """The fit along an axis of `length`, on which `factor` pixels share a sample at a position in [0, 1] among them."""
    if factor == 1:
        return []
    upsampling = _upsampling(length, factor, position)
    fit = np.linalg.solve(upsampling.T @ upsampling, upsampling.T).astype(np.float32)
    fit[np.abs(fit) < _NEGLIGIBLE] = 0  # products with denormal numbers are slow
    blocks = []
    for start in range(0, len(fit), _BLOCK):
        stop = min(start + _BLOCK, len(fit))
        first, last = max(0, factor * (start - _REACH)), min(length, factor * (stop + _REACH))
        blocks.append(_Block(np.ascontiguousarray(fit[start:stop, first:last]), first, last))
    return blocks


def _upsampling(length: int, factor: int, position: float) -> np.ndarray:
    """The matrix (length, samples of chroma) by which swscale enlarges chroma: cubic, with B = 0 and C = 0.6."""
    coarse = -(-length // factor)
    positions = (np.arange(length) + 0.5) * coarse / length - (position * (factor - 1) + 0.5) / factor
    matrix = np.zeros((length, coarse))
    for tap in np.floor(positions).astype(int) + np.arange(-1, 3)[:, None]:
        d = np.abs(tap - positions)
        weights = np.where(d < 1, 1 - 2.4 * d**2 + 1.4 * d**3, 2.4 - 4.8 * d + 3 * d**2 - 0.6 * d**3)
        np.add.at(matrix, (np.arange(length), tap.clip(0, coarse - 1)), weights)
    return matrix


def _applied(blocks: list[_Block], values: np.ndarray) -> np.ndarray:
    """Fit the first axis of (length, n); no blocks leave it as it is.

    The products are small enough for BLAS to compute each on the calling thread. Its own threads would compete with
    those that draw the next frames.
    """
    if not blocks:
        return values
    n = values.shape[1]
    padded = np.pad(values, ((0, 0), (0, -n % _BLOCK)))
    fitted = []
    for matrix, first, last in blocks:
        parts = padded[first:last].reshape(last - first, -1, _BLOCK).swapaxes(0, 1)
        fitted.append((matrix @ parts).swapaxes(0, 1).reshape(len(matrix), -1))
    return np.concatenate(fitted)[:, :n]
