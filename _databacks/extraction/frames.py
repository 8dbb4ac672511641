"""Frames of a video at a constant rate, numbered from 0, and at a given size."""

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from _databacks.extraction.options import Size
from _util.pixels import as_8_bits, resize
from _util.video import Reader, Treatment

RATE = 24  # frames a second
_MARGIN = Fraction(10)  # seconds; a frame held for longer is looked for from the beginning


def open_original(source: Path) -> Reader:
    """Open a video or drawings; interlaced and telecined video is converted to progressive frames."""
    return Reader(source, treatment=Treatment())


def at_constant_rate(reader: Reader, first: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Numbers and pixels (h, w, 3) uint8 RGB of the frames at 24 a second, from number `first` on.

    A source frame takes the place nearest to its time. Where none does, the one before is held; where several do, the
    last one is taken.
    """
    start = max(Fraction(0), Fraction(first, RATE) - _MARGIN)
    frames = reader.frames(start)
    shown = next(frames, None)
    if start > 0 and (shown is None or _place(shown.time) > first):
        frames = reader.frames()
        shown = next(frames)
    assert shown is not None
    number = first
    for following in itertools.chain(frames, [None]):
        end = _place(following.time) if following else max(1, _place(reader.end or Fraction(0)))
        if number < end and shown is not None:
            pixels = as_8_bits(shown.pixels)
            yield from ((place, pixels) for place in range(number, end))
            number = end
        shown = following


def _place(time: Fraction) -> int:
    return math.floor(time * RATE + Fraction(1, 2))


def fit(pixels: np.ndarray, size: Size, aspect: Fraction = Fraction(1)) -> np.ndarray:
    """Resize a frame (h, w, 3) to square pixels, keeping the display aspect ratio.

    With a size (h, w), the excess is cropped evenly on both sides; with a height, taller frames are reduced.

    Args:
        aspect: width of a pixel over its height.
    """
    h, w = pixels.shape[0], pixels.shape[1] * float(aspect)
    if isinstance(size, tuple):
        scale = max(size[0] / h, size[1] / w)
        covering = max(size[0], round(h * scale)), max(size[1], round(w * scale))
        top, left = ((have - want) // 2 for have, want in zip(covering, size, strict=True))
        return resize(pixels, covering)[top : top + size[0], left : left + size[1]]
    scale = 1 if size is None else min(1, size / h)
    return resize(pixels, (round(h * scale), max(1, round(w * scale))))
