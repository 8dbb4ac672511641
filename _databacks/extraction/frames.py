"""Frames of a video at a constant rate, numbered from 0, and at the size that is wanted."""

import collections
import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from fractions import Fraction
from typing import TypeVar

import cv2
import numpy as np

from _databacks.extraction.options import Size
from _util.video import Reader

RATE = 24  # frames a second
_MARGIN = Fraction(10)  # seconds; a frame held for longer is looked for from the beginning

S = TypeVar("S")
T = TypeVar("T")


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
    number = first
    for following in itertools.chain(frames, [None]):
        end = _place(following.time) if following else max(1, _place(reader.end))
        if number < end:
            pixels = _to_8_bits(shown.pixels)
            yield from ((place, pixels) for place in range(number, end))
            number = end
        shown = following


def _place(time: Fraction) -> int:
    return math.floor(time * RATE + Fraction(1, 2))


def _to_8_bits(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype == np.uint8 else (pixels / 257).round().astype(np.uint8)


def fit(pixels: np.ndarray, size: Size, aspect: Fraction = Fraction(1)) -> np.ndarray:
    """Bring a frame (h, w, 3) to a size and its pixels to squares, without changing the proportions seen.

    With a size (h, w), what protrudes is cut off evenly at both sides; with a height, higher frames are reduced.

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


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resample to (h, w) = `size`: by areas where it gets smaller, bicubically where it gets larger."""
    if pixels.shape[:2] == size:
        return pixels
    shrinks = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made in another thread while the one before is being used."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item


def in_order(pool: Executor, work: Callable[[S], T], items: Iterator[S], ahead: int = 2) -> Iterator[T]:
    """The results of `work` on the items, in their order, of which `ahead` are begun before the first is asked for."""
    begun: collections.deque[Future[T]] = collections.deque()
    for item in items:
        begun.append(pool.submit(work, item))
        if len(begun) > ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
