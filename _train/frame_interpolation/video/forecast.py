"""Forecast of an interpolation: counts of drawings and cuts, and estimates of time and size.

The whole source is read. Time and size are extrapolated from the frames after the first few moving drawings, which are
drawn and encoded into a temporary folder.
"""

import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from _train.frame_interpolation.video import results
from _train.frame_interpolation.video.detection import drawings_of
from _train.frame_interpolation.video.interpolate import Draws, open_source
from _train.frame_interpolation.video.part_writer import as_written
from _train.frame_interpolation.video.results import Options
from _train.frame_interpolation.video.timeline import Stretch, stretches
from _util import video

_SAMPLES = 3  # drawings that are timed, after one for warm-up


class Forecast(NamedTuple):
    source_frames: int
    drawings: int
    cuts: int
    frames: int
    fps: Fraction
    drawn: int  # number of frames that are interpolated
    seconds: float
    bytes: float
    notes: list[str]  # sentences about what was found, would be left out or could not be read


def forecast(source: Path, out: Path, options: Options, create: Callable[[], tuple[Draws, Any]]) -> Forecast:
    """Forecast the result of `interpolate_video`, and the time that it would take on this machine.

    Raises:
        InputError: an input cannot be used.
    """
    begun = time.monotonic()
    reader, fps = open_source(source, options)
    result = results.kind_of(out)(source, out, reader, fps, options)
    found = drawings_of(reader, options)
    hold = options.longest_hold * options.excerpt.slowness
    frames = drawn = 0
    samples: list[Stretch[video.Frame]] = []
    for stretch in stretches(iter(found), found.end, fps, rate=reader.rate, longest_hold=hold):
        frames = max(frames, stretch.held.stop, *(k + 1 for k, _ in stretch.moving))
        drawn += len(stretch.moving)
        if stretch.moving and len(samples) <= _SAMPLES:
            samples.append(stretch)
    reading = time.monotonic() - begun
    seconds, size = _sample(samples, create, result, options) if samples else (0.0, 0.0)
    notes = [*reader.notes, *result.notes, *filter(None, [reader.damage])]
    return Forecast(*found.count, frames, fps, drawn, reading + drawn * seconds, frames * size, notes)


def _sample(
    samples: list[Stretch[video.Frame]],
    create: Callable[[], tuple[Draws, Any]],
    result: results.Result,
    options: Options,
) -> tuple[float, float]:
    """Mean seconds per interpolated frame, and bytes per frame of the result."""
    interpolator, _ = create()
    seconds, timed, written = 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sample{result.part_suffix}"
        with result.part(path) as writer:
            for i, stretch in enumerate(samples):
                begun = time.monotonic()
                assert stretch.following is not None  # samples move
                pair = interpolator.prepare(stretch.picture.pixels, stretch.following.pixels)
                pictures = [wait() for wait in interpolator.draw(pair, [t for _, t in stretch.moving])]
                if i or len(samples) == 1:
                    seconds, timed = seconds + time.monotonic() - begun, timed + len(pictures)
                for picture in [stretch.picture] * len(stretch.held) + pictures:
                    writer.write(as_written(picture, stretch.picture, options))
                    written += 1
        files = [path] if path.is_file() else list(path.rglob("*"))
        return seconds / timed, sum(file.stat().st_size for file in files) / written
