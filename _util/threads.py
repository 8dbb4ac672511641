"""Run compiled kernels on as many threads as PyTorch uses.

A kernel here is a Numba function compiled with `nogil=True` whose last two arguments are a range of independent tasks.
Numba's own `parallel=True` is not used: its thread pools may not be entered from two threads at once, or break in a
process forked after their first use, and both happen here (video pipelines, data loaders).
"""

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import torch


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked child inherits the pool without its threads


def run(kernel: Callable[..., None], tasks: int, *arguments: object) -> None:
    """Call `kernel(*arguments, start, stop)` so that the ranges cover `0 … tasks - 1` once, in parallel.

    The number of ranges is at most `torch.get_num_threads()`. The calling thread takes the first one.
    """
    ranges = min(tasks, torch.get_num_threads())
    if ranges <= 1:
        kernel(*arguments, 0, tasks)
        return
    bounds = [tasks * i // ranges for i in range(ranges + 1)]
    pool = _pool(ranges - 1)
    others = [pool.submit(kernel, *arguments, start, stop) for start, stop in itertools.pairwise(bounds[1:])]
    try:
        kernel(*arguments, 0, bounds[1])
    finally:
        wait(others)  # all of them, before an error of one leaves the others writing to arrays that may be gone
    for other in others:
        other.result()
