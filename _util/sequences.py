"""Numbered drawings: the files of a folder, a pattern such as `shot.%04d.png`, or a glob such as `shot.*.png`.

Files whose names differ only in one number are a sequence: they are sorted by it, and missing numbers are gaps, which
last as long as the drawings would. Other files are in natural order, without gaps.
"""

import fnmatch
import itertools
import re
from pathlib import Path
from typing import NamedTuple

from _util import files
from _util.counts import listed
from _util.errors import InputError

_PATTERN = re.compile(r"%0?(\d*)d")
_GLOB = re.compile(r"[*?\[]")


class NumberedSequence(NamedTuple):
    """The drawings of a source, in order."""

    paths: list[Path]
    numbers: list[int]  # of each drawing, increasing, may have gaps

    @property
    def places(self) -> list[int]:
        """The position of each drawing, counted from the first, including gaps."""
        return [number - self.numbers[0] for number in self.numbers]

    @property
    def gaps(self) -> list[range]:
        """The missing numbers."""
        return [range(a + 1, b) for a, b in itertools.pairwise(self.numbers) if b - a > 1]


def is_pattern(path: Path) -> bool:
    """Whether a path that does not exist names drawings by a pattern or a glob."""
    return bool(_PATTERN.search(path.name.replace("%%", "")) or _GLOB.search(path.name)) and not path.exists()


def matching(pattern: Path) -> list[Path]:
    """The files and folders that a glob in the last part of a path names, in no order."""
    if not pattern.parent.is_dir():
        return []
    return [path for path in pattern.parent.iterdir() if fnmatch.fnmatch(path.name, pattern.name)]


def find(source: Path) -> NumberedSequence:
    """The drawings of a folder, a pattern or a glob.

    Raises:
        InputError: there are none, two have the same number, or the folder cannot be read.
    """
    if source.is_dir():
        numbered = files.numbered(source)
        if not numbered:
            raise InputError(
                f"{source} holds no pictures ({files.PICTURE_FORMATS}); numbered ones are needed, as 0001.png."
            )
        return _sequence(numbered)
    if not source.parent.is_dir():
        raise InputError(f"There is no folder {source.parent} for the drawings {source.name}.")
    if _PATTERN.search(source.name.replace("%%", "")):
        return _of_pattern(source)
    paths = [path for path in matching(source) if path.is_file() and path.name[0] != "."]
    if not paths:
        raise InputError(f"No file matches {source}; drawings are needed, as shot.0001.png.")
    return _sequence(files.number(sorted(paths, key=lambda path: files.natural(path.name))))


def message(sequence: NumberedSequence, source: Path, are_closed: bool) -> str | None:
    """A sentence about gaps; None if there are none."""
    if not sequence.gaps:
        return None
    names = [f"{gap.start}" + (f"–{gap[-1]}" if len(gap) > 1 else "") for gap in sequence.gaps]
    if are_closed:
        return f"{source} lacks {listed(names)}: closed up."
    return f"{source} lacks {listed(names)}: the drawing before each gap is held; --close-gaps leaves the gaps out."


def _of_pattern(source: Path) -> NumberedSequence:
    parts = source.name.split("%%")
    count = sum(len(_PATTERN.findall(part)) for part in parts)
    if count != 1:
        raise InputError(f"{source.name} has {count} numbers; a pattern has one, as %04d.")
    width = int(next(filter(None, map(_PATTERN.search, parts)))[1] or 1)
    expression = re.compile("%".join(_escaped(part) for part in parts))
    found: dict[int, Path] = {}
    for path in source.parent.iterdir():
        match = expression.fullmatch(path.name)
        if match and path.is_file() and f"{int(match[1]):0{width}d}" == match[1]:
            found[int(match[1])] = path
    if not found:
        raise InputError(f"No file matches {source}; name the drawings as it says, or give their folder.")
    numbers = sorted(found)
    return NumberedSequence([found[number] for number in numbers], numbers)


def _escaped(part: str) -> str:
    return r"(-?\d+)".join(map(re.escape, _PATTERN.split(part)[::2]))


def _sequence(numbered: list[files.Numbered]) -> NumberedSequence:
    return NumberedSequence([path for path, _ in numbered], [number for _, number in numbered])
