"""Keyframes of one cut as triplets: each one but the ends is the truth between its neighbours.

    FOLDER/
        key_1.png  key_2.png  key_3.png  …  key_10.png      of one cut and one size, in the order of their numbers

A triplet has the name of its middle frame.
"""

from pathlib import Path

import torch
from torch import Tensor

from _databacks.triplet import Triplet
from _util import image
from _util.errors import InputError

SMALLEST_SIDE = 31  # of LPIPS


class Keyframes:
    """The triplets of a folder of keyframes.

    Raises:
        InputError: as `keyframes`.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.files = keyframes(self.path)
        self.names = [file.name for file in self.files[1:-1]]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Triplet:
        return Triplet(self.names[index], torch.stack([read(path) for path in self.sources(index)]))

    def sources(self, index: int) -> list[Path]:
        """The files that an item is read from."""
        index = range(len(self))[index]
        return self.files[index : index + 3]


def keyframes(folder: Path) -> list[Path]:
    """The PNG, JPEG, WebP, TIFF and BMP files of a folder in natural order, 2 before 10.

    Raises:
        InputError: no such folder, fewer than three images, one that cannot be read or is too small, or two sizes.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; a folder of keyframes is needed.")
    paths = [path for path in image.pictures(folder) if not path.is_dir()]
    if len(paths) < 3:
        raise InputError(f"{folder} holds {len(paths)} images; a triplet of keyframes needs 3 or more.")
    sizes = [tuple(read(path).shape[:0:-1]) for path in paths]
    for path, size in zip(paths, sizes, strict=True):
        if min(size) < SMALLEST_SIDE:
            raise InputError(f"{path} is {size[0]}×{size[1]} pixels; each side needs at least {SMALLEST_SIDE}.")
        if size != sizes[0]:
            raise InputError(
                f"{path} is {size[0]}×{size[1]} pixels and {paths[0].name} {sizes[0][0]}×{sizes[0][1]}; "
                "bring all keyframes to one size."
            )
    return paths


def read(path: Path) -> Tensor:
    """A picture as (3, h, w) RGB in [0, 1]; what is transparent shows white.

    Raises:
        InputError: it cannot be read.
    """
    colours = image.to_tensor(image.read(path))
    if len(colours) == 4:
        colours = 1 + (colours[:3] - 1) * colours[3:]
    return colours.expand(3, -1, -1)
