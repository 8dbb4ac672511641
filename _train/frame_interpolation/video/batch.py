"""Interpolation of several videos, one after the other, into a folder.

a.mkv  b.mp4  shots/ (a folder of videos)   →   OUT/
                                                    a.mkv  b.mp4  c.mkv  …
                                                    .a.mkv.made  …    the source and options of each result

A video that fails is reported, and the others follow. Interrupted results are resumed; finished ones of the same source
and options are kept.
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from _train.frame_interpolation.video.interpolate import Summary, fingerprint
from _util import animations, files, runs, sequences, video
from _util.errors import InputError

SUFFIXES = (*files.VIDEO_SUFFIXES, ".nut", ".y4m", ".gif", ".webp", ".apng")
_WRITTEN = (".mp4", ".m4v", ".mkv", ".mov", ".webm", ".avi", ".nut", ".gif", ".webp", ".apng", ".y4m")
_FALLBACK_SUFFIX = ".mkv"  # supports nearly everything


class VideoJob(NamedTuple):
    source: Path
    out: Path
    as_folder: bool = False  # the result is a folder of drawings, whatever its name


class Tally(NamedTuple):
    """The outcome of the jobs."""

    made: list[Path]
    kept: list[Path]  # results that were already up to date
    failed: dict[Path, str]  # error messages by source


def videos_of(path: Path) -> list[Path] | None:
    """The videos of a folder or a glob that holds videos and no pictures, in natural order; None for anything else.

    Animated pictures are videos, and still ones of the same kinds are pictures.

    Raises:
        InputError: a folder holds both videos, other than animated pictures, and pictures without numbers.
    """
    if path.is_dir():
        pictures = list(filter(_is_picture, files.pictures(path)))
        unnumbered = next((one for one in pictures if not re.search(r"\d", one.stem)), None)
        found = _in_order(path.iterdir())
        video_file = next((one for one in found if one.suffix.lower() not in animations.SUFFIXES), None)
        if unnumbered and video_file:
            raise InputError(
                f"{path} holds videos and pictures; choose by a glob in quotes: '{path / '*'}{video_file.suffix}' or "
                f"'{path / '*'}{unnumbered.suffix}'."
            )
        return None if pictures else found or None
    found = [] if path.exists() or not sequences.is_pattern(path) else _in_order(sequences.matching(path))
    return None if any(_is_picture(one) for one in found) else found or None


def is_video(source: Path) -> bool:
    """Whether a source is a video file rather than a still picture, by its suffix."""
    suffix = source.suffix.lower()
    return source.is_file() and (suffix in SUFFIXES or suffix not in files.PICTURE_SUFFIXES)


def _in_order(paths: Iterable[Path]) -> list[Path]:
    """The videos among files, in natural order, without hidden ones."""
    found = [path for path in paths if path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file()]
    return sorted(found, key=lambda path: files.natural(path.name))


def _is_picture(path: Path) -> bool:
    """Whether a file of a kind of pictures is a still one; damaged animations are not."""
    if path.suffix.lower() not in animations.SUFFIXES:
        return path.suffix.lower() not in SUFFIXES
    try:
        with Image.open(path) as picture:
            return not getattr(picture, "is_animated", False)
    except (OSError, ValueError, SyntaxError):
        return False


def find(sources: Iterable[Path]) -> list[Path]:
    """Expand folders and globs of videos among the sources.

    Raises:
        InputError: a source is standard input or a pattern of numbered drawings, which do not name a result.
    """
    found = []
    for source in sources:
        if source == video.STREAM:
            raise InputError("Standard input is interpolated by itself; give it as the only IN.")
        matching = [] if source.exists() else _in_order(sequences.matching(source))
        if not matching and sequences.is_pattern(source) and not source.exists():
            raise InputError(f"{source} is a pattern of drawings; give it as the only IN, or give their folder.")
        found += matching or videos_of(source) or [source]
    return list(dict.fromkeys(found))


def plan(sources: Sequence[Path], out: Path, suffix: str | None = None) -> list[VideoJob]:
    """Assign a result in the folder `out` to each source, of the same name; a folder of drawings gives a folder.

    Args:
        sources: as returned by `find`.
        suffix: of all results (default: that of the source if it can be written, else .mkv).

    Raises:
        InputError: two results would have the same name, or `out` is a file or has the name of a video.
    """
    if out == video.STREAM:
        raise InputError("Several videos cannot go to standard output; give a folder as OUT.")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; a queue needs a folder to go to.")
    if out.suffix.lower() in SUFFIXES and not out.exists():
        raise InputError(f"{out} names one video; a queue needs a folder to go to, as {out.with_suffix('')}.")
    jobs: dict[Path, VideoJob] = {}
    for source in sources:
        name = source.resolve().name
        as_folder = suffix is None and source.is_dir()
        if as_folder:
            place = out / name
        else:
            own = source.suffix.lower()
            place = out / (name if source.is_dir() else source.stem)
            place = place.with_name(place.name + (suffix or (own if own in _WRITTEN else _FALLBACK_SUFFIX)))
        # The disks of these systems usually ignore case.
        key = Path(str(place).casefold()) if sys.platform in ("darwin", "win32") else place
        job = VideoJob(source, place, as_folder)
        other = jobs.setdefault(key, job)
        if _is_result(other):
            jobs[key] = job
        elif other is not job and not _is_result(job):
            raise InputError(f"{other.source} and {source} would both become {place}; rename one of them.")
    return list(jobs.values())


def _is_result(job: VideoJob) -> bool:
    """Whether the source is the result of an earlier run in the folder of its sources."""
    return job.source.resolve() == job.out.resolve() and _note(job).is_file()


def run(
    jobs: Sequence[VideoJob],
    settings: dict[str, Any],
    make: Callable[[VideoJob], Summary | None],
    overwrite: bool = False,
) -> Tally:
    """Run the jobs whose results are missing or out of date.

    Args:
        settings: options that determine the results; values that JSON can represent.
        make: interpolates one video; returns None if there was nothing to do.
        overwrite: run all jobs.

    Returns:
        The outcome; each failure has been reported on standard error.
    """
    tally = Tally([], [], {})

    def make_or_keep(job: VideoJob) -> None:
        if not overwrite and is_made(job, settings):
            tally.kept.append(job.out)
            return
        if not overwrite:
            _refuse_another(job, settings)
        with files.making_folder(job.out.parent):
            if make(job) is None:
                tally.kept.append(job.out)
                return
            runs.write(_note(job), _metadata(job, settings))
            tally.made.append(job.out)

    tally.failed.update(each(jobs, make_or_keep))
    return tally


def each(jobs: Sequence[VideoJob], work: Callable[[VideoJob], None]) -> dict[Path, str]:
    """Call `work` with each job; a failure does not stop the others.

    Returns:
        Error messages by source; each has been reported on standard error.
    """
    failed: dict[Path, str] = {}
    for number, job in enumerate(jobs, 1):
        print(f"[{number}/{len(jobs)}] {job.source} → {job.out}", file=sys.stderr)
        try:
            work(job)
        except InputError as error:
            failed[job.source] = " ".join(str(error).split())
        except (OSError, RuntimeError, ValueError, ArithmeticError, LookupError, MemoryError) as error:
            failed[job.source] = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if job.source in failed:
            print(failed[job.source], file=sys.stderr)
    return failed


def _note(job: VideoJob) -> Path:
    return files.hidden_beside(job.out, ".made")


def _metadata(job: VideoJob, settings: dict[str, Any]) -> dict[str, Any]:
    return {"source": fingerprint(job.source), "result": fingerprint(job.out), "settings": settings}


def _refuse_another(job: VideoJob, settings: dict[str, Any]) -> None:
    """Raise InputError if the result exists and was made of another source or with other options."""
    try:
        before = runs.read(_note(job), "make it anew")
    except (OSError, InputError):
        return
    now = runs.plain({"source": fingerprint(job.source), "settings": settings})
    if job.out.exists() and any(before.get(name) != value for name, value in now.items()):
        raise InputError(
            f"{job.out} exists, made of another source or with other options; replace it with --overwrite or choose "
            "another OUT."
        )


def is_made(job: VideoJob, settings: dict[str, Any]) -> bool:
    """Whether a job was done before, with the same source and settings."""
    try:
        return runs.read(_note(job), "make it anew") == runs.plain(_metadata(job, settings))
    except (OSError, InputError):
        return False
