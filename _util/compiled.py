"""Functions compiled by Numba, cached from run to run where possible.

Numba compiles a function again when its own file changes, but not when a function or type of another file does that was
compiled into it. So each state of the sources has a cache of its own, in the first of these places that can be written:
NUMBA_CACHE_DIR if it is set, the project's place for caches, a private folder among the temporary files. If there is
none, each run compiles again.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba

from _util import places

_SOURCES = Path(__file__).parent
_configuring = threading.Lock()  # modules may be imported in several threads
_UNUSED = 24 * 3600  # seconds after which the cache of other sources is removed


def njit(**options: Any) -> Callable[[Callable], Callable]:
    """`numba.njit` with `nogil=True` and a cache."""

    def compiled(function: Callable) -> Callable:
        folder = _folder()
        with _caching_in(folder):
            return numba.njit(nogil=True, cache=bool(folder), **options)(function)

    return compiled


@contextlib.contextmanager
def _caching_in(folder: str) -> Iterator[None]:
    config: Any = numba.config  # its attributes are created at import, which type checkers do not see
    with _configuring:
        before, config.CACHE_DIR = config.CACHE_DIR, folder
        try:
            yield
        finally:
            config.CACHE_DIR = before


@functools.cache
def _folder() -> str:
    """The cache of these sources; "" if no place can be written."""
    config: Any = numba.config
    chosen = [lambda: Path(config.CACHE_DIR)] if config.CACHE_DIR else [lambda: places.cache("numba"), _private_folder]
    for place in chosen:
        with contextlib.suppress(OSError):
            folder = place() / f"sources-{_digest()}"
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            _remove_others(folder)
            return str(folder)
    return ""


def _digest() -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(_SOURCES.rglob("*.py")):
        digest.update(path.relative_to(_SOURCES).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _remove_others(folder: Path) -> None:
    for other in folder.parent.glob("sources-*"):
        with contextlib.suppress(FileNotFoundError):  # another process removed it
            if other != folder and time.time() - other.stat().st_mtime > _UNUSED:
                shutil.rmtree(other, ignore_errors=True)


def _private_folder() -> Path:
    """A folder that nobody else can write to, since its contents are executed.

    Raises:
        OSError: there is none.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir(), f"inbetween-numba-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user or status.st_mode & 0o022:
        raise PermissionError(f"{folder} is not private")
    return folder
