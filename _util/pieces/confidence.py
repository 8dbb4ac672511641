"""Confidence in the motion of a piece: how well it fits both frames."""

import cv2
import numpy as np

from _util.pieces.affine import inverted
from _util.pieces.motion import Pieces
from _util.pieces.ownership import GROUND


def confidences(pieces: Pieces, chosen: np.ndarray) -> np.ndarray:
    """(k,) in [0, 1]: the share of a moved piece that lies within its match, the lower of both directions.

    Parts that other moving pieces cover in the other frame do not count. 1 for the ground; 0 for pieces that one of the
    frames does not show, and for those not chosen.

    Args:
        chosen: (k,) bool.
    """
    found = np.zeros(len(pieces.layers))
    found[GROUND] = 1
    for k in np.setdiff1d(np.flatnonzero(chosen), GROUND):
        masks = pieces.owners[0] == k, pieces.owners[1] == k
        ways = pieces.chains.matrices[k], inverted(pieces.chains.matrices[k : k + 1])[0]
        found[k] = min(_fit(ways[i], masks[i], masks[1 - i], pieces.owners[1 - i]) for i in range(2))
    return found


def _fit(matrix: np.ndarray, mask: np.ndarray, other: np.ndarray, owners: np.ndarray) -> float:
    h, w = owners.shape
    moved = cv2.warpAffine(mask.astype(np.uint8), matrix, (w, h), flags=cv2.INTER_NEAREST) > 0
    visible = moved & (other | (owners <= GROUND))
    return np.count_nonzero(visible & other) / max(np.count_nonzero(visible), 1)
