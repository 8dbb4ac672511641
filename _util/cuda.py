"""Launch our CUDA kernels through CuPy on PyTorch's tensors, stream and device.

Kernels are written without any header, so that NVRTC needs no CUDA toolkit, and for every card from compute capability
7.0 on. The element type of the tensors they read and write is `scalar`; `load` and `store` convert it from and to fp32,
in which they compute. CuPy (14 or later) has denormal numbers flushed to zero. A kernel is compiled at its first
launch, which therefore may not be part of a captured graph.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BLOCK = 256  # threads of a block, for every kernel

_KINDS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}

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
typedef long long index_t;  // of what is in memory; threads are counted in 32 bits, in which division is fast
"""


def available(tensor: Tensor) -> bool:
    """Whether our kernels can run on this tensor: on CUDA, in fp32, fp16 or bf16, with CuPy 14 or later."""
    return tensor.is_cuda and tensor.dtype in _KINDS and _has_cupy()


@functools.cache
def _has_cupy() -> bool:
    try:
        import cupy
    except ImportError:  # also where it was built for another CUDA
        return False
    return hasattr(cupy.cuda.Stream, "from_external")  # from 14 on


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


def blocks_for(threads: int) -> int:
    """The number of blocks for that many threads."""
    return -(-threads // BLOCK)


def launch(
    source: str, name: str, dtype: torch.dtype, blocks: tuple[int, int], *arguments: Tensor | int | None
) -> None:
    """Run `name` from `source` on a grid of blocks, each of `BLOCK` threads along x, asynchronously.

    Tensors (contiguous, all on one device) are passed as pointers, None as a null pointer, integers as `int`.
    """
    import cupy

    device = next(argument.device for argument in arguments if isinstance(argument, Tensor))
    stream = _stream(device.index, torch.cuda.current_stream(device).cuda_stream)
    with cupy.cuda.Device(device.index), stream:
        kernel = _kernel(source, name, dtype, device.index)
        kernel(blocks, (BLOCK,), tuple(_pass(argument) for argument in arguments))


class _Address(NamedTuple):
    """The address of a stream, for the CUDA stream protocol."""

    address: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.address


@functools.cache
def _stream(device: int, address: int):
    """PyTorch's stream as a CuPy stream; PyTorch has a fixed pool of few."""
    import cupy

    return cupy.cuda.Stream.from_external(_Address(address))


def _pass(argument: Tensor | int | None) -> np.generic:
    if argument is None:
        return np.uintp(0)
    if isinstance(argument, Tensor):
        return np.uintp(argument.data_ptr())
    return np.int32(argument)
