"""Videos and folders of drawings are read as players show them, and written as they were read."""

import io
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageOps

from _util import chroma, colour, decoding, formats, icc, image, planes, quiet, runs, video
from _util.colour import Colour
from _util.errors import InputError
from _util.files import temporary_beside
from _util.video import Encoding, Reader, Writer
from tests.conftest import require_shared

ROOT = Path(__file__).parents[2]
H, W = 48, 64


def scene(count: int, h: int = H, w: int = W, deep: bool = False) -> list[np.ndarray]:
    """A smooth pattern of muted colours that moves by a pixel a frame."""
    random = np.random.default_rng(0)
    cells = h // 8 + 2, (w + count) // 8 + 2
    noise = random.uniform(0.25, 0.75, (*cells, 1)) + random.uniform(-0.05, 0.05, (*cells, 3))
    wide = cv2.resize(noise, (w + count, h), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    dtype, largest = (np.uint16, 65535) if deep else (np.uint8, 255)
    return [(wide[:, i : i + w] * largest).round().astype(dtype) for i in range(count)]


def write(path: Path, frames: list[np.ndarray], rate: int = 24, **options) -> Path:
    with Writer(path, Encoding(frames[0].shape[:2], Fraction(rate), **options)) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def write_at(path: Path, frames: list[np.ndarray], times: list[int], rotation: int | None = None, **flips) -> Path:
    """Lossless frames at times in milliseconds; `rotation` in degrees, counter-clockwise."""
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1" if path.suffix == ".mkv" else "libx264", rate=24)
        stream.height, stream.width = frames[0].shape[:2]
        stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation, **flips)
        for time, pixels in zip(times, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference, in levels of 8 bits."""
    one, other = (pixels / np.float64(np.iinfo(pixels.dtype).max) * 255 for pixels in (one, other))
    return float(np.abs(one - other).mean())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi", ".nut", ".wmv"])
def test_frames_come_back_in_order_and_time(tmp_path, suffix):
    frames = scene(12)
    reader = Reader(write(tmp_path / f"v{suffix}", frames, rate=25, crf=1))
    read = list(reader)
    assert reader.rate == 25
    assert [round(frame.time * 25) for frame in read] == list(range(12))
    assert all(abs(frame.time - Fraction(i, 25)) <= Fraction(1, 1000) for i, frame in enumerate(read))
    assert all(difference(frame.pixels, source) < 3 for frame, source in zip(read, frames, strict=True))


def test_a_clock_of_fields_does_not_double_the_rate(tmp_path):
    with av.open(tmp_path / "v.avi", "w") as container:
        stream = container.add_stream("libx264", rate=50, options={"bf": "0"})  # fields, as FFmpeg copies H.264 to AVI
        stream.height, stream.width = 48, 64
        for i, pixels in enumerate(scene(12, 48, 64)):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = 2 * i, Fraction(1, 50)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    reader = Reader(tmp_path / "v.avi")
    assert reader.rate == 25
    assert [frame.time * 25 for frame in reader] == list(range(12))


def test_what_a_container_tells(tmp_path):
    reader = Reader(write(tmp_path / "v.mp4", scene(12, 50, 70), rate=25))
    assert reader.size == (50, 70)
    assert reader.rate == 25
    assert reader.duration == Fraction(12, 25)
    assert not reader.deep
    assert reader.end is None
    assert len(list(reader)) == len(list(reader)) == 12
    assert reader.end == Fraction(12, 25)
    assert reader.damage is None


@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 24), Fraction(1, 3), Fraction(9, 10), Fraction(2)])
def test_reading_from_a_time_on(tmp_path, start):
    path = write(tmp_path / "v.mp4", scene(48), codec="libx264")
    reader = Reader(path)
    expected = [frame for frame in reader if frame.time >= start]
    found = list(reader.frames(start))
    assert [frame.time for frame in found] == [frame.time for frame in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def encode_at(path: Path, ticks: list[int], codec: str, reordered: int, group: int = 300) -> Path:
    """Frames whose halves tell their tick, of 1/24 s; `reordered` is the number of B-frames between others."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=24, options={"g": str(group)})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = W, H, "yuv420p", 2_000_000
        stream.codec_context.max_b_frames = reordered
        for tick in ticks:
            halves = np.repeat([[17 * (tick // 15), 17 * (tick % 15)]], W // 2, 1)
            frame = av.VideoFrame.from_ndarray(np.broadcast_to(halves[..., None], (H, W, 3)).astype(np.uint8))
            frame.pts, frame.time_base = tick, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copied(source: Path, out: Path, first: Fraction, start: Fraction) -> Path:
    """The packets from `first` seconds on, at times that count from `start`, as programs cut without re-encoding."""
    with av.open(source) as opened, av.open(out, "w") as container:
        stream = container.add_stream_from_template(opened.streams.video[0])
        for packet in opened.demux(video=0):
            if packet.size and packet.pts * packet.time_base >= first:
                ticks = round(start / packet.time_base)
                packet.stream, packet.pts, packet.dts = stream, packet.pts - ticks, packet.dts - ticks
                container.mux(packet)
    return out


def with_ticks(frames: Iterable[video.Frame]) -> Iterator[tuple[video.Frame, int]]:
    for frame in frames:
        high, low = frame.pixels[H // 2, [W // 4, 3 * W // 4], 1] / 17
        yield frame, 15 * round(high) + round(low)


def test_a_hold_among_reordered_frames_is_no_restart(tmp_path):
    ticks = [*range(24), *range(95, 119)]
    reader = Reader(encode_at(tmp_path / "v.mp4", ticks, "libx264", 3))
    read = list(reader)
    assert [round(frame.time * 24) for frame in read] == ticks
    assert abs(reader.end - Fraction(119, 24)) < Fraction(1, 100)
    assert reader.damage is None


def write_unordered(path: Path, times: list[int]) -> Path:
    """Frames at times in milliseconds, of 1000 or more, in any order; Matroska states no decoding times."""
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = H, W
        for i, (time, pixels) in enumerate(zip(times, scene(len(times)), strict=True)):
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")):
                packet.pts, packet.dts, packet.time_base = time, i, Fraction(1, 1000)
                container.mux(packet)
    return path


def test_a_late_frame_after_a_gap_is_left_out(tmp_path):
    """Lossy reception leaves frames of before a gap among those after it."""
    times = [*range(1000, 2000, 40), *range(3800, 3880, 40), 2000, *range(3880, 4800, 40)]
    reader = Reader(write_unordered(tmp_path / "v.mkv", times))
    assert [frame.time * 1000 + 1000 for frame in reader] == sorted(set(times) - {2000})
    assert "has frames no later than the one before (1)" in reader.damage
    assert "restarts" not in reader.damage


@pytest.mark.parametrize("after", [2, 30])
def test_frames_after_a_restart_of_the_clock_follow_those_before(tmp_path, after):
    times = [*range(1000, 2000, 40), *range(1000, 1000 + 40 * after, 40)]
    reader = Reader(write_unordered(tmp_path / "v.mkv", times))
    assert [frame.time * 1000 for frame in reader] == list(range(0, 40 * len(times), 40))
    assert "has a clock that restarts" in reader.damage


@pytest.mark.parametrize("start", [Fraction(1), Fraction(2), Fraction(7, 2)])
def test_reading_from_a_time_on_where_the_clock_restarts(tmp_path, start):
    part = encode_at(tmp_path / "part.ts", list(range(48)), "libx264", 0, 12).read_bytes()
    (tmp_path / "v.ts").write_bytes(part + part)
    found = [(round(frame.time * 24), tick) for frame, tick in with_ticks(Reader(tmp_path / "v.ts").frames(start))]
    assert found == [(place, place % 48) for place in range(round(start * 24), 96)]


@pytest.mark.parametrize(("missing", "rate"), [([1], 24), ([1, 30], 24), (range(1, 72, 2), 12)])
def test_a_few_missing_frames_do_not_change_the_rate(tmp_path, missing, rate):
    ticks = [tick for tick in range(72) if tick not in missing]
    reader = Reader(encode_at(tmp_path / "v.mp4", ticks, "libx264", 0))
    assert [round(frame.time * 24) for frame in reader] == ticks
    assert abs(reader.rate - rate) < Fraction(1, 4)


@pytest.mark.parametrize("start", [Fraction(2), Fraction(7, 2)])
@pytest.mark.parametrize("suffix", [".ts", ".m2ts", ".mpg"])
def test_reading_from_within_the_last_group_of_pictures(tmp_path, suffix, start):
    codec = "mpeg2video" if suffix == ".mpg" else "libx264"
    reader = Reader(encode_at(tmp_path / f"v{suffix}", list(range(96)), codec, 2))
    expected = [(frame.time, tick) for frame, tick in with_ticks(reader.frames()) if frame.time >= start]
    assert [(frame.time, tick) for frame, tick in with_ticks(reader.frames(start))] == expected
    assert len(expected) > 0.8 * (96 - start * 24)


@pytest.mark.parametrize(("codec", "reordered"), [("mpeg4", 0), ("mpeg4", 2), ("libx264", 2), ("wmv2", 0)])
def test_what_an_avi_has_lost_moves_no_other_frame(tmp_path, codec, reordered):
    whole, damaged = encode_at(tmp_path / "whole.avi", list(range(96)), codec, reordered, 12), tmp_path / "damaged.avi"
    with av.open(whole) as source, av.open(damaged, "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            if 20 <= number < 26:
                packet.update(b"\x01" * packet.size)
            packet.stream = stream
            container.mux(packet)
    reader = Reader(damaged)
    read = [(round(frame.time * 24), tick) for frame, tick in with_ticks(reader.frames())]
    assert "frames that cannot be decoded (6)" in reader.damage
    assert len(read) >= 84
    assert all(at == tick for at, tick in read[60:])


@pytest.mark.parametrize("start", [Fraction(0), Fraction(5, 4), Fraction(6)])
@pytest.mark.parametrize(
    ("name", "codec", "reordered"),
    [
        ("v.avi", "mpeg4", 0),
        ("v.avi", "mpeg4", 2),
        ("v.avi", "libx264", 2),
        ("v.m2v", "mpeg2video", 2),
        ("v.ts", "mpeg2video", 2),
    ],
)
def test_frames_from_a_time_on_keep_their_times(tmp_path, name, codec, reordered, start):
    path = encode_at(tmp_path / name, list(range(200)), codec, reordered, 12)
    read = [(round(frame.time * 24), tick) for frame, tick in with_ticks(Reader(path).frames(start))]
    assert read == [(tick, tick) for tick in range(round(start * 24), 200)]


def test_frames_keep_their_times_where_another_reader_ends(tmp_path):
    path = encode_at(tmp_path / "v.avi", list(range(100)), "mpeg4", 0, 12)
    others = [Reader(path).frames() for _ in range(8)]
    read = []
    for frame, tick in with_ticks(Reader(path).frames()):
        read.append((round(frame.time * 24), tick))
        for other in others:
            next(other)
        if others and len(read) % 5 == 0:
            others.pop().close()
    assert read == [(tick, tick) for tick in range(100)]


@pytest.mark.parametrize("pixel_format", ["bgra", "bgr24"])
def test_rows_from_the_bottom_up(tmp_path, pixel_format):
    """Frames of uncompressed AVI with a positive height, which FFmpeg's own muxer never writes."""
    frames = scene(3)
    with av.open(tmp_path / "v.avi", "w") as container:
        stream = container.add_stream("rawvideo", rate=24)
        stream.width, stream.height, stream.pix_fmt = W, H, pixel_format
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels[::-1].copy(), "rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = i, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = bytearray((tmp_path / "v.avi").read_bytes())
    at = data.index(b"strf") + 16  # biHeight
    data[at : at + 4] = H.to_bytes(4, "little", signed=True)
    (tmp_path / "v.avi").write_bytes(data)
    reader = Reader(tmp_path / "v.avi")
    read = list(reader)
    for frame, pixels in zip(read, frames, strict=True):
        np.testing.assert_array_equal(frame.pixels, pixels)
        assert frame.stored is None or np.array_equal(colour.copy(frame.stored).to_ndarray(format="rgb24"), pixels)


@pytest.mark.parametrize("matrix", [colour.BT709, colour.BT601, colour.UNSPECIFIED])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_become_luma_in_grey(matrix, dtype):
    largest = np.iinfo(dtype).max
    pixels = np.zeros((2, 4, 3), dtype)
    pixels[:, :3] = largest * np.eye(3, dtype=dtype)
    pixels[:, 3] = largest // 3
    written = colour.from_rgb(pixels, "gray16le", Colour(matrix, colour.FULL))
    weights = [0.2126, 0.7152, 0.0722] if matrix == colour.BT709 else [0.299, 0.587, 0.114]
    assert np.abs(written.to_ndarray()[0] / 65535 - [*weights, 1 / 3]).max() < 0.003


def test_variable_frame_rate(tmp_path):
    times = [0, 40, 200, 240, 1000, 1040]
    read = list(Reader(write_at(tmp_path / "v.mkv", scene(6), times)))
    assert [frame.time * 1000 for frame in read] == times


@pytest.mark.parametrize("orientation", [1, 2, 6])
def test_frames_with_exif_are_read_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = io.BytesIO()
    Image.fromarray(scene(1, 48, 64)[0]).save(stored, "JPEG", quality=95, exif=exif)
    with av.open(tmp_path / "v.avi", "w") as container:
        stream = container.add_stream("mjpeg", rate=24, width=64, height=48, pix_fmt="yuvj420p")
        for i in range(2):
            packet = av.Packet(stored.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, i, i, Fraction(1, 24)
            container.mux(packet)
    upright = np.array(ImageOps.exif_transpose(Image.open(stored)))
    assert [difference(frame.pixels, upright) < 2 for frame in Reader(tmp_path / "v.avi")] == [True, True]


@pytest.mark.parametrize("turn", [(0, False, False), (90, False, False), (180, False, False), (270, False, False)])
def test_pictures_are_turned_upright(tmp_path, turn):
    rotation, hflip, vflip = turn
    frames = scene(2, 48, 80)
    path = write_at(tmp_path / "v.mp4", frames, [0, 40], rotation, hflip=hflip, vflip=vflip)
    reader = Reader(path)
    upright = [np.rot90(frame, rotation // 90) for frame in frames]
    assert reader.size == upright[0].shape[:2]
    for frame, expected in zip(reader, upright, strict=True):
        assert difference(frame.pixels, expected) < 4


@pytest.mark.parametrize("matrix", [colour.BT709, colour.BT601, 9])
@pytest.mark.parametrize("levels", [colour.LIMITED, colour.FULL])
@pytest.mark.parametrize("deep", [False, True])
def test_colour_tags_are_kept_and_followed(tmp_path, matrix, levels, deep):
    tags = Colour(matrix, levels, 1, 1, chroma.LEFT)
    frames = scene(3, deep=deep)
    path = write(tmp_path / "v.mp4", frames, crf=0, deep=deep, colour=tags)
    reader = Reader(path)
    assert reader.colour == tags
    assert reader.deep == deep
    for frame, source in zip(reader, frames, strict=True):
        assert frame.pixels.dtype == source.dtype
        assert difference(frame.pixels, source) < 2.5  # what half the resolution of colour loses


KR_KB = {colour.BT709: (0.2126, 0.0722), colour.BT601: (0.299, 0.114), 9: (0.2627, 0.0593)}


@pytest.mark.parametrize("matrix", list(KR_KB))
@pytest.mark.parametrize("levels", [colour.LIMITED, colour.FULL])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("yuv", [(100, 90, 170), (200, 120, 130), (60, 150, 110), (235, 128, 128)])
def test_rgb_is_what_the_standards_say(matrix, levels, pixel_format, yuv):
    is_deep = "10" in pixel_format
    step = 4 if is_deep else 1
    frame = av.VideoFrame(32, 32, pixel_format)
    for plane, value in zip(frame.planes, yuv, strict=True):
        values = np.full(plane.buffer_size // (2 if is_deep else 1), value * step, np.uint16 if is_deep else np.uint8)
        plane.update(values.tobytes())
    frame.colorspace, frame.color_range = matrix, levels

    y, u, v = (value * step for value in yuv)
    luma, chroma = (219 * step, 224 * step) if levels == colour.LIMITED else (256 * step - 1, 256 * step - 1)
    y, u, v = (
        (y - (16 * step if levels == colour.LIMITED else 0)) / luma,
        (u - 128 * step) / chroma,
        (v - 128 * step) / chroma,
    )
    kr, kb = KR_KB[matrix]
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    expected = np.clip([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue], 0, 1)

    pixels = colour.to_rgb(frame, (32, 32), is_deep)
    found = pixels[16, 16] / np.iinfo(pixels.dtype).max
    np.testing.assert_allclose(found, expected, atol=(0.3 if is_deep else 1.01) / 255)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"])
@pytest.mark.parametrize("matrix", list(KR_KB))
@pytest.mark.parametrize("levels", [colour.LIMITED, colour.FULL])
def test_there_and_back_leaves_levels_as_they_are(pixel_format, matrix, levels):
    is_deep = "10" in pixel_format
    tags = Colour(matrix, levels)
    first = colour.from_rgb(scene(1, deep=is_deep)[0], pixel_format, tags)
    again = colour.from_rgb(colour.to_rgb(first, (H, W), is_deep), pixel_format, tags)
    for before, after in zip(first.planes, again.planes, strict=True):
        apart = np.abs(planes.values(before, is_deep).astype(int) - planes.values(after, is_deep))
        assert apart.max() <= 1
        assert apart.mean() < (0.02 if levels == colour.LIMITED else 0.05)


@pytest.mark.parametrize(("height", "matrix"), [(576, colour.BT601), (720, colour.BT709)])
def test_an_unspecified_matrix_goes_by_size(height, matrix):
    pixels = np.full((height, 64, 3), (200, 80, 60), np.uint8)
    untold = colour.from_rgb(pixels, "yuv444p", Colour())
    told = colour.from_rgb(pixels, "yuv444p", Colour(matrix, colour.LIMITED))
    assert [bytes(plane) for plane in untold.planes] == [bytes(plane) for plane in told.planes]
    np.testing.assert_allclose(colour.to_rgb(untold, (height, 64), False), pixels, atol=2)


def test_pixels_that_are_not_square(tmp_path):
    path = write(tmp_path / "v.mp4", scene(2), aspect=Fraction(4, 3))
    assert Reader(path).aspect == Fraction(4, 3)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1"])
def test_odd_sides(tmp_path, codec):
    frames = scene(3, 67, 71)
    reader = Reader(write(tmp_path / "v.mp4", frames, codec=codec))
    assert reader.size == (67, 71)
    assert all(difference(frame.pixels, source) < 6 for frame, source in zip(reader, frames, strict=True))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p10le"])
def test_raw_frames_of_any_width_are_passed_on(tmp_path, pixel_format):
    options = {"codec": video.CODECS[".y4m"], "pixel_format": pixel_format}
    raw = Reader(write(tmp_path / "v.y4m", scene(3, 48, 70, deep=True), **options))
    encoding = Encoding(raw.size, raw.rate, codec="ffv1", colour=raw.colour, pixel_format=pixel_format)
    with Writer(tmp_path / "w.mkv", encoding) as writer:
        for frame in raw:
            writer.write(frame)
    for frame, source in zip(Reader(tmp_path / "w.mkv"), raw, strict=True):
        assert np.array_equal(frame.pixels, source.pixels)


def test_ten_bits_are_more_than_eight(tmp_path):
    ramp = np.linspace(20000, 21000, 512).astype(np.uint16)
    frames = [np.broadcast_to(ramp[None, :, None], (32, 512, 3)).copy()]
    read = next(iter(Reader(write(tmp_path / "v.mkv", frames, codec="ffv1", deep=True))))
    assert len(np.unique(read.pixels[16, :, 1])) > 12  # eight bits have 5 here
    np.testing.assert_allclose(read.pixels.astype(float), frames[0], atol=65535 / 1023)


def test_drawings_in_natural_order(tmp_path):
    frames = scene(11)
    for i, pixels in enumerate(frames):
        Image.fromarray(pixels).save(tmp_path / f"drawing{i}.png")
    reader = Reader(tmp_path, Fraction(12))
    assert (reader.size, reader.rate, reader.duration) == ((H, W), 12, Fraction(11, 12))
    for i, (frame, pixels) in enumerate(zip(reader, frames, strict=True)):
        assert frame.time == Fraction(i, 12)
        np.testing.assert_array_equal(frame.pixels, pixels)
    assert reader.end == Fraction(11, 12)
    assert [frame.time for frame in reader.frames(Fraction(1, 2))] == [Fraction(i, 12) for i in range(6, 11)]


def test_drawings_of_every_kind(tmp_path):
    grey = np.full((32, 32), 100, np.uint8)
    clear = np.zeros((32, 32, 4), np.uint8)
    clear[:16] = 10, 20, 30, 255
    image.write(tmp_path / "1.png", np.full((32, 32, 3), 50, np.uint8))
    image.write(tmp_path / "2.png", grey)
    image.write(tmp_path / "3.png", clear)
    image.write(tmp_path / "4.png", np.full((32, 32, 3), 257 * 70, np.uint16))
    first, second, third, fourth = (frame.pixels / 257 for frame in Reader(tmp_path))  # 16 bits, as one has
    assert (first == 50).all()
    assert (second == 100).all()
    assert (third[:16] == (10, 20, 30)).all()
    assert (third[16:] == 255).all()
    assert (fourth == 70).all()


@pytest.mark.parametrize(
    ("suffix", "deep_suffix"), [(".png", ".png"), (".png", ".tif"), (".png", ".ppm"), (".jpg", ".exr")]
)
def test_one_deep_drawing_makes_all_deep(tmp_path, suffix, deep_suffix):
    pixels = np.random.default_rng(0).integers(0, 65536, (H, W, 3), np.uint16)
    for i in range(3):
        Image.fromarray((pixels >> 8).astype(np.uint8)).save(tmp_path / f"{i}{suffix}")
    if deep_suffix == ".exr":
        pytest.importorskip("OpenEXR")
        formats.write(tmp_path / "3.exr", pixels.astype(np.float32) / 65535)
    else:
        cv2.imwrite(str(tmp_path / f"3{deep_suffix}"), pixels[:, :, ::-1])
    reader = Reader(tmp_path)
    frames = [frame.pixels for frame in reader]
    assert reader.deep
    assert {frame.dtype for frame in frames} == {np.dtype(np.uint16)}
    if deep_suffix != ".exr":
        np.testing.assert_array_equal(frames[3], pixels)


def test_alpha_that_tiff_does_not_name_is_kept(tmp_path):
    clear = np.zeros((32, 32, 4), np.uint8)
    clear[:16] = 10, 20, 30, 255
    for i in range(2):
        tifffile.imwrite(tmp_path / f"{i}.tif", clear, photometric="rgb", extrasamples=["unspecified"])
    for frame in Reader(tmp_path, keep_alpha=True):
        np.testing.assert_array_equal(frame.pixels, clear)


def test_clear_drawings_in_exr_stay_clear(tmp_path):
    pytest.importorskip("OpenEXR")
    pixels = np.full((H, W, 4), 0.25, np.float32)
    for i in range(2):
        formats.write(tmp_path / f"{i}.exr", pixels)
    assert next(iter(Reader(tmp_path, keep_alpha=True))).pixels.shape == (H, W, 4)


def test_what_is_no_file_is_a_damaged_drawing(tmp_path):
    for i in range(3):
        Image.new("RGB", (W, H), (80 * i, 0, 0)).save(tmp_path / f"{i}.png")
    os.mkfifo(tmp_path / "3.png")
    (tmp_path / "4.png").symlink_to("nowhere.png")
    (tmp_path / "5.png").mkdir()
    reader = Reader(tmp_path)
    assert len(list(reader)) == 3
    assert "cannot be read (3.png, 4.png, 5.png)" in reader.damage
    assert runs.stamp_of([tmp_path / "2.png", tmp_path / "4.png"]) != runs.stamp_of([tmp_path / "2.png"])


def test_drawings_of_other_profiles_are_reported(tmp_path):
    profile = icc.of_gamma(1.8)
    for i, more in enumerate(({"icc_profile": profile}, {"icc_profile": profile}, {}, {"icc_profile": profile})):
        Image.fromarray(np.full((H, W, 3), 9 * i, np.uint8)).save(tmp_path / f"{i}.png", **more)
    (tmp_path / "3.png").write_bytes(b"damaged")
    note = Reader(tmp_path).notes[-1]
    assert note == "The ICC profile of 2.png is not that of 0.png, which is used for all drawings."
    (tmp_path / "2.png").unlink()
    assert not any("ICC" in note for note in Reader(tmp_path).notes)


def test_a_damaged_drawing_is_left_out_and_reported(tmp_path):
    for i, pixels in enumerate(scene(4)):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (tmp_path / "2.png").write_bytes(b"no picture")
    cut_short = tmp_path / "3.png"
    cut_short.write_bytes(cut_short.read_bytes()[:200])
    reader = Reader(tmp_path)
    assert reader.notes == ("2.png cannot be read: left out; the drawing before is held.",)
    assert [frame.time * 24 for frame in reader] == [0, 1]
    assert "cannot be read (2.png, 3.png)" in reader.damage


def test_drawings_of_other_sizes_are_scaled_and_reported(tmp_path):
    for i, pixels in enumerate([*scene(2), *scene(2, 96, 128)]):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    reader = Reader(tmp_path)
    assert reader.notes == (f"Scaled to the {W}×{H} pixels of 0.png: 2.png (128×96), 3.png (128×96).",)
    assert {frame.pixels.shape for frame in reader} == {(H, W, 3)}


def test_drawings_of_other_sizes_keep_their_colour_where_they_are_clear(tmp_path):
    for name, scale in (("0.png", 1), ("1.png", 2), ("2.png", 0.5)):
        disc = np.zeros((round(H * scale), round(W * scale), 4), np.uint8)
        cv2.circle(disc, (disc.shape[1] // 2, disc.shape[0] // 2), disc.shape[0] // 3, (255, 0, 0, 255), -1)
        image.write(tmp_path / name, disc)
    for frame in Reader(tmp_path, keep_alpha=True):
        drawn = frame.pixels[frame.pixels[:, :, 3] > 20]
        assert (drawn[:, 0] > 240).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif"])
def test_turned_drawings_have_the_size_they_are_shown_with(tmp_path, suffix):
    Image.new("RGB", (W, H)).save(tmp_path / "0.png")
    for i, size in enumerate([(H, W), (W, H)], 1):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", size).save(tmp_path / f"{i}{suffix}", exif=exif)
    assert Reader(tmp_path).notes == (f"Scaled to the {W}×{H} pixels of 0.png: 2{suffix} ({H}×{W}).",)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_alpha_of_an_animated_avif_is_reported(tmp_path, mode):
    frames = [Image.new(mode, (64, 48), (90 * i,) * len(mode)) for i in range(3)]
    frames[0].save(tmp_path / "a.avif", save_all=True, append_images=frames[1:], duration=100)
    notes = Reader(tmp_path / "a.avif").notes
    assert [" is not read; convert it" in note for note in notes] == ([True] if mode == "RGBA" else [])


@pytest.mark.parametrize("continues", [True, False])
def test_a_video_whose_size_changes(tmp_path, continues):
    """Transport streams can be put one behind the other, with a clock that goes on or one that restarts."""
    parts = [write(tmp_path / f"{side}.ts", scene(24, side, side)) for side in (64, 96)]
    path = tmp_path / "v.ts"
    if continues:
        with av.open(path, "w") as container, av.open(parts[0]) as first:
            stream = container.add_stream_from_template(first.streams.video[0], opaque=True)
            for i, part in enumerate(parts):
                with av.open(part) as source:
                    for packet in source.demux(video=0):
                        if packet.size:
                            packet.pts, packet.dts = packet.pts + i * 90000, packet.dts + i * 90000
                            packet.stream = stream
                            container.mux(packet)
    else:
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
    reader = Reader(path)
    read = list(reader)
    assert {frame.pixels.shape for frame in read} == {(64, 64, 3)}
    assert [round(frame.time * 24) for frame in read] == list(range(48))
    assert "changes its size to 96×96" in reader.damage
    assert ("restarts" in reader.damage) != continues


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
def test_a_file_cut_short(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    frames = [np.random.default_rng(i).integers(0, 256, (96, 128, 3), np.uint8) for i in range(72)]
    with video.open_output(path, **({"movflags": "+faststart"} if suffix in (".mp4", ".mov") else {})) as container:
        stream = video.add_video(container, Encoding((96, 128), Fraction(24)))
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
        container.close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    reader = Reader(path)
    read = list(reader)
    assert 20 < len(read) < 72
    assert "of 3.00 s" in reader.damage
    assert reader.damage.endswith("what can be read of it was used.")


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_frames_that_are_lost_at_the_start_are_reported(tmp_path, suffix):
    whole = encode_at(tmp_path / "whole.mp4", list(range(72)), "libx264", 3, 24)
    reader = Reader(copied(whole, tmp_path / f"cut{suffix}", Fraction(7, 24), Fraction(7, 24)))
    first, *_, last = (tick for _, tick in with_ticks(reader))
    assert 20 < first <= 24
    assert last == 71
    assert reader.notes == (f"The first {(first - 7) / 24:.2f} s of {reader.path} cannot be decoded: left out.",)
    assert reader.damage is None
    assert Reader(whole).notes == ()


@pytest.mark.parametrize("sound_lasts", [1, 3, 5])
def test_flv_with_sound_that_is_cut_short(tmp_path, sound_lasts):
    """FLV declares the duration of its longest stream only."""
    with av.open(tmp_path / "whole.flv", "w") as container:
        stream, sound = container.add_stream("flv1", rate=24), container.add_stream("aac", rate=48_000, layout="mono")
        stream.height, stream.width = H, W
        packets = []
        for i, pixels in enumerate(scene(72)):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 24)
            packets += stream.encode(frame)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, sound_lasts * 48_000), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        packets += [*stream.encode(None), *sound.encode(frame), *sound.encode(None)]
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            container.mux(packet)
    reader = Reader(tmp_path / "whole.flv")
    assert len(list(reader)) == 72
    assert reader.damage is None
    data = (tmp_path / "whole.flv").read_bytes()
    (tmp_path / "short.flv").write_bytes(data[: len(data) * 6 // 10])
    reader = Reader(tmp_path / "short.flv")
    assert 10 < len(list(reader)) < 72
    assert re.search(rf"ends at \d\.\d\d s of {max(3, sound_lasts)}\.\d\d s", reader.damage)


def test_a_gap_in_a_transport_stream_is_reported(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 96, 96, 3), np.uint8)
    data = bytearray(write(tmp_path / "whole.ts", list(noise)).read_bytes())
    reader = Reader(tmp_path / "whole.ts")
    assert (len(list(reader)), reader.damage) == (40, None)
    middle = len(data) // 2
    data[middle : middle + 1500] = bytes(1500)  # eight packets
    (tmp_path / "gap.ts").write_bytes(data)
    reader = Reader(tmp_path / "gap.ts")
    list(reader)
    assert re.search(r"has (damaged frames|frames that cannot be decoded) \(\d+\)", reader.damage)


def test_a_palette_is_read_from_standard_input(tmp_path):
    frames = [Image.new("RGB", (W, H), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    program = "from _util import video; print(len(list(video.Reader(video.STREAM, keep_alpha=True))))"
    with (tmp_path / "a.gif").open("rb") as file:
        read = subprocess.run(
            [sys.executable, "-c", program], stdin=file, cwd=ROOT, capture_output=True, text=True, check=True
        )
    assert read.stdout == "3\n"


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("damaged", "says"),
    [
        (lambda data: data[:-99], r"ends within a frame, after 0\.08 s"),
        (
            lambda data: data.replace(b"FRAME", b"EMARF").replace(b"EMARF", b"FRAME", 2),
            r"cannot be read beyond 0\.08 s",
        ),
        (lambda data: data, None),
    ],
)
def test_y4m_that_is_cut_or_damaged_is_reported(tmp_path, is_stream, damaged, says):
    header = f"YUV4MPEG2 W{W} H{H} F24:1 Ip A1:1 C444\n".encode()
    path = tmp_path / "a.y4m"
    path.write_bytes(damaged(header + 3 * (b"FRAME\n" + bytes(3 * W * H))))
    program = "import sys; from pathlib import Path; from _util import video; r = video.Reader(Path(sys.argv[1]))\n"
    program += "print(len(list(r)), r.damage)"
    with path.open("rb") as file:
        command = [sys.executable, "-c", program, "-" if is_stream else path]
        read = subprocess.run(command, stdin=file, cwd=ROOT, capture_output=True, text=True, check=True)
    name = "Standard input" if is_stream else re.escape(str(path))
    expected = rf"2 {name} {says}.*; what can be read of it was used\." if says else "3 None"
    assert re.fullmatch(expected, read.stdout.strip())


@pytest.mark.parametrize("is_stream", [False, True])
def test_damage_is_reported_where_not_all_frames_are_read(tmp_path, is_stream):
    path = write(tmp_path / "whole.mkv", scene(6), codec="mjpeg")
    with av.open(path) as whole, av.open(tmp_path / "v.mkv", "w") as container:
        stream = container.add_stream_from_template(whole.streams.video[0])
        for i, packet in enumerate(packet for packet in whole.demux() if packet.size):
            if i in (2, 5):
                damaged = av.Packet(bytes(packet.size))
                damaged.pts, damaged.dts, damaged.time_base = packet.pts, packet.dts, packet.time_base
                packet = damaged
            packet.stream = stream
            container.mux(packet)
    program = "import sys; from pathlib import Path; from _util import video; r = video.Reader(Path(sys.argv[1]))\n"
    program += "frames = r.frames(); next(frames); next(frames); next(frames); frames.close(); print(r.damage)"
    with (tmp_path / "v.mkv").open("rb") as file:
        command = [sys.executable, "-c", program, "-" if is_stream else file.name]
        read = subprocess.run(command, stdin=file, cwd=ROOT, capture_output=True, text=True, check=True)
    name = "Standard input" if is_stream else file.name
    assert read.stdout.strip() == f"{name} has frames that cannot be decoded (1); what can be read of it was used."


@pytest.mark.parametrize("size", [(48, 64), (49, 67), (270, 480)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le"])
def test_colours_do_not_depend_on_the_number_of_threads(size, pixel_format, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    there, back = [], []
    for threads in (1, 4):
        monkeypatch.setattr(colour, "_THREADS", threads)
        frame = colour.from_rgb(pixels, pixel_format, Colour())
        there.append([planes.rows(plane)[:, : plane.width].copy() for plane in frame.planes])
        back.append(colour.to_rgb(frame, size, colour.is_deep(frame.format)))
    assert all(map(np.array_equal, *there))
    assert np.array_equal(*back)


def test_a_stream_is_written_while_another_thread_keeps_libraries_quiet(capfdbinary):
    with quiet.without_messages(), Writer(video.STREAM, Encoding((H, W), Fraction(24), "rawvideo")) as writer:
        for _ in range(3):
            writer.write(np.zeros((H, W, 3), np.uint8))
    written = capfdbinary.readouterr().out
    assert written.startswith(b"YUV4MPEG2")
    assert written.count(b"FRAME") == 3


def sound_alone(path: Path) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none.mp4", "There is no video"),
        ("sound.mp4", "holds no video"),
        ("text.txt", "choose another file"),
        ("text.mp4", "is not a supported video"),
        ("empty.mp4", "is not a supported video"),
        ("head.mp4", "is not a supported video"),
        ("nothing", r"holds no pictures \(PNG, JPEG"),
        ("texts", "texts holds no picture that can be read: .*1.png is not an image"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, name, says):
    sound_alone(tmp_path / "sound.mp4")
    (tmp_path / "text.txt").write_text("frames\n" * 100)
    (tmp_path / "text.mp4").write_text("frames\n" * 100)
    (tmp_path / "empty.mp4").touch()
    whole = write(tmp_path / "v.mp4", scene(3)).read_bytes()
    (tmp_path / "head.mp4").write_bytes(whole[:200])
    (tmp_path / "nothing").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "1.png").write_text("no picture")
    with pytest.raises(InputError, match=says) as caught:
        Reader(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_video_has_a_rate_of_its_own(tmp_path):
    path = write(tmp_path / "v.mp4", scene(2))
    with pytest.raises(InputError, match="rate of its own"):
        Reader(path, Fraction(12))


def test_frames_without_times_are_as_far_apart_as_the_rate_says(tmp_path):
    """Matroska counts in milliseconds, of which 41 are less than a frame."""
    path = tmp_path / "v.mkv"
    with av.open(path, "w", container_options={"avoid_negative_ts": "disabled"}) as container:
        stream = container.add_stream("libx264", rate=24, pix_fmt="yuv420p", height=64, width=96)
        stream.codec_context.time_base = Fraction(1, 24)
        for i in range(72):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 3 * i, np.uint8), "rgb24")
            frame.pts, frame.time_base = i - 100, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    reader = Reader(path)
    times = [frame.time for frame in reader]
    assert len(times) == 72
    np.testing.assert_allclose([float(time) for time in times], np.arange(72) / 24, atol=0.002)
    assert float(reader.end) == pytest.approx(3, abs=0.002)


@pytest.mark.parametrize(
    ("mean", "rate"),
    [
        (Fraction(76800, 3199), 24),  # of 24 frames whose times are whole milliseconds
        (Fraction(47952, 2000), Fraction(24000, 1001)),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
        (25, 25),
        (Fraction(100, 3), Fraction(100, 3)),  # of GIF
        (Fraction(1, 5), Fraction(1, 5)),
        (Fraction(2402, 100), Fraction(2402, 100)),
    ],
)
def test_a_mean_rate_stands_for_an_exact_one(mean, rate):
    assert decoding._exact(Fraction(mean)) == rate


@pytest.mark.parametrize(("rate", "count"), [(24, 3), (24, 12), (24, 23), (25, 12), (50, 12)])
def test_short_videos_with_times_in_milliseconds_have_the_exact_rate(tmp_path, rate, count):
    path, clock = tmp_path / "v.mp4", Fraction(1, 1000)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate, pix_fmt="yuv420p", height=32, width=32)
        stream.codec_context.time_base = stream.time_base = clock
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((48, 32), 9 * i, np.uint8), "yuv420p")
            frame.pts, frame.time_base = round(i * 1000 / rate), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert Reader(path).rate == rate


def test_mean_rates_of_few_frames_that_are_near_none_are_kept():
    for delay, count in itertools.product(range(2, 20), range(2, 200)):  # of GIF, in hundredths of a second
        rate = Fraction(100, delay)
        assert decoding._exact(rate, count) == rate


def test_a_clock_is_no_rate(tmp_path):
    """Of a few frames of raw DV, FFmpeg states the clock for an average rate."""
    path = tmp_path / "v.dv"
    with av.open(path, "w", format="dv") as container:
        stream = container.add_stream("dvvideo", rate=25, pix_fmt="yuv420p", height=576, width=720)
        for i in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((576, 720, 3), 40 * i, np.uint8), "rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    assert Reader(path).rate == 25
    assert len(list(Reader(path))) == 4


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("v.mp4", {"codec": "libx999"}, "no codec 'libx999'"),
        ("v.mp4", {"codec": "aac"}, "is for audio"),
        ("v.webm", {"codec": "libx264"}, "does not hold libx264"),
        ("v.xyz", {}, "names no container"),
        ("v.mkv", {"codec": "ffv1", "crf": 18}, "no constant rate factor"),
        ("v.mkv", {"codec": "ffv1", "preset": "fast"}, "has no presets"),
        ("v.mp4", {"preset": "hasty"}, "no preset hasty"),
        ("none/v.mp4", {}, "cannot be written"),
    ],
)
def test_encodings_that_cannot_be_had(tmp_path, name, options, says):
    with pytest.raises(InputError, match=says):
        write(tmp_path / name, scene(2), **options)
    assert not list(tmp_path.iterdir())


def test_a_block_left_with_an_exception_leaves_no_file(tmp_path):
    def write_and_fail() -> None:
        with Writer(tmp_path / "v.mp4", Encoding((H, W), Fraction(24))) as writer:
            writer.write(scene(1)[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".nut"])
def test_a_full_disk_leaves_what_was_there(tmp_path, suffix):
    path = tmp_path / f"v{suffix}"
    path.write_text("old")
    temporary_beside(tmp_path / f"v{suffix}").symlink_to("/dev/full")
    with pytest.raises(InputError, match="No space left"):
        write(path, scene(30))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_the_clip():
    reader = Reader(require_shared("data/clip.mp4"))
    frames = list(reader)
    assert len(frames) == 181
    assert reader.size == (480, 640)
    assert reader.end == reader.duration == 181 / Fraction("23.98")  # as its clock has it
    assert reader.rate == Fraction(24000, 1001)
    assert all(one.time < other.time for one, other in itertools.pairwise(frames))
    assert reader.damage is None


def test_a_slower_preset_makes_better_use_of_bits(tmp_path):
    frames = scene(24)
    sizes = [
        write(tmp_path / f"{preset}.mp4", frames, preset=preset).stat().st_size for preset in ("ultrafast", "slow")
    ]
    assert sizes[1] < sizes[0]
