"""Run compiled kernels on as many threads as PyTorch uses.

A kernel here is a Numba function compiled with `nogil=True` whose last two arguments are a range of independent tasks.
If PyTorch uses GNU OpenMP, its threads run the kernel: they spin for milliseconds after each operation, and would
compete with other threads for the cores. Otherwise, and in a forked process, which inherits OpenMP without its threads,
a thread pool of this module is used.

Numba's own `parallel=True` is not used: its thread pools must not be entered from two threads at once, or break in a
process forked after their first use. Both happen here (video pipelines, data loaders).

GNU OpenMP itself waits forever for these threads in a forked process. So PyTorch is limited to one thread in processes
forked after `expect_work`.
"""

import ctypes
import functools
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

T = TypeVar("T")

_forked = False
_works = False


def expect_work() -> None:
    """Call before PyTorch computes, so that processes forked afterwards can compute too, on one thread."""
    global _works
    _works = True


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def _after_fork() -> None:
    global _forked
    _forked = True
    _pool.cache_clear()
    if _works:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _openmp() -> ctypes.CDLL | None:
    """The GNU OpenMP library that PyTorch has loaded; None on other systems or with another OpenMP."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
        library.GOMP_parallel.restype = None
    except (OSError, AttributeError):
        return None
    return library


def run(kernel: Callable[..., None], tasks: int, *arguments: object) -> None:
    """Call `kernel(*arguments, start, stop)` in parallel on ranges that cover `0 … tasks - 1` once.

    Ranges are scheduled dynamically on as many threads as PyTorch uses, including the calling one. An exception in a
    kernel is raised once all threads have stopped.
    """
    workers = min(tasks, torch.get_num_threads())
    if workers <= 1:
        kernel(*arguments, 0, tasks)
        return
    ranges = min(tasks, 4 * workers)
    bounds = itertools.pairwise(tasks * i // ranges for i in range(ranges + 1))
    take = threading.Lock()
    errors: list[BaseException] = []

    def work(_: object = None) -> None:
        try:
            while not errors:
                with take:
                    bound = next(bounds, None)
                if bound is None:
                    return
                kernel(*arguments, *bound)
        except BaseException as error:
            errors.append(error)

    library = None if _forked else _openmp()
    if library is not None:
        library.GOMP_parallel(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(work), None, workers, 0)
    else:
        others = [_pool(torch.get_num_threads()).submit(work) for _ in range(workers - 1)]
        work()
        wait(others)
    if errors:
        raise errors[0]


def each(function: Callable[..., T], *arguments: Iterable) -> list[T]:
    """`list(map(function, *arguments))` of a few calls that take milliseconds, such as one for either frame of a pair.

    They run at the same time if PyTorch uses several threads, and then each in a thread that ends with it: GNU OpenMP's
    threads of one that stays would count as competitors of others, which then no longer spin. Calls may `run` kernels.
    """
    calls, number = list(zip(*arguments, strict=True)), torch.get_num_threads()
    if number == 1 or len(calls) == 1:
        return [function(*call) for call in calls]
    in_inference, with_gradient = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def work(call: tuple) -> T:
        torch.set_num_threads(number)  # PyTorch keeps this, like the modes, per thread
        with torch.inference_mode(in_inference), torch.set_grad_enabled(with_gradient):
            return function(*call)

    with ThreadPoolExecutor(len(calls) - 1) as pool:
        others = [pool.submit(work, call) for call in calls[1:]]
        first = function(*calls[0])
    return [first, *(other.result() for other in others)]
