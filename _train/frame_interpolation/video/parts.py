"""Long work in parts: finished parts are kept, and a later run resumes after them.

DIR/.clip.mp4.parts/            beside clip.mp4, which appears when all parts are joined
    run.json                    what determines the result; only the same run resumes
    000000.nut  000001.nut  …   parts, each of which appears when it is whole
    finished.jsonl              a line for each part that is on the disk: its frames and its digest
    drawn/000123.npz  …         frames of parts to come, where drawing them takes long
    joined.json                 the result of all parts, once it is about to appear

A part is finished when it is on the disk, as is the line that tells its digest. What a power cut has left of any other
is found out when work is resumed, removed, and drawn again.
"""

import contextlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from _util import runs
from _util.errors import InputError
from _util.files import hidden_beside, replacing


class Parts:
    """The finished parts of a file or folder that is being made.

    Args:
        out: what is being made.
        run: all that determines the result, by names that a user knows; of what JSON holds.
        suffix: of a part, which is a file, or a folder where it is empty.

    Attributes:
        finished: once begun, how many frames each finished part holds, by its number.
        drawn: once begun, the numbers of the frames that are kept of parts to come.
        damaged: once begun, parts of an earlier run that were not whole.
    """

    def __init__(self, out: Path, run: dict[str, Any], suffix: str):
        self.folder = hidden_beside(out, ".parts")
        self.finished: dict[int, int] = {}
        self.drawn: set[int] = set()
        self.damaged: list[Path] = []
        self._out = out
        self._run = json.loads(json.dumps(run))
        self._suffix = suffix

    @property
    def is_empty(self) -> bool:
        """Whether no part or frame is finished that a later run could use."""
        return not self.finished and not self.drawn

    @property
    def has_work(self) -> bool:
        """Whether an earlier run has left something of that kind."""
        return bool(self._records()) or any(self._stored.glob("[!.]*.npz"))

    @property
    def paths(self) -> list[Path]:
        """The finished parts, in order."""
        return [self.path(i) for i in sorted(self.finished)]

    def path(self, i: int) -> Path:
        return self.folder / f"{i:06d}{self._suffix}"

    def begin(self, resume: bool, overwrite: bool) -> None:
        """Make the folder, or take over the one that an earlier run has left.

        Args:
            resume: keep parts that are finished.
            overwrite: otherwise, or where they are of another run, throw them away.

        Raises:
            InputError: neither is wanted and there are some, they are of another run, or there is no place for them.
        """
        records = self._records()
        has_work = self.has_work
        if has_work and resume and (self._is_of_this_run() or not overwrite):
            self._check_run()
        elif has_work and not overwrite:
            raise InputError(
                f"{self.folder} holds what an earlier run finished; "
                "add --resume to keep it, --overwrite to start again."
            )
        else:
            self.discard()
            records = {}
        try:
            self._stored.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be made ({error.strerror}); choose another place.") from error
        self._sweep()
        self._verify(records)
        runs.write(self.folder / "run.json", self._run)
        with replacing(self._log) as temporary:
            temporary.write_text("".join(_line(records[i]) for i in self.finished))
        sync(self.folder)

    def keep(self, i: int, frames: range) -> None:
        """Part `i`, which has appeared and holds the given frames, is finished once this returns."""
        path = self.path(i)
        sync(*(path.iterdir() if path.is_dir() else ()), path, self.folder)
        with _writing(self._log), self._log.open("a") as log:
            log.write(_line({"part": i, "frames": len(frames), "sha256": runs.digest(path)}))
            log.flush()
            os.fsync(log.fileno())
        self.finished[i] = len(frames)
        for k in self.drawn.intersection(frames):
            self._frame(k).unlink(missing_ok=True)
            self.drawn.discard(k)

    def store(self, k: int, pixels: np.ndarray) -> None:
        """Keep frame `k` of a part that is not finished."""
        with replacing(self._frame(k)) as temporary:
            np.savez(temporary, pixels)
        self.drawn.add(k)

    def stored(self, k: int) -> np.ndarray:
        """Frame `k`, one of `drawn`."""
        return _load(self._frame(k))

    def about_to_appear(self, whole: Path, summary: dict[str, Any]) -> None:
        """`whole` will be renamed to the result, and nothing else is left to be done."""
        with replacing(self.folder / "joined.json") as temporary:
            temporary.write_text(json.dumps({"identity": _identity(whole), "summary": summary, "run": self._run}))
        sync(self.folder)

    def appeared(self) -> dict[str, Any] | None:
        """What was said of the result, where it has appeared and this run was killed right after."""
        try:
            joined = json.loads((self.folder / "joined.json").read_text())
            if joined["identity"] == _identity(self._out) and joined["run"] == self._run:
                return joined["summary"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def discard(self) -> None:
        """Remove the folder and all in it, the marker of the run last."""
        for path in sorted(self.folder.glob("*"), key=lambda path: path.name == "joined.json"):
            _remove(path)
        _remove(self.folder)

    @property
    def _log(self) -> Path:
        return self.folder / "finished.jsonl"

    @property
    def _stored(self) -> Path:
        return self.folder / "drawn"

    def _frame(self, k: int) -> Path:
        return self._stored / f"{k:06d}.npz"

    def _records(self) -> dict[int, dict[str, Any]]:
        """What the log tells, up to a line that a power cut may have left."""
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
                _remove(path)
        for path in self._stored.glob("*.npz"):
            try:
                _load(path)
                self.drawn.add(int(path.stem))
            except (OSError, ValueError, KeyError):
                _remove(path)

    def _sweep(self) -> None:
        """Remove what was being written when a run was killed."""
        for folder in (self.folder, self._stored):
            for leftover in folder.glob(".*"):
                _remove(leftover)

    def _is_of_this_run(self) -> bool:
        try:
            self._check_run()
        except InputError:
            return False
        return True

    def _check_run(self) -> None:
        run = runs.read(self.folder / "run.json", "start again with --overwrite")
        if changes := runs.changes(run, self._run):
            raise InputError(
                f"{self.folder} is of another run: {changes}; run that one, or start again with --overwrite."
            )


class StreamedParts(Parts):
    """The single part of what goes to stdout: nothing of it is kept, and no later run can resume it."""

    def path(self, i: int) -> Path:
        return self._out

    def begin(self, resume: bool, overwrite: bool) -> None:
        """There is nothing to make."""

    def keep(self, i: int, frames: range) -> None:
        """There is nothing to keep."""

    def store(self, k: int, pixels: np.ndarray) -> None:
        """There is nothing to keep."""

    def discard(self) -> None:
        """There is nothing to remove."""


def rename(path: Path, place: Path) -> None:
    """Give a file or folder that is on the disk its name, for good.

    Raises:
        InputError: that fails.
    """
    try:
        path.replace(place)
    except OSError as error:
        raise InputError(f"{place} cannot be written ({error.strerror}); choose another place.") from error


def sync(*paths: Path) -> None:
    """Have files, and the names in folders, written to the disk.

    Raises:
        InputError: that fails.
    """
    for path in paths:
        with _writing(path):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns an `OSError` into an `InputError` about a path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _identity(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_ino, status.st_mtime_ns]


def _load(path: Path) -> np.ndarray:
    """Frames are verified by the checksums of the file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["arr_0"]
    except zipfile.BadZipFile as error:
        raise ValueError(path) from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
