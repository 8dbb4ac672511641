"""How the contents of a source are kept beside new video: what is copied, re-encoded or left out.

`plan` determines this beforehand, by trial muxing: for each stream, it writes the start of a file with the video and
that stream. Audio and text subtitles that the container does not support are re-encoded; all else is left out and
reported.
"""

import contextlib
import functools
import itertools
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.codec import CodecContext
from av.container import InputContainer
from av.stream import Discard, Disposition, Stream

from _util import remux, streams, video
from _util.counts import listed
from _util.errors import InputError
from _util.packets import STATES_NO_GAPS, Span, keep_order, shift
from _util.remux import Plan
from _util.sound import bytes_of_sample, silence
from _util.video import Encoding

_PART_SUFFIXES = (".nut", ".mkv", ".mov")  # NUT cannot store alpha beside a stream, nor the place of chroma
_TRIAL_FRAMES = 6  # frames
_BLANK_SAMPLES = 8192  # that encoders are tried with
_TRIED, _LOOKED_THROUGH = 8, 500  # packets tried per stream, and packets searched for them
_LATE = Fraction(1, 20)  # seconds by which sound or video may be late without a note
_UNKNOWN = "und"  # language
_TAGGED = ("video", "audio", "subtitle")
_FLAGS = {  # that players show, or select streams by
    "forced flag": Disposition.forced,
    "comment flag": Disposition.comment,
    "hearing-impaired flag": Disposition.hearing_impaired,
    "visual-impaired flag": Disposition.visual_impaired,
}
_HAS_COVERS = ("mp4", "ipod")  # as streams; Matroska as attachments
# The codecs that can be played from MPEG's transport and program streams, whose muxers accept others too, and from FLV,
# whose muxer aborts the process on some others.
_PROGRAM_STREAM = {
    "video": {"mpeg1video", "mpeg2video", "h264", "hevc"},
    "audio": {"mp2", "mp3", "ac3", "dts", "pcm_s16be", "pcm_dvd"},
    "subtitle": {"dvd_subtitle"},
}
_PLAYED = {
    **dict.fromkeys(("mpeg", "svcd", "vob"), _PROGRAM_STREAM),
    "mpegts": {
        "video": {"mpeg1video", "mpeg2video", "mpeg4", "h264", "hevc", "vvc", "cavs", "dirac", "vc1"},
        "audio": {"mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "truehd", "opus", "s302m"},
        "subtitle": {"dvb_subtitle", "dvb_teletext"},
    },
    "flv": {"video": {"flv1", "h264", "hevc", "vp9", "av1"}, "audio": {"aac", "mp3"}},
}


def plan(source: Path | None, out: Path, encoding: Encoding, span: Span) -> Plan:
    """Determine which other streams of `source` can be muxed into `out` beside video of this encoding.

    Args:
        span: the part of the source that the video covers, as far as it is known. If it is slowed, audio is re-encoded.

    Raises:
        InputError: the container is unknown or does not support the video, or the source cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / out.name
        lost = _trial_mux(trial, encoding, source)
        if source is None:
            return Plan(notes=lost)
        examined = _examined(source, trial, encoding, span)
    kept = {
        handling: tuple(index for index, one in examined.final.items() if one == handling)
        for handling in set(examined.final.values())
        if handling
    }
    return Plan(**kept, notes=(*lost, *_notes(examined, out, span)))


class _ExaminedStreams(NamedTuple):
    """What trials show of the streams beside the video, by stream index."""

    names: dict[int, str]
    handlings: dict[int, str | None]  # fields of `Plan`, by what the container supports; None: left out
    gapped: list[int]  # copied sound that has to be re-encoded, as the container does not hold its gaps
    keyframes: dict[int, Fraction | None]  # the first in the part, in seconds, of what is copied; None: left out
    lost_tags: dict[int, list[str]]

    @property
    def cut_off(self) -> list[int]:
        return [index for index, time in self.keyframes.items() if time is None]

    @property
    def final(self) -> dict[int, str | None]:
        """`handlings` with regard to gaps and keyframes."""
        return {**self.handlings, **dict.fromkeys(self.gapped, "encoded"), **dict.fromkeys(self.cut_off)}


def _examined(source: Path, trial: Path, encoding: Encoding, span: Span) -> _ExaminedStreams:
    lost_tags: dict[int, list[str]] = {}
    with video.open_input(source) as container, video.open_output(trial) as empty:
        packets = _first_packets(container)

        def can_begin(stream: Stream, anew: bool = False) -> bool:
            fits = _can_begin(trial, encoding, stream, packets.get(stream.index, ()), anew=anew)
            if fits:
                lost_tags[stream.index] = _lost_in_trial(stream, trial)
            return fits

        kind, others, keeps_pace = empty.format.name, _others(container), span.slowness == 1
        names = {stream.index: _description(stream) for stream in others}
        handlings = {one.index: _handling(one, kind, functools.partial(can_begin, one), keeps_pace) for one in others}
        gapped: list[int] = []
        if kind in STATES_NO_GAPS:
            copied = [one.index for one in others if one.type == "audio" and handlings[one.index] == "copied"]
            gapped = [i for i in _with_gaps(source, copied, span) if can_begin(container.streams[i], anew=True)]
        copied = [one.index for one in others if streams.is_moving(one) and handlings[one.index] == "copied"]
        return _ExaminedStreams(names, handlings, gapped, _first_keyframes(source, copied, span), lost_tags)


def _notes(examined: _ExaminedStreams, out: Path, span: Span) -> list[str]:
    """Sentences about streams that are left out, re-encoded or late, and about what is lost of others."""

    def named(indices: Iterable[int]) -> str:
        return ", ".join(examined.names[index] for index in indices)

    notes, keeps_pace = [], span.slowness == 1
    encoded = [index for index, one in examined.handlings.items() if one == "encoded"]
    left_out = [index for index, one in examined.handlings.items() if one is None]
    if encoded and keeps_pace:
        notes.append(f"{out.suffix} does not hold {named(encoded)} as it is: re-encoded.")
    if left_out:
        notes.append(f"{out.suffix} does not hold {named(left_out)}: left out.")
    if encoded and not keeps_pace:
        notes.append(f"{named(encoded)} is re-encoded, sound {float(span.slowness):g} times as long at the same pitch.")
    if examined.gapped:
        gapped = named(examined.gapped)
        notes.append(f"{out.suffix} does not hold the gaps in {gapped}: re-encoded with silence in them.")
    if examined.cut_off:
        notes.append(f"{named(examined.cut_off)} has no keyframe in the part to cut it at: left out.")
    for index, time in examined.keyframes.items():
        if time is not None and time - span.start > _LATE:
            late = float((time - span.start) * span.slowness)
            notes.append(f"{examined.names[index]} begins {late:.2f} s late, at its first keyframe in the part.")
    with_loss: dict[str, list[int]] = {}
    for index, tags in examined.lost_tags.items():
        if tags and examined.final[index] in ("copied", "encoded"):
            with_loss.setdefault(", ".join(tags), []).append(index)
    return notes + [f"{out.suffix} does not hold {tags} of {named(of)}: left out." for tags, of in with_loss.items()]


def _lost_in_trial(stream: Stream, trial: Path) -> list[str]:
    """What a file with a copy of a stream behind the picture does not tell of it, as `_lost_tags` names it."""
    with contextlib.suppress(av.FFmpegError), av.open(trial) as container:
        copies = [one for one in container.streams if one.type == stream.type]
        if not copies or (stream.type == "video" and len(copies) < 2) or stream.type not in _TAGGED:
            return []
        return _lost_tags(stream, copies[-1])
    return []  # such as of MXF, which cannot be read without pictures


def _lost_tags(stream: Stream, copy: Stream) -> list[str]:
    """What a copy of a stream does not tell of it: "language", "title", and names of flags."""
    named = [tag for tag in ("language", "title") if stream.metadata.get(tag, _UNKNOWN) != _UNKNOWN]
    lost = [tag for tag in named if copy.metadata.get(tag) != stream.metadata[tag]]
    missing = stream.disposition & ~copy.disposition
    return [*lost, *(name for name, flag in _FLAGS.items() if missing & flag)]


def _with_gaps(source: Path, indices: Sequence[int], span: Span) -> list[int]:
    """Those streams of sound in which packets do not follow each other without gaps, in a part of the source."""
    ends: dict[int, Fraction] = {}  # of the packet before, in seconds
    found = set()
    for packet in _packets_of(source, indices, span):
        start = packet.pts * packet.time_base
        if abs(start - ends.pop(packet.stream.index, start)) > _LATE:
            found.add(packet.stream.index)
        if packet.duration:
            ends[packet.stream.index] = start + min(packet.duration * packet.time_base, _length(packet))
    return sorted(found)


def _length(packet: av.Packet) -> Fraction | float:
    """The duration of the sound in a packet in seconds; infinity if it depends on more than codec and size.

    In MP4, the stated duration of a packet includes the gap after it.
    """
    stream = packet.stream
    assert isinstance(stream, av.AudioStream)
    samples = stream.codec_context.frame_size
    if stream.codec_context.name.startswith("pcm_"):
        samples = packet.size // bytes_of_sample(stream)
    return Fraction(samples, stream.rate) if samples > 0 else math.inf


def _first_keyframes(source: Path, indices: Sequence[int], span: Span) -> dict[int, Fraction | None]:
    """The times in seconds of the first keyframes of streams in a part of the source; empty if it is whole."""
    if span.stop is None:
        return {}
    found: dict[int, Fraction | None] = dict.fromkeys(indices)
    for packet in _packets_of(source, indices, span):
        if packet.is_keyframe and found[packet.stream.index] is None:
            found[packet.stream.index] = packet.pts * packet.time_base
            if None not in found.values():
                break
    return found


def _packets_of(source: Path, indices: Sequence[int], span: Span) -> Iterator[Any]:
    """The packets of streams that have times, in a part of the source."""
    if not indices:
        return
    stop = math.inf if span.stop is None else span.stop
    with video.open_input(source) as container, contextlib.suppress(av.FFmpegError):  # a damaged file ends there
        for packet in container.demux([container.streams[index] for index in indices]):
            if packet.pts is None or (span.stop is not None and packet.pts * packet.time_base < span.start):
                continue
            if packet.pts * packet.time_base < stop:
                yield packet


def _trial_mux(out: Path, encoding: Encoding, source: Path | None) -> tuple[str, ...]:
    """Write a short video of this encoding, with the tags and chapters of a source, and read it back.

    Returns:
        Sentences about what the container does not keep.

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
    folder = out.parent / "parts"
    folder.mkdir()
    part = folder / f"part{part_suffix(encoding)}"
    with video.Writer(part, encoding) as writer:
        for _ in range(_TRIAL_FRAMES):
            writer.write(np.zeros((*encoding.size, 3), np.uint16 if encoding.deep else np.uint8))
    try:
        remux.join([part], [_TRIAL_FRAMES], out, encoding, source, Plan(), Span(Fraction(0)))
        aspect = video.Reader(out).aspect
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
    if source is not None:
        lost += _lost_beside_frames(source, out)
    return tuple(lost)


def _lost_beside_frames(source: Path, trial: Path) -> list[str]:
    """Sentences about chapters, and about tags of a source and of its picture, that a file does not keep."""
    with video.open_input(source) as container, video.open_input(trial) as copy:
        shown, held = streams.shown(container), {key.lower() for key in copy.metadata}
        tags = [key for key in remux.tags_of(container) if key.lower() not in held]
        lost = []
        if container.chapters() and not copy.chapters():
            lost.append("chapters")
        if of_picture := _lost_tags(shown, streams.shown(copy)):
            lost.append(f"{', '.join(of_picture)} of {_description(shown)}")
        if tags:
            lost.append(f"the {'tag' if len(tags) == 1 else 'tags'} {listed(tags)} of {source.name}")
    return [f"{trial.suffix} does not hold {one}: left out." for one in lost]


def _handling(stream: Stream, kind: str, can_begin: Callable[..., bool], keeps_pace: bool) -> str | None:
    """The field of `Plan` that a stream belongs to, in the container that FFmpeg names `kind`; None: it is left out."""
    if stream.type == "audio" and not keeps_pace:
        return "encoded" if streams.is_convertible(stream) and can_begin(anew=True) else None
    if streams.is_cover(stream):
        if kind == "matroska" and stream.codec_context.name in remux.COVERS:
            return "attached"
        return "copied" if kind in _HAS_COVERS and can_begin() else None
    is_dropped = stream.type == "data" or (stream.type == "attachment" and kind != "matroska")
    if not is_dropped and _plays(stream.type, stream.codec_context, kind) and can_begin():
        return "copied"
    return "encoded" if streams.is_convertible(stream) and can_begin(anew=True) else None


def _plays(kind_of_stream: str, context: CodecContext | None, kind: str) -> bool:
    """Whether a stream that the container accepts can be played from it."""
    if kind not in _PLAYED:
        return True
    return context is not None and context.codec.canonical_name in _PLAYED[kind].get(kind_of_stream, ())


def part_suffix(encoding: Encoding) -> str:
    """The suffix for parts that `join` concatenates: that of a container which supports the encoding."""
    with tempfile.TemporaryDirectory() as folder:
        suffixes = _PART_SUFFIXES[1:] if video.has_alpha_beside(encoding) else _PART_SUFFIXES
        fitting = [suffix for suffix in suffixes if _can_begin(Path(folder) / f"trial{suffix}", encoding)]
    fitting.sort(key=lambda suffix: video.loses_place_of_chroma(encoding, suffix))
    return next(iter(fitting), _PART_SUFFIXES[0])


def has_others(source: Path) -> bool:
    """Whether a source has streams beside the video that is shown."""
    try:
        with video.open_input(source) as container:
            return bool(_others(container))
    except av.FFmpegError:  # such as of animated WebP
        return False


def _others(container: InputContainer) -> list[Stream]:
    """All streams but the shown video, without the one in which MP4 duplicates its chapters, which FFmpeg discards."""
    shown = streams.shown(container)
    return [s for s in container.streams if s is not shown and not (s.type == "data" and s.discard == Discard.all)]


def _description(stream: Stream) -> str:
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
            raise ValueError("players do not read this codec from it")
        added = stream and (streams.add_reencoded if anew else streams.add_copy)(container, stream)
        container.start_encoding()
        if added is None:
            return
        if anew:
            with contextlib.suppress(av.FFmpegError):  # such as of MXF, which needs pictures as well
                container.mux(_blank(added))
            return
        last: dict[int, int] = {}
        start = next((packet.dts for packet in packets if packet.dts is not None), 0)
        for packet in packets:
            packet.stream = added
            shift(packet, start * packet.time_base)
            if keep_order(packet, last):
                container.mux(packet)
        container.close()


def _blank(stream: Stream) -> list[av.Packet]:
    """Packets of silence, or of an empty subtitle, for a stream that is re-encoded."""
    if isinstance(stream, av.AudioStream):
        frame = silence(stream.format.name, stream.layout.name, stream.rate, _BLANK_SAMPLES)
        frame.pts = 0
        return [*stream.encode(frame), *stream.encode(None)]
    packet = av.Packet(bytes(2))
    packet.stream, packet.time_base, packet.duration = stream, Fraction(1, 1000), 1
    packet.pts = packet.dts = 0
    return [packet]


def _can_begin(path: Path, encoding: Encoding, *others: Any, anew: bool = False) -> bool:
    """Whether `_begin` can write such a file."""
    try:
        _begin(path, encoding, *others, anew=anew)
    except (av.FFmpegError, ValueError):
        return False
    return True
