"""Tables written by users: CSV with a header, as spreadsheets export it."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from _util.counts import counted
from _util.errors import InputError
from _util.files import read_text


def read_rows(
    path: Path, wanted: str, columns: Sequence[str], needed: Sequence[str]
) -> list[tuple[int, dict[str, str]]]:
    """Read the non-empty rows, each with its line number and a value for every column, "" by default.

    Args:
        wanted: the kind of table, for messages: "a chart".
        columns: allowed columns, in any order; case is ignored.
        needed: required columns.

    Raises:
        InputError: the file cannot be read, or is not such a table.
    """
    text = read_text(path, f"{wanted} as CSV in UTF-8")
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=";" if ";" in first else ",")
    try:
        lines = [(reader.line_num, [value.strip() for value in values]) for values in reader]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num} is damaged ({error}); export it again.") from error
    lines = [(line, values) for line, values in lines if any(values)]
    if not lines:
        raise InputError(f"{path} is empty; {wanted} begins with the line {','.join(columns)}.")
    names = [name.lower() for name in lines[0][1]]
    for name in names:
        if name not in columns:
            raise InputError(f"{path} has a column {name!r}; {wanted} has the columns {', '.join(columns)}.")
        if names.count(name) > 1:
            raise InputError(f"{path} has the column {name} twice; keep one of them.")
    for name in needed:
        if name not in names:
            raise InputError(f"{path} has no column {name}; {wanted} has the columns {', '.join(columns)}.")
    rows = []
    for line, values in lines[1:]:
        if len(values) > len(names):
            raise InputError(
                f"{path}, line {line} has {len(values)} values for {counted(len(names), 'column')}; separate ticks by "
                "spaces."
            )
        rows.append((line, dict.fromkeys(columns, "") | dict(zip(names, values, strict=False))))
    return rows
