"""Run compiled kernels on as many threads as PyTorch uses.

A kernel here is a Numba function compiled with `nogil=True` whose last two arguments are a range of independent tasks.
Numba's own `parallel=True` is not used: its thread pools may not be entered from two threads at once, or break in a
process forked after their first use, and both happen here (video pipelines, data loaders).
"""

import functools
import itertools
import os
import threading
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

    As many threads as PyTorch uses, the calling one among them, take several ranges each, as they are ready for them:
    PyTorch's own threads spin for a while after each of its operations, and slow down those that share their cores.
    """
    workers = min(tasks, torch.get_num_threads())
    if workers <= 1:
        kernel(*arguments, 0, tasks)
        return
    ranges = min(tasks, 4 * workers)
    bounds = itertools.pairwise(tasks * i // ranges for i in range(ranges + 1))
    take = threading.Lock()

    def work() -> None:
        while True:
            with take:
                bound = next(bounds, None)
            if bound is None:
                return
            kernel(*arguments, *bound)

    others = [_pool(workers - 1).submit(work) for _ in range(workers - 1)]
    try:
        work()
    finally:
        wait(others)  # all of them, before an error of one leaves the others writing to arrays that may be gone
    for other in others:
        other.result()
