"""What shows the same as a source frame is stored as that is, though RGB cannot represent it."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from _util import colour, planes
from _util.colour import Colour
from _util.remainders import Remainder
from _util.video import Encoding, Reader, Writer

H, W = 96, 128


def saturated(deep: bool = False) -> np.ndarray:
    """Saturated areas with black outlines, whose chroma of half the resolution is outside RGB beside the lines."""
    pixels = np.full((H, W, 3), (250, 250, 20), np.uint8)
    for x, filling in ((24, (255, 0, 0)), (64, (0, 0, 255)), (104, (0, 220, 0))):
        cv2.circle(pixels, (x, 48), 18, filling, -1)
        cv2.circle(pixels, (x, 48), 18, (0, 0, 0), 2)
    return pixels.astype(np.uint16) * 257 if deep else pixels


@pytest.fixture
def source(tmp_path):
    """A function of a pixel format and a range that gives a frame read from a file, with its tags."""

    def make(pixel_format: str, levels: int = colour.LIMITED) -> tuple:
        deep = "10" in pixel_format
        encoding = Encoding((H, W), Fraction(24), "ffv1", colour=Colour(range=levels), pixel_format=pixel_format)
        path = tmp_path / f"{pixel_format}.mkv"
        with Writer(path, encoding) as writer:
            writer.write(saturated(deep))
        reader = Reader(path)
        return next(iter(reader)), encoding._replace(colour=reader.colour)

    return make


def levels(frame: av.VideoFrame) -> list[np.ndarray]:
    return [planes.values(plane, colour.is_deep(frame.format)).astype(int) for plane in frame.planes]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv410p"])
@pytest.mark.parametrize("levels_range", [colour.LIMITED, colour.FULL])
def test_the_same_picture_is_stored_alike(tmp_path, source, pixel_format, levels_range):
    frame, encoding = source(pixel_format, levels_range)
    with Writer(tmp_path / "again.mkv", encoding) as writer:
        writer.write(frame)
        writer.write(frame.pixels.copy(), frame)
    with av.open(tmp_path / "again.mkv") as container:
        first, second = (levels(one) for one in container.decode(video=0))
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(after, before)


def test_what_differs_is_as_it_was_drawn(source):
    frame, encoding = source("yuv420p")
    drawn = frame.pixels.copy()
    drawn[40:56, 50:80] = 128
    converted = colour.from_rgb(drawn, "yuv420p", encoding.colour)
    restored = colour.from_rgb(drawn, "yuv420p", encoding.colour)
    Remainder(frame.stored, frame.pixels, encoding.colour).restore(restored, drawn)
    stored, plain, found = levels(frame.stored), levels(converted), levels(restored)
    np.testing.assert_array_equal(found[0][42:54, 52:78], plain[0][42:54, 52:78])
    np.testing.assert_array_equal(found[1][:12], stored[1][:12])
    assert np.abs(plain[1][:24] - stored[1][:24]).max() > 8  # what would flicker
