"""CUDA kernels on a machine without a GPU: compiled as C++, run one thread after another on tensors of the CPU.

Every thread of a block is a coroutine that gives way where threads wait for each other: at `__syncthreads` and at the
shuffles of a warp. A block in which some wait for others that have left ends the process with a message. Threads begin
in order or in reverse, so that a forgotten `__syncthreads` shows one way or the other.
"""

import ctypes
import re
import subprocess
from pathlib import Path

import torch
from torch import Tensor

from _util import cuda

_PRELUDE = r"""
#include <setjmp.h>
#include <ucontext.h>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>
#define __global__
#define __device__ static
#define __shared__ static
#define __forceinline__ inline
static struct { unsigned x, y; } blockIdx, blockDim, threadIdx;
template <class A, class B> static auto min(A a, B b) { return a < b ? a : b; }
template <class A, class B> static auto max(A a, B b) { return a < b ? b : a; }
static void atomicAdd(float* at, float value) { *at += value; }
static int atomicExch(int* at, int value) { return std::exchange(*at, value); }
static int __clz(int v) { return v ? __builtin_clz(v) : 32; }
static int __ffs(int v) { return __builtin_ffs(v); }
static float __uint_as_float(unsigned bits) { float f; memcpy(&f, &bits, 4); return f; }
static unsigned __float_as_uint(float f) { unsigned bits; memcpy(&bits, &f, 4); return bits; }

static const int WARP = 32;

struct Thread {
    ucontext_t beginning;
    jmp_buf place;  // where it gave way
    std::vector<char> stack = std::vector<char>(1 << 16);
    bool has_begun, has_left;
};
struct Gathering {  // of threads that wait for each other, as often as they like
    int waiting, rounds;
};
static jmp_buf scheduler;
static std::vector<Thread> threads;
static std::vector<Gathering> gatherings;  // of the block, then of each warp
static std::vector<unsigned long long> shuffled;
static int current;
static bool has_moved;

static void give_way() {
    if (!_setjmp(threads[current].place)) _longjmp(scheduler, 1);
}

static __attribute__((noinline)) void resume() {
    if (_setjmp(scheduler)) return;
    if (threads[current].has_begun) _longjmp(threads[current].place, 1);
    threads[current].has_begun = true;
    setcontext(&threads[current].beginning);
}

static void wait(Gathering& gathering, int all) {
    int round = gathering.rounds;
    has_moved = true;
    if (++gathering.waiting == all) {
        gathering.waiting = 0, ++gathering.rounds;
        return;
    }
    while (gathering.rounds == round) give_way();
    has_moved = true;
}

static void __syncthreads() { wait(gatherings[0], threads.size()); }

template <class T> static T __shfl_xor_sync(unsigned mask, T value, int lanes) {
    if (mask != ~0u) fputs("only whole warps are shuffled here\n", stderr), abort();
    Gathering& warp = gatherings[1 + current / WARP];
    int own = current;
    memcpy(&shuffled[own], &value, sizeof value);
    wait(warp, WARP);
    memcpy(&value, &shuffled[own ^ lanes], sizeof value);
    wait(warp, WARP);
    return value;
}

template <class Kernel> static Kernel* running;

template <class Kernel> static void run_blocks() {
    while (true) {
        (*running<Kernel>)();
        threads[current].has_left = has_moved = true;
        give_way();
    }
}

template <class Kernel> static void begin(Kernel& kernel) {
    running<Kernel> = &kernel;
    threads.resize(blockDim.x);
    gatherings.assign(1 + blockDim.x / WARP, {});
    shuffled.resize(blockDim.x);
    for (Thread& thread : threads) {
        thread.has_begun = false;
        getcontext(&thread.beginning);
        thread.beginning.uc_stack.ss_sp = thread.stack.data();
        thread.beginning.uc_stack.ss_size = thread.stack.size();
        makecontext(&thread.beginning, run_blocks<Kernel>, 0);
    }
}

static void run_block(bool in_reverse) {
    int size = threads.size(), left = 0;
    for (Thread& thread : threads) thread.has_left = false;
    while (left < size) {
        has_moved = false;
        for (int i = 0; i < size; ++i) {
            current = in_reverse ? size - 1 - i : i;
            if (threads[current].has_left) continue;
            threadIdx.x = current;
            resume();
            left += threads[current].has_left;
        }
        if (!has_moved) fputs("threads wait for others that have left\n", stderr), abort();
    }
}

template <class... A, size_t... I>
static void grid(void (*kernel)(A...), int width, int height, int block, bool waits, bool in_reverse, void** at,
                 std::index_sequence<I...>) {
    auto call = [=] { kernel(*(A*)at[I]...); };
    blockDim.x = block;
    if (waits) begin(call);
    for (blockIdx.y = 0; blockIdx.y < height; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < width; ++blockIdx.x)
            if (waits) run_block(in_reverse);
            else
                for (int i = 0; i < block; ++i) threadIdx.x = in_reverse ? block - 1 - i : i, call();
}

template <class... A>
static void launch(void (*kernel)(A...), int width, int height, int block, bool waits, bool in_reverse, void** at) {
    grid(kernel, width, height, block, waits, in_reverse, at, std::index_sequence_for<A...>());
}
"""


def kernels(source: str) -> list[str]:
    """Names of the kernels of a source."""
    return re.findall(r"__global__ void (\w+)", source)


class Host:
    """Runs kernels in place of `cuda.launch`; threads begin in order or, where `in_reverse`, from the last one on.

    Args:
        compiler: path of g++.
        folder: where libraries are compiled to, once each; empty.
    """

    def __init__(self, compiler: str, folder: Path):
        self.compiler, self.folder, self.in_reverse = compiler, folder, False
        self._libraries: dict[tuple[str, torch.dtype], ctypes.CDLL] = {}

    def launch(
        self, source: str, name: str, dtype: torch.dtype, blocks: tuple[int, int], *arguments: Tensor | int | None
    ) -> None:
        """`cuda.launch` on tensors of the CPU."""
        passed = [_pass(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(passed))(*map(ctypes.addressof, passed))
        run = getattr(self._library(source, dtype), f"run_{name}")
        run(*blocks, cuda.BLOCK, _waits(source, name), self.in_reverse, pointers)

    def _library(self, source: str, dtype: torch.dtype) -> ctypes.CDLL:
        if (source, dtype) not in self._libraries:
            entries = "".join(
                f'extern "C" void run_{name}(int width, int height, int block, bool waits, bool in_reverse, void** at) '
                f"{{ launch({name}, width, height, block, waits, in_reverse, at); }}\n"
                for name in kernels(source)
            )
            code = self.folder / f"kernels{len(self._libraries)}.cpp"
            code.write_text(_PRELUDE + cuda.PRELUDE + source + entries)
            library = code.with_suffix(".so")
            options = [
                "-std=c++17",
                "-O1",
                "-U_FORTIFY_SOURCE",
                "-shared",
                "-fPIC",
                "-Wl,-Bsymbolic",
                *cuda.options(dtype),
            ]
            subprocess.run([self.compiler, *options, code, "-o", library], check=True)
            self._libraries[source, dtype] = ctypes.CDLL(str(library))
        return self._libraries[source, dtype]


def _pass(argument: Tensor | int | None) -> ctypes.c_void_p | ctypes.c_int:
    if isinstance(argument, int):
        return ctypes.c_int(argument)
    assert argument is None or argument.is_contiguous()
    return ctypes.c_void_p(None if argument is None else argument.data_ptr())


def _waits(source: str, name: str) -> bool:
    """Whether threads of a kernel wait for each other; where they do not, no coroutine is needed."""
    body = source.split(f"__global__ void {name}(")[1].split("__global__")[0]
    return "__sync" in body
