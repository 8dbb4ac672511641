"""Interpolate a video, or a folder of numbered drawings, to another frame rate.

source ─ decode ─▶ find holds ─▶ find cuts ─▶ interpolate ─▶ encode ─▶ parts ─▶ joined with sound, subtitles, …

Each of the first five stages runs in a thread of its own. Short queues connect them, so memory use does not grow with
the length of the source. The encoder waits for frames of a GPU, which meanwhile computes the next ones. The result is
made in parts of a few seconds (see `parts`) and appears under its name when it is complete. Where a part takes long to
draw, each of its frames is kept as well. A run that resumes reads the source from its start, because the detection of
drawings and cuts depends on all earlier frames, but it draws only missing parts; the frames are the same as without an
interruption. Source drawings are passed to the encoder as they were stored where the codec supports that pixel format,
so a lossless codec reproduces them bit by bit.
"""

import contextlib
import functools
import itertools
import math
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from _train.frame_interpolation.frames import SMALLEST_SIDE
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.video import eased, results, stills
from _train.frame_interpolation.video.detection import FoundDrawings, find_holds, mark_reduced
from _train.frame_interpolation.video.eased import EasedStretch
from _train.frame_interpolation.video.excerpt import Excerpt, ExcerptReader
from _train.frame_interpolation.video.part_writer import ComingFrame, PartWriter
from _train.frame_interpolation.video.parts import Parts, StreamedParts, rename
from _train.frame_interpolation.video.progress import FrameBar, PairInterpolator, expected_seconds
from _train.frame_interpolation.video.results import Options, Result
from _train.frame_interpolation.video.source_frames import SourceFrames
from _train.frame_interpolation.video.timeline import stretches
from _util import clock, files, formats, locks, runs, sequences, video
from _util.errors import InputError
from _util.prefetch import ahead, behind

_QUEUE = 4  # frames between two threads
_PART_SECONDS = 2
_LARGEST_RATE = 1000
_NOT_LISTS = (*files.PICTURE_SUFFIXES, *files.VIDEO_SUFFIXES)
_RATE_TOLERANCE = Fraction(1, 20)  # GIF counts hundredths of a second


class Summary(NamedTuple):
    """The result of a run."""

    frames: int
    fps: Fraction
    source_frames: int
    drawings: int
    cuts: int


class Target(NamedTuple):
    """Where a result is written."""

    name: Path  # as it was given
    place: Path  # the name with symbolic links followed
    kind: type[Result]
    scenes: Path | None  # a list of scenes that is written as well

    @property
    def paths(self) -> list[Path]:
        """The files and folders that are written."""
        return [path for path in (self.place, self.scenes) if path and path != video.STREAM]


class VideoRun(NamedTuple):
    """A checked run, before anything is written."""

    reader: video.Reader
    fps: Fraction
    result: Result
    interpolator: PairInterpolator
    parts: Parts
    kept: frozenset[int]  # numbers of the parts that an earlier run has finished, if it is resumed
    is_made: bool  # nothing is left to do
    summary: Summary | None  # of what is made, if it was recorded


def interpolate_video(
    source: Path,
    out: Path,
    options: Options,
    create: Callable[[], tuple[PairInterpolator, dict[str, Any]]],
    *,
    resume: bool = False,
    overwrite: bool = False,
    scenes: Path | None = None,
    as_folder: bool = False,
) -> Summary | None:
    """Write `source` at another rate to `out`; returns a summary, or None if the result already exists.

    What was found, left out or could not be read is printed to standard error.

    Args:
        source: a video, or numbered drawings: a folder, a pattern or a glob; or `video.STREAM`.
        out: a video or an animation, by suffix, or without one a folder for numbered drawings; or `video.STREAM`, to
            which frames are written as Y4M. A symbolic link is followed.
        create: called after all checks; returns the interpolator, and all settings that determine its frames.
        resume: continue an earlier run with the same settings, if there is one. If nothing is left to do, `out` is not
            changed.
        overwrite: replace files `out` and `scenes`, and discard the finished parts of an earlier run unless it is
            resumed.
        scenes: a file to which a list of the source's scenes is written as well (default: none).
        as_folder: `out` becomes a folder for numbered drawings, whatever its suffix.

    Raises:
        InputError: an input cannot be used, another run writes to the same place, or the disk is full. Finished parts
            are kept for `resume`; nothing else is left.
    """
    target = target_of(source, out, scenes, resume, as_folder)
    with locks.holding(*target.paths):
        run = prepare_run(source, target, options, create, resume, overwrite)
        if run.is_made:
            run.parts.discard()
            if run.summary is None:
                print(already_made(target.place), file=sys.stderr)
            if scenes and not scenes.exists():
                why = f"{target.place} is finished (--overwrite redraws both)"
                print(f"{scenes} is not written, as {why}.", file=sys.stderr)
            return run.summary
        run.parts.begin(resume, overwrite)
        for path in run.parts.damaged:
            print(f"{path} is damaged: drawn again.", file=sys.stderr)
        try:
            summary = _make(run, target, options)
        except BaseException:
            if run.parts.is_empty or source == video.STREAM:
                run.parts.discard()
            else:
                print(f"{run.parts.folder} keeps what is finished; --resume continues from there.", file=sys.stderr)
            raise
        run.parts.discard()
        return summary


def _make(run: VideoRun, target: Target, options: Options) -> Summary:
    """Draw what is missing, and put the result in its place."""
    found, frames = _draw(run, options)
    whole = run.result.join(run.parts)
    if target.scenes:
        found.write_scenes(target.scenes, options.excerpt.slowness)
    if run.reader.damage:
        print(run.reader.damage, file=sys.stderr)
    summary = Summary(frames, run.fps, *found.count)
    if whole is not None:
        run.parts.record_joined(whole, {**summary._asdict(), "fps": str(run.fps)})
        rename(whole, target.place)
    return summary


def prepare_run(
    source: Path,
    target: Target,
    options: Options,
    create: Callable[[], tuple[PairInterpolator, dict[str, Any]]],
    resume: bool,
    overwrite: bool,
) -> VideoRun:
    """Check all that can be checked before anything is written, and print the notes; see `interpolate_video`.

    Raises:
        InputError: an input or an option cannot be used, or what is there must not be replaced.
    """
    place = target.place
    reader, fps = open_source(source, options)
    if not (resume and place.exists()):
        _check_places(target, overwrite)
    result = target.kind(source, target.name, reader, fps, options)
    for note in [*reader.notes, *result.notes]:
        print(note, file=sys.stderr)
    interpolator, settings = create()
    if options.ease == "auto":
        cast(Interpolator, interpolator).check_eases()
    settings = {"source": fingerprint(source), **_run_options(options, fps), **settings}
    parts = Parts(place, settings, result.part_suffix) if place != video.STREAM else StreamedParts(place, settings, "")
    is_made, summary = False, None
    if resume and place.exists():
        if (recorded := parts.joined_summary()) is not None:
            is_made, summary = True, Summary(**{**recorded, "fps": Fraction(recorded["fps"])})
        elif not parts.has_work and not overwrite:
            is_made = _is_made(place, source, reader, fps, results.shown_size(reader, options))
        if not is_made:
            _check_places(target, overwrite)
    kept = parts.listed if not is_made and parts.check(resume, overwrite) else frozenset()
    return VideoRun(reader, fps, result, interpolator, parts, kept, is_made, summary)


def already_made(out: Path) -> str:
    """The sentence for a result that needs no work."""
    return f"{out} already exists; nothing to do (--overwrite redraws it)."


def target_of(
    source: Path,
    out: Path,
    scenes: Path | None,
    resume: bool,
    as_folder: bool = False,
    makes_folder: bool = False,
) -> Target:
    """Where the result of `interpolate_video` is written.

    Args:
        makes_folder: the folder of `out` need not exist.

    Raises:
        InputError: there is no folder for `out`, it would be written to the source, or a stream is to be resumed; or
            the list of scenes is a folder, or would replace the source, the result, a video or a picture.
    """
    if resume and video.STREAM in (source, out):
        raise InputError("What is streamed cannot be read or written again from its start; --resume needs files.")
    kind = results.Folder if as_folder else results.kind_of(out)
    target = Target(out, _place_of(source, out, makes_folder), kind, scenes)
    if scenes:
        _check_list(scenes, source, target)
    return target


def _place_of(source: Path, out: Path, makes_folder: bool) -> Path:
    if out == video.STREAM:
        return out
    if out.is_symlink():
        out = files.resolved(out)
    if not (makes_folder or out.parent.is_dir()):
        raise InputError(f"There is no folder {out.parent} to write {out.name} to; make it, or choose another place.")
    place = files.resolved(out)
    is_same_file = source != video.STREAM and source.exists() and place.exists() and place.samefile(source)
    if is_same_file or source.resolve() in (place, *place.parents):
        raise InputError(f"{out} is the source or lies in it; choose another place.")
    return out


def _check_list(scenes: Path, source: Path, target: Target) -> None:
    place, out = files.resolved(scenes), target.place
    if place in (source.resolve(), out.resolve()) or scenes.suffix.lower() in _NOT_LISTS:
        raise InputError(f"{scenes} cannot be a list of scenes; choose another name for it, as scenes.csv.")
    if place.is_dir():
        raise InputError(f"{scenes} is a folder; choose a file for the list of scenes, as {scenes / 'scenes.csv'}.")
    if target.kind is results.Folder and out.resolve() in place.parents:
        raise InputError(f"{scenes} lies in {out}, where only frames are written; choose another place.")


def open_source(source: Path, options: Options) -> tuple[video.Reader, Fraction]:
    """Open the source; returns its reader and the frame rate of the result.

    Raises:
        InputError: the source or an option cannot be used.
    """
    treatment = video.Treatment(options.deinterlace, options.detelecine)
    reader = video.Reader(source, options.in_fps, keep_alpha=True, treatment=treatment, close_gaps=options.close_gaps)
    _check_count(source, reader)
    if options.excerpt != Excerpt():
        reader = cast(video.Reader, ExcerptReader(reader, options.excerpt))
    for area in options.still or ():
        area.slices(reader.size)  # raises if it is not within
    h, w = reader.size
    if min(h, w) < SMALLEST_SIDE:
        raise InputError(f"{source} is {w}×{h} pixels; each side needs at least {SMALLEST_SIDE}.")
    if h * w > formats.MOST_PIXELS:
        raise InputError(f"{source} would be {w}×{h} pixels; choose a --scale of up to {formats.MOST_PIXELS:,} pixels.")
    slowness = options.excerpt.slowness
    fps = options.times_fps * reader.rate * slowness if options.fps is None else options.fps
    if not Fraction(1, _LARGEST_RATE) <= fps <= _LARGEST_RATE:
        raise InputError(
            f"{float(fps):g} frames a second cannot be shown; choose 1/{_LARGEST_RATE} to {_LARGEST_RATE}."
        )
    return reader, clock.representable(fps)


def _check_count(source: Path, reader: video.Reader) -> None:
    """Raise InputError if the source is a single picture; a video may have a single frame."""
    if video.is_drawings(source):
        is_one = len(sequences.find(source).paths) == 1
    else:
        is_picture = source != video.STREAM and source.suffix.lower() in (*files.PICTURE_SUFFIXES, ".apng")
        is_one = is_picture and len(list(itertools.islice(reader.frames(), 2))) == 1
    if is_one:
        raise InputError(
            f"{source} is one picture, with nothing to draw between; give a video, or two drawings or more."
        )


def fingerprint(source: Path) -> str:
    """Identifies the content of a source: size and modification time of a file, or a digest of those of drawings."""
    if not video.is_drawings(source):
        return "standard input" if source == video.STREAM else runs.stamp(source)
    return runs.stamp_of(sequences.find(source).paths)


def _run_options(options: Options, fps: Fraction) -> dict[str, Any]:
    named = {name: value for name, value in options._asdict().items() if name not in ("fps", "times_fps")}
    return {name: str(value) for name, value in {"fps": fps, **named}.items()}


def _check_places(target: Target, overwrite: bool) -> None:
    is_folder = target.kind is results.Folder
    for path in target.paths:
        if path.is_dir():
            if not is_folder or any(path.iterdir()):
                raise InputError(f"{path} is a folder{' and not empty' if is_folder else ''}; choose another name.")
        elif path.exists():
            if is_folder and path == target.place:
                raise InputError(f"{path} is a file; numbered drawings need a folder, a video a suffix such as .mp4.")
            if not overwrite:
                raise InputError(f"{path} exists; replace it with --overwrite or choose another name.")


def _is_made(out: Path, source: Path, reader: video.Reader, fps: Fraction, size: tuple[int, int]) -> bool:
    """Whether `out` seems to be the result of a finished run: it is newer, and size, rate and duration match."""
    try:
        made = video.Reader(out, fps if video.is_drawings(out) else None)
        if _changed(out) < _changed(source):
            return False
    except (InputError, OSError):
        return False
    is_as_long = abs(made.duration - reader.duration) <= 1 / fps + 1 / reader.rate
    is_as_large = all(0 <= ours - theirs <= 1 for ours, theirs in zip(size, made.size, strict=True))
    return is_as_long and is_as_large and abs(made.rate / fps - 1) < _RATE_TOLERANCE


def _changed(path: Path) -> int:
    """The latest modification time of a file, or of numbered drawings, in nanoseconds."""
    paths = sequences.find(path).paths if video.is_drawings(path) else [path]
    return max(one.stat().st_mtime_ns for one in paths)


def _draw(run: VideoRun, options: Options) -> tuple[FoundDrawings, int]:
    """Draw and write the missing parts; returns the drawings of the source, and the number of frames of the result."""
    reader, fps, parts, interpolator = run.reader, run.fps, run.parts, run.interpolator
    length = part_length(parts, fps)
    total = max(1, round(reader.duration * fps))
    finished, kept = frozenset(parts.finished), frozenset(parts.drawn)
    longest_hold = options.longest_hold * options.excerpt.slowness
    first_missing = next(i for i in itertools.count() if i not in finished)
    start = Fraction(first_missing * length) / fps
    unmoved = stills.Stills(options.still or (), fps, reader.rate, start)
    left = SourceFrames(fps, reader.rate, start) if options.side_by_side else None
    frames, done = 0, min(sum(parts.finished.values()), total)
    expected = None
    if isinstance(interpolator, Interpolator) and done < total:  # other classes must not be called for an estimate
        interpolator.check_size(reader.size)
        expected = expected_seconds(interpolator, reader.size, max(1, math.ceil(fps / reader.rate) - 1))

    def write(frame: ComingFrame) -> None:
        writer.write(frame)
        progress.update()

    source = unmoved.watch(reader.frames())
    with (
        FrameBar(expected, total=total, initial=done) as progress,
        contextlib.closing(ahead(left.watch(source) if left else source, _QUEUE)) as decoded,
        contextlib.closing(ahead(find_holds(decoded, options), _QUEUE)) as reduced,
        contextlib.closing(ahead(mark_reduced(reduced, options, reader), _QUEUE)) as marked,
        PartWriter(parts, length, run.result, unmoved) as writer,
        behind(write, _QUEUE) as put,
    ):
        found = FoundDrawings(marked, reader)
        spread = stretches(iter(found), found.end, fps, rate=reader.rate, longest_hold=longest_hold)
        for one in eased.with_easing(spread, options.ease, interpolator):
            frames = one.stretch.held.stop  # of the last stretch: all
            for frame in _frames_of(one, interpolator, lambda k: k // length not in finished, kept, parts):
                put(frame._replace(beside=left.at(frame.number)) if left else frame)
            if left:
                left.forget(one.stretch.stop)
    return found, frames


def part_length(parts: Parts, fps: Fraction) -> int:
    """The number of frames in each part but the last."""
    return sys.maxsize if isinstance(parts, StreamedParts) else max(1, round(_PART_SECONDS * fps))


def _frames_of(
    eased_stretch: EasedStretch,
    interpolator: PairInterpolator,
    is_missing: Callable[[int], bool],
    kept: frozenset[int],
    parts: Parts,
) -> Iterator[ComingFrame]:
    """The missing frames of a stretch; those with numbers in `kept` are read instead of drawn."""
    stretch = eased_stretch.stretch
    for k in filter(is_missing, stretch.held):
        yield ComingFrame(k, lambda: stretch.picture, False, stretch.picture)
    moving = [(k, t) for k, t in stretch.moving if is_missing(k)]
    times = [t for k, t in moving if k not in kept]
    drawn: Iterator[Callable[[], np.ndarray]] = iter(())
    if times:
        drawn = eased_stretch.draw(interpolator, times)
    for k, _ in moving:
        if k in kept:
            yield ComingFrame(k, functools.partial(parts.stored, k), False, stretch.picture)
        else:
            yield ComingFrame(k, next(drawn), True, stretch.picture)
