"""The frames of a source at the times of a result, which shows them beside its own."""

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
            if frame.time <= self._start:
                self._coming.clear()
            self._coming.append((frame.time, frame.pixels))
            yield frame

    def at(self, number: int) -> np.ndarray:
        """The pixels that the source shows at the time of frame `number` of the result; numbers must increase."""
        self.forget(number)
        return self._coming[0][1]

    def forget(self, number: int) -> None:
        """Drop the frames that the source no longer shows at the time of frame `number` of the result."""
        while len(self._coming) > 1 and self._coming[1][0] <= (number + self._near) / self._fps:
            self._coming.popleft()
