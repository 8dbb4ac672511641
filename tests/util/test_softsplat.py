import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from _util.flow import backwarp
from _util.softsplat import _accumulator, _compose, softsplat, softsplat_with_mask, splat_part

ROOT = Path(__file__).parents[2]
MODES = ("sum", "average", "linear", "softmax")


def inputs(b=2, c=3, h=12, w=17, dtype=torch.float32, reach=4.0):
    values = torch.randn(b, c, h, w, dtype=torch.float64)
    flow = reach * torch.randn(b, 2, h, w, dtype=torch.float64)
    metric = torch.rand(b, 1, h, w, dtype=torch.float64) + 0.1
    return values.to(dtype), flow.to(dtype), metric.to(dtype)


def fitting(metric: Tensor, mode: str) -> Tensor | None:
    return metric if mode in ("linear", "softmax") else None


def composed(values: Tensor, flow: Tensor, metric: Tensor | None, mode: str) -> Tensor:
    """The pure PyTorch path, which the CPU does not take by itself."""
    flow = flow.to(_accumulator(values.dtype))
    weight = metric.to(flow.dtype) if metric is not None else None
    return _compose(values, flow, weight.exp() if mode == "softmax" else weight, mode != "sum")[0]


def literally(values: Tensor, flow: Tensor, metric: Tensor | None, mode: str) -> Tensor:
    """Pixel by pixel, corner by corner, in fp64."""
    b, c, h, w = values.shape
    weights = torch.ones(b, h, w) if metric is None else metric[:, 0]
    weights = (weights.exp() if mode == "softmax" else weights).tolist()
    pixels, flows = values.tolist(), flow.tolist()
    summed, total = torch.zeros(b, c, h, w).tolist(), torch.zeros(b, h, w).tolist()
    for n, y, x in torch.cartesian_prod(torch.arange(b), torch.arange(h), torch.arange(w)).tolist():
        u, v = x + flows[n][0][y][x], y + flows[n][1][y][x]
        for row in range(h):
            for column in range(w):
                share = max(0, 1 - abs(u - column)) * max(0, 1 - abs(v - row)) * weights[n][y][x]
                total[n][row][column] += share
                for k in range(c):
                    summed[n][k][row][column] += share * pixels[n][k][y][x]
    summed, total = torch.tensor(summed, dtype=torch.float64), torch.tensor(total, dtype=torch.float64)[:, None]
    return summed if mode == "sum" else summed / torch.where(total == 0, 1, total)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (6, 7)])
def test_definition(mode, size):
    values, flow, metric = inputs(2, 2, *size, dtype=torch.float64, reach=2)
    metric = fitting(metric, mode)
    expected = literally(values, flow, metric, mode)
    torch.testing.assert_close(softsplat(values, flow, metric, mode), expected)
    torch.testing.assert_close(composed(values, flow, metric, mode), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", [softsplat, composed])
def test_gradients_equal_finite_differences(mode, path):
    b, c, h, w = 2, 2, 4, 5
    values = torch.randn(b, c, h, w, dtype=torch.float64)
    whole = torch.randint(-3, 4, (b, 2, h, w))
    flow = whole + 0.1 + 0.8 * torch.rand(b, 2, h, w, dtype=torch.float64)  # bilinear weights have a kink at integers
    metric = torch.rand(b, 1, h, w, dtype=torch.float64) + 0.5
    wanted = [x.requires_grad_() for x in (values, flow, metric)][: 3 if fitting(metric, mode) is not None else 2]
    assert torch.autograd.gradcheck(lambda v, f, m=None: path(v, f, m, mode), wanted)


@pytest.mark.parametrize("mode", MODES)
def test_paths_agree_in_value_and_gradient(mode):
    values, flow, metric = inputs(2, 5, 33, 47)
    results, gradients = [], []
    for path in (softsplat, composed):
        leaves = [x.clone().requires_grad_() for x in (values, flow, metric)]
        result = path(leaves[0], leaves[1], fitting(leaves[2], mode), mode)
        result.square().sum().backward()
        results.append(result.detach())
        gradients.append([leaf.grad for leaf in leaves if leaf.grad is not None])
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-5)
    assert len(gradients[0]) == (3 if fitting(metric, mode) is not None else 2)
    for ours, expected in zip(*gradients, strict=True):
        assert (ours - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (-2, 5), (4, -7), (-16, -11)])
def test_constant_whole_flow_shifts(mode, dx, dy):
    values, _, metric = inputs()
    flow = torch.tensor([dx, dy]).float().view(1, 2, 1, 1).expand(2, 2, *values.shape[2:])
    expected = F.pad(values, (dx, -dx, dy, -dy))
    torch.testing.assert_close(softsplat(values, flow, fitting(metric, mode), mode), expected)


@pytest.mark.parametrize("mode", ["sum", "average"])
def test_constant_fractional_flow_interpolates(mode):
    values, _, _ = inputs()
    flow = torch.tensor([1.25, -0.6]).view(1, 2, 1, 1).expand(2, 2, *values.shape[2:])
    expected = backwarp(values, -flow, quirk=False)
    result = softsplat(values, flow, mode=mode)
    inner = (..., slice(2, -3), slice(3, -3))
    torch.testing.assert_close(result[inner], expected[inner], atol=1e-5, rtol=1e-5)


def test_sum_conserves_mass():
    values, _, _ = inputs(dtype=torch.float64)
    h, w = values.shape[2:]
    landing = torch.rand(2, 2, h, w, dtype=torch.float64) * torch.tensor([w - 1, h - 1]).view(1, 2, 1, 1)
    grid = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"))
    torch.testing.assert_close(softsplat(values, landing - grid, mode="sum").sum((2, 3)), values.sum((2, 3)))


@pytest.mark.parametrize("mode", MODES)
def test_holes_are_zero_and_unmasked(mode):
    values, _, metric = inputs()
    flow = torch.zeros(2, 2, *values.shape[2:])
    flow[:, 0, :, 8:] = 4.0  # columns 8 to 11 are left, none comes
    warped, mask = softsplat_with_mask(values + 9, flow, fitting(metric, mode), mode)
    expected = torch.ones_like(mask)
    expected[..., 8:12] = 0
    assert torch.equal(mask, expected)
    assert warped[..., 8:12].eq(0).all()
    assert warped[..., :8].ne(0).all()


def test_weights_decide_between_pixels_that_meet():
    values = torch.tensor([2.0, 10.0]).view(1, 1, 1, 2)
    flow = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 2, 1, 2)
    metric = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    e = metric.exp().flatten()
    expected = {"sum": 12.0, "average": 6.0, "linear": 8.0, "softmax": float((2 * e[0] + 10 * e[1]) / e.sum())}
    for mode in MODES:
        assert softsplat(values, flow, fitting(metric, mode), mode).flatten().tolist() == pytest.approx(
            [0, expected[mode]]
        )


@pytest.mark.parametrize("wild", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 2.0**31, -(2.0**63)])
@pytest.mark.parametrize("path", [softsplat, composed])
def test_wild_flow_lands_nowhere(wild, path):
    values, flow, metric = inputs()
    flow[:, 0, 3, 4] = wild
    flow[:, 1, 7, 9] = wild
    leaves = [x.clone().requires_grad_() for x in (values, flow, metric)]
    result = path(*leaves, "softmax")
    result.square().sum().backward()
    away = flow.clone()
    away[:, :, 3, 4] = away[:, :, 7, 9] = 1000.0
    torch.testing.assert_close(result.detach(), path(values, away, metric, "softmax"))
    for leaf in leaves:
        assert leaf.grad[:, :, 3, 4].eq(0).all()
        assert leaf.grad.isfinite().all()
        assert leaf.grad.ne(0).any()


@pytest.mark.parametrize("mode", MODES)
def test_result_does_not_depend_on_threads(mode, with_threads):
    values, flow, metric = inputs(2, 7, 65, 83)
    results = []
    for threads in (1, 2, 3, 8):
        with_threads(threads)
        leaves = [x.clone().requires_grad_() for x in (values, flow, metric)]
        result, mask = softsplat_with_mask(leaves[0], leaves[1], fitting(leaves[2], mode), mode)
        result.square().sum().backward()
        results.append([result, mask] + [leaf.grad for leaf in leaves if leaf.grad is not None])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_accumulates_in_fp32(dtype):
    h, w = 1, 4096
    grid = torch.arange(w).float()
    flow = torch.stack([-grid, torch.zeros(w)]).view(1, 2, h, w)  # all on one pixel: 4096 · 1 is lost to halves
    result = softsplat(torch.ones(1, 1, h, w, dtype=dtype), flow, mode="sum")
    assert result.dtype == dtype
    assert result[0, 0, 0, 0] == 4096
    values, flow, metric = inputs(2, 3, 30, 40)
    for mode in MODES:
        chosen = fitting(metric, mode)
        rounded = softsplat(values.to(dtype), flow, chosen, mode)
        assert torch.equal(rounded, softsplat(values.to(dtype).float(), flow, chosen, mode).to(dtype))


def test_layout_does_not_matter():
    values, flow, metric = inputs(2, 4, 12, 17)
    expected = softsplat(values, flow, metric)
    strided = torch.empty(2, 4, 12, 34)[..., ::2].copy_(values)
    turned = flow.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(softsplat(strided, turned, metric), expected)
    assert torch.equal(softsplat(values.contiguous(memory_format=torch.channels_last), flow, metric), expected)
    expanded = softsplat(
        values[:1].expand(3, -1, -1, -1), flow[:1].expand(3, -1, -1, -1), metric[:1].expand(3, -1, -1, -1)
    )
    for one in expanded:
        assert torch.equal(one, expected[0])


def test_batches_are_independent():
    values, flow, metric = inputs(3)
    alone = [softsplat(values[i : i + 1], flow[i : i + 1], metric[i : i + 1]) for i in range(3)]
    assert torch.equal(softsplat(values, flow, metric), torch.cat(alone))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mode": "max"}, "mode is 'max'"),
        ({"mode": "average"}, "takes no metric"),
        ({"metric": None}, "takes a metric"),
        ({"flow": torch.zeros(2, 3, 12, 17)}, "flow must be"),
        ({"flow": torch.zeros(1, 2, 12, 17)}, "flow must be"),
        ({"flow": torch.zeros(2, 2, 17, 12)}, "flow must be"),
        ({"metric": torch.zeros(2, 2, 12, 17)}, "metric must be"),
        ({"values": torch.zeros(3, 12, 17)}, "values must be"),
        ({"values": torch.zeros(2, 3, 12, 17, dtype=torch.int32)}, "values must be"),
    ],
)
def test_refuses_what_does_not_fit(changes, complaint):
    values, flow, metric = inputs()
    with pytest.raises(ValueError, match=complaint):
        softsplat(**{"values": values, "flow": flow, "metric": metric} | changes)


def scattered(values: Tensor, flow: Tensor, metric: Tensor | None) -> Tensor:
    """The usual PyTorch implementation: one `scatter_add_` per corner."""
    b, c, h, w = values.shape
    if metric is not None:
        values = torch.cat([values * metric.exp(), metric.exp()], 1)
    x = torch.arange(w) + flow[:, 0]
    y = torch.arange(h)[:, None] + flow[:, 1]
    out = torch.zeros(b, values.shape[1], h * w)
    for row in (y.floor(), y.floor() + 1):
        for column in (x.floor(), x.floor() + 1):
            share = (1 - (x - column).abs()) * (1 - (y - row).abs())
            share = share * ((row >= 0) & (row < h) & (column >= 0) & (column < w))
            index = (row.clamp(0, h - 1) * w + column.clamp(0, w - 1)).long()
            out.scatter_add_(2, index.view(b, 1, -1).expand(-1, out.shape[1], -1), (values * share[:, None]).flatten(2))
    if metric is not None:
        out = out[:, :c] / torch.where(out[:, c:] == 0, 1, out[:, c:])
    return out.view(b, c, h, w)


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def times_faster_than_scattering(mode: str) -> float:
    values, metric = torch.randn(1, 64, 270, 480), -torch.rand(1, 1, 270, 480)
    flow = F.interpolate(5 * torch.randn(1, 2, 5, 8), (270, 480), mode="bilinear", align_corners=True)
    arguments = values, flow, fitting(metric, mode)
    torch.testing.assert_close(softsplat(*arguments, mode), scattered(*arguments), atol=1e-4, rtol=1e-4)
    return statistics.median(seconds(scattered, *arguments) / seconds(softsplat, *arguments, mode) for _ in range(15))


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(("mode", "factor"), [("sum", 2), ("softmax", 3)])
def test_several_times_faster_than_scattering(mode, factor):
    """In a process of its own, whose memory other tests have not used; again if something else held the cores."""
    program = f"from tests.util.test_softsplat import times_faster_than_scattering as f; print(f({mode!r}))"
    measured = []
    while len(measured) < 3 and max(measured, default=0) < factor:
        finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        measured.append(float(finished.stdout))
    assert max(measured) >= factor


def test_a_part_is_splatted_as_in_the_whole_image():
    values, flow, _ = inputs(h=20, w=30)
    part, is_inside = (..., slice(3, 15), slice(5, 25)), torch.zeros(20, 30, dtype=torch.bool)
    is_inside[part] = True
    whole = softsplat(values, flow.where(is_inside, 1e6), mode="sum")
    assert torch.equal(splat_part(values[part], flow[part], (5, 3)), whole[part])
