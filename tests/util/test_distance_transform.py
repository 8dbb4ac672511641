import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from _util.distance_transform import _compose, edt


def composed(lines):
    """The pure PyTorch path, which the CPU does not take by itself."""
    return _compose(lines.squeeze(1) > 0.5).unsqueeze(1)


def by_scipy(lines: torch.Tensor) -> torch.Tensor:
    drawings = (lines > 0.5).numpy()
    return torch.from_numpy(np.stack([[distance_transform_edt(~one[0])] for one in drawings]).astype(np.float32))


paths = pytest.mark.parametrize("path", [edt, composed])


@paths
@pytest.mark.parametrize("seed", range(8))
def test_equals_scipy_to_the_last_bit(path, seed):
    random = np.random.default_rng(seed)
    for _ in range(25):
        b, h, w = random.integers(1, 4), *random.integers(1, 90, 2)
        lines = torch.from_numpy(random.random((b, 1, h, w)) < 10.0 ** random.uniform(-4, 0))
        lines[:, :, random.integers(h), random.integers(w)] = True
        assert torch.equal(path(lines), by_scipy(lines))


@paths
@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (2, 300), (300, 2), (216, 384)])
def test_thin_and_large_drawings(path, size):
    random = np.random.default_rng(0)
    lines = torch.from_numpy(random.random((2, 1, *size)) < 0.002)
    lines[:, :, -1, size[1] // 2] = True
    assert torch.equal(path(lines), by_scipy(lines))


@paths
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (30, 40), (37, 53)])
def test_empty_is_the_diagonal_and_full_is_zero(path, size):
    lines = torch.zeros(3, 1, *size)
    lines[1] = 1
    lines[2, 0, 0, 0] = 1
    distance = path(lines)
    assert distance[0].eq(np.float32(np.hypot(*size))).all()
    assert distance[1].eq(0).all()
    assert torch.equal(distance[2:], by_scipy(lines[2:]))


@paths
def test_one_point(path):
    lines = torch.zeros(1, 1, 20, 30)
    lines[0, 0, 4, 9] = 1
    y, x = torch.meshgrid(torch.arange(20) - 4, torch.arange(30) - 9, indexing="ij")
    assert torch.equal(path(lines)[0, 0], (x**2 + y**2).double().sqrt().float())


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64])
def test_any_type_and_layout(dtype):
    lines = torch.rand(2, 1, 33, 44) < 0.03
    expected = by_scipy(lines)
    result = edt(lines.to(dtype))
    assert result.dtype == torch.float32
    assert torch.equal(result, expected)
    assert torch.equal(edt(lines.to(dtype).transpose(2, 3)), expected.transpose(2, 3))


def test_result_does_not_depend_on_threads(with_threads):
    lines = torch.rand(2, 1, 65, 3) < 0.03
    expected = by_scipy(lines)
    for threads in (1, 2, 5, 16):
        with_threads(threads)
        assert torch.equal(edt(lines), expected)


@pytest.mark.parametrize("shape", [(3, 4), (1, 3, 4), (1, 3, 4, 5), (1, 1, 1, 2**15)])
def test_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="lines"):
        edt(torch.zeros(shape))
