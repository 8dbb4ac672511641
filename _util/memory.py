"""Memory of this process: allocator settings and measurement of the peak."""

import contextlib
import ctypes
import os
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_INT = 2**31 - 1
_UNITS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss
_SMALL_MACHINE = 4 * 2**30


def keep_freed() -> None:
    """Make glibc keep freed memory in the process; no effect with other C libraries.

    By default each tensor of more than 32 MB is newly mapped, and its page faults cost more than many operations on it.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)


def peak() -> float:
    """Peak memory of this process in MiB since `reset_peak`, or since its start where that cannot be reset."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNITS_PER_MIB


def installed() -> int:
    """Bytes of memory of this machine; 4 GiB where the system does not tell, as on Windows."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _SMALL_MACHINE


def reset_peak() -> None:
    """Reset `peak`; no effect except on Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
