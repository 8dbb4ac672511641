"""The triplets found in a video: rrld.txt and, from its record, the shots that they belong to."""

import bisect
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from _databacks.extraction import records
from _util.errors import InputError
from _util.files import write_text

HEADER = "frames,linearity,coverage"


class ExtractedTriplet(NamedTuple):
    """Three drawings that follow on each other, by the numbers of their first frames."""

    name: str  # 000012-000013-000015
    frames: tuple[int, int, int]
    rrld: float
    coverage: float
    cut: int  # number of the shot that it lies in, from 0


def name_of(frames: Iterable[int]) -> str:
    """The name of a triplet by the numbers of its frames."""
    return "-".join(f"{frame:06d}" for frame in frames)


def write_triplets(path: Path, triplets: Iterable[ExtractedTriplet]) -> None:
    """Write rrld.txt; it appears whole.

    Raises:
        InputError: it cannot be written.
    """
    rows = [f"{triplet.name},{triplet.rrld:.6g},{triplet.coverage:.6g}" for triplet in triplets]
    write_text(path, "\n".join([HEADER, *rows, ""]))


def read_triplets(out: Path) -> list[ExtractedTriplet]:
    """The triplets that rrld.txt in the folder `out` lists, in its order.

    Without a record of the cuts, as beside a list that was not made here, all lie in cut 0.

    Raises:
        InputError: it is not there or damaged.
    """
    path = out / "rrld.txt"
    if not path.exists():
        raise InputError(f"There is no {path}; rrld_filter makes it.")
    cuts = records.read(path)["found"]["cuts"] if path.with_suffix(".json").exists() else [0]
    try:
        header, *rows = path.read_text().splitlines()
        if header != HEADER:
            raise ValueError(header)
        return [_parse(row, cuts) for row in rows]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); delete it and make it again.") from error


def _parse(row: str, cuts: list[int]) -> ExtractedTriplet:
    name, rrld, coverage = row.split(",")
    first, middle, last = map(int, name.split("-"))
    return ExtractedTriplet(
        name, (first, middle, last), float(rrld), float(coverage), bisect.bisect_right(cuts, first) - 1
    )
