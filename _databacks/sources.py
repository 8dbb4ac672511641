"""The source of triplets that a folder holds, whatever its kind."""

from pathlib import Path

from _databacks.folders import Folders
from _databacks.lottie import Lottie
from _databacks.rrldextr import RRLDExtract
from _databacks.triplet import Source
from _util.errors import InputError


def open_source(path: str | Path) -> Source:
    """Triplets of a folder: those of RRLD where there is `images/A-B-C/`, Lottie animations where there are `.json`
    files, else those of folders with three pictures each.

    Raises:
        InputError: there is no such folder, or nothing of this kind in it.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"There is no folder {path}; triplets are read from a folder.")
    if (path / "rrld.txt").exists() or any((path / "images").glob("*-*-*/")):
        return RRLDExtract(path)
    if any(path.glob("*.json")):
        return Lottie(path)
    try:
        return Folders(path)
    except InputError as error:
        raise InputError(
            f"{path} holds no triplets; they are NAME/a.png, b.png and c.png, "
            "images/A-B-C/ with three pictures each, or Lottie animations (.json)."
        ) from error
