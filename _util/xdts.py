"""XDTS, the exchange digital time sheet of Celsys and Toei Animation: the cell that each layer shows at each frame.

OpenToonz, Clip Studio Paint, TVPaint and CACANi read and write it. A file is the line
`exchangeDigitalTimeSheet Save Data` and one JSON object. A frame's entry holds until the next one:

    "12", "12a"          the cell that is shown from here on
    SYMBOL_NULL_CELL     nothing is shown from here on
    SYMBOL_HYPHEN        the cell continues
    SYMBOL_TICK_1        it continues, and ○ stands here: an in-between
    SYMBOL_TICK_2        it continues, and ● stands here: reverse sheet

Extensions are read: those of Clip Studio (entries at negative frames, the last of which is shown at frame 0) and of
OpenToonz (`options` that mark keys and reference drawings, with `subversion`). Options are also written. The file does
not state the frame rate, which is 24 by convention.
"""

import collections
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _util.counts import counted
from _util.errors import InputError
from _util.files import read_text, write_bytes

FIRST_LINE = "exchangeDigitalTimeSheet Save Data"
CELLS = 0  # the field of cells, fieldId; 3 is dialogue, 5 camera work
MOST_FRAMES = 1_000_000
MOST_TRACKS = 10_000
_MOST_CELLS = 10_000_000
_VERSION = 5
_EXTENDED = "p1"  # subversion of files with options
_EMPTY, _HYPHEN, _IN_BETWEEN, _REVERSE = ("SYMBOL_NULL_CELL", "SYMBOL_HYPHEN", "SYMBOL_TICK_1", "SYMBOL_TICK_2")
_KEY, _REFERENCE = "OPTION_KEYFRAME", "OPTION_REFERENCEFRAME"


@dataclass
class Track:
    """A layer.

    Attributes:
        name: of the layer; may be empty.
        cells: for each frame, the name of the cell that is shown, or None.
        number: position of the layer, counted from the bottom, from 0.
        in_betweens, reverse_sheets: frames marked ○ and ●, at which the cell continues.
        keys, references: frames whose cells are marked as key drawings and as reference drawings.
        others: further members of the JSON object, which are preserved unchanged.
        others_of_entries: the same of the entries, by frame.
    """

    name: str
    cells: list[str | None]
    number: int = 0
    in_betweens: list[int] = field(default_factory=list)
    reverse_sheets: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    references: list[int] = field(default_factory=list)
    others: dict[str, Any] = field(default_factory=dict)
    others_of_entries: dict[int, dict[str, Any]] = field(default_factory=dict)


@dataclass
class TimeTable:
    """A time sheet.

    Attributes:
        name: of the sheet.
        duration: in frames.
        tracks: the layers that have cells, from the bottom; each has `duration` cells. Later entries are ignored.
        names: of the layers without a track, by number; "" for others.
        other_fields, other_headers: dialogue and camera work, in JSON; they are preserved unchanged.
        others: further members of the JSON object, preserved likewise.
    """

    name: str
    duration: int
    tracks: list[Track]
    other_fields: list[dict[str, Any]] = field(default_factory=list)
    other_headers: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    others: dict[str, Any] = field(default_factory=dict)


@dataclass
class TimeSheet:
    """The content of a file.

    Attributes:
        tables: one or more.
        cut, scene: their numbers, as text, if given.
        others, others_of_header: further members of the JSON objects, which are preserved unchanged.
    """

    tables: list[TimeTable]
    cut: str | None = None
    scene: str | None = None
    others: dict[str, Any] = field(default_factory=dict)
    others_of_header: dict[str, Any] = field(default_factory=dict)


def read(path: str | Path) -> TimeSheet:
    """Read a file.

    Raises:
        InputError: the file does not exist, or is not a valid time sheet.
    """
    path = Path(path)
    text = read_text(path, "a time sheet (.xdts)")
    if not text.startswith(FIRST_LINE):
        raise InputError(f"{path} is not a time sheet; the first line of one is {FIRST_LINE!r}.")
    try:
        whole = json.loads(text[len(FIRST_LINE) :])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged or truncated ({error}); export the time sheet again.") from error
    try:
        return _sheet(_of(whole, dict, "the sheet"))
    except InputError as error:
        raise InputError(f"{path} cannot be understood: {error}") from error


def write(path: str | Path, sheet: TimeSheet) -> None:
    """Write a file atomically.

    Raises:
        InputError: the cells of a track do not match its table's duration, two tracks have the same number, or the file
            cannot be written.
    """
    text = f"{FIRST_LINE}\n{json.dumps(_sheet_json(sheet), ensure_ascii=False, indent=1)}\n"
    write_bytes(path, text.encode("utf-8", errors="replace"))  # file names need not be valid UTF-8


def _sheet(json_sheet: dict[str, Any]) -> TimeSheet:
    version = _whole(json_sheet, "version")
    if version < _VERSION:
        raise InputError(f"its version is {version}; versions from {_VERSION} on are read.")
    header = _of(json_sheet.get("header", {}), dict, "header")
    tables = [_table(_of(table, dict, "a time table")) for table in _list(json_sheet, "timeTables")]
    if not tables:
        raise InputError("it has no time table; export it again.")
    return TimeSheet(
        tables,
        _text(header, "cut"),
        _text(header, "scene"),
        _others(json_sheet, "header", "timeTables", "version", "subversion"),
        _others(header, "cut", "scene"),
    )


def _table(table: dict[str, Any]) -> TimeTable:
    duration = _whole(table, "duration")
    if not 1 <= duration <= MOST_FRAMES:
        raise InputError(f"a time table lasts {duration} frames; it must be from 1 to {MOST_FRAMES:,}.")
    fields = [_of(one, dict, "a field") for one in _list(table, "fields")]
    headers = [_of(one, dict, "a header") for one in _list(table, "timeTableHeaders")]
    names = [_of(name, str, "a name") for one in headers if _is_of_cells(one) for name in _list(one, "names")]
    items = [_of(track, dict, "a track") for one in fields if _is_of_cells(one) for track in _list(one, "tracks")]
    if len(items) * duration > _MOST_CELLS:
        raise InputError(f"{len(items)} tracks of {duration} frames are too many; {_MOST_CELLS:,} cells are read.")
    tracks = [_track(item, names, duration) for item in items]
    _check_numbers(tracks)
    return TimeTable(
        _text(table, "name") or "",
        duration,
        sorted(tracks, key=lambda track: track.number),
        [one for one in fields if not _is_of_cells(one)],
        [one for one in headers if not _is_of_cells(one)],
        _names_of_others(names, {track.number for track in tracks}),
        _others(table, "duration", "name", "fields", "timeTableHeaders"),
    )


def _names_of_others(names: list[str], numbers: Collection[int]) -> list[str]:
    """The names of layers without a track, by number, up to the last of them."""
    others = ["" if number in numbers else name for number, name in enumerate(names)]
    while others and not others[-1]:
        others.pop()
    return others


def _is_of_cells(item: dict[str, Any]) -> bool:
    return item.get("fieldId") == CELLS


def _check_numbers(tracks: list[Track]) -> None:
    number, count = collections.Counter(track.number for track in tracks).most_common(1)[0] if tracks else (0, 0)
    if count > 1:
        raise InputError(f"{count} tracks have trackNo {number}; number them from 0.")


def _track(item: dict[str, Any], names: list[str], duration: int) -> Track:
    number = _whole(item, "trackNo")
    if not 0 <= number < MOST_TRACKS:
        raise InputError(f"a track has trackNo {number}; numbers lie from 0 to {MOST_TRACKS - 1}.")
    track = Track(names[number] if number < len(names) else "", [None] * duration, number)
    track.others = _others(item, "frames", "trackNo")
    entries = [_of(entry, dict, "a frame") for entry in _list(item, "frames")]
    marks = {
        _IN_BETWEEN: track.in_betweens,
        _REVERSE: track.reverse_sheets,
        _KEY: track.keys,
        _REFERENCE: track.references,
    }
    shown, since = None, 0
    for entry in sorted(entries, key=lambda entry: _whole(entry, "frame")):
        frame = _whole(entry, "frame")
        if frame >= duration:
            break
        value, options = _instruction(entry)
        if value not in (_HYPHEN, _IN_BETWEEN, _REVERSE):
            track.cells[since : max(frame, 0)] = [shown] * (max(frame, 0) - since)
            shown, since = (None if value == _EMPTY else value), max(frame, 0)
        for mark in (value, *options) if frame >= 0 else ():
            if mark in marks:
                marks[mark].append(frame)
        if frame >= 0 and (others := _others(entry, "data", "frame")):
            track.others_of_entries[frame] = others
    track.cells[since:] = [shown] * (duration - since)
    return track


def _instruction(entry: dict[str, Any]) -> tuple[str, list[str]]:
    """The value and the options of a frame; as in OpenToonz, an empty value shows nothing."""
    for item in _list(entry, "data"):
        item = _of(item, dict, "an instruction")
        if item.get("id") == 0:
            values = [_of(value, str, "a value") for value in _list(item, "values")]
            options = [_of(option, str, "an option") for option in _list(item, "options")]
            return (values[0].strip() if values else "") or _EMPTY, options
    return _HYPHEN, []


def _list(item: dict[str, Any], name: str) -> list[Any]:
    return _of(item.get(name, []), list, name)


def _others(item: dict[str, Any], *known: str) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in known}


def _text(item: dict[str, Any], name: str) -> str | None:
    value = item.get(name)
    return None if value is None else _of(value, str, name)


def _whole(item: dict[str, Any], name: str) -> int:
    """A whole number; some programs write 12.0."""
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise InputError(f"{name} is {value!r}; a whole number is needed.")
    return int(value)


def _of(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        kinds = {dict: "an object", list: "an array", str: "a string"}
        raise InputError(f"{name} is {json.dumps(value)[:40]}; it must be {kinds[kind]}.")
    return value


def _sheet_json(sheet: TimeSheet) -> dict[str, Any]:
    has_options = any(track.keys or track.references for table in sheet.tables for track in table.tracks)
    header = {name: value for name in ("cut", "scene") if (value := getattr(sheet, name)) is not None}
    header |= sheet.others_of_header
    return (
        ({"header": header} if header else {})
        | {"timeTables": [_table_json(table) for table in sheet.tables], "version": _VERSION}
        | ({"subversion": _EXTENDED} if has_options else {})
        | sheet.others
    )


def _table_json(table: TimeTable) -> dict[str, Any]:
    for track in table.tracks:
        if len(track.cells) != table.duration:
            raise InputError(
                f"Track {track.name!r} has {counted(len(track.cells), 'cell')}; its sheet has "
                f"{counted(table.duration, 'frame')}."
            )
    _check_numbers(table.tracks)
    most = 1 + max((track.number for track in table.tracks), default=-1)
    names = [*table.names, *[""] * (most - len(table.names))]
    for track in table.tracks:
        names[track.number] = track.name
    cells = {
        "fieldId": CELLS,
        "tracks": [{"frames": _frames_json(track), "trackNo": track.number} | track.others for track in table.tracks],
    }
    return {
        "duration": table.duration,
        "name": table.name,
        "fields": [cells, *table.other_fields],
        "timeTableHeaders": [{"fieldId": CELLS, "names": names}, *table.other_headers],
        **table.others,
    }


def _frames_json(track: Track) -> list[dict[str, Any]]:
    """The entries where something changes or is marked, and the empty cell at the end."""
    ticks = dict.fromkeys(track.in_betweens, _IN_BETWEEN) | dict.fromkeys(track.reverse_sheets, _REVERSE)
    options: dict[int, list[str]] = {}
    for option, frames in ((_KEY, track.keys), (_REFERENCE, track.references)):
        for frame in frames:
            options.setdefault(frame, []).append(option)
    entries = []
    for frame, cell in enumerate(track.cells):
        continues = frame > 0 and cell == track.cells[frame - 1]
        tick = ticks.get(frame) if continues else None
        others = track.others_of_entries.get(frame, {})
        if tick or not continues or frame in options or others:
            entries.append(_entry(frame, tick or cell or _EMPTY, options.get(frame, [])) | others)
    return [*entries, _entry(len(track.cells), _EMPTY, [])]


def _entry(frame: int, value: str, options: list[str]) -> dict[str, Any]:
    return {"data": [{"id": 0, "values": [value]} | ({"options": options} if options else {})], "frame": frame}
