"""The CUDA kernels on a machine without a GPU: they compile, and run on the CPU they compute the same."""

import re
import shutil
import subprocess
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from _train.frame_interpolation.benchmarks import reference_kernels
from _util import correlation, cuda, distance_transform, softsplat
from _util.correlation import CorrelationPyramid
from _util.distance_transform import edt
from tests.cuda_on_host import Host, kernels
from tests.util.test_correlation import places
from tests.util.test_cuda import MODES, check_splats, splat, splat_inputs

SOURCES = {
    "softsplat-fp32": (softsplat.CUDA_SOURCE, torch.float32),
    "softsplat-fp16": (softsplat.CUDA_SOURCE, torch.float16),
    "softsplat-bf16": (softsplat.CUDA_SOURCE, torch.bfloat16),
    "distance_transform": (distance_transform.CUDA_SOURCE, torch.float32),
    "correlation": (correlation.CUDA_SOURCE, torch.float32),
    "literal": (reference_kernels.CUDA_SOURCE, torch.float32),
}

every_source = pytest.mark.parametrize(("source", "dtype"), SOURCES.values(), ids=SOURCES.keys())


@every_source
def test_compiles_without_headers(source, dtype):
    """NVRTC, which CuPy uses, finds no toolkit on most machines."""
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    _, program = nvrtc.nvrtcCreateProgram((cuda.PRELUDE + source).encode(), b"kernels.cu", 0, [], [])
    options = [option.encode() for option in cuda.options(dtype)]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        _, size = nvrtc.nvrtcGetProgramLogSize(program)
        log = b" " * (size + 1)  # written in place, which must not happen to Python's only b" "
        nvrtc.nvrtcGetProgramLog(program, log)
        pytest.fail(log.decode())


@pytest.mark.slow
@every_source
def test_compiles_with_nvcc_and_keeps_all_in_registers(source, dtype, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not installed")
    listed = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True, check=True).stdout.split()
    code = tmp_path / "kernels.cu"
    code.write_text(cuda.PRELUDE + source)
    command = [nvcc, "-cubin", f"-arch={listed[0]}", "-Xptxas=-v", *cuda.options(dtype), code, "-o", tmp_path / "out"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert set(re.findall(r"entry function '(\w+)'", result.stderr)) == set(kernels(source))
    assert set(re.findall(r"(\d+) bytes spill", result.stderr)) == {"0"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Host:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    return Host(compiler, tmp_path_factory.mktemp("host"))


@pytest.fixture(params=["in_order", "in_reverse"])
def on_host(request, monkeypatch, compiled) -> None:
    """`cuda.launch` runs the kernels on the CPU, on tensors of the CPU, their threads in order or in reverse."""
    compiled.in_reverse = request.param == "in_reverse"
    monkeypatch.setattr(cuda, "launch", compiled.launch)


@pytest.fixture
def as_on_cuda(monkeypatch) -> Callable[[], None]:
    """From the call on, tensors of the CPU are taken for ones on a GPU by those who ask `cuda.available`."""
    return lambda: monkeypatch.setattr(cuda, "available", lambda tensor: tensor.dtype in cuda._KINDS)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        (torch.float32, (2, 11, 29, 41)),
        (torch.bfloat16, (2, 11, 29, 41)),  # fp16 is converted by instructions in PTX
        (torch.float32, (1, 1, 1, 1)),
        (torch.float32, (3, 2, 1, 300)),
        (torch.float32, (2, 16, 70, 1)),
        (torch.float32, (1, 33, 13, 17)),
        (torch.float32, (1, 260, 9, 11)),
        (torch.bfloat16, (1, 64, 7, 33)),
    ],
    ids=str,
)
def test_splat(on_host, as_on_cuda, mode, dtype, shape):
    inputs = splat_inputs(dtype, *shape)
    expected = splat(*inputs, mode)
    as_on_cuda()
    check_splats(splat(*inputs, mode), expected, dtype)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), ()])
def test_splat_gives_only_the_gradients_that_are_wanted(on_host, as_on_cuda, wanted):
    def run() -> list[Tensor]:
        inputs = [tensor.requires_grad_(i in wanted) for i, tensor in enumerate(splat_inputs(torch.float32, 1, 3))]
        result = softsplat.softsplat(*inputs)
        if wanted:
            result.square().sum().backward()
        assert [tensor.grad is not None for tensor in inputs] == [i in wanted for i in range(3)]
        return [result.detach(), *(inputs[i].grad for i in wanted)]

    torch.manual_seed(0)
    expected = run()
    as_on_cuda()
    torch.manual_seed(0)
    torch.testing.assert_close(run(), expected, atol=1e-4, rtol=1e-4)


def test_splat_of_many_on_one(on_host, as_on_cuda):
    as_on_cuda()
    grid = torch.arange(4096.0)
    flow = torch.stack([-grid, torch.zeros(4096)]).view(1, 2, 1, 4096)
    result, mask = softsplat.softsplat_with_mask(torch.ones(1, 1, 1, 4096), flow, mode="sum")
    assert result[0, 0, 0, 0] == 4096
    assert mask.flatten().tolist() == [1] + 4095 * [0]


@pytest.mark.parametrize(
    "transform", [lambda lines: distance_transform._on_cuda(lines.squeeze(1)), reference_kernels.edt]
)
def test_distance_transform(on_host, transform):
    for size in ((1, 1), (1, 70), (70, 1), (33, 32), (37, 53), (50, 65)):
        for density in (0, 0.002, 0.02, 0.5, 1):
            lines = torch.rand(2, 1, *size) < density
            assert torch.equal(transform(lines).view(2, 1, *size), edt(lines))


def test_distance_transform_of_wide_drawings(on_host):
    """More than 1024 columns begin with a search at every 1024th; squares of the widest need all of 32 bits."""
    for h, w in ((1, 32767), (3, 2049), (2, 1500)):
        for columns in ((0,), (w - 1,), (0, w - 1), (w // 3, w // 2), range(0, w, 97), ()):
            lines = torch.zeros(1, 1, h, w, dtype=torch.bool)
            lines[..., 0, list(columns)] = True
            assert torch.equal(distance_transform._on_cuda(lines.squeeze(1)), edt(lines).squeeze(1))


@pytest.mark.parametrize("one_line", [0, 13, 32766])
def test_distance_transform_of_tall_drawings(on_host, one_line):
    lines = torch.zeros(1, 1, 32767, 1, dtype=torch.bool)
    lines[:, :, one_line] = True
    packed, above, below = torch.empty((3, 1, 1024, 1), dtype=torch.int32)
    cuda.launch(distance_transform.CUDA_SOURCE, "pack", torch.float32, (4, 1), lines, packed, 1, 32767, 1)
    cuda.launch(distance_transform.CUDA_SOURCE, "link", torch.float32, (1, 1), packed, above, below, 1, 1024, 1)
    word = torch.arange(1024)
    assert packed.flatten().nonzero().flatten().tolist() == [one_line // 32]
    assert torch.equal(above.flatten() == one_line, word > one_line // 32)
    assert torch.equal(below.flatten() == one_line, word < one_line // 32)


@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize(
    ("b", "size", "scales", "radius"),
    [
        (1, (16, 24), 4, 4),
        (2, (9, 11), 3, 4),
        (1, (2, 9), 4, 4),
        (2, (1, 1), 1, 1),
        (1, (8, 17), 2, 2),
        (1, (3, 2), 4, 3),
    ],
    ids=str,
)
@torch.no_grad()
def test_correlation_lookup(on_host, stretched, b, size, scales, radius):
    features = torch.randn(b, 16, *size), torch.randn(b, 16, *size)
    both = CorrelationPyramid(*features, both_ways=True, scales=scales, radius=radius, stretched=stretched)
    assert size == (1, 1) or {maps[0].is_contiguous() for maps in both.directions} == {True, False}  # both layouts
    coordinates = places(2 * b, *size, spread=6)
    coordinates[0, 0, 0, 0], coordinates[-1, 1, -1, -1] = float("nan"), 1e30
    expected = both.lookup(coordinates)
    for found, level_maps, at in zip(expected.chunk(2), both.directions, coordinates.chunk(2), strict=True):
        out = torch.full((b, *size, scales, (2 * radius + 1) ** 2), torch.nan)
        both._read_on_cuda(level_maps, at.contiguous(), out)
        torch.testing.assert_close(out.flatten(3).permute(0, 3, 1, 2), found, atol=1e-4, rtol=1e-4)


def test_literal_splat(on_host):
    for shape in ((2, 5, 13, 17), (1, 1, 1, 9), (1, 3, 9, 1)):
        results = []
        for path in (softsplat.softsplat, reference_kernels.softsplat):
            torch.manual_seed(1)
            leaves = [tensor.requires_grad_() for tensor in splat_inputs(torch.float32, *shape)]
            result = path(*leaves)
            result.square().sum().backward()
            results.append([result.detach(), *(leaf.grad for leaf in leaves)])
        for found, expected in zip(*results, strict=True):
            assert (found - expected).norm() <= 1e-4 * (1 + expected.norm())
