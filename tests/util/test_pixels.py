import numpy as np
import pytest

from _util.pixels import as_8_bits, as_16_bits, placed, resize, with_channels


def test_depths_and_back():
    every = np.arange(256, dtype=np.uint8)
    assert (as_16_bits(every)[[0, 1, 255]] == [0, 257, 65535]).all()
    assert (as_8_bits(as_16_bits(every)) == every).all()
    assert as_8_bits(every) is every
    assert as_16_bits(as_16_bits(every)).dtype == np.uint16


@pytest.mark.parametrize(("dtype", "opaque"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_grey_becomes_rgb_and_what_has_no_alpha_is_opaque(dtype, opaque):
    grey = np.array([[0, 1]], dtype)
    for pixels in (grey, grey[:, :, None]):
        assert with_channels(pixels, 4).tolist() == [[[0, 0, 0, opaque], [1, 1, 1, opaque]]]
        assert with_channels(pixels, 4).dtype == dtype
    assert with_channels(with_channels(grey, 4), 3).shape == (1, 2, 4)


def test_what_lies_outside_of_a_canvas_is_cut_off():
    pixels = np.arange(1, 7).reshape(2, 3)
    assert placed(pixels, (-1, 1), (2, 3)).tolist() == [[0, 4, 5], [0, 0, 0]]
    assert not placed(pixels, (5, 0), (2, 3)).any()
    assert placed(pixels, (0, 0), (2, 3)) is pixels


def test_even_areas_are_averaged():
    assert resize(np.array([[0, 100], [100, 200]], np.uint8), (1, 1)).tolist() == [[100]]
    assert resize(np.full((4, 6), 7, np.uint8), (8, 9)).tolist() == [[7] * 9] * 8
