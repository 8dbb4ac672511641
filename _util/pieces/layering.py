"""Depth order of pieces: a piece is in front of those that it covers in either frame."""

import numpy as np
from scipy.sparse import coo_array

from _util.compiled import njit
from _util.pieces.affine import inverted, landing
from _util.pieces.ownership import GROUND

_MOST_LAYERS = 3
_SAMPLED = 4  # pixels for each one that is looked at
_COVERED = 12  # pixels at 540×960 of net overlap that count as evidence


def find_layers(owners: tuple, bends: tuple, matrices: np.ndarray, scale: float) -> np.ndarray:
    """Layers (k,) float32, larger for pieces in front, which cover others in either frame."""
    count = len(matrices)
    covers = np.zeros(0, np.int64)
    for i, motions in enumerate((matrices, inverted(matrices))):
        covers = np.concatenate([covers, _covers(owners[i], owners[1 - i], bends[i], motions, i, count)])
    keys, times = np.unique(covers, return_counts=True)
    matrix = coo_array((_SAMPLED * times.astype(float), (keys // count, keys % count)), (count, count)).tocsr()
    surplus = (matrix - matrix.T).tocoo()
    above = surplus.data > max(2.0, _COVERED * scale**2)
    front, behind = surplus.row[above], surplus.col[above]
    layers = np.zeros(count, np.float32)
    layers[1:] = 1
    for _ in range(_MOST_LAYERS):
        lifted = layers.copy()
        np.maximum.at(lifted, front, layers[behind] + 1)
        lifted[GROUND] = 0
        if (lifted == layers).all():
            break
        layers = np.minimum(lifted, _MOST_LAYERS)
    return layers


@njit()
def _covers(owners, others, bends, motions, frame, count):
    """front · count + behind for each sampled pixel of a piece that lands in another one."""
    h, w = owners.shape
    found = np.empty(h * w, np.int64)
    size = 0
    for y in range(0, h, 2):
        for x in range(y // 2 % 2, w, 2):
            owner = owners[y, x]
            if owner < 0:
                continue
            column, row = landing(motions[owner], bends[y, x], x, y, frame)
            if 0 <= row < h and 0 <= column < w:
                other = others[row, column]
                if other >= 0 and other != owner:
                    found[size] = np.int64(other) * count + owner
                    size += 1
    return found[:size]
