"""Work done ahead of its use, in threads, with results in order and no more begun than are needed soon."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made in another thread while the one before is being used."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item


def in_order(pool: Executor, work: Callable[[S], T], items: Iterable[S], ahead: int = 2) -> Iterator[T]:
    """The results of `work` on the items, in their order, of which `ahead` are begun before the first is asked for."""
    begun: collections.deque[Future[T]] = collections.deque()
    for item in items:
        begun.append(pool.submit(work, item))
        if len(begun) > ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
