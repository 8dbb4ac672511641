"""Cache of in-betweens; the name of each file is a digest of all that determines the drawing.

They can be drawn again at any time. Drawings that the project no longer needs are removed when it is opened.
"""

import contextlib
import os
import threading
from collections.abc import Collection
from pathlib import Path

from _util import files
from _util.formats import Picture


class Cache:
    """Drawings by their `id`, in a folder that is created with the first one; thread-safe."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.Lock()
        self._paths = {path.stem: path for path in files.pictures(folder)} if folder.is_dir() else {}

    def path(self, id: str) -> Path | None:
        """The file of a drawing; None if it was not drawn, or the file is gone."""
        with self._lock:
            path = self._paths.get(id)
            if path and not path.is_file():
                del self._paths[id]
                return None
            return path

    def __contains__(self, id: str) -> bool:
        with self._lock:
            return id in self._paths

    def forget_missing(self) -> bool:
        """Forget drawings whose files are gone; returns whether there were any."""
        try:
            there = set(os.listdir(self._folder))  # noqa: PTH208
        except OSError:
            there = set()
        with self._lock:
            missing = [id for id, path in self._paths.items() if path.name not in there]
            for id in missing:
                del self._paths[id]
        return bool(missing)

    def keep(self, id: str, picture: Picture) -> None:
        """Write a drawing.

        Raises:
            InputError: it cannot be written, or the folder of the keys is gone.
        """
        path = self._folder / f"{id}{picture.suffix}"
        with files.writing(self._folder, "make room or permit it"):
            self._folder.mkdir(exist_ok=True)  # not its parents: keys that were moved away may be moved back
        picture.write(path)
        with self._lock:
            self._paths[id] = path

    def forget(self, id: str) -> None:
        """Remove a drawing, such as a damaged one."""
        with self._lock:
            path = self._paths.pop(id, None)
        if path:
            with contextlib.suppress(OSError):
                path.unlink()

    def keep_only(self, ids: Collection[str]) -> None:
        """Remove all other drawings."""
        for id in set(self._paths) - set(ids):
            self.forget(id)
