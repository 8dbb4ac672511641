"""How much time the way of a video adds to the interpolator's own: decoding, finding drawings and cuts, encoding.

A video is interpolated as the command does it; then the interpolator alone draws the same frames again from the same
drawings. Both run in one process, warmed up, and the ratio of their times is what users pay for having a video.
"""

import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from _train.frame_interpolation.interpolator import Interpolator, Pair
from _train.frame_interpolation.videos import Options, interpolate_video
from _util import image, video

_SIZE = 480, 640
_DRAWINGS = 12  # on twos: a second of animation
METHODS = (("auto", "auto"), ("dis", "splat"))  # what users get, and the cheapest


class Times(NamedTuple):
    """Seconds for a whole video, and for its interpolated frames alone."""

    video: float
    interpolator: float
    drawn: int  # frames that are drawn
    frames: int  # of the result

    @property
    def ratio(self) -> float:
        return self.video / self.interpolator


class _Remembers:
    """An interpolator that notes what it is asked for."""

    def __init__(self, interpolator: Interpolator):
        self._interpolator = interpolator
        self.asked: list[tuple[np.ndarray, np.ndarray, list[float]]] = []

    def prepare(self, frame0: np.ndarray, frame1: np.ndarray) -> Pair:
        self.asked.append((frame0, frame1, []))
        return self._interpolator.prepare(frame0, frame1)

    def at(self, pair: Pair, t: float) -> np.ndarray:
        self.asked[-1][2].append(t)
        return self._interpolator.at(pair, t)


def compare(picture: Path, repeats: int) -> list[dict]:
    """Measure `METHODS` on a pan over a picture.

    Returns:
        By method, of the round of median ratio: its name, frames that are drawn, seconds of both, their ratio.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pan.mp4"
        write_pan(picture, source)
        for flow, synthesis in METHODS:
            interpolator = Interpolator(flow, synthesis)
            _warm_up(source, interpolator)
            rounds = sorted((measure(source, interpolator) for _ in range(repeats)), key=lambda times: times.ratio)
            times = rounds[(repeats - 1) // 2]
            name = f"{interpolator.flow}+{interpolator.synthesis}"
            rows.append({"method": name, **times._asdict(), "ratio": times.ratio})
    return rows


def measure(source: Path, interpolator: Interpolator, options: Options | None = None) -> Times:
    """Interpolate `source`, then draw the same frames alone.

    Raises:
        InputError: it is no video that can be interpolated.
    """
    remembering = _Remembers(interpolator)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        summary = interpolate_video(source, Path(folder) / "out.mp4", options or Options(), lambda: (remembering, {}))
        whole = time.perf_counter() - start
    start = time.perf_counter()
    for frame0, frame1, times in remembering.asked:
        pair = interpolator.prepare(frame0, frame1)
        for t in times:
            interpolator.at(pair, t)
    alone = time.perf_counter() - start
    return Times(whole, alone, sum(len(times) for _, _, times in remembering.asked), summary.frames)


def _warm_up(source: Path, interpolator: Interpolator) -> None:
    frames = [frame.pixels for frame in video.Reader(source)]
    interpolator.at(interpolator.prepare(frames[0], frames[-1]), 0.5)


def write_pan(picture: Path, path: Path) -> None:
    """A video, 640×480 at 24 frames a second, that pans over a picture on twos."""
    pixels = image.read(picture)[:, :, :3]
    with video.Writer(path, video.Encoding(_SIZE, Fraction(24))) as writer:
        for crop in _crops(pixels):
            for _ in range(2):
                writer.write(crop)


def _crops(pixels: np.ndarray) -> Iterator[np.ndarray]:
    h, w = _SIZE
    for i in range(_DRAWINGS):
        x, y = ((side - size) * i // (_DRAWINGS - 1) for side, size in zip(pixels.shape[1::-1], (w, h), strict=True))
        yield np.ascontiguousarray(pixels[y : y + h, x : x + w])
