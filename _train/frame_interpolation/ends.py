"""The two pictures between which frames are drawn."""

import sys
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from _util import exr, formats, png
from _util.errors import InputError
from _util.formats import Picture
from _util.pixels import PixelType

_HOLDS = {".png": "8 or 16 bits", ".tif": "floating values", ".exr": "linear light"}


class Ends(NamedTuple):
    """The pictures at times 0 and 1, and the files that they were read from."""

    paths: tuple[Path, Path]
    pictures: tuple[Picture, Picture]

    @classmethod
    def read(cls, path0: Path, path1: Path) -> Self:
        """Read two image files.

        Raises:
            InputError: one cannot be read.
        """
        return cls((path0, path1), (formats.read(path0), formats.read(path1)))

    def frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Both as arrays of the same channels and type, for drawing; linear light is mapped to display values.

        Raises:
            InputError: they are of different file types.
        """
        first, last = self.pictures
        if first.suffix != last.suffix:
            held = " and ".join(
                f"{path} holds {_HOLDS[end.suffix]}" for path, end in zip(self.paths, self.pictures, strict=True)
            )
            raise InputError(f"{held}; bring them to one kind.")
        frames = [exr.to_display(end.pixels) if end.header is not None else end.pixels for end in self.pictures]
        frame0, frame1 = map(PixelType.common(map(PixelType.of, frames)).convert, frames)
        return frame0, frame1

    def picture(self, frame: np.ndarray) -> Picture:
        """A frame drawn between `frames()`, as a picture of the file type and with the metadata of the first."""
        first = self.pictures[0]
        if first.header is not None:
            frame = exr.from_display(frame, np.promote_types(*(end.pixels.dtype for end in self.pictures)))
        return Picture(frame, first.suffix, first.tags, first.header)

    def alike(self) -> tuple[Picture, Picture]:
        """Both as pictures of the pixel type that holds both without loss."""
        pixel_type = PixelType.common(end.type for end in self.pictures)
        first, last = (end.converted(pixel_type) for end in self.pictures)
        return first, last

    def warn_other_profiles(self) -> None:
        """Print a warning if the colour profiles differ."""
        first, last = self.pictures
        if png.shown_profile(first.tags) != png.shown_profile(last.tags):
            path0, path1 = self.paths
            print(
                f"{path1} has another colour profile than {path0}; frames between use that of {path0}.", file=sys.stderr
            )
