import kornia
import pytest
import torch

from _util.morphology import dilated, opening


def by_max_pooling(image: torch.Tensor, size: int) -> torch.Tensor:
    """The path of devices other than the CPU."""
    return dilated(-dilated(-image, size // 2), size // 2)


@pytest.mark.parametrize("path", [opening, by_max_pooling])
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
