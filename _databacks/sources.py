"""The source of triplets that a folder or file holds, whatever its kind."""

from pathlib import Path

from _databacks.atd12k import ATD12K
from _databacks.folders import Folders
from _databacks.hdf5.reading import HDF5
from _databacks.keyframes import Keyframes
from _databacks.lottie import Lottie
from _databacks.rrldextr import RRLDExtract
from _databacks.triplet import Source
from _util import files
from _util.errors import InputError

HDF5_SUFFIXES = (".h5", ".hdf5")


def open_source(path: str | Path) -> Source:
    """Triplets of a file that ends in .h5, or of a folder: those of RRLD where there is `images/A-B-C/`, Lottie
    animations where there are `.json` files, else those of folders with three pictures each.

    Raises:
        InputError: there is no such folder or file, or nothing of this kind in it.
    """
    path = Path(path)
    if path.suffix.lower() in HDF5_SUFFIXES and not path.is_dir():
        return HDF5(path)
    if not path.is_dir():
        raise InputError(f"There is no folder {path}; triplets are read from a folder, or from a file packed as .h5.")
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


def pictures(source: Source, index: int) -> list[Path]:
    """The three files that the frames of an item are read from; none where frames are drawn, or come from one file."""
    if isinstance(source, Keyframes):
        return source.sources(index)
    name = source.names[index]
    if isinstance(source, ATD12K):
        return files.pictures(source.frames / name)
    if isinstance(source, RRLDExtract):
        return files.pictures(source.path / "images" / name)
    return files.pictures(source.path / name) if isinstance(source, Folders) else []
