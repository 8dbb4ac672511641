"""Resumable work in parts: finished parts are kept, and a later run resumes after them.

DIR/.clip.mp4.parts/            beside clip.mp4, which appears when all parts are joined
    run.json                    settings that determine the result; only a run with the same settings resumes
    000000.nut  000001.nut  …   parts, each renamed into place when it is complete
    finished.jsonl              a line for each finished part: its frame count and digest
    drawn/000123.npz  …         frames of unfinished parts, if drawing takes long
    joined.json                 identity of the joined result, written just before it appears

A part is finished when it and the line with its digest are synced to disk. Anything else that a power failure left
behind is detected on resuming, removed, and drawn again.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from _util import files, runs
from _util.errors import InputError


class Parts:
    """The parts of a file or folder that is being written.

    Args:
        out: the file or folder being written.
        run: all settings that determine the result, by names that users know; values that JSON can represent.
        suffix: of part files; if it is empty, parts are folders.

    Attributes:
        finished: after `begin`, the number of frames in each finished part, by part number.
        drawn: after `begin`, the numbers of the frames stored for unfinished parts.
        damaged: after `begin`, the parts of an earlier run that were incomplete or damaged.
    """

    def __init__(self, out: Path, run: dict[str, Any], suffix: str):
        self.folder = files.hidden_beside(out, ".parts")
        self.finished: dict[int, int] = {}
        self.drawn: set[int] = set()
        self.damaged: list[Path] = []
        self._out = out
        self._run = runs.plain(run)
        self._suffix = suffix

    @property
    def is_empty(self) -> bool:
        """Whether there is no finished part or stored frame that a later run could use."""
        return not self.finished and not self.drawn

    @property
    def has_work(self) -> bool:
        """Whether an earlier run has left finished parts or stored frames."""
        return bool(self._records()) or any(self._stored.glob("[!.]*.npz"))

    @property
    def listed(self) -> frozenset[int]:
        """The numbers of the parts that an earlier run has finished; they may be damaged."""
        return frozenset(self._records())

    @property
    def paths(self) -> list[Path]:
        """The finished parts, in order."""
        return [self.path(i) for i in sorted(self.finished)]

    def path(self, i: int) -> Path:
        return self.folder / f"{i:06d}{self._suffix}"

    def check(self, resume: bool, overwrite: bool) -> bool:
        """Check that `begin` may be called; returns whether it would resume.

        Args:
            resume: keep finished parts of a run with the same settings.
            overwrite: discard finished parts that are not resumed, including those of other settings.

        Raises:
            InputError: there are finished parts and neither option applies, or they are of other settings.
        """
        if not self.has_work:
            return False
        if resume:
            try:
                self._check_run()
                return True
            except InputError:
                if not overwrite:
                    raise
        elif not overwrite:
            raise InputError(
                f"{self.folder} holds what an earlier run finished; "
                "add --resume to keep it, --overwrite to start again."
            )
        return False

    def begin(self, resume: bool, overwrite: bool) -> None:
        """Create the folder, or take over the one that an earlier run has left; see `check`.

        Raises:
            InputError: `check` fails, or the folder cannot be created.
        """
        records = self._records()
        if not self.check(resume, overwrite):
            self.discard()
            records = {}
        files.make_folder(self.folder)
        files.make_folder(self._stored)
        self._sweep()
        self._verify(records)
        runs.write(self.folder / "run.json", self._run)
        files.write_text(self._log, "".join(_line(records[i]) for i in self.finished))

    def keep(self, i: int, frames: range) -> None:
        """Record part `i`, which is in place and holds the given frames, as finished."""
        path = self.path(i)
        for one in (*(path.iterdir() if path.is_dir() else ()), path, self.folder):
            with files.writing(one):
                files.sync(one)
        with files.writing(self._log):
            files.append(self._log, _line({"part": i, "frames": len(frames), "sha256": runs.digest(path)}))
        self.finished[i] = len(frames)
        for k in self.drawn.intersection(frames):
            self._frame(k).unlink(missing_ok=True)
            self.drawn.discard(k)

    def store(self, k: int, pixels: np.ndarray) -> None:
        """Store frame `k` of an unfinished part."""
        with files.replacing(self._frame(k)) as temporary:
            np.savez(temporary, pixels)
        self.drawn.add(k)

    def stored(self, k: int) -> np.ndarray:
        """Load the stored frame `k`, one of `drawn`."""
        return _load(self._frame(k))

    def record_joined(self, whole: Path, summary: dict[str, Any]) -> None:
        """Record that only the renaming of `whole` to the result is left to do."""
        joined = {"identity": _identity(whole), "summary": summary, "run": self._run}
        runs.write(self.folder / "joined.json", joined)

    def joined_summary(self) -> dict[str, Any] | None:
        """The summary of the result, if it is in place and the run was killed right after renaming it; else None."""
        try:
            joined = json.loads((self.folder / "joined.json").read_text())
            if joined["identity"] == _identity(self._out) and joined["run"] == self._run:
                return joined["summary"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def discard(self) -> None:
        """Remove the folder and its contents, joined.json last."""
        for path in sorted(self.folder.glob("*"), key=lambda path: path.name == "joined.json"):
            files.remove(path)
        files.remove(self.folder)

    @property
    def _log(self) -> Path:
        return self.folder / "finished.jsonl"

    @property
    def _stored(self) -> Path:
        return self.folder / "drawn"

    def _frame(self, k: int) -> Path:
        return self._stored / f"{k:06d}.npz"

    def _records(self) -> dict[int, dict[str, Any]]:
        """The records of the log, up to the first damaged line, which a power failure may have left."""
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return {}
        records = {}
        for line in lines:
            try:
                record = json.loads(line)
                records[int(record["part"])] = {name: record[name] for name in ("part", "frames", "sha256")}
            except (ValueError, KeyError, TypeError):
                break
        return records

    def _verify(self, records: dict[int, dict[str, Any]]) -> None:
        for i, record in sorted(records.items()):
            path = self.path(i)
            if path.exists() and runs.digest(path) == record["sha256"]:
                self.finished[i] = record["frames"]
            else:
                self.damaged.append(path)
        known = {self.path(i) for i in self.finished}
        for path in self.folder.glob(f"[0-9]*{self._suffix}"):  # renamed, but not yet listed as finished
            if path not in known:
                files.remove(path)
        for path in self._stored.glob("*.npz"):
            try:
                _load(path)
                self.drawn.add(int(path.stem))
            except (OSError, ValueError, KeyError):
                files.remove(path)

    def _sweep(self) -> None:
        """Remove files that were being written when a run was killed."""
        for folder in (self.folder, self._stored):
            for leftover in folder.glob(".*"):
                files.remove(leftover)

    def _check_run(self) -> None:
        run = runs.read(self.folder / "run.json", "start again with --overwrite")
        if run.get("source") != self._run.get("source"):
            raise InputError(
                f"{self.folder} is of another IN, or of IN as it was before a change; choose another OUT, "
                "or start again with --overwrite."
            )
        if changes := runs.changes(run, self._run):
            raise InputError(
                f"{self.folder} is of another run: {changes}; run that one, or start again with --overwrite."
            )


class StreamedParts(Parts):
    """The single part of a result that goes to stdout: nothing is stored, and no later run can resume."""

    def path(self, i: int) -> Path:
        return self._out

    def check(self, resume: bool, overwrite: bool) -> bool:
        """Nothing can be resumed."""
        return False

    def begin(self, resume: bool, overwrite: bool) -> None:
        """Do nothing."""

    def keep(self, i: int, frames: range) -> None:
        """Do nothing."""

    def store(self, k: int, pixels: np.ndarray) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""


def rename(path: Path, place: Path) -> None:
    """Sync a file, or a folder of synced files, to disk and rename it.

    Raises:
        InputError: syncing or renaming fails.
    """
    with files.writing(place):
        files.publish(path, place)


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _identity(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_ino, status.st_mtime_ns]


def _load(path: Path) -> np.ndarray:
    """Load a stored frame, verified by the file's checksums."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["arr_0"]
    except zipfile.BadZipFile as error:
        raise ValueError(path) from error
