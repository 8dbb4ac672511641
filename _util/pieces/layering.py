"""Depth order of pieces: a piece is in front of those that it covers in either frame.

Groups of pieces that are joined or move alike may pass each other between the frames. In front is the one of which a
piece covers one of the other, or if none does, the one that reaches lower, as figures on the same floor do that are
nearer.
"""

import numpy as np
from scipy.sparse import coo_array, csr_array, triu
from scipy.sparse.csgraph import connected_components

from _util import paths, threads
from _util.compiled import njit
from _util.pieces.affine import applied, inverted, landing
from _util.pieces.joints import Chains
from _util.pieces.ownership import GROUND

_MOST_LAYERS = 3  # of pieces that do not pass each other
_SAMPLED = 4  # pixels for each one that is looked at
_COVERED = 12  # pixels at 540×960 of net overlap that count as evidence
_ALIKE = 3.0  # pixels at 540×960 by which motions of one group differ at most
_MOSTLY = 0.5  # share of a group that moves from which on it may pass another
_OVERLAP = 0.2  # share of the smaller of two groups above which the other one passes it
_STEP = 4  # pixels in either direction for each one that is looked at between the frames


def find_layers(owners: tuple, bends: tuple, chains: Chains, scale: float) -> np.ndarray:
    """Layers (k,) float32, larger for pieces in front."""
    matrices, count = chains.matrices, len(chains.matrices)
    motions = matrices, inverted(matrices)
    covers = threads.each(_covers, owners, owners[::-1], bends, motions, range(2), (count, count))
    keys, times = np.unique(np.concatenate(covers), return_counts=True)
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
    groups = _groups(owners[0], chains, scale)
    passing = _passing(owners[0], chains, groups, groups[front], groups[behind])
    for _ in range(len(passing)):
        before = layers.copy()
        for nearer, farther in passing:
            missing = layers[groups == farther].max() + 1 - layers[groups == nearer].min()
            layers[groups == nearer] += max(0, missing)
        layers = np.minimum(layers, paths.LAYERS - 1)
        if (layers == before).all():
            break
    return layers


def _passing(
    owners: np.ndarray, chains: Chains, groups: np.ndarray, front: np.ndarray, behind: np.ndarray
) -> list[tuple[int, int]]:
    """Pairs of groups that overlap half-way, the nearer one first.

    Args:
        front, behind: (m,), the groups of pieces in front and of those behind them.
    """
    shown, lowest = _half_way(owners, chains, groups)
    common, areas = triu(shown @ shown.T, 1).tocoo(), shown.sum(1)
    found = []
    for one, other, area in zip(common.row.tolist(), common.col.tolist(), common.data, strict=True):
        if area > _OVERLAP * min(areas[one], areas[other]):
            covers = [((front == a) & (behind == b)).sum() for a, b in ((one, other), (other, one))]
            is_nearer = (covers[0] - covers[1] or lowest[one] - lowest[other]) > 0
            found.append((one, other) if is_nearer else (other, one))
    return found


def _groups(owners: np.ndarray, chains: Chains, scale: float) -> np.ndarray:
    """(k,) int64, the group of each piece; -1 for the ground."""
    roots = chains.roots()
    own = np.setdiff1d(roots, GROUND)
    motions, count = chains.matrices[own], len(roots)
    rows, columns = np.nonzero(owners > GROUND)
    areas = np.bincount(owners[rows, columns], minlength=count).clip(min=1)
    centres = np.stack([np.bincount(owners[rows, columns], of, count) / areas for of in (columns, rows)], 1)[own]
    ends = np.einsum("kij,nj->kni", motions[:, :, :2], centres) + motions[:, None, :, 2]  # by each motion
    apart = np.hypot(*np.moveaxis(ends - np.diagonal(ends).T, 2, 0))
    one, other = np.nonzero(np.maximum(apart, apart.T) <= _ALIKE * scale)
    alike = coo_array((np.ones(len(one)), (own[one], own[other])), (count, count))
    groups = connected_components(alike, directed=False)[1][roots]
    groups[roots == GROUND] = -1
    return groups


def _half_way(owners: np.ndarray, chains: Chains, groups: np.ndarray) -> tuple[csr_array, np.ndarray]:
    """Where groups that mostly move are at t = ½.

    Returns:
        (k, n): 1 in the cells of `_STEP` pixels' width that a group covers, else 0; (k,): the lowest row of each group.
    """
    rows, columns = np.nonzero(owners[::_STEP, ::_STEP] > GROUND)
    starts = np.stack([columns, rows], 1) * _STEP
    own = owners[starts[:, 1], starts[:, 0]]
    ends, own, count = applied(chains.at(0.5)[own], starts), groups[own], len(groups)
    moves = np.hypot(*(ends - starts).T) > _STEP
    share = np.bincount(own, moves, count) / np.bincount(own, minlength=count).clip(min=1)
    lowest = np.full(count, -np.inf)
    np.maximum.at(lowest, own, ends[:, 1])
    h, w = owners[::_STEP, ::_STEP].shape
    x, y = (ends / _STEP).round().astype(int).T
    chosen = (share[own] >= _MOSTLY) & (x >= 0) & (x < w) & (y >= 0) & (y < h)
    shown = coo_array((np.ones(chosen.sum()), (own[chosen], (y * w + x)[chosen])), (count, h * w)).tocsr()
    shown.data[:] = 1
    return shown, lowest


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
