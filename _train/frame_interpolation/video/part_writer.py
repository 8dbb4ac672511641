"""Writes the frames of a result into its parts.

Each part is a file, and counts as finished once it is complete. Where drawing takes long, each frame is kept as well.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np

from _train.frame_interpolation.video.parts import Parts
from _train.frame_interpolation.video.results import Options, Result
from _train.frame_interpolation.video.stills import Stills
from _util import video

KEPT_SECONDS = 30  # of drawing: where a part takes longer, its frames are kept one by one


class ComingFrame(NamedTuple):
    """A frame of the result that is still to be written."""

    number: int
    wait: Callable[[], video.Frame | np.ndarray]
    is_drawn: bool  # now, by the interpolator
    source: video.Frame  # what the source shows then


class PartWriter:
    """Writes frames, in order, into parts.

    Args:
        length: frames of a part.
        stills: what is not moved in the frames.

    The block ends the last part. An exception leaves out the part that it falls into.
    """

    def __init__(self, parts: Parts, length: int, result: Result, options: Options, stills: Stills):
        self._parts, self._length, self._result, self._options = parts, length, result, options
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
        """Wait for a frame, and write it."""
        part = frame.number // self._length
        if part != self._part:
            self._finish()
            self._writer = self._open.enter_context(self._result.part(self._parts.path(part)))
            self._part, self._written = part, 0
        picture = frame.wait()
        if frame.is_drawn:
            self._keep(frame.number, picture)
        picture = self._stills.over(picture, frame.source, frame.number)
        self._writer.write(as_written(picture, frame.source, self._options))
        self._written += 1

    def _finish(self) -> None:
        self._open.close()
        if self._written:
            first = self._part * self._length
            self._parts.keep(self._part, range(first, first + self._written))
        self._written = 0

    def _keep(self, number: int, pixels: Any) -> None:
        """Keep a drawn frame by itself, once drawing has been found to take long."""
        self._drawn += 1
        if (time.monotonic() - self._begun) / self._drawn * self._length > KEPT_SECONDS:
            self._parts.store(number, pixels)


def as_written(picture: video.Frame | np.ndarray, source: video.Frame, options: Options) -> video.Frame | np.ndarray:
    """A frame as it is written: the source beside it where wanted."""
    if not options.side_by_side:
        return picture
    return np.hstack([source.pixels, picture.pixels if isinstance(picture, video.Frame) else picture])
