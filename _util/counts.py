"""Counts in messages."""


def counted(number: int, one: str) -> str:
    """A number and its noun, which has an s unless there is one of it: `1 drawing`, `2 drawings`."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"
