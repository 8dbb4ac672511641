"""Drawings of lines alone: what is one, and that what comes out is lines of the keys' widths."""

import cv2
import numpy as np
import pytest

from _train.frame_interpolation.benchmarks.lines import draw, measure
from _train.frame_interpolation.guides import line_art
from _train.frame_interpolation.interpolator import Interpolator
from _util.errors import InputError

SIMPLE = {"flow": "dis", "synthesis": "splat", "device": "cpu"}


def unit(frame: np.ndarray) -> np.ndarray:
    return frame.astype(np.float32) / 255


def ring(width: float, middle: tuple[float, float] = (60, 50), radius: float = 30) -> np.ndarray:
    """Share of ink of a circle, (100, 120), exact to a sixteenth of a pixel."""
    y, x = np.mgrid[:100, :120]
    return (width / 2 - abs(np.hypot(x - middle[0], y - middle[1]) - radius) + 0.5).clip(0, 1).astype(np.float32)


def test_what_is_a_drawing_of_lines():
    black = unit(draw(0, 0))
    found = line_art.find_tones(black)
    np.testing.assert_allclose(found.ink, 0, atol=0.02)
    np.testing.assert_allclose(found.ground, 1, atol=0.02)
    blue = np.dstack([np.full((100, 120, 3), (0.1, 0.2, 0.7), np.float32), ring(3)])
    assert line_art.find_tones(blue).ground is None
    np.testing.assert_allclose(line_art.find_tones(1 - black).ink, 1, atol=0.02)


def test_what_is_none():
    random = np.random.default_rng(0)
    lines = unit(draw(0, 0))
    filled = lines.copy()
    cv2.circle(filled, (160, 120), 40, (0, 0, 0), -1)
    coloured = lines.copy()
    coloured[60:140, 100:200] *= (1, 0.6, 0.6)
    for frame in (filled, coloured, random.random((60, 80, 3), np.float32), np.ones((60, 80, 3), np.float32)):
        assert line_art.find_tones(frame) is None
    assert line_art.Lines.of(lines, filled) is None
    with pytest.raises(InputError, match=r"^Line art is on, but a key has no ink .*; set it to auto or off\.$"):
        line_art.Lines.of(lines, np.ones_like(lines), is_forced=True)


def test_negatives_are_not_redrawn():
    """Half-way from black on white to white on black there is no contrast."""
    keys = unit(draw(0, 0)), 1 - unit(draw(0, 1))
    assert line_art.Lines.of(*keys) is None
    with pytest.raises(InputError, match="one key is a negative of the other"):
        line_art.Lines.of(*keys, is_forced=True)
    assert line_art.Lines.of(keys[0], 0.2 + 0.6 * unit(draw(0, 1))) is not None


@pytest.mark.parametrize("width", [1.5, 2.5, 4.0])
def test_lines_are_drawn_anew_where_and_as_wide_as_they_were(width):
    share = ring(width)
    lines = line_art.Lines([line_art.with_ink(share, TONES, 3)] * 2, [TONES] * 2)
    np.testing.assert_allclose(np.median(lines.widths), width, rtol=0.1)
    blurred = cv2.GaussianBlur(share, None, 1.0)
    again = line_art.redrawn(blurred, np.full_like(share, width))
    assert abs(again - share).max() < 0.45
    assert again.sum() == pytest.approx(share.sum(), rel=0.08)


TONES = line_art.Tones(np.zeros(3, np.float32), np.ones(3, np.float32))


def test_what_is_mixed_becomes_lines():
    """Two readings that do not agree leave greys; of them, lines are drawn again."""
    smear = 0.55 * ring(2.5) + 0.45 * ring(2.5, (61.5, 51))
    smear += 0.1 * cv2.GaussianBlur(ring(9), None, 4)
    again = line_art.redrawn(smear, np.full_like(smear, 2.5))
    far = cv2.distanceTransform((again < 0.5).astype(np.uint8), cv2.DIST_L2, 5) > 2
    assert (again[far] == 0).all()


@pytest.mark.parametrize("kind", ["black on white", "white on black", "grey", "on transparency"])
def test_in_betweens_of_lines(kind):
    keys = [draw(3, t) for t in (0, 1)]
    if kind == "white on black":
        keys = [255 - key for key in keys]
    elif kind == "grey":
        keys = [key[:, :, 0] for key in keys]
    elif kind == "on transparency":
        keys = [np.dstack([np.full_like(key, 30), 255 - key[:, :, 0]]) for key in keys]
    (frame,) = Interpolator(**SIMPLE, line_art="auto")(*keys)
    assert frame.shape == keys[0].shape
    if kind == "on transparency":
        assert (frame[frame[:, :, 3] > 0][:, :3] == 30).all()
        frame = 255 - np.repeat(frame[:, :, 3:], 3, 2)
    elif kind != "black on white":
        frame = 255 - frame if kind == "white on black" else np.repeat(frame[:, :, None], 3, 2)
    row = measure(3, frame)
    assert row.grey == 0
    assert row.width == pytest.approx(row.true_width, rel=0.2)


def test_what_rests_is_kept():
    keys = [draw(3, 0), draw(3, 0)]
    keys[1][200:210, 40:60] = 0
    auto, off = (Interpolator(**SIMPLE, line_art=how)(*keys)[0].astype(int) for how in ("auto", "off"))
    np.testing.assert_allclose(auto[:150], off[:150], atol=1)
    np.testing.assert_allclose(auto[:150], keys[0][:150], atol=4)


def test_a_line_that_rests_is_as_in_the_keys_where_others_cross_it():
    """Where they were, where they will be, and, but for a few pixels, where they are."""

    def crossed(x: float) -> np.ndarray:
        stroke = (1.5 - abs(np.arange(120) - x) + 0.5).clip(0, 1).astype(np.float32)
        return np.maximum(ring(3.3), stroke)

    before, middle, after = (crossed(x) for x in (40.2, 52.2, 64.2))
    lines = line_art.Lines([line_art.with_ink(share, TONES, 3) for share in (before, after)], [TONES] * 2)
    drawn = cv2.GaussianBlur(middle, None, 0.5) * 0.97
    frame = lines.redraw(line_art.with_ink(drawn, TONES, 3), 0.5, np.full_like(drawn, 3.6))
    off = abs(1 - frame[:, :, 0] - middle)
    near_ring = cv2.dilate(ring(3.3), np.ones((5, 5))) > 0
    near_stroke = abs(np.arange(120) - 52.2) < 6
    assert off[near_ring & ~near_stroke].max() < 1 / 255
    assert off[(ring(3.3) == 1) & near_stroke].max() < 1 / 255


def test_lines_that_meet_by_chance_do_not_rest():
    """A line that leaves a place to which another comes is not drawn there in between."""
    keys = [np.zeros((60, 90), np.float32) for _ in range(2)]
    for key, places in zip(keys, ((20, 40), (40, 60)), strict=True):
        for x in places:
            key[:, x : x + 3] = 1
    lines = line_art.Lines([line_art.with_ink(key, TONES, 3) for key in keys], [TONES] * 2)
    middle = np.zeros((60, 90), np.float32)
    middle[:, 30:33] = middle[:, 50:53] = 1
    frame = lines.redraw(line_art.with_ink(middle, TONES, 3), 0.5, np.full_like(middle, 3))
    np.testing.assert_allclose(1 - frame[5:-5, :, 0], middle[5:-5], atol=0.1)


def test_other_drawings_are_left_alone():
    texture = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(5, 0).repeat(5, 1)
    keys = texture, np.roll(texture, 3, 1)
    frames = [Interpolator(**SIMPLE, line_art=how)(*keys)[0] for how in ("auto", "off")]
    np.testing.assert_array_equal(*frames)
    with pytest.raises(InputError, match="line art"):
        Interpolator(**SIMPLE, line_art="maybe")


def marks(*places: tuple[float, float]) -> np.ndarray:
    """Share of ink of discs with a radius of 6 pixels, (100, 120)."""
    y, x = np.mgrid[:100, :120]
    return np.maximum.reduce([(6.5 - np.hypot(x - u, y - v)).clip(0, 1) for u, v in places]).astype(np.float32)


def test_dots_are_as_wide_as_they_are():
    """A dot has hardly any length, so that its ink says nothing of its width."""
    share = np.maximum(marks((60, 50), (20, 20)), ring(2.5))
    lines = line_art.Lines([line_art.with_ink(share, TONES, 3)] * 2, [TONES] * 2)
    np.testing.assert_allclose(lines.widths[:, 50, 60], 12, atol=1)
    np.testing.assert_allclose(np.median(lines.widths[:, ring(2.5) > 0.5]), 2.5, rtol=0.1)


def test_what_is_solid_stays_as_drawn():
    """Marks that are no lines, and ends of lines that taper, are as the pipeline draws them."""
    middle = np.maximum(marks((62, 50), (24, 20)), 0.9 * ring(2.5, (62, 50)))
    keys = [np.roll(middle, shift, 1) for shift in (-2, 2)]
    lines = line_art.Lines([line_art.with_ink(share, TONES, 3) for share in keys], [TONES] * 2)
    drawn = line_art.with_ink(middle, TONES, 3)
    np.testing.assert_allclose(lines.redraw(drawn, 0.5, lines.widths[0]), drawn, atol=0.1)


def test_faded_lines_become_solid_and_grey_remains_white():
    middle, ghost = ring(2.5), ring(2.5, (40, 50), 15)
    keys = [np.roll(middle, shift, 1) for shift in (-2, 2)]
    lines = line_art.Lines([line_art.with_ink(share, TONES, 3) for share in keys], [TONES] * 2)
    frame = lines.redraw(line_art.with_ink(np.maximum(0.45 * middle, 0.1 * ghost), TONES, 3), 0.5, lines.widths[0])
    ink = 1 - frame[:, :, 0]
    assert ink[middle > 0.9].min() > 0.6
    assert ink.sum() == pytest.approx(middle.sum(), rel=0.1)
    assert (ink[cv2.dilate(middle, np.ones((7, 7))) == 0] == 0).all()
