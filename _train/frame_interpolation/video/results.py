"""Outputs of video interpolation: a video file, numbered drawings, an animated picture, or Y4M.

Each kind of output writes parts and joins them. Its `notes` state in advance what it cannot keep of the source.
"""

import contextlib
import io
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ImageCms

from _train.frame_interpolation.video.excerpt import Area, Excerpt
from _train.frame_interpolation.video.parts import Parts, rename
from _train.frame_interpolation.video.timeline import LONGEST_HOLD
from _util import animations, clock, colour, files, formats, pixel_formats, png, remux, remux_plan, video
from _util.errors import InputError
from _util.packets import Span
from _util.prefetch import PICTURES, behind

_WITH_ALPHA = {".mov": "prores_ks", ".mkv": "ffv1", ".avi": "utvideo", ".nut": "ffv1"}  # codec by suffix
_NAMELESS = (*_WITH_ALPHA, *video.CODECS, *animations.SUFFIXES, ".mp4")
_ALPHA_BESIDE = ("libvpx", "libvpx-vp9")  # codecs with alpha in a second stream, which the container must support
_HOLDS_ALPHA_BESIDE = (".webm", ".mkv")


class Options(NamedTuple):
    """How a video is interpolated; see the options of `_scripts.interpolate_video`."""

    fps: Fraction | None = None  # None: `times_fps` times the rate of the source
    times_fps: Fraction = Fraction(2)
    in_fps: Fraction | None = None  # of a folder of drawings
    dedup: bool = True
    camera_holds: bool = True  # with `dedup`, also detect holds of a figure under a moving camera
    cut_threshold: float | None = None  # None: that of `cuts.detect`
    longest_hold: Fraction = LONGEST_HOLD
    ease: str = "none"  # "auto": estimated from the neighbouring drawings
    codec: str | None = None  # None: by suffix
    crf: float | None = None
    preset: str | None = None
    pixel_format: str | None = None  # None: the one of the codec that preserves most of the source
    deinterlace: str = "auto"  # "on", "off"
    detelecine: bool = False
    close_gaps: bool = False  # of numbered drawings
    excerpt: Excerpt = Excerpt()
    side_by_side: bool = False  # the source on the left, the result on the right
    still: tuple[Area, ...] | None = None  # areas of the result that are not interpolated
    scenes: tuple[Fraction, ...] | None = None  # their start times in seconds of the source; None: they are detected


class Result(ABC):
    """A kind of output: writes parts and joins them."""

    part_suffix: str
    notes: list[str]
    _encoding: video.Encoding  # of parts, where they are videos

    @abstractmethod
    def __init__(self, source: Path, out: Path, reader: video.Reader, fps: Fraction, options: Options): ...

    def part(self, path: Path) -> contextlib.AbstractContextManager[Any]:
        return video.Writer(path, self._encoding)

    @abstractmethod
    def join(self, parts: Parts) -> Path | None:
        """Join the parts; returns the path of the result, still to be renamed, or None if it is already in place."""


class _Video(Result):
    """A video file; its parts are encoded, then joined together with the other streams of the source."""

    def __init__(self, source: Path, out: Path, reader: video.Reader, fps: Fraction, options: Options):
        self._source = None if video.is_drawings(source) or source == video.STREAM else source
        self._out = out
        self._reader = reader
        self._excerpt = options.excerpt
        self._encoding, self.notes = _encoding(out.suffix.lower(), reader, fps, options)
        if video.is_drawings(source):
            self.notes += _unnamed_colours(reader, out.suffix)
        self._streams = remux_plan.plan(self._source, out, self._encoding, self._span(reader.duration))
        self.part_suffix = remux_plan.part_suffix(self._encoding)
        self.notes += self._streams.notes

    def join(self, parts: Parts) -> Path:
        whole = parts.folder / f".whole{self._out.suffix}"
        end = self._reader.end
        assert end is not None  # all frames have been read
        span = self._span(end)
        counts = [parts.finished[i] for i in sorted(parts.finished)]
        remux.join(parts.paths, counts, whole, self._encoding, self._source, self._streams, span)
        return whole

    def _span(self, duration: Fraction) -> Span:
        """The time span of the other streams that matches frames of a duration in seconds."""
        start, excerpt = self._reader.start, self._excerpt
        if not excerpt.start and excerpt.stop is None and excerpt.slowness == 1:
            return Span(start, restarts=self._reader.restarts)
        return Span(start, start + duration / excerpt.slowness, excerpt.slowness, self._reader.restarts)


def shown_size(reader: video.Reader, options: Options) -> tuple[int, int]:
    """(h, w) of the frames that are written."""
    h, w = reader.size
    return (h, 2 * w) if options.side_by_side else (h, w)


def _encoding(suffix: str, reader: video.Reader, fps: Fraction, options: Options) -> tuple[video.Encoding, list[str]]:
    """The encoding of a video, and sentences about what is lost."""
    notes = []
    codec = options.codec or video.CODECS.get(suffix, video.CODEC)
    if reader.alpha and options.codec is None and suffix in _WITH_ALPHA:
        notes.append(f"{_WITH_ALPHA[suffix]} keeps alpha, which {codec} does not; --codec {codec} lays it over white.")
        codec = _WITH_ALPHA[suffix]
    source = reader.pixel_format
    if reader.alpha and codec in _ALPHA_BESIDE and suffix not in _HOLDS_ALPHA_BESIDE:
        notes.append(f"{suffix} has no place for alpha of {codec}: composited over white; .webm has.")
        source = pixel_formats.opaque(source)
    encoding = video.Encoding(
        size=shown_size(reader, options),
        rate=fps,
        codec=codec,
        crf=options.crf,
        deep=reader.deep,
        colour=reader.colour,
        aspect=reader.aspect,
        preset=options.preset,
        source=source,
        pixel_format=options.pixel_format,
        light=reader.light,
        reorder=suffix not in video.IN_ORDER,
    )
    chosen = video.pixel_format(encoding)
    tags = video.carried_colour(encoding, suffix)
    if tags != encoding.colour:
        notes.append(
            f"{codec} in {suffix} cannot store these colour tags: converted to what players assume without them."
        )
        encoding = encoding._replace(colour=tags)
    losses = pixel_formats.lost(source, chosen)
    if losses:
        better = "" if options.pixel_format else " and has nothing better"
        notes.append(f"{codec} writes {chosen}{better}; of {source} this loses: {'; '.join(losses)}.")
    if options.pixel_format is None and video.seldom_played(encoding):
        notes.append(f"{codec} writes {chosen}, which some players do not show; --pix-fmt yuv420p they all do.")
    if reader.light and not video.carries_light(encoding):
        notes.append(f"{codec} has no place for mastering display and content light level; libx265 has.")
    return encoding, notes


class Folder(Result):
    """A folder of numbered drawings."""

    part_suffix = ""

    def __init__(self, source: Path, out: Path, reader: video.Reader, fps: Fraction, options: Options):
        _check_unencoded(options, "Numbered drawings are written as PNG")
        self._tags = reader.tags
        self.notes = [*_square_pixels(reader, "PNG"), *_left_out(source, out, "drawings")]

    @contextlib.contextmanager
    def part(self, path: Path) -> Iterator["_DrawingsWriter"]:
        temporary = path.with_name(f".{path.name}")
        with files.writing(path):
            temporary.mkdir()
        with behind(self._write, PICTURES, PICTURES) as put:
            yield _DrawingsWriter(temporary, put)
        rename(temporary, path)

    def _write(self, drawing: tuple[Path, np.ndarray]) -> None:
        formats.write(*drawing, self._tags)

    def join(self, parts: Parts) -> Path:
        whole = parts.folder / ".whole"
        drawings = [path for part in parts.paths for path in files.pictures(part)]
        digits = max(6, len(str(len(drawings))))
        with files.writing(whole):
            whole.mkdir()
            for i, path in enumerate(drawings):
                _link(path, whole / f"{i:0{digits}d}.png")
        return whole


class _Animation(Result):
    """An animated picture, written from lossless parts."""

    part_suffix = ".nut"

    def __init__(self, source: Path, out: Path, reader: video.Reader, fps: Fraction, options: Options):
        _check_unencoded(options, f"{out.suffix} has a codec of its own")
        self._out, self._fps = out, fps
        self.notes = [*_left_out(source, out, "pictures"), *animations.limitations(out, reader.alpha, reader.deep)]
        self.notes += [*_square_pixels(reader, out.suffix), *_unnamed_colours(reader, out.suffix)]
        largest = clock.LARGEST_RATES[out.suffix.lower()]
        if fps > largest:
            raise InputError(f"{out.suffix} shows no more than {largest} frames a second; choose a smaller --fps.")
        self._encoding = video.Encoding(
            shown_size(reader, options), fps, "ffv1", source=colour.packed_rgb(reader.deep, reader.alpha)
        )

    def join(self, parts: Parts) -> Path:
        whole = parts.folder / f".whole{self._out.suffix}"
        pictures = (frame.pixels for path in parts.paths for frame in video.Reader(path, keep_alpha=True))
        animations.write(whole, pictures, self._fps)
        return whole


class _Y4M(Result):
    """Uncompressed video; its parts are concatenated."""

    part_suffix = ".y4m"

    def __init__(self, source: Path, out: Path, reader: video.Reader, fps: Fraction, options: Options):
        _check_unencoded(options, "Y4M is not compressed", pixel_format=True)
        self._encoding, self.notes = _encoding(".y4m", reader, fps, options)
        self.notes += _left_out(source, out, "frames")

    def join(self, parts: Parts) -> Path | None:
        whole = parts.folder / ".whole.y4m"
        with files.writing(whole), whole.open("wb") as file:
            for i, path in enumerate(parts.paths):
                with path.open("rb") as part:
                    header = part.readline().replace(b" A0:0", b" A%d:%d" % self._encoding.aspect.as_integer_ratio())
                    file.write(b"" if i else header)
                    shutil.copyfileobj(part, file)
        return whole


class _Stream(_Y4M):
    """Y4M to standard output, in one part that is written as it is drawn."""

    def __init__(self, source: Path, out: Path, reader: video.Reader, fps: Fraction, options: Options):
        super().__init__(source, out, reader, fps, options)
        self.notes += _square_pixels(reader, "a stream")

    def join(self, parts: Parts) -> None:
        return None


def _left_out(source: Path, out: Path, what: str) -> list[str]:
    """A sentence about the other streams of a video, for outputs without them; those of a stream are not known."""
    if video.is_drawings(source) or (source != video.STREAM and not remux_plan.has_others(source)):
        return []
    return [f"{out} holds {what} only; sound and all other streams are left out."]


def _square_pixels(reader: video.Reader, kind: str) -> list[str]:
    """A sentence if pixels are not square, for outputs that cannot store their aspect."""
    if reader.aspect == 1:
        return []
    return [f"Pixels of {reader.aspect} width to height cannot be written to {kind}; viewers will show square ones."]


def _unnamed_colours(reader: video.Reader, kind: str) -> list[str]:
    """A sentence if the colour space is not sRGB, for outputs that cannot store it."""
    profile = png.shown_profile(reader.tags)
    if (profile is None or _is_srgb(profile)) and all(chunk.name != b"cICP" for chunk in reader.tags):
        return []
    return [f"{kind} cannot store the colour space of {reader.path}; viewers will show them as sRGB."]


def _is_srgb(profile: bytes) -> bool:
    """Whether an ICC profile is that of sRGB, which most painting programs embed, by its name."""
    try:
        return "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (OSError, ImageCms.PyCMSError):
        return False


def _check_unencoded(options: Options, why: str, pixel_format: bool = False) -> None:
    if options.codec or options.preset or options.crf is not None or (options.pixel_format and not pixel_format):
        raise InputError(f"{why}; --codec, --preset, --crf and --pix-fmt are for videos.")


class _DrawingsWriter:
    def __init__(self, folder: Path, put: Callable[[tuple[Path, np.ndarray]], None]):
        self._folder, self._put = folder, put
        self._count = 0

    def write(self, picture: video.Frame | np.ndarray, _source: video.Frame | None = None) -> None:
        pixels = picture.pixels if isinstance(picture, video.Frame) else picture
        self._put((self._folder / f"{self._count:06d}.png", pixels))
        self._count += 1


def _link(path: Path, place: Path) -> None:
    try:
        os.link(path, place)
    except OSError:  # a file system without links
        shutil.copy2(path, place)
        files.sync(place)


def kind_of(out: Path) -> type[Result]:
    """The kind of output for a path, by its suffix.

    Raises:
        InputError: the path is that of a single picture, or a suffix without a name.
    """
    if out == video.STREAM:
        return _Stream
    if not out.suffix:
        if out.name.lower() in _NAMELESS:
            raise InputError(f"{out} is a suffix without a name; write NAME{out.name}.")
        return Folder
    suffix = out.suffix.lower()
    if suffix in animations.SUFFIXES:
        return _Animation
    if suffix in files.PICTURE_SUFFIXES:
        raise InputError(f"{out} is one picture; numbered drawings need a folder: give one without a suffix as OUT.")
    return _Y4M if suffix == ".y4m" else _Video
