"""What the drawings of a folder were made of, so that those that are there are not made again.

    out/  key_001+1of3.png  …
          .drawn.jsonl         {"name": "key_001+1of3.png", "sha256": "…", "recipe": {…}}, one line each

A line is on the disk before its drawing appears. So a file without a line was not drawn here, and one whose digest no
line tells was changed since: neither is overwritten or removed.
"""

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from _util import files, formats
from _util.errors import InputError
from _util.formats import Picture
from _util.runs import digest

Recipe = dict[str, Any]
_RECORD = ".drawn.jsonl"


class Drawn:
    """The drawings of a folder, which need not exist, and their recipes: of what JSON holds, all that determines one.

    A recipe holds the digest of its key file as `key`. Whoever writes holds the folder.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        recorded: dict[str, dict[str, Recipe]] = {}  # by name, then by digest
        for name, sha256, recipe in _records(folder / _RECORD):
            recorded.setdefault(name, {})[sha256] = recipe
        self._names = set(recorded)
        self._whole: dict[str, tuple[str, Recipe]] = {}  # those that are there as they were drawn
        for name in recorded:
            path = folder / name
            if path.is_file() and (sha256 := digest(path)) in recorded[name]:
                self._whole[name] = sha256, recorded[name][sha256]

    def recipe_of(self, name: str) -> Recipe | None:
        """What a file was made of; None if it is not there, or not as it was drawn."""
        return self._whole[name][1] if name in self._whole else None

    def check(self, names: Collection[str], keys: Collection[str]) -> None:
        """Raise InputError if files of these names cannot be written, or what is there is of other keys.

        Args:
            keys: digests of the files of all keys.
        """
        for name in sorted({*names, *self._names} - self._whole.keys()):
            path = self._folder / name
            if not os.path.lexists(path):
                continue
            if name in self._names:
                raise InputError(
                    f"{path} was changed since it was drawn; move it to the keys, to become a key, or delete it."
                )
            raise InputError(f"{path} was not drawn here; move it away, or choose another place.")
        known = {recipe["key"] for _, recipe in self._whole.values()}
        if known and known.isdisjoint(keys):
            raise InputError(f"{self._folder} holds drawings between other keys; choose another place.")

    def begin(self) -> None:
        """Make the folder; from now on, what is no longer there is forgotten."""
        with files.making_folder(self._folder), files.replacing(self._folder / _RECORD) as temporary:
            temporary.write_text("".join(_line(name, *made) for name, made in self._whole.items()))

    def keep(self, name: str, picture: Picture, recipe: Recipe) -> None:
        """Write a drawing, which appears whole."""
        self.write(name, lambda path: formats.write(path, picture.pixels, picture.tags, picture.header), recipe)

    def write(self, name: str, write: Callable[[Path], None], recipe: Recipe) -> None:
        """Write a drawing of another kind by a function that writes a file."""
        path = self._folder / name
        staged = self._folder / f".drawn{path.suffix}"
        try:
            write(staged)
            sha256 = digest(staged)
            self._append(_line(name, sha256, recipe))
            files.publish(staged, path)
        except OSError as error:
            raise InputError(
                f"{path} cannot be written ({error.strerror}); make room or choose another place."
            ) from error
        finally:
            staged.unlink(missing_ok=True)
        self._whole[name] = sha256, recipe

    def remove_others(self, names: Collection[str]) -> None:
        """Remove the drawings that were made here and have other names."""
        for name in self._whole.keys() - names:
            (self._folder / name).unlink(missing_ok=True)
            del self._whole[name]
        self.begin()

    def _append(self, line: str) -> None:
        with (self._folder / _RECORD).open("a") as record:
            record.write(line)
            record.flush()
            os.fsync(record.fileno())


def _records(path: Path) -> Iterator[tuple[str, str, Recipe]]:
    """Name, digest and recipe of each line that is whole; a power cut may have cut the last one."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); choose another place.") from error
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = json.loads(line)
            name, sha256, recipe = str(record["name"]), str(record["sha256"]), dict(record["recipe"])
            if Path(name).name == name and "key" in recipe:
                yield name, sha256, recipe


def _line(name: str, sha256: str, recipe: Recipe) -> str:
    return json.dumps({"name": name, "sha256": sha256, "recipe": recipe}) + "\n"
