"""Hints: how they are written, what is refused, and that what they speak of goes where they say."""

import json

import cv2
import numpy as np
import pytest
import torch

from _databacks.figures import Figures
from _train.frame_interpolation.benchmarks.hinting import choose
from _train.frame_interpolation.guides import cutouts, hints
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.interpolator import Interpolator
from _util.errors import InputError
from _util.similarity import Similarity, about, fitted

SIMPLE = {"flow": "dis", "synthesis": "splat", "device": "cpu"}
SIZE = (120, 200)


def test_points_and_strokes():
    assert hints.parse("1,2.5:-0,4") == Hint(((1, 2.5),), ((0, 4),))
    stroke = hints.parse("0,0,10,0:5,5,5,25,5,45")
    assert len(stroke.start) == 2
    assert len(stroke.end) == 3
    samples = stroke.samples()
    np.testing.assert_allclose(samples[0], [[0, 0], [5, 5]])
    np.testing.assert_allclose(samples[-1], [[10, 0], [5, 45]])
    np.testing.assert_allclose(np.diff(samples[:, 1, 1]), 5)  # evenly along the stroke


@pytest.mark.parametrize("text", ["1,2", "1,2:3", "a,b:1,2", "1,2:3,4:5,6", "1,2:3,4,5,6", "nan,1:2,3", "", ":"])
def test_what_is_no_hint(text):
    with pytest.raises(InputError):
        hints.parse(text)


def test_files_tell_gaps(tmp_path):
    path = tmp_path / "hints.json"
    entries = [
        {"key": "b", "from": [1, 2], "to": [3, 4]},
        {"key": "a", "from": [[1, 2], [5, 6]], "to": [[3, 4], [7, 8]]},
        {"key": "b", "from": [9, 9], "to": [9, 8]},
    ]
    path.write_text(json.dumps({"hints": entries}))
    read = hints.read(path, ["a", "b", "c"])
    assert {gap: len(of_gap) for gap, of_gap in read.items()} == {0: 1, 1: 2}
    assert read[1][0] == Hint(((1, 2),), ((3, 4),))


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        '{"hints": {}}',
        '{"hints": [{"key": "c", "from": [1, 2], "to": [3, 4]}]}',  # the last key begins no gap
        '{"hints": [{"key": "x", "from": [1, 2], "to": [3, 4]}]}',
        '{"hints": [{"from": [1, 2], "to": [3, 4]}]}',  # of two gaps
        '{"hints": [{"key": "a", "from": [1, 2]}]}',
        '{"hints": [{"key": "a", "from": [1], "to": [3, 4]}]}',
        '{"hints": [{"key": "a", "from": [1, true], "to": [3, 4]}]}',
        '{"hints": [{"key": "a", "from": [1, 2], "to": [[3, 4], [5, 6]]}]}',
        '{"hints": [{"key": ["a"], "from": [1, 2], "to": [3, 4]}]}',
        '{"hints": [{"key": "a", "from": [1, 2], "to": [3, 4], "to": [5, 6]}]}',
        '{"hints": [{"key": "a", "from": [1, NaN], "to": [3, 4]}]}',
        "[" * 100_000,
    ],
)
def test_files_that_are_refused(tmp_path, document):
    path = tmp_path / "hints.json"
    path.write_text(document)
    with pytest.raises(InputError, match=r"hints\.json"):
        hints.read(path, ["a", "b", "c"])


def test_hints_found_beside_keys_may_be_of_keys_that_begin_no_gap(tmp_path, capsys):
    path = tmp_path / "hints.json"
    path.write_text(json.dumps({"hints": [{"key": key, "from": [1, 2], "to": [3, 4]} for key in "abcxx"]}))
    assert set(hints.read(path, ["a", "b", "c"], is_found=True)) == {0, 1}
    assert capsys.readouterr().err == f"{path}: hints of c, x are not used, as no gap begins there.\n"
    assert set(hints.read(path, ["a", "b", "c"], is_loop=True, is_found=True)) == {0, 1, 2}
    assert "hints of x are" in capsys.readouterr().err


def test_what_is_not_read_of_a_file_is_reported(tmp_path, capsys):
    path = tmp_path / "hints.json"
    path.write_text('{"hint": [], "hints": []}')
    assert hints.read(path, ["a", "b"]) == {}
    assert capsys.readouterr().err == f'{path} has hint beside "hints", which is not read.\n'


def test_hints_outside_and_against_one_another():
    good = Hint(((10, 10),), ((199, 119),))
    hints.check([good, good, Hint(((50, 50),), ((20, 20),))], SIZE)
    for bad in (Hint(((200, 10),), ((10, 10),)), Hint(((10, 10),), ((10, -1),))):
        with pytest.raises(InputError, match=r"Hint 2 (begins|ends) at .*, outside"):
            hints.check([good, bad], SIZE)
    for other in (Hint(((10, 10),), ((150, 100),)), Hint(((90, 10),), ((199, 119),))):
        with pytest.raises(InputError, match="Hints 2 and 3 contradict"):
            hints.check([Hint(((50, 50),), ((20, 20),)), good, other], SIZE)


@pytest.mark.parametrize(
    "bad",
    [
        "18,25:28,25",
        {"from": [18, 25], "to": [28, 25]},
        ((18, 25), (28, 25)),
        Hint(((18, 25),), ((28, 25),)),
        None,
        [Hint((18, 25), (28, 25))],
        [Hint((), ())],
        [Hint(((18, 25),), ((28, 25, 1),))],
        [Hint((("18", "25"),), ((28, 25),))],
        [Hint(((18, 25), (1,)), ((28, 25), (2, 2)))],
    ],
)
def test_what_is_no_list_of_hints(bad):
    with pytest.raises(InputError, match="Hints are a list of strokes in both frames"):
        hints.check(bad, SIZE)


def test_a_point_with_a_stroke_or_no_number_is_refused_from_python():
    with pytest.raises(InputError, match="Hint 1 pairs a point with a stroke"):
        hints.check([Hint(((18, 25),), ((28, 25), (30, 25)))], SIZE)
    with pytest.raises(InputError, match="Hint 1 has a coordinate that is not finite"):
        hints.check([Hint(((18, float("nan")),), ((28, 25),))], SIZE)


def test_hints_in_pictures_too_long_to_be_warped_are_refused():
    hint = hints.parse("1,2:3,4")
    hints.check([hint], (24, 32766))
    hints.check([], (24, 33000))
    with pytest.raises(InputError, match="up to 32766 pixels a side; these are 33000×24"):
        hints.check([hint], (24, 33000))


def test_a_point_and_a_stroke_of_one_point_are_refused():
    for start, end in (([14, 24], [[20, 24]]), ([[14, 24]], [20, 24]), ([14, 24], [[20, 24], [30, 24]])):
        with pytest.raises(InputError, match=r"f, hint 1 pairs a point with a stroke; give two points, or two strokes"):
            hints.of_entries("f", [{"from": start, "to": end}], ["a", "b"])
    (hint,) = hints.of_entries("f", [{"from": [[14, 24]], "to": [[20, 24]]}], ["a", "b"])[0]
    assert hint == hints.Hint(((14, 24),), ((20, 24),))


def test_points_that_coincide_are_shifted():
    assert fitted(np.array([50 + 50j, 50 + 50j]), np.array([60 + 60j, 70 + 60j])) == Similarity(1, 15 + 10j)


def test_a_similarity_moves_on_an_arc():
    quarter = about(10 + 20j, 1j, 10 + 20j)
    half = quarter.at(0.5)
    assert half(15 + 20j) == pytest.approx(10 + 20j + 5 * np.exp(0.25j * np.pi))
    assert half(half(3 - 4j)) == pytest.approx(quarter(3 - 4j))
    straight = Similarity(1, 8 - 2j).at(0.25)
    assert straight(1 + 1j) == pytest.approx(3 + 0.5j)


def test_a_piece_turns_about_its_joint():
    """A forearm that hangs on an upper arm goes as a chain of two turns does."""
    empty = np.zeros((1, 1), bool)
    upper = about(0j, np.exp(1j), 0j)
    lower = about(10 + 0j, np.exp(0.2j), upper(10 + 0j))
    shoulder = cutouts.Piece(empty, empty, upper, 5)
    elbow = cutouts.Piece(empty, empty, lower, 15, shoulder, 10 + 0j)
    for t in (0.25, 0.5, 1.0):
        assert elbow.at(t)(18) == pytest.approx(10 * np.exp(1j * t) + 8 * np.exp(0.2j * t))


def picture(t: float, colour: tuple[int, int, int, int] = (200, 60, 50, 255)) -> np.ndarray:
    """RGBA: a bar that turns by 70° about its end over a striped ground, and a disc that rests far off."""
    canvas = np.full((*SIZE, 4), 255, np.uint8)
    canvas[:, :, 1] = 150 + 60 * (np.arange(SIZE[1]) // 12 % 2)
    angle = np.radians(-125 + 70 * t)
    end = bar_end(t, 44)
    side = 7 * np.array([-np.sin(angle), np.cos(angle)])
    corners = np.array([PIVOT + side, end + side, end - side, PIVOT - side])
    fixed = (corners * 16).round().astype(np.int32)
    cv2.fillPoly(canvas, [fixed], colour, cv2.LINE_AA, 4)
    cv2.polylines(canvas, [fixed], True, (20, 20, 20, 255), 2, cv2.LINE_AA, 4)
    cv2.circle(canvas, (185, 100), 8, (40, 80, 220, 255), -1, cv2.LINE_AA)
    return canvas


PIVOT = np.array([80.0, 85.0])


def bar_end(t: float, length: float) -> np.ndarray:
    angle = np.radians(-125 + 70 * t)
    return PIVOT + length * np.array([np.cos(angle), np.sin(angle)])


def hint(*lengths: float) -> Hint:
    return Hint(*(tuple(tuple(bar_end(t, length)) for length in lengths) for t in (0, 1)))


@pytest.mark.parametrize("lengths", [(22,), (8, 36)])
@pytest.mark.parametrize("channels", [3, 4])
def test_what_is_hinted_at_goes_where_it_is_said(lengths, channels):
    """Whichever method draws; here one that fails by itself."""
    keys = [np.ascontiguousarray(picture(t)[:, :, :channels]) for t in (0, 1)]
    truth = picture(0.5)[:, :, :channels].astype(int)
    interpolator = Interpolator(**SIMPLE)
    (automatic,) = interpolator(*keys)
    (hinted,) = interpolator(*keys, hints=[hint(*lengths)])
    assert hinted.shape == automatic.shape
    errors = [abs(frame - truth).mean() for frame in (automatic, hinted)]
    assert errors[1] < 0.5 * errors[0]
    x, y = bar_end(0.5, 30).round().astype(int)
    np.testing.assert_allclose(hinted[y, x], truth[y, x], atol=12)


def test_what_is_far_stays_bit_by_bit():
    keys = picture(0), picture(1)
    interpolator = Interpolator(**SIMPLE)
    (automatic,) = interpolator(*keys)
    (hinted,) = interpolator(*keys, hints=[hint(22)])
    free = np.ones(SIZE, np.uint8)
    start, end = (tuple(map(int, bar_end(t, 22).round())) for t in (0, 1))
    cv2.line(free, start, end, 0)
    far = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > 0.25 * SIZE[1]
    assert far.mean() > 0.3
    np.testing.assert_array_equal(hinted[far], automatic[far])
    assert (hinted != automatic).any()


def test_hints_on_ground_move_what_is_around():
    """Noise, which has no pieces, moves by ten pixels; a hint says so and does no harm to what rests."""
    noise = cv2.GaussianBlur(np.random.default_rng(1).random((120, 220, 3)), None, 2.5)
    scene = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    keys = np.ascontiguousarray(scene[:, 10:210]), np.ascontiguousarray(scene[:, :200])
    interpolator = Interpolator(**SIMPLE)
    frames = [interpolator(*keys, hints=of)[0] for of in ([], [Hint(((80, 60),), ((104, 60),))])]
    assert abs(frames[0][50:70, 85:100].astype(int) - frames[1][50:70, 85:100]).mean() > 2
    np.testing.assert_array_equal(frames[0][:, :20], frames[1][:, :20])


def test_times_are_independent():
    keys = picture(0), picture(1)
    interpolator = Interpolator(**SIMPLE)
    both = interpolator(*keys, times=[0.3, 0.6], hints=[hint(22)])
    (alone,) = interpolator(*keys, times=[0.6], hints=[hint(22)])
    np.testing.assert_array_equal(both[1], alone)


def drawn_with_parts(keys, t: float, *own: float, hints=(), mask: np.ndarray | None = None) -> np.ndarray:
    """The frame at t, with as many parts as there are times of their own: all the bar, or a mask."""
    interpolator = Interpolator(**SIMPLE)
    mask = (keys[0][:, :, 0] == 200).astype(np.float32) if mask is None else mask
    pair = interpolator.prepare(*keys, hints, [mask] * len(own))
    (wait,) = interpolator.draw(pair, [t], [[time] for time in own])
    return wait()


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("own", [0.25, 0.75])
def test_a_part_follows_hints_at_its_own_time(channels, own):
    keys = [np.ascontiguousarray(picture(t)[:, :, :channels]) for t in (0, 1)]
    truth = picture(own)[:, :, :channels].astype(int)
    (hinted,) = Interpolator(**SIMPLE)(*keys, hints=[hint(8, 36)])
    drawn = drawn_with_parts(keys, 0.5, own, hints=[hint(8, 36)])
    assert abs(drawn - truth).mean() < 0.4 * abs(hinted - truth).mean()
    assert abs(drawn - truth).mean() < 0.5 * abs(drawn_with_parts(keys, 0.5, own) - truth).mean()
    x, y = bar_end(own, 30).round().astype(int)
    np.testing.assert_allclose(drawn[y, x], truth[y, x], atol=12)


def test_parts_and_hints_change_what_they_concern_alone():
    keys = picture(0), picture(1)
    interpolator = Interpolator(**SIMPLE)
    (automatic,), (hinted,) = interpolator(*keys), interpolator(*keys, hints=[hint(22)])
    np.testing.assert_array_equal(drawn_with_parts(keys, 0.5, *[0.5] * 5, hints=[hint(22)]), hinted)
    drawn = drawn_with_parts(keys, 0.5, 0.25, hints=[hint(22)])
    np.testing.assert_array_equal(drawn[:, 150:], automatic[:, 150:])
    assert (drawn != hinted).any()


def test_a_part_of_moved_ground_is_at_its_own_time():
    noise = cv2.GaussianBlur(np.random.default_rng(1).random((120, 220, 3)), None, 2.5)
    scene = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    keys = np.ascontiguousarray(scene[:, 10:210]), np.ascontiguousarray(scene[:, :200])
    hints, mask = [Hint(((80, 60),), ((104, 60),))], np.zeros((120, 200), np.float32)
    mask[40:80, 50:130] = 1
    early, late = Interpolator(**SIMPLE)(*keys, times=[0.25, 0.75], hints=hints)
    drawn = drawn_with_parts(keys, 0.75, 0.25, hints=hints, mask=mask)
    np.testing.assert_allclose(drawn[50:70, 80:110].astype(int), early[50:70, 80:110], atol=1)
    np.testing.assert_array_equal(drawn[:, :20], late[:, :20])


@pytest.mark.parametrize("is_stroke", [False, True])
def test_hints_of_the_benchmark_are_true(is_stroke):
    """They lead along the exact flow, from points inside parts that show to the same parts."""
    figure = Figures().figure(4)
    chosen = choose(figure, np.zeros_like(figure.frame(0.5)), is_stroke)
    assert 1 <= len(chosen) <= 3
    flow, parts = figure.flow(0, 1), [figure.parts(t) for t in (0, 1)]
    for start, end in chosen:
        assert len(start) == len(end) == (3 if is_stroke else 1)
        (x, y), (u, v) = (np.rint(points).astype(int).T for points in (start, end))
        np.testing.assert_allclose(np.array(start) + flow[y, x], end, atol=1.5)
        assert (parts[0][y, x] >= 0).all()
        np.testing.assert_array_equal(parts[0][y, x], parts[1][v, u])


@pytest.mark.slow
def test_hints_help_a_network():
    """On a figure whose limbs turn far, LPIPS falls by more than half."""
    from _util import image
    from _util.metrics import LPIPS

    figure, lpips = Figures().figure(50), LPIPS()
    keys, truth = (figure.frame(0), figure.frame(1)), image.to_tensor(figure.frame(0.5))[None]
    interpolator = Interpolator(device="cpu", synthesis="ifnet")
    (automatic,) = interpolator(*keys)
    (hinted,) = interpolator(*keys, hints=choose(figure, automatic))
    with torch.inference_mode():
        scores = [lpips.measure(image.to_tensor(frame)[None], truth).item() for frame in (automatic, hinted)]
    assert scores[1] < 0.5 * scores[0]
