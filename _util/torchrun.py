"""This process among those that `torchrun` started; alone without it."""

import os


def rank() -> int:
    """From 0 to `count() - 1`, over all machines."""
    return int(os.environ.get("RANK", 0))


def count() -> int:
    """Processes on all machines."""
    return int(os.environ.get("WORLD_SIZE", 1))


def local_rank() -> int:
    """From 0 to `local_count() - 1`, on this machine."""
    return int(os.environ.get("LOCAL_RANK", 0))


def local_count() -> int:
    """Processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))
