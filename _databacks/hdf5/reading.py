"""Triplets from a file that `packing` has made, from any number of threads and processes at once."""

from collections.abc import Sequence
from pathlib import Path

import torch

from _databacks.hdf5 import frames, half, index
from _databacks.triplet import Annotation, Source, Triplet
from _util import command, files
from _util.errors import InputError
from _util.flow import Flows


class HDF5(Source):
    """The triplets of a file, in the order they were packed in.

    It may be copied into other processes by a fork or by pickling: the file is reopened for each item.

    Raises:
        InputError: there is no such file, it was not packed here, or it is damaged outside of its items.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not (files.exists(self.path) and self.path.is_file()):
            raise InputError(f"There is no file {path}; {command.line('_scripts.dataset_to_hdf5')} packs one.")
        self._items = index.read(self.path)
        self.names = [item.name for item in self._items]
        self.has_flows = any(half.ARRAY in item.arrays for item in self._items)
        self.is_annotated = any("annotation" in item.metadata for item in self._items)

    def __getitem__(self, index_: int) -> Triplet:
        """Read the frames and flows of an item and verify its checksums.

        Raises:
            InputError: the item is damaged; the message says which part.
        """
        item, arrays = self._items[index_], {}
        what = "header"
        try:
            with self.path.open("rb", buffering=0) as file:
                index.require_whole(file, item.headers)
                for what, array in item.arrays.items():
                    if self.reads_flows or what not in half.ARRAYS:
                        arrays[what] = index.load(file, array)
        except index.DamageError as error:
            raise InputError(f"{self.path} is damaged in {item.name}, in its {what}; {index.AGAIN}.") from error
        except OSError as error:
            raise InputError(f"{self.path} cannot be read in {item.name} ({error.strerror}).") from error
        flows = Flows(*torch.from_numpy(half.from_arrays(arrays))) if half.ARRAY in arrays else None
        try:
            return Triplet(item.name, frames.from_arrays(arrays), flows, item.time)
        except ValueError as error:
            raise InputError(f"{self.path} holds a picture in {item.name} that cannot be decoded here.") from error

    def damage(self, index_: int) -> str:
        """What is wrong with an item, in a sentence; empty if nothing is."""
        try:
            self[index_]
        except InputError as error:
            return str(error)
        return ""

    @property
    def title(self) -> str:
        return self.path.resolve().stem

    def files(self, index: int) -> list[Path]:
        return [self.path]

    def subset(self, index: int) -> str:
        return self._items[index].metadata.get("subset", "") or super().subset(index)

    def annotation(self, index: int, size: Sequence[int]) -> Annotation:
        """As `ATD12K.annotation`, as it was when the file was packed.

        Raises:
            InputError: there was none.
        """
        item = self._items[index]
        if "annotation" not in item.metadata:
            raise InputError(f"{self.path} was packed without an annotation of {item.name}; pack it again with one.")
        noted = item.metadata["annotation"]
        return Annotation(**noted | {"roi": tuple(noted["roi"])})
