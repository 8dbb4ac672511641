"""Packets of a source's streams, converted for an output file: cut, shifted and slowed in time, or re-encoded.

source  ─read_packets─▶  (time, packet), (time, packet), …  ─▶  the output's muxer
"""

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import av
from av.container import InputContainer
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from _util import timed_text
from _util.sound import ReencodedSound
from _util.streams import is_cover, is_moving, shown

STATES_NO_GAPS = ("avi",)  # containers in which each packet of sound follows the one before
_EDIT_LISTS = ("mp4", "mov", "ipod", "3gp", "3g2")  # containers that have some
_PADDING = ("matroska", "webm")  # containers that state how much sound is hidden at the start


class Span(NamedTuple):
    """The part of a source that is written, in seconds of the source's clock."""

    start: Fraction  # start of the video
    stop: Fraction | None = None  # None: everything is kept, including what precedes the video
    slowness: Fraction = Fraction(1)  # factor by which the duration grows
    restarts: tuple[Fraction, ...] = ()  # of the source's clock: seconds by which each moves all that follows it


class Timed(NamedTuple):
    """A packet and its decoding time in seconds."""

    time: Fraction
    packet: av.Packet


class _Copy:
    """Copies packets, of cut video from a keyframe on; cover art is placed at the start.

    Sound that an edit list hides, which would be heard where the output has none, is left out.
    """

    keeps_times = True  # packets have the source's times
    preroll = Fraction(0)  # seconds before a span from which on packets are needed

    def __init__(self, stream: Stream, epoch: Fraction, is_cut: bool):
        self._stream, self._epoch = stream, epoch
        self._awaits_keyframe = is_cut and is_moving(stream)
        self._leaves_out_hidden = stream.type == "audio" and not _hides_sound(stream)

    def convert(self, packet: av.Packet) -> list[av.Packet]:
        if packet.dts is None and packet.pts is None and not packet.size:  # the end of the stream
            return []
        if packet.is_discard and self._leaves_out_hidden:
            return []
        self._awaits_keyframe = self._awaits_keyframe and not packet.is_keyframe
        if self._awaits_keyframe:
            return []
        packet.stream = self._stream
        if is_cover(self._stream):
            packet.pts = packet.dts = round(self._epoch / packet.time_base)
        return [packet]

    def end(self) -> list[av.Packet]:
        return []


def _hides_sound(stream: Stream) -> bool:
    """Whether the container of an output stream hides what the source hides.

    FFmpeg reports the sound that an edit list hides at the start as padding since version 9, in PyAV 19.
    """
    container, context = stream.container.format.name, stream.codec_context
    return container in _EDIT_LISTS or (container in _PADDING and getattr(context, "initial_padding", 0) > 0)


class _Subtitles:
    """Re-encodes text subtitles. In MP4, those that overlap become one for as long as they are shown together."""

    keeps_times, preroll = True, Fraction(0)

    def __init__(self, stream: SubtitleStream):
        self._stream = stream
        self._shown = timed_text.Shown() if stream.codec_context.name == "mov_text" else None
        self._time_base = Fraction(1, 1000)  # until the first packet tells

    def convert(self, packet: av.Packet) -> list[av.Packet]:
        try:
            subtitles = packet.stream.codec_context.decode2(packet) if packet.size else None
            if not subtitles:
                return []
            encoded = self._stream.codec_context.encode_subtitle(subtitles)
        except av.FFmpegError:  # a damaged packet is a gap
            return []
        self._time_base = packet.time_base
        if self._shown is None or packet.pts is None:
            return [self._placed(encoded, packet.pts, packet.duration)]
        return self._packets(self._shown.add(packet.pts, packet.duration or 0, bytes(encoded)))

    def end(self) -> list[av.Packet]:
        return [] if self._shown is None else self._packets(self._shown.until(math.inf))

    def _packets(self, samples: list[timed_text.Sample]) -> list[av.Packet]:
        return [self._placed(av.Packet(data), start, duration) for start, duration, data in samples]

    def _placed(self, packet: av.Packet, start: int | None, duration: int | None) -> av.Packet:
        packet.stream = self._stream
        packet.time_base, packet.duration = self._time_base, duration
        packet.pts = packet.dts = start
        return packet


def read_packets(
    source: InputContainer, copies: dict[int, Stream], reencoded: dict[int, Stream], epoch: Fraction, span: Span
) -> Iterator[Timed]:
    """Yield the packets of a source's streams, converted for the output.

    Args:
        copies, reencoded: streams of the output, by the index of their stream in the source.
        epoch: the time of the source at which the output starts, in seconds.
        span: the part of the source that the video covers.
    """
    if not copies and not reencoded:
        return
    converters = {index: _Copy(stream, epoch, span.stop is not None) for index, stream in copies.items()}
    converters |= {index: _reencoder(stream, span) for index, stream in reencoded.items()}
    clock = _SourceClock(source, span.restarts)

    def placed(converted: Iterable[av.Packet], keeps_times: bool) -> Iterator[Timed]:
        for packet in converted:
            if keeps_times:
                shift(packet, epoch)
                _slow(packet, span.slowness)
            time = packet.pts if packet.dts is None else packet.dts
            yield Timed((time or 0) * packet.time_base, packet)

    for packet in _until_damage(source.demux([source.streams[i] for i in {*converters, *clock.followed}])):
        clock.adjust(packet)
        converter = converters.get(packet.stream.index)
        if converter is None:
            continue
        if span.stop is not None and not _cut(packet, span, converter.preroll):
            continue
        yield from placed(converter.convert(packet), converter.keeps_times)
    for converter in converters.values():
        yield from placed(converter.end(), converter.keeps_times)


class _SourceClock:
    """Moves packets after restarts of the source's clock as the frames of the video were moved.

    The clock of sound restarts where its own times step back, as its packets lie before or after those of the video
    that belong to the same time. Subtitles, which may have none before a restart, go by the video.

    Args:
        restarts: those of `Span`.
    """

    def __init__(self, source: InputContainer, restarts: Sequence[Fraction]):
        self._restarts = restarts
        self._shown = shown(source).index
        self._passed: dict[int, int] = {}  # how many restarts, by stream
        self._last: dict[int, Fraction] = {}  # decoding time in seconds, by stream

    @property
    def followed(self) -> tuple[int, ...]:
        """The streams of the source that `adjust` must be given."""
        return (self._shown,) if self._restarts else ()

    def adjust(self, packet: av.Packet) -> None:
        """Move the next packet of the source."""
        if not self._restarts or packet.dts is None:
            return
        index, of_video = packet.stream.index, self._passed.get(self._shown, 0)
        passed = of_video if packet.stream.type == "subtitle" else self._passed.get(index, of_video)
        time = packet.dts * packet.time_base
        back = self._last.get(index, time) - time
        if packet.stream.type != "subtitle" and passed < len(self._restarts) and back > self._restarts[passed] / 2:
            passed += 1
        self._passed[index], self._last[index] = passed, time
        shift(packet, -sum(self._restarts[:passed], Fraction(0)))


def _reencoder(stream: Stream, span: Span) -> _Subtitles | ReencodedSound:
    if isinstance(stream, SubtitleStream):
        return _Subtitles(stream)
    assert isinstance(stream, av.AudioStream)
    fills_gaps = stream.container.format.name in STATES_NO_GAPS
    return ReencodedSound(stream, span.start, span.slowness, span.stop is not None, fills_gaps)


def _until_damage(packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
    with contextlib.suppress(av.FFmpegError):  # the file is truncated
        yield from packets


def _cut(packet: av.Packet, span: Span, preroll: Fraction) -> bool:
    """Clip a packet to a span; False if nothing of it is left.

    Subtitles are cut, so that one shown before the span is shown from its start. An audio packet belongs to the span if
    it starts within it, or as many seconds before it. Video also includes the packets that are decoded within the span
    but shown after it, which others may refer to. Packets without a time, and cover art, always belong to it.
    """
    if packet.pts is None or is_cover(packet.stream):
        return True
    assert span.stop is not None
    start, stop = span.start / packet.time_base, span.stop / packet.time_base
    if packet.stream.type != "subtitle" or not packet.duration:
        last = packet.dts if is_moving(packet.stream) and packet.dts is not None else packet.pts
        return start - preroll / packet.time_base <= packet.pts and last < stop
    begin, end = max(packet.pts, round(start)), min(packet.pts + packet.duration, round(stop))
    packet.pts = packet.dts = begin
    packet.duration = max(end - begin, 0)
    return begin < end


def _slow(packet: av.Packet, slowness: Fraction) -> None:
    if slowness == 1:
        return
    for name in ("pts", "dts", "duration"):
        value = getattr(packet, name)
        if value is not None:
            setattr(packet, name, round(value * slowness))


def shift(packet: av.Packet, epoch: Fraction) -> None:
    """Move a packet earlier by `epoch` seconds."""
    ticks = round(epoch / packet.time_base)
    if packet.pts is not None:
        packet.pts -= ticks
    if packet.dts is not None:
        packet.dts -= ticks


def from_zero(packets: Iterator[Timed]) -> tuple[Iterator[Timed], Fraction]:
    """Packets later by as much as the first is before 0, such as the first of AAC; and that duration in seconds."""
    first = next(packets, None)
    if first is None:
        return packets, Fraction(0)
    later = max(Fraction(0), -first.time)

    def shifted() -> Iterator[Timed]:
        for time, packet in itertools.chain([first], packets):
            shift(packet, -later)
            yield Timed(time + later, packet)

    return shifted(), later


def keep_order(packet: av.Packet, last: dict[int, int]) -> bool:
    """Make decoding times increase where a damaged source violates this, since muxers require it.

    Returns:
        False for sound at a time that earlier packets have covered, which has to be left out.
    """
    index = packet.stream.index
    if packet.dts is None:
        return True
    ticks = Fraction(packet.time_base / (packet.stream.time_base or packet.time_base))  # of the output, per source tick
    if index in last and round(packet.dts * ticks) <= round(last[index] * ticks):
        tick = max(1, math.ceil(1 / ticks))
        if packet.stream.type == "audio" and last[index] - packet.dts >= max(packet.duration or 0, tick):
            return False
        packet.dts = last[index] + tick
        packet.pts = max(packet.pts or 0, packet.dts)
    last[index] = packet.dts
    return True
