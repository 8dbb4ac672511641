"""Pairs of pieces that look alike, each with the nearest one.

In: a matching (`_util.sgm`) and the colours of pieces. Out: pairs. Matching compares pieces by what surrounds them and
hardly by distance, so it exchanges pieces that look alike, such as the blades of a fan, or leaves them out.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from _util.segmentation import Segments

_ALIKE, _RATIO = 16, 1.5  # most levels that colours differ by, and ratio of areas
_FAR = 2.5  # distance, in square roots of both areas, from which on pieces are rather left alone
_TRUSTED = 1.0  # a matched pair counts as nearer by this, in the same unit


def pair(pairs: np.ndarray, both: tuple[Segments, Segments], colours: list[np.ndarray], free: list[np.ndarray]):
    """Pairs (m, 2) of pieces; among pieces that look alike, those of the smallest total distance.

    Args:
        pairs: (k, 2), matched pieces.
        colours: of the pieces of either frame, (n, 3), 0 … 255.
        free: (n,) bool, the pieces of either frame that may be paired otherwise.
    """
    candidates = np.concatenate([pairs, _look_alikes(both, colours, free)])
    candidates, firsts = np.unique(candidates, axis=0, return_index=True)
    one, other = candidates.T
    ways = np.hypot(*(both[0].centroids[one] - both[1].centroids[other]).T)
    lone = _FAR * np.sqrt(np.stack([both[0].areas[one], both[1].areas[other]], 1))
    known = firsts < len(pairs)
    ways[known] = np.minimum(ways[known] - _TRUSTED / _FAR * lone[known].sum(1), lone[known].min(1))
    count = len(both[0].areas)
    size = count + len(both[1].areas)
    groups = connected_components(coo_array((np.ones(len(one)), (one, count + other)), (size, size)), directed=False)[1]
    order = np.argsort(groups[one], kind="stable")
    _, starts = np.unique(groups[one][order], return_index=True)
    chosen = [_nearest(candidates[own], ways[own], lone[own]) for own in np.split(order, starts[1:])]
    return np.concatenate(chosen) if len(candidates) else candidates


def _look_alikes(both: tuple[Segments, Segments], colours: list[np.ndarray], free: list[np.ndarray]) -> np.ndarray:
    ones, others = (np.flatnonzero(may) for may in free)
    far = np.abs(colours[0][ones, None] - colours[1][others]).max(2, initial=0)
    areas = both[0].areas[ones, None], both[1].areas[others]
    alike = (far <= _ALIKE) & (np.maximum(*areas) <= _RATIO * np.minimum(*areas))
    one, other = np.nonzero(alike)
    return np.stack([ones[one], others[other]], 1)


def _nearest(candidates: np.ndarray, ways: np.ndarray, lone: np.ndarray) -> np.ndarray:
    """Some of the candidates (m, 2) that share no piece, of the smallest sum of `ways` (m,) and of the costs `lone`
    (m, 2) of pieces that are left alone."""
    (ones, first, one), (others, second, other) = (
        np.unique(column, return_index=True, return_inverse=True) for column in candidates.T
    )
    n, m = len(ones), len(others)
    costs = np.full((n + m, n + m), np.inf)
    costs[one, other] = ways
    costs[np.arange(n), m + np.arange(n)] = lone[first, 0]
    costs[n + np.arange(m), np.arange(m)] = lone[second, 1]
    costs[n:, m:] = 0
    rows, columns = linear_sum_assignment(costs)
    paired = (rows < n) & (columns < m)
    return np.stack([ones[rows[paired]], others[columns[paired]]], 1)
