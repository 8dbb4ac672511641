"""A part of a video: from when to when, which area, at which size, how slowly, and in step with its sound."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from _scripts import interpolate_video as script
from _train.frame_interpolation.video import excerpt
from _train.frame_interpolation.video.excerpt import Area, Excerpt, ExcerptReader, Scale
from _util import image
from _util.errors import InputError
from _util.video import Encoding, Reader, Writer

SIMPLE = ("--flow", "dis", "--synthesis", "splat", "--device", "cpu")
H, W, RATE = 32, 64, 24
SOUND = 48_000


@pytest.fixture
def run(call, tmp_path, monkeypatch) -> Callable[..., Path]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments, out: str = "out.mkv") -> Path:
        finished = call(script.main, "clip.mkv", out, *arguments, *SIMPLE)
        assert finished.code == 0, finished.said
        return tmp_path / out

    return run


def picture(i: int) -> np.ndarray:
    """(H, W, 3): a wave that has moved 4 i pixels, over a grey that tells i."""
    wave = 20 * np.sin((np.arange(W) - 4 * i) * 2 * np.pi / 16)
    return np.repeat(np.repeat((100 + wave)[None, :, None], H, 0), 3, 2).round().astype(np.uint8)


@pytest.fixture
def clip(tmp_path) -> Path:
    """Two seconds: a beep of 880 Hz from 1 to 1.25 s, in chapters of a second."""
    return write_clip(tmp_path / "clip.mkv", (1, 1.25))


def write_clip(
    path: Path,
    beep: tuple[float, float],
    sound: tuple[float, float] = (0, 2),
    codec: str = "pcm_s16le",
    rate: int = SOUND,
) -> Path:
    """Write two seconds of pictures, a beep of 880 Hz from when to when, and when there is sound at all."""
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = H, W, "bgr0"
        of_sound = container.add_stream(codec, rate=rate, layout="mono")
        container.set_chapters(
            [
                {"id": i + 1, "start": 1000 * i, "end": 1000 * (i + 1), "time_base": Fraction(1, 1000), "metadata": {}}
                for i in range(2)
            ]
        )
        t = np.arange(2 * rate) / rate
        wave = np.where((t >= beep[0]) & (t < beep[1]), 12_000 * np.sin(2 * np.pi * 880 * t), 0).astype(np.int16)
        for i in range(2 * RATE):
            frame = av.VideoFrame.from_ndarray(picture(i), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, RATE)
            container.mux(stream.encode(frame))
            if sound[0] <= i / RATE < sound[1]:
                samples = wave[None, i * rate // RATE : (i + 1) * rate // RATE]
                piece = av.AudioFrame.from_ndarray(samples, layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = rate, i * rate // RATE, Fraction(1, rate)
                container.mux(of_sound.encode(piece))
        container.mux(stream.encode(None))
        container.mux(of_sound.encode(None))
    return path


def heard(path: Path) -> tuple[np.ndarray, float]:
    """Samples in [-1, 1] of the sound, and the seconds at which it begins."""
    pieces, start = [], None
    with av.open(path) as container:
        resampler = av.AudioResampler("fltp", "mono", SOUND)
        for frame in container.decode(audio=0):
            start = float(frame.time) if start is None else start
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    return np.concatenate(pieces), start


def beep(path: Path) -> tuple[float, float, float]:
    """When the beep begins and ends, in seconds, and its frequency in Hz."""
    samples, start = heard(path)
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    first, last = loud[0], loud[-1]
    within = samples[first + 1000 : last - 1000]
    frequency = np.abs(np.fft.rfft(within * np.hanning(len(within)))).argmax() * SOUND / len(within)
    return start + first / SOUND, start + last / SOUND, frequency


def test_from_and_to_keep_sound_and_chapters_in_step(run, clip):
    out = run("--from", "0.5", "--to", "0:01.5", "--codec", "ffv1")
    frames = list(Reader(out))
    assert len(frames) == 48
    np.testing.assert_array_equal(frames[0].pixels, picture(12))
    np.testing.assert_array_equal(frames[-2].pixels, picture(35))
    first, last, frequency = beep(out)
    assert abs(first - 0.5) < 0.05
    assert abs(last - 0.75) < 0.05
    assert abs(frequency - 880) < 8
    samples, _ = heard(out)
    assert abs(len(samples) / SOUND - 1) < 0.06
    with av.open(out) as container:
        assert [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in container.chapters()] == [
            (0, Fraction(1, 2)),
            (Fraction(1, 2), 1),
        ]


@pytest.mark.parametrize("slowness", [2, 5])
def test_slow_motion_keeps_the_pitch(run, clip, slowness):
    out = run("--slow-motion", slowness)
    reader = Reader(out)
    assert reader.rate == RATE
    assert abs(reader.duration - 2 * slowness) < 0.05
    first, last, frequency = beep(out)
    assert abs(first - slowness) < 0.05 * slowness  # as far as the filter smears
    assert abs(last - 1.25 * slowness) < 0.05 * slowness
    assert abs((first + last) / 2 - 1.125 * slowness) < 0.004 * slowness
    assert abs(frequency - 880) < 8


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_u8", "aac", "flac"])
@pytest.mark.parametrize(("slowness", "start"), [(2, 0), (5, 0), (2, 0.5)])
def test_slow_motion_keeps_the_first_sound(run, tmp_path, codec, slowness, start):
    write_clip(tmp_path / "clip.mkv", (0, 1.5), codec=codec)
    first, last, _ = beep(run("--slow-motion", slowness, "--from", start))
    assert first < 0.01 * slowness  # the filter fades in
    assert abs(last - (1.5 - start) * slowness) < 0.03 * slowness


def test_sound_that_is_encoded_anew_begins_with_the_part(run, tmp_path):
    write_clip(tmp_path / "clip.mkv", (0, 1.5), codec="aac")
    first, last, _ = beep(run("--from", "0.5", "--to", "2", out="out.webm"))
    assert first < 0.02
    assert abs(last - 1) < 0.02


def test_mp3_stays_in_step_from_avi_to_avi(run, tmp_path):
    clip = write_clip(tmp_path / "clip.mkv", (1.6, 1.8), codec="mp3", rate=44_100)
    run("--times-fps", "1", out="clip.avi").replace(clip)
    first, last, _ = beep(run("--from", "1", "--times-fps", "1", out="out.avi"))
    assert abs(first - 0.6) < 0.05
    assert abs(last - 0.8) < 0.05


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac"])
@pytest.mark.parametrize("sound", [(0, 1), (0.75, 2), (0.5, 1.25)])
def test_sound_in_mxf_is_in_step_where_there_is_some_for_a_part_of_the_time(run, tmp_path, codec, sound):
    write_clip(tmp_path / "clip.mkv", (0.8, 0.95), sound, codec)
    out = run(out="out.mxf")
    first, last, _ = beep(out)
    assert abs(first - 0.8) < 0.02
    assert abs(last - 0.95) < 0.02
    assert len(heard(out)[0]) == 2 * SOUND
    assert len(list(Reader(out))) == 96
    first, last, _ = beep(run("--from", "0.5", "--to", "1.5", out="part.mxf"))
    assert abs(first - 0.3) < 0.02
    assert abs(last - 0.45) < 0.02


def test_slow_sound_is_in_windows_media_too(run, clip):
    first, last, _ = beep(run("--slow-motion", 2, "--pix-fmt", "yuv420p", out="out.wmv"))
    assert abs(first - 2) < 0.15
    assert abs(last - 2.5) < 0.15


def test_a_slow_part(run, clip):
    out = run("--slow-motion", "2", "--from", "0.5", "--to", "1.5", "--fps", "48")
    assert len(list(Reader(out))) == 96
    first, last, _ = beep(out)
    assert abs(first - 1) < 0.1
    assert abs(last - 1.5) < 0.1
    with av.open(out) as container:
        assert [float(c["start"] * c["time_base"]) for c in container.chapters()] == [0, 1]


@pytest.mark.parametrize("out", ["out.mkv", "out.mp4"])
def test_subtitles_are_cut_where_the_part_is(run, clip, tmp_path, out):
    script = clip.with_suffix(".srt")
    lines = [("00:00:00,000 --> 00:00:00,400", "a"), ("00:00:00,300 --> 00:00:00,900", "b")]
    lines += [("00:00:01,000 --> 00:00:01,900", "c"), ("00:00:01,600 --> 00:00:01,800", "d")]
    script.write_text("\n".join(f"{i}\n{times}\n{text}\n" for i, (times, text) in enumerate(lines, 1)))
    silent = clip.rename(tmp_path / "silent.mkv")
    with av.open(silent) as video, av.open(script) as words, av.open(clip, "w") as container:
        sources = [(source, container.add_stream_from_template(source.streams[0])) for source in (video, words)]
        for source, stream in sources:
            for packet in filter(lambda packet: packet.size, source.demux(source.streams[0])):
                packet.stream = stream
                container.mux(packet)
    with av.open(run("--from", "0.5", "--to", "1.5", "--slow-motion", "2", out=out)) as container:
        shown = [packet for packet in container.demux(subtitles=0) if bytes(packet).strip(b"\0")]
        cues = [(bytes(p).strip(b"\0\1")[:1], p.pts * p.time_base, p.duration * p.time_base) for p in shown]
    assert cues == [(b"b", 0, Fraction(4, 5)), (b"c", 1, 1)]


def test_crop_and_scale(run, clip):
    out = run("--crop", "32:20:8:4", "--codec", "ffv1", "--times-fps", "1")
    frames = list(Reader(out))
    assert len(frames) == 48
    np.testing.assert_array_equal(frames[7].pixels, picture(7)[4:24, 8:40])
    assert Reader(run("--crop", "32:16", "--scale", "32", out="scaled.mkv")).size == (32, 64)


@pytest.mark.parametrize(
    ("scale", "aspect"), [("32", 1), ("64x32", 1), ("43x22", 1), ("32x32", 2), ("128x32", Fraction(1, 2))]
)
def test_other_shapes_are_shown_in_that_of_the_source(run, clip, scale, aspect):
    assert Reader(run("--scale", scale)).aspect == aspect


def test_a_source_that_declares_no_duration_begins_anywhere(run, clip, tmp_path):
    with av.open(tmp_path / "clip.h264", "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width = H, W
        for i in range(2 * RATE):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(i), "rgb24")))
        container.mux(stream.encode(None))
    clip.write_bytes((tmp_path / "clip.h264").read_bytes())
    assert (Reader(clip).declared, Reader(clip).rate) == (None, 25)  # FFmpeg's guess
    assert len(list(Reader(run("--from", "1", "--times-fps", "1")))) == 2 * RATE - 25
    assert len(list(Reader(run("--from", "1", "--to", "1.4", "--times-fps", "1", out="b.mkv")))) == 10


def test_drawings_that_end_before_the_part_are_known_when_resumed(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("keys").mkdir()
    for i in range(4):
        image.write(f"keys/{i}.png", picture(i))
    arguments = "keys", "out.mkv", "--to", "9", "--resume", *SIMPLE
    for says in ("4 drawings in 4 frames", "nothing to do"):
        finished = call(script.main, *arguments)
        assert finished.code == 0
        assert says in finished.written + finished.said


def test_side_by_side_and_still(run, clip):
    out = run("--side-by-side", "--still", "48,8,16,10", "--codec", "ffv1", "--to", "0.5")
    frames = [frame.pixels for frame in Reader(out)]
    assert len(frames) == 24
    for k, pixels in enumerate(frames):
        assert pixels.shape == (H, 2 * W, 3)
        np.testing.assert_array_equal(pixels[:, :W], picture(k // 2))
        np.testing.assert_array_equal(pixels[8:18, W + 48 :], picture(k // 2)[8:18, 48:])
    between = frames[5][:, W:]
    assert (between[20:] != picture(2)[20:]).any()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "3"], "clip.mkv ends at 2.00 s, before 3 s."),
        (["--from", "1", "--to", "0.5"], "--to 0.5 s is not after --from 1 s."),
        (
            ["--crop", "80:8"],
            "An area of 80×8 at -8,12 reaches over the edge of pictures of 64×32; choose one within (--crop, --still).",
        ),
        (
            ["--still", "60,0,8,8"],
            "An area of 8×8 at 60,0 reaches over the edge of pictures of 64×32; choose one within (--crop, --still).",
        ),
        (["--crop", "x"], "x is not an area; it is W:H or W:H:X:Y, in pixels"),
        (["--from", "1:2:3:4"], "1:2:3:4 is not a time"),
        (["--scale", "0"], "0 is not a size"),
        (["--scale", "99999x99999"], "clip.mkv would be 99999×99999 pixels; choose a --scale of up to"),
    ],
)
def test_mistakes(call, clip, monkeypatch, arguments, says):
    monkeypatch.chdir(clip.parent)
    finished = call(script.main, "clip.mkv", "out.mkv", *arguments, *SIMPLE)
    assert finished.code == 2
    assert says in finished.said
    assert not list(Path().glob("*out*"))


def test_what_is_read():
    assert excerpt.parse_time("83.5") == excerpt.parse_time("1:23.5") == excerpt.parse_time("0:01:23.5")
    assert excerpt.parse_crop("8:6") == Area(8, 6)
    assert excerpt.parse_crop("8:6:1:0") == Area(8, 6, 1, 0)
    assert excerpt.parse_still("1,0,8,6") == Area(8, 6, 1, 0)
    assert excerpt.parse_scale("1280x720") == Scale(1280, 720)
    assert Scale(None, 90).size((180, 321)) == (90, 160)


def test_colours_are_scaled_by_their_alpha(tmp_path):
    path = tmp_path / "clear.mkv"
    clear = np.zeros((32, 32, 4), np.uint8)
    clear[:, 16:] = 255, 0, 0, 255
    with Writer(path, Encoding((32, 32), Fraction(24), "ffv1", source="bgra")) as writer:
        writer.write(clear)
    reader = ExcerptReader(Reader(path, keep_alpha=True), Excerpt(scale=Scale(20, 20)))
    (frame,) = reader.frames()
    visible = frame.pixels[frame.pixels[:, :, 3] > 8]
    assert (visible[:, 0] > 250).all()
    assert reader.end == Fraction(41, 1000)  # as Matroska rounds it


def test_a_part_without_frames(tmp_path):
    path = tmp_path / "short.mkv"
    with Writer(path, Encoding((32, 32), Fraction(1), "ffv1")) as writer:
        for _ in range(2):
            writer.write(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(InputError, match=r"has no frame from 1\.5 s on"):
        list(ExcerptReader(Reader(path), Excerpt(start=Fraction(3, 2))).frames())


def test_damage_before_the_end_of_a_part_is_reported(call, tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    for i in range(6):
        image.write(keys / f"{i}.png", picture(i))
    cut_short = keys / "2.png"
    cut_short.write_bytes(cut_short.read_bytes()[: cut_short.stat().st_size // 2])
    finished = call(script.main, keys, tmp_path / "out.mkv", "--to", "0.2", *SIMPLE)
    assert finished.code == 0
    assert "cannot be read (2.png)" in finished.said
