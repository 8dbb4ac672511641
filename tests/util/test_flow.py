import numpy as np
import pytest
import torch

from _util.flow import backwarp, resize, to_colours
from _util.sampling import sample


def constant(dx: float, dy: float, h: int, w: int) -> torch.Tensor:
    return torch.tensor([dx, dy]).view(1, 2, 1, 1).expand(1, 2, h, w)


def ramp(h: int, w: int) -> torch.Tensor:
    """A (1, 2, h, w) image whose channels are x and y."""
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([x, y]).float()[None]


def test_sharp_backwarp_keeps_more_contrast_than_bicubic():
    """Halfway between the pixels of a grating; on them, nothing changes."""
    image, flow = torch.sin(torch.arange(64.0) * 2).expand(1, 1, 20, 64), constant(0.5, 0.0, 20, 64)
    places = (torch.arange(64) + 0.5) / 63 * 2 - 1
    grid = torch.stack([places, torch.zeros(64)], -1).expand(1, 20, 64, 2)
    bilinear, bicubic = (sample(image, grid, mode, align_corners=True) for mode in ("bilinear", "bicubic"))
    sharp = backwarp(image, flow, False, "sharp")
    torch.testing.assert_close(sharp, 1.25 * bicubic - 0.25 * bilinear, atol=1e-4, rtol=0)
    assert bilinear.std() < bicubic.std() < sharp.std()
    torch.testing.assert_close(backwarp(image, 4 * flow, False, "sharp"), backwarp(image, 4 * flow, False))


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (2.0, -3.0), (0.25, 1.5), (-100.0, 0.0), (100.0, 100.0)])
def test_exact_backwarp_reads_at_x_plus_flow(dx, dy):
    h, w = 20, 31
    image = ramp(h, w)
    expected = torch.stack([(image[0, 0] + dx).clamp(0, w - 1), (image[0, 1] + dy).clamp(0, h - 1)])[None]
    torch.testing.assert_close(backwarp(image, constant(dx, dy, h, w), quirk=False), expected, atol=1e-4, rtol=0)


def test_exact_backwarp_by_nothing_changes_nothing():
    image = torch.rand(2, 3, 23, 37)
    torch.testing.assert_close(backwarp(image, torch.zeros(2, 2, 23, 37), quirk=False), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (1.5, -2.0)])
def test_quirky_backwarp_reads_from_a_stretched_grid(dx, dy):
    h, w = 20, 31
    image = ramp(h, w)
    x = (image[0, 0] * w / (w - 1) - 0.5 + dx).clamp(0, w - 1)
    y = (image[0, 1] * h / (h - 1) - 0.5 + dy).clamp(0, h - 1)
    warped = backwarp(image, constant(dx, dy, h, w))
    torch.testing.assert_close(warped, torch.stack([x, y])[None], atol=1e-4, rtol=0)


@pytest.mark.parametrize("quirk", [True, False])
def test_backwarp_gradients(quirk):
    image = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    # Inside, and away from whole positions, where bilinear sampling has a kink.
    target = torch.rand(1, 2, 4, 5, dtype=torch.float64) * 0.8 + 0.1 + torch.randint(0, 3, (1, 2, 4, 5))
    grid = ramp(4, 5).double()
    if quirk:
        grid = grid * torch.tensor([5 / 4, 4 / 3]).view(1, 2, 1, 1) - 0.5
    flow = (target - grid).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, f: backwarp(i, f, quirk), (image, flow))


@pytest.mark.parametrize("size", [(40, 60), (10, 15), (33, 7)])
def test_resize_rescales_vectors_per_axis(size):
    h, w = 20, 30
    result = resize(constant(3.0, -2.0, h, w), size)
    expected = constant(3.0 * size[1] / w, -2.0 * size[0] / h, *size)
    torch.testing.assert_close(result, expected)


def test_resize_interpolates_between_pixel_centres():
    flow = torch.zeros(1, 2, 1, 2)
    flow[0, 0, 0] = torch.tensor([0.0, 4.0])
    expected = torch.tensor([0.0, 1.0, 3.0, 4.0]) * 2
    torch.testing.assert_close(resize(flow, (1, 4))[0, 0, 0], expected)


def test_resize_to_the_same_size_is_the_same():
    flow = torch.randn(2, 2, 13, 17)
    assert torch.equal(resize(flow, (13, 17)), flow)


# The corners of Middlebury's colour wheel, at full saturation: hue n of 55 lies at angle 2πn/54 from the left.
# Hues 0, 15, 21, 25, 36 and 49 are pure red, yellow, green, cyan, blue and magenta.
@pytest.mark.parametrize(
    ("hue", "colour"),
    [
        (0, (255, 0, 0)),
        (15, (255, 255, 0)),
        (21, (0, 255, 0)),
        (25, (0, 255, 255)),
        (36, (0, 0, 255)),
        (49, (255, 0, 255)),
    ],
)
def test_colours_of_middlebury(hue, colour):
    angle = np.pi * (2 * hue / 54 - 1)
    flow = -torch.tensor([np.cos(angle), np.sin(angle)]).view(2, 1, 1) * 5
    assert np.abs(to_colours(flow)[0, 0].astype(int) - colour).max() <= 1
    paler = to_colours(flow, largest=10.0)[0, 0]
    expected = 255 * (1 - 0.5 * (1 - np.array(colour) / 255))
    assert np.abs(paler - expected).max() <= 1
    darker = to_colours(flow, largest=2.0)[0, 0]
    assert np.abs(darker - 0.75 * np.array(colour)).max() <= 1


def test_colours_of_rest_and_of_what_is_not_finite():
    flow = torch.zeros(2, 2, 3)
    flow[0, 0, 0], flow[1, 0, 1], flow[0, 1, 2] = float("nan"), float("inf"), 3.0
    colours = to_colours(flow)
    assert colours.dtype == np.uint8
    assert colours.shape == (2, 3, 3)
    assert (colours[0, :2] == 0).all()
    assert (colours[0, 2] == 255).all()
    assert (colours[1, :2] == 255).all()
    assert (to_colours(torch.zeros(2, 4, 5)) == 255).all()
