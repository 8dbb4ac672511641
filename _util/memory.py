"""Memory of this process: keep what is freed, and measure the peak."""

import contextlib
import ctypes
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_INT = 2**31 - 1


def keep_freed() -> None:
    """Let freed memory stay with the process, where the C library is glibc.

    Otherwise every tensor of more than 32 MB is mapped anew, page fault by page fault, which on the CPU costs more than
    many an operation on it.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)


def peak() -> float:
    """The most memory in MB that this process has held since `reset_peak`, or ever where that cannot be reset."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reset_peak() -> None:
    """Begin a new measurement of `peak`; Linux only, elsewhere nothing happens."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
