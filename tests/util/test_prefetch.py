"""Work in other threads keeps its order, its bounds and its errors."""

import contextlib
import threading
import time

import pytest

from _util.prefetch import ahead, behind


@pytest.mark.parametrize("size", [1, 3, 200])
def test_items_come_ahead_in_order(size):
    assert list(ahead(iter(range(100)), size)) == list(range(100))


def test_no_more_is_made_ahead_than_asked_for():
    made = []

    def make():
        for i in range(100):
            made.append(i)
            yield i

    with contextlib.closing(ahead(make(), 3)) as items:
        next(items)
        time.sleep(0.1)
        assert len(made) == 4
    assert len(made) <= 5


def test_an_error_ahead_is_raised_after_what_came_before_it():
    def make():
        yield 1
        raise ValueError("two")

    items = ahead(make(), 3)
    assert next(items) == 1
    with pytest.raises(ValueError, match="two"):
        next(items)


def test_work_behind_is_done_in_order_when_the_block_ends():
    done = []
    with behind(done.append, 2) as put:
        for i in range(50):
            put(i)
            assert i - len(done) <= 3
    assert done == list(range(50))


def test_several_threads_work_behind_at_once():
    together = threading.Barrier(3, timeout=20)
    with behind(lambda _: together.wait(), 3, threads=3) as put:
        for i in range(9):
            put(i)
    assert not together.broken


@pytest.mark.parametrize("number", [3, 99])
def test_after_an_error_behind_nothing_is_begun(number):
    done = []

    def work(item):
        if item == number:
            raise ValueError("no more")
        done.append(item)

    def give():
        with behind(work, 5) as put:
            for i in range(100):
                put(i)

    with pytest.raises(ValueError, match="no more"):
        give()
    assert done == list(range(number))


def test_an_error_of_the_block_ends_what_waits():
    done, threads = [], threading.active_count()

    def work(item):
        time.sleep(0.01)
        done.append(item)

    def give():
        with behind(work, 100) as put:
            for i in range(100):
                put(i)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give()
    assert len(done) < 50
    assert threading.active_count() == threads
