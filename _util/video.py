"""Reading of videos and numbered drawings frame by frame, and writing of videos.

`Reader` decodes any container that FFmpeg supports (see `decoding`), or a folder of pictures (see `drawings`), to
upright RGB frames with the times at which they are first shown. `Writer` encodes RGB frames at a constant rate, in the
pixel format of the codec that preserves most of them (see `pixel_formats`). Colour is converted according to the tags
of the video in both directions (see `colour`).
"""

import contextlib
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Self

import av
import numpy as np
from av.container import OutputContainer

from _util import animations, chroma, colour, drawings, encoders, files, hdr, pixel_formats, quiet, sequences
from _util.colour import Colour
from _util.decoding import STREAM, Damage, File, Metadata, Treatment, open_input
from _util.errors import InputError
from _util.remainders import Remainder

__all__ = ["STREAM", "Encoding", "Frame", "Reader", "Treatment", "Writer", "add_video", "open_input", "open_output"]

CODEC = "libx264"
CODECS = {".webm": "libvpx-vp9", ".ivf": "libvpx-vp9", ".y4m": "wrapped_avframe"}  # exceptions by suffix
CODECS |= dict.fromkeys((".mpg", ".mpeg", ".vob", ".mxf"), "mpeg2video")
IN_ORDER = (".avi", ".wmv", ".asf")  # containers without presentation times, which cannot hold reordered frames
_CONTAINERS = {".y4m": "yuv4mpegpipe"}  # by suffix, if FFmpeg does not recognise it
_AVFMT_NOFILE = 0x1  # AVFMT_NOFILE: a flag of formats whose muxers open files themselves, under names of their own


class Frame(NamedTuple):
    """A frame of a video."""

    time: Fraction  # seconds since the first frame
    pixels: np.ndarray  # (h, w, 3) RGB, uint8, or uint16 where the source is deeper than 8 bits; upright
    stored: av.VideoFrame | None = None  # the decoded frame, if the pixels were neither turned nor scaled


class Reader(Metadata):
    """The frames of a video file or of numbered drawings, in order, and the metadata of the source.

    Every iteration reopens the source and begins with its first frame. Frames of another size than the first are
    scaled to it, alpha is composited over white unless it is kept, and what cannot be decoded is left out.

    Args:
        path: a file; or a folder of pictures, a pattern such as `shot.%04d.png`, or a glob (see `sequences`); or
            `STREAM`, standard input, which is read only once.
        rate: of drawings, in frames per second (default: 24).
        keep_alpha: pixels are (h, w, 4) RGBA where the source has alpha.
        treatment: of interlaced and telecined video (default: none).
        close_gaps: missing numbers of drawings take no time; otherwise the drawing before is held.

    Attributes:
        end: after all frames have been read, the time from the start of the first to the end of the last, in seconds.
        damage: one sentence about what was left out or changed of the frames read so far; None if nothing was.

    Raises:
        InputError: the file does not exist, is a pipe, or holds no video that can be decoded; or the rate does not
            apply.
    """

    def __init__(
        self,
        path: str | Path,
        rate: Fraction | None = None,
        *,
        keep_alpha: bool = False,
        treatment: Treatment | None = None,
        close_gaps: bool = False,
    ):
        self.path = Path(path)
        self.end: Fraction | None = None
        self._found = Damage()
        if self.path != STREAM and self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
            raise InputError(
                f"{path} is a pipe or a device; write it to a file, or give it to interpolate_video as - < {path}."
            )
        if is_drawings(self.path):
            self._source: drawings.Drawings | animations.WebP | File = drawings.Drawings(
                self.path, Fraction(drawings.RATE if rate is None else rate), keep_alpha, close_gaps
            )
        elif rate is not None:
            raise InputError(f"{path} has a rate of its own; one can be given only for a folder of drawings.")
        elif close_gaps:
            raise InputError(f"{path} is a video, without numbers that could be missing; leave --close-gaps out.")
        elif animations.is_animated_webp(self.path):
            self._source = animations.WebP(self.path, keep_alpha)
        else:
            self._source = File(self.path, keep_alpha, treatment)
        is_forced = treatment is not None and (treatment.deinterlace == "on" or treatment.detelecine)
        if is_forced and not isinstance(self._source, File):
            raise InputError(f"{path} has no fields; leave --deinterlace on and --detelecine out.")
        super().__init__(**vars(self._source.metadata))

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    @property
    def declared(self) -> Fraction | None:
        """The duration in seconds that the container declares; None where that is missing or not reliable."""
        return self._source.declared

    @property
    def damage(self) -> str | None:
        return self._found.message(self.path, self.end, self.declared)

    @property
    def restarts(self) -> tuple[Fraction, ...]:
        """For each restart of the container's clock so far, by how many seconds all frames from it on were moved."""
        return tuple(self._found.restarts)

    def frames(self, start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """The frames whose time is `start` seconds or later."""
        self.end = None
        damage = self._found = Damage()
        end = Fraction(0)
        last = Fraction(-1)
        for time, duration, pixels, stored in self._source.decode(start, damage):
            if time <= last:
                damage.unordered += 1
                continue
            last, end = time, time + duration
            if time >= start:
                yield Frame(time, pixels, stored)
        self.end = end


def is_drawings(path: Path) -> bool:
    """Whether a source is numbered drawings rather than a video."""
    return path.is_dir() or (path != STREAM and sequences.is_pattern(path))


class Encoding(NamedTuple):
    """How frames are encoded."""

    size: tuple[int, int]  # (h, w)
    rate: Fraction  # frames per second
    codec: str = CODEC  # as FFmpeg names its encoders
    crf: float | None = None  # or the codec's equivalent quality option; None: 18, 16 for libx264
    deep: bool = False  # 10 bits, if the codec supports them and neither of the formats below is given
    colour: Colour = Colour()
    aspect: Fraction = Fraction(1)  # width of a pixel over its height
    preset: str | None = None  # None: veryfast for libx264, else the codec's own
    source: str | None = None  # pixel format of the source, to be preserved as far as possible; None: 4:2:0
    pixel_format: str | None = None  # this one and no other
    light: hdr.Light | None = None  # of HDR, written if the encoder supports it
    reorder: bool = True  # allow B-frames, which are stored in another order than they are shown


class Writer:
    """Writes RGB frames to a video file, within a `with` block; the complete file appears at the end of the block.

    No file is left if the block raises.

    Args:
        path: its suffix names the container.

    Raises:
        InputError, when the block is entered or later: an encoding that is not available in this container, or a file
            that cannot be written.
    """

    def __init__(self, path: str | Path, encoding: Encoding):
        self.path = Path(path)
        self.encoding = encoding
        self._last: tuple[np.ndarray | Frame, av.VideoFrame] | None = None
        self._remainder: tuple[Frame, Remainder] | None = None
        self._count = 0

    def __enter__(self) -> Self:
        self._file = self._create()
        return self._file.__enter__()

    def __exit__(self, *raised: Any) -> bool | None:
        return self._file.__exit__(*raised)

    @contextlib.contextmanager
    def _create(self) -> Iterator[Self]:
        place = contextlib.nullcontext(STREAM) if self.path == STREAM else files.replacing(self.path)
        with place as temporary, writing(self.path), open_output(temporary) as container:
            self._container = container
            self._stream = add_video(container, self.encoding)
            if self.path == STREAM:
                with quiet.unsuppressed():
                    container.start_encoding()
            yield self
            packets = self._stream.encode(None)
            if self._count == 1:
                for packet in packets:  # for a single frame, libx265 invents decoding times
                    packet.dts = packet.pts
            container.mux(packets)
            container.close()

    def write(self, picture: np.ndarray | Frame, source: Frame | None = None) -> None:
        """Append (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16, or a frame that was read.

        A frame that is stored in the pixel format of the encoder is passed on unchanged. Repeating the same picture
        costs no conversion.

        Args:
            source: a frame that was read; where the picture shows the same, it is stored as that frame is.
        """
        if self._last is None or self._last[0] is not picture:
            self._last = picture, self._converted(picture, source)
        frame = self._last[1]
        frame.pts, frame.time_base = self._count, 1 / Fraction(self.encoding.rate)
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def _converted(self, picture: np.ndarray | Frame, source: Frame | None) -> av.VideoFrame:
        if isinstance(picture, Frame) and picture.stored is not None and self._takes(picture.stored):
            return colour.copy(picture.stored)
        pixels = picture.pixels if isinstance(picture, Frame) else picture
        frame = colour.from_rgb(pixels, self._pixel_format, self.encoding.colour)
        if source is not None and source.pixels.shape == pixels.shape and source.pixels.dtype == pixels.dtype:
            remainder = self._remainder_of(source)
            if remainder is not None:
                remainder.restore(frame, pixels)
        return frame

    @property
    def _pixel_format(self) -> str:
        found = self._stream.codec_context.pix_fmt
        assert found is not None
        return found

    def _takes(self, stored: av.VideoFrame) -> bool:
        """Whether a decoded frame can be encoded as it is."""
        return colour.plain(stored.format.name) == colour.plain(self._pixel_format) and (
            stored.format.is_rgb or colour.has_tags_of(stored, self.encoding.colour)
        )

    def _remainder_of(self, source: Frame) -> Remainder | None:
        stored = source.stored
        if stored is None or not self._takes(stored) or not colour.is_planar_ycbcr(stored.format):
            return None
        if self._remainder is None or self._remainder[0] is not source:
            self._remainder = source, Remainder(stored, source.pixels, self.encoding.colour)
        return self._remainder[1]


@contextlib.contextmanager
def open_output(path: Path, **options: str) -> Iterator[OutputContainer]:
    """A container to write, of the format that the suffix of `path` names.

    Raises:
        InputError: FFmpeg has no container format for the suffix, or one that consists of several files.
    """
    kind = _CONTAINERS.get(path.suffix.lower())
    place = path.absolute()  # so that a colon does not name a protocol
    if path == STREAM:
        place, kind = "pipe:1", _CONTAINERS[".y4m"]
    if kind == _CONTAINERS[".y4m"]:
        options["strict"] = "-1"  # allows more than 8 bits
    try:
        container = av.open(place, "w", format=kind, container_options=options)
    except ValueError as error:
        raise InputError(f"{path.name} names no container; end it in .mp4, .mkv, .mov or .webm.") from error
    if container.format.flags & _AVFMT_NOFILE:
        raise InputError(f"{path.name} would be a playlist or a series of files; end it in .mp4, .mkv, .mov or .webm.")
    try:
        yield container
    finally:
        with contextlib.suppress(av.FFmpegError):  # after success, it is closed already
            container.close()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert errors of FFmpeg while writing into an `InputError` about `path`.

    Raises:
        BrokenPipeError: the reader of standard output has closed it.
    """
    try:
        yield
    except av.BrokenPipeError:
        raise
    except av.FFmpegError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); {files.remedy_for(error.errno)}.") from error


def pixel_format(encoding: Encoding) -> str:
    """The pixel format in which frames are encoded.

    Raises:
        InputError: the requested one is not supported by the codec.
    """
    codec = encoders.find(encoding.codec)
    if encoding.pixel_format is not None:
        return pixel_formats.check(codec, encoding.pixel_format)
    source = encoding.source or ("yuv420p10le" if encoding.deep else "yuv420p")
    # H.264 and HEVC support odd sides only in 4:4:4, and VP9 supports alpha only in 4:2:0.
    is_sure = not any(side % 2 for side in encoding.size) and not colour.has_alpha(av.VideoFormat(source))
    return pixel_formats.choose(codec, source, lambda name: is_sure or _opens(codec, name, encoding))


def carried_colour(encoding: Encoding, suffix: str) -> Colour:
    """The colour tags with which frames must be encoded so that they are read back correctly.

    Tags that the codec cannot store in a container named by `suffix` are replaced by what readers assume without them:
    limited range, and the usual matrix for the size.
    """
    tags, usual = encoding.colour, colour.usual_matrix(encoding.size[0])
    is_usual = tags.range != colour.FULL and tags.matrix in (colour.UNSPECIFIED, usual)
    if is_usual or av.VideoFormat(pixel_format(encoding)).is_rgb:
        return tags
    read = _read_back(encoding, suffix)
    if read is None:  # the container holds no such video, which `remux_plan.plan` reports
        return tags
    return tags._replace(
        matrix=tags.matrix if read.matrix == tags.matrix else usual,
        range=tags.range if read.range == tags.range else colour.LIMITED,
    )


def loses_place_of_chroma(encoding: Encoding, suffix: str) -> bool:
    """Whether neither the codec nor a container named by `suffix` stores where chroma is sampled, if that is stated."""
    place = encoding.colour.location
    if place == chroma.UNSPECIFIED or chroma.subsampling(av.VideoFormat(pixel_format(encoding))) == (1, 1):
        return False
    read = _read_back(encoding, suffix)
    return read is None or read.location != place


def _read_back(encoding: Encoding, suffix: str) -> Colour | None:
    """The colour tags of a small video, as they are read from a file; None if the container holds no such video."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / f"trial{suffix}"
        try:
            with Writer(trial, encoding._replace(size=(64, 64))) as writer:
                writer.write(np.zeros((64, 64, 3), np.uint16 if encoding.deep else np.uint8))
            return Reader(trial).colour
        except InputError:
            return None


def seldom_played(encoding: Encoding) -> bool:
    """Whether many players do not support video of this codec in this pixel format."""
    kind, chosen = encoders.find(encoding.codec).canonical_name, pixel_format(encoding)
    return (kind == "h264" and bool(pixel_formats.lost(chosen, "yuv420p"))) or (
        kind == "hevc" and bool(pixel_formats.lost(chosen, "yuv420p10le"))
    )


def has_alpha_beside(encoding: Encoding) -> bool:
    """Whether alpha is stored beside the stream, so that the container must signal it."""
    codec = encoders.find(encoding.codec).name
    return codec.startswith("libvpx") and colour.has_alpha(av.VideoFormat(pixel_format(encoding)))


def carries_light(encoding: Encoding) -> bool:
    """Whether the encoder can write `encoding.light`."""
    return encoding.light is not None and hdr.options(encoders.find(encoding.codec).name, encoding.light) is not None


def add_video(container: OutputContainer, encoding: Encoding) -> av.VideoStream:
    """A stream that encodes frames as `encoding` says.

    Raises:
        InputError: the codec is unknown, or does not support the container, the frames or an option.
    """
    codec = encoders.find(encoding.codec)
    chosen = pixel_format(encoding)
    options = _options(codec, chosen, encoding)
    try:
        stream = container.add_stream(codec.name, rate=encoding.rate, options=options)
    except ValueError as error:
        raise InputError(f"{container.format.long_name} does not hold {codec.name}; choose another --codec.") from error
    assert isinstance(stream, av.VideoStream)  # because the codec is a video codec
    if has_alpha_beside(encoding):
        stream.metadata["alpha_mode"] = "1"
    context = stream.codec_context
    _set_up(context, chosen, encoding)
    context.thread_type = "AUTO"  # PyAV's default, "SLICE", makes libx264 divide each picture into slices
    try:
        with _silent():
            context.open()
    except av.FFmpegError as error:
        raise InputError(encoders.open_error(codec, encoding.size, encoding.rate, chosen, error)) from error
    return stream


def _options(codec: av.Codec, chosen: str, encoding: Encoding) -> dict[str, str]:
    options = encoders.options(codec, encoding.crf, encoding.preset, encoding.light)
    if codec.name.startswith("libvpx") and colour.has_alpha(av.VideoFormat(chosen)):
        options["auto-alt-ref"] = "0"  # libvpx does not support it with alpha
    if not encoding.reorder:
        options["bf"] = "0"
    if encoding.colour.location != chroma.UNSPECIFIED and chroma.subsampling(av.VideoFormat(chosen)) != (1, 1):
        options["chroma_sample_location"] = chroma.NAMES[encoding.colour.location]
    return options


def _set_up(context: av.VideoCodecContext, chosen: str, encoding: Encoding) -> None:
    context.height, context.width = encoding.size
    context.pix_fmt, context.time_base = chosen, 1 / Fraction(encoding.rate)
    context.sample_aspect_ratio = encoding.aspect
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = encoding.colour[:4]
    if av.VideoFormat(chosen).is_rgb:
        context.colorspace, context.color_range = colour.RGB, colour.FULL


def _opens(codec: av.Codec, chosen: str, encoding: Encoding) -> bool:
    context = av.CodecContext.create(codec.name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.options = _options(codec, chosen, encoding)
    _set_up(context, chosen, encoding)
    try:
        with _silent():
            context.open()
    except av.FFmpegError:
        return False
    return True


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Suppress FFmpeg's log within the block; errors are raised instead."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.PANIC)
    try:
        yield
    finally:
        av.logging.set_level(level)
