"""Flat colours: areas of one level between the edges of a picture, as in cartoons and unlike in films."""

import cv2
import numpy as np

from _util import image

_CHANGES, _LIKE, _EDGE = 12, 1, 16  # levels: least change; largest step within a flat area; least step of an edge
_OFF_EDGES = 0.15  # least share of the changing pixels that are on no edge; dithered pictures have less


def areas_of(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Twice (h, w) bool, of a picture (h, w, 3) uint8: the pixels on no edge, and those of them that are flat."""
    steps = _steps(picture)
    inside = cv2.dilate((steps >= _EDGE).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    return inside, inside & (steps <= _LIKE)


def share_of_change(picture0: np.ndarray, picture1: np.ndarray) -> float:
    """The share of flat pixels among those that change between two pictures and are on no edge; 0 if most are on edges.

    Args:
        picture0, picture1: (h, w, 3) uint8.
    """
    changes = image.difference(picture0, picture1) > _CHANGES
    areas = zip(*map(areas_of, (picture0, picture1)), strict=True)
    inside, flat = (sum(np.count_nonzero(changes & mask) for mask in of) for of in areas)
    return flat / inside if inside > _OFF_EDGES * 2 * np.count_nonzero(changes) else 0.0


def _steps(picture: np.ndarray) -> np.ndarray:
    """(h, w) uint8: the difference of each pixel from those to its left and above it, the larger one."""
    steps = np.zeros(picture.shape[:2], np.uint8)
    here, left, above = picture[1:, 1:], picture[1:, :-1], picture[:-1, 1:]
    steps[1:, 1:] = cv2.max(image.difference(here, left), image.difference(here, above))
    return steps
