"""Interpolate a video, or a folder of numbered drawings, into one at another rate.

source ─ decode ─▶ find drawings and cuts ─▶ interpolate ─▶ encode ─▶ parts ─▶ joined with sound, subtitles, …

Each of the first four has a thread of its own, with short queues between them, so that memory does not grow with
length. Frames that a GPU draws are waited for where they are encoded, so that it is given the next ones meanwhile. The
result is made in parts of some seconds (see `parts`), and appears under its name when it is whole. A run that goes on
from parts reads the source from its start, since where drawings and cuts are depends on all before them, but draws only
what is missing: its frames are those of a run without interruption.
"""

import contextlib
import hashlib
import itertools
import operator
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from _train.frame_interpolation.frames import SMALLEST_SIDE
from _train.frame_interpolation.interpolator import Interpolator, Pair
from _train.frame_interpolation.video.overlap import ahead, behind
from _train.frame_interpolation.video.parts import Parts
from _train.frame_interpolation.video.timeline import LONGEST_HOLD, Drawing, Stretch, stretches
from _util import checkpoints, cuts, duplicates, files, image, remux, video
from _util.errors import InputError

_QUEUE = 4  # frames between two threads
_PART_SECONDS = 2
_LARGEST_RATE = 1000


class Draws(Protocol):
    """What interpolates: `Interpolator`, or a stand-in."""

    def prepare(self, frame0: np.ndarray, frame1: np.ndarray) -> Pair: ...

    def draw(self, pair: Pair, times: Iterable[float]) -> Iterator[Callable[[], np.ndarray]]: ...


class Options(NamedTuple):
    """What is made of a video; the command line tells more."""

    fps: Fraction | None = None  # None: `times_fps` times the rate of the source
    times_fps: Fraction = Fraction(2)
    in_fps: Fraction | None = None  # of a folder of drawings
    dedup: bool = True
    cut_threshold: float | None = None  # None: that of `cuts.detect`
    longest_hold: Fraction = LONGEST_HOLD
    codec: str | None = None  # None: by suffix
    crf: float | None = None
    preset: str | None = None


class Summary(NamedTuple):
    """What has been made."""

    frames: int
    fps: Fraction
    source_frames: int
    drawings: int
    cuts: int
    notes: list[str]  # sentences about what was left out or could not be read


def interpolate_video(
    source: Path,
    out: Path,
    options: Options,
    create: Callable[[], tuple[Draws, dict[str, Any]]],
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Summary:
    """Write `source` at another rate to `out`.

    Args:
        source: a video, or a folder of numbered drawings.
        out: a video, by suffix, or without one a folder for numbered drawings.
        create: called once all else has been found in order; gives the interpolator and what determines how it draws.
        resume: go on from what an earlier run of the same kind has finished, where there is such.
        overwrite: replace a file `out`, and throw away what an earlier run has finished unless it is resumed.

    Raises:
        InputError: something handed in cannot be used, or there is no room. Finished parts are kept for `resume`;
            nothing else is left.
    """
    reader = video.Reader(source, options.in_fps)
    if min(reader.size) < SMALLEST_SIDE:
        h, w = reader.size
        raise InputError(f"{source} is {w}×{h} pixels; each side needs at least {SMALLEST_SIDE}.")
    fps = options.times_fps * reader.rate if options.fps is None else options.fps
    if not 0 < fps <= _LARGEST_RATE:
        raise InputError(f"{float(fps):g} frames a second cannot be shown; choose more than 0, up to {_LARGEST_RATE}.")
    _check_place(source, out, overwrite)
    result = (_Video if out.suffix else _Folder)(source, out, reader, fps, options)
    interpolator, settings = create()
    parts = Parts(out, {"source": fingerprint(source), **_determining(options, fps), **settings}, result.part_suffix)
    parts.begin(resume, overwrite)
    try:
        count = _draw(reader, fps, options, interpolator, parts, result)
        frames = result.join(parts)
    except BaseException:
        if parts.finished:
            print(f"{parts.folder} keeps what is finished; --resume goes on from there.", file=sys.stderr)
        else:
            parts.discard()
        raise
    parts.discard()
    return Summary(frames, fps, *count, notes=[*result.notes, *filter(None, [reader.damage])])


def create_interpolator(folder: Path, **options: str) -> tuple[Interpolator, dict[str, Any]]:
    """An `Interpolator` with its `options` and weights from `folder`, and what determines how it draws."""
    interpolator = Interpolator(**options, folder=folder)
    weights = {name: checkpoints.find(name, folder) for name in checkpoints.NETWORKS}
    settings = {
        "flow": interpolator.flow,
        "synthesis": interpolator.synthesis,
        "device": interpolator.device.type,
        "precision": list(interpolator.context.precisions),
        "weights": {name: _digest(path) for name, path in weights.items() if path},
    }
    return interpolator, settings


def fingerprint(source: Path) -> str:
    """Of a file, its size and the time of its last change; of a folder, a digest of those of its pictures."""
    if not source.is_dir():
        return _size_and_change(source)
    told = "\n".join(f"{path.name} {_size_and_change(path)}" for path in files.pictures(source))
    return hashlib.sha256(told.encode()).hexdigest()


def _size_and_change(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} bytes of {status.st_mtime_ns}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _determining(options: Options, fps: Fraction) -> dict[str, Any]:
    named = {name: value for name, value in options._asdict().items() if name not in ("fps", "times_fps")}
    return {name: str(value) for name, value in {"fps": fps, **named}.items()}


def _check_place(source: Path, out: Path, overwrite: bool) -> None:
    if not out.parent.is_dir():
        raise InputError(f"There is no folder {out.parent} to write {out.name} to; make it, or choose another place.")
    place = out.resolve()
    if source.resolve() in (place, *place.parents):
        raise InputError(f"{out} is the source or lies in it; choose another place.")
    if not out.exists():
        return
    if out.is_dir():
        if out.suffix or any(out.iterdir()):
            raise InputError(f"{out} is a folder{'' if out.suffix else ' and not empty'}; choose another name.")
    elif not out.suffix:
        raise InputError(f"{out} is a file; numbered drawings need a folder, a video a suffix such as .mp4.")
    elif not overwrite:
        raise InputError(f"{out} exists; replace it with --overwrite or choose another name.")


class _Count(NamedTuple):
    source_frames: int
    drawings: int
    cuts: int


class _Marked(NamedTuple):
    """A frame of the source."""

    time: Fraction
    picture: np.ndarray | None  # None where it repeats the drawing before
    opens_shot: bool


class _Video:
    """A video file to be made; its parts are encoded, and in the end joined with all else that the source holds."""

    def __init__(self, source: Path, out: Path, reader: video.Reader, fps: Fraction, options: Options):
        self._source = None if source.is_dir() else source
        self._out = out
        self._start = reader.start
        codec = options.codec or video.CODECS.get(out.suffix.lower(), video.CODEC)
        self._encoding = video.Encoding(
            reader.size, fps, codec, options.crf, reader.deep, reader.colour, reader.aspect, options.preset
        )
        self._streams = remux.plan(self._source, out, self._encoding)
        self.part_suffix = remux.part_suffix(self._encoding)
        self.notes = list(self._streams.notes)

    def part(self, path: Path) -> video.Writer:
        return video.Writer(path, self._encoding)

    def join(self, parts: Parts) -> int:
        whole = parts.folder / f".whole{self._out.suffix}"
        count = remux.join(parts.finished, whole, self._encoding, self._source, self._streams, self._start)
        if video.Reader(whole).aspect != self._encoding.aspect:
            self.notes.append(
                f"Pixels of {self._encoding.aspect} width to height cannot be told in {self._out.suffix} of "
                f"{self._encoding.codec}; players will show square ones."
            )
        _rename(whole, self._out)
        return count


class _Folder:
    """A folder of numbered drawings to be made."""

    part_suffix = ""

    def __init__(self, source: Path, out: Path, reader: video.Reader, fps: Fraction, options: Options):
        if options.codec or options.preset or options.crf is not None:
            raise InputError("Numbered drawings are written as PNG; --codec, --preset and --crf are for videos.")
        self._out = out
        self.notes = [] if source.is_dir() else [f"{out} holds drawings alone; sound and all else is left out."]

    @contextlib.contextmanager
    def part(self, path: Path) -> Iterator["_DrawingsWriter"]:
        temporary = path.with_name(f".{path.name}")
        temporary.mkdir()
        yield _DrawingsWriter(temporary)
        _rename(temporary, path)

    def join(self, parts: Parts) -> int:
        whole = parts.folder / ".whole"
        whole.mkdir()
        drawings = [path for part in parts.finished for path in files.pictures(part)]
        digits = max(6, len(str(len(drawings))))
        for i, path in enumerate(drawings):
            _link(path, whole / f"{i:0{digits}d}.png")
        _rename(whole, self._out)
        return len(drawings)


class _DrawingsWriter:
    def __init__(self, folder: Path):
        self._folder = folder
        self._count = 0

    def write(self, pixels: np.ndarray) -> None:
        image.write(self._folder / f"{self._count:06d}.png", pixels)
        self._count += 1


def _link(path: Path, place: Path) -> None:
    try:
        os.link(path, place)
    except OSError:  # a file system without links
        shutil.copy2(path, place)


def _rename(path: Path, place: Path) -> None:
    try:
        path.replace(place)
    except OSError as error:
        raise InputError(f"{place} cannot be written ({error.strerror}); choose another place.") from error


def _draw(
    reader: video.Reader,
    fps: Fraction,
    options: Options,
    interpolator: Draws,
    parts: Parts,
    result: _Video | _Folder,
) -> _Count:
    """Make the parts that are missing."""
    length = max(1, round(_PART_SECONDS * fps))
    finished = len(parts.finished)
    total = max(1, round(reader.duration * fps))
    count = _Count(0, 0, 0)

    def counted(frames: Iterable[_Marked]) -> Iterator[Drawing[np.ndarray]]:
        nonlocal count
        for time, picture, opens_shot in frames:
            is_cut = opens_shot and count.source_frames > 0
            count = _Count(count.source_frames + 1, count.drawings + (picture is not None), count.cuts + is_cut)
            if picture is not None:
                yield Drawing(time, picture, opens_shot)

    def encode(waiting: Iterator[Callable[[], np.ndarray]]) -> None:
        frames = map(operator.call, waiting)  # which keeps no frame while the next is long in coming
        for i in itertools.count(finished):
            first = next(frames, None)
            if first is None:
                return
            with result.part(parts.path(i)) as writer:
                for pixels in itertools.chain([first], itertools.islice(frames, length - 1)):
                    writer.write(pixels)
                    progress.update()

    with (
        tqdm(total=total, initial=min(finished * length, total), unit="frame") as progress,
        ahead(reader.frames(), _QUEUE) as decoded,
        ahead(_mark(decoded, options), _QUEUE) as marked,
        behind(encode, _QUEUE) as put,
    ):
        drawings = counted(marked)
        end = lambda: reader.end  # noqa: E731 - known once all has been read
        for stretch in stretches(drawings, end, fps, rate=reader.rate, longest_hold=options.longest_hold):
            for wait in _pictures(stretch, interpolator, finished * length):
                put(wait)
    return count


def _mark(frames: Iterable[video.Frame], options: Options) -> Iterator[_Marked]:
    """Find what repeats and where shots begin. As many frames are held as `cuts.detect` reads ahead."""
    frames, seen = itertools.tee(frames)
    threshold = {} if options.cut_threshold is None else {"threshold": options.cut_threshold}
    opens = cuts.detect((frame.pixels for frame in seen), **threshold)
    repeats: Iterable[bool] = itertools.repeat(False)
    if options.dedup:
        frames, compared = itertools.tee(frames)
        repeats = duplicates.detect(frame.pixels for frame in compared)
    for frame, opens_shot, repeats_last in zip(frames, opens, repeats, strict=False):
        yield _Marked(frame.time, None if repeats_last and not opens_shot else frame.pixels, opens_shot)


def _pictures(stretch: Stretch[np.ndarray], interpolator: Draws, start: int) -> Iterator[Callable[[], np.ndarray]]:
    """The frames of a stretch, from number `start` on, each as a function that waits for it."""
    for _ in range(max(start, stretch.held.start), stretch.held.stop):
        yield lambda: stretch.picture
    times = [t for k, t in stretch.moving if k >= start]
    if times:
        pair = interpolator.prepare(stretch.picture, stretch.following)
        yield from interpolator.draw(pair, times)
