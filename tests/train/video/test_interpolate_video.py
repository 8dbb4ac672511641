"""Videos at a new rate: in step with their sound, whole or not there, and the same when they were interrupted."""

import contextlib
import functools
import io
import itertools
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from _scripts import interpolate_video as script
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.video import detection, interpolate
from _train.frame_interpolation.video.interpolate import Options, interpolate_video
from _util import chroma, command, image
from _util.colour import Colour
from _util.dis import dis
from _util.errors import InputError
from _util.video import Encoding, Reader, Writer
from tests.conftest import require_shared
from tests.feigned_gpu import feigned_gpu

ROOT = Path(__file__).parents[3]
H, W = 96, 128
SIMPLE = ("--flow", "dis", "--synthesis", "splat", "--device", "cpu")


class Blend:
    """Mixes two frames, and counts."""

    def __init__(self):
        self.prepared = self.drawn = 0

    def prepare(self, frame0, frame1):
        self.prepared += 1
        return frame0, frame1

    def draw(self, pair, times):
        for t in times:
            yield functools.partial(np.array, self.at(pair, t), copy=False)

    def at(self, pair, t):
        self.drawn += 1
        return cv2.addWeighted(pair[0], 1 - t, pair[1], t, 0)


class Slide(Blend):
    """Draws the pan of `pan` exactly: reads from both frames how far it has come."""

    def at(self, pair, t):
        one, other = map(phase, pair)
        return pan(one + t * ((other - one + PERIOD / 2) % PERIOD - PERIOD / 2))


PERIOD = 64


def pan(shift: float, deep: bool = False) -> np.ndarray:
    """(H, W, 3): waves that have moved `shift` pixels to the right, over 64 pixels the same again."""
    x = (np.arange(W) - shift) * (2 * np.pi / PERIOD)
    wave = 0.5 + 0.3 * np.sin(x)[None, :] + 0.1 * np.sin(np.arange(H) / 5)[:, None]
    dtype, largest = (np.uint16, 65535) if deep else (np.uint8, 255)
    return np.repeat((wave * largest).round().astype(dtype)[:, :, None], 3, 2)


def phase(pixels: np.ndarray) -> float:
    """How far `pan` has moved in a picture of it, modulo its period."""
    row = pixels.mean((0, 2))[: W // PERIOD * PERIOD]
    return (
        -np.angle((row * np.exp(-2j * np.pi * np.arange(len(row)) / PERIOD)).sum() * 1j) * PERIOD / (2 * np.pi) % PERIOD
    )


def shifts(frames: list[np.ndarray]) -> np.ndarray:
    """How far each frame of a pan has moved from the one before."""
    return np.array([(phase(b) - phase(a) + PERIOD / 2) % PERIOD - PERIOD / 2 for a, b in itertools.pairwise(frames)])


def write(path: Path, frames: list[np.ndarray], rate: Fraction | int = 24, **options) -> Path:
    with Writer(path, Encoding(frames[0].shape[:2], Fraction(rate), **options)) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def run(source: Path, out: Path, interpolator=None, **options) -> interpolate.Summary:
    flags = {name: options.pop(name) for name in ("resume", "overwrite") if name in options}
    return interpolate_video(source, out, Options(**options), lambda: (interpolator or Blend(), {}), **flags)


def pixels(path: Path) -> list[np.ndarray]:
    return [frame.pixels for frame in Reader(path)]


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """Times in seconds and contents of the packets of the first stream of a kind."""
    with av.open(path) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size]


BONJOUR = "1\n00:00:00,500 --> 00:00:01,200\nBonjour\n"


def rich(path: Path, seconds: int = 2, start: int = 0, script: str = BONJOUR) -> Path:
    """A file with video, two languages of sound, subtitles, a font, chapters and tags."""
    with contextlib.ExitStack() as stack:
        container = stack.enter_context(av.open(path, "w"))
        container.metadata["title"] = "Episode"
        picture = container.add_stream("libx264", rate=24, options={"crf": "1"})
        picture.height, picture.width = H, W
        sounds = []
        for codec, language in (("aac", "jpn"), ("flac", "eng")):
            sound = container.add_stream(codec, rate=48000)
            sound.metadata["language"] = language
            sounds.append(sound)
        subtitles = None
        if path.suffix == ".mkv":
            container.add_attachment("font.ttf", "font/ttf", b"font" * 100)
            text = path.with_suffix(".srt")
            text.write_text(script)
            lines = stack.enter_context(av.open(text))
            subtitles = container.add_stream_from_template(lines.streams[0], opaque=True)
            subtitles.metadata["language"] = "fra"
        container.set_chapters(
            [
                {
                    "id": i,
                    "start": 1000 * i,
                    "end": 1000 * i + 1000,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": name},
                }
                for i, name in enumerate(["one", "two"])
            ]
        )
        for i in range(24 * seconds):
            frame = av.VideoFrame.from_ndarray(pan(2 * (i // 3) * 3), "rgb24")
            frame.pts, frame.time_base = i + start, Fraction(1, 24)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        tone = np.sin(np.arange(48000 * seconds) / 20).astype(np.float32)
        for sound in sounds:
            for i in range(0, len(tone), 1024):
                samples = tone[i : i + 1024][None]
                if sound.codec_context.name == "flac":
                    frame = av.AudioFrame.from_ndarray((samples * 20000).astype(np.int16), "s16", "mono")
                else:
                    frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
                frame.rate, frame.pts, frame.time_base = 48000, i + start * 2000, Fraction(1, 48000)
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
        if subtitles is not None:
            for packet in lines.demux():
                if packet.size:
                    packet.stream = subtitles
                    container.mux(packet)
            text.unlink()
    return path


def on_threes(count: int = 16, deep: bool = False) -> list[np.ndarray]:
    """A pan of 6 pixels a drawing, each of which is shown three times."""
    return [frame for i in range(count) for frame in [pan(6 * i, deep)] * 3]


@pytest.mark.parametrize("fps", [48, 60])
def test_a_held_run_moves_evenly(tmp_path, fps):
    source = write(tmp_path / "in.mp4", on_threes(), crf=1)
    summary = run(source, tmp_path / "out.mp4", Slide(), fps=Fraction(fps), crf=1)
    assert (summary.source_frames, summary.drawings, summary.cuts) == (48, 16, 0)
    assert summary.frames == 2 * fps
    moved = shifts(pixels(tmp_path / "out.mp4"))[: fps * 15 // 8 - 1]  # up to the last drawing
    assert moved.mean() == pytest.approx(48 / fps, rel=0.02)
    assert np.abs(moved / moved.mean() - 1).max() < 0.35


def test_every_frame_as_it_is(tmp_path):
    source = write(tmp_path / "in.mp4", on_threes(), crf=1)
    summary = run(source, tmp_path / "out.mp4", Slide(), dedup=False, crf=1)
    assert summary.drawings == summary.source_frames == 48
    moved = shifts(pixels(tmp_path / "out.mp4"))
    np.testing.assert_allclose(moved[:12], [0, 0, 0, 0, 3, 3] * 2, atol=0.4)


@pytest.mark.slow
def test_a_textured_pan_moves_evenly(tmp_path):
    random = np.random.default_rng(0)
    texture = cv2.resize(random.integers(64, 192, (24, 64, 3), np.uint8), (512, 192), interpolation=cv2.INTER_CUBIC)
    drawings = [texture[:, 6 * i : 6 * i + 256] for i in range(10)]
    source = write(tmp_path / "in.mp4", [frame for frame in drawings for _ in range(3)])
    interpolator = Interpolator("dis", "splat", "cpu")
    interpolate_video(source, tmp_path / "out.mp4", Options(fps=Fraction(48)), lambda: (interpolator, {}))
    estimate = dis
    frames = [image.to_tensor(frame)[None] for frame in pixels(tmp_path / "out.mp4")[:54]]
    lengths = [estimate(a, b)[0].norm(dim=1)[:, 32:-32, 32:-32].mean().item() for a, b in itertools.pairwise(frames)]
    assert np.mean(lengths) == pytest.approx(1, abs=0.1)
    assert np.abs(np.array(lengths) / np.mean(lengths) - 1).max() < 0.35


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_all_else_is_carried_over(tmp_path, suffix, notes):
    source = rich(tmp_path / f"in{suffix}")
    out = tmp_path / f"out{suffix}"
    summary = run(source, out, fps=Fraction(48))
    assert summary.frames == 96
    assert not notes()
    assert packets(out, "audio") == packets(source, "audio")
    times = sorted(time for time, _ in packets(out, "video"))
    np.testing.assert_allclose(times, np.arange(96) / 48, atol=0.0006)
    with av.open(source) as before, av.open(out) as after:
        assert [s.type for s in after.streams] == [s.type for s in before.streams]
        assert [s.language for s in after.streams.audio] == ["jpn", "eng"]
        assert after.metadata["title"] == "Episode"
        assert [c["metadata"]["title"] for c in after.chapters()] == ["one", "two"]
        assert [c["start"] * c["time_base"] for c in after.chapters()] == [0, 1]
        assert abs(after.duration - before.duration) <= 1e6 / 48
        second = [bytes(p) for p in after.demux(after.streams.audio[1]) if p.size]
        assert second == [bytes(p) for p in before.demux(before.streams.audio[1]) if p.size]
    if suffix == ".mkv":
        assert packets(out, "subtitle") == packets(source, "subtitle")
        with av.open(out) as after:
            assert after.streams.attachments[0].metadata["filename"] == "font.ttf"


@pytest.mark.parametrize(("suffix", "holds"), [(".mkv", True), (".mp4", True), (".webm", True), (".ts", False)])
def test_chapters_that_are_left_out_are_reported(tmp_path, suffix, holds, notes):
    source = rich(tmp_path / "in.mkv", seconds=1)
    run(source, tmp_path / f"out{suffix}")
    assert any("does not hold chapters: left out" in note for note in notes()) != holds
    with av.open(tmp_path / f"out{suffix}") as container:
        assert bool(container.chapters()) == holds


def test_what_a_container_does_not_hold_is_reported(tmp_path, notes):
    source = rich(tmp_path / "in.mkv")
    run(source, tmp_path / "out.mp4")
    assert notes() == [
        ".mp4 does not hold stream 3 (subtitle, srt) as it is: re-encoded.",
        ".mp4 does not hold stream 4 (attachment, of an unknown kind): left out.",
    ]
    run(source, tmp_path / "out.webm")
    encoded, missing = notes()
    assert "stream 2 (audio, flac), stream 3 (subtitle, srt) as it is: re-encoded" in encoded
    assert "left out" in missing


@pytest.mark.parametrize(("suffix", "shown"), [(".mp4", b"\x00\x07Bonjour"), (".webm", b"Bonjour")])
def test_subtitles_of_text_are_converted(tmp_path, suffix, shown):
    out = tmp_path / f"out{suffix}"
    run(rich(tmp_path / "in.mkv"), out)
    assert [(time, text) for time, text in packets(out, "subtitle") if text.strip(b"\0")] == [(0.5, shown)]
    with av.open(out) as container:
        (stream,) = container.streams.subtitles
        assert stream.language == "fra"
        durations = [float(p.duration * p.time_base) for p in container.demux(stream) if p.size > 2]
        assert durations == [pytest.approx(0.7, abs=1e-3)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_subtitles_that_overlap_are_shown_together_in_mp4(tmp_path, suffix):
    script = (
        "1\n00:00:00,250 --> 00:00:01,000\nÉt<i>é</i>\n\n2\n00:00:00,500 --> 00:00:00,750\n<b>Two</b>\n\n"
        "3\n00:00:00,500 --> 00:00:01,500\nThree\n\n4\n00:00:01,750 --> 00:00:02,000\nFour\n"
    )
    run(rich(tmp_path / "in.mkv", script=script), tmp_path / f"out{suffix}")
    with av.open(tmp_path / f"out{suffix}") as container:
        assert container.duration < 2.1 * av.time_base
        samples = [p for p in container.demux(container.streams.subtitles[0]) if p.size > 2]
    found = []
    for packet in samples:
        data = bytes(packet)
        size = int.from_bytes(data[:2])
        start, duration = (round(float(ticks * packet.time_base), 2) for ticks in (packet.pts, packet.duration))
        found.append((start, duration, data[2 : 2 + size].decode()))
    assert found == [
        (0.25, 0.25, "Été"),
        (0.5, 0.25, "Été\nTwo\nThree"),
        (0.75, 0.25, "Été\nThree"),
        (1.0, 0.5, "Three"),
        (1.75, 0.25, "Four"),
    ]
    data = bytes(samples[1])[2 + len("Été\nTwo\nThree".encode()) :]
    assert data[4:8] == b"styl"
    styles = [struct.unpack_from(">HHHB", data, 10 + 12 * i) for i in range(int.from_bytes(data[8:10]))]
    assert {(first, end, face) for first, end, _, face in styles if face} == {(2, 3, 2), (4, 7, 1)}


def click(path: Path) -> Path:
    """A flash and a click, both at one second."""
    with av.open(path, "w") as container:
        picture = container.add_stream("libx264", rate=24)
        picture.height, picture.width = H, W
        sound = container.add_stream("aac", rate=44100, layout="mono")
        for i in range(48):
            frame = av.VideoFrame.from_ndarray(np.full((H, W, 3), 200 if i == 24 else 20, np.uint8), "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 24)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        samples = np.zeros(2 * 44100, np.float32)
        samples[44100:44150] = 0.9
        for i in range(0, len(samples), 1024):
            frame = av.AudioFrame.from_ndarray(samples[i : i + 1024][None], "fltp", "mono")
            frame.rate, frame.pts, frame.time_base = 44100, i, Fraction(1, 44100)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
def test_sound_stays_in_step(tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    run(click(tmp_path / "in.mp4"), out, fps=Fraction(60))
    with av.open(out) as container:
        flash = max(container.decode(video=0), key=lambda frame: frame.to_ndarray(format="gray").mean()).time
    with av.open(out) as container:
        loudest = max(container.decode(audio=0), key=lambda frame: np.abs(frame.to_ndarray()).max())
        heard = loudest.time + np.abs(loudest.to_ndarray()).max(0).argmax() / loudest.rate
    assert abs(flash - heard) < 0.005


def test_a_source_whose_clock_does_not_begin_at_zero(tmp_path):
    source = rich(tmp_path / "in.ts", start=240)
    out = tmp_path / "out.mp4"
    run(source, out, fps=Fraction(48))
    lags = [packets(path, "audio")[0][0] - min(time for time, _ in packets(path, "video")) for path in (source, out)]
    assert lags[0] == pytest.approx(lags[1], abs=1e-3)
    assert packets(out, "video")[0][0] < 0.1


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("out.mp4", "libx265"),
        ("out.mkv", "libsvtav1"),
        ("out.mp4", "libvpx-vp9"),
        ("out.mov", "prores_ks"),
        ("out.mkv", "ffv1"),
        ("out.avi", "mpeg4"),
        ("out.ts", "libx264"),
    ],
)
def test_any_codec_is_joined_from_parts(tmp_path, name, codec):
    out = tmp_path / name
    assert run(slow_pan(tmp_path / "in.mp4"), out, Slide(), codec=codec).frames == 100  # of four parts and a bit
    reader = Reader(out)
    frames = [frame.pixels for frame in reader]
    assert reader.rate == 12
    assert reader.damage is None
    assert reader.end == pytest.approx(100 / 12, abs=0.1)
    np.testing.assert_allclose(shifts(frames)[:97], 3, atol=0.3)


def test_a_cover_picture_is_kept(tmp_path):
    source = tmp_path / "in.mp4"
    encoded = io.BytesIO()
    Image.fromarray(pan(0)).save(encoded, "PNG")
    with av.open(source, "w") as container, av.open(write(tmp_path / "plain.mp4", on_threes(3))) as plain:
        picture = container.add_stream_from_template(plain.streams.video[0], opaque=True)
        cover = container.add_stream("png", rate=1, pix_fmt="rgb24", height=H, width=W)
        cover.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(encoded.getvalue())
        packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1)
        container.mux(packet)
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = picture
                container.mux(packet)
    assert run(source, tmp_path / "out.mp4").frames == 18
    with av.open(tmp_path / "out.mp4") as container:
        cover = container.streams.video[1]
        assert cover.disposition == av.stream.Disposition.attached_pic
        assert bytes(next(container.demux(cover))) == encoded.getvalue()


def test_variable_frame_rate_becomes_constant(tmp_path):
    path = tmp_path / "in.mkv"
    times = [0, 50, 100, 250, 300, 350, 500, 550, 600, 700]  # motion of a pixel every 10 milliseconds
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=20)
        stream.height, stream.width, stream.codec_context.time_base = H, W, Fraction(1, 1000)
        for ms in times:
            frame = av.VideoFrame.from_ndarray(pan(ms / 10), "rgb24")
            frame.pts, frame.time_base = ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    summary = run(path, tmp_path / "out.mkv", Slide(), fps=Fraction(100), codec="ffv1")
    assert summary.fps == 100
    assert abs(summary.frames - 75) <= 2
    moved = shifts(pixels(tmp_path / "out.mkv"))[:70]
    np.testing.assert_allclose(moved, 1, atol=0.15)


@pytest.mark.parametrize(("name", "codec"), [("out.mkv", "ffv1"), ("out.webm", "libvpx-vp9"), ("out.mp4", "libx264")])
@pytest.mark.parametrize("place", [chroma.LEFT, chroma.TOP_LEFT])
def test_the_place_of_chroma_is_kept(tmp_path, name, codec, place):
    """Also of codecs that leave it to the container."""
    options = {"codec": "ffv1", "source": "yuv420p", "colour": Colour(location=place)}
    source = write(tmp_path / "in.mkv", on_threes(3), **options)
    run(source, tmp_path / name, codec=codec)
    assert Reader(tmp_path / name).colour.location == Reader(source).colour.location == place


@pytest.mark.parametrize("tags", [Colour(1, 1, 1, 1), Colour(5, 2, 5, 6), Colour()])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_colour_and_depth_are_kept(tmp_path, tags, deep, suffix):
    source = write(tmp_path / f"in{suffix}", on_threes(4, deep), deep=deep, colour=tags, crf=4, aspect=Fraction(8, 9))
    out = tmp_path / f"out{suffix}"
    run(source, out, crf=4)
    before, after = Reader(source), Reader(out)
    assert after.colour == before.colour == tags._replace(location=chroma.LEFT)
    assert after.deep == deep
    assert after.aspect == Fraction(8, 9)
    with av.open(out) as container:
        assert container.streams.video[0].codec_context.pix_fmt in (
            ("yuv420p10le",) if deep else ("yuv420p", "yuvj420p")
        )
    first, last = pixels(source)[0], pixels(out)[0]
    scale = 257 if deep else 1
    assert np.abs(first.astype(float) - last).mean() < scale
    assert abs((first.astype(float) - last).mean()) < 0.3 * scale


def test_pictures_stand_upright(tmp_path):
    path = tmp_path / "in.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "1"})
        stream.height, stream.width = H, W
        stream.set_display_rotation(90)
        for frame in on_threes(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    run(path, tmp_path / "out.mp4", crf=1)
    with av.open(tmp_path / "out.mp4") as container:
        frame = next(container.decode(video=0))
    assert frame.rotation == 0
    assert (frame.height, frame.width) == (W, H)
    assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - np.rot90(pan(0))).mean() < 3


@pytest.mark.parametrize("size", [(97, 129), (16, 16), (17, 640)])
def test_any_size(tmp_path, size):
    frames = [cv2.resize(pan(4 * i), size[::-1]) for i in range(4)]
    source = write(tmp_path / "in.mkv", frames, codec="ffv1")
    run(source, tmp_path / "out.mp4")
    assert Reader(tmp_path / "out.mp4").size == size


def test_no_frame_mixes_two_shots(tmp_path):
    random = np.random.default_rng(0)
    shots = []
    for low, high in ((0, 100), (150, 255), (0, 100)):
        texture = random.integers(low, high, (H // 8, W // 8 + 4, 3), np.uint8)
        texture = cv2.resize(texture, (W + 32, H), interpolation=cv2.INTER_LINEAR)
        shots.append([texture[:, 2 * i : 2 * i + W] for i in range(12)])
    source = write(tmp_path / "in.mp4", [frame for shot in shots for frame in shot])
    summary = run(source, tmp_path / "out.mp4", fps=Fraction(96))
    assert summary.cuts == 2
    levels = np.array([frame.mean() for frame in pixels(tmp_path / "out.mp4")])
    assert len(levels) == 144
    assert ((levels < 80) | (levels > 170)).all()
    assert np.flatnonzero(np.abs(np.diff(levels)) > 90).tolist() == [47, 95]


def test_drawings_in_a_folder_and_out(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for i in range(12):
        Image.fromarray(pan(6 * (i // 2))).save(folder / f"{i + 1}.png")
    summary = run(folder, out, Slide(), in_fps=Fraction(12), fps=Fraction(24))
    assert (summary.frames, summary.drawings) == (24, 6)
    assert sorted(path.name for path in out.iterdir()) == [f"{i:06d}.png" for i in range(24)]
    np.testing.assert_array_equal(image.read(out / "000004.png"), pan(6))
    np.testing.assert_allclose(shifts(pixels(out))[:20], 1.5, atol=0.1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_drawings_to_video(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(12):
        Image.fromarray(pan(6 * i)).save(folder / f"{i + 1}.png")
    run(folder, tmp_path / "out.mp4")
    reader = Reader(tmp_path / "out.mp4")
    assert (reader.rate, len(pixels(tmp_path / "out.mp4")), reader.duration) == (48, 24, Fraction(1, 2))


def test_one_frame(tmp_path):
    summary = run(write(tmp_path / "in.mp4", [pan(0)], rate=4), tmp_path / "out.mp4", fps=Fraction(48))
    assert (summary.frames, summary.drawings) == (12, 1)
    assert len(pixels(tmp_path / "out.mp4")) == 12


def test_a_still_of_minutes(tmp_path):
    path = tmp_path / "in.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.codec_context.time_base = 32, 32, Fraction(1, 1000)
        for ms in (0, 40, 60_000, 60_040):
            frame = av.VideoFrame.from_ndarray(pan(ms % 1000 / 10)[:32, :32].copy(), "rgb24")
            frame.pts, frame.time_base = ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    blend = Blend()
    summary = run(path, tmp_path / "out.mp4", blend, fps=Fraction(50))
    assert abs(summary.frames - 60.08 * 50) <= 2
    assert blend.drawn < 20


class Interrupted(Blend):
    """Is interrupted at the given frame."""

    def __init__(self, at: int, by: type[BaseException] = KeyboardInterrupt):
        super().__init__()
        self._last, self._by = at, by

    def at(self, pair, t):
        if self.drawn == self._last:
            raise self._by
        return super().at(pair, t)


class Slow(Blend):
    """Hands out frames before they are finished, as a GPU does."""

    def __init__(self):
        super().__init__()
        self.waited_in = set()
        self.handed_out = self.finished = self.most_unfinished = 0

    def draw(self, pair, times):
        for t in times:
            self.handed_out += 1
            self.most_unfinished = max(self.most_unfinished, self.handed_out - self.finished)
            yield functools.partial(self.wait, pair, t)

    def wait(self, pair, t):
        self.waited_in.add(threading.current_thread().name)
        time.sleep(0.01)
        self.finished += 1
        return self.at(pair, t)


def test_frames_are_waited_for_where_they_are_encoded(tmp_path):
    source = write(tmp_path / "in.mp4", [pan(6 * i) for i in range(8)], rate=6)
    slow = Slow()
    run(source, tmp_path / "slow.mp4", slow, fps=Fraction(24))
    run(source, tmp_path / "quick.mp4", fps=Fraction(24))
    assert slow.waited_in == {"behind_0"}
    assert 2 < slow.most_unfinished <= interpolate._QUEUE + 2  # ahead, but not without bounds
    assert_equal_videos(tmp_path / "slow.mp4", tmp_path / "quick.mp4")


def check_gpu(tmp_path: Path, device: str) -> None:
    source = write(tmp_path / "in.mp4", [pan(6 * i) for i in range(4)], rate=6)
    found = []
    for place in ("cpu", device):
        out = tmp_path / f"{place[:4]}.mp4"
        run(source, out, Interpolator("dis", "splat", place), fps=Fraction(24), crf=1)
        found.append(np.stack(pixels(out)).astype(float))
    assert np.abs(found[0] - found[1]).mean() < 0.5


def test_a_gpu_makes_the_same_video(tmp_path):
    with feigned_gpu() as device:
        check_gpu(tmp_path, str(device))


@pytest.mark.cuda
def test_a_card_makes_the_same_video(tmp_path):
    check_gpu(tmp_path, "cuda")


def assert_equal_videos(one: Path, other: Path) -> None:
    assert packets(one, "video") == packets(other, "video")
    for a, b in zip(pixels(one), pixels(other), strict=True):
        np.testing.assert_array_equal(a, b)


def slow_pan(path: Path, count: int = 50) -> Path:
    """Drawings at 6 a second, of whose 12 frames a second 24 are a part."""
    return write(path, [pan(6 * i) for i in range(count)], rate=6)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.gif", "out.webp", "out"])
def test_resumed_where_all_is_made_there_is_nothing_to_do(tmp_path, name, notes):
    source, out = slow_pan(tmp_path / "in.mp4", 12), tmp_path / name
    run(source, out)
    files = [out] if out.is_file() else sorted(out.iterdir())
    before = [path.read_bytes() for path in files]
    assert interpolate_video(source, out, Options(), lambda: (None, {}), resume=True) is None
    assert notes()[-1] == f"{out} already exists; nothing to do (--overwrite redraws it)."
    assert [path.read_bytes() for path in files] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.mp4", name])


@pytest.mark.parametrize("other", ["rate", "length", "size", "newer source", "no video"])
def test_resumed_where_something_else_is_it_stays(tmp_path, other):
    source, out = slow_pan(tmp_path / "in.mp4", 12), tmp_path / "out.mp4"
    run(source, out)
    if other == "length":
        write(out, [pan(0)] * 18, rate=12)
    elif other == "size":
        write(out, [pan(0)[:48]] * 24, rate=12)
    elif other == "newer source":
        os.utime(source, (time.time() + 9, time.time() + 9))
    elif other == "no video":
        out.write_bytes(b"text")
    before = out.read_bytes()
    with pytest.raises(InputError, match="exists; replace it with --overwrite"):
        run(source, out, resume=True, **({"fps": Fraction(48)} if other == "rate" else {}))
    assert out.read_bytes() == before


@pytest.mark.parametrize("at", [15, 24, 45])
def test_a_resumed_run_gives_the_same_frames(tmp_path, at):
    source = slow_pan(tmp_path / "in.mp4")
    whole, blend = tmp_path / "whole.mp4", Blend()
    run(source, whole, blend)
    assert blend.drawn == 49
    out = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        run(source, out, Interrupted(at))
    assert not out.exists()
    assert (tmp_path / ".out.mp4.parts").is_dir()
    again = Blend()
    run(source, out, again, resume=True)
    assert again.drawn in (49 - 12 * (at // 12), 49 - 12 * (at // 12) + 12)  # the last part may not have been written
    assert_equal_videos(out, whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]


def test_a_resumed_run_of_drawings(tmp_path):
    source = slow_pan(tmp_path / "in.mp4")
    run(source, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out", Interrupted(30))
    blend = Blend()
    run(source, tmp_path / "out", blend, resume=True)
    assert blend.drawn < 49
    for one, other in zip(pixels(tmp_path / "out"), pixels(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_finished_work_is_not_lost_by_mistake(tmp_path, capsys):
    source = slow_pan(tmp_path / "in.mp4")
    out = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        run(source, out, Interrupted(30))
    assert "--resume continues from there" in capsys.readouterr().err
    with pytest.raises(InputError, match="--resume to keep it, --overwrite to start again"):
        run(source, out)
    with pytest.raises(InputError, match=r"crf None instead of 30"):
        run(source, out, crf=30, resume=True)
    slow_pan(source, 49)
    with pytest.raises(InputError, match="is of another IN, or of IN as it was before a change"):
        run(source, out, resume=True)
    blend = Blend()
    run(source, out, blend, overwrite=True)
    assert blend.drawn == 48
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_resuming_what_was_never_begun_begins(tmp_path):
    source = write(tmp_path / "in.mp4", on_threes(3))
    assert run(source, tmp_path / "out.mp4", resume=True).frames == 18


def test_interrupted_before_a_part_is_finished_nothing_is_left(tmp_path):
    source = write(tmp_path / "in.mp4", on_threes(3))
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out.mp4", Interrupted(2))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize("by", [RuntimeError, KeyboardInterrupt, MemoryError])
def test_an_error_ends_all_threads(tmp_path, by):
    source = write(tmp_path / "in.mp4", [pan(6 * i) for i in range(100)])
    before = set(threading.enumerate())
    start = time.perf_counter()
    with pytest.raises(by):
        run(source, tmp_path / "out.mp4", Interrupted(5, by))
    assert time.perf_counter() - start < 5
    begun = set(threading.enumerate()) - before
    assert all(type(thread).__name__ == "TMonitor" for thread in begun)  # tqdm's, which stays


def test_an_error_in_a_thread_is_raised(tmp_path, monkeypatch):
    source = write(tmp_path / "in.mp4", [pan(6 * i) for i in range(100)])
    for name in ("cuts.detect", "duplicates.detect_reduced", "camera_holds.detect_reduced"):
        with monkeypatch.context() as patched:
            patched.setattr(f"{detection.__name__}.{name}", lambda frames, *_: (1 // 0 for frame in frames))
            with pytest.raises(ZeroDivisionError):
                run(source, tmp_path / "out.mp4")
        assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.slow
def test_a_full_disk(tmp_path):
    """Files may not grow beyond a limit in a process of its own; what is said and left is that of a full disk."""
    source = write(tmp_path / "in.mp4", [pan(6 * i) for i in range(60)])
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from tests.train.video.test_interpolate_video import run\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        f"run(Path({str(source)!r}), Path({str(tmp_path / 'out.mp4')!r}), crf=0)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    said = finished.stderr.splitlines()[-1]
    assert "InputError" in said
    assert "cannot be written" in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_file_cut_short_is_used_as_far_as_it_goes(tmp_path, notes):
    source = rich(tmp_path / "in.mkv")
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    summary = run(source, tmp_path / "out.mkv", fps=Fraction(48))
    assert 12 < summary.source_frames < 48
    assert abs(summary.frames - 2 * summary.source_frames) <= 8
    assert "of 2.00 s" in notes()[-1]
    assert len(pixels(tmp_path / "out.mkv")) == summary.frames


@pytest.fixture
def command_line(monkeypatch, capsys, tmp_path):
    """Runs the command line in this process, in a folder of its own; its exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["interpolate_video", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            command.run(script.main)
        said = capsys.readouterr()
        return caught.value.code, said.out + said.err

    return run


def test_the_command_line(command_line):
    write(Path("in.mp4"), on_threes(3))
    code, said = command_line("in.mp4", "out.mp4", "--fps", "30000/1001", *SIMPLE)
    assert code == 0
    assert "3 drawings in 9 frames, 0 cuts; out.mp4 has 11 frames, 29.97 a second." in said
    assert Reader("out.mp4").rate == Fraction(30000, 1001)
    code, said = command_line("in.mp4", "out.mp4", *SIMPLE)
    assert code == 2
    assert "--overwrite" in said
    assert command_line("in.mp4", "out.mp4", "--times-fps", 3, "--overwrite", "--no-dedup", *SIMPLE)[0] == 0
    assert Reader("out.mp4").rate == 72


def make_bad_things() -> None:
    write(Path("in.mp4"), on_threes(3))
    write(Path("thin.mkv"), [pan(0)[:12]], codec="ffv1")
    Path("text.txt").write_text("frames\n" * 100)
    Path("empty.mp4").touch()
    os.mkfifo("pipe.mkv")
    Path("folder").mkdir()
    Image.fromarray(pan(0)).save("folder/1.png")
    Path("full").mkdir()
    Path("full/file").touch()
    Path("nothing").mkdir()
    Path("loop.mp4").symlink_to("loop.mp4")
    Path("loop.csv").symlink_to("loop.csv")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.mp4", "out.mp4"], "There is no video none.mp4"),
        (["text.txt", "out.mp4"], "text.txt"),
        (["pipe.mkv", "out.mp4"], "pipe.mkv is a pipe or a device"),
        (["pipe.mkv", "out/"], "pipe.mkv is a pipe or a device"),
        (["empty.mp4", "out.mp4"], "empty.mp4 is not a supported video"),
        (["nothing", "out.mp4"], "nothing holds no pictures (PNG, JPEG"),
        (["thin.mkv", "out.mp4"], "128×12 pixels"),
        (["in.mp4", "in.mp4"], "is the source"),
        (["in.mp4", "in.mp4", "--overwrite"], "is the source"),
        (["folder", "folder"], "is the source or lies in it"),
        (["folder", "folder/out.mp4"], "lies in it"),
        (["folder", "folder/out"], "lies in it"),
        (["in.mp4", "full"], "not empty"),
        (["in.mp4", "nothing.x/out.mp4"], "no folder nothing.x"),
        (["in.mp4", "out.xyz"], "no container"),
        (["in.mp4", "out.m3u8"], "out.m3u8 would be a playlist or a series of files"),
        (["in.mp4", "out.mpd", "--dry-run"], "out.mpd would be a playlist or a series of files"),
        (["in.mp4", "loop.mp4"], "loop.mp4 is a symbolic link that leads back to itself"),
        (["in.mp4", "out.mp4", "--write-scene-list", "loop.csv"], "loop.csv is a symbolic link that leads back"),
        (["in.mp4", "out.mp4", "--write-scene-list", "nothing"], "nothing is a folder; choose a file"),
        (["in.mp4", "out.mp4", "--codec", "x999"], "no codec 'x999'"),
        (["in.mp4", "out.mp4", "--codec", "aac"], "is for audio"),
        (["in.mp4", "out.webm", "--codec", "libx264"], "another --codec"),
        (["in.mp4", "out.mp4", "--codec", "ffv1", "--crf", "3"], "no constant rate factor"),
        (["in.mp4", "out.mp4", "--preset", "hasty"], "no preset hasty"),
        (["in.mp4", "out", "--crf", "3"], "are for videos"),
        (["in.mp4", "out", "--preset", "slow"], "are for videos"),
        (["in.mp4", "out.mp4", "--fps", "0"], "--fps: 0 is out of range"),
        (["in.mp4", "out.mp4", "--fps", "-24"], "--fps: -24 is out of range"),
        (["in.mp4", "out.mp4", "--fps", "x"], "--fps: 'x' is not a number"),
        (["in.mp4", "out.mp4", "--fps", "nan"], "'nan' is not a number"),
        (["in.mp4", "out.mp4", "--fps", "1/0"], "'1/0' is not a number"),
        (["in.mp4", "out.mp4", "--fps", "1e9"], "cannot be shown"),
        (["in.mp4", "out.mp4", "--fps", "0.0000001"], "cannot be shown"),
        (["in.mp4", "out.mp4", "--times-fps", "0"], "--times-fps: 0 is out of range"),
        (["in.mp4", "out.mp4", "--fps", "48", "--times-fps", "2"], "not allowed with"),
        (["in.mp4", "out.mp4", "--in-fps", "12"], "rate of its own"),
        (["folder", "out.mp4", "--in-fps", "0"], "--in-fps: 0 is out of range"),
        (["in.mp4", "out.mp4", "--close-gaps"], "leave --close-gaps out"),
        (["folder", "out.mp4", "--detelecine"], "folder has no fields"),
        (["in.mp4", "out.mp4", "--scene-list", "x.csv", "--cut-threshold", "0.3"], "not allowed with --scene-list"),
        (["in.mp4", "out.mp4", "--flow", "raft"], "no flow 'raft'"),
        (["in.mp4", "out.mp4", "--device", "abacus"], "device 'abacus'"),
        (["in.mp4"], "required: OUT"),
    ],
)
def test_what_cannot_be_is_one_sentence(command_line, arguments, says):
    make_bad_things()
    before = sorted(Path().rglob("*"))
    code, said = command_line(*arguments)
    assert code == 2
    assert says in said
    assert said.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def start(*arguments, cwd: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-m", "_scripts.interpolate_video", *map(str, arguments), *SIMPLE]
    return subprocess.Popen(program, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_interrupted_and_resumed(tmp_path):  # tests.kills does that with SIGKILL
    source = slow_pan(tmp_path / "in.mp4", 100)
    running = start("in.mp4", "out.mp4", cwd=tmp_path)
    while not (tmp_path / ".out.mp4.parts" / "000001.nut").exists() and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert "Traceback" not in said
    assert not (tmp_path / "out.mp4").exists()
    running = start("in.mp4", "out.mp4", "--resume", cwd=tmp_path)
    said = running.communicate(timeout=120)[1]
    assert running.returncode == 0, said
    interpolate_video(source, tmp_path / "whole.mp4", Options(), lambda: (Interpolator(*SIMPLE[1::2]), {}))
    assert_equal_videos(tmp_path / "out.mp4", tmp_path / "whole.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4", "whole.mp4"]


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path):
    """The peak of a process that interpolates 200 frames, and of one that interpolates 800, of 230 kB each.

    By 200 frames every queue has been full; to keep the further ones would take 138 MB.
    """
    peaks = []
    for count in (200, 800):
        source = write(tmp_path / f"{count}.mp4", [cv2.resize(pan(6 * (i // 3)), (320, 240)) for i in range(count)])
        program = (
            "from pathlib import Path\n"
            "from _util import memory\n"
            "from tests.train.video.test_interpolate_video import run\n"
            "memory.reset_peak()\n"
            f"run(Path({str(source)!r}), Path({str(tmp_path / 'out.mp4')!r}), overwrite=True)\n"
            "print(memory.peak())"
        )
        finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        peaks.append(float(finished.stdout))
    assert peaks[1] - peaks[0] < 30


@pytest.mark.slow
def test_the_clip(tmp_path):
    source = require_shared("data/clip.mp4")
    out = tmp_path / "out.mp4"
    summary = run(source, out, fps=Fraction(48))
    assert summary.source_frames == 181
    assert summary.frames == len(pixels(out)) == round(Reader(source).duration * 48)
    assert abs(Reader(out).duration - Reader(source).duration) <= Fraction(1, 48)
    assert packets(out, "audio") == packets(source, "audio")
