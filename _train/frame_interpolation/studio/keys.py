"""The key drawings in a folder, which may change at any time."""

import contextlib
import os
import time
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from _train.frame_interpolation.keys import key_drawings, key_names
from _util import files, formats
from _util.errors import InputError
from _util.runs import digest

_RETRY = 10.0  # seconds between attempts to read files that could not be read


class Key(NamedTuple):
    """A key drawing.

    Attributes:
        name: without suffix.
        digest: of the file; empty if it cannot be read.
        size: (h, w), pixels; (0, 0) if it cannot be read.
        problem: a sentence about a file that cannot be used.
    """

    name: str
    path: Path
    digest: str
    size: tuple[int, int]
    problem: str = ""

    def is_unchanged(self) -> bool:
        """Whether the file has the content that it had when it was listed."""
        try:
            return digest(self.path) == self.digest
        except OSError:
            return False


_Stamp = tuple[int, int, int]


class Keys:
    """The keys of a folder. `scan` reads only files that are new, were changed, or could not be read.

    Attributes:
        all: in the order of `key_drawings.find_keys`.
        version: increases when they change.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._read: dict[tuple[Path, _Stamp], Key] = {}
        self._next_try = 0.0  # by `time.monotonic`
        self.all: list[Key] = []
        self.version = 0

    def scan(self) -> bool:
        """Update `all`; returns whether anything has changed.

        Raises:
            InputError: the folder cannot be read.
        """
        paths = files.pictures(self.folder)
        listed = [(path, stamp) for path in paths if (stamp := _stamp(path))]
        mended = self._mended()
        if listed == list(self._read) and not mended:
            return False
        known = self._read | mended
        self._read = {one: known.get(one) or _surveyed(one[0]) for one in listed}
        found = sorted(self._read.values(), key=lambda key: (key_names.order(key.name), key.path.name))
        self.all = list({key.name: key for key in reversed(found)}.values())[::-1]  # `sentence` names doubles
        self.version += 1
        return True

    def _mended(self) -> dict[tuple[Path, _Stamp], Key]:
        """The keys that could not be read, for a reason that has passed; none before the time to try again."""
        if time.monotonic() < self._next_try:
            return {}
        self._next_try = time.monotonic() + _RETRY
        found = {}
        for one, key in self._read.items():
            if key.problem:
                with contextlib.suppress(InputError):
                    formats.read(key.path)
                    found[one] = _surveyed(key.path)
        return found

    def forget(self, key: Key) -> None:
        """Let the next `scan` read a key, even if size, time and inode of its file are the same."""
        self._read = {one: known for one, known in self._read.items() if known.path != key.path}

    def report(self, key: Key, problem: str) -> None:
        """Set the problem of a key that turned out to be damaged, until its file is changed or can be read."""
        reported = _unusable(key.path, problem)
        self._read = {one: reported if known == key else known for one, known in self._read.items()}
        self.all = [reported if known == key else known for known in self.all]
        self.version += 1

    def sentence(self) -> str:
        """A sentence about a problem with the folder as a whole; empty if there is none."""
        try:
            key_drawings.find_keys([self.folder])
        except InputError as error:
            return str(error)
        return ""


def _surveyed(path: Path) -> Key:
    try:
        return Key(key_names.name_of(path), path, digest(path), _size(path))
    except InputError as error:
        return _unusable(path, str(error))
    except OSError as error:
        return _unusable(path, f"{path} cannot be read ({error.strerror}).")


def _unusable(path: Path, problem: str) -> Key:
    return Key(key_names.name_of(path), path, "", (0, 0), problem)


def _size(path: Path) -> tuple[int, int]:
    """The upright size (h, w), from the header if possible, since a folder may hold hundreds of keys.

    So damage beyond the header is found only when the picture is read.
    """
    try:
        with formats.opened(path) as image:
            if image.format == "PNG":
                return formats.upright_size(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        pass
    return formats.read(path).pixels.shape[:2]


def _stamp(path: Path) -> _Stamp | None:
    """Size, modification time and inode of a file, to detect changes; None if it does not exist."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
