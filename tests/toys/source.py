"""A source of triplets: a folder of NAME.grey, each of which holds the grey level of its middle frame."""

from pathlib import Path

import torch

from _databacks.triplet import Source, Triplet
from _util.errors import InputError


class Greys(Source):
    def __init__(self, path: Path):
        self.path = Path(path)
        self._files = sorted(self.path.glob("*.grey"))
        self.names = [file.stem for file in self._files]

    def __getitem__(self, index: int) -> Triplet:
        try:
            levels = torch.tensor([0, float(self._files[index].read_text()), 1])
        except ValueError as error:
            raise InputError(f"{self._files[index]} holds no level; write one.") from error
        return Triplet(self.names[index], levels[:, None, None, None].expand(3, 3, 40, 40).contiguous())


def recognises(path: Path) -> bool:
    return any(path.glob("*.grey"))
