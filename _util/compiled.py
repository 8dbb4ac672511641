"""Functions compiled by Numba, cached from run to run where possible.

Numba caches compiled code beside the source or in the user's home. If neither can be written, a private folder among
the temporary files is used; if that is not available either, each run compiles again.
"""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Callable], Callable]:
    """`numba.njit` with `nogil=True` and a cache."""

    config: Any = numba.config  # its attributes are created at import, which type checkers do not see

    def compiled(function: Callable) -> Callable:
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # no place for a cache
            config.CACHE_DIR = config.CACHE_DIR or _own_folder()
        try:
            return numba.njit(nogil=True, cache=bool(config.CACHE_DIR), **options)(function)
        except RuntimeError:
            return numba.njit(nogil=True, **options)(function)

    return compiled


def _own_folder() -> str:
    """A folder that nobody else can write to, since its contents are executed; "" if there is none."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    try:
        folder = Path(tempfile.gettempdir(), f"inbetween-numba-{user}")
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return ""
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == user and not status.st_mode & 0o022
    return str(folder) if is_ours and os.access(folder, os.W_OK) else ""
