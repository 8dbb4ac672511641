"""Frames of a new rate lie evenly between drawings, whatever the rates, and never between shots."""

from fractions import Fraction

import numpy as np
import pytest

from _train.frame_interpolation.video.timeline import Drawing, Repeat, Stretch, stretches

F = Fraction


def spread(starts, end, fps, rate=24, cuts=()) -> list[tuple[int, float]]:
    """For each new frame the drawing it comes from and the time between that and the next, by number of the frame."""
    drawings = [Drawing(F(start), i, i == 0 or i in cuts) for i, start in enumerate(starts)]
    frames = {}
    for stretch in stretches(drawings, lambda: F(end), F(fps), rate=F(rate)):
        assert stretch.following in (stretch.picture + 1, None)
        assert bool(stretch.moving) == (stretch.following is not None)
        for k in stretch.held:
            frames[k] = (stretch.picture, 0.0)
        for k, t in stretch.moving:
            assert 0 < t < 1
            frames[k] = (stretch.picture, t)
    assert list(frames) == list(range(len(frames)))
    return list(frames.values())


def positions(frames: list[tuple[int, float]]) -> list[float]:
    return [picture + t for picture, t in frames]


@pytest.mark.parametrize("hold", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("fps", [24, 30, 48, 50, 60, F(60000, 1001), 120])
def test_motion_is_even_over_held_drawings(hold, fps):
    starts = [F(hold * i, 24) for i in range(10)]
    frames = spread(starts, F(hold * 10, 24), fps)
    assert len(frames) == round(F(hold * 10, 24) * fps)
    moving = [p for p in positions(frames) if p < 9]
    expected = [float(k / F(fps) * 24 / hold) for k in range(len(moving))]
    np.testing.assert_allclose(moving, expected, atol=0.051 * 24 / hold / float(fps))
    assert all(p == 9 for p in positions(frames)[len(moving) :])


@pytest.mark.parametrize("late", [F(1, 100), F(1, 24), F(3, 24)])
def test_the_first_drawing_is_shown_from_the_start(late):
    frames = spread([late, F(4, 24), F(5, 24)], F(6, 24), 48)  # `spread` finds out that none is missing
    assert len(frames) == 12
    assert frames[0] == (0, 0.0)
    assert frames[8] == (1, 0.0)


def test_drawings_pass_through_where_they_fall_on_a_frame():
    frames = spread([F(i, 12) for i in range(6)], F(1, 2), 48)
    assert frames[::4] == [(i, 0.0) for i in range(6)]
    assert [t for _, t in frames[:4]] == [0, 0.25, 0.5, 0.75]


def test_times_rounded_to_milliseconds_still_pass_drawings_through():
    rate = F(24000, 1001)
    starts = [F(round(i / rate * 1000), 1000) for i in range(240)]
    frames = spread(starts, 240 / rate, 2 * rate, rate)
    assert frames[::2] == [(i, 0.0) for i in range(240)]


def test_the_same_rate_without_repeats_changes_nothing():
    assert spread([F(i, 24) for i in range(10)], F(10, 24), 24) == [(i, 0.0) for i in range(10)]


def test_half_the_rate_takes_every_other_frame():
    assert spread([F(i, 24) for i in range(10)], F(10, 24), 12) == [(i, 0.0) for i in range(0, 10, 2)]


@pytest.mark.parametrize("fps", [F(1, 4), F(1, 2), F(1), F(2)])
def test_the_lowest_rates_show_the_drawings_of_their_times(fps):
    frames = spread([F(i, 24) for i in range(192)], F(8), fps)
    assert frames == [(round(k * 24 / fps), 0.0) for k in range(round(8 * fps))]


def test_nothing_moves_over_a_cut():
    frames = spread([F(i, 12) for i in range(6)], F(1, 2), 48, cuts=[3])
    assert frames[8:12] == [(2, 0.0)] * 4
    assert frames[12] == (3, 0.0)
    assert any(t for picture, t in frames if picture == 3)


def test_the_last_drawing_is_held_to_the_end():
    assert spread([0, F(1, 24)], 10, 48)[3:] == [(1, 0.0)] * 477


def test_one_drawing():
    assert spread([0], 2, 48) == [(0, 0.0)] * 96
    assert spread([0], F(1, 1000), 24) == [(0, 0.0)]


def test_a_pose_rests_and_leaves_at_the_pace_it_was_reached_at():
    starts = [0, F(1, 8), F(2, 8), F(18, 8), F(19, 8)]  # on threes, then a pose of two seconds
    frames = spread(starts, F(20, 8), 48)
    pose = [t for picture, t in frames if picture == 2]
    assert len(pose) == 96
    assert pose[:90] == [0] * 90
    np.testing.assert_allclose(pose[90:], np.arange(6) / 6, atol=1e-6)


def test_a_pose_at_the_start_of_a_shot_leaves_on_twos():
    frames = spread([0, F(1, 8), F(2), F(3)], F(4), 48, cuts=[1])
    pose = [t for picture, t in frames if picture == 2]
    np.testing.assert_allclose(pose[-4:], [0, 0.25, 0.5, 0.75])
    assert pose[:-4] == [0] * (48 - 4)


def test_low_rates_do_not_rest():
    frames = spread([0, 1, 2], 3, 4, rate=1)
    assert positions(frames) == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2, 2, 2]


def test_variable_frame_rate():
    frames = spread([0, F(1, 10), F(1, 4), F(3, 10)], F(4, 10), 20, rate=10)
    assert positions(frames) == pytest.approx([0, 0.5, 1, 1 + 1 / 3, 1 + 2 / 3, 2, 3, 3])


def test_long_holds_are_ranges():
    drawings = [Drawing(F(0), "a", True), Drawing(F(10**7), "b", False)]
    first, last = stretches(drawings, lambda: F(10**7 + 1), F(60), rate=F(24))
    assert len(first.held) + len(first.moving) == 60 * 10**7
    assert len(first.moving) < 60
    assert len(last.held) == 60


def shown(found: list[Stretch]) -> list[tuple]:
    """For each new frame what it is made of."""
    frames = []
    for stretch in found:
        frames += [(k, stretch.picture) for k in stretch.held]
        frames += [(k, stretch.picture, stretch.following, t) for k, t in stretch.moving]
        assert stretch.stop == len(frames)
    return frames


@pytest.mark.parametrize("fps", [F(1, 2), F(10), F(24), F(60000, 1001)])
@pytest.mark.parametrize("longest_hold", [F(1, 100), F(1, 4), F(2)])
def test_long_holds_in_pieces_are_as_in_one(fps, longest_hold):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.choice([F(1, 24), F(1, 24), F(1, 10), F(1)], 400))
    drawings: list[Drawing | Repeat] = [Drawing(F(0), 0, True)]
    for i, time in enumerate(times):
        is_drawing = rng.random() < (0.5 if i // 40 % 2 else 0.05)
        drawings.append(Drawing(time, i, bool(rng.random() < 0.2)) if is_drawing else Repeat(time))
    options = {"end": lambda: times[-1] + F(1, 24), "fps": fps, "rate": F(24), "longest_hold": longest_hold}
    pieces = list(stretches(drawings, **options))
    whole = list(stretches([one for one in drawings if isinstance(one, Drawing)], **options))
    assert shown(pieces) == shown(whole)
    moves = [[one[3:] for one in found if one.onward is not None] for found in (pieces, whole)]
    assert moves[0] == moves[1]


def test_a_long_hold_is_written_while_it_is_read():
    read = []

    def frames():
        for i in range(10_000):
            read.append(F(i, 24))
            yield Repeat(read[-1]) if i % 5000 else Drawing(read[-1], i, False)

    for stretch in stretches(frames(), lambda: F(10_000, 24), F(48), rate=F(24)):
        assert read[-1] - F(stretch.stop, 48) < F(1, 2)
