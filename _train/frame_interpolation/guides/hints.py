"""Hints: corresponding points of two neighbouring keys, given by the user.

    --hint 120,80:161,94                  the point at x 120, y 80 of a key is at x 161, y 94 of the next
    --hint 10,10,30,20:12,40,28,60        or a stroke, of any number of points

    hints.json    {"hints": [
                      {"key": "key_001", "from": [120, 80], "to": [161, 94]},
                      {"key": "key_002", "from": [[10, 10], [30, 20]], "to": [[12, 40], [28, 60]]}]}

`key` names the key that begins the gap; with two keys it may be omitted. Coordinates are in pixels; the centre of the
first pixel is at 0.
"""

import itertools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from _util.counts import counted, listed
from _util.errors import InputError
from _util.files import index_of, read_json

_LONGEST_SIDE = 32766  # pixels; OpenCV warps no longer ones
_SAMPLES = 9  # points sampled on a stroke
_SAME = 2.0  # pixels within which two points coincide

Point = tuple[float, float]
HintsByGap = dict[int, tuple["Hint", ...]]


class Hint(NamedTuple):
    """A stroke of one key and the corresponding stroke of the next; a point is a stroke of one point."""

    start: tuple[Point, ...]  # x, y, pixels
    end: tuple[Point, ...]

    def samples(self) -> np.ndarray:
        """Corresponding points (n, 2, 2), evenly along both strokes; key, then x and y."""
        if len(self.start) == len(self.end) == 1:
            return np.array([[self.start[0], self.end[0]]], np.float64)
        return np.stack([_evenly(self.start), _evenly(self.end)], 1)

    def as_json(self) -> dict[str, Any]:
        """The hint in the form of `hints.json`, without its key."""
        start, end = ([[_number(x) for x in point] for point in stroke] for stroke in self)
        return {"from": start[0] if len(start) == 1 else start, "to": end[0] if len(end) == 1 else end}


def parse(text: str) -> Hint:
    """Parse a hint of the command line, such as `x0,y0:x1,y1`.

    Raises:
        InputError: the text is not a hint.
    """
    strokes = text.split(":")
    if len(strokes) != 2:
        raise InputError(f"The hint {text!r} has {counted(len(strokes), 'place')}; it is written as x0,y0:x1,y1.")
    try:
        numbers = [[float(number) for number in stroke.split(",")] for stroke in strokes]
    except ValueError as error:
        raise InputError(f"The hint {text!r} holds something other than numbers; it is written x0,y0:x1,y1.") from error
    if any(len(stroke) % 2 for stroke in numbers):
        raise InputError(f"The hint {text!r} has an x without a y; it is written as x0,y0:x1,y1.")
    return _checked(f"The hint {text!r}", *(list(zip(stroke[::2], stroke[1::2], strict=True)) for stroke in numbers))


def read(path: Path, keys: Sequence[str], is_loop: bool = False, is_found: bool = False) -> HintsByGap:
    """Read the hints of a file, by the number of the gap.

    Args:
        keys: names of the keys, in order.
        is_loop: whether the last key begins a gap, too.
        is_found: whether the file was found beside the keys rather than named: hints of keys that begin no gap, being
            absent or the last, are left out with a note on stderr, as the studio keeps them.

    Raises:
        InputError: the file cannot be used.
    """
    document = read_json(path, "a JSON file of hints")
    entries = document.get("hints") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise InputError(f'{path} has no list "hints"; see supplementary/hints.md.')
    if others := sorted(document.keys() - {"hints"}):
        print(f'{path} has {listed(others)} beside "hints", which is not read.', file=sys.stderr)
    if is_found:
        entries = _of_gaps(path, entries, keys, is_loop)
    return of_entries(str(path), entries, keys, is_loop)


def of_entries(source: str, entries: Sequence[Any], keys: Sequence[str], is_loop: bool = False) -> HintsByGap:
    """Parse the entries of a file of hints, as `read` returns them.

    Args:
        source: origin of the entries, for messages.

    Raises:
        InputError: one cannot be used.
    """
    found: dict[int, list[Hint]] = {}
    for i, entry in enumerate(entries, 1):
        where = f"{source}, hint {i}"
        if not isinstance(entry, dict) or not {"from", "to"} <= entry.keys() <= {"key", "from", "to"}:
            raise InputError(f"{where} is not of the form {{key, from, to}}; see supplementary/hints.md.")
        hint = _checked(where, *(_stroke(where, name, entry[name]) for name in ("from", "to")))
        if _is_point(entry["from"]) != _is_point(entry["to"]):
            raise _mixed(where)
        found.setdefault(_gap(where, entry.get("key"), keys, is_loop), []).append(hint)
    return {gap: tuple(hints) for gap, hints in found.items()}


def check(hints: Sequence[Hint], size: tuple[int, int]) -> None:
    """Raise InputError for what is no hint, one outside pictures of (h, w), or two that contradict one another.

    Messages number the hints from 1.
    """
    _check_type(hints)
    for i, hint in enumerate(hints, 1):
        _checked(f"Hint {i}", hint.start, hint.end)
    h, w = size
    if hints and max(size) > _LONGEST_SIDE:
        raise InputError(f"Hints are followed in keys of up to {_LONGEST_SIDE} pixels a side; these are {w}×{h}.")
    for i, hint in enumerate(hints, 1):
        for name, stroke in (("begins", hint.start), ("ends", hint.end)):
            for x, y in stroke:
                if not (0 <= x <= w - 1 and 0 <= y <= h - 1):
                    raise InputError(f"Hint {i} {name} at {x:g},{y:g}, outside the keys of {w}×{h} pixels; move it.")
    points = [(i, *pair) for i, hint in enumerate(hints, 1) for pair in hint.samples()]
    for (i, a0, a1), (j, b0, b1) in itertools.combinations(points, 2):
        if i == j:
            continue
        before, after = math.dist(a0, b0), math.dist(a1, b1)
        if min(before, after) <= _SAME and max(before, after) > 2 * _SAME:
            which, place = ("begin", a0) if before <= after else ("end", a1)
            raise InputError(
                f"Hints {i} and {j} contradict one another: both {which} at {place[0]:g},{place[1]:g}, but differ in "
                "the other key; remove one."
            )


def _check_type(hints: Any) -> None:
    is_list = isinstance(hints, Sequence) and not isinstance(hints, Hint)
    if not (is_list and all(isinstance(hint, Hint) and all(map(_is_stroke, hint)) for hint in hints)):
        raise InputError(
            "Hints are a list of strokes in both frames, [Hint(((x, y), …), ((x, y), …)), …]; "
            "a point is a stroke of one point, ((x, y),)."
        )


def _is_stroke(value: Any) -> bool:
    try:
        points = np.asarray(value)
    except ValueError:  # points of different lengths
        return False
    return points.dtype.kind in "iuf" and points.ndim == 2 and len(points) > 0 and points.shape[1] == 2


def _number(x: float) -> float | int:
    return int(x) if x == int(x) else x


def _evenly(stroke: tuple[Point, ...]) -> np.ndarray:
    points = np.array(stroke, np.float64)
    along = np.concatenate([[0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    places = np.linspace(0, along[-1], _SAMPLES)
    return np.stack([np.interp(places, along, points[:, k]) for k in range(2)], 1)


def _of_gaps(path: Path, entries: Sequence[Any], keys: Sequence[str], is_loop: bool) -> list[Any]:
    """The entries without those whose key begins no gap."""
    last = len(keys) if is_loop else len(keys) - 1
    used, unused = [], []
    for entry in entries:
        key = entry.get("key") if isinstance(entry, dict) else None
        begins_none = isinstance(key, str) and ((number := index_of(key, keys)) is None or number >= last)
        (unused if begins_none else used).append(entry)
    if unused:
        names = listed(list(dict.fromkeys(entry["key"] for entry in unused)))
        print(f"{path}: hints of {names} are not used, as no gap begins there.", file=sys.stderr)
    return used


def _gap(where: str, key: Any, keys: Sequence[str], is_loop: bool) -> int:
    gaps = list(keys) if is_loop else list(keys[:-1])
    if key is None and len(gaps) == 1:
        return 0
    if key is None:
        raise InputError(f"{where} names no key; there are {len(gaps)} gaps, each named by the key that begins it.")
    number = index_of(key, keys) if isinstance(key, str) else None
    if number is None or number >= len(gaps):
        last = " is the last key, and" if number is not None else ""
        raise InputError(f"{where}: {key!r}{last} begins no gap; keys that do are {listed(gaps)}.")
    return number


def _stroke(where: str, name: str, value: Any) -> list[Point]:
    points = [value] if isinstance(value, list) and value and not isinstance(value[0], list) else value
    if not isinstance(points, list) or not points or not all(map(_is_point, points)):
        raise InputError(f'{where}: "{name}" is neither a point [x, y] nor a list of points.')
    return [(float(x), float(y)) for x, y in points]


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(x, float) or (type(x) is int and abs(x) < 2**53) for x in value)
    )


def _mixed(where: str) -> InputError:
    return InputError(f"{where} pairs a point with a stroke; give two points, or two strokes.")


def _checked(where: str, start: Sequence[Point], end: Sequence[Point]) -> Hint:
    if (len(start) == 1) != (len(end) == 1):
        raise _mixed(where)
    if not all(math.isfinite(x) for point in (*start, *end) for x in point):
        raise InputError(f"{where} has a coordinate that is not finite.")
    return Hint(tuple(start), tuple(end))
