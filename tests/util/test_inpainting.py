"""Holes are filled smoothly; what is known stays."""

import numpy as np

from _util.inpainting import push_pull


def test_known_pixels_stay_and_holes_lie_between_them():
    picture = np.random.default_rng(0).uniform(0.2, 0.7, (33, 47, 3)).astype(np.float32)
    known = np.ones((33, 47), bool)
    known[8:25, 10:40] = False
    filled = push_pull(np.where(known[:, :, None], picture, 9), known)
    assert (filled[known] == picture[known]).all()
    assert filled.min() >= picture[known].min() - 1e-5
    assert filled.max() <= picture[known].max() + 1e-5


def test_one_colour_is_extended_over_everything():
    known = np.zeros((20, 31), bool)
    known[3, 4] = True
    np.testing.assert_allclose(push_pull(np.full((20, 31, 1), 0.25, np.float32), known), 0.25, atol=1e-5)


def test_without_holes_or_without_known_pixels_nothing_changes():
    picture = np.random.default_rng(0).random((5, 7, 2), np.float32)
    for known in (np.ones((5, 7), bool), np.zeros((5, 7), bool)):
        assert (push_pull(picture, known) == picture).all()
