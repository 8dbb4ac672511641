"""A key drawing cut into pieces: segments of one colour with their outlines."""

import math

import cv2
import numpy as np
import torch

from _util import segmentation
from _util.segmentation import lines

_SMALLEST = 40  # pixels of a piece
_LARGEST = 0.12  # of the frame; larger pieces that touch two borders are ground, and larger pieces have no parent
_GROUND = 0.5  # of the frame; larger ones are ground
OUTLINE = 4  # largest thickness of an outline in pixels, at 540 lines


class CutKey:
    """A key (h, w, 3), float32 RGB in [0, 1], its segmentation, and the masks of its pieces.

    Attributes:
        ground: labels of pieces that no hint moves.
    """

    def __init__(self, pixels: np.ndarray):
        image = torch.from_numpy(pixels).permute(2, 0, 1)
        pieces = segmentation.segment(image, smallest=_SMALLEST)
        levels = np.ascontiguousarray((pixels * 255).round().astype(np.uint8))
        self.pixels, self.smooth = pixels, cv2.GaussianBlur(pixels, (0, 0), 1.0)
        self.labels, self.areas, self.on_line = pieces.labels, pieces.areas, lines.find(levels, "japanese")
        self._masks: dict[int, np.ndarray] = {}
        borders = [self.labels[0], self.labels[-1], self.labels[:, 0], self.labels[:, -1]]
        touched = sum(np.bincount(np.unique(border), minlength=len(self.areas)) for border in borders)
        share = self.areas / self.labels.size
        self.ground = np.flatnonzero(((share > _LARGEST) & (touched > 1)) | (share > _GROUND))

    def mask(self, label: int) -> np.ndarray:
        """(h, w) bool: a piece with its outline."""
        if label not in self._masks:
            inner = ((self.labels == label) & ~self.on_line).astype(np.uint8)
            if not inner.any():
                inner = (self.labels == label).astype(np.uint8)
            reach = round(OUTLINE * max(1, min(inner.shape) / 540))
            self._masks[label] = (inner > 0) | ((cv2.dilate(inner, disc(reach)) > 0) & self.on_line)
        return self._masks[label]

    def label_at(self, point: complex, reaches: tuple[float, ...] = (1.5, 4, 8)) -> int | None:
        """The piece at or beside a point; None on ground."""
        (h, w), furthest = self.labels.shape, math.ceil(max(reaches))
        down, across = (
            slice(max(0, math.floor(at) - furthest), max(0, math.ceil(at) + furthest + 1))
            for at in (point.imag, point.real)
        )
        y, x = np.arange(h)[down, None], np.arange(w)[across]
        around = np.hypot(x - point.real, y - point.imag)
        labels, is_line = self.labels[down, across], self.on_line[down, across]
        for reach in reaches:
            found = labels[(around <= reach) & ~is_line]
            if len(found := found[~np.isin(found, self.ground)]):
                return int(np.bincount(found).argmax())
        return None

    def is_small(self, labels: np.ndarray) -> np.ndarray:
        return self.areas[labels] <= _LARGEST * self.labels.size


def disc(radius: int) -> np.ndarray:
    reach = np.arange(-radius, radius + 1)
    return (reach**2 + reach[:, None] ** 2 <= radius**2 + 1).astype(np.uint8)
