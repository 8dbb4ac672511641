"""A figure on twos or threes over a pan on ones: both move evenly in the result."""

from fractions import Fraction

import numpy as np
import pytest

from _train.frame_interpolation.video.detection import mark
from _train.frame_interpolation.video.interpolate import Options
from _train.frame_interpolation.video.timeline import Drawing, stretches
from _util.video import Frame
from tests.util.test_camera_holds import COUNT, clip, steady

RATE = Fraction(24)
STEP = np.array([7.0, 1.0])


def spacing(speed, hold: int, on_screen: bool, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) each: how far ground and figure move from frame to frame of the result, where frames between are exact."""
    numbers = np.arange(COUNT)
    ground = numbers[:, None] * np.array(speed, float)
    figure = (numbers // hold)[:, None] * STEP
    if not on_screen:
        figure = figure + ground - ground[numbers // hold * hold]
    frames = (Frame(i / RATE, pixels) for i, pixels in enumerate(clip(steady(*speed), hold, STEP, on_screen)))
    marked = enumerate(mark(frames, options))
    drawings = [Drawing(one.time, i, one.opens_shot) for i, one in marked if one.picture is not None]
    shown = []
    for stretch in stretches(drawings, lambda: COUNT / RATE, 2 * RATE, rate=RATE):
        for _, t in [*((k, 0.0) for k in stretch.held), *stretch.moving]:
            following = stretch.picture if stretch.following is None else stretch.following
            shown.append([(1 - t) * path[stretch.picture] + t * path[following] for path in (ground, figure)])
    last = (COUNT - 1) // hold * hold  # the last hold has no step to move to
    steps = np.diff(np.array(shown), axis=0)[: 2 * last]
    return steps[:, 0], steps[:, 1]


def unevenness(steps: np.ndarray) -> float:
    """The largest difference of a step from the mean step, as a share of it."""
    mean = steps.mean(0)
    return float(np.linalg.norm(steps - mean, axis=1).max() / np.linalg.norm(mean))


@pytest.mark.parametrize("on_screen", [True, False])
@pytest.mark.parametrize(("speed", "hold"), [((3, 0), 2), ((-4, 1), 2), ((2, -1), 3)])
def test_ground_and_figure_move_evenly(speed, hold, on_screen):
    ground, figure = spacing(speed, hold, on_screen, Options())
    assert unevenness(ground) < 0.2
    assert unevenness(figure) < 0.2


def test_it_can_be_switched_off():
    ground, figure = spacing((3, 0), 2, True, Options(camera_holds=False))
    assert unevenness(ground) < 0.01
    assert unevenness(figure) == pytest.approx(1)
