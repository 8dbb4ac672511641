"""Animated pictures keep their colours, and the profile and resolution of what they are made of."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from _util import animations, icc, png

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 31, 4), np.uint8)


@pytest.mark.parametrize("suffix", [".webp", ".apng"])
@pytest.mark.parametrize("gamma", [1.0, 1.8])
@pytest.mark.parametrize("others", [[], [PICTURE], [PICTURE[::-1]]])
def test_profiles_are_kept(tmp_path, suffix, gamma, others):
    profile = icc.of_gamma(gamma)[: None if gamma == 1 else -1]  # of an odd length, too
    path = tmp_path / f"a{suffix}"
    animations.write(path, [PICTURE, *others], Fraction(12), (png.icc_chunk(profile),))
    with Image.open(path) as animation:
        assert animation.info["icc_profile"] == profile
        shown = np.array(animation.convert("RGBA"))
    is_seen = PICTURE[:, :, 3] > 0
    np.testing.assert_array_equal(shown[is_seen], PICTURE[is_seen])


def test_an_apng_with_a_profile_is_read_without_a_crash(tmp_path):
    path = tmp_path / "a.apng"
    animations.write(path, [PICTURE, PICTURE[::-1]], Fraction(12), (png.icc_chunk(icc.of_gamma(1.8)),))
    read = f"[(list(video.Reader({str(path)!r})), gc.collect()) for _ in range(9)]"
    assert subprocess.run([sys.executable, "-c", f"import gc; from _util import video; {read}"]).returncode == 0


@pytest.mark.parametrize("others", [[], [PICTURE[::-1]]])
def test_an_apng_states_its_resolution_once(tmp_path, others):
    path = tmp_path / "a.apng"
    tags = tuple(filter(None, [png.resolution_chunk(11811, 11811), png.icc_chunk(icc.of_gamma(1.8))]))
    animations.write(path, [PICTURE, *others], Fraction(12), tags)
    data = path.read_bytes()
    assert data.count(b"pHYs") == 1
    assert png.read(data) == tags
    with Image.open(path) as animation:
        assert animation.n_frames == 1 + len(others)
        np.testing.assert_array_equal(np.array(animation.convert("RGBA")), PICTURE)


@pytest.mark.parametrize("channels", [3, 4])
def test_what_rests_in_a_gif_keeps_its_colours(tmp_path, channels):
    """A dot over a ground of thousands of colours, a red dot that appears, and a cut to another ground."""
    path, (y, x) = tmp_path / "a.gif", np.indices((60, 90))
    ground = np.stack([2.8 * x, 4 * y, x + y], 2).astype(np.uint8)
    frames = [ground.copy() for _ in range(4)] + [255 - ground]
    for i, frame in enumerate(frames):
        frame[20:30, 10 * i : 10 * i + 10] = (0, 0, 255)
    frames[3][50:52, 50:52] = (255, 0, 0)
    opaque = [np.dstack([frame, np.full_like(frame[..., :1], 255)])[..., :channels] for frame in frames]
    animations.write(path, opaque, Fraction(12))
    shown = []
    with Image.open(path) as animation:
        for i in range(animation.n_frames):
            animation.seek(i)
            shown.append(np.array(animation.convert("RGB")).astype(int))
    for frame, drawn in zip(frames, shown, strict=True):
        assert np.abs(frame - drawn).mean() < 5
    for i in (1, 2):
        rests = (frames[i] == frames[i - 1]).all(2)
        np.testing.assert_array_equal(shown[i][rests], shown[i - 1][rests])
    assert np.abs(shown[3][50:52, 50:52] - (255, 0, 0)).max() < 20
