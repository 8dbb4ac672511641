"""Streams of an output file: copies of a source's streams, and streams that re-encode them.

source's stream  ─add_copy, add_reencoded─▶  stream of the output, with its tags and disposition
"""

from fractions import Fraction
from typing import Any

import av
from av.codec import CodecContext
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream
from av.subtitles.stream import SubtitleStream

from _util import decoding

# Encoders by container; others use FFmpeg's default.
_SOUND = {"webm": "libopus", "mpeg": "mp2", "svcd": "mp2", "vob": "mp2"}
_DEFAULT_SOUND = "aac"  # replaces mp2 and mp3 as the container's default
_RATES = {"mxf": 48_000}  # the only ones that a muxer takes
_BIT_RATES = {"wmav2": 128_000}  # for encoders without a default
_SUBTITLES = {"webm": "webvtt", "mp4": "mov_text", "mov": "mov_text"}
_ABOUT_THE_PACKETS = {"encoder", "duration", "bps", "number_of_frames", "number_of_bytes"}
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}  # by channels


def shown(source: InputContainer) -> Stream:
    """The stream that a player would show; `video.Reader` has made sure that there is one."""
    stream = decoding.shown(source)
    assert stream is not None
    return stream


def is_cover(stream: Stream) -> bool:
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


def is_moving(stream: Stream) -> bool:
    """Whether the stream is video other than cover art."""
    return stream.type == "video" and not is_cover(stream)


def is_convertible(stream: Stream) -> bool:
    """Whether the stream can be re-encoded: audio, and text subtitles (not bitmap ones)."""
    context = stream.codec_context
    return context is not None and (stream.type == "audio" or (stream.type == "subtitle" and context.codec.text_sub))


def lasting_tags(stream: Stream) -> dict[str, str]:
    """The tags of a stream that also hold where it is cut or re-encoded: without mkvmerge's statistics, for example."""

    def is_about_packets(key: str) -> bool:
        return key.startswith("_") or key.lower().split("-")[0] in _ABOUT_THE_PACKETS  # also with a language: BPS-eng

    return {key: value for key, value in stream.metadata.items() if not is_about_packets(key)}


def add_copy(container: OutputContainer, stream: Stream, is_whole: bool = True) -> Stream:
    """Add a stream for unchanged packets of `stream`, all of them or not, with its tags and disposition."""
    copy = container.add_stream_from_template(stream, opaque=True)
    copy.metadata.update(stream.metadata if is_whole else lasting_tags(stream))
    copy.disposition = stream.disposition
    return copy


def add_reencoded(container: OutputContainer, stream: Stream) -> Stream:
    """Add a stream that re-encodes `stream` with a codec of the container.

    Raises:
        ValueError or av.FFmpegError: the container has no such codec.
    """
    name = container.format.name
    if isinstance(stream, av.AudioStream):
        usual = container.default_audio_codec
        codec = _SOUND.get(name, _DEFAULT_SOUND if usual in ("mp2", "mp3") else usual)
        anew = container.add_stream(codec, rate=_RATES.get(name, _rate(codec, stream.rate)))
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
    anew.metadata.update(lasting_tags(stream))
    anew.disposition = stream.disposition
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
