"""Sound of an output: silence in gaps, and what changes on the way."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from _util.sound import ReencodedSound, SilenceBetween

RATE, SAMPLES = 48_000, 1024
LENGTH = Fraction(SAMPLES, RATE)  # of a packet, in seconds


@pytest.fixture
def container(tmp_path) -> Iterator[av.container.OutputContainer]:
    with av.open(tmp_path / "out.mov", "w") as container:
        yield container


def sound(container: av.container.OutputContainer, codec: str = "pcm_s16le") -> av.AudioStream:
    return container.add_stream(codec, rate=RATE, layout="stereo")


def packet(stream: av.AudioStream, bytes_a_sample: int = 4) -> av.Packet:
    made = av.Packet(b"\1" * SAMPLES * bytes_a_sample)
    made.stream = stream
    return made


def samples(packets: Iterator[av.Packet], bytes_a_sample: int = 4) -> list[int]:
    packets = list(packets)
    assert all(not any(bytes(one)) for one in packets)
    return [one.size // bytes_a_sample for one in packets]


def test_gaps_are_filled_exactly_and_rounded_times_are_not(container):
    stream = sound(container)
    silence = SilenceBetween([stream])
    assert samples(silence.before(Fraction(1, 100), packet(stream))) == [480]  # also a short one, at the start
    for i in range(1, 50):
        time = Fraction(round((Fraction(1, 100) + i * LENGTH) * 1000), 1000)  # as Matroska rounds it
        assert samples(silence.before(time, packet(stream))) == []
    end = Fraction(1, 100) + 50 * LENGTH
    assert samples(silence.before(end + Fraction(5, 2), packet(stream))) == [RATE, RATE, RATE // 2]
    assert samples(silence.until(end + LENGTH + Fraction(5, 2))) == []
    assert samples(silence.until(end + LENGTH + 3)) == [RATE // 2]


def test_a_stream_without_sound_is_silent_meanwhile(container):
    picture, stream = container.add_stream("mpeg2video", rate=25), sound(container, "pcm_s24le")
    silence = SilenceBetween([stream])
    of_picture = av.Packet(b"1")
    of_picture.stream = picture
    assert samples(silence.before(Fraction(1), of_picture), 6) == []  # its sound may follow
    assert samples(silence.before(Fraction(3), of_picture), 6) == [RATE, RATE]
    assert samples(silence.before(Fraction(2), packet(stream, 6)), 6) == []
    assert samples(silence.until(Fraction(3)), 6) == [RATE - SAMPLES]


def write_tones(path: Path, times: list[int], layout: str = "stereo", rate: int = RATE) -> Path:
    """A second of a tone at each of these seconds, and nothing between them."""
    tone = (8000 * np.sin(np.arange(rate) * 2 * np.pi * 440 / rate)).astype(np.int16)
    channels = 2 if layout == "stereo" else 1
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        for time in times:
            for i in range(0, rate, rate // 10):
                part = tone[i : i + rate // 10].repeat(channels)[None]
                frame = av.AudioFrame.from_ndarray(part, "s16", layout)
                frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), time * rate + i
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def reencoded(sources: list[Path], out: Path, slowness: Fraction | int) -> np.ndarray:
    """The samples (n,) of the left channel that sources give one after the other."""
    with av.open(out, "w") as container:
        made = container.add_stream("pcm_s16le", rate=RATE, layout="stereo")
        sound = ReencodedSound(made, Fraction(0), Fraction(slowness), False)
        for source in sources:
            with av.open(source) as opened:
                for packet in opened.demux():
                    container.mux(sound.convert(packet))
        container.mux(sound.end())
    with av.open(out) as opened:
        return np.concatenate([frame.to_ndarray()[0, ::2] for frame in opened.decode(audio=0)])


def test_a_gap_of_slowed_sound_is_silent_for_as_long(tmp_path):
    source = write_tones(tmp_path / "in.mkv", [0, 3])
    left = np.abs(reencoded([source], tmp_path / "out.nut", 2).astype(int))
    loud = np.flatnonzero(left > 2000) / RATE
    assert loud[loud < 4].max() == pytest.approx(2, abs=0.1)
    assert loud[loud > 4].min() == pytest.approx(6, abs=0.1)


def test_sound_of_any_tempo(tmp_path):
    source = write_tones(tmp_path / "in.mkv", list(range(20)))
    left = reencoded([source], tmp_path / "out.nut", Fraction(1, 200))
    assert len(left) / RATE == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("slowness", [1, 2])
def test_sound_that_changes_is_converted_to_what_it_begins_with(tmp_path, slowness):
    stereo = write_tones(tmp_path / "stereo.mkv", [0])
    mono = write_tones(tmp_path / "mono.mkv", [1], "mono", 44_100)
    left = reencoded([stereo, mono], tmp_path / "out.nut", slowness)
    assert len(left) / RATE == pytest.approx(2 * slowness, abs=0.1)
    assert np.abs(left[-RATE // 2 : -RATE // 4].astype(int)).max() > 4000
