"""Progress bar of a video, with an estimate of the time left from the start.

Before the first frame, the time per frame is extrapolated from two small sizes, drawn by the same method. Then it is a
running mean over finished frames, of about the last two hundred.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

_SHRUNK = 4, 2  # factors by which the sides of the small frames are reduced
_SMALLEST = 32  # pixels of a side of a small frame
_PATCH = 8  # pixels of a side of a patch of one colour
_EXPECTED_FRAMES = 4  # weight of the initial estimate
_REMEMBERED = 200  # frames in the running mean


class PairInterpolator(Protocol):
    """The interface of `Interpolator` that videos use."""

    def prepare(self, frame0: np.ndarray, frame1: np.ndarray) -> Any: ...

    def draw(self, pair: Any, times: Iterable[float]) -> Iterator[Callable[[], np.ndarray]]: ...


def expected_seconds(interpolator: PairInterpolator, size: tuple[int, int], between: int) -> float:
    """The mean time in seconds per frame of the result, extrapolated linearly from small frames.

    Args:
        size: (h, w) of the frames.
        between: number of frames drawn between two of the source, at least one.
    """
    pixels, seconds = [], []
    for i, shrunk in enumerate((_SHRUNK[0], *_SHRUNK)):
        h, w = (min(side, max(_SMALLEST, side // shrunk)) for side in size)
        taken = _seconds(interpolator, h, w, between)
        if i:  # the first call includes loading
            pixels.append(h * w)
            seconds.append(taken)
    more = max(0.0, seconds[1] - seconds[0]) / max(1, pixels[1] - pixels[0])
    area = size[0] * size[1]
    # Nothing grows faster than area.
    of_pair = min(seconds[1] + more * (area - pixels[1]), seconds[1] * area / pixels[1])
    return of_pair / (between + 1)


def _seconds(interpolator: PairInterpolator, h: int, w: int, between: int) -> float:
    """The time in seconds to prepare a pair of frames and draw `between` frames between them."""
    patches = np.random.default_rng(0).integers(0, 256, (h // _PATCH + 1, w // _PATCH + 1, 3), np.uint8)
    frame = np.ascontiguousarray(patches.repeat(_PATCH, 0).repeat(_PATCH, 1)[:h, :w])
    clock = [time.perf_counter()]
    pair = interpolator.prepare(frame, np.roll(frame, 1, 1))
    for t in (0.5, 0.25):
        for wait in interpolator.draw(pair, [t]):
            wait()
        clock.append(time.perf_counter())
    first, further = np.diff(clock)
    return float(first + (between - 1) * further)


class FrameBar(tqdm):
    """A bar of frames.

    Args:
        expected: expected seconds per frame; None if unknown.
        options: of tqdm.
    """

    def __init__(self, expected: float | None = None, **options: Any):
        self._mean = expected
        self._counted = 0 if expected is None else _EXPECTED_FRAMES
        self._last = time.perf_counter()
        super().__init__(unit="frame", **options)

    def update(self, n: float | None = 1) -> bool | None:
        """Count finished frames."""
        now = time.perf_counter()
        if n:
            self._counted += n
            share = min(1, n / min(self._counted, _REMEMBERED))
            mean = self._mean or 0.0
            self._mean = mean + ((now - self._last) / n - mean) * share
            self._last = now
        return super().update(n)

    def refresh(self, *_: Any, **_options: Any) -> None:
        """Show the bar; tqdm keeps the lock if it cannot be written, and `close` in another thread waits forever."""
        with self.get_lock():
            super().refresh(nolock=True)

    @property
    def format_dict(self) -> dict[str, Any]:
        """The values that tqdm shows, with the rate from which the time left is computed."""
        return {**super().format_dict, "rate": 1 / self._mean if self._mean else None}
