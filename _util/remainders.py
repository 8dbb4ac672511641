"""What a video frame loses by conversion to RGB and back, and its restoration in frames that show the same.

RGB cannot represent all colours of Y'CbCr: beside a black line, a saturated area whose chroma has half the resolution
is often outside. An in-between is drawn in RGB. Where it shows the same as a drawing of the source, it gets back what
that drawing loses, so that static areas are stored alike in both.
"""

from typing import NamedTuple

import av
import cv2
import numpy as np

from _util import chroma, colour, planes
from _util.colour import Colour

_ALIKE = 3  # levels of 8 bits by which colours of the same area differ at most, as compression leaves them
_AROUND = 4  # pixels to each side whose colours a sample of chroma depends on noticeably


class Remainder:
    """What one frame loses.

    Args:
        stored: the decoded frame, in a format that `colour.is_planar_ycbcr`.
        pixels: the same frame as (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16.
        tags: of the encoder.
    """

    def __init__(self, stored: av.VideoFrame, pixels: np.ndarray, tags: Colour):
        self._pixels = pixels
        self._deep = colour.is_deep(stored.format)
        self._most = 2 ** stored.format.components[0].bits - 1
        converted = colour.from_rgb(pixels, colour.plain(stored.format.name), tags)
        self._lost = [
            _Lost.between(planes.values(before, self._deep), planes.values(after, self._deep))
            for before, after in zip(stored.planes, converted.planes, strict=True)
        ]

    def restore(self, frame: av.VideoFrame, pixels: np.ndarray) -> None:
        """Add the remainder to `frame`, converted from `pixels`, where these are those of the frame that lost it."""
        channels = pixels.shape[2]
        largest = [_ALIKE * np.iinfo(pixels.dtype).max // 255] * channels
        alike = cv2.inRange(cv2.absdiff(pixels, self._pixels), np.zeros(channels), np.array(largest, float))
        alike = cv2.erode(alike, np.ones((2 * _AROUND + 1,) * 2, np.uint8))
        for i, (plane, lost) in enumerate(zip(frame.planes, self._lost, strict=True)):
            columns, rows = chroma.subsampling(frame.format) if i in (1, 2) else (1, 1)
            values, here = planes.values(plane, self._deep), (lost.rows, lost.columns)
            levels = values[here] + np.where(alike[::rows, ::columns][here], lost.levels, 0)
            values[here] = levels.clip(0, self._most)


class _Lost(NamedTuple):
    """Where the values of a plane differ, and by how much."""

    rows: np.ndarray  # (k,)
    columns: np.ndarray
    levels: np.ndarray  # (k,) int32

    @classmethod
    def between(cls, before: np.ndarray, after: np.ndarray) -> "_Lost":
        rows, columns = np.nonzero(before != after)
        return cls(rows, columns, before[rows, columns].astype(np.int32) - after[rows, columns])
