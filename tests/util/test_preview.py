"""Previews play: there and back, in every format."""

import os

import numpy as np
import pytest
from PIL import Image, ImageSequence

from _util import preview
from _util.errors import InputError
from _util.files import temporary_beside

av = pytest.importorskip("av")


def frames(count: int, h: int, w: int, channels: int = 3, dtype=np.uint8) -> list[np.ndarray]:
    """A ramp whose brightness grows from frame to frame, with alpha that grows to the right."""
    largest = np.iinfo(dtype).max
    ramp = np.linspace(0.3, 0.5, w)[None, :, None] + np.linspace(0, 0.5, count)[:, None, None, None]
    pictures = np.broadcast_to(ramp, (count, h, w, max(channels, 1))).copy()
    if channels == 4:
        pictures[..., 3] = np.linspace(0, 1, w)
    pictures = (pictures * largest).round().astype(dtype)
    return list(pictures if channels else pictures[..., 0])


def play(path) -> list[np.ndarray]:
    if path.suffix == ".mp4":
        with av.open(path) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with Image.open(path) as animation:
        return [np.array(frame.convert("RGBA")) for frame in ImageSequence.Iterator(animation)]


@pytest.mark.parametrize("suffix", preview.FORMATS)
@pytest.mark.parametrize(("channels", "dtype"), [(0, np.uint8), (3, np.uint8), (4, np.uint8), (3, np.uint16)])
def test_frames_play_there_and_back(tmp_path, suffix, channels, dtype):
    path = tmp_path / f"p{suffix}"
    preview.write_preview(path, frames(4, 33, 47, channels, dtype), fps=12)
    played = play(path)
    brightness = [picture[:, -8:-4, :3].mean() for picture in played]
    assert len(played) == 6
    assert brightness[:4] == sorted(brightness[:4])
    np.testing.assert_allclose(brightness[4:], [brightness[2], brightness[1]], atol=4)
    assert brightness[3] - brightness[0] > 80


@pytest.mark.parametrize("suffix", preview.FORMATS)
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (16, 3000), (16, 40000)])
def test_any_size_can_be_shown(tmp_path, suffix, size):
    path = tmp_path / f"p{suffix}"
    preview.write_preview(path, frames(2, *size), fps=12)
    h, w = play(path)[0].shape[:2]
    assert max(h, w) <= 960
    assert abs(w - min(960, size[1])) <= 1  # H.264 has no odd sides


def test_two_frames_alternate(tmp_path):
    preview.write_preview(tmp_path / "p.webp", frames(2, 16, 16), fps=1)
    assert len(play(tmp_path / "p.webp")) == 2


def test_webp_keeps_alpha(tmp_path):
    pictures = frames(3, 33, 47, 4)
    preview.write_preview(tmp_path / "p.webp", pictures, fps=12)
    np.testing.assert_allclose(play(tmp_path / "p.webp")[0][:, :, 3], pictures[0][:, :, 3], atol=1)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_transparent_ground_is_white_elsewhere(tmp_path, suffix):
    pictures = [np.zeros((32, 32, 4), np.uint8) for _ in range(2)]
    pictures[1][8:24, 8:24] = 255, 0, 0, 255
    preview.write_preview(tmp_path / f"p{suffix}", pictures, fps=12)
    for picture in play(tmp_path / f"p{suffix}"):
        assert (picture[:4, :4, :3] > 250).all()


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_it_plays_for_ever(tmp_path, suffix):
    preview.write_preview(tmp_path / f"p{suffix}", frames(3, 16, 16), fps=10)
    with Image.open(tmp_path / f"p{suffix}") as animation:
        assert animation.info["loop"] == 0


@pytest.mark.parametrize("fps", [1, 12, 24])
def test_mp4_has_the_rate_asked_for(tmp_path, fps):
    preview.write_preview(tmp_path / "p.mp4", frames(3, 32, 32), fps=fps)
    with av.open(tmp_path / "p.mp4") as container:
        assert container.streams.video[0].average_rate == fps


@pytest.mark.parametrize("side", [64, 960])
def test_mp4_has_the_colours_of_its_frames_at_every_height(tmp_path, side):
    from _util import video

    pictures = [np.full((side, side, 3), (220, 40, 60), np.uint8) for _ in range(2)]
    for name in ("p.mp4", "again.mp4"):
        preview.write_preview(tmp_path / name, pictures, fps=12)
    assert (tmp_path / "p.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
    for frame in video.Reader(tmp_path / "p.mp4"):
        assert np.abs(frame.pixels[::16, ::16].astype(int) - (220, 40, 60)).max() <= 3


@pytest.mark.parametrize("name", ["p.avi", "p", "p.png", ".webp"])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="must end in"):
        preview.write_preview(tmp_path / name, frames(2, 16, 16), fps=12)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("suffix", preview.FORMATS)
def test_a_full_disk_leaves_what_was_there(tmp_path, suffix):
    path = tmp_path / f"p{suffix}"
    path.write_text("old")
    temporary_beside(tmp_path / f"p{suffix}").symlink_to("/dev/full")
    with pytest.raises(InputError, match="No space left"):
        preview.write_preview(path, frames(3, 64, 64), fps=12)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_exposures_and_forward_alone(tmp_path):
    path = tmp_path / "p.mp4"
    preview.write_preview(path, iter(frames(3, 32, 32)), 12, exposures=[3, 1, 2], there_and_back=False)
    brightness = [frame.mean() for frame in play(path)]
    assert len(brightness) == 6
    steps = np.diff(brightness)
    assert (steps[[2, 3]] > 20).all()
    assert (np.abs(steps[[0, 1, 4]]) < 5).all()


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
@pytest.mark.parametrize("fps", [12, 24])
def test_animations_take_the_time_of_their_frames(tmp_path, suffix, fps):
    path = tmp_path / f"p{suffix}"
    preview.write_preview(path, frames(24, 16, 16), fps, there_and_back=False)
    with Image.open(path) as animation:
        shown = [frame.copy().info["duration"] for frame in ImageSequence.Iterator(animation)]
    assert abs(sum(shown) - 24_000 / fps) < 1  # ms
    assert max(shown) - min(shown) <= 10


@pytest.mark.parametrize(("suffix", "shortest"), [(".gif", 20), (".webp", 11)])
def test_no_frame_is_so_short_that_browsers_slow_it_down(tmp_path, suffix, shortest):
    path = tmp_path / f"p{suffix}"
    preview.write_preview(path, frames(240, 16, 16), 240, there_and_back=False)
    with Image.open(path) as animation:
        shown = [frame.copy().info["duration"] for frame in ImageSequence.Iterator(animation)]
    assert min(shown) >= shortest
    assert abs(sum(shown) - 1000) < 20
