"""Three frames of an animation, of which the middle one is the ground truth of training and evaluation.

`Source` is the base class of all kinds of data; `sources.open_source` opens them.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from _util import files, image, runs
from _util.counts import counted
from _util.errors import InputError


class Triplet(NamedTuple):
    """Frames at times 0, `time` and 1, and the flow between the first and the last if known."""

    name: str
    frames: Tensor  # (3, 3, h, w) float32 RGB in [0, 1]: frame 0, the truth at `time`, frame 1
    flows: tuple[Tensor, Tensor] | None = None  # flow01, flow10, (2, h, w), x then y, pixels
    time: float = 0.5


class Annotation(NamedTuple):
    """The annotation of a triplet of ATD-12K's test set, by AnimeInterp's authors."""

    level: str  # "easy", "medium" or "hard"
    roi: tuple[int, int, int, int]  # the region of largest motion: left, top, right, bottom, in pixels of the frames
    motion: str
    behaviour: str


class Source(ABC):
    """Triplets by index. A new kind is a class in a file of its own and an entry in `sources.KINDS`.

    Attributes:
        names: of all items, in order, known before anything is decoded.
        path: the folder or file.
        has_flows: whether flows come with the frames of some item.
        reads_flows: whether items are read with their flows; set by the user of a source.
        is_annotated: whether some item has an annotation.
        is_unlimited: whether items are composed from a seed, practically without end, so that few are read twice.
    """

    names: list[str]
    path: Path
    has_flows = False
    reads_flows = True
    is_annotated = False
    is_unlimited = False

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def __getitem__(self, index: int) -> Triplet:
        """Read an item.

        Raises:
            InputError: one of its files is missing or damaged; other items remain usable.
        """

    @property
    def title(self) -> str:
        """The name used in tables and file names."""
        return self.path.resolve().name

    def files(self, index: int) -> list[Path]:
        """The files that an item is read from."""
        return self.pictures(index)

    def require_end(self) -> None:
        """Raise InputError if items are composed without end, for work on all of them."""
        if self.is_unlimited:
            raise InputError(f"Triplets are composed of {self.path} practically without end; give data that has one.")

    def stamp(self, index: int) -> str:
        """Changes with the files of an item, or if it has none of its own, with the data as it is at the first call."""
        try:
            paths = self.files(index)
        except InputError:  # as of a folder that is gone; reading the item says so
            return "unreadable"
        return (runs.stamp_of(sorted(paths)) if paths else self._stamp_of_all)[:16]

    @functools.cached_property
    def _stamp_of_all(self) -> str:
        path = self.path.resolve()
        if not path.is_dir():
            return runs.stamp_of([path])
        inside = (folder / name for folder, names in files.walk(path) for name in names if name[0] != ".")
        return runs.stamp_of(sorted(inside))

    def pictures(self, index: int) -> list[Path]:
        """The three picture files of an item; empty if frames are rendered or come from one file."""
        return []

    def neighbours(self, index: int) -> tuple[Path | None, Path | None]:
        """The picture files one triplet's length before and after an item, where the motion goes on; else None."""
        return None, None

    def subset(self, index: int) -> str:
        """The part of the data that an item belongs to; by default the first folder of its name, if it has several."""
        first, slash, _ = self.names[index].partition("/")
        return first if slash else ""

    def annotation(self, index: int, size: Sequence[int]) -> Annotation:
        """The annotation of an item whose frames are (h, w) = `size`.

        Raises:
            InputError: it is missing or damaged.
        """
        raise InputError(f"{self.path} has no annotation of {self.names[index]}; ATD-12K's are the ones that are read.")

    def shortages(self) -> list[str]:
        """A sentence for each folder that holds fewer items than the data set is known to have."""
        return []

    def for_crops(self, size: tuple[int, int], seed: int) -> "Source":
        """The same data for training, where frames are drawn at any size: not much larger than crops of (h, w)
        = `size`."""
        return self


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in a folder, in natural order, without hidden ones; none if it does not exist."""
    inside = folder.iterdir() if folder.is_dir() else ()
    return sorted((path.name for path in inside if path.is_dir() and path.name[0] != "."), key=files.order)


def read_frames(folder: Path) -> Tensor:
    """The three pictures of a folder, in natural order, as (3, 3, h, w), each as `read_frame` gives it.

    Raises:
        InputError: there are not three, one cannot be read, or their sizes differ.
    """
    paths = files.pictures(folder)
    if len(paths) != 3:
        raise InputError(f"{folder} holds {counted(len(paths), 'picture')}; a triplet is three.")
    frames = [read_frame(path) for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise InputError(
                f"{path} is {_size(frame)}, but {paths[0].name} is {_size(frames[0])}; make both one size."
            )
    return torch.stack(frames)


def read_frame(path: Path) -> Tensor:
    """A picture as (3, h, w) RGB in [0, 1]; transparency is composited over white, the paper of a drawing.

    Raises:
        InputError: it cannot be read.
    """
    picture = image.to_tensor(image.read(path))
    if len(picture) == 4:
        colours, alpha = picture.split([3, 1])
        return 1 - alpha + alpha * colours
    return picture.expand(3, -1, -1)


def _size(frame: Tensor) -> str:
    return f"{frame.shape[2]}×{frame.shape[1]}"
