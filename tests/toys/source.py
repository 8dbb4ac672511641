"""A source of triplets: a file that holds, on each line, a name and the grey level of its middle frame."""

from pathlib import Path

import torch

from _databacks.triplet import Source, Triplet


class Greys(Source):
    def __init__(self, path: Path):
        self.path = Path(path)
        lines = [line.split() for line in self.path.read_text().splitlines()]
        self.names = [name for name, _ in lines]
        self._levels = [float(level) for _, level in lines]

    def __getitem__(self, index: int) -> Triplet:
        levels = torch.tensor([0, self._levels[index], 1])
        return Triplet(self.names[index], levels[:, None, None, None].expand(3, 3, 40, 40).contiguous())


def recognises(path: Path) -> bool:
    return path.suffix == ".greys"
