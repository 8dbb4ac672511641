"""Detects near-duplicate triplets: openings, endings, recaps, looped animation.

In: thumbnails of the three pictures of each triplet. Out: the triplets to keep, the first of each set of
near-duplicates. Two triplets are near-duplicates if

- they look alike: most cells of their thumbnails have the same colours. A logo or a line of credits may differ; and
- they move alike: where something moves, the pictures differ by much less than they change from one to the next. So
  (a, b, c) and (b, c, d) of one shot are distinct, and so are two poses over the same background.

Both hold for a video that was encoded again. Candidates are found by brute force on a few colours of the middle
picture, as products of matrices: 10⁵ triplets take a few minutes.
"""

import functools
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from _util.errors import InputError
from _util.pixels import as_8_bits, with_channels

CELLS = (36, 64)  # of a thumbnail
_GRID = (6, 8)  # coarse cells by which candidates are found
_LARGEST_DISTANCE = 12.0  # of candidates: root mean square over the colours of a coarse grid, in levels of 255
_SAME_COLOUR = 16.0  # largest difference in levels of 255
_LARGEST_CHANGE = 0.15  # share of cells that may show something else
_NOISE = 2.0  # of the encoder in a cell, in levels of 255
_BLOCK = 128


def thumbnails(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Three pictures, each (h, w) or (h, w, 3) RGB, uint8 or uint16, reduced to (3, 36, 64, 3) uint8."""
    reduced = (cv2.resize(with_channels(one, 3), CELLS[::-1], interpolation=cv2.INTER_AREA) for one in pictures)
    return np.stack([as_8_bits(picture) for picture in reduced])


def disagreement(triplet: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How much triplets differ in motion: 0 for the same motion, 1 for a different one.

    The motion of a cell is the variance of its colour over the three pictures of either triplet. The disagreement is
    the share of motion in cells that differ by as much; cells in between count in part.

    Args:
        triplet: (3, 36, 64, 3) thumbnails.
        others: (n, 3, 36, 64, 3) thumbnails.

    Returns:
        (n,) float32 in [0, 1]; also 1 if the pictures as a whole do not look alike.
    """
    a, b = triplet.astype(np.float32), others.astype(np.float32)
    difference = b - a
    error = np.square(difference).sum((1, 4))
    motion = (_motion(a[None]) + _motion(b)) / 2
    differs = np.minimum(error, motion).sum((1, 2)) / np.maximum(motion.sum((1, 2)), 1e-6)
    changed = (np.abs(difference).max((1, 4)) > _SAME_COLOUR).mean((1, 2))
    return np.where(changed <= _LARGEST_CHANGE, differs, 1).astype(np.float32)


def _motion(drawings: np.ndarray) -> np.ndarray:
    energy = np.square(drawings - drawings.mean(1, keepdims=True)).sum((1, 4))
    return np.maximum(energy - 9 * _NOISE**2, 0)


class Selection:
    """The selected triplets; others are admitted if they are not near-duplicates of these.

    Thumbnails are stored in files, (n, 3, 36, 64, 3) uint8 `.npy` each, and read on demand.

    Args:
        threshold: the largest `disagreement` of two triplets that are near-duplicates; below 0, none are.

    Methods raise InputError for a file that is damaged or missing.
    """

    def __init__(self, threshold: float):
        self.threshold = threshold
        self._sources: list[tuple[Path, int]] = []
        self._colours = np.empty((0, math.prod(_GRID) * 3), np.float32)

    def add(self, file: Path, rows: Sequence[int]) -> None:
        """Select these rows of a file of thumbnails unconditionally."""
        self._append(file, rows, _coarse(_open(file)[list(rows)]))

    def admit(self, file: Path) -> list[int]:
        """Select, in order, the rows of a file of thumbnails that repeat no selected triplet, and return them."""
        admitted = []
        for start in range(0, len(_open(file)), _BLOCK):
            drawings = np.asarray(_open(file)[start : start + _BLOCK])
            colours = _coarse(drawings)
            near_chosen = _near(colours, self._colours)
            near_block = _near(colours, colours)
            fresh: list[int] = []
            for i in range(len(drawings)):
                inside = [j for j in fresh if near_block[i, j]]
                if not self._repeats(drawings[i], np.flatnonzero(near_chosen[i]), drawings[inside]):
                    fresh.append(i)
            rows = [start + i for i in fresh]
            self._append(file, rows, colours[fresh])
            admitted += rows
        return admitted

    def _append(self, file: Path, rows: Sequence[int], colours: np.ndarray) -> None:
        self._sources += [(file, row) for row in rows]
        self._colours = np.concatenate([self._colours, colours])

    def _repeats(self, triplet: np.ndarray, candidates: np.ndarray, inside: np.ndarray) -> bool:
        if (disagreement(triplet, inside) <= self.threshold).any():
            return True
        for start in range(0, len(candidates), _BLOCK):
            sources = [self._sources[k] for k in candidates[start : start + _BLOCK]]
            drawings = np.stack([_open(file)[row] for file, row in sources])
            if (disagreement(triplet, drawings) <= self.threshold).any():
                return True
        return False


@functools.lru_cache(maxsize=64)
def _open(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise damaged(file) from error


def damaged(file: Path) -> InputError:
    """The error for a file of a prepared video that cannot be read."""
    return InputError(f"{file} is damaged or missing; delete {file.parent}, and its video is prepared again.")


def _coarse(drawings: np.ndarray) -> np.ndarray:
    """(n, 3, 36, 64, 3) thumbnails to (n, k) float32: the middle picture's colours on `_GRID`."""
    rows, columns = _GRID
    middle = np.asarray(drawings)[:, 1]
    cells = middle.reshape(-1, rows, middle.shape[1] // rows, columns, middle.shape[2] // columns, 3)
    return cells.mean((2, 4), dtype=np.float32).reshape(len(middle), -1)


def _near(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T
    return squared <= _LARGEST_DISTANCE**2 * a.shape[1]
