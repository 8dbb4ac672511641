"""Text tables, in Markdown or aligned for a terminal."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

Pattern = str | Callable[[Mapping[str, Any]], str]


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """A table in Markdown. Its columns are those of all rows, in order of first appearance."""
    columns = _columns(rows)
    lines = [columns, ["---"] * len(columns), *([row.get(column, "") for column in columns] for row in rows)]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def of_figures(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Pattern]) -> str:
    """A table of figures in Markdown.

    Args:
        columns: for each title, a format string for the values of a row, such as `{seconds:.1f} s`, or a function.
    """
    return markdown(
        [
            {title: cell.format_map(row) if isinstance(cell, str) else cell(row) for title, cell in columns.items()}
            for row in rows
        ]
    )


def aligned(rows: Sequence[Mapping[str, str]], left: Collection[str] = ()) -> str:
    """A table with aligned columns: those in `left` to the left, all others to the right."""
    columns = _columns(rows)
    cells = [columns, *([row.get(column, "") for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in cells
    )


def _columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))
