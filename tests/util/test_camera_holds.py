"""Figures on twos and threes under a camera on ones: their holds are found, and nothing else is taken for one."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import pytest

from _util import camera_holds, duplicates

H, W = 180, 320
COUNT = 16


def ground(seed: int = 3) -> np.ndarray:
    """A wide picture of soft shapes, larger than a frame on all sides."""
    random, (h, w) = np.random.default_rng(seed), (3 * H, 3 * W)
    image = np.full((h, w, 3), (150, 170, 190), np.uint8)
    for _ in range(260):
        centre = tuple((random.uniform(size=2) * (w, h)).astype(int).tolist())
        axes = tuple(random.uniform(6, 24, 2).astype(int).tolist())
        cv2.ellipse(image, centre, axes, random.uniform(0, 180), 0, 360, random.uniform(40, 240, 3).tolist(), -1)
    return cv2.GaussianBlur(image, (0, 0), 1.2)


def clip(speeds, hold: int, step=(5.0, 1.0), on_screen: bool = True, zoom: float = 1.0) -> list[np.ndarray]:
    """Frames of a figure that steps every `hold` frames over ground that moves by `speeds` (n, 2)."""
    places = np.vstack([[0, 0], np.cumsum(speeds, axis=0)])
    picture, frames = ground(), []
    for i, place in enumerate(places):
        scale = zoom**i
        shift = place - scale * np.array([W, H]) + (1 - scale) / 2 * np.array([W, H])
        frame = cv2.warpAffine(picture, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]), (W, H))
        drawn = i // hold * hold
        figure = np.array([W / 2, H / 2]) + np.array(step) * (i // hold)
        if not on_screen:
            figure = figure + place - places[drawn]
        draw_figure(frame, figure)
        frames.append(frame)
    return frames


def draw_figure(frame: np.ndarray, place: np.ndarray) -> None:
    x, y = (round(16 * side) for side in place.tolist())
    cv2.ellipse(frame, (x, y), (16 * 24, 16 * 36), 0, 0, 360, (235, 60, 40), -1, cv2.LINE_AA, shift=4)
    for side in (-8, 8):
        cv2.circle(frame, (x + 16 * side, y - 16 * 10), 16 * 4, (20, 20, 90), -1, cv2.LINE_AA, shift=4)


def steady(x: float, y: float = 0) -> np.ndarray:
    return np.tile([float(x), float(y)], (COUNT - 1, 1))


def detect(frames: Iterable[np.ndarray]) -> Iterator[bool]:
    return camera_holds.detect_reduced(map(duplicates.reduced_lab, frames))


@pytest.mark.parametrize("on_screen", [True, False])
@pytest.mark.parametrize("hold", [2, 3])
@pytest.mark.parametrize("speed", [(1.5, 0), (-4, 0), (3, 2)])
def test_holds_under_a_pan(speed, hold, on_screen):
    found = list(detect(clip(steady(*speed), hold, on_screen=on_screen)))
    last = (COUNT - 1) // hold * hold  # the last hold is not seen to end
    assert found[:last] == [i % hold != 0 for i in range(last)]
    assert not any(found[last:])


def test_holds_under_a_zoom():
    found = list(detect(clip(steady(0), 2, zoom=1.015)))
    assert sum(found) >= 5
    assert not any(found[::2])


@pytest.mark.parametrize("on_screen", [True, False])
def test_a_figure_on_ones_has_no_holds(on_screen):
    assert not any(detect(clip(steady(3), 1, on_screen=on_screen)))


def test_a_pan_alone_has_no_holds():
    assert not any(detect(clip(steady(2, 1), COUNT, on_screen=False)))


def test_a_figure_that_only_stands_has_no_holds():
    assert not any(detect(clip(steady(-3), COUNT)))


def test_a_figure_without_a_camera_is_left_to_others():
    assert not any(detect(clip(steady(0), 2)))


def test_an_uneven_pan_loses_nothing():
    speeds = steady(4)
    speeds[::2] *= 0.4
    assert not any(detect(clip(speeds, 2)))


def test_holds_count_where_two_follow_each_other():
    frames = clip(steady(3), COUNT)[:9]
    for i, frame in enumerate(clip(steady(3), 1)[:9]):
        if i not in (4, 5):
            frames[i] = frame
    frames[5] = clip(steady(3), 4)[5]
    assert not any(detect(frames))


def test_few_frames_are_read_ahead():
    read = []

    def frames():
        for i, frame in enumerate(clip(steady(3), 2)):
            read.append(i)
            yield frame

    for i, _ in enumerate(detect(frames())):
        assert len(read) <= i + 1 + camera_holds.LOOKAHEAD


def test_one_answer_a_frame():
    frames = clip(steady(3), 2)
    for count in (0, 1, 2, 7):
        assert len(list(detect(frames[:count]))) == count


def test_answers_do_not_depend_on_what_came_before():
    frames = clip(steady(3, 1), 3)
    once = list(detect(frames))
    cv2.setRNGSeed(99)
    assert list(detect(frames)) == once


def over(frames: list[np.ndarray], draw) -> list[np.ndarray]:
    """The frames (h, w, 3), onto each of which something is redrawn, `draw(frame, number)`."""
    for i, frame in enumerate(frames):
        draw(frame, i)
    return frames


def rain(frame: np.ndarray, number: int) -> None:
    for x, y in np.random.default_rng(number).uniform((0, 0), (W, H), (25, 2)).astype(int).tolist():
        cv2.line(frame, (x, y), (x + 2, y + 11), (225, 230, 240), 1, cv2.LINE_AA)


def walker(frame: np.ndarray, number: int) -> None:
    """A small figure on ones, by 1.5 pixels a frame."""
    for radius, colour in ((12, (20, 20, 30)), (10, (250, 240, 60))):
        cv2.circle(frame, (16 * 60 + 24 * number, 16 * 140), 16 * radius, colour, -1, cv2.LINE_AA, shift=4)


@pytest.mark.parametrize("draw", [rain, walker])
@pytest.mark.parametrize("hold", [2, 3])
def test_what_is_drawn_anew_beside_the_figure_is_not_lost(draw, hold):
    assert not any(detect(over(clip(steady(3), hold), draw)))
