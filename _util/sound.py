"""Sound of an output file: re-encoded, slowed at the same pitch, and silence where a container needs sound."""

import math
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np

from _util import interlacing

_SLOWEST, _FASTEST = Fraction(1, 2), Fraction(100)  # the tempos of one atempo filter
_ROUNDING = Fraction(1, 50)  # seconds by which times of packets may be off without a gap between them
_LATEST = Fraction(1)  # seconds by which sound may follow pictures in a source


class ReencodedSound:
    """Re-encodes audio; at another tempo by FFmpeg's filter atempo, which keeps the pitch.

    Sound whose format, channels or rate change is converted to those it begins with.

    Args:
        stream: of the output.
        start: seconds of the source's clock at which the output starts, if it is slowed.
        slowness: factor by which the duration grows.
        is_cut: whether sound before `start` is left out.
        fills_gaps: whether gaps become silence, as the container states no times; those of slowed sound always do.
    """

    preroll = Fraction(1, 2)  # seconds; decoders begin with a gap

    def __init__(
        self, stream: av.AudioStream, start: Fraction, slowness: Fraction, is_cut: bool, fills_gaps: bool = False
    ):
        self._stream, self._start, self._slowness, self._is_cut = stream, start, slowness, is_cut
        self.keeps_times = slowness == 1  # packets have the source's times
        self._uniform = _UniformSound()
        self._fills_gaps = fills_gaps or not self.keeps_times
        self._graph: Any = None
        self._heard: Fraction | None = None  # end of what was converted, by the source's clock
        self._samples = 0

    def convert(self, packet: av.Packet) -> list[av.Packet]:
        frames = self._uniform.convert(_decode(packet))
        if self._is_cut:
            frames = [shown for frame in frames if (shown := _from(frame, self._start))]
        return [encoded for frame in self._filled(frames) for encoded in self._encode(frame)]

    def end(self) -> list[av.Packet]:
        """Flush the filters and the encoder."""
        last = [encoded for frame in self._uniform.end() for encoded in self._encode(frame)]
        last += [] if self._graph is None else self._slowed(None)
        return [*last, *self._stream.encode(None)]

    def _encode(self, frame: Any) -> list[av.Packet]:
        return self._stream.encode(frame) if self.keeps_times else self._slowed(frame)

    def _filled(self, frames: Iterable[Any]) -> Iterator[Any]:
        """Frames with silence in the gaps between them, if it is wanted."""
        for frame in frames:
            start = self._heard if frame.pts is None else frame.pts * frame.time_base
            if start is not None:
                if self._fills_gaps and self._heard is not None and start - self._heard > _ROUNDING:
                    yield from _silences(frame, round((start - self._heard) * frame.sample_rate), self._heard)
                self._heard = start + Fraction(frame.samples, frame.sample_rate)
            yield frame

    def _slowed(self, frame: Any) -> list[av.Packet]:
        if self._graph is None:
            self._graph, lost = self._begin(frame)
            for silence in _silences(frame, lost):
                self._graph.push(silence)
        self._graph.push(frame)
        encoded = []
        for out in interlacing.pull(self._graph):
            out.pts, out.time_base = self._samples, Fraction(1, out.sample_rate)
            self._samples += out.samples
            encoded += self._stream.encode(out)
        return encoded

    def _begin(self, frame: Any) -> tuple[Any, int]:
        """A filter graph for frames like the first, and the number of samples that it drops before what it returns."""
        graph = av.filter.Graph()
        ends = graph.add_abuffer(
            sample_rate=frame.sample_rate, format=frame.format.name, layout=frame.layout.name, time_base=frame.time_base
        )
        tempo = 1 / self._slowness
        chain = []
        while tempo < _SLOWEST:
            chain.append(_SLOWEST)
            tempo /= _SLOWEST
        while tempo > _FASTEST:
            chain.append(_FASTEST)
            tempo /= _FASTEST
        filters = (graph.add("atempo", f"{float(t):.9f}") for t in [*chain, tempo])
        graph.link_nodes(ends, *filters, graph.add("abuffersink")).configure()
        late = (frame.pts or 0) * frame.time_base - self._start
        self._samples = round(late * self._slowness * frame.sample_rate)
        return graph, _dropped([*chain, tempo], frame.sample_rate)


class _UniformSound:
    """Converts frames to the format, layout and rate of the first."""

    def __init__(self):
        self._first: tuple[str, str, int] | None = None
        self._last: tuple[str, str, int] | None = None
        self._resampler: Any = None  # of the last kind, if it is not the first

    def convert(self, frames: Iterable[Any]) -> list[Any]:
        found = []
        for frame in frames:
            kind = frame.format.name, frame.layout.name, frame.sample_rate
            self._first = self._first or kind
            if kind != self._last:
                found += self.end()
                self._last = kind
                self._resampler = None if kind == self._first else av.AudioResampler(*self._first)
            found += [frame] if self._resampler is None else self._resampler.resample(frame)
        return found

    def end(self) -> list[Any]:
        """What is still to come of the last kind."""
        return [] if self._resampler is None else self._resampler.resample(None)


def _decode(packet: av.Packet) -> list[Any]:
    """The frames of audio in a packet; a damaged packet is a gap in the sound."""
    try:
        return packet.decode()
    except av.FFmpegError:
        return []


def _dropped(tempos: Iterable[Fraction], rate: int) -> int:
    """How many samples filters atempo, one after the other, drop at the start: each 1/4 of its window of input."""
    window = 2 ** math.ceil(math.log2(rate / 24))  # as FFmpeg chooses it
    samples, passed = Fraction(0), Fraction(1)
    for tempo in tempos:
        samples += Fraction(window, 4) * passed
        passed *= tempo
    return round(samples)


def _from(frame: Any, start: Fraction) -> Any:
    """The part of a frame of sound from `start` seconds on; None if it ends before."""
    if frame.pts is None:
        return frame
    skipped = math.ceil((start - frame.pts * frame.time_base) * frame.sample_rate)
    if skipped <= 0:
        return frame
    if skipped >= frame.samples:
        return None
    values = skipped * (1 if frame.format.is_planar else len(frame.layout.channels))
    samples = np.ascontiguousarray(frame.to_ndarray()[:, values:])
    shown = av.AudioFrame.from_ndarray(samples, frame.format.name, frame.layout.name)
    shown.sample_rate, shown.time_base = frame.sample_rate, frame.time_base
    shown.pts = frame.pts + round(Fraction(skipped, frame.sample_rate) / frame.time_base)
    return shown


def _silences(like: Any, samples: int, start: Fraction = Fraction(0)) -> Iterator[Any]:
    """Frames of as many samples of silence altogether, from `start` seconds on."""
    for first in range(0, samples, like.sample_rate):
        count = min(samples - first, like.sample_rate)
        frame = silence(like.format.name, like.layout.name, like.sample_rate, count)
        frame.time_base = like.time_base
        frame.pts = round((start + Fraction(first, like.sample_rate)) / like.time_base)
        yield frame


def silence(name: str, layout: str, rate: int, samples: int) -> Any:
    """A frame of silence in a sample format and layout that FFmpeg names so; in ticks of one sample."""
    frame = av.AudioFrame(name, layout, samples)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    for plane in frame.planes:
        plane.update((b"\x80" if name.startswith("u8") else b"\0") * plane.buffer_size)
    return frame


class SilenceBetween:
    """Fills the gaps of raw sound with silence, for containers without times, whose muxers put samples after samples.

    Args:
        sounds: the streams of PCM.
    """

    def __init__(self, sounds: Iterable[av.AudioStream]):
        self._written = dict.fromkeys(sounds, Fraction(0))  # seconds

    def before(self, time: Fraction, packet: av.Packet) -> Iterator[av.Packet]:
        """Silence that goes before a packet at a time in seconds; of other streams, what is missing by then."""
        if packet.stream in self._written:
            missing = time - self._written[packet.stream]
            if missing > _ROUNDING or not self._written[packet.stream]:
                yield from self._until(packet.stream, time)
            self._written[packet.stream] += Fraction(packet.size // bytes_of_sample(packet.stream), packet.stream.rate)
        else:
            yield from self.until(time - _LATEST)

    def until(self, time: Fraction) -> Iterator[av.Packet]:
        """Silence for all streams up to a time."""
        for stream in self._written:
            yield from self._until(stream, time)

    def _until(self, stream: av.AudioStream, time: Fraction) -> Iterator[av.Packet]:
        samples = round((time - self._written[stream]) * stream.rate)
        while samples > 0:
            count = min(samples, stream.rate)
            packet = av.Packet(bytes(count * bytes_of_sample(stream)))
            packet.stream, packet.time_base = stream, Fraction(1, stream.rate)
            packet.pts = packet.dts = round(self._written[stream] * stream.rate)
            packet.duration = count
            self._written[stream] += Fraction(count, stream.rate)
            samples -= count
            yield packet


def bytes_of_sample(stream: av.AudioStream) -> int:
    """Bytes of one sample of all channels, of PCM."""
    bits = re.match(r"pcm_[a-z]+(\d+)", stream.codec_context.name)  # A-law and μ-law name none, and have 8
    return (int(bits[1]) if bits else 8) // 8 * stream.channels
