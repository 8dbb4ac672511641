"""The camera's motion, told from that of a figure."""

import cv2
import numpy as np
import pytest

from _util import camera

H, W = 180, 320


def texture(seed: int, strength: float) -> np.ndarray:
    """(2 h, 2 w) of soft spots about grey."""
    noise = np.random.default_rng(seed).normal(size=(2 * H, 2 * W))
    spots = cv2.GaussianBlur(noise, (0, 0), 2)
    return 128 + strength * spots / spots.std()


def frame(shift: tuple[float, float], zoom: float = 1, figure: tuple[int, int] | None = None) -> np.ndarray:
    """A ground, faint, and on it a figure with many corners."""
    motion = np.array([[zoom, 0, shift[0] - W / 2], [0, zoom, shift[1] - H / 2]])
    picture = cv2.warpAffine(texture(1, 6), motion, (W, H), flags=cv2.INTER_CUBIC)
    if figure is not None:
        x, y = figure
        picture[y : y + 60, x : x + 110] = texture(2, 50)[:60, :110]
    return np.rint(picture).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("shift", [(3, 0), (-1.5, 2), (0.25, 0)])
def test_a_shift(shift):
    found = camera.find(frame((0, 0)), frame(shift), None)
    assert np.abs(found - [[1, 0, shift[0]], [0, 1, shift[1]]]).max() < 0.05


def test_random_numbers_of_opencv_stay():
    cv2.setRNGSeed(5)
    expected = cv2.randu(np.zeros(4), 0, 1).tolist()
    cv2.setRNGSeed(5)
    camera.find(frame((0, 0)), frame((3, 0)), None)
    assert cv2.randu(np.zeros(4), 0, 1).tolist() == expected


def test_a_zoom():
    found = camera.find(frame((0, 0)), frame((0, 0), 1.02), None)
    truth = np.array([[1.02, 0, 0.02 * W / 2], [0, 1.02, 0.02 * H / 2]])
    assert np.abs(camera.displacements(found, (H, W)) - camera.displacements(truth, (H, W))).max() < 0.1


def test_a_figure_with_stronger_corners_is_not_the_camera():
    found = camera.find(frame((0, 0), figure=(90, 40)), frame((3, 0), figure=(98, 44)), None)
    assert np.abs(found - [[1, 0, 3], [0, 1, 0]]).max() < 0.1


def test_the_camera_goes_on():
    """Of two motions that fill as much, the one like the one before is taken."""
    one, other = (np.hstack([frame((x, 0))[:, : W // 2], frame((0, y))[:, : W // 2]]) for x, y in ((0, 0), (3, 2)))
    for before in ([[1, 0, 3.2], [0, 1, 0]], [[1, 0, 0], [0, 1, 2.2]]):
        assert np.abs(camera.find(one, other, np.array(before)) - before).max() < 0.3


@pytest.mark.parametrize("one", [np.full((H, W), 90, np.uint8), frame((0, 0))])
def test_no_camera_where_nothing_moves(one):
    assert camera.find(one, one, None) is None


def test_no_camera_where_only_a_figure_moves():
    assert camera.find(frame((0, 0), figure=(90, 40)), frame((0, 0), figure=(94, 42)), None) is None
