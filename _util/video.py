"""Video files, and folders of numbered drawings, as frames; and frames as video files.

`Reader` gives what can be read of any container that FFmpeg knows, or of a folder of pictures, one frame at a time:
upright RGB and the time at which it is first seen. `Writer` encodes RGB frames at a constant rate. Colour follows the
tags of the video in both directions (see `_util.colour`).
"""

import contextlib
import heapq
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Self

import av
import cv2
import numpy as np

from _util import colour, files, image
from _util.colour import Colour
from _util.errors import InputError

DRAWINGS_RATE = Fraction(24)
CODEC = "libx264"
CODECS = {".webm": "libvpx-vp9"}  # by suffix, where it is another
CRF = 18
CRFS = {"libx264": 16}  # by codec, where it is another: its quick preset needs finer steps to look as good

_DECLARE_DURATION = ("mov", "matroska", "avi", "flv", "asf")  # containers whose header says how long they are
_NO_TIMES = 0x80  # AVFMT_NOTIMESTAMPS: a flag of bare streams
_CLOCK_RESTARTS = 5  # frames that time must step back for
_PIXEL_FORMATS = ("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "gbrp", "rgb24", "bgr0")
_DEEP_PIXEL_FORMATS = ("yuv420p10le", "yuv422p10le", "yuv444p10le", "gbrp10le", "rgb48le")
_ENCODER_OPTIONS = {
    "libx264": {"preset": "veryfast"},
    "libx265": {"x265-params": "log-level=none"},
    "libvpx-vp9": {"cpu-used": "4", "row-mt": "1"},
    "mjpeg": {"strict": "unofficial", "qmin": "2", "qmax": "2"},
}


class Frame(NamedTuple):
    """A frame of a video."""

    time: Fraction  # seconds since the first frame
    pixels: np.ndarray  # (h, w, 3) RGB, uint8, or uint16 where the source is deeper than 8 bits; upright


class Reader:
    """The frames of a video file or of a folder of numbered drawings, in order.

    Every iteration opens the source anew and begins with its first frame. Frames of another size than the first are
    scaled to it, alpha is laid over white, and what cannot be decoded is left out.

    Args:
        path: a file, or a folder of pictures, which are taken in natural order (2 before 10).
        rate: frames a second of a folder (default: 24).

    Attributes:
        size: (h, w), upright.
        rate: average frames a second.
        count: of frames, as the container has it, which may be wrong; None if it does not say.
        duration: in seconds, as well as the container tells.
        deep: whether pixels are uint16.
        colour: the tags of the video.
        aspect: width of a pixel over its height, upright.
        start: seconds by the clock of the container at which the first frame is shown.
        end: once all frames have been read, seconds from the start of the first to the end of the last; else None.
        damage: once all frames have been read, one sentence about what was left out or changed; None if nothing was.

    Raises:
        InputError: no such file, no video in it, no frame that can be decoded, or a rate that does not apply.
    """

    size: tuple[int, int]
    rate: Fraction
    count: int | None
    duration: Fraction
    deep: bool
    colour: Colour
    aspect: Fraction
    start: Fraction

    def __init__(self, path: str | Path, rate: Fraction | None = None):
        self.path = Path(path)
        self.end: Fraction | None = None
        self.damage: str | None = None
        if self.path.is_dir():
            self._source: _Drawings | _File = _Drawings(self.path, Fraction(rate or DRAWINGS_RATE))
        elif rate is None:
            self._source = _File(self.path)
        else:
            raise InputError(f"{path} has a rate of its own; one can be given only for a folder of drawings.")
        vars(self).update(self._source.facts._asdict())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: Fraction = Fraction(0)) -> Iterator[Frame]:
        """The frames from the first whose time is `start` seconds or more."""
        self.end = self.damage = None
        losses = _Losses()
        end = Fraction(0)
        last = Fraction(-1)
        for time, duration, pixels in self._source.decode(start, losses):
            if time <= last:
                losses.unordered += 1
                continue
            last, end = time, time + duration
            if time >= start:
                yield Frame(time, pixels)
        self.end = end
        self.damage = losses.told(self.path, end, self._source.declared)


class _Facts(NamedTuple):
    size: tuple[int, int]
    rate: Fraction
    count: int | None
    duration: Fraction
    deep: bool
    colour: Colour
    aspect: Fraction = Fraction(1)
    start: Fraction = Fraction(0)


class _Losses:
    """What could not be read as it should."""

    def __init__(self) -> None:
        self.undecodable = 0  # packets or pictures
        self.corrupt = 0  # frames decoded with errors
        self.unordered = 0  # frames no later than the one before
        self.restarts = 0  # of the clock
        self.resized: tuple[int, int] | None = None
        self.stopped: str | None = None

    def told(self, path: Path, end: Fraction, declared: Fraction | None) -> str | None:
        """One sentence, or None; `declared` is when the container has the video end, in seconds."""
        parts = []
        if declared is not None and end < declared - Fraction(1, 5):
            parts.append(f"ends at {float(end):.2f} s of {float(declared):.2f} s")
        elif self.stopped:
            parts.append(f"cannot be read beyond {float(end):.2f} s ({self.stopped})")
        if self.undecodable:
            parts.append(f"has frames that cannot be decoded ({self.undecodable})")
        if self.corrupt:
            parts.append(f"has damaged frames ({self.corrupt})")
        if self.unordered:
            parts.append(f"has frames no later than the one before ({self.unordered})")
        if self.restarts:
            parts.append("has a clock that restarts (after it, sound may be out of step)")
        if self.resized:
            h, w = self.resized
            parts.append(f"changes its size to {w}×{h} (scaled to the first)")
        return f"{path} {', '.join(parts)}; what can be read of it was used." if parts else None


class _Drawings:
    """The pictures of a folder, each shown for as long."""

    declared = None

    def __init__(self, folder: Path, rate: Fraction):
        if rate <= 0:
            raise InputError(f"A rate of {float(rate):g} frames a second shows nothing; it must be above 0.")
        self.rate = rate
        self.paths = files.pictures(folder)
        if not self.paths:
            raise InputError(f"{folder} holds no pictures; numbered ones are needed, as 0001.png.")
        first = _first_readable(self.paths)
        count = len(self.paths)
        tags = Colour(colour.usual_matrix(first.shape[0]), colour.LIMITED)
        is_deep = first.dtype == np.uint16
        self.facts = _Facts(first.shape[:2], rate, count, count / rate, is_deep, tags)

    def decode(self, start: Fraction, losses: _Losses) -> Iterator[tuple[Fraction, Fraction, np.ndarray]]:
        first = max(0, -(-start * self.rate // 1))
        dtype = np.uint16 if self.facts.deep else np.uint8
        for i, path in enumerate(self.paths[first:], first):
            try:
                picture = image.read(path)
            except InputError:
                losses.undecodable += 1
                continue
            if picture.shape[:2] != self.facts.size:
                losses.resized = picture.shape[:2]
            yield i / self.rate, 1 / self.rate, _as_frame(picture, self.facts.size, dtype)


class _File:
    """The best video stream of a container."""

    def __init__(self, path: Path):
        self.path = path
        with _open(path) as (container, stream):
            losses = _Losses()
            frame, self.first = next(_decode_stream(container, stream, losses), (None, None))
            if frame is None:
                raise InputError(f"{path} holds no frame that can be decoded; export it again.")
            rate = next(filter(None, (stream.average_rate, stream.guessed_rate, stream.base_rate)), DRAWINGS_RATE)
            self.declared = _declared_duration(container, stream)
            count = stream.frames or None
            duration = self.declared or (count / rate if count else Fraction(container.duration or 0, av.time_base))
            self.turn = _turn(frame)
            h, w = (frame.width, frame.height) if self.turn.transposed else (frame.height, frame.width)
            aspect = stream.sample_aspect_ratio or Fraction(1)
            self.facts = _Facts(
                size=(h, w),
                rate=rate,
                count=count,
                duration=max(duration, 1 / rate),
                deep=colour.is_deep(frame),
                colour=colour.tags(frame),
                aspect=1 / aspect if self.turn.transposed else aspect,
                start=(self.first or 0) * stream.time_base,
            )

    def decode(self, start: Fraction, losses: _Losses) -> Iterator[tuple[Fraction, Fraction, np.ndarray]]:
        sought = start > 0 and self.first is not None
        for time, duration, pixels in self._decode_from(start if sought else Fraction(0), losses):
            if sought and time > start:  # the index of the file is wrong
                yield from self._decode_from(Fraction(0), losses)
                return
            sought = False
            yield time, duration, pixels

    def _decode_from(self, start: Fraction, losses: _Losses) -> Iterator[tuple[Fraction, Fraction, np.ndarray]]:
        usual = 1 / self.facts.rate
        h, w = self.facts.size
        stored_size = (w, h) if self.turn.transposed else (h, w)
        time = -usual
        duration, shift = usual, Fraction(0)
        with _open(self.path) as (container, stream):
            stream.thread_type = "AUTO"
            if start:
                with contextlib.suppress(av.FFmpegError):  # what cannot be sought is read from its start
                    container.seek(self.first + int(start / stream.time_base), stream=stream)
            for frame, ticks in _decode_stream(container, stream, losses):
                expected = time + duration
                if ticks is None or self.first is None:
                    time = expected
                else:
                    time = (ticks - self.first) * stream.time_base + shift
                    if time < expected - _CLOCK_RESTARTS * usual:
                        losses.restarts += 1
                        shift += expected - time
                        time = expected
                duration = frame.duration * stream.time_base if frame.duration else usual
                if (frame.height, frame.width) != stored_size:
                    losses.resized = (frame.height, frame.width)
                yield time, duration, self.turn.apply(colour.to_rgb(frame, stored_size, self.facts.deep))


class _Turn(NamedTuple):
    """What brings a stored picture upright: transpose it, then mirror it."""

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        if self.transposed:
            pixels = cv2.transpose(pixels)
        if self.mirrored_x or self.mirrored_y:
            pixels = cv2.flip(pixels, {(True, False): 1, (False, True): 0, (True, True): -1}[self[1:]])
        return pixels


class Encoding(NamedTuple):
    """How frames are encoded."""

    size: tuple[int, int]  # (h, w)
    rate: Fraction  # frames a second
    codec: str = CODEC  # as FFmpeg names its encoders
    crf: float | None = None  # None: 18 where the codec has it, 16 for libx264
    deep: bool = False  # 10 bits, where the codec has them
    colour: Colour = Colour()
    aspect: Fraction = Fraction(1)  # width of a pixel over its height
    preset: str | None = None  # None: veryfast for libx264, else the codec's own


class Writer:
    """A video file to which RGB frames are written; used in a `with` block, at whose end the file appears, whole.

    A block left with an exception leaves no file.

    Args:
        path: its suffix names the container.

    Raises:
        InputError, when the block is entered or later: an encoding that cannot be had in this container, or a file
            that cannot be written.
    """

    def __init__(self, path: str | Path, encoding: Encoding):
        self.path = Path(path)
        self.encoding = encoding
        self._last: tuple[np.ndarray, av.VideoFrame] | None = None
        self._count = 0

    def __enter__(self) -> Self:
        self._file = self._create()
        return self._file.__enter__()

    def __exit__(self, *exception: object) -> bool | None:
        return self._file.__exit__(*exception)

    @contextlib.contextmanager
    def _create(self) -> Iterator[Self]:
        with files.replacing(self.path) as temporary, writing(self.path), open_output(temporary) as container:
            self._container = container
            self._stream = add_video(container, self.encoding)
            yield self
            container.mux(self._stream.encode(None))
            container.close()

    def write(self, pixels: np.ndarray) -> None:
        """Append (h, w, 3) RGB, uint8 or uint16; the same array once more costs no conversion."""
        if self._last is None or self._last[0] is not pixels:
            pixel_format = self._stream.codec_context.pix_fmt
            self._last = pixels, colour.from_rgb(pixels, pixel_format, self.encoding.colour)
        frame = self._last[1]
        frame.pts, frame.time_base = self._count, 1 / Fraction(self.encoding.rate)
        self._count += 1
        self._container.mux(self._stream.encode(frame))


@contextlib.contextmanager
def open_output(path: Path, **options: str) -> Iterator[av.container.OutputContainer]:
    """A container to write, of the kind that the suffix of `path` names.

    Raises:
        InputError: FFmpeg knows no container by that suffix.
    """
    try:
        container = av.open(path, "w", container_options=options)
    except ValueError as error:
        raise InputError(f"{path.name} names no container; end it in .mp4, .mkv, .mov or .webm.") from error
    try:
        yield container
    finally:
        with contextlib.suppress(av.FFmpegError):  # where all went well it is closed already
            container.close()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what FFmpeg says about writing into an `InputError` about `path`."""
    try:
        yield
    except av.FFmpegError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); make room or choose another place.") from error


def add_video(container: av.container.OutputContainer, encoding: Encoding) -> av.VideoStream:
    """A stream that encodes frames as `encoding` says, in the first pixel format that the encoder takes.

    Raises:
        InputError: a codec that is unknown, does not fit the container or the frames, or lacks what is asked of it.
    """
    codec = find_codec(encoding.codec)
    os.environ.setdefault("SVT_LOG", "1")  # of libsvtav1: errors alone
    options = dict(_ENCODER_OPTIONS.get(codec.name, {}))
    if _has(codec, "crf"):
        options["crf"] = f"{CRFS.get(codec.name, CRF) if encoding.crf is None else encoding.crf:g}"
    elif encoding.crf is not None:
        raise InputError(f"The codec {encoding.codec} has no constant rate factor; leave --crf out.")
    if encoding.preset is not None:
        if not _has(codec, "preset"):
            raise InputError(f"The codec {encoding.codec} has no presets; leave --preset out.")
        options["preset"] = encoding.preset
    try:
        stream = container.add_stream(codec.name, rate=encoding.rate, options=options)
    except ValueError as error:
        raise InputError(f"{container.format.long_name} does not hold {codec.name}; choose another --codec.") from error
    context = stream.codec_context
    context.height, context.width = encoding.size
    context.pix_fmt = _choose_pixel_format(codec, options, encoding)
    context.time_base = 1 / Fraction(encoding.rate)
    context.sample_aspect_ratio = encoding.aspect
    context.thread_type = "AUTO"  # "SLICE", PyAV's default, would cut each picture of libx264 in slices
    tags = encoding.colour
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = tags
    if context.format.is_rgb:
        context.colorspace = colour.RGB
    try:
        context.open()
    except av.FFmpegError as error:
        h, w = encoding.size
        refused, other = f"no frames of {w}×{h}", "--codec"
        if encoding.preset is not None:
            refused, other = f"{refused}, or no preset {encoding.preset}", "--preset or --codec"
        raise InputError(
            f"The codec {codec.name} takes {refused} ({error.strerror}); choose another {other}."
        ) from error
    return stream


def find_codec(name: str) -> av.Codec:
    """A video encoder by FFmpeg's name of it or of its format.

    Raises:
        InputError: there is none.
    """
    try:
        codec = av.Codec(name, "w")
    except ValueError as error:
        raise InputError(f"There is no codec {name!r}; libx264, libx265, libvpx-vp9 and libsvtav1 are some.") from error
    if codec.type != "video":
        raise InputError(f"The codec {name} is for {codec.type}; libx264, libx265, libvpx-vp9 and libsvtav1 are not.")
    return codec


def _first_readable(paths: list[Path]) -> np.ndarray:
    for path in paths:
        with contextlib.suppress(InputError):
            return image.read(path)
    raise InputError(f"{paths[0].parent} holds no picture that can be read; export them again.")


def _as_frame(picture: np.ndarray, size: tuple[int, int], dtype: type[np.integer]) -> np.ndarray:
    """A picture of any kind as (h, w, 3) RGB of the given size and type."""
    if picture.dtype != dtype:
        picture = picture.astype(np.uint16) * 257 if dtype == np.uint16 else (picture / 257).round().astype(np.uint8)
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    elif picture.shape[2] == 4:
        picture = colour.over_white(picture[:, :, :3], picture[:, :, 3])
    if picture.shape[:2] != size:
        shrinks = size[0] * size[1] < picture.shape[0] * picture.shape[1]
        picture = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return picture


@contextlib.contextmanager
def _open(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """A container and the stream of it that a player would show, all others left unread."""
    with open_input(path) as container:
        stream = container.streams.best("video")
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic or stream.codec_context is None:
            raise InputError(f"{path} holds no video that can be decoded; choose another file.")
        for other in container.streams:
            if other is not stream:
                other.discard = av.stream.Discard.all
        yield container, stream


@contextlib.contextmanager
def open_input(path: Path) -> Iterator[av.container.InputContainer]:
    """A container to read.

    Raises:
        InputError: no such file, or none that FFmpeg reads.
    """
    try:
        container = av.open(path, metadata_errors="replace")
    except FileNotFoundError as error:
        raise InputError(f"There is no video {path}.") from error
    except (av.FFmpegError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path} is no video that can be read, or is damaged at its start ({why}).") from error
    with container:
        if container.format.name == "tty":  # as which FFmpeg plays any text
            raise InputError(f"{path} is a text, not a video; choose another file.")
        yield container


def _decode_stream(
    container: av.container.InputContainer, stream: av.VideoStream, losses: _Losses
) -> Iterator[tuple[av.VideoFrame, int | None]]:
    """The frames of a stream, as many as can be decoded, and when they are shown, in ticks of its time base."""
    packets = container.demux(stream)
    # Some containers say when to decode alone. Frames, in order of presentation, are shown at these times in order.
    has_times = container.format.name != "avi" and not container.format.flags & _NO_TIMES
    decoding_times: list[int] = []
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            losses.stopped = error.strerror
            packet = av.Packet()  # what the decoder still holds
            packet.stream = stream
        if packet is None:
            return
        if not has_times and packet.size and packet.dts is not None:
            heapq.heappush(decoding_times, packet.dts)
        try:
            frames = packet.decode()
        except av.FFmpegError:
            losses.undecodable += 1
            continue
        for frame in frames:
            losses.corrupt += frame.is_corrupt
            if has_times:
                yield frame, frame.pts
            else:
                yield frame, heapq.heappop(decoding_times) if decoding_times else None
        if losses.stopped:
            return


def _declared_duration(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    """Seconds that the video lasts by the header of its container; None where that is not known for certain."""
    if container.format.name.split(",")[0] not in _DECLARE_DURATION:
        return None
    if container.format.name == "avi" and stream.frames and stream.average_rate:  # its duration goes by what is there
        return stream.frames / stream.average_rate
    if stream.duration:
        return stream.duration * stream.time_base
    clock = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if clock:
        hours, minutes, seconds = map(Fraction, clock.groups())
        return hours * 3600 + minutes * 60 + seconds
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, av.time_base)
    return None


def _turn(frame: av.VideoFrame) -> _Turn:
    """What the display matrix of a frame asks for, in whole quarters of a turn."""
    for data in frame.side_data:
        if data.type == av.sidedata.sidedata.Type.DISPLAYMATRIX:
            # A stored pixel (x, y) is shown at (a x + c y, b x + d y).
            a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
            if abs(b) + abs(c) > abs(a) + abs(d):
                return _Turn(True, c < 0, b < 0)
            return _Turn(False, a < 0, d < 0)
    return _Turn()


def _has(codec: av.Codec, name: str) -> bool:
    return any(option.name == name for option in av.CodecContext.create(codec.name, "w").supported_options.private)


def _choose_pixel_format(codec: av.Codec, options: dict[str, str], encoding: Encoding) -> str:
    known = [pixel_format.name for pixel_format in codec.video_formats or ()]
    wanted = (*_DEEP_PIXEL_FORMATS, *_PIXEL_FORMATS) if encoding.deep else (*_PIXEL_FORMATS, *_DEEP_PIXEL_FORMATS)
    fitting = [name for name in wanted if name in known] or known[:1] or ["yuv420p"]
    if not any(side % 2 for side in encoding.size):
        return fitting[0]
    # H.264 and HEVC hold odd sides only where colour has the resolution of luma.
    return next((name for name in fitting if _opens(codec, name, options, encoding)), fitting[0])


def _opens(codec: av.Codec, pixel_format: str, options: dict[str, str], encoding: Encoding) -> bool:
    context = av.CodecContext.create(codec.name, "w")
    context.height, context.width = encoding.size
    context.pix_fmt, context.time_base, context.options = pixel_format, 1 / Fraction(encoding.rate), options
    try:
        context.open()
    except av.FFmpegError:
        return False
    return True
