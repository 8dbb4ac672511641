"""The frames of a source at the times of a result, which shows them beside its own, or areas of them over its own."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from _train.frame_interpolation.video.timeline import tolerance
from _util.video import Frame


class SourceFrames:
    """The frames of a source that are decoded but not yet shown.

    Args:
        fps: frames per second of the result.
        rate: frames per second of the source.
        start: time of the first frame that is asked for; of earlier frames, only the last is kept.
    """

    def __init__(self, fps: Fraction, rate: Fraction, start: Fraction):
        self._fps, self._start, self._near = fps, start, tolerance(fps, rate)
        self._coming: deque[tuple[Fraction, np.ndarray]] = deque()  # start times, in seconds, and pixels

    def watch(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Pass frames through, and keep them until they are forgotten."""
        for frame in frames:
            self.keep(frame.time, frame.pixels)
            yield frame

    def keep(self, time: Fraction, pixels: np.ndarray) -> None:
        """Keep what the source shows from a time on, until it is forgotten; times must increase."""
        if time <= self._start:
            self._coming.clear()
        self._coming.append((time, pixels))

    def at(self, number: int) -> np.ndarray:
        """The pixels that the source shows at the time of frame `number` of the result; numbers must increase."""
        return self.since(number)[1]

    def since(self, number: int) -> tuple[Fraction, np.ndarray]:
        """The pixels as of `at`, and from which time on the source shows them."""
        self.forget(number)
        return self._coming[0]

    def forget(self, number: int) -> None:
        """Drop the frames that the source no longer shows at the time of frame `number` of the result."""
        while len(self._coming) > 1 and self._coming[1][0] <= (number + self._near) / self._fps:
            self._coming.popleft()
