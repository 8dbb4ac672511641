"""Record of how the drawings of a folder were made, so that existing ones are not drawn again.

    out/  key_001+1of3.png  …
          .drawn.jsonl         {"name": "key_001+1of3.png", "sha256": "…", "recipe": {…}}, one line each
          .written.jsonl       the same of files elsewhere: previews and time sheets

A line is synced to disk before its drawing appears. So a file without a line was not drawn here, and one whose digest
is in no line was changed since: neither is removed, or overwritten without an explicit request.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from _util import files
from _util.counts import listed
from _util.errors import InputError
from _util.runs import digest, digest_of

Recipe = dict[str, Any]
RECORD = ".drawn.jsonl"
_RECORD_OF_FILES = ".written.jsonl"


class Drawn:
    """The drawings of a folder, which need not exist, and their recipes.

    A recipe holds all that determines a drawing, as values that JSON can represent, with the digest of its key file as
    `key`. Writers must hold the lock of the folder.

    Args:
        record: name of the file that stores the recipes, or its path elsewhere.
    """

    def __init__(self, folder: Path, record: str | Path = RECORD):
        self._folder, self._record = folder, folder / record
        recorded: dict[str, dict[str, Recipe]] = {}  # by name, then by digest
        for name, sha256, recipe in _records(self._record):
            recorded.setdefault(name, {})[sha256] = recipe
        self._whole: dict[str, tuple[str, Recipe]] = {}  # existing files, unchanged
        self._changed: dict[str, dict[str, Recipe]] = {}  # existing files, changed since they were drawn
        for name, by_digest in recorded.items():
            path = folder / name
            if path.is_file() and (sha256 := digest(path)) in by_digest:
                self._whole[name] = sha256, by_digest[sha256]
            elif os.path.lexists(path):
                self._changed[name] = by_digest

    @property
    def names(self) -> set[str]:
        """Names of all existing files that were drawn here, changed since or not."""
        return {*self._whole, *self._changed}

    @property
    def recipes(self) -> list[Recipe]:
        """The recipes of all existing files that were not changed."""
        return [recipe for _, recipe in self._whole.values()]

    def recipe_of(self, name: str) -> Recipe | None:
        """The recipe of a file; None if it does not exist or was changed."""
        return self._whole[name][1] if name in self._whole else None

    def check(self, names: Collection[str]) -> None:
        """Raise InputError if a file of one of these names exists and was changed, or was not drawn here."""
        for name in sorted({*names} - self._whole.keys()):
            path = self._folder / name
            if name in self._changed:
                raise InputError(
                    f"{path} was changed since it was drawn; move it away (among the keys, it becomes a key), or "
                    "replace it with --overwrite."
                )
            if os.path.lexists(path):
                raise InputError(
                    f"{path} was not drawn here; move it away, choose another place, or replace it with --overwrite."
                )

    def begin(self) -> None:
        """Create the folder, and drop records of files that no longer exist."""
        made = [(name, *one) for name, one in self._whole.items()]
        made += [(name, *one) for name, by_digest in self._changed.items() for one in by_digest.items()]
        with files.making_folder(self._folder):
            files.write_text(self._record, "".join(_line(*one) for one in made))

    def rename(self, recipes: Mapping[str, Recipe]) -> None:
        """Rename existing drawings whose recipes are now wanted under other names.

        Args:
            recipes: of all wanted drawings, by name.
        """
        spare = {digest_of(recipe): name for name, (_, recipe) in self._whole.items() if recipes.get(name) != recipe}
        for name, recipe in recipes.items():
            if name not in self._whole and (before := spare.pop(digest_of(recipe), None)):
                sha256, _ = self._whole.pop(before)
                with files.writing(self._folder / name):
                    files.append(self._record, _line(name, sha256, recipe))
                    files.publish(self._folder / before, self._folder / name)
                self._is_drawn(name, sha256, recipe)

    def write(self, name: str, write: Callable[[Path], None], recipe: Recipe) -> None:
        """Write a drawing atomically, by a function that writes a file."""
        path = self._folder / name
        staged = files.temporary_beside(path)
        try:
            with files.writing(path, temporary=staged):
                write(staged)
                sha256 = digest(staged)
                files.append(self._record, _line(name, sha256, recipe))
                files.publish(staged, path)
        finally:
            staged.unlink(missing_ok=True)
        self._is_drawn(name, sha256, recipe)

    def remove_others(self, names: Collection[str]) -> None:
        """Remove drawings that were made here under other names, and say so; those changed since are kept."""
        others = sorted(self._whole.keys() - names)
        for name in others:
            (self._folder / name).unlink(missing_ok=True)
            del self._whole[name]
        if others:
            print(f"Removed from {self._folder}, no longer requested: {listed(others)}.", file=sys.stderr)
        for name in sorted(self._changed.keys() - names):
            print(f"{self._folder / name} is no longer requested; kept, because it was changed.", file=sys.stderr)
        self.begin()

    def _is_drawn(self, name: str, sha256: str, recipe: Recipe) -> None:
        self._changed.pop(name, None)
        self._whole[name] = sha256, recipe


def check_keys(folder: Path, drawn: Iterable[Drawn], keys: Collection[str]) -> None:
    """Raise InputError if all drawings in a folder are of other keys.

    Args:
        drawn: the drawings.
        keys: digests of the files of all keys.
    """
    known = {recipe["key"] for one in drawn for recipe in one.recipes}
    if known and known.isdisjoint(keys):
        raise InputError(f"{folder} holds drawings between other keys; choose another place.")


def check_file(path: Path, out: Path) -> None:
    """Raise InputError if a preview or time sheet exists, unless it is as a run to the folder `out` wrote it."""
    real = Path(os.path.realpath(path))
    if real.exists() and Drawn(real.parent, out.absolute() / _RECORD_OF_FILES).recipe_of(real.name) is None:
        raise InputError(
            f"{path} was not written by an earlier run to {out}, or was changed since; choose another place, or "
            "replace it with --overwrite."
        )


def write_file(path: Path, out: Path, write: Callable[[Path], None]) -> None:
    """Write a preview or time sheet atomically, by a function that writes a file, and record it in the folder `out`.

    A symbolic link is followed.
    """
    real = Path(os.path.realpath(path))
    Drawn(real.parent, out.absolute() / _RECORD_OF_FILES).write(real.name, write, {"key": ""})


def _records(path: Path) -> Iterator[tuple[str, str, Recipe]]:
    """Name, digest and recipe of each complete line; a power failure may have truncated the last one."""
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
