"""Settings of long work, which is resumed only with the settings that it was started with.

What a run depends on is a dictionary of plain values, `settings`, which is kept beside its result. Work resumes by the
same settings alone. Files enter as digests: of their contents, or of their sizes and times where reading takes long.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from _util.errors import InputError
from _util.files import write_text

Settings = Mapping[str, Any]


def changed(before: Settings, now: Settings) -> list[str]:
    """The names whose values differ, or that one of both lacks."""
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


def changes(before: Settings, now: Settings) -> str:
    """What differs, for messages: `fps 48 instead of 60, crf 18 instead of None`; empty if nothing does."""
    return ", ".join(f"{name} {before.get(name)} instead of {now.get(name)}" for name in changed(before, now))


def read(path: Path, remedy: str) -> dict[str, Any]:
    """The settings that `write` has kept.

    Args:
        remedy: what the user can do where there are none, for the message.

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
    """Keep settings as JSON; the file appears whole or not at all."""
    write_text(path, json.dumps(settings, indent=1))


def plain(settings: Settings) -> dict[str, Any]:
    """Settings as JSON gives them back, tuples as lists, to compare with those that were read."""
    return json.loads(json.dumps(settings))


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of the files of a folder."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    lines = (f"{one.name} {digest(one)}\n" for one in sorted(path.iterdir()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of what JSON holds."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def stamp(path: Path) -> str:
    """What changes when a file is written again: its size and the time of its last change; of none, a word."""
    try:
        status = path.stat()
    except FileNotFoundError:  # a link that leads nowhere
        return "nothing"
    return f"{status.st_size} bytes of {status.st_mtime_ns}"


def stamp_of(paths: Iterable[Path]) -> str:
    """A digest of the names and stamps of files, in their order."""
    lines = (os.fsencode(path.name) + f" {stamp(path)}".encode() for path in paths)
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
