"""Reading with what every device has kernels for is reading with PyTorch's border."""

import pytest
import torch
import torch.nn.functional as F

from _util.sampling import sample, sample_without_border


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(9, 7), (1, 5), (2, 2)])
def test_the_border_is_repeated(mode, align_corners, size):
    image = torch.rand(2, 3, *size, requires_grad=True)
    grid = (4 * torch.rand(2, 40, 50, 2) - 2).requires_grad_()  # far outside, too
    expected = F.grid_sample(image, grid, mode, padding_mode="border", align_corners=align_corners)
    torch.testing.assert_close(sample(image, grid, mode, align_corners), expected)
    found = sample_without_border(image, grid, mode, align_corners)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    gradients = torch.autograd.grad(found.square().sum(), image)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected.square().sum(), image), atol=2e-3, rtol=1e-3)
