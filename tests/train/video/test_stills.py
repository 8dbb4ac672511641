"""Areas that are not moved: they show what the source shows then, and do not count as drawings."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.video.excerpt import Area
from _train.frame_interpolation.video.interpolate import Options, interpolate_video
from _train.frame_interpolation.video.stills import Stills
from _util.video import Encoding, Frame, Reader, Writer

H, W, COUNT = 96, 160, 18
AREAS = Area(120, 20, 20, 72), Area(24, 16, 4, 4)
CAPTIONS = {7: "How", 13: "so?"}  # from which frame on; the figure steps at 3, 6, 9 …


def frame(i: int, channels: int = 3) -> np.ndarray:
    """A disc on threes, a caption that comes between two of its steps, and a light that blinks."""
    picture = np.full((H, W, channels), 255, np.uint8)
    picture[:, :, :3] = (90, 140, 110)
    cv2.circle(picture, (30 + 4 * (i // 3 * 3), 40), 12, (240, 60, 50, 255), -1, cv2.LINE_AA)
    text = [said for begins, said in CAPTIONS.items() if begins <= i]
    if text:
        cv2.putText(picture, text[-1], (24, 88), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (250, 250, 250, 255), 2)
    picture[6:16, 6:24] = 255 * (i // 2 % 2)
    picture[:, :, 3:] = 255
    return picture


def write(path: Path, channels: int) -> Path:
    source = "bgra" if channels == 4 else "gbrp"
    with Writer(path, Encoding((H, W), Fraction(24), "ffv1", source=source)) as writer:
        for i in range(COUNT):
            writer.write(frame(i, channels))
    return path


def interpolated(folder: Path, still: tuple[Area, ...] | None, channels: int = 3, fps: Fraction | None = None):
    out = folder / "out.mkv"
    create = lambda: (Interpolator(flow="dis", synthesis="splat", device="cpu"), {})  # noqa: E731
    options = Options(codec="ffv1", still=still, fps=fps)
    summary = interpolate_video(write(folder / "in.mkv", channels), out, options, create)
    return summary.drawings, [one.pixels for one in Reader(out, keep_alpha=True)]


def disc(pixels: np.ndarray) -> float:
    """x of its middle."""
    red = pixels[:, :, 0].astype(float) - pixels[:, :, 2]
    red[AREAS[0].slices((H, W))] = 0
    moments = cv2.moments(red.clip(0))
    return moments["m10"] / moments["m00"]


@pytest.mark.parametrize("channels", [3, 4])
def test_areas_show_what_the_source_shows(tmp_path, channels):
    drawings, frames = interpolated(tmp_path, AREAS, channels)
    assert drawings == COUNT // 3
    assert len(frames) == 2 * COUNT
    for k, pixels in enumerate(frames):
        for area in AREAS:
            rows = area.slices((H, W))
            np.testing.assert_array_equal(pixels[rows], frame(k // 2, channels)[rows], f"frame {k}")


def test_areas_are_those_of_their_time_at_a_low_rate(tmp_path):
    """A light that goes on 1/12 s after a frame that is shown for two seconds is not yet there."""
    _, frames = interpolated(tmp_path, AREAS, fps=Fraction(1, 2))
    rows = AREAS[1].slices((H, W))
    np.testing.assert_array_equal(frames[0][rows], frame(0)[rows])


def test_captions_do_not_divide_motion(tmp_path):
    _, frames = interpolated(tmp_path, AREAS)
    steps = np.diff([disc(pixels) for pixels in frames[: 2 * (COUNT - 3) + 1]])
    assert np.abs(steps - 2).max() < 0.2


def test_captions_count_as_drawings_without_areas(tmp_path):
    assert interpolated(tmp_path, None)[0] > COUNT // 3


def test_few_changes_are_kept_of_what_is_made_already():
    """A run that resumes passes by many frames of which none is asked for."""
    areas, start = (Area(24, 16, 4, 4),), Fraction(15)
    frames = [Frame(Fraction(i), np.full((H, W, 3), 40 * (i % 6), np.uint8), None) for i in range(20)]
    stills = Stills(areas, Fraction(1), Fraction(1), start)
    assert len(list(stills.watch(iter(frames)))) == 20
    assert len(stills._contents[0]._coming) == 5
    shown = [stills.over(np.zeros((H, W, 3), np.uint8), frames[0], k)[4, 4, 0] for k in range(15, 20)]
    assert shown == [40 * (i % 6) for i in range(15, 20)]
