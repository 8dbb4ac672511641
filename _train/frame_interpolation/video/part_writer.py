"""Write the frames of a result into its parts.

A part is finished once its file is complete. If drawing takes long, each drawn frame is also stored individually.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np

from _train.frame_interpolation.video.parts import Parts
from _train.frame_interpolation.video.results import Result
from _train.frame_interpolation.video.stills import Stills
from _util import video

KEPT_SECONDS = 30  # of drawing; if a part takes longer, its frames are stored individually


class ComingFrame(NamedTuple):
    """A frame of the result that is still to be written."""

    number: int
    wait: Callable[[], video.Frame | np.ndarray]
    is_drawn: bool  # in this run, by the interpolator
    source: video.Frame  # the drawing of the source at that time
    beside: np.ndarray | None = None  # pixels to its left


class PartWriter:
    """Writes frames, in order, into parts.

    Args:
        length: number of frames per part.
        stills: areas that are not interpolated.

    The end of the block finishes the last part. After an exception, the current part is not finished.
    """

    def __init__(self, parts: Parts, length: int, result: Result, stills: Stills):
        self._parts, self._length, self._result = parts, length, result
        self._stills = stills
        self._open = contextlib.ExitStack()
        self._part = -1
        self._writer: Any = None
        self._written = 0
        self._begun, self._drawn = time.monotonic(), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: Any) -> None:
        if kind is None:
            self._finish()
        else:
            self._open.__exit__(kind, *details)

    def write(self, frame: ComingFrame) -> None:
        """Wait for a frame and write it."""
        part = frame.number // self._length
        if part != self._part:
            self._finish()
            self._writer = self._open.enter_context(self._result.part(self._parts.path(part)))
            self._part, self._written = part, 0
        picture = frame.wait()
        if frame.is_drawn:
            self._keep(frame.number, picture)
        picture = self._stills.over(picture, frame.source, frame.number)
        self._writer.write(as_written(picture, frame.beside), frame.source)
        self._written += 1

    def _finish(self) -> None:
        self._open.close()
        if self._written:
            first = self._part * self._length
            self._parts.keep(self._part, range(first, first + self._written))
        self._written = 0

    def _keep(self, number: int, pixels: Any) -> None:
        """Store a drawn frame individually if a part takes long to draw."""
        self._drawn += 1
        if (time.monotonic() - self._begun) / self._drawn * self._length > KEPT_SECONDS:
            self._parts.store(number, pixels)


def as_written(picture: video.Frame | np.ndarray, beside: np.ndarray | None) -> video.Frame | np.ndarray:
    """The frame to write, with the pixels `beside` to its left, if there are any."""
    if beside is None:
        return picture
    return np.hstack([beside, picture.pixels if isinstance(picture, video.Frame) else picture])
