"""Finds the videos of a data set, and checks whether its folder can take them.

In: videos and folders of videos, the folder of the data set. Out: the videos in order of their names, identified by
content, so that moved, renamed or repeated files count once; for unusable input, a one-sentence error.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from _util import runs
from _util.errors import InputError
from _util.files import VIDEO_SUFFIXES, making_folder, natural, resolved, walk
from _util.locks import WITHIN, holding

_CHUNKS, _CHUNK = 64, 2**16


class Video(NamedTuple):
    """One video of a show."""

    path: Path  # absolute
    show: str  # the folder it lies in, below the folder given; the name of that one if it lies directly in it
    source: str  # path below the folder given
    key: str  # of its content, 16 hexadecimal digits


def find_videos(shows: Sequence[Path], out: Path) -> list[Video]:
    """The videos given and those in the folders given, at any depth, in natural order; each content once.

    Hidden files and folders are skipped, and so is `out`.

    Raises:
        InputError: a file or folder does not exist or is inside `out`, or there are no videos.
    """
    out = resolved(out)
    found: dict[str, Video] = {}
    entries = [entry for show in shows for entry in _entries(show, out)]
    for path, show, source in sorted(entries, key=lambda entry: (natural(entry[1]), natural(entry[2]), entry)):
        key = _key(path)
        found.setdefault(key, Video(path, show, source, key))
    if not found:
        names = ", ".join(map(str, shows))
        raise InputError(f"{names} holds no videos; files such as .mkv, .mp4 and .webm are looked for at any depth.")
    return list(found.values())


def _entries(show: Path, out: Path) -> Iterator[tuple[Path, str, str]]:
    root = show.resolve()
    if root.is_relative_to(out):
        raise InputError(f"{show} lies in the data set {out}; give the videos that it is made of.")
    if root.is_file():
        yield root, root.parent.name, root.name
    elif root.is_dir():
        for path in _files(root, out):
            folder = path.parent.relative_to(root).as_posix()
            yield path, root.name if folder == "." else folder, path.relative_to(root).as_posix()
    else:
        raise InputError(f"There is no video or folder {show}.")


def _files(root: Path, out: Path) -> Iterator[Path]:
    for folder, names in walk(root, without=[out]):
        for name in names:
            if name[0] != "." and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                yield folder / name


def _key(path: Path) -> str:
    """A digest of the size and of evenly spaced pieces of the file; of all of it up to 4 MiB."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(str(size).encode())
            if size <= _CHUNKS * _CHUNK:
                digest.update(file.read())
            else:
                for i in range(_CHUNKS):
                    file.seek((size - _CHUNK) * i // (_CHUNKS - 1))
                    digest.update(file.read(_CHUNK))
    except OSError as error:
        return hashlib.sha256(f"{error.errno} {path}".encode(errors="surrogateescape")).hexdigest()[:16]
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def claim(out: Path, work: Path, options: dict) -> Iterator[None]:
    """Create or resume the folder of a data set, locked against other runs until the block ends.

    Args:
        out: the data set; must not exist, be empty, or have been made with the same options.
        work: its folder for unfinished results.
        options: everything that determines the content of the data set, as JSON values.

    Raises:
        InputError: it was made with other options, holds something else, is in use, or cannot be written.
    """
    with holding(out):
        _require_place(out, work)
        with making_folder(work):
            _require_same(out, work / "options.json", options)
            yield


def _require_place(out: Path, work: Path) -> None:
    """Raise InputError if the folder holds something other than a data set."""
    try:
        holds_more = out.exists() and any(path not in (work, out / WITHIN) for path in out.iterdir())
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}); choose another place.") from error
    if holds_more and not (work / "options.json").exists():
        raise InputError(f"{out} holds something else than a data set made here; choose a new or empty folder.")


def _require_same(out: Path, record: Path, options: dict) -> None:
    """Record the options of a data set; raise InputError if it was begun with others."""
    if not record.exists():
        runs.write(record, options)
    before = runs.read(record, f"delete {out}, or choose another folder")
    if changes := runs.changes(before, runs.plain(options)):
        raise InputError(f"{out} was made with {changes}; give the same options, or another folder.")
