"""A CUDA device computes what the CPU does, with our kernels and without them."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _util import cuda, softsplat
from _util.checkpoints import seeded
from _util.correlation import CorrelationPyramid
from _util.distance_transform import edt
from _util.lines import difference_of_gaussians, nedt
from _util.morphology import box_mean, dilated, opening

MODES = ("sum", "average", "linear", "softmax")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def splat_inputs(dtype: torch.dtype, b=2, c=11, h=29, w=41) -> tuple[Tensor, Tensor, Tensor]:
    values, flow, metric = torch.randn(b, c, h, w), 6 * torch.randn(b, 2, h, w), torch.rand(b, 1, h, w) + 0.1
    for i, wild in enumerate((float("nan"), float("inf"), 1e30)):
        if h * w > 3:
            flow.view(b, 2, -1)[:, i % 2, h * w * i // 3] = wild
    return values.to(dtype), flow, metric


def splat(values: Tensor, flow: Tensor, metric: Tensor, mode: str) -> list[Tensor]:
    """Result, mask and gradients, brought to the CPU."""
    leaves = [x.detach().clone().requires_grad_() for x in (values, flow, metric)]
    result, mask = softsplat.softsplat_with_mask(
        leaves[0], leaves[1], leaves[2] if mode in ("linear", "softmax") else None, mode
    )
    result.float().square().sum().backward()
    return [x.detach().cpu() for x in (result, mask, *(leaf.grad for leaf in leaves if leaf.grad is not None))]


def check_splats(results: list[Tensor], expected: list[Tensor], dtype: torch.dtype) -> None:
    """A sum in another order may round to another half-precision number."""
    tolerance = 1e-4 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps
    assert torch.equal(results[1], expected[1])
    for ours, reference in zip(results, expected, strict=True):
        assert ours.dtype == reference.dtype
        assert (ours - reference).float().norm() <= tolerance * (1 + reference.float().norm())


@pytest.fixture(params=["cupy", "torch"])
def device(request, monkeypatch) -> torch.device:
    """The CUDA device, with exact fp32; once with our kernels, once with what replaces them without CuPy."""
    if request.param == "cupy":
        pytest.importorskip("cupy")
    else:
        monkeypatch.setattr(cuda, "available", lambda tensor: False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.set_float32_matmul_precision("highest")
    return torch.device("cuda")


@pytest.mark.cuda
@pytest.mark.parametrize("mode", MODES)
@every_dtype
def test_splat_equals_cpu(device, mode, dtype):
    inputs = splat_inputs(dtype)
    check_splats(splat(*(x.to(device) for x in inputs), mode), splat(*inputs, mode), dtype)


@pytest.mark.cuda
def test_splat_of_a_full_frame(device):
    values, metric = torch.randn(2, 64, 270, 480), -torch.rand(2, 1, 270, 480)
    flow = F.interpolate(9 * torch.randn(2, 2, 5, 8), (270, 480), mode="bilinear", align_corners=True)
    result = softsplat.softsplat(values.to(device), flow.to(device), metric.to(device))
    torch.testing.assert_close(result.cpu(), softsplat.softsplat(values, flow, metric), atol=1e-4, rtol=1e-4)


@pytest.mark.cuda
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (3, 2, 1, 300), (2, 16, 70, 1), (1, 33, 13, 17), (1, 260, 9, 11)], ids=str
)
def test_splat_of_odd_shapes_equals_cpu(device, shape):
    inputs = splat_inputs(torch.float32, *shape)
    check_splats(splat(*(x.to(device) for x in inputs), "softmax"), splat(*inputs, "softmax"), torch.float32)


@pytest.mark.cuda
def test_splat_of_many_on_one(device):
    grid = torch.arange(4096.0, device=device)
    flow = torch.stack([-grid, torch.zeros_like(grid)]).view(1, 2, 1, 4096)
    result, mask = softsplat.softsplat_with_mask(torch.ones(1, 1, 1, 4096, device=device), flow, mode="sum")
    assert result[0, 0, 0, 0] == 4096
    assert mask.flatten().tolist() == [1] + 4095 * [0]


@pytest.mark.cuda
def test_edt_equals_cpu(device):
    for size in ((1, 1), (1, 300), (300, 1), (37, 53), (540, 960)):
        for density in (0, 1e-4, 0.02, 1):
            lines = torch.rand(2, 1, *size) < density
            assert torch.equal(edt(lines.to(device)).cpu(), edt(lines))


@pytest.mark.cuda
def test_edt_of_long_and_nearly_empty_drawings_equals_cpu(device):
    for h, w in ((1, 32767), (1080, 1920), (37, 2049)):
        lines = torch.zeros(1, 1, h, w, dtype=torch.bool)
        lines[..., 0, w // 3] = True
        assert torch.equal(edt(lines.to(device)).cpu(), edt(lines))


@pytest.mark.cuda
@pytest.mark.parametrize("stretched", [False, True])
@torch.no_grad()
def test_correlation_equals_cpu(device, stretched):
    pyramid = partial(CorrelationPyramid, both_ways=True, stretched=stretched)
    for b, h, w in ((1, 67, 120), (2, 33, 20), (1, 2, 9), (1, 1, 1)):
        features = torch.randn(2, b, 64, h, w)
        places = torch.tensor([w / 2, h / 2]).view(2, 1, 1) + 20 * torch.randn(2 * b, 2, h, w)
        places[0, 0, 0, 0], places[-1, 1, -1, -1] = float("nan"), 1e30
        expected = pyramid(*features).lookup(places)
        found = pyramid(*features.to(device)).lookup(places.to(device)).cpu()
        if not cuda.available(torch.empty(0, device=device)):  # where `grid_sample` keeps what is not a number
            expected, found = expected.where(places[:, :1].isfinite(), 0), found.where(places[:, :1].isfinite(), 0)
        assert (found - expected).norm() <= 1e-4 * expected.norm()


@pytest.mark.cuda
@torch.no_grad()
def test_kernels_can_be_captured():
    pytest.importorskip("cupy")
    splatted = [x.cuda() for x in splat_inputs(torch.float32)]
    lines = (torch.rand(1, 1, 37, 53) < 0.02).cuda()
    pyramid, places = CorrelationPyramid(*torch.randn(2, 1, 32, 9, 12).cuda()), 9 * torch.rand(1, 2, 9, 12).cuda()

    def run() -> tuple[Tensor, ...]:
        return softsplat.softsplat(*splatted), edt(lines), pyramid.lookup(places)

    expected, graph = run(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()
    graph.replay()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.cuda
def test_lines_and_opening_equal_cpu(device):
    image = F.interpolate(torch.rand(2, 3, 40, 60), (400, 600), mode="bilinear")
    for sigma in (0.3, 1.0, 2.5):
        dog = difference_of_gaussians(image.to(device), sigma)
        torch.testing.assert_close(dog.cpu(), difference_of_gaussians(image, sigma), atol=1e-5, rtol=0)
    differing = (nedt(image.to(device)).cpu() - nedt(image)).abs() > 1e-4  # rounding at the threshold of lines
    assert differing.float().mean() < 0.01
    mask = (torch.rand(2, 1, 100, 150) < 0.95).float()
    assert torch.equal(opening(mask.to(device)).cpu(), opening(mask))
    assert torch.equal(dilated(mask.to(device), 3).cpu(), dilated(mask, 3))
    assert torch.allclose(box_mean(mask.to(device), 3).cpu(), box_mean(mask, 3), atol=1e-6)


def with_seeded_weights(network: nn.Module) -> nn.Module:
    network.load_state_dict(seeded(network.state_dict()))
    return network.eval()


@pytest.mark.cuda
@pytest.mark.parametrize("other_stream", [False, True], ids=["default", "stream"])
@torch.no_grad()
def test_networks_are_near_cpu(device, other_stream):
    h, w = 128, 192
    rfr, ssl, dtm = (with_seeded_weights(create()) for create in (RFR, SoftsplatLite, DTM))
    frames = F.interpolate(torch.rand(2, 3, 8, 12), (h, w), mode="bilinear").split(1)
    flows = (6 * F.interpolate(torch.randn(2, 2, 4, 6), (h, w), mode="bilinear")).split(1)

    def results(place: torch.device) -> list[Tensor]:
        for network in (rfr, ssl, dtm):
            network.to(place)
        images = [frame.to(place) for frame in frames]
        estimated = rfr.both_ways(*images, 4)
        synthesis = ssl(*images, *(flow.to(place) for flow in flows), 0.4)
        return [*estimated, synthesis.frame, *synthesis.bases, *synthesis.masks, *dtm(synthesis)]

    expected = results(torch.device("cpu"))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream) if other_stream else nullcontext():
        found = [x.cpu() for x in results(device)]
    for ours, reference in zip(found, expected, strict=True):
        assert (ours - reference).abs().mean() < 1e-3 * reference.abs().mean()


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_availability(dtype):
    tensor = torch.empty(1, device="cuda", dtype=dtype)
    assert cuda.available(tensor) == cuda._has_cupy()
    assert not cuda.available(tensor.double())
    assert not cuda.available(tensor.cpu())
