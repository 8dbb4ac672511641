"""L*a*b*: known colours, agreement with kornia, pictures like tensors."""

import kornia
import numpy as np
import pytest
import torch

from _util.lab import pixels_to_lab, rgb_to_lab

# Bruce Lindbloom's calculator, sRGB to Lab, D65.
KNOWN = {
    (1.0, 1.0, 1.0): (100.0, 0.0, 0.0),
    (0.0, 0.0, 0.0): (0.0, 0.0, 0.0),
    (1.0, 0.0, 0.0): (53.24, 80.09, 67.20),
    (0.0, 1.0, 0.0): (87.73, -86.18, 83.18),
    (0.0, 0.0, 1.0): (32.30, 79.19, -107.86),
}


@pytest.mark.parametrize(("rgb", "lab"), KNOWN.items(), ids=str)
def test_known_colours(rgb, lab):
    colour = torch.tensor(rgb).view(1, 3, 1, 1)
    torch.testing.assert_close(rgb_to_lab(colour).flatten(), torch.tensor(lab), atol=0.02, rtol=0)


def test_agrees_with_kornia():
    image = torch.rand(2, 3, 70, 113)
    image[:, :, :10] *= 0.05  # where both powers become linear
    torch.testing.assert_close(rgb_to_lab(image), kornia.color.rgb_to_lab(image), atol=4e-3, rtol=0)


def test_where_a_gradient_is_wanted_it_is_kornias():
    image = torch.rand(2, 3, 40, 50)
    image[:, :, :10] *= 0.05
    image.requires_grad_()
    ours, reference = rgb_to_lab(image), kornia.color.rgb_to_lab(image)
    torch.testing.assert_close(ours, reference, atol=2e-4, rtol=0)
    weights = torch.randn_like(ours)
    gradients = (torch.autograd.grad((lab * weights).sum(), image)[0] for lab in (ours, reference))
    torch.testing.assert_close(*gradients, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pictures_as_tensors(dtype):
    largest = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, largest, (40, 30, 3), dtype, endpoint=True)
    pixels[0, 0], pixels[0, 1] = 0, largest
    tensor = torch.from_numpy(pixels.astype(np.float32) / largest).permute(2, 0, 1)[None]
    expected = rgb_to_lab(tensor)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(pixels_to_lab(pixels), expected, atol=4e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 2.0])
def test_values_out_of_range_are_taken_for_the_nearest(value):
    image = torch.full((1, 3, 2, 2), value)
    nearest = 1.0 if value > 1 else 0.0
    torch.testing.assert_close(rgb_to_lab(image), rgb_to_lab(torch.full_like(image, nearest)))
