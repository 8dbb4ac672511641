"""Line detection.

In: a frame, (h, w, 3) uint8 RGB. Out: a mask. The frame is smoothed by a bilateral filter, which keeps edges; lines are
where a channel is darker than its surroundings (Laplacian), with hysteresis.
"""

from typing import Literal

import cv2
import numpy as np

from _util import threads
from _util.compiled import njit
from _util.image import difference

Style = Literal["western", "japanese"]

_TILE = 32  # columns smoothed together


# Diameter of the bilateral filter in pixels, its deviations in levels of 255 and in pixels; weakest response of a line.
_STYLES = {"western": (30, 40, 30, 1), "japanese": (10, 10, 10, 2)}
# Responses are in 255ths of the strongest. A line has a certain one somewhere, and is drawn as white minus 20 times the
# response; it is where that is 220 of 255 or less.
_CERTAIN, _MARKED = 20, 35 / 20


def find(pixels: np.ndarray, style: Style) -> np.ndarray:
    """The lines of a frame.

    Args:
        pixels: (h, w, 3) uint8.
        style: of the drawing; "western" smooths over a wider range of colours and further.

    Returns:
        (h, w) bool.

    Raises:
        ValueError: an unknown style.
    """
    if style not in _STYLES:
        raise ValueError(f"style is {style!r}; it can be {' or '.join(_STYLES)}")
    *smoothing, weakest = _STYLES[style]
    channels = cv2.split(bilateral(pixels, *smoothing))
    responses = [cv2.Laplacian(channel, cv2.CV_16S, ksize=5) for channel in channels]  # faster than of all at once
    unit = max(1, *(int(response.max()) for response in responses)) / 255
    lines = np.zeros(pixels.shape[:2], bool)
    for response in responses:
        _add_lines(response, weakest * unit, _MARKED * unit, _CERTAIN * unit, lines)
    return lines


@njit()
def _add_lines(response, weakest, marked, certain, lines):
    """Mark the lines of a channel: what is connected to a certain response by responses above the weakest one."""
    h, w = response.shape
    reached, waiting = np.zeros((h, w), np.bool_), np.empty(h * w, np.int32)
    for row in range(h):
        for column in range(w):
            if reached[row, column] or response[row, column] <= certain:
                continue
            reached[row, column], waiting[0], count = True, row * w + column, 1
            while count:
                count -= 1
                y, x = divmod(np.int64(waiting[count]), w)
                lines[y, x] |= response[y, x] >= marked
                for v in range(max(y - 1, 0), min(y + 2, h)):
                    for u in range(max(x - 1, 0), min(x + 2, w)):
                        if not reached[v, u] and response[v, u] > weakest:
                            reached[v, u], waiting[count] = True, v * w + u
                            count += 1


def bilateral(pixels: np.ndarray, diameter: int, sigma_colour: float, sigma_space: float) -> np.ndarray:
    """Like `cv2.bilateralFilter`, but in half the time; rounding may differ by one level.

    Args:
        pixels: (h, w, 3) uint8.

    Returns:
        (h, w, 3) uint8.
    """
    radius = diameter // 2
    h, w = pixels.shape[:2]
    framed = cv2.copyMakeBorder(pixels, radius, radius, radius, radius, cv2.BORDER_REFLECT_101)
    padded = np.zeros((3, h + 2 * radius, -(-w // _TILE) * _TILE + 2 * radius), np.float32)
    padded[:, :, : w + 2 * radius] = framed.transpose(2, 0, 1)
    reach = np.arange(-radius, radius + 1)
    squares = reach**2 + reach[:, None] ** 2
    near = np.argwhere(squares <= radius**2)
    closeness = np.exp(-squares[squares <= radius**2] / (2 * sigma_space**2)).astype(np.float32)
    smooth, rate = pixels.copy(), np.float32(1 / (2 * 32 * sigma_colour**2))
    threads.run(_smooth_rows, h, padded, near, closeness, rate, _varied_tiles(pixels, radius), smooth)
    return smooth


def _varied_tiles(pixels: np.ndarray, radius: int) -> np.ndarray:
    """(h, tiles) bool: the tiles of each row with pixels around which, within the radius, colours differ."""
    window = np.ones((2 * radius + 1,) * 2, np.uint8)
    varied = difference(cv2.dilate(pixels, window), cv2.erode(pixels, window)) > 0
    h, w = varied.shape
    tiles = np.pad(varied, ((0, 0), (0, -w % _TILE))).reshape(h, -1, _TILE)
    return np.any(tiles, axis=2)


@njit(fastmath=True, error_model="numpy")
def _smooth_rows(padded, near, closeness, rate, varied, smooth, start, stop):
    # One task: one row; tiles of one colour stay. exp(-v) is computed as a polynomial in v / 32, to the 32nd
    # power; v is clipped at 18. Inner loops over a fixed number of columns of flat arrays are vectorized.
    h, w = smooth.shape[:2]
    radius, width = (padded.shape[1] - h) // 2, padded.shape[2]
    plane = np.uintp(padded.shape[1] * width)
    flat = padded.ravel()
    centre, sums = np.empty(3 * _TILE, np.float32), np.empty(4 * _TILE, np.float32)
    one, second, third = np.float32(1), np.float32(1 / 2), np.float32(1 / 6)
    fourth, fifth, sixth = np.float32(1 / 24), np.float32(1 / 120), np.float32(1 / 720)
    highest = np.float32(18 / 32)
    tile, tiles2, tiles3 = np.uintp(_TILE), np.uintp(2 * _TILE), np.uintp(3 * _TILE)
    for y in range(start, stop):
        for left in range(0, w, _TILE):
            if not varied[y, left // _TILE]:
                continue
            sums[:] = 0
            at = np.uintp((y + radius) * width + left + radius)
            for column in range(_TILE):
                x = np.uintp(column)
                centre[x] = flat[at + x]
                centre[tile + x] = flat[at + plane + x]
                centre[tiles2 + x] = flat[at + plane + plane + x]
            for k in range(len(near)):
                from_red = np.uintp((y + near[k, 0]) * width + left + near[k, 1])
                from_green = from_red + plane
                from_blue = from_green + plane
                close = closeness[k]
                for column in range(_TILE):
                    x = np.uintp(column)
                    red, green, blue = flat[from_red + x], flat[from_green + x], flat[from_blue + x]
                    apart = abs(red - centre[x]) + abs(green - centre[tile + x]) + abs(blue - centre[tiles2 + x])
                    v = min(apart * apart * rate, highest)
                    weight = one - v * (one - v * (second - v * (third - v * (fourth - v * (fifth - v * sixth)))))
                    weight *= weight
                    weight *= weight
                    weight *= weight
                    weight *= weight
                    weight *= weight
                    weight *= close
                    sums[x] += weight
                    sums[tile + x] += weight * red
                    sums[tiles2 + x] += weight * green
                    sums[tiles3 + x] += weight * blue
            for x in range(min(_TILE, w - left)):
                for channel in range(3):
                    smooth[y, left + x, channel] = np.uint8(sums[(channel + 1) * _TILE + x] / sums[x] + np.float32(0.5))
