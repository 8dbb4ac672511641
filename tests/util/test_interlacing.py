"""Interlaced and telecined video is found out by its pictures, and made whole frames again."""

import itertools
import warnings
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from _train.frame_interpolation.video.interpolate import Options, interpolate_video
from _util import interlacing
from _util.interlacing import Filters, Finding, Kind
from _util.video import Reader, Treatment
from tests.train.video.first import First

H, W = 96, 128


def moment(i: float) -> np.ndarray:
    """(H, W, 3): two discs on a plain ground, that have moved for `i` steps."""
    pixels = np.full((H, W, 3), 70, np.uint8)
    for x, y, radius, grey in ((30, 40, 20, 220), (90, 60, 16, 20)):
        centre = (x + 20 * np.sin(i / 3), y + 9 * np.sin(i / 4 + x))
        cv2.circle(pixels, [round(16 * side) for side in centre], 16 * radius, (grey,) * 3, -1, cv2.LINE_AA, 4)
    return pixels


def weave(even: np.ndarray, odd: np.ndarray) -> np.ndarray:
    """The even lines of one picture and the odd lines of another."""
    woven = even.copy()
    woven[1::2] = odd[1::2]
    return woven


def interlaced(count: int, top_first: bool = True) -> list[np.ndarray]:
    pairs = ((moment(i), moment(i + 0.5)) for i in range(count))
    return [weave(*pair) if top_first else weave(*pair[::-1]) for pair in pairs]


def telecined(film: list[np.ndarray]) -> list[np.ndarray]:
    """Of four frames, five: A A, B B, B C, C D, D D."""
    frames = []
    for a, b, c, d in zip(*(film[i::4] for i in range(4)), strict=True):
        frames += [a, b, weave(b, c), weave(c, d), d]
    return frames


def write(path: Path, frames: list[np.ndarray], rate: Fraction = Fraction(30000, 1001), flagged: str = "") -> Path:
    """A video; `flagged`: as interlaced, "tff" or "bff"."""
    with av.open(path, "w") as container:
        options = {"crf": "8", "flags": "+ildct+ilme", "x264-params": f"{flagged}=1"} if flagged else {"crf": "8"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width = H, W
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
    return path


def find(path: Path) -> Finding:
    with av.open(path) as container:
        return interlacing.find(container.decode(video=0))


FILM = [moment(i) for i in range(48)]


@pytest.mark.parametrize("flagged", ["", "tff", "bff"])
@pytest.mark.parametrize("top_first", [True, False])
def test_interlaced_video_is_found_by_its_pictures(tmp_path, flagged, top_first):
    found = find(write(tmp_path / "v.mkv", interlaced(30, top_first), flagged=flagged))
    assert found == Finding(Kind.INTERLACED, top_first, bool(flagged))


@pytest.mark.parametrize("flagged", ["", "tff"])
@pytest.mark.parametrize("start", range(5))
@pytest.mark.parametrize("holds", [1, 2])
def test_telecined_film_is_found_wherever_it_begins(tmp_path, flagged, start, holds):
    film = [FILM[i // holds * holds] for i in range(48)]
    found = find(write(tmp_path / "v.mkv", telecined(film)[start:], flagged=flagged))
    assert found.kind is Kind.TELECINED
    assert found.top_first
    assert found.flagged == bool(flagged)


@pytest.mark.parametrize("flagged", ["", "tff"])
def test_two_cycles_are_enough(tmp_path, flagged):
    found = find(write(tmp_path / "v.mkv", telecined(FILM)[:10], flagged=flagged))
    assert found == Finding(Kind.TELECINED, True, bool(flagged))


GROUND = cv2.resize(np.random.default_rng(2).integers(0, 256, (40, 80, 3), np.uint8), (640, 320))


def panned(i: float) -> np.ndarray:
    """(H, W, 3): a ground full of detail, that has moved for `i` steps of 4 pixels."""
    return GROUND[20 : 20 + H, round(4 * i) : round(4 * i) + W]


@pytest.mark.parametrize("top_first", [True, False])
def test_interlaced_pans_over_detail_are_found(tmp_path, top_first):
    pairs = ((panned(i), panned(i + 0.5)) for i in range(30))
    frames = [weave(*pair) if top_first else weave(*pair[::-1]) for pair in pairs]
    assert find(write(tmp_path / "v.mkv", frames)) == Finding(Kind.INTERLACED, top_first)


def test_drawings_held_for_four_fields_are_interlaced(tmp_path):
    fields_of_time = [FILM[i // 4] for i in range(1, 97)]
    frames = [weave(*fields_of_time[i : i + 2]) for i in range(0, 94, 2)]
    assert find(write(tmp_path / "v.mkv", frames)) == Finding(Kind.INTERLACED, True)


def slanted(i: int) -> np.ndarray:
    """(H, W, 3): slanted lines that have moved for `i` steps."""
    y, x = np.mgrid[:H, :W]
    grey = 128 + 100 * np.sin((x - 3 * i + y) / 3)
    return np.repeat(grey[:, :, None].astype(np.uint8), 3, 2)


PAN, SLANTED = [panned(i) for i in range(30)], [slanted(i) for i in range(30)]


def thin_lines(count: int) -> list[np.ndarray]:
    """What is near to combing: lines a pixel thin, that scroll, over a fine pattern that rests."""
    frames = []
    for i in range(count):
        pixels = np.full((H, W, 3), 60, np.uint8)
        pixels[::2, 64:] = 160
        pixels[(i + np.arange(0, H, 12)) % H, :60] = 220
        frames.append(pixels)
    return frames


@pytest.mark.parametrize(
    "frames", [FILM, [FILM[i // 3 * 3] for i in range(48)], thin_lines(48), [FILM[0]] * 20, PAN, SLANTED]
)
@pytest.mark.parametrize("flagged", ["", "tff"])
def test_progressive_video_is_left_as_it_is(tmp_path, frames, flagged):
    path = write(tmp_path / "v.mkv", frames, flagged=flagged)
    if flagged and frames[0] is frames[-1]:  # nothing moves: the flags decide
        assert find(path).kind is Kind.INTERLACED
        return
    assert find(path).kind is Kind.PROGRESSIVE
    reader = Reader(path, treatment=Treatment())
    assert reader.notes == ()
    for one, other in zip(reader, Reader(path), strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize("top_first", [True, False])
def test_interlaced_frames_become_whole(tmp_path, top_first):
    path = write(tmp_path / "v.mkv", interlaced(24, top_first))
    as_it_is = [frame.pixels for frame in Reader(path)]
    reader = Reader(path, treatment=Treatment())
    whole = [frame.pixels for frame in reader]
    assert len(whole) == 24
    assert reader.rate == Fraction(30000, 1001)
    truth = [moment(i) for i in range(24)]
    errors = [np.mean([difference(a, b) for a, b in zip(frames, truth, strict=True)]) for frames in (whole, as_it_is)]
    assert errors[0] < 0.5 * errors[1]
    assert "is interlaced (though it is not flagged so): deinterlaced by bwdif" in reader.notes[0]
    off = Reader(path, treatment=Treatment("off"))
    np.testing.assert_array_equal(next(iter(off)).pixels, as_it_is[0])
    assert "as requested, its frames are not changed" in off.notes[0]


@pytest.mark.parametrize("flagged", ["", "tff"])
def test_telecined_film_comes_back_to_its_frames(tmp_path, flagged):
    path = write(tmp_path / "v.mp4", telecined(FILM), flagged=flagged)
    reader = Reader(path, treatment=Treatment(detelecine=True))
    frames = list(reader)
    assert reader.rate == Fraction(24000, 1001)
    assert len(frames) == 48
    for i, frame in enumerate(frames):
        assert abs(frame.time - i / reader.rate) < Fraction(1, 200)
        assert difference(frame.pixels, FILM[i]) < 1.5
    assert reader.end == pytest.approx(48 / reader.rate, abs=0.01)


def test_frames_that_are_decimated_begin_at_the_start(tmp_path):
    path = write(tmp_path / "v.mp4", FILM[:12], rate=Fraction(12))  # of which decimate leaves out the first
    reader = Reader(path, treatment=Treatment(detelecine=True))
    assert [frame.time for frame in reader] == [i / reader.rate for i in range(10)]
    out = tmp_path / "out.mkv"
    summary = interpolate_video(path, out, Options(detelecine=True), lambda: (First(), {}))
    assert summary.frames == sum(1 for _ in Reader(out)) == 20


def test_drawings_of_telecined_film_are_found(tmp_path):
    film = [FILM[i // 2 * 2] for i in range(48)]
    path = write(tmp_path / "v.mp4", telecined(film))
    for options in (Options(), Options(detelecine=True)):
        out = tmp_path / f"{options.detelecine}.mp4"
        assert interpolate_video(path, out, options, lambda: (First(), {})).drawings == 24
    assert Reader(tmp_path / "True.mp4").rate == Fraction(48000, 1001)


@pytest.mark.parametrize("height", [1, 2, 3])
def test_frames_of_a_few_lines_are_progressive(height):
    frames = [av.VideoFrame.from_ndarray(moment(i)[:height].copy(), "rgb24") for i in range(12)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert interlacing.find(iter(frames)).kind is Kind.PROGRESSIVE


def test_every_frame_is_deinterlaced_where_that_is_asked_for(tmp_path):
    path = write(tmp_path / "v.mkv", FILM)
    one, other = (next(iter(Reader(path, treatment=Treatment(how)))).pixels for how in ("on", "auto"))
    assert difference(one, other) > 0


def test_filters_keep_the_time_of_frames(tmp_path):
    path = write(tmp_path / "v.mkv", interlaced(12), rate=Fraction(25))
    with av.open(path) as container:
        stream = container.streams.video[0]
        chain = Filters((("bwdif", "mode=send_frame:deint=all"),))
        times = [frame.pts * frame.time_base for frame in interlacing.run(chain, container.decode(stream), stream)]
    assert len(times) == 12
    assert all(abs(b - a - Fraction(1, 25)) < Fraction(1, 500) for a, b in itertools.pairwise(times))
