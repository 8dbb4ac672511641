"""Sentences about files, which are printed once."""

import sys
from pathlib import Path

_printed: set[tuple[Path, str]] = set()


def print_once(path: Path, what: str) -> None:
    """Print `PATH what.` to stderr, unless the same was printed of another file of its folder."""
    if (path.parent, what) not in _printed:
        _printed.add((path.parent, what))
        print(f"{path} {what}.", file=sys.stderr)
