"""The state that the page edits: rate, loop, timing and hints of each gap; every edit can be undone.

studio.json

    {"rate": "24",
     "loop": false,
     "gaps": {"key_001": {"ticks": ["1/4", "1/2", "3/4"], "on": 2}}}

A gap has the name of the key that begins it, in a form that `files.index_of` knows. Entries of keys that are missing at
the moment are kept, as is any other content of both files. Hints are in `hints.json`, in the form of
`frame_interpolation.guides.hints`.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from _train.frame_interpolation.guides import hints as hinting
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.keys import key_names, timing
from _train.frame_interpolation.keys.timing import Gap
from _util import clock
from _util.errors import InputError
from _util.files import index_of, read_json, write_text
from _util.runs import digest, stamp

RATE = Fraction(24)
PROJECT_FILE, HINTS_FILE = "studio.json", "hints.json"
_MOST_UNDONE = 500
_FASTEST = 240  # frames per second
_ONE_BETWEEN = Gap.on(timing.even(1), 1)

Defaults = Mapping[str, Any]  # of `timing.plan`


@dataclass(frozen=True)
class Timing:
    """The timing of one gap."""

    ticks: tuple[Fraction, ...]
    on: int = 1


@dataclass(frozen=True)
class State:
    """All that can be edited; gaps by the name of the key that begins them."""

    rate: Fraction = RATE
    is_loop: bool = False
    timings: Mapping[str, Timing] = field(default_factory=dict)
    hints: Mapping[str, tuple[Hint, ...]] = field(default_factory=dict)

    def with_rate(self, rate: Any) -> "State":
        return replace(self, rate=_rate(rate))

    def with_loop(self, is_loop: Any) -> "State":
        if not isinstance(is_loop, bool):
            raise InputError("A loop is on or off.")
        return replace(self, is_loop=is_loop)

    def with_timing(self, key: str, one: Timing) -> "State":
        return replace(self, timings={**self.timings, key: one})

    def with_hints(self, key: str, hints: Sequence[Hint]) -> "State":
        others = {name: some for name, some in self.hints.items() if name != key}
        return replace(self, hints={**others, key: tuple(hints)} if hints else others)


class PlannedTiming:
    """The timing of gaps for which the project has none, by options of `timing.plan`.

    While the keys do not fit the options, as where a chart names a key that is gone, each key keeps its last timing.

    Attributes:
        gaps: the timing of the gap that each key begins, by its name.
        problem: a sentence if the keys do not fit the options.
        version: increases whenever they are planned again.
    """

    def __init__(self, options: Defaults):
        self._options = options
        self._planned_for: Any = None
        self.gaps: dict[str, Gap] = {}
        self.problem = ""
        self.version = 0

    def update(self, keys: Sequence[str]) -> None:
        """Plan again if the names of the keys, in order, or the chart have changed."""
        chart = self._options.get("chart")
        planned_for = list(keys), stamp(chart) if chart else ""  # before reading the chart, as it may change meanwhile
        if planned_for == self._planned_for:
            return
        self._planned_for = planned_for
        self.version += 1
        self.problem = ""
        try:
            if len(keys) > 1:
                self.gaps = dict(zip(keys, self._plan(keys), strict=True))
        except InputError as error:
            self.problem = str(error)

    def _plan(self, keys: Sequence[str]) -> list[Gap]:
        found = timing.plan(keys, True, **self._options)
        if any(gap.is_eased for gap in found):
            raise InputError("The ease auto is not shown on the page; choose a curve, or draw without the page.")
        return found


def gaps(state: State, keys: Sequence[str], planned: Mapping[str, Gap]) -> list[Gap]:
    """The timing of the gap that each key begins, as `timing.plan` returns it.

    A corrected in-between without a timing of its own has that of the gap that it divides. A gap without any has one
    in-between. Without a loop, the last key is exposed as those of the gap before it.

    Args:
        keys: names of the keys, in order.
        planned: for gaps without a timing in the project, by the name of the key that begins them.
    """
    found: list[Gap] = []
    whole = ""
    for key in keys:
        whole = whole if whole and key_names.is_within(key, whole) else key
        said = state.timings.get(key, state.timings.get(whole))
        found.append(Gap.on(said.ticks, said.on) if said else planned.get(key, planned.get(whole, _ONE_BETWEEN)))
    if found and not state.is_loop:
        found[-1] = Gap.on((), found[-2:][0].exposures[0])
    return found


class Project:
    """The state on disk, and its history for undo and redo.

    Changes that other programs made to the files are never overwritten; `reload` reads them.

    Args:
        folder: of the keys.
        keys: names of the present ones, in order. If there are two, hints need not name the first.

    Attributes:
        state: the current one; entries of present keys have their names.
        version: increases with every change.

    Raises:
        InputError: a file cannot be used.
    """

    def __init__(self, folder: Path, keys: Sequence[str] = ()):
        self._keys = list(keys)
        self._opened_with = self._keys
        self._project_file, self._hints_file = folder / PROJECT_FILE, folder / HINTS_FILE
        self.version = 1
        self._undone: list[State] = []
        self._done: list[State] = []
        self.state = self._load()

    @property
    def can_undo(self) -> bool:
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    def change(self, state: State) -> None:
        """Replace the state, on disk too.

        Raises:
            InputError: a file cannot be written, or was changed by another program; the state is unchanged.
        """
        if state == self.state:
            return
        before = self.state
        self._save(state)
        self._remember(before)

    def undo(self) -> None:
        """Go back to the state before the last change, if there is one; raises as `change` does."""
        self._step(self._done, self._undone)

    def redo(self) -> None:
        """Reapply the change that was undone last, if any; raises as `change` does."""
        self._step(self._undone, self._done)

    def _step(self, source: list[State], target: list[State]) -> None:
        if source:
            before = self.state
            self._save(source[-1])
            source.pop()
            target.append(before)

    def reload(self) -> bool:
        """Read changes that other programs made, as a change that can be undone; returns whether there were any.

        Raises:
            InputError: the changed files cannot be used; the state is unchanged.
        """
        if self._stamps() == self._known:
            return False
        before = self.state
        self.state = self._load()
        if self.state == before:
            return False
        self._remember(before)
        self.version += 1
        return True

    def _remember(self, state: State) -> None:
        """Let `undo` go back to a state, and no further than `_MOST_UNDONE` changes."""
        self._done, self._undone = [*self._done, state][-_MOST_UNDONE:], []

    def know(self, keys: Sequence[str]) -> None:
        """Give entries of present keys, named in order, their names."""
        if list(keys) != self._keys:
            self._keys = list(keys)
            self.state = _named(self.state, self._keys)
            self._done, self._undone = (
                [_named(state, self._keys) for state in of] for of in (self._done, self._undone)
            )

    def _load(self) -> State:
        stamps = self._stamps()  # before reading, so that what is written meanwhile is not taken for read
        document, of_hints = _read_object(self._project_file), _read_object(self._hints_file)
        state = _state(self._project_file, document, _hints(self._hints_file, of_hints, self._opened_with))
        self._document, self._hints_document, self._known = document, of_hints, stamps
        return _named(state, self._keys)

    def _save(self, state: State) -> None:
        if self._stamps() != self._known:
            raise InputError(
                f"{self._project_file} or {self._hints_file.name} was changed by another program; it is read "
                "again, and the last edit was not made: repeat it."
            )
        of_project, of_hints = self._known
        if (state.rate, state.is_loop, state.timings) != (self.state.rate, self.state.is_loop, self.state.timings):
            self._document |= _as_json(state)
            of_project = _write(self._project_file, self._document)
        if state.hints != self.state.hints:
            hints = [{"key": key, **hint.as_json()} for key, some in state.hints.items() for hint in some]
            self._hints_document |= {"hints": hints}
            of_hints = _write(self._hints_file, self._hints_document)
        self._known = of_project, of_hints
        self.state = state
        self.version += 1

    def _stamps(self) -> tuple[str, str]:
        return _digest(self._project_file), _digest(self._hints_file)


def _digest(path: Path) -> str:
    try:
        return digest(path)
    except OSError:
        return ""


def _write(path: Path, document: Any) -> str:
    """Write a JSON file; returns the digest of what is written."""
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    write_text(path, text)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _as_json(state: State) -> dict[str, Any]:
    return {
        "rate": str(state.rate),
        "loop": state.is_loop,
        "gaps": {key: {"ticks": list(map(str, one.ticks)), "on": one.on} for key, one in state.timings.items()},
    }


def _read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is no file."""
    if not os.path.lexists(path):
        return {}
    document = read_json(path, "a project, or no file for a new one,")
    if not isinstance(document, dict):
        raise InputError(f"{path} does not hold a JSON object; correct it, or move it away for a new project.")
    return document


def _state(path: Path, document: dict[str, Any], hints: Mapping[str, tuple[Hint, ...]]) -> State:
    gaps_said = document.get("gaps", {})
    try:
        state = State(hints=hints).with_rate(document.get("rate", str(RATE))).with_loop(document.get("loop", False))
        if not isinstance(gaps_said, dict):
            raise InputError('"gaps" is not an object.')
        for key, said in gaps_said.items():
            state = state.with_timing(key, read_timing(said))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return state


def read_timing(said: Any) -> Timing:
    """The timing of a gap from JSON.

    Raises:
        InputError: the value is not a timing.
    """
    if not isinstance(said, dict) or not isinstance(said.get("ticks"), list):
        raise InputError('The timing of a gap is of the form {"ticks": ["1/4", "1/2"], "on": 1}.')
    ticks = timing.parse_gap_ticks(map(str, said["ticks"]), "ticks")
    if len(ticks) > timing.MOST_BETWEEN:
        raise InputError(f"A gap has {len(ticks)} in-betweens; up to {timing.MOST_BETWEEN} are drawn.")
    return Timing(ticks, timing.parse_on(str(said.get("on", 1)), "on"))


def read_hints(said: Any, size: tuple[int, int]) -> tuple[Hint, ...]:
    """The hints of a gap between keys of (h, w) = `size`, from JSON.

    Raises:
        InputError: the value is not a list of hints, or hints lie outside the keys or contradict one another.
    """
    if not isinstance(said, list):
        raise InputError('The hints of a gap are a list of {"from": [x, y], "to": [x, y]}.')
    entries = [{**entry, "key": ""} if isinstance(entry, dict) else entry for entry in said]
    hints = hinting.of_entries("The page", entries, [""], is_loop=True).get(0, ())
    hinting.check(hints, size)
    return hints


def _rate(value: Any) -> Fraction:
    try:
        rate = clock.parse(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"The rate {str(value)[:32]!r} is not a number of frames a second.") from error
    if not 1 <= rate <= _FASTEST:
        raise InputError(f"The rate is {float(rate):g} frames a second; it is from 1 to {_FASTEST}.")
    return rate


def _named(state: State, keys: Sequence[str]) -> State:
    """The state with entries under the names of their keys; a timing under that very name overrides others."""
    written = state.timings.keys() | state.hints.keys()
    names = {name: name if (i := index_of(name, keys)) is None else keys[i] for name in written}
    in_order = sorted(state.timings, key=lambda name: name == names[name])
    hints: dict[str, tuple[Hint, ...]] = {}
    for name, some in state.hints.items():
        hints[names[name]] = (*hints.get(names[name], ()), *some)
    return replace(state, timings={names[name]: state.timings[name] for name in in_order}, hints=hints)


def _hints(path: Path, document: Mapping[str, Any], present: Sequence[str]) -> dict[str, tuple[Hint, ...]]:
    """Hints by the name of the key, also of missing keys; those without a name are of the gap of two present ones."""
    entries = document.get("hints", [])
    if not isinstance(entries, list):
        raise InputError(f'{path} has no list "hints"; see supplementary/hints.md.')
    if not entries:
        return {}
    names = [str(entry["key"]) for entry in entries if isinstance(entry, dict) and "key" in entry]
    keys = list(dict.fromkeys(names or present))
    return {keys[i]: some for i, some in hinting.of_entries(str(path), entries, keys, is_loop=bool(names)).items()}
