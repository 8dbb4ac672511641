"""Pairs of pieces that look alike, each with a near one.

In: a matching (`_util.sgm`) and the colours of pieces. Out: pairs. Matching compares pieces by what surrounds them and
hardly by distance, so it exchanges pieces that look alike, such as the blades of a fan, or leaves them out.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from _util.segmentation import Segments

_ALIKE, _RATIO = 16, 1.5  # most levels that colours differ by, and ratio of areas
_FAR = 2.5  # distance, in square roots of both areas, from which on pieces are rather left alone
_TRUSTED = 0.25  # a matched pair counts as nearer by this, in the same unit
_BLOCK = 512  # pieces of the first frame at a time


def pair_nearest(
    pairs: np.ndarray, both: tuple[Segments, Segments], colours: list[np.ndarray], free: list[np.ndarray]
) -> np.ndarray:
    """Pairs (m, 2) of pieces: of those that look alike, those whose distances have the smallest sum.

    Args:
        pairs: (k, 2), matched pieces.
        colours: of the pieces of either frame, (n, 3), 0 … 255.
        free: (n,) bool, the pieces of either frame that may be paired otherwise.
    """
    ones = np.flatnonzero(free[0])
    others = [_alike(ones[k : k + _BLOCK], both, colours, free[1]) for k in range(0, len(ones), _BLOCK)]
    candidates, firsts = np.unique(np.concatenate([pairs, *others]), axis=0, return_index=True)
    known = firsts < len(pairs)
    ways, alone = _distances(candidates, both), _FAR * _sizes(candidates, both)
    ways[known] = np.minimum(ways[known] - _TRUSTED * _sizes(candidates[known], both).sum(1), alone[known].min(1))
    return candidates[_cheapest(candidates, ways, alone)] if len(candidates) else candidates


def _alike(
    ones: np.ndarray, both: tuple[Segments, Segments], colours: list[np.ndarray], free: np.ndarray
) -> np.ndarray:
    """Pairs (m, 2) of some pieces with free ones of the other frame that look alike and are not far."""
    others = np.flatnonzero(free)
    one, other = np.nonzero(look_alike(ones[:, None], others, both, colours))
    found = np.stack([ones[one], others[other]], 1)
    return found[_distances(found, both) < _FAR * _sizes(found, both).sum(1)]


def look_alike(
    one: np.ndarray, other: np.ndarray, both: tuple[Segments, Segments], colours: list[np.ndarray]
) -> np.ndarray:
    """Whether pieces of frame 0 and of frame 1 are alike in colour and area, for two arrays that broadcast."""
    areas = both[0].areas[one], both[1].areas[other]
    apart = np.abs(colours[0][one] - colours[1][other]).max(-1, initial=0)
    return (apart <= _ALIKE) & (np.maximum(*areas) <= _RATIO * np.minimum(*areas))


def _distances(pairs: np.ndarray, both: tuple[Segments, Segments]) -> np.ndarray:
    return np.hypot(*(both[0].centroids[pairs[:, 0]] - both[1].centroids[pairs[:, 1]]).T)


def _sizes(pairs: np.ndarray, both: tuple[Segments, Segments]) -> np.ndarray:
    """(k, 2), square roots of areas."""
    return np.sqrt(np.stack([of.areas[pairs[:, i]] for i, of in enumerate(both)], 1))


def _cheapest(candidates: np.ndarray, ways: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """Which (m,) of the candidates (m, 2) to take so that they share no piece and the sum of their `ways` (m,), and of
    the costs `alone` (m, 2) of the pieces that are left, is smallest.

    Each piece has a stand-in in the other frame, to be paired with if it is left alone. Stand-ins of the pieces of a
    candidate may be paired with each other, at no cost.
    """
    (first, one), (second, other) = (
        np.unique(column, return_index=True, return_inverse=True)[1:] for column in candidates.T
    )
    n, m = len(first), len(second)
    rows = np.concatenate([one, np.arange(n), n + np.arange(m), n + other])
    columns = np.concatenate([other, m + np.arange(n), np.arange(m), m + one])
    costs = np.concatenate([ways, alone[first, 0], alone[second, 1], np.zeros(len(ways))])
    costs += 1 - costs.min()  # the same for all, as SciPy takes 0 for no edge
    found = min_weight_full_bipartite_matching(coo_array((costs, (rows, columns)), (n + m, n + m)).tocsr())[1]
    return found[one] == other
