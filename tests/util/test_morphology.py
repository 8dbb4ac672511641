import kornia
import pytest
import torch

from _util.morphology import box_mean, dilated, opening


def by_dilations(image: torch.Tensor, size: int) -> torch.Tensor:
    return dilated(-dilated(-image, size // 2), size // 2)


@pytest.mark.parametrize("path", [opening, by_dilations])
@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 20), (20, 1), (33, 47)])
def test_equals_kornia(path, size, side):
    for image in (torch.rand(2, 3, *size), (torch.rand(2, 3, *size) < 0.9).float()):
        assert torch.equal(path(image, side), kornia.morphology.opening(image, torch.ones(side, side)))


def test_removes_what_is_narrower_than_the_window():
    image = torch.zeros(1, 1, 20, 30)
    image[..., 2:6, 2:20] = 1
    wide = torch.zeros_like(image)
    wide[..., 10:15, 3:8] = 1
    assert torch.equal(opening(image + wide), wide)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_keeps_the_type_and_takes_any_layout(dtype):
    mask = (torch.rand(2, 1, 40, 50) < 0.97).to(dtype)
    expected = kornia.morphology.opening(mask.float(), torch.ones(5, 5)).to(dtype)
    assert 0 < expected.float().mean() < 1
    assert torch.equal(opening(mask), expected)
    assert torch.equal(opening(mask.transpose(2, 3)), expected.transpose(2, 3))


def test_has_no_gradient():
    assert not opening(torch.rand(1, 1, 9, 9, requires_grad=True)).requires_grad


@pytest.mark.parametrize(("reach", "size"), [(1, (7, 9)), (3, (20, 31)), (6, (5, 40))])
def test_box_mean_is_the_mean_of_the_window_within_the_picture(reach, size):
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    means = [
        image[:, :, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].mean((2, 3))
        for y in range(size[0])
        for x in range(size[1])
    ]
    expected = torch.stack(means, -1).unflatten(-1, size)
    assert torch.allclose(box_mean(image, reach), expected, atol=1e-6)
    assert torch.equal(box_mean(torch.ones(1, 1, *size), reach), torch.ones(1, 1, *size))
