"""Mux encoded video with the other contents of its source: audio, subtitles, attachments, chapters, tags.

Packets are copied, so audio is bit-exact, and streams keep their order. What the output container does not support is
left out, except audio and text subtitles, which are re-encoded. `plan` determines this beforehand by trial muxing, and
reports it. Cover art is a stream with the disposition attached_pic; in Matroska, it is an attachment.
"""

import contextlib
import functools
import heapq
import itertools
import math
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.filter
import numpy as np
from av.codec import CodecContext
from av.container import Container, InputContainer, OutputContainer
from av.stream import Disposition, Stream
from av.subtitles.stream import SubtitleStream

from _util import decoding, fields, video
from _util.errors import InputError
from _util.video import Encoding

_PART_SUFFIXES = (".nut", ".mkv", ".mov")  # NUT cannot store alpha beside a stream
_TICKS = 90_000  # least ticks per second in the video's time base
_FASTSTART = (".mp4", ".mov", ".m4v")
# Encoders by container; others use FFmpeg's default.
_SOUND = {"webm": "libopus", "mpeg": "mp2", "svcd": "mp2", "vob": "mp2"}
_BIT_RATES = {"wmav2": 128_000}  # for encoders without a default
_SUBTITLES = {"webm": "webvtt", "mp4": "mov_text", "mov": "mov_text"}
_REHEARSED = 6  # frames
_TRIED, _LOOKED_THROUGH = 8, 500  # packets tried per stream, and packets searched for them
_SLOWEST = Fraction(1, 2)  # the smallest tempo of one atempo filter
_DEFAULT_SOUND = "aac"  # replaces mp2 and mp3 as the container's default
# The codecs that can be played from MPEG-TS, whose muxer accepts anything, and from FLV, whose muxer aborts the process
# on some others.
_PLAYED = {
    "mpegts": {
        "video": {"mpeg1video", "mpeg2video", "mpeg4", "h264", "hevc", "vvc", "cavs", "dirac", "vc1"},
        "audio": {"mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "truehd", "opus", "s302m"},
        "subtitle": {"dvb_subtitle", "dvb_teletext"},
    },
    "flv": {"video": {"flv1", "h264", "hevc", "vp9", "av1"}, "audio": {"aac", "mp3"}},
}
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}  # by channels
_COVERS = {"mjpeg": ("image/jpeg", "jpg"), "png": ("image/png", "png"), "webp": ("image/webp", "webp")}
_COVERS |= {"gif": ("image/gif", "gif"), "bmp": ("image/bmp", "bmp")}
_HAS_COVERS = ("mp4", "ipod")  # as streams; Matroska as attachments
_ABOUT_THE_CONTAINER = {"major_brand", "minor_version", "compatible_brands", "encoder", "creation_time"}
_ABOUT_THE_PICTURES = {"rotate", "timecode", "encoder", "duration", "bps", "number_of_frames", "number_of_bytes"}
_ABOUT_THE_PICTURES |= {"alpha_mode"}


class Plan(NamedTuple):
    """How the other streams of a source are handled, by their index in it."""

    copied: tuple[int, ...] = ()
    encoded: tuple[int, ...] = ()
    attached: tuple[int, ...] = ()  # cover art that becomes an attachment
    notes: tuple[str, ...] = ()  # sentences for the user about what is lost, left out or re-encoded


class Span(NamedTuple):
    """The part of a source that is written, in seconds of the source's clock."""

    start: Fraction  # start of the video
    stop: Fraction | None = None  # None: everything is kept, including what precedes the video
    slowness: Fraction = Fraction(1)  # factor by which the duration grows


class _Timed(NamedTuple):
    """A packet and its decoding time in seconds."""

    time: Fraction
    packet: av.Packet


def plan(source: Path | None, out: Path, encoding: Encoding, slowness: Fraction = Fraction(1)) -> Plan:
    """Determine which other streams of `source` can be muxed into `out` beside video of this encoding.

    Args:
        slowness: factor by which the duration grows; unless it is 1, audio is re-encoded.

    Raises:
        InputError: the container is unknown or does not support the video, or the source cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / out.name
        lost = _rehearse(trial, encoding, [] if source is None else _chapters(source))
        if source is None:
            return Plan(notes=lost)
        with video.open_input(source) as container, video.open_output(trial) as empty:
            packets = _first_packets(container)

            def fate(stream: Stream) -> str | None:
                can_begin = functools.partial(_can_begin, trial, encoding, stream, packets.get(stream.index, ()))
                return _fate(stream, empty.format.name, can_begin, slowness == 1)

            fates = {stream.index: fate(stream) for stream in _others(container)}
            names = {index: _called(container.streams[index]) for index in fates}
    chosen = {fate: tuple(index for index, one in fates.items() if one == fate) for fate in set(fates.values())}
    notes = [
        f"{out.suffix} does not hold {', '.join(names[index] for index in chosen[fate])}{what}"
        for fate, what in (("encoded", " as it is: re-encoded."), (None, ": left out."))
        if fate in chosen and not (fate and slowness != 1)
    ]
    if slowness != 1 and "encoded" in chosen:
        called = ", ".join(names[index] for index in chosen["encoded"])
        notes.append(f"{called} is re-encoded, sound {float(slowness):g} times as long at the same pitch.")
    kept = {fate: indices for fate, indices in chosen.items() if fate}
    return Plan(**kept, notes=(*lost, *notes))


def _chapters(source: Path) -> list[Any]:
    with video.open_input(source) as container:
        return container.chapters()


def _rehearse(out: Path, encoding: Encoding, chapters: list[Any]) -> tuple[str, ...]:
    """Write a short video of this encoding and read it back. Returns sentences about what the container does not keep.

    Raises:
        InputError: the container does not support the video, or it cannot be read back.
    """
    try:
        _begin(out, encoding)
    except InputError:
        raise
    except (av.FFmpegError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(
            f"{out.name} does not hold video of {encoding.codec} ({why}); choose another --codec."
        ) from error
    part = out.with_name(f"part{part_suffix(encoding)}")
    with video.Writer(part, encoding) as writer:
        for _ in range(_REHEARSED):
            writer.write(np.zeros((*encoding.size, 3), np.uint16 if encoding.deep else np.uint8))
    try:
        join([part], [_REHEARSED], out, encoding, None, Plan(), Span(Fraction(0)), chapters)
        aspect, has_chapters = video.Reader(out).aspect, bool(_chapters(out))
    except (InputError, av.FFmpegError) as error:
        raise InputError(
            f"Video of {encoding.codec} cannot be read from {out.suffix} again; choose another --codec or container."
        ) from error
    lost = []
    if aspect != encoding.aspect:
        lost.append(
            f"Pixels of {encoding.aspect} width to height cannot be written to {out.suffix} of {encoding.codec}; "
            "players will show square ones."
        )
    if chapters and not has_chapters:
        lost.append(f"{out.suffix} does not hold chapters: left out.")
    return tuple(lost)


def _fate(stream: Stream, kind: str, can_begin: Callable[..., bool], keeps_pace: bool) -> str | None:
    """The field of `Plan` that a stream belongs to, in the container that FFmpeg names `kind`; None: it is left out."""
    if stream.type == "audio" and not keeps_pace:
        return "encoded" if _is_convertible(stream) and can_begin(anew=True) else None
    if _is_cover(stream):
        if kind == "matroska" and stream.codec_context.name in _COVERS:
            return "attached"
        return "copied" if kind in _HAS_COVERS and can_begin() else None
    is_dropped = stream.type == "data" or (stream.type == "attachment" and kind != "matroska")
    if not is_dropped and _plays(stream.type, stream.codec_context, kind) and can_begin():
        return "copied"
    return "encoded" if _is_convertible(stream) and can_begin(anew=True) else None


def _plays(kind_of_stream: str, context: CodecContext | None, kind: str) -> bool:
    """Whether a stream that the container accepts can be played from it."""
    if kind not in _PLAYED:
        return True
    return context is not None and context.codec.canonical_name in _PLAYED[kind].get(kind_of_stream, ())


def _is_cover(stream: Stream) -> bool:
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


def part_suffix(encoding: Encoding) -> str:
    """The suffix for parts that `join` concatenates: that of a container which supports the encoding."""
    with tempfile.TemporaryDirectory() as folder:
        suffixes = _PART_SUFFIXES[1:] if video.has_alpha_beside(encoding) else _PART_SUFFIXES
        fitting = (suffix for suffix in suffixes if _can_begin(Path(folder) / f"trial{suffix}", encoding))
        return next(fitting, _PART_SUFFIXES[0])


def join(
    parts: list[Path],
    counts: list[int],
    out: Path,
    encoding: Encoding,
    source: Path | None,
    streams: Plan,
    span: Span,
    chapters: Sequence[Any] = (),
) -> None:
    """Concatenate the video packets of the parts, and mux them with the source's other streams.

    Args:
        parts: files that `Writer` wrote with `encoding`.
        counts: number of frames in each part.
        out: written in place.
        span: the part of the source that the video covers.
        chapters: in PyAV's form, used if there is no source.

    Raises:
        InputError: a part is damaged, or the file cannot be written.
    """
    ranks = [_presentation_ranks(part, count) for part, count in zip(parts, counts, strict=True)]
    options = {"fflags": "+bitexact"}  # the same run gives the same bytes
    if out.suffix.lower() in _FASTSTART:
        options["movflags"] = "+faststart"
    with contextlib.ExitStack() as stack:
        stack.enter_context(video.writing(out))
        container = stack.enter_context(video.open_output(out, **options))
        first = stack.enter_context(av.open(parts[0].absolute()))
        add_picture = functools.partial(_add_picture, container, first.streams.video[0], encoding)
        readings: list[Iterator[_Timed]] = []
        start = span.start
        if source is None:
            picture = add_picture()
            if chapters:
                container.set_chapters(list(chapters))
        else:
            original = stack.enter_context(video.open_input(source))
            epoch = span.start
            if span.stop is None:  # keep what precedes the video
                epoch = min(epoch, Fraction(original.start_time or 0, av.time_base))
            start -= epoch
            picture, copies, anew = _add_streams(original, container, streams, add_picture)
            readings.append(_read_packets(original, copies, anew, epoch, span))
            _attach_covers(source, container, streams)
            _copy_tags(original, container, picture, epoch, span)
        if video.has_alpha_beside(encoding):
            picture.metadata["alpha_mode"] = "1"
        container.start_encoding()
        if readings and container.format.name == "avi":  # whose muxer would round this shift up to whole frames
            readings[0], shift = _from_zero(readings[0])
            start += shift
        readings.append(_video_packets(parts, ranks, picture, encoding.rate, start))
        starts: dict[int, Fraction] = {}  # of sound, in seconds
        for time, packet in heapq.merge(*readings, key=lambda timed: timed.time):
            if packet.stream.type == "audio":
                starts.setdefault(packet.stream.index, time)
            container.mux(packet)
        container.close()
        if container.format.name == "avi":
            _state_starts(out, starts)
    _check_whole(out, sum(counts))


def _state_starts(avi: Path, starts: dict[int, Fraction]) -> None:
    """Write into the header of an AVI file when streams begin, which FFmpeg's muxer leaves out.

    Args:
        starts: in seconds, by the number of the stream.
    """
    with avi.open("r+b") as file:
        header = file.read(20)
        header += file.read(struct.unpack_from("<I", header, 16)[0])  # the list hdrl
        at = 0
        for index in range(max(starts, default=-1) + 1):
            at = header.index(b"strh", at + 1)
            scale, rate = struct.unpack_from("<II", header, at + 28)  # dwScale, dwRate
            if starts.get(index, 0) > 0:
                file.seek(at + 36)  # dwStart
                file.write(struct.pack("<I", round(starts[index] * rate / scale)))


def _check_whole(out: Path, count: int) -> None:
    """Raise InputError unless a file holds a video of `count` frames."""
    try:
        with av.open(out.absolute()) as written:
            stream = written.streams.best("video")
            found = sum(packet.size > 0 for packet in written.demux(stream))
    except av.FFmpegError:
        found = 0
    if found != count:
        raise InputError(f"{out} cannot be written whole; make room or choose another place.")


def _add_picture(container: OutputContainer, template: av.VideoStream, encoding: Encoding) -> av.VideoStream:
    stream = container.add_stream_from_template(template, opaque=True)
    stream.time_base = _time_base(encoding.rate, container)
    context = stream.codec_context
    context.framerate = encoding.rate
    context.sample_aspect_ratio = encoding.aspect
    if context.format is None or not context.format.is_rgb:
        tags = encoding.colour
        context.colorspace, context.color_range, context.color_primaries, context.color_trc = tags
    if context.name in ("utvideo", "rawvideo"):  # the tag states the pixel format
        context.codec_tag = template.codec_context.codec_tag
    if context.name == "hevc" and container.format.name in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # required by QuickTime
    return stream


def _time_base(rate: Fraction, container: Container) -> Fraction:
    """A time base in which each frame lasts a whole number of ticks."""
    if container.format.name == "avi":  # uses its inverse as the frame rate
        return 1 / rate
    return Fraction(1, rate.numerator * math.ceil(_TICKS / rate.numerator))


def _presentation_ranks(part: Path, count: int) -> list[int]:
    """The presentation index of each packet of a part, in decoding order."""
    try:
        with av.open(part.absolute()) as container:
            times = [packet.pts for packet in container.demux(video=0) if packet.size]
    except av.FFmpegError as error:
        raise InputError(f"{part} is damaged ({error.strerror}); delete it and run again with --resume.") from error
    shown = [time for time in times if time is not None]
    if len(shown) < len(times) or len(set(shown)) != count:
        raise InputError(f"{part} is damaged; delete it and run again with --resume.")
    ranks = {time: rank for rank, time in enumerate(sorted(shown))}
    return [ranks[time] for time in shown]


def _video_packets(
    parts: list[Path], ranks: list[list[int]], stream: av.VideoStream, rate: Fraction, start: Fraction
) -> Iterator[_Timed]:
    """The packets of all parts with new timestamps; `ranks` are those of `_presentation_ranks`."""
    time_base = _time_base(rate, stream.container)  # the muxer converts it to the container's own
    ticks = int(1 / (rate * time_base))
    offset = round(start / time_base)
    delay = max(i - rank for part in ranks for i, rank in enumerate(part))
    before = 0
    for path, places in zip(parts, ranks, strict=True):
        with av.open(path.absolute()) as container:
            packets = (packet for packet in container.demux(video=0) if packet.size)
            for i, (packet, rank) in enumerate(zip(packets, places, strict=True)):
                packet.stream = stream
                packet.time_base = time_base
                packet.pts = offset + (before + rank) * ticks
                packet.dts = offset + (before + i - delay) * ticks
                packet.duration = ticks
                yield _Timed(packet.dts * time_base, packet)
        before += len(places)


def _others(container: InputContainer) -> list[Stream]:
    """All streams but the shown video, without the data stream in which MP4 duplicates its chapters."""
    shown = _shown(container)
    has_chapters = bool(container.chapters())
    return [s for s in container.streams if s is not shown and not (s.type == "data" and has_chapters)]


def _called(stream: Stream) -> str:
    codec = stream.codec_context.name if stream.codec_context else "of an unknown kind"
    return f"stream {stream.index} ({stream.type}, {codec})"


def _first_packets(container: InputContainer) -> dict[int, list[av.Packet]]:
    """The first few packets of each stream, by stream index, among those near the start of the file."""
    packets: dict[int, list[av.Packet]] = {}
    with contextlib.suppress(av.FFmpegError):  # a damaged file gives the packets before the damage
        for packet in itertools.islice(container.demux(), _LOOKED_THROUGH):
            found = packets.setdefault(packet.stream.index, [])
            if packet.size and len(found) < _TRIED:
                found.append(packet)
    return packets


def _begin(
    path: Path, encoding: Encoding, stream: Stream | None = None, packets: Sequence[av.Packet] = (), anew: bool = False
) -> None:
    """Write the start of a file with a video stream and, if given, one other stream.

    Args:
        packets: of the other stream; they are written too, unless it is re-encoded.
        anew: re-encode the other stream.

    Raises:
        InputError, av.FFmpegError or ValueError: such a file is not possible.
    """
    with video.open_output(path) as container:
        picture = video.add_video(container, encoding)
        if not _plays("video", picture.codec_context, container.format.name):
            raise ValueError("it would be dead data")
        added = stream and (_add_anew if anew else _add_copy)(container, stream)
        container.start_encoding()
        if added is None or anew:
            return
        last: dict[int, int] = {}
        start = next((packet.dts for packet in packets if packet.dts is not None), 0)
        for packet in packets:
            packet.stream = added
            _shift(packet, start * packet.time_base)
            _keep_order(packet, last)
            container.mux(packet)
        container.close()


def _can_begin(path: Path, encoding: Encoding, *others: Any, anew: bool = False) -> bool:
    """Whether `_begin` can write such a file."""
    try:
        _begin(path, encoding, *others, anew=anew)
    except (av.FFmpegError, ValueError):
        return False
    return True


def _add_copy(container: OutputContainer, stream: Stream) -> Stream:
    copy = container.add_stream_from_template(stream, opaque=True)
    _copy_stream_tags(stream, copy)
    return copy


def _is_convertible(stream: Stream) -> bool:
    """Whether the stream can be re-encoded: audio, and text subtitles (not bitmap ones)."""
    context = stream.codec_context
    return context is not None and (stream.type == "audio" or (stream.type == "subtitle" and context.codec.text_sub))


def _add_anew(container: OutputContainer, stream: Stream) -> Stream:
    """Add a stream that re-encodes `stream` with a codec of the container.

    Raises:
        ValueError or av.FFmpegError: the container has no such codec.
    """
    name = container.format.name
    if isinstance(stream, av.AudioStream):
        usual = container.default_audio_codec
        codec = _SOUND.get(name, _DEFAULT_SOUND if usual in ("mp2", "mp3") else usual)
        anew = container.add_stream(codec, rate=_rate(codec, stream.rate))
        assert isinstance(anew, av.AudioStream)
        anew.layout = _layout(codec, anew.rate, stream.layout)
        if codec in _BIT_RATES:
            anew.bit_rate = _BIT_RATES[codec]
    else:
        source: Any = stream.codec_context
        source.open(strict=False)  # creates the header with styles that the encoder needs
        anew = container.add_stream(_SUBTITLES.get(name, container.default_subtitle_codec))
        assert isinstance(anew, SubtitleStream)
        anew.codec_context.subtitle_header = source.subtitle_header
        anew.codec_context.time_base = Fraction(1, 1000)
    _copy_stream_tags(stream, anew)
    return anew


def _rate(codec: str, rate: int) -> int:
    """The encoder's smallest sample rate that is not below `rate`, or else its largest."""
    rates = av.Codec(codec, "w").audio_rates
    if not rates or rate in rates:
        return rate
    return min((one for one in rates if one >= rate), default=max(rates))


def _layout(codec: str, rate: int, layout: av.AudioLayout) -> str:
    """`layout` if the encoder supports it, else the usual layout of as many channels, else stereo."""
    candidates = (layout.name, _USUAL_LAYOUTS.get(layout.nb_channels), "stereo")
    return next(name for name in candidates if name == "stereo" or (name and _encodes(codec, rate, name)))


def _encodes(codec: str, rate: int, layout: str) -> bool:
    context = CodecContext.create(codec, "w")
    assert isinstance(context, av.AudioCodecContext)
    try:
        context.sample_rate, context.layout = rate, layout
        if formats := context.codec.audio_formats:
            context.format = formats[0]
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _copy_stream_tags(stream: Stream, copy: Stream) -> None:
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition


def _copy_tags(
    source: InputContainer, container: OutputContainer, picture: av.VideoStream, epoch: Fraction, span: Span
) -> None:
    container.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in _ABOUT_THE_CONTAINER})
    chapters = source.chapters()
    for chapter in chapters:
        assert chapter["time_base"] is not None
        shift = round(epoch / chapter["time_base"])
        chapter["start"] -= shift
        chapter["end"] -= shift
    if span.stop is not None:
        chapters = [chapter for chapter in chapters if _fit(chapter, span)]
    if chapters:
        container.set_chapters(chapters)
    shown = _shown(source)
    kept = {k: v for k, v in shown.metadata.items() if _plain(k) not in _ABOUT_THE_PICTURES and k[0] != "_"}
    picture.metadata.clear()
    picture.metadata.update(kept)
    picture.disposition = shown.disposition


def _fit(chapter: Any, span: Span) -> bool:
    """Clip a chapter, whose times count from the start of the span, to the span; False if nothing of it is left."""
    assert span.stop is not None
    length = (span.stop - span.start) / chapter["time_base"]
    start, end = max(chapter["start"], 0), min(chapter["end"], length)
    chapter["start"], chapter["end"] = round(start * span.slowness), round(end * span.slowness)
    return start < end


def _shown(source: InputContainer) -> Stream:
    """The stream that a player would show; `video.Reader` has made sure that there is one."""
    stream = decoding.shown(source)
    assert stream is not None
    return stream


def _plain(key: str) -> str:
    """A key of Matroska's statistics in lower case without its language: BPS-eng becomes bps."""
    return key.lower().split("-")[0]


def _add_streams(
    source: InputContainer, container: OutputContainer, streams: Plan, add_picture: Callable[[], av.VideoStream]
) -> tuple[av.VideoStream, dict[int, Stream], dict[int, Stream]]:
    """Add all streams in the order of the source. Returns the video, and the copied and re-encoded ones by index."""
    shown, picture = _shown(source).index, None
    copies, anew = {}, {}
    for stream in source.streams:
        if stream.index == shown:
            picture = add_picture()
        elif stream.index in streams.copied:
            copies[stream.index] = _add_copy(container, stream)
        elif stream.index in streams.encoded:
            anew[stream.index] = _add_anew(container, stream)
    assert picture is not None
    return picture, copies, anew


def _attach_covers(source: Path, container: OutputContainer, streams: Plan) -> None:
    if not streams.attached:
        return
    with video.open_input(source) as covers:
        for index in streams.attached:
            stream = covers.streams[index]
            kind, suffix = _COVERS[stream.codec_context.name]
            data = next(bytes(packet) for packet in covers.demux(stream) if packet.size)
            container.add_attachment(stream.metadata.get("filename", f"cover.{suffix}"), kind, data)


def _read_packets(
    source: InputContainer, copies: dict[int, Stream], anew: dict[int, Stream], epoch: Fraction, span: Span
) -> Iterator[_Timed]:
    wanted = [source.streams[index] for index in (*copies, *anew)]
    if not wanted:
        return
    last: dict[int, int] = {}
    paces = {
        index: _Pace(stream, span)
        for index, stream in anew.items()
        if isinstance(stream, av.AudioStream) and span.slowness != 1
    }
    packets = source.demux(wanted)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:  # the file is truncated
            packet = None
        if packet is None:
            break
        index = packet.stream.index
        if span.stop is not None and not _cut(packet, span):
            continue
        if index in paces:
            ready = paces[index].encode(packet)
        elif index in anew:
            ready = _encode(packet, anew[index])
        elif packet.dts is None and packet.pts is None and not packet.size:  # the end of the stream
            continue
        else:
            packet.stream = copies[index]
            if packet.stream.disposition & Disposition.attached_pic:
                packet.pts = packet.dts = round(epoch / packet.time_base)
            ready = [packet]
        for encoded in ready:
            if index not in paces:
                _shift(encoded, epoch)
                _slow(encoded, span.slowness)
            if encoded.stream.type in ("audio", "video"):
                _keep_order(encoded, last)
            time = encoded.pts if encoded.dts is None else encoded.dts
            yield _Timed((time or 0) * encoded.time_base, encoded)
    for index, sound in anew.items():
        if not isinstance(sound, av.AudioStream):
            continue
        for encoded in paces[index].end() if index in paces else sound.encode(None):
            if index not in paces:
                _shift(encoded, epoch)
            yield _Timed((encoded.pts or 0) * encoded.time_base, encoded)


def _cut(packet: av.Packet, span: Span) -> bool:
    """Clip a packet to a span; False if nothing of it is left.

    Subtitles are cut, so that one shown before the span is shown from its start. An audio packet belongs to the span if
    it starts within it. Packets without a time, and cover art, always belong to it.
    """
    if packet.pts is None or packet.stream.disposition & Disposition.attached_pic:
        return True
    assert span.stop is not None
    start, stop = span.start / packet.time_base, span.stop / packet.time_base
    if packet.stream.type != "subtitle" or not packet.duration:
        return start <= packet.pts < stop
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


class _Pace:
    """Re-encodes audio at another tempo and the same pitch, by FFmpeg's filter atempo."""

    def __init__(self, stream: av.AudioStream, span: Span):
        self._stream, self._span = stream, span
        self._graph: Any = None
        self._samples = 0

    def encode(self, packet: av.Packet) -> list[av.Packet]:
        try:
            frames: list[Any] = packet.decode()
        except av.FFmpegError:  # a damaged packet is a gap in the sound
            return []
        return [encoded for frame in frames for encoded in self._push(frame)]

    def end(self) -> list[av.Packet]:
        """Flush the filters and the encoder."""
        last = [] if self._graph is None else self._push(None)
        return [*last, *self._stream.encode(None)]

    def _push(self, frame: Any) -> list[av.Packet]:
        self._graph = self._graph or self._begin(frame)
        self._graph.push(frame)
        encoded = []
        for out in fields.pull(self._graph):
            out.pts, out.time_base = self._samples, Fraction(1, out.sample_rate)
            self._samples += out.samples
            encoded += self._stream.encode(out)
        return encoded

    def _begin(self, frame: Any) -> Any:
        """A filter graph for frames like the first."""
        graph = av.filter.Graph()
        ends = graph.add_abuffer(
            sample_rate=frame.sample_rate, format=frame.format.name, layout=frame.layout.name, time_base=frame.time_base
        )
        tempo = 1 / self._span.slowness
        chain = []
        while tempo < _SLOWEST:
            chain.append(_SLOWEST)
            tempo /= _SLOWEST
        filters = (graph.add("atempo", f"{float(t):.9f}") for t in [*chain, tempo])
        graph.link_nodes(ends, *filters, graph.add("abuffersink")).configure()
        late = (frame.pts or 0) * frame.time_base - self._span.start
        self._samples = round(late * self._span.slowness * frame.sample_rate)
        return graph


def _encode(packet: av.Packet, stream: Stream) -> list[av.Packet]:
    try:
        if isinstance(stream, SubtitleStream):
            return _encode_subtitles(packet, stream)
        assert isinstance(stream, av.AudioStream)
        frames: list[Any] = packet.decode()
    except av.FFmpegError:  # a damaged packet is a gap in the sound
        return []
    return [encoded for frame in frames for encoded in stream.encode(frame)]


def _encode_subtitles(packet: av.Packet, stream: SubtitleStream) -> list[av.Packet]:
    subtitles = packet.stream.codec_context.decode2(packet) if packet.size else None
    if not subtitles:
        return []
    encoded = stream.codec_context.encode_subtitle(subtitles)
    encoded.stream = stream
    encoded.time_base, encoded.duration = packet.time_base, packet.duration
    encoded.pts = encoded.dts = packet.pts
    return [encoded]


def _shift(packet: av.Packet, epoch: Fraction) -> None:
    ticks = round(epoch / packet.time_base)
    if packet.pts is not None:
        packet.pts -= ticks
    if packet.dts is not None:
        packet.dts -= ticks


def _from_zero(packets: Iterator[_Timed]) -> tuple[Iterator[_Timed], Fraction]:
    """Packets later by as much as the first is before 0, such as the first of AAC; and that duration in seconds."""
    first = next(packets, None)
    if first is None:
        return packets, Fraction(0)
    shift = max(Fraction(0), -first.time)

    def shifted() -> Iterator[_Timed]:
        for time, packet in itertools.chain([first], packets):
            _shift(packet, -shift)
            yield _Timed(time + shift, packet)

    return shifted(), shift


def _keep_order(packet: av.Packet, last: dict[int, int]) -> None:
    """Make decoding times increase where a damaged source violates this; muxers require it."""
    index = packet.stream.index
    if packet.dts is None:
        return
    if packet.dts <= last.get(index, packet.dts - 1):
        packet.dts = last[index] + 1
        packet.pts = max(packet.pts or 0, packet.dts)
    last[index] = packet.dts
