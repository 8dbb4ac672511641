"""Scores of methods on items: partial files during a run, and the final table.

    out.csv                             method, name, metadata, metrics; one row per method and item, in order
    .out-1f0c3a…-<process>.csv          the partial results of each process, in any order, until out.csv is written

Each process appends whole lines to its own file. A run with the same options resumes: `Gathered` reads the partial
files of any earlier processes. Truncated lines are ignored.
"""

import csv
import glob
import io
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from _util import files, runs
from _util.errors import InputError

_KEYS = ("method", "name")  # the first columns of a table


class Row(NamedTuple):
    """The scores of a method on an item."""

    method: str
    name: str
    metadata: dict[str, str]
    scores: dict[str, float]


class Gathered:
    """Collects rows in partial files and writes the table.

    Args:
        out: the table; partial files are in the same folder.
        options: everything that the rows depend on, other than files, as plain values.
        metadata, metrics: the columns.

    Attributes:
        run: a digest of options and columns.

    Raises:
        InputError: here and in every method, if something cannot be read or written.
    """

    def __init__(self, out: Path, options: dict, metadata: Sequence[str], metrics: Sequence[str]):
        self.out, self.metadata, self.metrics = out, tuple(metadata), tuple(metrics)
        self.run = runs.digest_of([options, self.metadata, self.metrics])[:12]
        process = f"-{8 * '_'}.csv"
        name = files.fitting(f".{out.stem}", f"-{self.run}{process}")
        self.prefix = name.removesuffix(process)
        self.part: BinaryIO | None = None
        self.columns = (*_KEYS, "stamp", *self.metadata, *self.metrics, "end")
        files.make_folder(out.parent, "choose another --out")

    def read(self) -> dict[tuple[str, str, str], Row]:
        """Read the rows of all partial files, by method, name and stamp."""
        rows = {}
        for path in sorted(self.out.parent.glob(f"{glob.escape(self.prefix)}-*.csv")):
            try:
                text = path.read_text(encoding="utf-8", errors="surrogateescape")
            except OSError as error:
                remedy = "delete it, and its items are scored again"
                raise InputError(f"{path} cannot be read ({error.strerror}); {remedy}.") from error
            for values in csv.reader(text.splitlines()):
                if len(values) == len(self.columns) and values[-1] == ".":
                    cells = dict(zip(self.columns, values, strict=True))
                    metadata = {name: cells[name] for name in self.metadata}
                    scores = {name: float(cells[name]) for name in self.metrics}
                    rows[cells["method"], cells["name"], cells["stamp"]] = Row(
                        cells["method"], cells["name"], metadata, scores
                    )
        return rows

    def append(self, rows: Iterable[Row], stamp: str) -> None:
        """Append the rows of one item, whose files have this stamp, to the partial file."""
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(
            [row.method, row.name, stamp, *_cells(row, self.metadata, self.metrics), "."] for row in rows
        )
        with files.writing(self.out, "make room and run again"):
            if self.part is None:
                self.part = os.fdopen(tempfile.mkstemp(".csv", f"{self.prefix}-", self.out.parent)[0], "wb")
            self.part.write(text.getvalue().encode(errors="surrogateescape"))
            self.part.flush()

    def write(self, rows: Iterable[Row]) -> None:
        """Write the table atomically."""
        with (
            files.replacing(self.out) as temporary,
            temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow([*_KEYS, *self.metadata, *self.metrics])
            table.writerows([row.method, row.name, *_cells(row, self.metadata, self.metrics)] for row in rows)

    def remove(self) -> None:
        """Delete the partial files, also those of runs with other options that the table has replaced."""
        if self.part is not None:
            self.part.close()
        of_any_run = f"{glob.escape(self.prefix.removesuffix(self.run))}{len(self.run) * '[0-9a-f]'}-{8 * '?'}.csv"
        for path in self.out.parent.glob(of_any_run):
            path.unlink(missing_ok=True)


def is_table(path: Path) -> bool:
    """Whether a file begins as a table of `Gathered.write`, or is empty."""
    with path.open("rb") as file:
        start = file.readline(1000)
    return not start or start.startswith(f"{','.join(_KEYS)},".encode())


def _cells(row: Row, metadata: Sequence[str], metrics: Sequence[str]) -> list[str]:
    return [row.metadata[name] for name in metadata] + [repr(float(row.scores[name])) for name in metrics]
