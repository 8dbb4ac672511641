"""The items of an evaluation: triplets by index, with their metadata and source files."""

from collections.abc import Sequence
from typing import NamedTuple

from _databacks.sources import find_kind, open_source
from _databacks.triplet import Triplet
from _util.errors import InputError

_ANNOTATED = ("level", "motion", "behaviour")


class JudgedItem(NamedTuple):
    triplet: Triplet
    metadata: dict[str, str]
    roi: tuple[int, int, int, int] | None  # left, top, right, bottom: the region of largest motion


class Items:
    """The items of a data set.

    Args:
        data: as `sources.open_source` takes it.
        split: of ATD-12K.
        annotated: whether annotations of ATD-12K are used; if so, every item must have one.

    Attributes:
        source: what the items are read from.
        names: of all items, in order.
        metadata: the names of the metadata; values may be empty for some items.
        has_flows: whether flows come with the frames.
        neighbours: the files that continue the motion of each item before and after it, by name; None if none has any.
        shortages: a sentence for each folder with fewer items than the data set has.

    Raises:
        InputError: a folder or file does not exist or is empty, or the source has no end.
    """

    def __init__(self, data: Sequence[str], split: str = "test", annotated: bool = False):
        self.source = open_source(data, split)
        self.source.require_end()
        self.annotated, self.names = annotated, self.source.names
        if annotated and not self.source.is_annotated:
            raise InputError(f"{self.source.path} has no annotations; those of ATD-12K are what --annotations reads.")
        self.metadata = ("subset", *(_ANNOTATED if annotated else ()))
        self.has_flows = self.source.has_flows
        found = {name: self.source.neighbours(i) for i, name in enumerate(self.names)}
        self.neighbours = found if any(all(of_item) for of_item in found.values()) else None
        # Only the data set itself has a known size; a folder given by the user may have any.
        self.shortages = self.source.shortages() if list(data) == ["atd12k"] else []

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> JudgedItem:
        """Read an item.

        Raises:
            InputError: one of its files is missing or damaged.
        """
        triplet, metadata, roi = self.source[index], {"subset": self.source.subset(index)}, None
        if self.annotated:
            note = self.source.annotation(index, triplet.frames.shape[2:])
            metadata |= {"level": note.level, "motion": note.motion, "behaviour": note.behaviour}
            roi = note.roi
        return JudgedItem(triplet, metadata, roi)


def is_keyframes(data: Sequence[str]) -> bool:
    """Whether `Items` reads this data as keyframes."""
    return find_kind(data)[0] == "keyframes"
