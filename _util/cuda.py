"""Launch our CUDA kernels through CuPy on PyTorch's tensors, stream and device.

Kernels are written without any header, so that NVRTC needs no CUDA toolkit. The element type of the tensors they read
and write is `scalar`; `load` and `store` convert it from and to fp32, in which they compute.
"""

import functools
import importlib.util

import numpy as np
import torch
from torch import Tensor

_KINDS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
_BLOCK = 256

PRELUDE = r"""
#if KIND == 0
typedef float scalar;
__device__ __forceinline__ float load(scalar v) { return v; }
__device__ __forceinline__ scalar store(float v) { return v; }
#elif KIND == 1  // fp16
typedef unsigned short scalar;
__device__ __forceinline__ float load(scalar v) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v));
    return f;
}
__device__ __forceinline__ scalar store(float v) {
    scalar s;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(s) : "f"(v));
    return s;
}
#else  // bf16, rounded to nearest even
typedef unsigned short scalar;
__device__ __forceinline__ float load(scalar v) { return __uint_as_float((unsigned)v << 16); }
__device__ __forceinline__ scalar store(float v) {
    unsigned bits = __float_as_uint(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
#endif
typedef long long index_t;
"""


def available(tensor: Tensor) -> bool:
    """Whether our kernels can run on this tensor: on CUDA, in fp32, fp16 or bf16, with CuPy installed."""
    return tensor.is_cuda and tensor.dtype in _KINDS and _has_cupy()


@functools.cache
def _has_cupy() -> bool:
    return importlib.util.find_spec("cupy") is not None


def options(dtype: torch.dtype) -> tuple[str, ...]:
    """Compiler options that select the element type; the same for NVRTC and nvcc."""
    return (f"-DKIND={_KINDS[dtype]}",)


@functools.cache
def _module(source: str, dtype: torch.dtype):
    import cupy

    return cupy.RawModule(code=PRELUDE + source, options=options(dtype))


@functools.cache
def _kernel(source: str, name: str, dtype: torch.dtype, device: int):
    return _module(source, dtype).get_function(name)


def launch(source: str, name: str, dtype: torch.dtype, size: tuple[int, int], *arguments: Tensor | int | None) -> None:
    """Run `name` from `source` over `size` = (threads along x, blocks along y), asynchronously.

    Tensors (contiguous, all on the device of the first one) go as pointers, None as a null pointer, integers as `int`.
    """
    import cupy

    device = next(argument.device for argument in arguments if isinstance(argument, Tensor))
    stream = torch.cuda.current_stream(device)
    with cupy.cuda.Device(device.index), cupy.cuda.ExternalStream(stream.cuda_stream, device.index):
        kernel = _kernel(source, name, dtype, device.index)
        grid = (-(-size[0] // _BLOCK), size[1])
        kernel(grid, (_BLOCK,), tuple(_pass(argument) for argument in arguments))


def _pass(argument: Tensor | int | None) -> np.generic:
    if argument is None:
        return np.uintp(0)
    if isinstance(argument, Tensor):
        return np.uintp(argument.data_ptr())
    return np.int32(argument)
