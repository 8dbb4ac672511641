"""Silence where raw sound has gaps: as many samples as are missing, and none where times are merely rounded."""

from collections.abc import Iterator
from fractions import Fraction

import av
import pytest

from _util.sound import SilenceBetween

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
