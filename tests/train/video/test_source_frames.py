"""With IN on the left, a result shows the frame of IN of the same time, whatever counts as a drawing."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from _train.frame_interpolation.video.excerpt import Area, Excerpt
from _train.frame_interpolation.video.interpolate import Options, interpolate_video
from _train.frame_interpolation.video.source_frames import SourceFrames
from _util.video import Frame, Reader
from tests.train.video.test_interpolate_video import Blend, Interrupted

H, W, COUNT = 90, 160, 96
CAPTION = Area(160, 20, 0, 70)
GAP = Fraction(10)  # seconds by which the second half is late in a video of variable rate


def frame(i: int) -> np.ndarray:
    """A pan on ones with a square on twos, and from frame 31 on a caption; the last frames are held."""
    i = min(i, 80)
    wave = np.sin((np.arange(W) + 2 * i) / 5) + np.sin(np.arange(H) / 7)[:, None]
    picture = np.repeat((120 + 40 * wave).astype(np.uint8)[:, :, None], 3, 2)
    picture[20:60, 20 + i // 2 * 2 % 100 :][:, :30] = 240, 200, 40
    if i >= 31:
        cv2.putText(picture, "caption", (30, 85), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)
    return picture


def time_of(i: int, gap: Fraction) -> Fraction:
    return Fraction(i, 24) + (gap if i >= COUNT // 2 else 0)


def write(path: Path, gap: Fraction = Fraction(0)) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=24, pix_fmt="bgr0", height=H, width=W)
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for i in range(COUNT):
            one = av.VideoFrame.from_ndarray(frame(i), "rgb24")
            one.pts, one.time_base = round(1000 * time_of(i, gap)), Fraction(1, 1000)
            container.mux(stream.encode(one))
        container.mux(stream.encode(None))
    return path


def run(source: Path, out: Path, interpolator: Blend, options: Options, **flags) -> list[np.ndarray]:
    interpolate_video(source, out, options, lambda: (interpolator, {}), **flags)
    return [one.pixels for one in Reader(out)]


@pytest.mark.parametrize(
    ("changes", "gap"),
    [
        ({}, 0),
        ({"fps": Fraction(1)}, 0),
        ({"still": (CAPTION,)}, 0),
        ({}, GAP),
        ({"excerpt": Excerpt(Fraction(1, 2), Fraction(5, 2), slowness=Fraction(2)), "times_fps": Fraction(1)}, 0),
        ({"excerpt": Excerpt(crop=Area(100, 80, 10, 0))}, 0),
    ],
)
def test_the_left_half_is_the_frame_of_its_time(tmp_path, changes, gap):
    options = Options(codec="ffv1", side_by_side=True)._replace(**changes)
    source = write(tmp_path / "in.mkv", Fraction(gap))
    frames = run(source, tmp_path / "out.mkv", Blend(), options)
    start, stop, crop, _, slowness = options.excerpt
    fps = options.fps or 24 * options.times_fps
    assert len(frames) == pytest.approx(((stop or 4 + gap) - start) * slowness * fps, abs=1)
    times = [time_of(i, gap) for i in range(COUNT)]
    for k, pixels in enumerate(frames):
        time = start + Fraction(k) / fps / slowness + Fraction(1, 500)  # times are rounded to milliseconds
        expected = frame(max(i for i in range(COUNT) if times[i] <= time))
        expected = crop.view(expected) if crop else expected
        np.testing.assert_array_equal(pixels[:, : expected.shape[1]], expected, f"frame {k}")


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_the_same_frames_when_resumed(tmp_path, suffix):
    options = Options(side_by_side=True)
    source = write(tmp_path / "in.mkv")
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    run(source, whole, Blend(), options)
    with pytest.raises(KeyboardInterrupt):
        run(source, out, Interrupted(110), options)
    run(source, out, Blend(), options, resume=True)
    assert out.read_bytes() == whole.read_bytes()


def test_no_more_frames_are_kept_than_are_to_come():
    """Neither those of finished parts of a run that resumes, nor those of a long hold, of which some are written."""
    coming = SourceFrames(Fraction(48), Fraction(24), start=Fraction(10))
    frames = (Frame(Fraction(i, 24), np.full(1, i), None) for i in range(1000))
    for i, _ in enumerate(coming.watch(frames)):
        if i > 10 * 24:
            coming.forget(2 * i - 20)
        assert len(coming._coming) <= 12
    assert coming.at(2 * 998) == 998
