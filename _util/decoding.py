"""Decoding of video files by FFmpeg: frames, and the time at which each is first shown."""

import bisect
import contextlib
import functools
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.stream import Discard, Disposition

from _util import colour, hdr, interlacing, png
from _util.clock import fraction
from _util.colour import Colour
from _util.counts import listed
from _util.errors import InputError
from _util.pixels import TRANSPOSED, upright

STREAM = Path("-")  # standard input, or output
_USUAL_RATE = Fraction(24)
# PyAV 19 always replaces invalid text.
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_LARGEST_RATE = 1000  # frames per second; a larger stated rate is that of a clock, as in short raw DV
_DECLARE_DURATION = ("mov", "matroska", "avi", "flv", "asf")  # containers whose header states the duration
_PROGRESSIVE_FORMATS = ("gif", "apng")
_DTS_ONLY = ("avi", "asf")  # containers that state decoding times only; FFmpeg guesses presentation times
_SPARSE_PTS = ("mpeg",)  # containers that time some frames only, so that others are off after seeking
_OFTEN_JOINED = ("mpegts",)  # containers whose files are put one behind the other as they are, each with its own clock
_AVFMT_NOTIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS: a flag of bare streams
_ROUNDED = 5e-4  # largest relative error of a mean rate, due to clocks of milliseconds and short last frames
_MILLISECOND = Fraction(1, 1000)  # by which such clocks change the duration of a short video
_STANDARD_RATES = *map(Fraction, (12, 15, 24, 25, 30, 48, 50, 60)), *(Fraction(k * 1000, 1001) for k in (24, 30, 60))
_SHORT = Fraction(1, 5)  # seconds that may be missing at the start or at the end without a message
_GAPLESS = Fraction(19, 20)  # least share of the frames of a rate that are there
_CLOCK_RESTARTS = 5  # frames by which time must step back, and as many must stay back
_MAX_REORDER = 32  # packets; no encoder delays the presentation of a frame by more
_PYRAMID_DEPTH = 4  # frames that B-frames which refer to others are reordered by, at most in practice


@dataclass(eq=False)
class Metadata:
    """Metadata of a source, known before its frames are read.

    Attributes:
        size: (h, w), upright.
        rate: average frames per second.
        duration: in seconds according to the container, which may be wrong.
        deep: whether pixels are uint16.
        colour: the tags of the video.
        pixel_format: FFmpeg's name of the pixel format of the source.
        alpha: whether the source has alpha.
        aspect: width of a pixel over its height, upright.
        start: time of the first frame by the clock of the container, in seconds.
        light: mastering display and light levels of an HDR video; None if it states none.
        notes: sentences about what was found when the source was opened.
        tags: chunks of colour and resolution for PNG files of its frames; of drawings, those of the first.
    """

    size: tuple[int, int]
    rate: Fraction
    duration: Fraction
    deep: bool
    colour: Colour
    pixel_format: str
    alpha: bool
    aspect: Fraction = Fraction(1)
    start: Fraction = Fraction(0)
    light: hdr.Light | None = None
    notes: tuple[str, ...] = ()
    tags: tuple[png.Chunk, ...] = ()


class Decoded(NamedTuple):
    """A decoded frame."""

    time: Fraction  # seconds since the first frame
    duration: Fraction
    pixels: np.ndarray  # as in `video.Frame`
    stored: av.VideoFrame | None  # the frame as it was decoded, if that is upright


@dataclass
class Damage:
    """Counts of what was damaged or missing in a source."""

    undecodable: int = 0  # packets
    unreadable: list[str] = field(default_factory=list)  # names of drawings
    corrupt: int = 0  # frames decoded with errors
    broken: int = 0  # packets that the container knows to be damaged
    unordered: int = 0  # frames no later than the one before
    # Seconds by which each restart of the clock moves all frames from it on, so that they follow those before.
    restarts: list[Fraction] = field(default_factory=list)
    resized: tuple[int, int] | None = None
    stopped: str | None = None
    is_cut: bool = False  # whether the source ends within a frame

    def message(self, path: Path, end: Fraction | None, declared: Fraction | None) -> str | None:
        """One sentence, or None if nothing was lost.

        Args:
            end: of all frames, in seconds; None if they were not read to the end.
            declared: end of the video according to its container, in seconds.
        """
        parts = []
        if end is not None:
            if declared is not None and end < declared - _SHORT:
                parts.append(f"ends at {float(end):.2f} s of {float(declared):.2f} s")
            elif self.stopped:
                parts.append(f"cannot be read beyond {float(end):.2f} s ({self.stopped})")
            elif self.is_cut:
                parts.append(f"ends within a frame, after {float(end):.2f} s")
        if self.undecodable:
            parts.append(f"has frames that cannot be decoded ({self.undecodable})")
        if self.unreadable:
            parts.append(f"holds drawings that cannot be read ({listed(self.unreadable)})")
        if damaged := max(self.corrupt, self.broken):  # frames of broken packets may be lost, or decoded with errors
            parts.append(f"has damaged frames ({damaged})")
        if self.unordered:
            parts.append(f"has frames no later than the one before ({self.unordered})")
        if self.restarts:
            parts.append("has a clock that restarts (what follows is moved to the end of what precedes)")
        if self.resized:
            h, w = self.resized
            parts.append(f"changes its size to {w}×{h} (scaled to the first)")
        name = "Standard input" if path == STREAM else path
        return f"{name} {', '.join(parts)}; what can be read of it was used." if parts else None


class Treatment(NamedTuple):
    """How interlaced and telecined video is read; see `interlacing`."""

    deinterlace: str = "auto"  # "on", "off"
    detelecine: bool = False


class File:
    """The best video stream of a container."""

    def __init__(self, path: Path, keep_alpha: bool = False, treatment: Treatment | None = None):
        self.path = path
        # Of standard input, which can be opened only once.
        self._opened: tuple[contextlib.ExitStack, av.VideoStream, Iterator[av.VideoFrame], Damage] | None = None
        self._chain, sentence = (interlacing.Filters(), None) if treatment is None else self._treat(treatment)
        with contextlib.ExitStack() as stack:
            container, stream = stack.enter_context(_open(path))
            damage = Damage()
            frames = _decode_stream(container, stream, damage)
            frame = next(frames, None)
            if frame is None:
                raise InputError(f"{path} holds no frame that can be decoded; export it again.")
            self.first = frame.pts
            self._lost = Fraction(0) if path == STREAM else _lost_start(path, self.first)
            self.declared = _declared_duration(path, container, stream, self.first, self._lost)
            self._orientation = _orientation(frame)
            self.metadata = self._metadata(container, stream, frame, sentence)
            if path == STREAM:
                self._opened = stack.pop_all(), stream, itertools.chain([frame], frames), damage
        self.keep_alpha = keep_alpha and self.metadata.alpha

    def _treat(self, treatment: Treatment) -> tuple[interlacing.Filters, str | None]:
        finding = interlacing.Finding(interlacing.Kind.PROGRESSIVE)
        if self.path != STREAM:
            with _open(self.path) as (container, stream):
                if container.format.name in _PROGRESSIVE_FORMATS:
                    return interlacing.Filters(), None
                stream.thread_type = "AUTO"
                finding = interlacing.find(_decode_stream(container, stream, Damage()))
        return interlacing.filters(finding, *treatment), interlacing.message(finding, *treatment)

    def _metadata(
        self, container: InputContainer, stream: av.VideoStream, frame: av.VideoFrame, sentence: str | None
    ) -> Metadata:
        rate = _rate(container, stream) * self._chain.frames
        count = round(stream.frames * self._chain.frames) or None
        duration = self.declared or (count / rate if count else Fraction(container.duration or 0, av.time_base))
        if container.format.name == "apng" and self.path != STREAM and (delays := self._delays()):
            count, duration = len(delays), sum(delays, Fraction(0))
            rate = _exact(count / duration, count)
        is_transposed = self._orientation in TRANSPOSED
        h, w = (frame.width, frame.height) if is_transposed else (frame.height, frame.width)
        aspect = fraction(stream.sample_aspect_ratio) or Fraction(1)
        is_transparent = colour.has_alpha(frame.format)
        may_be_opaque = container.format.name == "gif" or frame.format.has_palette  # all of which have alpha
        if is_transparent and may_be_opaque and self.path != STREAM:  # which can be read only once
            is_transparent = self._is_transparent_anywhere()
        notes = [] if sentence is None else [f"{self.path} {sentence}."]
        if self._lost > _SHORT:
            notes.append(f"The first {float(self._lost):.2f} s of {self.path} cannot be decoded: left out.")
        if _has_alpha_apart(container, stream):
            notes.append(f"The alpha of {self.path} is not read; convert it to .webp or .apng to keep it.")
        if changing := hdr.changing(frame):
            notes.append(f"{' and '.join(changing)} of {self.path} cannot be interpolated: left out.")
        return Metadata(
            size=(h, w),
            rate=rate,
            duration=max(duration, 1 / rate),
            deep=colour.is_deep(frame.format),
            colour=colour.tags(frame),
            pixel_format="bgr0" if colour.has_alpha(frame.format) and not is_transparent else frame.format.name,
            alpha=is_transparent,
            aspect=1 / aspect if is_transposed else aspect,
            start=(self.first or 0) * _time_base(stream),
            light=hdr.read(frame),
            notes=tuple(notes),
            tags=tuple(filter(None, [png.coding_chunk(int(frame.color_primaries), int(frame.color_trc))])),
        )

    def _delays(self) -> list[Fraction]:
        """The duration of each frame in seconds, of a container that declares no rate; empty if one is unknown."""
        with _open(self.path) as (container, stream):
            packets = [packet for packet in container.demux(stream) if packet.size]
            found = [packet.duration * _time_base(stream) for packet in packets if packet.duration]
        return found if len(found) == len(packets) else []

    def _is_transparent_anywhere(self) -> bool:
        with _open(self.path) as (container, stream):
            for frame in _decode_stream(container, stream, Damage()):
                pixels = colour.to_rgb(frame, (frame.height, frame.width), False, keep_alpha=True)
                if pixels[:, :, 3].min() < 255:
                    return True
        return False

    @functools.cached_property
    def _restarts(self) -> bool:
        """Whether the clock of the container restarts, so that no time can be sought."""
        with _open(self.path) as (container, stream), contextlib.suppress(av.FFmpegError):
            if container.format.name in _OFTEN_JOINED:
                back = _CLOCK_RESTARTS / self.metadata.rate / _time_base(stream)
                times = (packet.dts for packet in container.demux(stream) if packet.dts is not None)
                return any(after < before - back for before, after in itertools.pairwise(times))
        return False

    def decode(self, start: Fraction, damage: Damage) -> Iterator[Decoded]:
        """The frames from `start` seconds on, possibly preceded by earlier ones."""
        can_seek = self.first is not None and not self._chain.chain and self.path != STREAM
        if start > 0 and can_seek and not self._restarts:
            frames = self._decode_from(start, damage)
            first = next(frames, None)
            if first is not None and first.time <= start:
                yield first
                yield from frames
                return
            # The index of the file is wrong, or what it led to cannot be decoded without what comes before.
            vars(damage).update(vars(Damage()))
        yield from self._decode_from(Fraction(0), damage)

    def _decode_from(self, start: Fraction, damage: Damage) -> Iterator[Decoded]:
        h, w = self.metadata.size
        stored_size = (w, h) if self._orientation in TRANSPOSED else (h, w)
        with contextlib.ExitStack() as stack:
            stream, frames = self._open_at(start, damage, stack)
            is_filtered = bool(self._chain.chain)  # filters may drop the first frame, and count from the next
            origin = None if is_filtered or self.first is None else self.first * _time_base(stream)
            clock = _FrameClock(origin, 1 / self.metadata.rate, damage)

            def timed() -> Iterator[_TimedFrame]:
                for frame in interlacing.run(self._chain, frames, stream) if is_filtered else frames:
                    ticks = None if self.first is None else frame.pts
                    seconds = None if ticks is None else ticks * _time_base(frame if is_filtered else stream)
                    own = None if is_filtered or not frame.duration else frame.duration * _time_base(stream)
                    yield _TimedFrame(seconds, own, frame)

            for time, duration, frame in clock.placed(timed()):
                if self.declared is not None:  # MP4 with B-frames states the durations of other frames
                    duration = min(duration, max(self.declared - time, 1 / self.metadata.rate))
                keeps_size = (frame.height, frame.width) == stored_size
                if not keeps_size:
                    damage.resized = (frame.height, frame.width)
                pixels = colour.to_rgb(frame, stored_size, self.metadata.deep, self.keep_alpha)
                # Rows of uncompressed AVI may be stored from the bottom up, which `colour.copy` does not read.
                is_downward = all(plane.line_size > 0 for plane in frame.planes)
                is_as_stored = self._orientation == 1 and keeps_size and is_downward
                yield Decoded(time, duration, upright(pixels, self._orientation), frame if is_as_stored else None)

    def _open_at(
        self, start: Fraction, damage: Damage, stack: contextlib.ExitStack
    ) -> tuple[av.VideoStream, Iterator[av.VideoFrame]]:
        if self.path == STREAM:
            opened, self._opened = self._opened, None
            if opened is None:
                raise InputError("Standard input can be read only once; write it to a file.")
            open_stack, stream, frames, found = opened
            stack.enter_context(open_stack)
            return stream, _with_damage(frames, found, damage)
        container, stream = stack.enter_context(_open(self.path))
        stream.thread_type = "AUTO"
        if not _has_pts(container):  # by `start`, it has to be known which frames are lost after seeking
            start = max(Fraction(0), start - 2 * _MAX_REORDER / self.metadata.rate)
        if start and container.format.name not in _SPARSE_PTS and self.first is not None:
            with contextlib.suppress(av.FFmpegError):  # streams that cannot seek are read from the start
                container.seek(self.first + int(start / _time_base(stream)), stream=stream)
        return stream, _decode_stream(container, stream, damage)


def _rate(container: InputContainer, stream: av.VideoStream) -> Fraction:
    """The average frame rate; an exact one if the average approximates it."""
    average, guessed, base = map(fraction, (stream.average_rate, stream.guessed_rate, stream.base_rate))
    if average and guessed and guessed in _unrounded(average, stream.frames):
        return guessed
    is_exact = average is not None and _approximated(average, stream.frames) is not None
    if average and base and guessed == base and base * _GAPLESS <= average < base and not is_exact:
        average = base  # few frames are missing, such as where a file was cut without re-encoding
    counts_fields = container.format.name == "avi" and base and average == 2 * base
    is_rounded = container.format.name == "asf" and base and average and average > base  # to milliseconds a frame
    stated = (guessed, base) if counts_fields or is_rounded else (average, guessed, base)
    return _exact(next((rate for rate in stated if rate and rate <= _LARGEST_RATE), _USUAL_RATE), stream.frames)


def _exact(rate: Fraction, count: int = 0) -> Fraction:
    """The exact rate that a mean rate of `count` frames approximates; the mean rate itself if it approximates none."""
    return _approximated(rate, count) or rate


def _approximated(rate: Fraction, count: int) -> Fraction | None:
    candidates = (Fraction(round(rate)), Fraction(1000 * round(rate * 1001 / 1000), 1001))
    nearest = min(candidates, key=lambda one: abs(one - rate))
    if nearest and abs(nearest / rate - 1) < _ROUNDED:
        return nearest
    return min(_unrounded(rate, count), key=lambda one: abs(one - rate), default=None)


def _unrounded(rate: Fraction, count: int) -> list[Fraction]:
    """The standard rates at which `count` frames (0 if unknown) last as long as at a mean rate, but for rounding."""
    return [one for one in _STANDARD_RATES if count and abs(count / one - count / rate) <= _MILLISECOND]


def _with_damage(frames: Iterator[av.VideoFrame], found: Damage, damage: Damage) -> Iterator[av.VideoFrame]:
    """Frames of `_decode_stream`, and when no more are read, what it `found`, as its `damage`."""
    try:
        yield from frames
    finally:
        for name in ("undecodable", "corrupt", "broken", "stopped", "is_cut"):
            setattr(damage, name, getattr(found, name))


class _TimedFrame(NamedTuple):
    time: Fraction | None  # seconds by the clock of the container
    duration: Fraction | None
    frame: av.VideoFrame


class _PlacedFrame(NamedTuple):
    time: Fraction  # seconds since the first frame
    duration: Fraction
    frame: av.VideoFrame


class _FrameClock:
    """Times of frames in seconds since the first one, across restarts of the clock of the container.

    Args:
        origin: time of the first frame by the clock of the container; None: that of the first frame with a time.
        usual: duration of a frame without one.
        damage: where restarts, and frames that are left out, are counted.
    """

    def __init__(self, origin: Fraction | None, usual: Fraction, damage: Damage):
        self._origin, self._usual, self._damage = origin, usual, damage
        self._time, self._duration = -usual, usual
        self._shift = Fraction(0)

    def placed(self, frames: Iterable[_TimedFrame]) -> Iterator[_PlacedFrame]:
        """The frames with their times, from those that the container states.

        Where time steps back, it has restarted if it stays back. A few frames that come late are left out.
        """
        back: list[_TimedFrame] = []  # frames since time has stepped back
        for one in frames:
            if not self._is_back(one, bool(back)):
                self._damage.unordered += len(back)
                back = []
                yield self._place(one)
                continue
            back.append(one)
            if len(back) == _CLOCK_RESTARTS:
                yield from self._restart(back)
                back = []
        if len(back) > 1:
            yield from self._restart(back)
        else:
            self._damage.unordered += len(back)

    def _is_back(self, one: _TimedFrame, is_back: bool) -> bool:
        """Whether a frame is earlier than the last that was placed, by several frames unless those before it are."""
        if one.time is None or self._origin is None:
            return is_back
        time = one.time - self._origin + self._shift
        return time <= self._time if is_back else time < self._time - _CLOCK_RESTARTS * self._usual

    def _restart(self, frames: Sequence[_TimedFrame]) -> Iterator[_PlacedFrame]:
        first = frames[0].time
        assert first is not None  # because `_is_back` compared it
        assert self._origin is not None
        move = self._time + self._duration - (first - self._origin + self._shift)
        self._damage.restarts.append(move)
        self._shift += move
        return map(self._place, frames)

    def _place(self, one: _TimedFrame) -> _PlacedFrame:
        if one.time is None:
            self._time += self._usual  # stated durations are rounded to the clock
        else:
            self._origin = one.time if self._origin is None else self._origin
            self._time = one.time - self._origin + self._shift
        self._duration = one.duration or self._usual
        return _PlacedFrame(self._time, self._duration, one.frame)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """A container and the video stream that a player would show; all other streams are discarded."""
    with open_input(path) as container:
        stream = shown(container)
        if stream is None or stream.codec_context is None:
            raise InputError(f"{path} holds no video that can be decoded; choose another file.")
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all
        yield container, stream


def shown(container: InputContainer) -> av.VideoStream | None:
    """The video stream that a player would show; cover pictures are skipped."""
    videos = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    best = container.streams.best("video")
    return best if isinstance(best, av.VideoStream) and best in videos else next(iter(videos), None)


def _has_alpha_apart(container: InputContainer, stream: av.VideoStream) -> bool:
    """Whether an animated AVIF stores alpha, which is a stream of grey beside its colours."""
    others = [other for other in container.streams.video if other is not stream]
    return container.metadata.get("major_brand") == "avis" and any(
        str(other.codec_context.pix_fmt).startswith("gray") for other in others
    )


class _StandardInput:
    """Standard input, which counts what is read."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, size: int) -> bytes:
        data = os.read(0, size)
        self.count += len(data)
        return data


@contextlib.contextmanager
def open_input(path: Path) -> Iterator[InputContainer]:
    """Open a container for reading.

    Raises:
        InputError: the file does not exist, or FFmpeg cannot read it.
    """
    try:
        place = _StandardInput() if path == STREAM else path.absolute()  # so that a colon does not name a protocol
        container = av.open(place, **_LENIENT)
    except FileNotFoundError as error:
        raise InputError(f"There is no video {path}.") from error
    except (av.FFmpegError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path} is not a supported video, or is damaged at its start ({why}).") from error
    with container:
        if container.format.name == "tty":  # FFmpeg plays any text file
            raise InputError(f"{path} is a text file, not a video; choose another file.")
        yield container


def _decode_stream(container: InputContainer, stream: av.VideoStream, damage: Damage) -> Iterator[av.VideoFrame]:
    """The frames of a stream that can be decoded, with their presentation times in ticks of its time base."""
    packets = container.demux(stream)
    decode = _decoder(stream)
    times, end = None if _has_pts(container) else _PresentationTimes(stream), 0
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            damage.stopped = error.strerror
            packet = av.Packet()  # flushes the decoder
            packet.stream = stream
        if packet is None:
            damage.is_cut = container.format.name == "yuv4mpegpipe" and end < _length(container)
            return
        if packet.pos is not None:
            end = packet.pos + packet.size
        if times and packet.size and packet.dts is not None:
            packet.opaque = [times.add(packet.dts)]  # PyAV finds it by its address, which small numbers share
        damage.broken += packet.is_corrupt
        try:
            frames = decode(packet)
        except (av.FFmpegError, ValueError):  # the latter by PyAV 19, once the decoder could not be opened
            damage.undecodable += 1
            continue
        for frame in frames:
            damage.corrupt += frame.is_corrupt
            if times:
                frame.pts = times.take(*cast("list[int] | None", frame.opaque) or [None])
            yield frame
        if damage.stopped:
            return


def _length(container: InputContainer) -> int:
    """The bytes of a file, or those of standard input that were read."""
    return container.size if container.file is None else container.file.file.count


def _has_pts(container: InputContainer) -> bool:
    """Whether a container states times of presentation."""
    return container.format.name not in _DTS_ONLY and not container.format.flags & _AVFMT_NOTIMESTAMPS


class _PresentationTimes:
    """Times of presentation, in containers that state those of decoding only.

    Frames come in order of presentation, so sorted times of decoding fit them. Those of packets without a frame, which
    are damaged or empty, are dropped once it is certain that their frames are not just presented later.
    """

    def __init__(self, stream: av.VideoStream):
        context = stream.codec_context
        context.copy_opaque = True
        self._stream, self._packets = stream, 0
        self._waiting: dict[int, int] = {}  # decoding times of packets whose frames have not come
        self._dropped: dict[int, int] = {}
        self._times: list[int] = []  # of the frames that have not come, sorted

    def add(self, decoding_time: int) -> int:
        """Add a packet, and return its number, by which `take` knows it."""
        self._packets += 1
        self._waiting[self._packets] = decoding_time
        bisect.insort(self._times, decoding_time)
        return self._packets

    def take(self, packet: int | None) -> int | None:
        """The time of the next frame; None if there is none.

        Args:
            packet: the number of the packet that it was decoded from, if it is known.
        """
        if packet is not None:
            self._waiting.pop(packet, None)
            if packet in self._dropped:  # it comes after all
                bisect.insort(self._times, self._dropped.pop(packet))
            self._dropped = {other: time for other, time in self._dropped.items() if other > packet - 2 * _MAX_REORDER}
            before = [other for other in self._waiting if other < packet]
            lost = len(before) - self._reordered()
            for i, other in enumerate(before):
                if i < lost or other < packet - _MAX_REORDER:
                    self._drop(other)
        return self._times.pop(0) if self._times else None

    def _reordered(self) -> int:
        """How many frames may be decoded before one that they are presented after."""
        context = self._stream.codec_context
        return (_PYRAMID_DEPTH if context.name in ("h264", "hevc") else 1) if context.has_b_frames else 0

    def _drop(self, packet: int) -> None:
        self._dropped[packet] = time = self._waiting.pop(packet)
        at = bisect.bisect_left(self._times, time)  # the next later one if an earlier frame has taken that time
        if at < len(self._times):
            del self._times[at]


def _decoder(stream: av.VideoStream) -> Callable[[av.Packet], list[av.VideoFrame]]:
    """The function that decodes packets: libvpx for VP8 and VP9 with alpha, which FFmpeg's own decoders drop."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) != "1":
        return av.Packet.decode
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, av.VideoCodecContext)
    context.extradata = stream.codec_context.extradata
    return lambda packet: context.decode(packet if packet.size else None)


def _time_base(timed: av.VideoStream | av.VideoFrame) -> Fraction:
    """Seconds per tick of a stream or frame that was read from a container."""
    time_base = fraction(timed.time_base)
    assert time_base is not None
    return time_base


def _lost_start(path: Path, first: int | None) -> Fraction:
    """Seconds from the first packet to the first frame, of a video that begins with frames that refer to missing ones.

    Args:
        first: when the first frame is shown, in ticks.
    """
    if first is None:
        return Fraction(0)
    earliest = first
    with _open(path) as (container, stream):
        has_pts, time_base = _has_pts(container), _time_base(stream)
        with contextlib.suppress(av.FFmpegError):
            for packet in container.demux(stream):
                time = packet.pts if has_pts else packet.dts
                if time is not None and time >= first:
                    break
                if time is not None and not packet.is_discard:  # which an edit list hides
                    earliest = min(earliest, time)
    return (first - earliest) * time_base


def _declared_duration(
    path: Path, container: InputContainer, stream: av.VideoStream, first: int | None, lost: Fraction
) -> Fraction | None:
    """Duration of the video in seconds according to the header of its container; None where that is not reliable.

    Args:
        first: when the first frame is shown, in ticks.
        lost: that of `_lost_start`.
    """
    if container.format.name.split(",")[0] not in _DECLARE_DURATION:
        return None
    rate = fraction(stream.average_rate)
    if container.format.name == "avi" and stream.frames and rate:  # its stated duration may be that of the file at hand
        return stream.frames / rate - lost
    if stream.duration:
        return stream.duration * _time_base(stream) - lost
    late = max(Fraction(0), (first or 0) * _time_base(stream))  # durations below count from the start of the clock
    clock = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if clock:
        hours, minutes, seconds = map(Fraction, clock.groups())
        return hours * 3600 + minutes * 60 + seconds - late
    if not container.duration:
        return None
    whole = Fraction(container.duration, av.time_base)  # of the longest stream
    is_of_video = len(container.streams) == 1 or (path != STREAM and _end(path, whole) < whole - _SHORT)
    return whole - late if is_of_video else None


def _end(path: Path, declared: Fraction) -> Fraction:
    """When the last stream of a container really ends, in seconds; 0 if nothing is found near its declared end."""
    end = Fraction(0)
    with open_input(path) as container, contextlib.suppress(av.FFmpegError):
        with contextlib.suppress(av.FFmpegError):  # otherwise it is read from its start
            container.seek(int((declared - 1) * av.time_base))
        for packet in container.demux():
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    return end


def _orientation(frame: av.VideoFrame) -> int:
    """The orientation given by the display matrix of a frame, rounded to quarter turns, as EXIF numbers it."""
    for data in hdr.side_data(frame):
        if data.type == Type.DISPLAYMATRIX:
            # A stored pixel (x, y) is shown at (a x + c y, b x + d y).
            a, b, _, c, d = np.frombuffer(memoryview(data), np.int32)[:5].tolist()
            if abs(b) + abs(c) > abs(a) + abs(d):
                return {(False, False): 5, (True, False): 6, (True, True): 7, (False, True): 8}[c < 0, b < 0]
            return {(False, False): 1, (True, False): 2, (True, True): 3, (False, True): 4}[a < 0, d < 0]
    return 1
