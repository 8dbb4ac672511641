"""Detection of frames that repeat the previous drawing.

Animation is drawn on twos and threes: each drawing is shown for several frames, which compression makes slightly
different. `differences` compares frames as the RRLD pipeline does (Chen and Zwicker, ECCV 2022, section 4),
`is_duplicate` is its published classifier, and `detect` finds the repeats in a video.

Frames are (h, w, 3) RGB, uint8 or uint16, of any size. Differences are measured at 360×640, repeats at 180×320.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from _util.compiled import njit
from _util.lab import pixels_to_lab

SIZE = 360, 640  # (h, w) at which frames are measured

_DETECTION_SIZE = 180, 320
_CHROMA = 0.25  # weight of Δa* and Δb*, which suffer most from compression
_LOCAL = 4  # local ‖ΔLab‖ of a new drawing
_DRIFT = 6  # the same, relative to the first frame of a hold, which compression keeps refining
_CORRECTED = 0.45  # share of the last change nearby that compression may still be correcting
_GLOBAL = 0.1  # least root mean square of ΔL* under a moving camera
_EXPLAINED = 0.35  # least share of the squared change that camera or light explains


class Difference(NamedTuple):
    """The difference of two frames at 360×640: the columns of the RRLD pipeline's table of duplicates."""

    rgb_mean: float  # ‖ΔRGB‖ over pixels, of values in [0, 1]
    rgb_max: float
    lab_mean: float  # ‖ΔLab‖ over pixels, of CIE L*a*b* (L* from 0 to 100)
    lab_max: float
    psnr: float  # dB, of RGB in [0, 1]; 100 at most, for equal frames too
    ssim: float  # of luma in [0, 1]; 11×11 pixels by a Gaussian of σ = 1.5 (Wang et al., TIP 2004); 1 for equal frames


class _Reduced(NamedTuple):
    """A frame at 360×640, with values that both its comparisons need."""

    rgb: np.ndarray
    lab: np.ndarray
    luma: np.ndarray
    mean: np.ndarray  # Gaussian-weighted local mean of luma
    square: np.ndarray  # the same of its square


def differences(frames: Iterable[np.ndarray]) -> Iterator[Difference]:
    """The difference of each frame (h, w, 3) from the previous one; one value fewer than there are frames."""
    for one, other in itertools.pairwise(map(_reduce, frames)):
        yield _compare(one, other)


def is_duplicate(lab_mean: float, lab_max: float) -> bool:
    """Whether two frames show one drawing: the linear model published with the RRLD pipeline."""
    return 4.087916207710239 - 2.15927968008257 * lab_mean - 0.20383991277453878 * lab_max > 0


def detect(frames: Iterable[np.ndarray]) -> Iterator[bool]:
    """Whether each frame (h, w, 3) repeats the previous drawing. The first does not.

    Nothing is read ahead; see `detect_reduced`.
    """
    return detect_reduced(map(reduced_lab, frames))


def detect_reduced(labs: Iterable[np.ndarray]) -> Iterator[bool]:
    """`detect` of frames as `reduced_lab` returns them.

    The published classifier mistakes slow pans, zooms and fades for holds, and poorly compressed keyframes for new
    drawings. Here, a frame is new if it differs from the previous frame or from the first frame of the hold: locally by
    more than compression explains, or globally in the way that a camera or light does.
    """
    labs = iter(labs)
    first = last = next(labs, None)
    if first is None or last is None:
        return
    yield False
    corrected = np.zeros(_DETECTION_SIZE, np.float32)
    for lab in labs:
        change = _local_change(last, lab)
        is_new = (
            bool((change > np.maximum(_LOCAL, corrected)).any())
            or _moves_as_a_whole(last, lab)
            or (first is not last and (_local_change(first, lab).max() > _DRIFT or _moves_as_a_whole(first, lab)))
        )
        corrected = _CORRECTED * cv2.dilate(change, np.ones((15, 15)))
        first, last = lab if is_new else first, lab
        yield not is_new


def reduced_lab(frame: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (180, 320, 3) float32 of a frame (h, w, 3), in which repeats are detected."""
    return pixels_to_lab(_resize(frame, _DETECTION_SIZE))


def lab_length(change: np.ndarray) -> np.ndarray:
    """‖ΔLab‖ (h, w) of differences (h, w, 3) in L*a*b*, with less weight on chroma, which compression degrades most."""
    return cv2.sqrt(cv2.transform(cv2.multiply(change, change), np.array([[1, _CHROMA**2, _CHROMA**2]])))


def _local_change(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """‖ΔLab‖ (h, w) of local mean colours, in which noise cancels and strokes do not."""
    return lab_length(cv2.blur(one - other, (5, 5)))


def _moves_as_a_whole(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether a shift, zoom or rotation of the picture, a gain or an offset explains much of the change of L*.

    Least squares on the gradient (Lucas and Kanade, IJCAI 1981), so subpixel motion is detected.
    """
    change = cv2.blur(other[:, :, 0] - one[:, :, 0], (3, 3))
    if cv2.norm(change) < _GLOBAL * change.size**0.5:
        return False
    lightness = (one[:, :, 0] + other[:, :, 0]) / 2
    dx, dy = (cv2.Sobel(lightness, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in change.shape)
    y = y[:, None] * (change.shape[0] / change.shape[1])
    causes = np.stack([dx, dy, dx * x + dy * y, dy * x - dx * y, lightness - lightness.mean(), np.ones_like(dx)])
    causes, change = causes[:, ::2, ::2].reshape(6, -1), change[::2, ::2].ravel()
    projected = causes @ change
    explained = projected @ np.linalg.lstsq(causes @ causes.T, projected, rcond=1e-6)[0]
    return bool(explained > _EXPLAINED * (change @ change) and explained > _GLOBAL**2 * change.size)


def _resize(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (h, w, 3) integers: area averages down, bilinear up."""
    h, w = map(min, frame.shape, size)
    reduced = cv2.resize(frame, (w, h), interpolation=cv2.INTER_AREA)
    return reduced if (h, w) == size else cv2.resize(reduced, size[::-1], interpolation=cv2.INTER_LINEAR)


def _reduce(frame: np.ndarray) -> _Reduced:
    pixels = _resize(frame, SIZE)
    rgb = pixels.astype(np.float32) * np.float32(1 / np.iinfo(frame.dtype).max)
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return _Reduced(rgb, pixels_to_lab(pixels), luma, _around(luma), _around(luma * luma))


def _around(luma: np.ndarray) -> np.ndarray:
    """Means over windows that lie in the image whole."""
    return cv2.GaussianBlur(luma, (11, 11), 1.5)[5:-5, 5:-5]


def _compare(one: _Reduced, other: _Reduced) -> Difference:
    rgb_mean, rgb_max, error = _lengths(one.rgb, other.rgb)
    lab_mean, lab_max, _ = _lengths(one.lab, other.lab)
    psnr = -10 * math.log10(max(error / 3, 1e-10))
    ssim = _similarity(one.mean, other.mean, one.square, other.square, _around(one.luma * other.luma))
    return Difference(rgb_mean, rgb_max, lab_mean, lab_max, psnr, ssim)


@njit(fastmath={"contract", "nsz", "reassoc"})
def _lengths(one, other):
    """Mean, maximum and mean square over pixels of the length of colour differences."""
    h, w = one.shape[:2]
    total, squares, largest = 0.0, 0.0, np.float32(0)
    for y in range(h):
        row, row_squares = np.float32(0), np.float32(0)
        for x in range(w):
            d0, d1, d2 = one[y, x, 0] - other[y, x, 0], one[y, x, 1] - other[y, x, 1], one[y, x, 2] - other[y, x, 2]
            square = d0 * d0 + d1 * d1 + d2 * d2
            row += np.sqrt(square)
            row_squares += square
            largest = max(largest, square)
        total += row
        squares += row_squares
    return total / (h * w), math.sqrt(largest), squares / (h * w)


@njit(fastmath={"contract", "nsz", "reassoc"})
def _similarity(mean0, mean1, square0, square1, product):
    """Mean SSIM from the local means of both images, of their squares, and of their product."""
    unbiased, c1, c2 = np.float32(121 / 120), np.float32(0.01**2), np.float32(0.03**2)
    h, w = mean0.shape
    total = 0.0
    for y in range(h):
        row = np.float32(0)
        for x in range(w):
            means = mean0[y, x] * mean1[y, x]
            squares = mean0[y, x] * mean0[y, x] + mean1[y, x] * mean1[y, x]
            covariance = unbiased * (product[y, x] - means)
            variances = unbiased * (square0[y, x] + square1[y, x] - squares)
            two = np.float32(2)
            row += (two * means + c1) * (two * covariance + c2) / ((squares + c1) * (variances + c2))
        total += row
    return total / (h * w)
