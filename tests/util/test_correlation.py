import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from _util.correlation import CorrelationPyramid


def places(b: int, h: int, w: int, spread: float = 3.0) -> Tensor:
    """Somewhere around each pixel, and now and then just over the border or far outside."""
    y, x = torch.meshgrid(torch.arange(h).float(), torch.arange(w).float(), indexing="ij")
    return torch.stack([x, y]) + spread * torch.randn(b, 2, h, w)


def through_torch(pyramid: CorrelationPyramid, coordinates: Tensor) -> Tensor:
    with torch.enable_grad():
        return pyramid.lookup(coordinates)


def literally(features0: Tensor, features1: Tensor, coordinates: Tensor, scale: int, radius: int) -> Tensor:
    """One scale of a lookup, product by product: (b, (2r + 1)², h, w)."""
    b, c, h, w = features0.shape
    products = torch.einsum("bcyx,bcvu->byxvu", features0, features1) / c**0.5
    pooled = F.avg_pool2d(products.flatten(0, 1), 2**scale).unflatten(0, (b, h)) if scale else products
    height, width = pooled.shape[3:]
    out = torch.zeros(b, (2 * radius + 1) ** 2, h, w)
    for n, y, x in torch.cartesian_prod(torch.arange(b), torch.arange(h), torch.arange(w)).tolist():
        for i in range(2 * radius + 1):
            for j in range(2 * radius + 1):
                u = coordinates[n, 0, y, x].item() / 2**scale + i - radius
                v = coordinates[n, 1, y, x].item() / 2**scale + j - radius
                for row in (math.floor(v), math.floor(v) + 1):
                    for column in (math.floor(u), math.floor(u) + 1):
                        if 0 <= row < height and 0 <= column < width:
                            share = (1 - abs(u - column)) * (1 - abs(v - row))
                            out[n, i * (2 * radius + 1) + j, y, x] += share * pooled[n, y, x, row, column]
    return out


@pytest.mark.parametrize("lookup", [through_torch, CorrelationPyramid.lookup])
@torch.no_grad()
def test_definition(lookup):
    features0, features1, coordinates = torch.randn(2, 5, 4, 6), torch.randn(2, 5, 4, 6), places(2, 4, 6)
    pyramid = CorrelationPyramid(features0, features1, scales=2, radius=2)
    expected = [literally(features0, features1, coordinates, scale, 2) for scale in (0, 1)]
    torch.testing.assert_close(lookup(pyramid, coordinates), torch.cat(expected, 1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("b", [1, 2])
@pytest.mark.parametrize("size", [(2, 2), (2, 9), (7, 5), (16, 24), (33, 20)])
@pytest.mark.parametrize("both_ways", [False, True])
@torch.no_grad()
def test_compiled_lookup_equals_torch(b, size, both_ways, with_threads):
    features0, features1 = torch.randn(b, 32, *size), torch.randn(b, 32, *size)
    pyramid = CorrelationPyramid(features0, features1, both_ways)
    coordinates = places(2 * b if both_ways else b, *size, spread=8)
    found = pyramid.lookup(coordinates)
    assert found.shape == (len(coordinates), 4 * 81, *size)
    torch.testing.assert_close(found, through_torch(pyramid, coordinates), atol=1e-4, rtol=1e-4)
    for threads in (1, 3):
        with_threads(threads)
        assert torch.equal(pyramid.lookup(coordinates), found)


@pytest.mark.parametrize("b", [1, 2])
@pytest.mark.parametrize("lookup", [through_torch, CorrelationPyramid.lookup])
@torch.no_grad()
def test_both_ways_is_two_pyramids(b, lookup):
    features0, features1 = torch.randn(b, 16, 9, 12), torch.randn(b, 16, 9, 12)
    there, back = places(b, 9, 12), places(b, 9, 12)
    found = lookup(CorrelationPyramid(features0, features1, both_ways=True), torch.cat([there, back]))
    expected = [
        lookup(CorrelationPyramid(features0, features1), there),
        lookup(CorrelationPyramid(features1, features0), back),
    ]
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("lookup", [through_torch, CorrelationPyramid.lookup])
@torch.no_grad()
def test_scales_without_a_pixel_are_zero(lookup):
    """2×3 is pooled to 1×1 and then to nothing."""
    pyramid = CorrelationPyramid(torch.rand(1, 4, 2, 3) + 1, torch.rand(1, 4, 2, 3) + 1)
    one, two, three, four = lookup(pyramid, places(1, 2, 3, 0)).split(81, 1)
    assert one.ne(0).any()
    assert two.ne(0).any()
    assert three.eq(0).all()
    assert four.eq(0).all()


@pytest.mark.parametrize("lookup", [through_torch, CorrelationPyramid.lookup])
@pytest.mark.parametrize("where", [-1000.0, 1000.0, 1e9, -1e9])
@torch.no_grad()
def test_far_outside_is_zero(lookup, where):
    pyramid = CorrelationPyramid(torch.rand(1, 4, 8, 8) + 1, torch.rand(1, 4, 8, 8) + 1)
    for axis in (0, 1):
        coordinates = places(1, 8, 8, 0)
        coordinates[:, axis] = where
        assert lookup(pyramid, coordinates).eq(0).all()


@torch.no_grad()
def test_coordinates_that_are_not_finite_find_nothing():
    pyramid = CorrelationPyramid(torch.rand(1, 4, 8, 8), torch.rand(1, 4, 8, 8))
    coordinates = places(1, 8, 8, 0)
    coordinates[0, 0, 0, 0], coordinates[0, 1, 3, 3] = float("nan"), float("inf")
    found = pyramid.lookup(coordinates)
    assert found[0, :, 0, 0].eq(0).all()
    assert found[0, :, 3, 3].eq(0).all()
    assert found.isfinite().all()


def test_gradient():
    features0 = torch.randn(1, 3, 4, 4, requires_grad=True)
    features1 = torch.randn(1, 3, 4, 4, requires_grad=True)
    coordinates = places(1, 4, 4, 1)
    weights = torch.randn(1, 2 * 9, 4, 4)

    def weighted(f0: Tensor, f1: Tensor) -> Tensor:
        return (CorrelationPyramid(f0, f1, scales=2, radius=1).lookup(coordinates) * weights).sum()

    weighted(features0, features1).backward()
    with torch.no_grad():  # bilinear in the features, so central differences are exact
        for features, other in ((features0, (None, features1)), (features1, (features0, None))):
            step = torch.randn_like(features)
            ends = [[features + sign * step if o is None else o for o in other] for sign in (0.5, -0.5)]
            difference = weighted(*ends[0]) - weighted(*ends[1])
            torch.testing.assert_close((features.grad * step).sum(), difference, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_products_are_fp32_whatever_the_features(dtype):
    features0, features1 = torch.randn(2, 64, 6, 7).to(dtype), torch.randn(2, 64, 6, 7).to(dtype)
    coordinates = places(2, 6, 7)
    found = CorrelationPyramid(features0, features1, scales=1).lookup(coordinates)
    expected = CorrelationPyramid(features0.float(), features1.float(), scales=1).lookup(coordinates)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
