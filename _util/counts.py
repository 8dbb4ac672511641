"""Counts in messages."""

from collections.abc import Sequence


def counted(number: int, one: str) -> str:
    """A number and its noun, with an s unless the number is 1: `1 drawing`, `2 drawings`."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and the number of further ones: `a, b and 3 more`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
