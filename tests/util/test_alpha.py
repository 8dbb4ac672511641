"""Colours count by their alpha: what is hidden never shows."""

import numpy as np
import pytest

from _util import alpha


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_opaque_is_the_mean_by_alpha(dtype):
    largest = np.iinfo(dtype).max
    half = np.full((2, 3, 4), largest, dtype)
    half[:, :, 3] = largest // 2
    shown = alpha.opaque(half, (0, 102, 255))
    np.testing.assert_allclose(shown[0, 0] / largest, [0.5, 0.7, 1], atol=1 / 255)
    np.testing.assert_array_equal(alpha.opaque(half), half[:, :, :3])


def test_premultiplied_colours_are_times_the_share_of_alpha():
    pixels = np.array([[[200, 100, 50, 255], [200, 100, 50, 51], [200, 100, 50, 0]]], np.uint8)
    np.testing.assert_allclose(
        alpha.premultiplied(pixels, 255), [[[200, 100, 50, 255], [40, 20, 10, 51], [0, 0, 0, 0]]], atol=1e-4
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(8, 8), (5, 11), (40, 37)])
def test_resized_edges_keep_their_colour(dtype, size):
    """A red disc, black where it is hidden: no pixel that shows is anything but red."""
    largest = np.iinfo(dtype).max
    y, x = np.mgrid[:24, :24]
    disc = np.hypot(x - 12, y - 12) < 8
    pixels = np.zeros((24, 24, 4), dtype)
    pixels[disc] = [largest, 0, 0, largest]
    small = alpha.resized(pixels, size)
    assert small.shape == (*size, 4)
    assert small.dtype == dtype
    shows = small[:, :, 3] > largest // 50
    assert shows.any()
    assert (small[shows][:, 0] > 0.95 * largest).all()
    assert (small[shows][:, 1:3] < 0.05 * largest).all()


def test_resized_to_its_size_is_itself():
    pixels = np.random.default_rng(0).integers(0, 255, (7, 9, 3), np.uint8)
    np.testing.assert_array_equal(alpha.resized(pixels, (7, 9)), pixels)
