"""Clip art in layers, rendered once and kept in one file.

    _data/clipart/atlas.zip
        index.json             of each drawing: its name, kind and size, corners and boxes of its layers, its joints
        layers/00012-0.webp    RGBA, cropped to what it shows, the nearest with the highest number
        limbs/00012.webp       weights of its limbs, one below the other
        grounds/000.webp       RGB, what scenes are set before

`building.build` makes it.
"""

import contextlib
import functools
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from _databacks.clipart.cutting import Box
from _databacks.clipart.limbs import GRID, DrawnLimb
from _databacks.toons.atlas import decode_rgba
from _util import command, places
from _util.errors import InputError

PATH = places.cache("clipart") / "atlas.zip"


class Entry(NamedTuple):
    """The index entry of a drawing."""

    number: int  # in the names of its pictures
    name: str
    kind: str  # "figure", "thing", or "scene", which has a ground of its own
    size: tuple[int, int]  # (w, h) in pixels
    corners: list[tuple[int, int]]  # x, y of each layer
    boxes: list[Box | None]  # left, top, right, bottom, of layers that are parts
    joints: list[tuple[float, float]]  # of limbs, x, y, in lengths of the longer side


class LayeredDrawing(NamedTuple):
    """A drawing in layers, to be animated."""

    entry: Entry
    layers: list[np.ndarray]  # (h, w, 4) uint8 RGBA, colours multiplied by alpha
    limbs: list[DrawnLimb]


class Atlas:
    """The drawings and grounds of a file, read on demand.

    Attributes:
        figures, things, scenes: the drawings of each kind.
        grounds: number of grounds.

    Raises:
        InputError: the file does not exist or is not an atlas.
    """

    def __init__(self, path: Path):
        self.path = path
        if not path.exists():
            raise InputError(
                f"There is no atlas of clip art {path}; `{command.line('_databacks.clipart')} FOLDER_OF_SVGS` makes it."
            )
        with self._opened() as file:
            index = json.loads(file.read("index.json"))
            entries = [Entry(**entry) for entry in index["drawings"]]
            self.grounds = int(index["grounds"])
            self.figures, self.things, self.scenes = (
                [entry for entry in entries if entry.kind == kind] for kind in ("figure", "thing", "scene")
            )
            if not self.figures:
                raise ValueError("no figures")

    def drawing(self, entry: Entry) -> LayeredDrawing:
        """The pictures of a drawing.

        Raises:
            InputError: the file is damaged.
        """
        with self._opened() as file:
            return read_drawing(file, entry)

    def ground(self, number: int) -> np.ndarray:
        """A ground by its number, (h, w, 3) uint8.

        Raises:
            InputError: the file is damaged.
        """
        with self._opened() as file:
            return _decode(file.read(ground_name(number)), "RGB")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            yield _open(self.path, os.getpid())
        except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.path} is not an atlas of clip art, or is damaged; make it again.") from error


@functools.lru_cache(4)
def _open(path: Path, _process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)  # one per process: forked workers must not share the file position


def layer_name(drawing: int, layer: int) -> str:
    return f"layers/{drawing:05}-{layer}.webp"


def limbs_name(drawing: int) -> str:
    return f"limbs/{drawing:05}.webp"


def ground_name(ground: int) -> str:
    return f"grounds/{ground:03}.webp"


def read_drawing(file: zipfile.ZipFile, entry: Entry) -> LayeredDrawing:
    """Read a drawing from an open atlas, which may still be incomplete."""
    layers = [decode_rgba(file.read(layer_name(entry.number, i))) for i in range(len(entry.corners))]
    limbs = []
    if entry.joints:
        weights = _decode(file.read(limbs_name(entry.number)), "L").reshape(-1, GRID, GRID)
        limbs = [DrawnLimb(*limb) for limb in zip(weights, entry.joints, strict=True)]
    return LayeredDrawing(entry, layers, limbs)


def encode(picture: np.ndarray, **options: Any) -> bytes:
    """Encode a uint8 picture as WebP."""
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "webp", **options)
    return encoded.getvalue()


def _decode(content: bytes, mode: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert(mode))
