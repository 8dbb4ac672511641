"""Suppression of messages that libraries print in addition to raising errors."""

import contextlib
import os
import threading
from collections.abc import Iterator

_OUTPUTS = (1, 2)  # descriptors of standard output and error
_lock = threading.Lock()
_kept: list[int] = []
_inside = 0


@contextlib.contextmanager
def without_messages() -> Iterator[None]:
    """Discard all writes to standard output and error within the block, in any number of threads."""
    global _inside
    with _lock:
        if _inside == 0:
            _discard()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _restore()


@contextlib.contextmanager
def unsuppressed() -> Iterator[None]:
    """Restore standard output and error within the block, even if a thread is in `without_messages`.

    For libraries that open standard output, and keep what they have opened.
    """
    with _lock:
        if _inside:
            _restore()
        try:
            yield
        finally:
            if _inside:
                _discard()


def _discard() -> None:
    with contextlib.suppress(OSError):  # one is closed
        _kept.extend(os.dup(output) for output in _OUTPUTS)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        for output in _OUTPUTS[: len(_kept)]:
            os.dup2(nowhere.fileno(), output)


def _restore() -> None:
    for output, kept in zip(_OUTPUTS, _kept, strict=False):
        os.dup2(kept, output)
        os.close(kept)
    _kept.clear()
