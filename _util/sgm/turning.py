"""Pieces that turn, for whoever wants to bring them into line before something else interpolates.

In: how pieces move. Out: those that turn much, each with its motion as a similarity, its masks, and how well they fit.
"""

from typing import NamedTuple

import cv2
import numpy as np

from _util.sgm.motion import GROUND, Pieces


class Turning(NamedTuple):
    """One piece that turns."""

    angle: float  # degrees, from x towards y
    matrix: np.ndarray  # (2, 3), x, y of frame 0 to frame 1: a turn, one scale, a shift
    masks: tuple[np.ndarray, np.ndarray]  # (h, w) bool in either frame, what shows of the piece, its lines included
    confidence: float  # in [0, 1]: of what shows in both frames once moved, how much fits


def turning(pieces: Pieces, least: float = 15.0, confidence: float = 0.8) -> list[Turning]:
    """Pieces that turn by at least so many degrees and fit so well, the largest first.

    What other pieces cover in the other frame counts neither for nor against a fit.
    """
    linear = pieces.chains.matrices[:, :, :2]
    angles = np.degrees(np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1]))
    found = []
    for k in np.flatnonzero(np.abs(angles) >= least).tolist():
        masks = pieces.owners[0] == k, pieces.owners[1] == k
        if k == GROUND or not (masks[0].any() and masks[1].any()):
            continue
        matrix = _similarity(pieces.chains.matrices[k], masks[0])
        fits = _fit(matrix, masks, pieces.owners[1]), _fit(_inverse(matrix), masks[::-1], pieces.owners[0])
        if min(fits) >= confidence:
            found.append(Turning(float(angles[k]), matrix, masks, min(fits)))
    return sorted(found, key=lambda piece: -int(piece.masks[0].sum()))


def _similarity(matrix: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The closest to an affine motion that keeps shapes, and the centre of what shows where it goes."""
    linear = matrix[:, :2]
    cos, sin = (linear[0, 0] + linear[1, 1]) / 2, (linear[1, 0] - linear[0, 1]) / 2
    centre = np.array([axis.mean() for axis in np.nonzero(mask)[::-1]])
    similar = np.array([[cos, -sin], [sin, cos]])
    return np.concatenate([similar, (linear @ centre + matrix[:, 2] - similar @ centre)[:, None]], 1)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    return cv2.invertAffineTransform(matrix)


def _fit(matrix: np.ndarray, masks: tuple[np.ndarray, np.ndarray], owners: np.ndarray) -> float:
    """The share of a piece that lies in its other self, of all of it that lands on that or on what does not move."""
    h, w = owners.shape
    moved = cv2.warpAffine(masks[0].astype(np.uint8), matrix, (w, h), flags=cv2.INTER_NEAREST) > 0
    visible = moved & (masks[1] | (owners <= GROUND))
    return float((visible & masks[1]).sum() / max(visible.sum(), 1))
