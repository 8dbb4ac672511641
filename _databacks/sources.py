"""Opens the source of triplets, of any kind, that the words of a command line name.

A new kind is a class of `Source` in a file of its own, and one entry here, the first.
"""

from __future__ import annotations

import pkgutil
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from _util import files, places
from _util.errors import InputError

if TYPE_CHECKING:  # help texts need no PyTorch
    from _databacks.triplet import Source


TEST, TRAIN = "test", "train"


class SourceKind(NamedTuple):
    """A kind of data."""

    summary: str  # one line for help texts
    source: str  # "module:class", called with the path; imported on use
    recognises: Callable[[Path], bool]  # whether a path is of this kind, if the user does not say
    default: str = ""  # the path, if the user names none
    has_splits: bool = False  # the class takes `split`; all others have `TEST` alone

    def creator(self) -> Callable[..., Source]:
        return pkgutil.resolve_name(self.source)

    def open(self, path: Path, split: str) -> Source:
        if split != TEST and not self.has_splits:
            raise InputError(f"{path} has no split {split!r}; only ATD-12K has splits, of which {TEST} is the default.")
        return self.creator()(path, *([split] if self.has_splits else []))


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() in (".h5", ".hdf5") and not path.is_dir()


def _is_atd12k(path: Path) -> bool:
    splits = ("test_2k_540p", "train_10k", "train_10k_540p")
    return any((path / parent / name).is_dir() for parent in ("raw", "") for name in splits)


def _is_rrld(path: Path) -> bool:
    return (path / "rrld.txt").exists() or any((path / "images").glob("*-*-*/"))


def _is_lottie(path: Path) -> bool:
    return any(map(_is_animation, path.glob("*.json")))


def _is_animation(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return all(re.search(member, content) for member in (rb'"layers"\s*:\s*\[', rb'"fr"\s*:'))


def _is_clipart(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
    return "index.json" in names and any(name.startswith("layers/") for name in names)


def _holds_triplets(path: Path) -> bool:
    return any(sum(map(files.is_picture, names)) == 3 for folder, names in files.walk(path) if folder != path)


def _is_flat(path: Path) -> bool:
    return path.is_dir() and len(files.pictures(path)) >= 3


ATD12K = str(places.data("atd12k"))
CLIPART = str(places.cache("clipart") / "atlas.zip")
KINDS: dict[str, SourceKind] = {  # the first that recognises a path opens it; `folders`, the last, takes any folder
    "hdf5": SourceKind("a file that dataset_to_hdf5 has packed", "_databacks.hdf5.reading:HDF5", _is_packed),
    "atd12k": SourceKind("ATD-12K", "_databacks.atd12k:ATD12K", _is_atd12k, ATD12K, has_splits=True),
    "rrld": SourceKind("images/A-B-C/ of the RRLD pipeline", "_databacks.rrldextr:RRLDExtract", _is_rrld),
    "keyframes": SourceKind(
        "drawings of a cut, or of several in folders, each drawn from its neighbours",
        "_databacks.keyframes:Keyframes",
        _is_flat,
    ),
    "lottie": SourceKind("Lottie animations, rendered", "_databacks.lottie:Lottie", _is_lottie),
    "clipart": SourceKind("clip art, composed", "_databacks.clipart.scenes:Clipart", _is_clipart, CLIPART),
    "folders": SourceKind("folders of three pictures", "_databacks.folders:Folders", Path.is_dir),
}


def open_source(words: str | Path | Sequence[str], split: str = TEST) -> Source:
    """The source that words name: a path, a kind of `KINDS` and a path, also as KIND:PATH, or a kind that has a default
    path.

    Args:
        split: "test" or "train", of data that has splits.

    Raises:
        InputError: unknown words, a folder or file that does not exist or holds no such data, or a split that it does
            not have.
    """
    kind, path = find_kind(words)
    if kind is not None:
        return KINDS[kind].open(path, split)
    raise InputError(f"There is no folder {path}; triplets are read from a folder, or from a file packed as .h5.")


def find_kind(words: str | Path | Sequence[str]) -> tuple[str | None, Path]:
    """The kind that words name or that recognises their path, None if there is nothing there, and the path.

    Raises:
        InputError: unknown words, or a folder of pictures has triplets in it.
    """
    first, *rest = [str(words)] if isinstance(words, str | Path) else words
    if len(rest) > 1:
        raise InputError(f"DATA is one folder, with its kind before it if need be, not {' '.join([first, *rest])}.")
    if rest:
        if first not in KINDS and Path(first).exists():
            raise InputError(f"{first} and {rest[0]} are two data sets; give one at a time.")
        if first not in KINDS:
            raise InputError(f"There is no kind of data {first!r}; it is {', '.join(KINDS)}.")
        return first, Path(rest[0])
    path = Path(first)
    if not path.exists():
        kind, _, rest = first.partition(":")
        if kind in KINDS and (named := rest or KINDS[kind].default):
            return kind, Path(named)
    kinds = [name for name, kind in KINDS.items() if kind.recognises(path)]
    if kinds and kinds[0] == "keyframes" and _holds_triplets(path):
        raise InputError(
            f"{path} holds pictures and, in folders, triplets; say which is meant: keyframes {path} or folders {path}."
        )
    return next(iter(kinds), None), path


def summaries() -> str:
    """The table as a sentence for help texts: `hdf5: a file …; atd12k: …`."""
    return "; ".join(f"{name}: {kind.summary}" for name, kind in KINDS.items())
