"""What evaluation runs over: triplets by index, with what is known of each and the files it is read from."""

from collections.abc import Sequence
from typing import NamedTuple

from _databacks.sources import find_kind, open_source
from _databacks.triplet import Triplet
from _util.errors import InputError

_ANNOTATED = ("level", "motion", "behaviour")


class JudgedItem(NamedTuple):
    triplet: Triplet
    metadata: dict[str, str]
    roi: tuple[int, int, int, int] | None  # left, top, right, bottom: where it moves most


class Items:
    """The items of a data set.

    Args:
        data: as `sources.open_source` takes it.
        split: of ATD-12K.
        annotated: whether its annotations are used; if so, an item needs one.

    Attributes:
        source: what the items are read from.
        names: of all items, in order.
        metadata: the names of what is known of an item; it may be empty for some.
        has_flows: whether flows come with the frames.
        shortages: a sentence for each folder that holds less than the data set has.

    Raises:
        InputError: there is no such folder or file, or nothing in it.
    """

    def __init__(self, data: Sequence[str], split: str = "test", annotated: bool = False):
        self.source = open_source(data, split)
        self.annotated, self.names = annotated, self.source.names
        if annotated and not self.source.is_annotated:
            raise InputError(f"{self.source.path} has no annotations; those of ATD-12K are what --annotations reads.")
        self.metadata = ("subset", *(_ANNOTATED if annotated else ()))
        self.has_flows = self.source.has_flows
        # A folder named by the user is what it is; the data set itself has a known size.
        self.shortages = self.source.shortages() if list(data) == ["atd12k"] else []

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> JudgedItem:
        """An item.

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
    """Whether `Items` takes this for keyframes."""
    return find_kind(data)[0] == "keyframes"
