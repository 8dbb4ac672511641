"""A long video of small frames: the memory of the process does not grow with it.

    python -m tests.soak --frames 20000

A video is made, interpolated in this process, and what the process holds is printed. The exit code is 1 if that grows
by more than 50 MB after the first 1,000 frames, up to the joined video.
"""

import argparse
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.video.interpolate import Options, PairInterpolator, interpolate_video
from _util.video import Encoding, Writer

SIZE = 48, 64
MOST_GROWTH, WARM = 50, 1000  # MB after that many frames


class Sample(NamedTuple):
    """What the process holds once so many frames of the result are drawn."""

    frames: int
    megabytes: float


def resident() -> float:
    """MB of this process in memory; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth(samples: Iterable[Sample], warm: int = WARM) -> float:
    """MB by which the most after `warm` frames is more than what was held then."""
    later = [sample.megabytes for sample in samples if sample.frames >= warm]
    return max(later) - later[0]


class _Watched:
    """PairInterpolator as another does, and samples now and then."""

    def __init__(self, drawer: PairInterpolator, every: int, samples: list[Sample]):
        self._drawer, self._every, self._samples, self._drawn = drawer, every, samples, 0

    def prepare(self, frame0: np.ndarray, frame1: np.ndarray):
        return self._drawer.prepare(frame0, frame1)

    def draw(self, pair, times: Iterable[float]) -> Iterator[Callable[[], np.ndarray]]:
        for frame in self._drawer.draw(pair, times):
            self._drawn += 1
            if self._drawn % self._every == 0:
                self._samples.append(Sample(2 * self._drawn, resident()))
            yield frame


def frame(i: int) -> np.ndarray:
    """Another picture for each i: a ground that moves, and turns back at its end."""
    h, w = SIZE
    at = 3 * abs((i + 40) % 80 - 40)
    return np.ascontiguousarray(_ground()[i // 80 % h :][:h, at : at + w])


@functools.cache
def _ground() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (12, 24, 3), np.uint8)
    return cv2.resize(noise, (4 * SIZE[1], 2 * SIZE[0]), interpolation=cv2.INTER_CUBIC)


def run(frames: int, folder: Path, drawer: PairInterpolator, every: int = 250) -> list[Sample]:
    """Interpolate a video into one of so many frames, in a folder; the last sample is of the time after joining."""
    with Writer(folder / "in.mkv", Encoding(SIZE, Fraction(24))) as writer:
        for i in range(frames // 2):
            writer.write(frame(i))
    samples: list[Sample] = []
    watched = _Watched(drawer, max(1, every // 2), samples)
    interpolate_video(folder / "in.mkv", folder / "out.mkv", Options(), lambda: (watched, {}))
    return [*samples, Sample(frames, resident())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20000, metavar="N", help="of the result (default: 20000)")
    arguments = parser.parse_args()
    interpolator = Interpolator("dis", "splat", "cpu")
    with tempfile.TemporaryDirectory() as folder:
        samples = run(arguments.frames, Path(folder), interpolator)
    for sample in samples[3::4]:
        print(f"{sample.frames:6} frames  {sample.megabytes:7.1f} MB")
    grown = growth(samples)
    print(f"{grown:.1f} MB more at most after {WARM} frames")
    sys.exit(grown > MOST_GROWTH)


if __name__ == "__main__":
    main()
