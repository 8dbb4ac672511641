"""Depth order of pieces: a piece is in front of those that it covers in either frame.

Of groups of joined pieces that pass each other between the frames, the one in front is the one of which a piece covers
one of the other. If neither does, it is the one that reaches lower, as figures on the same floor do that are nearer.
"""

import itertools

import numpy as np
from scipy.sparse import coo_array

from _util.compiled import njit
from _util.pieces.affine import applied, inverted, landing
from _util.pieces.joints import Chains
from _util.pieces.ownership import GROUND

_MOST_LAYERS = 3
_SAMPLED = 4  # pixels for each one that is looked at
_COVERED = 12  # pixels at 540×960 of net overlap that count as evidence
_STEP = 4  # pixels in either direction for each one that is looked at between the frames


def find_layers(owners: tuple, bends: tuple, chains: Chains, scale: float) -> np.ndarray:
    """Layers (k,) float32, larger for pieces in front."""
    matrices, count = chains.matrices, len(chains.matrices)
    covers = np.zeros(0, np.int64)
    for i, motions in enumerate((matrices, inverted(matrices))):
        covers = np.concatenate([covers, _covers(owners[i], owners[1 - i], bends[i], motions, i, count)])
    keys, times = np.unique(covers, return_counts=True)
    matrix = coo_array((_SAMPLED * times.astype(float), (keys // count, keys % count)), (count, count)).tocsr()
    surplus = (matrix - matrix.T).tocoo()
    above = surplus.data > max(2.0, _COVERED * scale**2)
    front, behind = surplus.row[above], surplus.col[above]
    passing = _passing(owners[0], chains, front, behind, scale)
    front, behind = (np.concatenate([of, more]) for of, more in zip((front, behind), passing, strict=True))
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


def _passing(
    owners: np.ndarray, chains: Chains, front: np.ndarray, behind: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pieces in front, and those behind them, (m,), of groups that overlap half-way and in neither frame."""
    groups = chains.roots()
    groups[GROUND] = -1
    middle, lowest = _half_way(owners, chains, groups)
    found = []
    for one, other in itertools.combinations(middle, 2):
        if (middle[one] & middle[other]).sum() * _STEP**2 <= _COVERED * scale**2:
            continue
        covers = [((groups[front] == a) & (groups[behind] == b)).sum() for a, b in ((one, other), (other, one))]
        evidence = covers[0] - covers[1] or lowest[one] - lowest[other]
        nearer, farther = (one, other) if evidence > 0 else (other, one)
        pieces = np.flatnonzero(groups == nearer), np.flatnonzero(groups == farther)
        found.append(np.stack(np.meshgrid(*pieces)).reshape(2, -1))
    return tuple(np.concatenate(found, 1)) if found else (front[:0], behind[:0])


def _half_way(owners: np.ndarray, chains: Chains, groups: np.ndarray) -> tuple[dict[int, np.ndarray], dict[int, float]]:
    """For each group that moves: where it is at t = ½, (h/step, w/step) bool; and its lowest row then."""
    rows, columns = np.nonzero(owners[::_STEP, ::_STEP] > GROUND)
    starts = np.stack([columns, rows], 1) * _STEP
    own = owners[starts[:, 1], starts[:, 0]]
    ends, groups = applied(chains.at(0.5)[own], starts), groups[own]
    h, w = owners[::_STEP, ::_STEP].shape
    x, y = (ends / _STEP).round().astype(int).T
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    moving = np.unique(groups[np.hypot(*(ends - starts).T) > _STEP])
    middle, lowest = {}, {}
    for group in moving.tolist():
        middle[group] = np.zeros((h, w), bool)
        middle[group][y[inside & (groups == group)], x[inside & (groups == group)]] = True
        lowest[group] = float(ends[groups == group, 1].max())
    return middle, lowest


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
