"""Scores of methods on items: while they are gathered, and as a table of all of them.

    out.csv                             method, name, metadata, metrics; a row for each method and item, in their order
    .out-1f0c3a…-<process>.csv          what processes have found so far, in any order, until out.csv is written

A process appends whole lines to a file of its own. A run with the same options resumes: `Gathered` reads what
there is, whichever processes have left it. A line that was cut short does not count.
"""

import csv
import glob
import io
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from _util import files, runs


class Row(NamedTuple):
    """What a method scores on an item."""

    method: str
    name: str
    metadata: dict[str, str]
    scores: dict[str, float]


class Gathered:
    """Rows on their way into a table.

    Args:
        out: the table; parts lie beside it.
        options: everything that the rows depend on and that is not in a file; plain values.
        metadata, metrics: the columns.

    Raises:
        InputError: here and in every method, if something cannot be read or written.
    """

    def __init__(self, out: Path, options: dict, metadata: Sequence[str], metrics: Sequence[str]):
        self.out, self.metadata, self.metrics = out, tuple(metadata), tuple(metrics)
        run = runs.digest_of([options, self.metadata, self.metrics])[:12]
        process = f"{8 * '_'}.csv"
        name = files.fitting(f".{out.stem}", f"-{run}-{process}")
        self.prefix = name.removesuffix(process)
        self.part: int | None = None
        self.columns = ("method", "name", "stamp", *self.metadata, *self.metrics, "end")
        files.make_folder(out.parent, "choose another --out")

    def read(self) -> dict[tuple[str, str, str], Row]:
        """The rows so far by method, name and stamp."""
        rows = {}
        for path in sorted(self.out.parent.glob(f"{glob.escape(self.prefix)}*.csv")):
            for values in csv.reader(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()):
                if len(values) == len(self.columns) and values[-1] == ".":
                    cells = dict(zip(self.columns, values, strict=True))
                    metadata = {name: cells[name] for name in self.metadata}
                    scores = {name: float(cells[name]) for name in self.metrics}
                    rows[cells["method"], cells["name"], cells["stamp"]] = Row(
                        cells["method"], cells["name"], metadata, scores
                    )
        return rows

    def append(self, rows: Iterable[Row], stamp: str) -> None:
        """Keep rows of one item, whose files have that stamp."""
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(
            [row.method, row.name, stamp, *_cells(row, self.metadata, self.metrics), "."] for row in rows
        )
        with files.writing(self.out, "make room and run again"):
            if self.part is None:
                self.part, _ = tempfile.mkstemp(".csv", self.prefix, self.out.parent)
            os.write(self.part, text.getvalue().encode(errors="surrogateescape"))

    def write(self, rows: Iterable[Row]) -> None:
        """Write the table of all rows; it appears whole or not at all."""
        with (
            files.replacing(self.out) as temporary,
            temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["method", "name", *self.metadata, *self.metrics])
            table.writerows([row.method, row.name, *_cells(row, self.metadata, self.metrics)] for row in rows)

    def remove(self) -> None:
        """Delete the parts."""
        for path in self.out.parent.glob(f"{glob.escape(self.prefix)}*.csv"):
            path.unlink(missing_ok=True)


def stamp(paths: Iterable[Path]) -> str:
    """What changes when one of the files is written again or comes or goes."""
    states = []
    for path in sorted(paths):
        try:
            state = path.stat()
            states.append([str(path), state.st_size, state.st_mtime_ns])
        except OSError:
            states.append([str(path), -1, -1])
    return runs.digest_of(states)[:12]


def _cells(row: Row, metadata: Sequence[str], metrics: Sequence[str]) -> list[str]:
    return [row.metadata[name] for name in metadata] + [repr(float(row.scores[name])) for name in metrics]
