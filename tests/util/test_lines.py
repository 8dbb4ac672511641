import kornia
import numpy as np
import pytest
import torch
from torch import Tensor

from _util.distance_transform import edt
from _util.lines import _blur, _gaussian, difference_of_gaussians, nedt


def by_kornia(image: Tensor, sigma: float, k: float = 1.6, gain: float = 2.0, epsilon: float = 0.01) -> Tensor:
    grey = kornia.color.rgb_to_grayscale(image)

    def blur(sigma: float) -> Tensor:
        width = max(2 * int(4 * sigma) + 1, 3)
        return kornia.filters.gaussian_blur2d(grey, (width, width), (sigma, sigma), border_type="replicate")

    return 0.5 + gain * (blur(k * sigma) - blur(sigma)) - epsilon


def drawing(h: int, w: int) -> Tensor:
    """White paper with a black vertical stroke of three pixels' width in the middle."""
    image = torch.ones(1, 3, h, w)
    image[..., w // 2 - 1 : w // 2 + 2] = 0
    return image


@pytest.mark.parametrize("sigma", [0.03, 0.3, 0.5, 1.0, 1.7, 4.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (16, 16), (37, 53), (2, 3)])
def test_difference_of_gaussians_equals_kornia(size, sigma):
    image = torch.rand(2, 3, *size)
    torch.testing.assert_close(difference_of_gaussians(image, sigma), by_kornia(image, sigma), atol=2e-6, rtol=0)


def test_difference_of_gaussians_equals_its_torch_path():
    image = torch.rand(2, 3, 47, 61)
    grey = kornia.color.rgb_to_grayscale(image)
    expected = 0.5 + 2 * (_blur(grey, _gaussian(1.6)) - _blur(grey, _gaussian(1.0))) - 0.01
    torch.testing.assert_close(difference_of_gaussians(image), expected, atol=2e-6, rtol=0)


def test_parameters():
    image = torch.rand(1, 3, 30, 40)
    result = difference_of_gaussians(image, 1.2, k=2.0, gain=5.0, epsilon=0.1)
    torch.testing.assert_close(result, by_kornia(image, 1.2, 2.0, 5.0, 0.1), atol=5e-6, rtol=0)


def test_layout_gradient_and_threads_do_not_matter(with_threads):
    image = torch.rand(2, 3, 31, 45)
    expected = difference_of_gaussians(image)
    turned = image.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(difference_of_gaussians(turned), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(difference_of_gaussians(image[:1].expand(2, -1, -1, -1))[1:], expected[:1])
    torch.testing.assert_close(difference_of_gaussians(image.clone().requires_grad_()), expected, atol=2e-6, rtol=0)
    for threads in (1, 3, 8):
        with_threads(threads)
        assert torch.equal(difference_of_gaussians(image), expected)


def test_flat_image_is_below_the_threshold():
    grey = difference_of_gaussians(torch.full((1, 3, 20, 30), 0.7))
    torch.testing.assert_close(grey, torch.full_like(grey, 0.49), atol=1e-6, rtol=0)


def test_lines_are_dark_strokes():
    lines = difference_of_gaussians(drawing(40, 60)) > 0.5
    expected = torch.zeros_like(lines)
    expected[..., 29:32] = True
    assert torch.equal(lines, expected)
    assert not (difference_of_gaussians(1 - drawing(40, 60))[..., 29:32] > 0.5).any()


def test_nedt_of_a_stroke_rises_with_distance():
    h, w = 540, 600
    across = (torch.arange(w) - w // 2).abs().sub(1).clamp(min=0).float()
    expected = (1 - torch.exp(-across * 36 / w)).expand(1, 1, h, w)
    torch.testing.assert_close(nedt(drawing(h, w)), expected)


@pytest.mark.parametrize("size", [(30, 50), (50, 30), (16, 16), (16, 300)])
def test_nedt_without_lines(size):
    diagonal, longest = np.hypot(*size), max(size)
    result = nedt(torch.full((2, 3, *size), 0.4))
    torch.testing.assert_close(result, torch.full((2, 1, *size), float(1 - np.exp(-36 * diagonal / longest))))
    assert result.max() <= 1


def test_gaussians_of_a_small_image_blur_nothing():
    """At a height of 16, σ is a 34th of a pixel: both Gaussians return the image, and nothing is a line."""
    image = drawing(16, 24)
    dog = difference_of_gaussians(image, sigma=16 / 540)
    torch.testing.assert_close(dog, torch.full_like(dog, 0.49), atol=1e-6, rtol=0)
    assert torch.equal(nedt(image), 1 - torch.exp(edt(torch.zeros(1, 1, 16, 24)) * (-36 / 24)))


@pytest.mark.parametrize("size", [(200, 120), (540, 960)])
def test_nedt_scales_its_gaussians_with_the_height(size):
    image = kornia.filters.gaussian_blur2d(torch.rand(1, 3, *size), (5, 5), (1.0, 1.0))
    lines = by_kornia(image, size[0] / 540) > 0.5
    assert 0.01 < lines.float().mean() < 0.9
    expected = 1 - torch.exp(-edt(lines) * 36 / max(size))
    differing = (nedt(image) - expected).abs() > 1e-5  # a value within rounding of the threshold may fall either side
    assert differing.float().mean() < 1e-3


def test_difference_of_gaussians_has_the_gradient_of_its_formula():
    image = torch.rand(1, 3, 12, 15, requires_grad=True)
    difference_of_gaussians(image).square().sum().backward()
    step = torch.randn(1, 3, 12, 15)
    with torch.no_grad():
        either_side = [difference_of_gaussians(image + sign * 1e-2 * step).double().square().sum() for sign in (1, -1)]
    slope = (either_side[0] - either_side[1]) / 2e-2
    torch.testing.assert_close((image.grad * step).sum().double(), slope, rtol=1e-2, atol=1e-3)
