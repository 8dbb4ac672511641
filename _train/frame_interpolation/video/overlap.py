"""Work in threads of its own, joined by short queues, so that memory is bounded and no error is lost.

`ahead` computes the items of an iterable before they are asked for; `behind` takes items that are worked on later. When
a thread fails, its error is raised in the thread that the block belongs to; when the block is left, by whatever
exception, its thread ends at the next item.
"""

import collections
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 - no error: nobody waits for the thread any more
    """Nobody takes these items, or gives any more."""


class Channel(Generic[T]):
    """A queue of at most `size` items between two threads, one that puts and one that iterates."""

    def __init__(self, size: int):
        self._size = size
        self._items: collections.deque[T] = collections.deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._is_stopped = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Append an item, as soon as there is room.

        Raises:
            Stopped: the other side has gone.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._size or self._is_stopped)
            if self._is_stopped:
                raise Stopped
            self._items.append(item)
            self._changed.notify_all()

    def close(self, error: BaseException | None = None) -> None:
        """No item follows; an error is raised where the items are taken."""
        with self._changed:
            self._is_closed, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Both sides shall end, whatever is still waiting."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._is_closed or self._is_stopped)
                if self._is_stopped:
                    raise Stopped
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item  # it may be large, and the next one may be long in coming
        if self._error is not None:
            raise self._error


@contextlib.contextmanager
def ahead(items: Iterable[T], size: int) -> Iterator[Iterator[T]]:
    """The same items, up to `size` of them computed in advance, in a thread."""
    channel: Channel[T] = Channel(size)

    def work() -> None:
        try:
            for item in items:
                channel.put(item)
            channel.close()
        except BaseException as error:
            channel.close(error)
        finally:
            if hasattr(items, "close"):
                items.close()

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        yield iter(channel)
    finally:
        channel.stop()
        thread.join()


@contextlib.contextmanager
def behind(work: Callable[[Iterator[T]], None], size: int) -> Iterator[Callable[[T], None]]:
    """A function that hands an item to `work`, which runs over all of them in a thread, up to `size` items later.

    The block ends when the work has.
    """
    channel: Channel[T] = Channel(size)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work(iter(channel))
        except Stopped:
            pass
        except BaseException as error:
            errors.append(error)
        finally:
            channel.stop()

    thread = threading.Thread(target=run, name="behind", daemon=True)
    thread.start()
    try:
        with contextlib.suppress(Stopped):  # the work has failed: its error is raised below
            yield channel.put
        channel.close()
        thread.join()
    finally:
        channel.stop()
        thread.join()
    if errors:
        raise errors[0]
