"""The CUDA kernels: that they compile, that run on the CPU they compute the same, and that a CUDA device does too."""

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _util import cuda, distance_transform, softsplat
from _util.checkpoints import seeded
from _util.distance_transform import edt
from _util.lines import difference_of_gaussians, nedt
from _util.morphology import opening

SOURCES = {"softsplat": softsplat.CUDA_SOURCE, "distance_transform": distance_transform.CUDA_SOURCE}
MODES = ("sum", "average", "linear", "softmax")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)

every_source = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def kernels(source: str) -> list[str]:
    return re.findall(r"__global__ void (\w+)", source)


@every_source
@every_dtype
def test_compiles_with_nvcc(source, dtype, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not installed")
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout.split()
    code, ptx = tmp_path / "kernels.cu", tmp_path / "kernels.ptx"
    code.write_text(cuda.PRELUDE + source)
    command = [nvcc, "-ptx", f"-arch={listed[0]}", *cuda.options(dtype), code, "-o", ptx]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for kernel in kernels(source):
        assert f".entry {kernel}(" in ptx.read_text()


@every_source
@every_dtype
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


# The kernels as C++, one thread after another.
HOST_PRELUDE = r"""
#include <cmath>
#include <cstring>
#include <utility>
#define __global__
#define __device__ static
#define __forceinline__ inline
struct { int x, y; } blockIdx, blockDim, threadIdx;
template <class A, class B> static auto min(A a, B b) { return a < b ? a : b; }
static void atomicAdd(float* at, float value) { *at += value; }
static float __uint_as_float(unsigned bits) { float f; memcpy(&f, &bits, 4); return f; }
static unsigned __float_as_uint(float f) { unsigned bits; memcpy(&bits, &f, 4); return bits; }

template <class... A, size_t... I>
static void grid(void (*kernel)(A...), int width, int height, int block, void** at, std::index_sequence<I...>) {
    blockDim.x = block;
    for (blockIdx.y = 0; blockIdx.y < height; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < width; ++blockIdx.x)
            for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x) kernel(*(A*)at[I]...);
}
template <class... A> static void launch(void (*kernel)(A...), int width, int height, int block, void** at) {
    grid(kernel, width, height, block, at, std::index_sequence_for<A...>());
}
"""


@pytest.fixture(scope="module")
def compile_for_host(tmp_path_factory) -> Callable[[str, torch.dtype], ctypes.CDLL]:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed")
    libraries = {}

    def compile_(source: str, dtype: torch.dtype) -> ctypes.CDLL:
        if (source, dtype) not in libraries:
            folder = tmp_path_factory.mktemp("host")
            entries = "".join(
                f'extern "C" void run_{name}(int width, int height, int block, void** at) '
                f"{{ launch({name}, width, height, block, at); }}\n"
                for name in kernels(source)
            )
            code, library = folder / "kernels.cpp", folder / "kernels.so"
            code.write_text(HOST_PRELUDE + cuda.PRELUDE + source + entries)
            options = ["-std=c++17", "-O1", "-shared", "-fPIC", *cuda.options(dtype)]
            subprocess.run([compiler, *options, code, "-o", library], check=True)
            libraries[source, dtype] = ctypes.CDLL(str(library))
        return libraries[source, dtype]

    return compile_


@pytest.fixture
def on_host(monkeypatch, compile_for_host) -> None:
    """`cuda.launch` runs the kernels on the CPU, on tensors of the CPU."""

    def pass_(argument: Tensor | int | None) -> ctypes.c_void_p | ctypes.c_int:
        if isinstance(argument, int):
            return ctypes.c_int(argument)
        assert argument is None or argument.is_contiguous()
        return ctypes.c_void_p(None if argument is None else argument.data_ptr())

    def launch(source, name, dtype, size, *arguments):
        passed = [pass_(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(passed))(*map(ctypes.addressof, passed))
        run = getattr(compile_for_host(source, dtype), f"run_{name}")
        run(-(-size[0] // cuda._BLOCK), size[1], cuda._BLOCK, pointers)

    monkeypatch.setattr(cuda, "launch", launch)


def splat_inputs(dtype: torch.dtype, b=2, c=11, h=29, w=41) -> tuple[Tensor, Tensor, Tensor]:
    values, flow, metric = torch.randn(b, c, h, w), 6 * torch.randn(b, 2, h, w), torch.rand(b, 1, h, w) + 0.1
    flow[:, 0, 2, 3], flow[:, 1, 4, 5], flow[:, 0, 6, 7] = float("nan"), float("inf"), 1e30
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
        assert (ours - reference).float().norm() <= tolerance * reference.float().norm()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)  # fp16 is converted by instructions in PTX
def test_splat_kernels_run_on_the_host(monkeypatch, on_host, mode, dtype):
    inputs = splat_inputs(dtype)
    expected = splat(*inputs, mode)
    monkeypatch.setattr(softsplat, "_backend", lambda values: softsplat._CuPy)
    check_splats(splat(*inputs, mode), expected, dtype)


def test_distance_kernels_run_on_the_host(on_host):
    for size in ((1, 1), (1, 70), (70, 1), (37, 53), (60, 90)):
        for density in (0, 0.002, 0.02, 0.5, 1):
            lines = torch.rand(2, 1, *size) < density
            assert torch.equal(distance_transform._cupy(lines.squeeze(1)), edt(lines).squeeze(1))


@pytest.fixture(params=["cupy", "torch"])
def device(request, monkeypatch) -> torch.device:
    """The CUDA device, with exact fp32; once with our kernels, once with what replaces them without CuPy."""
    if request.param == "cupy":
        pytest.importorskip("cupy")
    else:
        monkeypatch.setattr(cuda, "available", lambda tensor: False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
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
def test_edt_equals_cpu(device):
    for size in ((1, 1), (1, 300), (300, 1), (37, 53), (540, 960)):
        for density in (0, 1e-4, 0.02, 1):
            lines = torch.rand(2, 1, *size) < density
            assert torch.equal(edt(lines.to(device)).cpu(), edt(lines))


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
