"""Records of what results were made from: a small JSON file beside each, which tells a stage if it is up to date."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from _databacks.extraction.reports import StageReport
from _util import runs, sequences
from _util.errors import InputError

_SAMPLE = 2**20  # bytes at either end of a file


class Record:
    """The record of one result.

    Args:
        result: the file or folder that a stage makes; the record is beside it, with the suffix .json.
        partial: the stage's unfinished result, deleted when the result is finished or made again.
        made_from: everything that determines the result, by name, as JSON values.

    Raises:
        InputError: the result exists without a readable record, so it may not be of this stage.
    """

    def __init__(self, result: Path, partial: Path | None = None, /, **made_from: Any):
        self.result, self.path, self.partial = result, result.with_suffix(".json"), partial
        self.made_from = runs.plain(made_from)
        self._stored = _read(self.path) if self.path.exists() else None
        if self._stored is None and result.exists():
            raise InputError(f"{result} exists without a record of its source; move it away.")

    @property
    def found(self) -> dict[str, Any]:
        """The arguments of `finish` in the run that made the result."""
        assert self._stored is not None
        return self._stored["found"]

    @property
    def changed(self) -> list[str]:
        """What has changed since the result was made or begun."""
        was = self._stored["made_from"] if self._stored else self.made_from
        return runs.changed(was, self.made_from)

    def is_finished(self, report: StageReport) -> bool:
        """Whether the result is finished; if so, reports it and deletes a leftover `partial`.

        Raises:
            InputError: `partial` cannot be deleted.
        """
        finished = self._stored is not None and self._stored["finished"] and self.result.exists() and not self.changed
        if finished:
            self._sweep()
            report.say(f"{self.result} already exists; nothing to do.")
        return finished

    def begin(self, report: StageReport) -> None:
        """Record what is being made; an earlier result of other input or options, whole or partial, is deleted.

        Raises:
            InputError: something cannot be written or deleted.
        """
        if self.changed:
            report.say(f"{self.result} is made again; changed since: {', '.join(self.changed)}.")
            remove(self.result)
            self._sweep()
        self._write(False, {})

    def finish(self, **found: Any) -> None:
        """Record that the result is finished, and the values in `found`; deletes `partial`.

        Raises:
            InputError: something cannot be written or deleted.
        """
        self._write(True, found)
        self._sweep()

    def _sweep(self) -> None:
        if self.partial is not None:
            remove(self.partial)

    def _write(self, finished: bool, found: dict[str, Any]) -> None:
        self._stored = {"made_from": self.made_from, "finished": finished, "found": found}
        runs.write(self.path, self._stored)


def read(result: Path) -> dict[str, Any]:
    """Read the record of a finished result: what it was made from, and the values found: "made_from" and "found".

    Raises:
        InputError: the result is missing or unfinished, or its record cannot be read.
    """
    path = result.with_suffix(".json")
    record = _read(path) if path.exists() and result.exists() else {}
    if not record.get("finished"):
        raise InputError(f"{result} is missing or unfinished; run the stage that makes it first.")
    return record


def fingerprint(path: Path) -> str:
    """Identifies the content of a video, or of a folder of drawings, without reading every byte.

    Of a video, a digest of its size and of what is at either end: a copy has the same. Of drawings, one of their names,
    sizes and modification times, as a drawing that is repainted may keep its size.

    Raises:
        InputError: it cannot be read, or the folder holds no drawings.
    """
    if path.is_dir():
        return runs.stamp_of(sequences.find(path).paths)
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            for start in (0, max(0, size - _SAMPLE)):
                file.seek(start)
                digest.update(file.read(_SAMPLE))
        digest.update(str(size).encode())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def remove(path: Path) -> None:
    """Delete a file or a folder, if there is one.

    Raises:
        InputError: it cannot be deleted.
    """
    try:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be deleted ({error.strerror}).") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
        record["made_from"], record["finished"], record["found"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged; delete it together with what it belongs to.") from error
    return record
