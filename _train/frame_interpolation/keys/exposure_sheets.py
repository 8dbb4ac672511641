"""Timing from a time sheet: the exposures of keys, and marks for in-betweens.

    frame     1  2  3  4  5  6  7  8  9
    cell      1     ○     ○     ○     2        keys 1 and 2: ticks at 1/4, 1/2, 3/4, each exposed for two frames

Between two keys, an in-between begins at each ○ or ●, and at each cell that is not a key; without any, at every frame,
or at every second one on twos. Its tick is its relative time between the first frames of both keys. If cells between
two keys are empty and there are no marks, nothing is drawn.

If all keys are drawings of an earlier result, cells number them in order, as `write` does, and holds are preserved: a
sheet and the drawings that it was written for give the same exposures again.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from _train.frame_interpolation.keys import key_names
from _train.frame_interpolation.keys.timing import MOST_BETWEEN, Ease, Gap, automatic, check_neighbours, eased
from _util import xdts
from _util.errors import InputError
from _util.xdts import TimeSheet, TimeTable, Track

_CELL = re.compile(r"0*(\d+)([a-z]*)")
_NUMBERED = re.compile(r"[^+]*?(\d+[A-Za-z]*)")


class SheetLayer(NamedTuple):
    """A layer of a time sheet file."""

    path: Path
    sheet: TimeSheet
    table: TimeTable
    track: Track


def read_layer(path: Path, name: str | None = None) -> SheetLayer:
    """Read the layer of the given name, or the only layer with cells.

    Raises:
        InputError: the file is not a time sheet, or has no such layer, or several.
    """
    sheet = xdts.read(path)
    layers = [
        SheetLayer(path, sheet, table, track) for table in sheet.tables for track in table.tracks if any(track.cells)
    ]
    found = layers if name is None else [layer for layer in layers if layer.track.name == name]
    if len(found) == 1:
        return found[0]
    if not layers:
        raise InputError(f"{path} has no layer with cells; expose the keys in one, and export it again.")
    names = ", ".join(repr(layer.track.name) for layer in layers)
    if found:
        raise InputError(
            f"{path} has {len(found)} layers that could be meant: {names}; choose by --layer, and rename those "
            "of one name."
        )
    raise InputError(f"{path} has no layer {name!r} with cells; name another by --layer: {names}.")


def plan(layer: SheetLayer, keys: Sequence[str], is_loop: bool, ease: Ease, on: int | None = None) -> list[Gap]:
    """The timing of the gap that each key begins, as `timing.plan` returns it.

    A cell refers to the key of that name, or to the key whose name ends in that number and letter: `12a` to `A_0012a`.

    Args:
        keys: names of the keys, in order, without suffix.
        is_loop: whether the last gap leads to the first key, at the frame where it is exposed again, if it is.
        ease: applied to the ticks.
        on: frames for which in-betweens are exposed in gaps without marks (default: 1; between drawings of an earlier
            result, such gaps get none).

    Raises:
        InputError: keys are not exposed in their order, once each, other cells show before or after them, or something
            else than the loop shows after it.
    """
    cells, where = layer.track.cells, f"{layer.path}, layer {layer.track.name!r}"
    starts, end = _starts(cells, keys, is_loop, where)
    on = on or (0 if _are_drawn(keys) else 1)
    if any(cells[: starts[0]]):
        raise InputError(f"{where}: another cell shows before the first key, {keys[0]}; give its drawing as a key.")
    ticks = {*layer.track.in_betweens, *layer.track.reverse_sheets}
    _check_repetition(cells, ticks, starts[0], end, where)
    gaps = []
    for i, (first, next_first) in enumerate(itertools.pairwise([*starts, end])):
        stop = next(f for f in range(next_first, first, -1) if cells[f - 1] is not None)
        if None in cells[first:stop]:
            frame = first + cells[first:stop].index(None)
            raise InputError(f"{where}: frame {frame + 1} is empty between drawings; expose one there.")
        if i == len(keys) - 1 and not is_loop:
            if len(set(cells[first:stop])) > 1:
                raise InputError(
                    f"{where}: another cell shows after the last key, {keys[i]}; give its drawing as a key."
                )
            marks = []
        else:
            marks = [f for f in range(first + 1, stop) if f in ticks or cells[f] != cells[f - 1]]
            if not marks and stop == next_first and on:
                marks = list(range(first + on, stop, on))
        if len(marks) > MOST_BETWEEN:
            raise InputError(f"{where}: {len(marks)} in-betweens follow {keys[i]}; up to {MOST_BETWEEN} are drawn.")
        positions = [Fraction(f - first, next_first - first) for f in marks]
        exposures = tuple(b - a for a, b in itertools.pairwise([first, *marks, stop]))
        has_motion = is_loop or i < len(keys) - 1
        gaps.append(Gap(eased(positions, ease), exposures, next_first - stop, has_motion and ease is automatic))
    check_neighbours(gaps if is_loop else gaps[:-1])
    return gaps


def _starts(cells: list[str | None], keys: Sequence[str], is_loop: bool, where: str) -> tuple[list[int], int]:
    """The first frame of each key, and the frame at which the last gap ends."""
    numbers = _cells_of(keys)
    starts: list[int] = []
    for frame, cell in enumerate(cells):
        number = None if cell is None else numbers.get(cell, numbers.get(_normal(cell)))
        if number is None or (frame and cells[frame - 1] == cell):
            continue
        if number == 0 and is_loop and len(starts) == len(keys):
            return starts, frame
        if number < len(starts):
            remedy = "add --loop" if number == 0 and len(starts) == len(keys) else "expose each key once"
            raise InputError(f"{where}: {keys[number]} is exposed again at frame {frame + 1}; {remedy}.")
        if number > len(starts):
            raise InputError(
                f"{where}: {keys[number]} is exposed at frame {frame + 1} and {keys[len(starts)]} not before it; "
                "expose all keys, in their order."
            )
        starts.append(frame)
    if len(starts) < len(keys):
        raise InputError(f"{where}: {keys[len(starts)]} is not exposed; give it a cell, or move it out of the keys.")
    return starts, len(cells)


def _check_repetition(cells: list[str | None], ticks: set[int], begin: int, end: int, where: str) -> None:
    """Raise InputError unless the loop [begin, end) continues in all frames after it that are not empty.

    Instead of continuing, the cell of the first key may be held.
    """
    exposed = _exposed(cells)
    continued = next((f for f in range(exposed, end, -1) if cells[f - 1] != cells[begin]), end)
    for frame in range(end, exposed):
        again = begin + (frame - begin) % (end - begin)
        shown, wanted = (cells[f] or "nothing" for f in (frame, again))
        if frame <= continued and _normal(shown) != _normal(wanted):
            raise InputError(
                f"{where}: frame {frame + 1} shows {shown}, and the loop {wanted} there; repeat the loop as it is, or "
                "leave the frames after it empty."
            )
        if frame in ticks and again not in ticks:
            raise InputError(
                f"{where}: frame {frame + 1} is marked, and frame {again + 1} of the loop is not; mark the loop alone."
            )


def _exposed(cells: Sequence[str | None]) -> int:
    """The number of frames up to the last one that is not empty."""
    return max(f for f, cell in enumerate(cells, 1) if cell is not None)


def _cells_of(keys: Sequence[str]) -> dict[str, int]:
    """The index of the key for each cell: by the key's name, and by the number in it, or by position among drawings."""
    if _are_drawn(keys):
        labels: list[str | None] = [str(i) for i in range(1, len(keys) + 1)]
    else:
        labels = list(map(_label, keys))
    return {cell: i for i in reversed(range(len(keys))) for cell in (labels[i], keys[i]) if cell}


def _are_drawn(keys: Sequence[str]) -> bool:
    return all(map(key_names.is_drawn, keys))


def _label(key: str) -> str | None:
    """The cell for the number in the name of a key; None for corrected in-betweens."""
    match = _NUMBERED.fullmatch(key)
    return _normal(match[1]) if match else None


def _normal(cell: str) -> str:
    match = _CELL.fullmatch(cell.lower())
    return f"{match[1]}{match[2]}" if match else cell


def write(path: Path, gaps: Sequence[Gap], name: str, source: SheetLayer | None = None) -> None:
    """Write the exposures of all drawings, numbered from 1 in their order, as a time sheet.

    Args:
        name: of the sheet and its layer.
        source: otherwise, the layer that the timing was read from: its cells are replaced, and its sheet is kept. A
            loop is repeated as far as the cells reach; empty frames after it stay empty.

    Raises:
        InputError: the file cannot be written.
    """
    drawn = _cells(gaps)
    if source is None:
        xdts.write(path, TimeSheet([TimeTable(name, len(drawn), [Track(name, drawn)])]))
        return
    begin = next(f for f, cell in enumerate(source.track.cells) if cell is not None)
    end = _exposed(source.track.cells)
    repeated = itertools.islice(itertools.cycle(drawn), end - begin)
    cells = [*[None] * begin, *repeated, *[None] * (source.table.duration - end)]
    track = replace(source.track, cells=cells, in_betweens=[], reverse_sheets=[])
    tracks = [track if one is source.track else one for one in source.table.tracks]
    tables = [replace(one, tracks=tracks) if one is source.table else one for one in source.sheet.tables]
    xdts.write(path, replace(source.sheet, tables=tables))


def _cells(gaps: Sequence[Gap]) -> list[str | None]:
    numbers = itertools.count(1)
    cells: list[str | None] = []
    for gap in gaps:
        for exposure in gap.exposures:
            cells += [str(next(numbers))] * exposure
        cells += [None] * gap.blank
    return cells
