"""Mux encoded video with the other contents of its source: audio, subtitles, attachments, chapters, tags.

Packets are copied, so audio is bit-exact, and streams keep their order, except that in MXF the picture comes first.
`_util.remux_plan` determines what the output container supports. Cover art is a stream with the disposition
attached_pic; in Matroska, it is an attachment.
"""

import contextlib
import functools
import heapq
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.container import Container, InputContainer, OutputContainer
from av.stream import Stream

from _util import streams, video
from _util.errors import InputError
from _util.packets import Span, Timed, from_zero, keep_order, read_packets
from _util.sound import SilenceBetween
from _util.video import Encoding

_TICKS = 90_000  # least ticks per second in the video's time base
_MP3 = 0x55  # WAVE_FORMAT_MPEGLAYER3
_FASTSTART = (".mp4", ".mov", ".m4v")
_PICTURE_FIRST = ("mxf",)  # containers whose muxers take no other stream before it
COVERS = {"mjpeg": ("image/jpeg", "jpg"), "png": ("image/png", "png"), "webp": ("image/webp", "webp")}
COVERS |= {"gif": ("image/gif", "gif"), "bmp": ("image/bmp", "bmp")}
_ABOUT_THE_CONTAINER = {"major_brand", "minor_version", "compatible_brands", "encoder", "creation_time"}
_ABOUT_THE_PICTURES = {"rotate", "timecode", "alpha_mode"}


class Plan(NamedTuple):
    """How the other streams of a source are handled, by their index in it."""

    copied: tuple[int, ...] = ()
    encoded: tuple[int, ...] = ()
    attached: tuple[int, ...] = ()  # cover art that becomes an attachment
    notes: tuple[str, ...] = ()  # sentences for the user about what is lost, left out or re-encoded


def join(
    parts: list[Path],
    counts: list[int],
    out: Path,
    encoding: Encoding,
    source: Path | None,
    plan: Plan,
    span: Span,
) -> None:
    """Concatenate the video packets of the parts, and mux them with the source's other streams.

    Args:
        parts: files that `Writer` wrote with `encoding`.
        counts: number of frames in each part.
        out: written in place.
        plan: what `remux_plan.plan` determined for this source and container.
        span: the part of the source that the video covers.

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
        readings: list[Iterator[Timed]] = []
        start = span.start
        if source is None:
            picture = add_picture()
        else:
            original = stack.enter_context(video.open_input(source))
            epoch = span.start
            if span.stop is None:  # keep what precedes the video
                epoch = min(epoch, Fraction(original.start_time or 0, av.time_base))
            start -= epoch
            picture, copies, reencoded = _add_streams(original, container, plan, add_picture, span.stop is None)
            readings.append(read_packets(original, copies, reencoded, epoch, span))
            _attach_covers(source, container, plan)
            _copy_tags(original, container, picture, epoch, span)
        if video.has_alpha_beside(encoding):
            picture.metadata["alpha_mode"] = "1"
        container.start_encoding()
        if readings and container.format.name == "avi":  # whose muxer would round this shift up to whole frames
            readings[0], shift = from_zero(readings[0])
            start += shift
        readings.append(_video_packets(parts, ranks, picture, encoding.rate, start))
        starts, index = _mux(container, readings), picture.index
        container.close()
        if container.format.name == "avi":
            _state_starts(out, starts)
    _check_whole(out, index, sum(counts))


def _add_picture(container: OutputContainer, template: av.VideoStream, encoding: Encoding) -> av.VideoStream:
    stream = container.add_stream_from_template(template, opaque=True)
    stream.time_base = _time_base(encoding.rate, container)
    context = stream.codec_context
    context.framerate = encoding.rate
    context.sample_aspect_ratio = encoding.aspect
    if context.format is None or not context.format.is_rgb:
        tags = encoding.colour[:4]
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


def _add_streams(
    source: InputContainer,
    container: OutputContainer,
    plan: Plan,
    add_picture: Callable[[], av.VideoStream],
    is_whole: bool,
) -> tuple[av.VideoStream, dict[int, Stream], dict[int, Stream]]:
    """Add all streams, in the order of the source where the container takes it; `is_whole` if none is cut.

    Returns the video, and the copied and re-encoded streams by their index in the source.
    """
    shown = streams.shown(source).index
    picture = add_picture() if container.format.name in _PICTURE_FIRST else None
    copies, reencoded = {}, {}
    for stream in source.streams:
        if stream.index == shown:
            picture = picture or add_picture()
        elif stream.index in plan.copied:
            copies[stream.index] = streams.add_copy(container, stream, is_whole)
        elif stream.index in plan.encoded:
            reencoded[stream.index] = streams.add_reencoded(container, stream)
    assert picture is not None
    return picture, copies, reencoded


def _attach_covers(source: Path, container: OutputContainer, plan: Plan) -> None:
    if not plan.attached:
        return
    with video.open_input(source) as covers:
        for index in plan.attached:
            stream = covers.streams[index]
            kind, suffix = COVERS[stream.codec_context.name]
            data = next(bytes(packet) for packet in covers.demux(stream) if packet.size)
            container.add_attachment(stream.metadata.get("filename", f"cover.{suffix}"), kind, data)


def _copy_tags(
    source: InputContainer, container: OutputContainer, picture: av.VideoStream, epoch: Fraction, span: Span
) -> None:
    container.metadata.update(tags_of(source))
    chapters = source.chapters()
    for chapter in chapters:
        assert chapter["time_base"] is not None
        shift = round(epoch / chapter["time_base"])
        chapter["start"] -= shift
        chapter["end"] -= shift
    chapters = [chapter for chapter in chapters if _fit(chapter, span)]
    if chapters:
        container.set_chapters(chapters)
    shown = streams.shown(source)
    kept = {k: v for k, v in streams.lasting_tags(shown).items() if k.lower() not in _ABOUT_THE_PICTURES}
    picture.metadata.clear()
    picture.metadata.update(kept)
    picture.disposition = shown.disposition


def tags_of(source: InputContainer) -> dict[str, str]:
    """The tags of a file that also hold in another container."""
    return {key: value for key, value in source.metadata.items() if key.lower() not in _ABOUT_THE_CONTAINER}


def _fit(chapter: Any, span: Span) -> bool:
    """Clip a chapter, whose times count from the start of the file, to the span; False if nothing of it is left."""
    length = math.inf if span.stop is None else (span.stop - span.start) / chapter["time_base"]
    start, end = chapter["start"], chapter["end"]
    chapter["start"] = round(max(start, 0) * span.slowness)
    chapter["end"] = round(min(max(end, 0), length) * span.slowness)
    return start < length and (end > 0 or start >= 0)  # programs also write chapters without an extent


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
) -> Iterator[Timed]:
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
                yield Timed(packet.dts * time_base, packet)
        before += len(places)


def _mux(container: OutputContainer, readings: Sequence[Iterator[Timed]]) -> dict[int, Fraction]:
    """Write packets in order of decoding time. Returns when each audio stream begins, in seconds, by its number."""
    starts: dict[int, Fraction] = {}
    silence = SilenceBetween(container.streams.audio if container.format.name == "mxf" else ())
    end = Fraction(0)
    last: dict[int, int] = {}
    for time, packet in heapq.merge(*readings, key=lambda timed: timed.time):
        if packet.stream.type in ("audio", "video") and not keep_order(packet, last):
            continue
        if packet.stream.type == "audio":
            starts.setdefault(packet.stream.index, time)
        elif packet.pts is not None:
            end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        container.mux(list(silence.before(time, packet)))
        container.mux(packet)
    container.mux(list(silence.until(end)))
    return starts


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
                (kind,) = struct.unpack_from("<H", header, header.index(b"strf", at) + 8)  # wFormatTag of sound
                if kind == _MP3:  # by whose dwSampleSize FFmpeg's demuxer would multiply dwStart
                    file.seek(at + 52)
                    file.write(struct.pack("<I", 0))


def _check_whole(out: Path, index: int, count: int) -> None:
    """Raise InputError unless stream `index` of a file has `count` frames."""
    try:
        with av.open(out.absolute()) as written:
            found = sum(packet.size > 0 for packet in written.demux(written.streams[index]))
    except (av.FFmpegError, IndexError):
        found = 0
    if found != count:
        raise InputError(f"{out} cannot be written whole; make room or choose another place.")
