"""Forecast of an interpolation: counts of drawings and cuts, and estimates of time and size.

The whole source is read. Time and size are extrapolated from the frames after the first few moving drawings, which are
drawn and encoded into a temporary folder. A list of the scenes is written if one is requested.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from _train.frame_interpolation.video import eased
from _train.frame_interpolation.video.detection import FoundDrawings, mark
from _train.frame_interpolation.video.eased import EasedStretch
from _train.frame_interpolation.video.interpolate import VideoRun, part_length, prepare_run, target_of
from _train.frame_interpolation.video.part_writer import as_written
from _train.frame_interpolation.video.progress import PairInterpolator
from _train.frame_interpolation.video.results import Options
from _train.frame_interpolation.video.timeline import stretches
from _util import locks

_SAMPLES = 3  # drawings that are timed, after one for warm-up


class Forecast(NamedTuple):
    source_frames: int
    drawings: int
    cuts: int
    frames: int
    fps: Fraction
    drawn: int  # number of frames that are still to be interpolated
    seconds: float
    bytes: float


def forecast(
    source: Path,
    out: Path,
    options: Options,
    create: Callable[[], tuple[PairInterpolator, Any]],
    *,
    resume: bool = False,
    overwrite: bool = False,
    scenes: Path | None = None,
    as_folder: bool = False,
    makes_folder: bool = False,
) -> Forecast | None:
    """Forecast the result of `interpolate_video`, and the time that it would take on this machine.

    Args:
        resume, overwrite, scenes, as_folder: of `interpolate_video`; the list of scenes is written.
        makes_folder: the folder of `out` need not exist.

    Returns:
        The forecast; None if the result exists and nothing is left to do.

    Raises:
        InputError: `interpolate_video` would raise it before it draws.
    """
    begun = time.monotonic()
    target = target_of(source, out, scenes, resume, as_folder, makes_folder)
    locks.check(*target.paths)
    run = prepare_run(source, target, options, create, resume, overwrite)
    if run.is_made:
        return None
    length = part_length(run.parts, run.fps)
    found = FoundDrawings(mark(run.reader.frames(), options, run.reader), run.reader)
    hold = options.longest_hold * options.excerpt.slowness
    frames = drawn = 0
    samples: list[EasedStretch] = []
    spread = stretches(iter(found), found.end, run.fps, rate=run.reader.rate, longest_hold=hold)
    for one in eased.with_easing(spread, options.ease, run.interpolator):
        frames = one.stretch.held.stop  # of the last stretch: all
        drawn += sum(k // length not in run.kept for k, _ in one.stretch.moving)
        if one.stretch.moving and len(samples) <= _SAMPLES:
            samples.append(one)
    if scenes:
        with locks.holding(scenes):
            found.write_scenes(scenes, options.excerpt.slowness)
    reading = time.monotonic() - begun
    seconds, size = _sample(samples, run, options) if samples else (0.0, 0.0)
    if run.reader.damage:
        print(run.reader.damage, file=sys.stderr)
    return Forecast(*found.count, frames, run.fps, drawn, reading + drawn * seconds, frames * size)


def _sample(samples: list[EasedStretch], run: VideoRun, options: Options) -> tuple[float, float]:
    """Mean seconds per interpolated frame, and bytes per frame of the result."""
    result, interpolator = run.result, run.interpolator
    seconds, timed, encoded = 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sample{result.part_suffix}"
        with result.part(path) as writer:
            for i, sample in enumerate(samples):
                begun, stretch = time.monotonic(), sample.stretch
                pictures = [wait() for wait in sample.draw(interpolator, [t for _, t in stretch.moving])]
                if i or len(samples) == 1:
                    seconds, timed = seconds + time.monotonic() - begun, timed + len(pictures)
                beside = stretch.picture.pixels if options.side_by_side else None
                for picture in [stretch.picture] * len(stretch.held) + pictures:
                    writer.write(as_written(picture, beside), stretch.picture)
                    encoded += 1
        files = [path] if path.is_file() else list(path.rglob("*"))
        return seconds / timed, sum(file.stat().st_size for file in files) / encoded
