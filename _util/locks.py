"""Locks, so that only one run at a time writes to a file or folder.

clip.mp4  .clip.mp4.lock     while `holding("clip.mp4")`; names the process that holds it

The operating system releases a lock when its process ends for any reason, so a stale lock file does no harm.
"""

import contextlib
import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from _util import torchrun
from _util.errors import InputError
from _util.files import hidden_beside, making_folder

WITHIN = ".lock"  # in a folder beside which nothing can be written
_TIMEOUT = 0.3  # seconds; another run may be removing its lock file just now
_NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def holding(*paths: str | Path) -> Iterator[None]:
    """Lock the files or folders that a run writes; acquire the lock before anything is discarded.

    Of the processes of one `torchrun`, the first holds the locks for all.

    Args:
        paths: they need not exist; links are followed. Missing parents are created, and removed again if left empty.

    Raises:
        InputError: another run holds one (the message names its process), or there is no permission to write.
    """
    with contextlib.ExitStack() as stack:
        for path in () if torchrun.rank() else paths:
            real = Path(os.path.realpath(path))
            stack.enter_context(making_folder(real.parent))
            stack.enter_context(_locked(path, real))
        yield


def check(*paths: str | Path) -> None:
    """Check that `holding` could be entered, without creating anything.

    Raises:
        InputError: another run holds one of the locks, or there is no permission to write.
    """
    for path in paths:
        real = Path(os.path.realpath(path))
        for file in filter(os.path.isfile, _lock_files(real)):
            with contextlib.suppress(OSError):  # no permission, which is checked below
                _try_lock(path, file).release()
        folder = next(parent for parent in real.parents if os.path.exists(parent))  # noqa: PTH110
        if not any(os.access(place, os.W_OK | os.X_OK) for place in (folder, real) if os.path.isdir(place)):  # noqa: PTH112
            what = f"{path} cannot be written" if folder == real.parent else f"{real.parent} cannot be created"
            raise InputError(f"{what} ({os.strerror(errno.EACCES)}); choose another place.")


def is_abandoned(path: str | Path) -> bool:
    """Whether the process that held the lock of a file or folder was killed, so that the lock file is still there."""
    file, _ = _lock_files(Path(os.path.realpath(path)))
    if not file.is_file():
        return False
    try:
        _try_lock(path, file).release()
    except (OSError, InputError):  # it is held, or cannot be locked
        return False
    return True


@contextlib.contextmanager
def _locked(path: str | Path, real: Path) -> Iterator[None]:
    lock = _acquire(path, real)
    if lock is None:
        yield
        return
    file = Path(lock.lock_file)
    try:
        with contextlib.suppress(OSError):
            since = datetime.now().isoformat(" ", "seconds")
            file.write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": since}))
        yield
    finally:
        try:
            with contextlib.suppress(OSError):  # Windows does not remove an open file
                file.unlink()
        finally:
            lock.release()


def _acquire(path: str | Path, real: Path) -> FileLock | None:
    """Acquire the lock; None if the file system has no locks."""
    beside, within = _lock_files(real)
    for file in (beside, within):
        try:
            return _try_lock(path, file)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                print(f"The file system of {path} has no locks; no other run should write there.", file=sys.stderr)
                return None
            if error.errno not in _NO_PERMISSION or file != beside or not os.path.isdir(real):  # noqa: PTH112
                raise InputError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
    return None


def _lock_files(real: Path) -> tuple[Path, Path]:
    """The lock file of a file or folder, and the one of a folder beside which nothing can be written."""
    return hidden_beside(real, ".lock"), real / WITHIN


def _try_lock(path: str | Path, file: Path) -> FileLock:
    try:
        lock = FileLock(file, timeout=_TIMEOUT)
        lock.acquire()
        return lock
    except Timeout as error:
        if not file.exists():  # a file system on which no files can be created, such as /proc
            raise InputError(
                f"{path} cannot be written, as no file can be created there; choose another place."
            ) from error
        raise InputError(
            f"{path} is in use by another run{_holder(file)}; wait for it, or choose another place."
        ) from error


def _holder(file: Path) -> str:
    """The holder of a lock, in parentheses; "" if it cannot be read."""
    try:
        run = json.loads(file.read_text())
        return f" (process {run['process']} on {run['host']}, since {run['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
