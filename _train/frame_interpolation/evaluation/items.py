"""What evaluation runs over: triplets by index, with what is known of each and the files it is read from."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from _databacks import atd12k
from _databacks.atd12k import ATD12K
from _databacks.hdf5.reading import HDF5
from _databacks.keyframes import Keyframes
from _databacks.rrldextr import RRLDExtract
from _databacks.sources import HDF5_SUFFIXES, open_source
from _databacks.triplet import Source, Triplet
from _util.errors import InputError
from _util.files import pictures

KINDS = ("atd12k", "rrld", "keyframes", "hdf5")
_ANNOTATED = ("level", "motion", "behaviour")


class Item(NamedTuple):
    triplet: Triplet
    facts: dict[str, str]
    roi: tuple[int, int, int, int] | None  # left, top, right, bottom: where it moves most


class Items:
    """The items of a data set.

    Args:
        data: a folder or file of any kind that `_databacks` reads, one of `KINDS` and its folder, or "atd12k" alone.
        split: of ATD-12K.
        annotated: whether its annotations are used; if so, an item needs one.

    Attributes:
        names: of all items, in order.
        facts: the names of what is known of an item; it may be empty for some.
        has_flows: whether flows come with the frames.
        shortages: a sentence for each folder that holds less than the data set has.

    Raises:
        InputError: there is no such folder or file, or nothing in it.
    """

    def __init__(self, data: Sequence[str], split: str = "test", annotated: bool = False):
        kind, path = _kind(data)
        self.source = _open(kind, path, split)
        packed = self.source if isinstance(self.source, HDF5) else None
        place = path.resolve()
        self.title = f"atd12k-{split}" if kind == "atd12k" else (place.stem if packed else place.name)
        self.path, self.annotated = place, annotated
        self.names: list[str] = self.source.names
        self.is_atd12k = isinstance(self.source, ATD12K)
        if annotated and not (self.is_atd12k or (packed and packed.is_annotated)):
            raise InputError(f"{path} has no annotations; those of ATD-12K are what --annotations reads.")
        self.facts = ("subset", *(_ANNOTATED if annotated else ()))
        # What the published protocol starts from must be there; elsewhere flows are welcome.
        self.has_flows = self.is_atd12k or (isinstance(self.source, RRLDExtract) and (path / "flows").is_dir())
        self.has_flows |= bool(packed and packed.has_flows)
        # A folder named by the user is what it is; the data set itself has a known size.
        self.shortages = self.source.shortages() if self.is_atd12k and list(data) == ["atd12k"] else []

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Item:
        """An item.

        Raises:
            InputError: one of its files is missing or damaged.
        """
        triplet, facts, roi = self.source[index], {"subset": self._subset(index)}, None
        if self.annotated:
            note = self.source.annotation(index, triplet.frames.shape[2:])
            facts |= {"level": note.level, "motion": note.motion, "behaviour": note.behaviour}
            roi = note.roi
        return Item(triplet, facts, roi)

    def sources(self, index: int) -> list[Path]:
        """The files that an item is read from."""
        if isinstance(self.source, (ATD12K, Keyframes)):
            return self.source.sources(index)
        if isinstance(self.source, HDF5):
            return [self.path]
        name = self.names[index]
        folders = [self.path / name, self.path / "images" / name]
        return [*(file for folder in folders for file in folder.glob("*")), self.path / "flows" / f"{name}.pt"]

    def _subset(self, index: int) -> str:
        if self.is_atd12k or (isinstance(self.source, HDF5) and self.source.subset(index)):
            return self.source.subset(index)
        first, slash, _ = self.names[index].partition("/")
        return first if slash else ""


def _kind(data: Sequence[str]) -> tuple[str | None, Path]:
    first, *rest = data
    if len(rest) > 1:
        raise InputError(f"--data takes one folder, with its kind before it if need be, not {' '.join(data)}.")
    if rest:
        if first not in KINDS:
            raise InputError(f"There is no kind of data {first!r}; it is {', '.join(KINDS)}.")
        return first, Path(rest[0])
    if first == "atd12k":
        return first, atd12k.FOLDER
    path = Path(first)
    if path.suffix.lower() in HDF5_SUFFIXES and not path.is_dir():
        return "hdf5", path
    if any((path / name).is_dir() for name in ("raw/test_2k_540p", "test_2k_540p")):
        return "atd12k", path
    is_flat = path.is_dir() and any(file.is_file() for file in pictures(path))
    return "keyframes" if is_flat or not path.is_dir() else None, path


def is_keyframes(data: Sequence[str]) -> bool:
    """Whether `Items` takes this for the keyframes of one cut."""
    return _kind(data)[0] == "keyframes"


def _open(kind: str | None, path: Path, split: str) -> Source:
    if kind == "atd12k":
        return ATD12K(path, split)
    if kind == "keyframes":
        return Keyframes(path)
    if kind == "rrld":
        return RRLDExtract(path)
    if kind == "hdf5":
        return HDF5(path)
    return open_source(path)
