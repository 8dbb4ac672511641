"""Background threads that work ahead of, or behind, the calling thread, in order and with bounded queues.

PICTURES is how many picture files are read or written at once, which leaves cores to what is done with them.

An error in a thread is raised in the thread that uses its results. A thread ends with the block that it belongs to,
after any exception too, as soon as its current item is done.
"""

import collections
import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar, cast

PICTURES = max(1, min(8, (os.cpu_count() or 1) // 2))

S = TypeVar("S")
T = TypeVar("T")


def ahead(items: Iterator[T], size: int = 1) -> Generator[T, None, None]:
    """Iterate over items that another thread computes up to `size` items ahead."""
    end = object()
    with ThreadPoolExecutor(1, "ahead") as thread:
        coming: collections.deque[Future[T | object]] = collections.deque()
        try:
            coming.extend(thread.submit(next, items, end) for _ in range(size))
            while (item := coming.popleft().result()) is not end:
                coming.append(thread.submit(next, items, end))
                yield cast(T, item)
                del item  # it may be large, and the next one may take long
        finally:
            thread.shutdown(cancel_futures=True)


@contextlib.contextmanager
def behind(work: Callable[[T], None], size: int = 1, threads: int = 1) -> Iterator[Callable[[T], None]]:
    """A function that queues an item for `work` in another thread, which processes all in order, up to `size` behind.

    With several threads, as many items are processed at once. The block ends when all work is done. After an error, no
    further work is started.
    """
    begun: collections.deque[Future[None]] = collections.deque()
    has_failed = False

    def run(item: T) -> None:
        nonlocal has_failed
        if has_failed:
            return
        try:
            work(item)
        except BaseException:
            has_failed = True
            raise

    def put(item: T) -> None:
        begun.append(pool.submit(run, item))
        if len(begun) > size:
            begun.popleft().result()

    with ThreadPoolExecutor(threads, "behind") as pool:
        try:
            yield put
            while begun:
                begun.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def in_order(pool: Executor, work: Callable[[S], T], items: Iterable[S], ahead: int = 2) -> Iterator[T]:
    """The results of `work` on the items, in order; up to `ahead` further items are submitted in advance."""
    begun: collections.deque[Future[T]] = collections.deque()
    for item in items:
        begun.append(pool.submit(work, item))
        if len(begun) > ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
