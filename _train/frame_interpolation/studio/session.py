"""An open project: its keys, edits and drawings, shared by the threads that serve, watch and draw."""

import functools
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from _train.frame_interpolation.keys import timing
from _train.frame_interpolation.studio import project, sheet
from _train.frame_interpolation.studio.cache import Cache
from _train.frame_interpolation.studio.keys import Key, Keys
from _train.frame_interpolation.studio.project import Defaults, PlannedTiming, Project, State, Timing
from _train.frame_interpolation.studio.sheet import SheetRow
from _util import formats
from _util.counts import listed
from _util.errors import InputError
from _util.formats import Picture

CACHE_FOLDER = ".studio"
STALE = "Another tab or program has changed the project; this is the newest version, repeat the last edit."

Tell = Callable[[str, Any], None]  # the name of an event, and its value for JSON


class StaleError(InputError):
    """An edit was based on a version that is not the newest."""


class ChangedError(InputError):
    """A key was changed after it was listed."""


class Session:
    """An open folder of keys; thread-safe.

    Args:
        folder: of keys.
        defaults: options of `timing.plan`, for gaps without a timing in the project.
        tell: called with each event, from any thread.

    Attributes:
        changed: notified when there may be something new to draw.

    Raises:
        InputError: the folder or the project in it cannot be used.
    """

    def __init__(self, folder: Path, defaults: Defaults, tell: Tell = lambda name, value: None):
        self.folder, self.tell = folder, tell
        self.changed = threading.Condition(threading.RLock())
        self.keys = Keys(folder)
        self.keys.scan()
        names = [key.name for key in self.keys.all]
        self._planned = PlannedTiming(defaults)
        self._planned.update(names)
        if self._planned.problem:
            raise InputError(self._planned.problem)
        self.project = Project(folder, names)
        self.cache = Cache(folder / CACHE_FOLDER)
        self.method = ""
        self._disk_problem, self._method_problem = "", ""
        self.look: tuple[str, int] = ("", 0)
        self.drawing = ""  # id of what is drawn just now
        self.export: Mapping[str, Any] | None = None
        self._settings = ""
        self._failed: dict[str, str] = {}
        self._rows: tuple[Any, list[SheetRow]] | None = None
        self._snapshots = 0

    # ---- State ---------------------------------------------------------------------------------------------------

    def rows(self) -> list[SheetRow]:
        """All keys with their gaps, in the current state."""
        with self.changed:
            state = *self._versions(), self._settings
            if self._rows is None or self._rows[0] != state:
                found = sheet.rows(self.keys.all, self.project.state, self._planned.gaps, self._settings)
                self._rows = state, found
            return self._rows[1]

    def _versions(self) -> tuple[int, int, int]:
        """Of all that comes from the disk; one increases with every change."""
        return self.keys.version, self.project.version, self._planned.version

    def snapshot(self) -> dict[str, Any]:
        """All that the page shows, for JSON; `serial` increases, so that the page can ignore late ones."""
        with self.changed:
            self._snapshots += 1
            state = self.project.state
            return {
                "serial": self._snapshots,
                "version": self.project.version,
                "name": self.folder.resolve().name,
                "folder": str(self.folder),
                "rate": float(state.rate),
                "loop": state.is_loop,
                "canUndo": self.project.can_undo,
                "canRedo": self.project.can_redo,
                "method": self.method,
                "problem": (
                    self._disk_problem or self.keys.sentence() or self._planned.problem or self._method_problem
                ),
                "drawing": self.drawing,
                "export": self.export,
                "rows": list(map(self._row, self.rows())),
            }

    def _row(self, row: SheetRow) -> dict[str, Any]:
        h, w = row.key.size
        failure = next((self._failed[one.id] for one in row.drawings if one.id in self._failed), "")
        return {
            "key": row.key.name,
            "file": row.key.path.name,
            "id": row.key.digest[:32],
            "width": w,
            "height": h,
            "keyProblem": row.key.problem,
            "next": row.next.name if row.next else None,
            "on": row.gap.exposures[0],
            "hints": [hint.as_json() for hint in row.hints],
            "problem": row.problem or failure,
            "drawings": [
                {
                    "id": one.id,
                    "tick": str(one.tick),
                    "position": float(one.tick),
                    "drawn": one.id in self.cache,
                    "failed": bool(row.problem) or one.id in self._failed,
                }
                for one in row.drawings
            ],
        }

    def picture(self, id: str) -> Callable[[], Picture] | None:
        """A function that reads a key, as `read_key` does, or a drawing; None if there is none."""
        key = next((key for key in self.keys.all if key.digest and key.digest[:32] == id), None)
        if key:
            return functools.partial(self.read_key, key)
        path = self.cache.path(id)
        return functools.partial(formats.read, path) if path else None

    def read_key(self, key: Key) -> Picture:
        """The picture of a key; a damaged one is reported in its place.

        Raises:
            ChangedError: the file was changed after it was listed; the next `check_disk` reads it again.
            InputError: the file cannot be read.
        """
        try:
            picture = formats.read(key.path)
        except InputError as error:
            self._require_unchanged(key)
            with self.changed:
                if key in self.keys.all:
                    self.keys.report(key, str(error))
                    self._announce()
            raise
        self._require_unchanged(key)
        return picture

    def _require_unchanged(self, key: Key) -> None:
        if not key.is_unchanged():
            with self.changed:
                self.keys.forget(key)
            raise ChangedError(f"{key.path.name} was changed; export again.")

    # ---- Edits ---------------------------------------------------------------------------------------------------

    def edit(self, version: int, action: str, key: str | None, value: Any) -> None:
        """Apply an edit that is based on a version of the project.

        Raises:
            StaleError: the version is not the newest.
            InputError: the edit is invalid; nothing is changed.
        """
        with self.changed:
            if version != self.project.version:
                raise StaleError(STALE)
            self._changing(lambda: self.project.change(self._edited(action, key, value)))

    def undo(self) -> None:
        self._changing(self.project.undo)

    def redo(self) -> None:
        self._changing(self.project.redo)

    def _changing(self, change: Callable[[], None]) -> None:
        with self.changed:
            try:
                change()
            finally:
                self.check_disk()
                self._announce()

    def _edited(self, action: str, key: str | None, value: Any) -> State:
        state = self.project.state
        if action == "rate":
            return state.with_rate(value)
        if action == "loop":
            return state.with_loop(value)
        row = self._row_of(key)
        if action == "timing":
            return state.with_timing(row.key.name, project.read_timing(value))
        if action == "on":
            return state.with_timing(row.key.name, Timing(row.gap.ticks, timing.parse_on(str(value), "on")))
        if action == "spacing":
            return state.with_timing(row.key.name, _spaced(value, row))
        if action == "everywhere":
            for other in self.rows():
                state = state.with_timing(other.key.name, Timing(row.gap.ticks, row.gap.exposures[0]))
            return state
        if action == "hints":
            if row.next is None:
                raise InputError(f"No gap begins at {row.key.name}, the last key, for hints; switch the loop on first.")
            return state.with_hints(row.key.name, project.read_hints(value, row.key.size))
        raise InputError(f"There is no edit {action!r}.")

    def _row_of(self, key: str | None) -> SheetRow:
        row = next((row for row in self.rows() if row.key.name == key), None)
        if row is None:
            raise InputError(f"There is no key {key}; it was moved or renamed.")
        return row

    # ---- Changes on disk -----------------------------------------------------------------------------------------

    def check_disk(self) -> None:
        """Read changes that other programs made in the folder, and announce them."""
        with self.changed:
            versions, problem, is_lost = self._versions(), self._disk_problem, False
            try:
                is_lost = self._read_disk()
                self._disk_problem = ""
            except InputError as error:
                self._disk_problem = str(error)
            finally:
                if problem and not self._disk_problem:
                    self._failed.clear()  # perhaps because of the problem
                if is_lost or (versions, problem) != (self._versions(), self._disk_problem):
                    self._announce()

    def _read_disk(self) -> bool:
        """Read what has changed in the folder; returns whether drawings are gone."""
        before = self.keys.all
        if self.keys.scan():
            self._failed.clear()  # perhaps because of what was there before
            self.tell("notice", _difference(before, self.keys.all))
        names = [key.name for key in self.keys.all]
        self._planned.update(names)
        self.project.know(names)
        if self.project.reload():
            self.tell("notice", "The project was changed by another program and reloaded; undo restores it.")
        return self.cache.forget_missing()

    # ---- Drawing -------------------------------------------------------------------------------------------------

    def begin_drawing(self, method: str, settings: str) -> None:
        """Set the method, now that it is loaded; drawings have an `id` from here on."""
        with self.changed:
            self.method, self._settings = method, settings
            self.cache.keep_only({one.id for row in self.rows() for one in row.drawings})
            self._announce()

    def report(self, error: Exception) -> None:
        """Report an unexpected error in a thread that goes on."""
        said = " ".join(str(error).split())[:200]
        self.tell("notice", f"Something went wrong ({type(error).__name__}: {said}); retrying.")

    def cannot_draw(self, sentence: str) -> None:
        """Report why nothing can be drawn at all."""
        with self.changed:
            self._method_problem = sentence
            self._announce()

    def look_at(self, key: str, number: int) -> None:
        """Set the drawing in view, which is drawn first."""
        with self.changed:
            self.look = key, number
            self.changed.notify_all()

    def redraw(self, key: str) -> None:
        """Redraw a gap."""
        with self.changed:
            for one in self._row_of(key).drawings:
                self.cache.forget(one.id)
                self._failed.pop(one.id, None)
            self._announce()

    def wanted(self) -> tuple[SheetRow, sheet.InBetween] | None:
        """The next in-between to draw: the one in view, then those nearest to it, then of later and earlier gaps."""
        with self.changed:
            rows = self.rows()
            at = next((i for i, row in enumerate(rows) if row.key.name == self.look[0]), 0)
            for row in [*rows[at:], *rows[:at]]:
                number = self.look[1] if row is rows[at] else 1
                near = sorted(enumerate(row.drawings, 1), key=lambda one: abs(one[0] - number))
                for _, one in near:
                    if one.id and not row.problem and one.id not in self.cache and one.id not in self._failed:
                        return row, one
            return None

    def began(self, one: sheet.InBetween) -> None:
        with self.changed:
            self.drawing = one.id
            self.tell("drawing", one.id)

    def finished(self, one: sheet.InBetween, problem: str = "") -> None:
        """An in-between is in the cache, or could not be drawn."""
        with self.changed:
            self.drawing = ""
            if problem:
                self._failed[one.id] = problem
            if one.id not in self.cache:
                self._announce()
            else:
                self._snapshots += 1
                self.tell("drawn", {"id": one.id, "serial": self._snapshots})

    def show_export(self, progress: Mapping[str, Any] | None) -> None:
        with self.changed:
            self.export = progress
            self.tell("export", progress)

    def _announce(self) -> None:
        self.changed.notify_all()
        self.tell("state", self.snapshot())


def _spaced(value: Any, row: SheetRow) -> Timing:
    """The timing of a number of evenly spaced in-betweens, eased along a curve."""
    if not isinstance(value, dict):
        raise InputError('The spacing of a gap is of the form {"count": 3, "ease": "in-out"}.')
    count = timing.parse_count(str(value.get("count", len(row.gap.ticks))), "count")
    ease = timing.parse_curve(str(value.get("ease", "none")))
    return Timing(timing.eased(timing.even(count), ease), row.gap.exposures[0])


def _difference(before: list[Key], after: list[Key]) -> str:
    """What has changed among the keys, in one or more sentences."""
    old, new = ({key.name: key.digest for key in keys} for keys in (before, after))
    gone = [name for name in old if name not in new]
    come = [name for name in new if name not in old]
    other = [name for name in new if name in old and new[name] != old[name]]
    sentences = []
    if gone:
        sentences.append(
            f"{listed(gone, 4)} {_is(gone)} gone from the folder; timing and hints are kept for when it is back."
        )
    if come:
        sentences.append(f"{listed(come, 4)} {_is(come)} new among the keys.")
    if other:
        sentences.append(f"{listed(other, 4)} {'was' if len(other) == 1 else 'were'} changed; its gaps are redrawn.")
    return " ".join(sentences) or "The files of the keys were written again; their pictures are the same."


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
