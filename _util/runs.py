"""Settings of long runs, which resume only with the settings that they were started with.

`settings` is a dictionary of plain values that holds everything a run depends on. It is stored beside the result. Files
are represented by digests of their contents, or of their sizes and times where reading them takes long.
"""

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from _util import places
from _util.errors import InputError
from _util.files import write_text

Settings = Mapping[str, Any]


def changed(before: Settings, now: Settings) -> list[str]:
    """The names whose values differ; a missing value counts as None."""
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


def changes(before: Settings, now: Settings) -> str:
    """The differences, for messages: `fps 48 instead of 60, crf 18 instead of None`; empty if there are none."""
    return ", ".join(f"{name} {before.get(name)} instead of {now.get(name)}" for name in changed(before, now))


def read(path: Path, remedy: str) -> dict[str, Any]:
    """Read the settings that `write` stored.

    Args:
        remedy: what the user can do about a failure, for the message.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(settings, dict):
            return settings
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is missing or damaged; {remedy}.") from error
    raise InputError(f"{path} is damaged; {remedy}.")


def write(path: Path, settings: Settings) -> None:
    """Store settings as JSON, atomically."""
    write_text(path, json.dumps(settings, indent=1))


def plain(settings: Settings) -> dict[str, Any]:
    """Settings after a round trip through JSON, tuples as lists, for comparison with those that `read` returns."""
    return json.loads(json.dumps(settings))


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of the files of a folder.

    Raises:
        InputError: something in the folder cannot be read, such as what a broken link leads to.
        OSError: the file or folder itself cannot be read.
    """
    if path.is_dir():
        return _digest_of_files((one.name, one) for one in sorted(path.iterdir()))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def digest_of_code() -> str:
    """SHA-256 of the project's code below command lines, which tells states of one version in development apart.

    Raises:
        InputError: a file cannot be read.
    """
    paths = (path for package in ("_train", "_databacks", "_util") for path in (places.ROOT / package).rglob("*.py"))
    files = sorted(path for path in paths if path.is_file())  # not the broken links by which Emacs locks files
    return _digest_of_files((path.relative_to(places.ROOT).as_posix(), path) for path in files)


def _digest_of_files(named: Iterable[tuple[str, Path]]) -> str:
    lines = []
    for name, path in named:
        try:
            lines.append(os.fsencode(name) + f" {digest(path)}\n".encode())
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); repair or remove it.") from error
    return hashlib.sha256(b"".join(lines)).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of a value that JSON can represent; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def stamp(path: Path) -> str:
    """Size and modification time of a file, to detect changes; "nothing" if there is none, as behind a broken link."""
    try:
        status = path.stat()
    except OSError:
        return "nothing"
    return f"{status.st_size} bytes of {status.st_mtime_ns}"


def stamp_of(paths: Iterable[Path]) -> str:
    """SHA-256 of the names and stamps of files, in the given order."""
    lines = (os.fsencode(path.name) + f" {stamp(path)}".encode() for path in paths)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
