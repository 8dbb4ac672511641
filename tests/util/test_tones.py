"""Drawings of lines alone: lines of one strength on an even ground, and others."""

import cv2
import numpy as np
import pytest

from _util.tones import find_tones, is_even


def drawing(sketch=1.0, shade=0.0):
    picture = np.ones((120, 160, 3), np.float32)
    cv2.circle(picture, (100, 60), 40, [sketch] * 3, 2, cv2.LINE_AA)
    cv2.circle(picture, (60, 60), 30, [0] * 3, 2, cv2.LINE_AA)
    return picture * (1 - shade * np.linspace(1, 0, 160, dtype=np.float32)[None, :, None])


@pytest.mark.parametrize(("picture", "even"), [(drawing(), 1), (drawing(sketch=0.65), 0), (drawing(shade=0.15), 0)])
def test_faint_lines_and_shaded_paper_are_not_even(picture, even):
    assert is_even(picture, find_tones(picture)) == bool(even)


def test_shades_between_ink_and_paper_are_no_lines():
    assert find_tones(drawing()) is not None
    filled = drawing()
    cv2.circle(filled, (60, 60), 29, [0.65] * 3, -1, cv2.LINE_AA)
    assert find_tones(filled) is None


def test_two_colours_on_half_of_the_picture_each_are_no_ink():
    """Their median lies midway, where neither is nearer than the other."""
    halves = np.zeros((40, 60, 3), np.float32)
    halves[:, 30:] = 1
    assert find_tones(halves) is None
    assert find_tones(halves, is_forced=True) is None
