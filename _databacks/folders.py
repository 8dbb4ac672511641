"""Triplets in folders: any folder, at any depth, that holds exactly three pictures. Links are followed.

FOLDER/
    shot_1/  a.png  b.png  c.png            b is the truth
    cut/shot_2/  frame1.jpg  frame2.jpg  frame3.jpg
"""

from pathlib import Path

from _databacks.triplet import Source, Triplet, read_frames
from _util.errors import InputError
from _util.files import is_picture, order, pictures, walk


class Folders(Source):
    """The triplets under a folder, in natural order, named by their relative paths.

    A folder with any other number of pictures is also an item, but reading it raises, so that the error is reported.

    Raises:
        InputError: no folder holds three pictures.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        counts = {folder: count for folder, count in _count_pictures(self.path).items() if count}
        if 3 not in counts.values():
            raise InputError(
                f"{path} holds no triplets; they are NAME/a.png, b.png and c.png, "
                "images/A-B-C/ with three pictures each, or Lottie animations (.json)."
            )
        relative = (folder.relative_to(self.path).as_posix() for folder in counts)
        self.names = sorted(relative, key=order)

    def __getitem__(self, index: int) -> Triplet:
        """The frames of a folder; transparent pictures are composited over white.

        Raises:
            InputError: there are not three pictures, one cannot be read, or their sizes differ.
        """
        return Triplet(self.names[index], read_frames(self.path / self.names[index]))

    def pictures(self, index: int) -> list[Path]:
        return pictures(self.path / self.names[index])


def _count_pictures(path: Path) -> dict[Path, int]:
    return {folder: sum(map(is_picture, names)) for folder, names in walk(path)}
