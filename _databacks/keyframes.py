"""Keyframes of one or more cuts as triplets: each keyframe but the ends is the truth between its neighbours.

    FOLDER/
        key_1.png  key_2.png  key_3.png  …  key_10.png      of one cut and one size, in the order of their numbers

    FOLDER/
        cut_1/  key_1.png  …                                or a folder for each cut, at any depth
        cut_2/  key_1.png  …

A triplet has the name of its middle frame, after that of its folder if there are several.
"""

from pathlib import Path

import torch

from _databacks.triplet import Source, Triplet, read_frame
from _util import files
from _util.counts import counted
from _util.errors import InputError

LPIPS_SMALLEST_SIDE = 31  # of LPIPS


class Keyframes(Source):
    """The triplets of a folder of keyframes, or of the folders of keyframes in a folder.

    Raises:
        InputError: as `keyframes`, of each cut.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        cuts = [keyframes(folder) for folder in cuts_of(self.path)]
        self.triplets = [keys[i : i + 3] for keys in cuts for i in range(len(keys) - 2)]
        self._neighbours = [
            (keys[i - 2] if i >= 2 else None, keys[i + 4] if i + 4 < len(keys) else None)
            for keys in cuts
            for i in range(len(keys) - 2)
        ]
        self.names = [middle.relative_to(self.path).as_posix() for _, middle, _ in self.triplets]

    def __getitem__(self, index: int) -> Triplet:
        return Triplet(self.names[index], torch.stack([read_frame(path) for path in self.pictures(index)]))

    def pictures(self, index: int) -> list[Path]:
        return self.triplets[index]

    def neighbours(self, index: int) -> tuple[Path | None, Path | None]:
        return self._neighbours[index]


def cuts_of(folder: Path) -> list[Path]:
    """The folder itself if it holds pictures, else the outermost folders in it that do, in natural order."""
    if not folder.is_dir() or files.pictures(folder):
        return [folder]
    inside = {path for path, names in files.walk(folder) if any(map(files.is_picture, names))}
    outermost = (path for path in inside if inside.isdisjoint(path.parents))
    return sorted(outermost, key=lambda path: files.order(str(path))) or [folder]


def keyframes(folder: Path) -> list[Path]:
    """The pictures (`files.PICTURE_FORMATS`) of a folder in natural order, 2 before 10.

    Raises:
        InputError: no such folder, fewer than three images, one that cannot be read or is too small, or two sizes.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; a folder of keyframes is needed.")
    paths = [path for path, _ in files.numbered(folder) if not path.is_dir()]
    if len(paths) < 3:
        raise InputError(f"{folder} holds {counted(len(paths), 'image')}; a triplet of keyframes needs 3 or more.")
    sizes = [tuple(read_frame(path).shape[:0:-1]) for path in paths]
    for path, size in zip(paths, sizes, strict=True):
        if min(size) < LPIPS_SMALLEST_SIDE:
            raise InputError(f"{path} is {size[0]}×{size[1]} pixels; each side needs at least {LPIPS_SMALLEST_SIDE}.")
        if size != sizes[0]:
            raise InputError(
                f"{path} is {size[0]}×{size[1]} pixels and {paths[0].name} {sizes[0][0]}×{sizes[0][1]}; "
                "bring all keyframes to one size."
            )
    return paths
