"""Matching of pieces between two frames: mutual best matches by similarity, distance and size.

In: the pieces of both frames and their features. Out: pairs. Affinities are computed in blocks, so thousands of pieces
cost time but little memory.

If one piece vanishes and another appears, each may be the other's best match. So pairs are rejected if they differ too
much in size or colour, or if several neighbours of one piece were matched, but none to a neighbour of the other.
"""

from typing import Literal, NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array

from _util import threads
from _util.compiled import njit
from _util.segmentation import Segments
from _util.sgm.colours import borders

Penalty = Literal["released", "paper"]
_BLOCK = 512  # pieces of the first frame at a time
_TILE = 8  # of these, those that a kernel keeps in cache
_NEAR = {"released": 0.14, "paper": 0.15}  # of the diagonal; shorter distances cost nothing
_FARNESS = 0.2  # cost of a distance of one diagonal
_GROWTH, _LARGEST_RATIO = 0.05, 3
_LARGEST_CHANGE = 0.25  # of a channel of a piece's colour
_LARGEST_NEIGHBOUR, _NEIGHBOURS = 0.12, 2  # share of the frame; least number of matched neighbours


class Matching(NamedTuple):
    """Matched pieces."""

    pairs: np.ndarray  # (k, 2) int64, piece of frame 0, piece of frame 1; each piece at most once
    affinities: np.ndarray  # (k,) float32, at most 1
    segments0: Segments
    segments1: Segments


def match(
    segments0: Segments,
    segments1: Segments,
    features0: np.ndarray,
    features1: np.ndarray,
    penalty: Penalty = "released",
) -> Matching:
    """Pairs of pieces that are mutual best matches and credible.

    The affinity of two pieces is Σ min(f0, f1) of their features, which are shifted to be non-negative and normalized
    to sum to 1, minus 0.2 times their distance in diagonals if they are not near, minus a penalty of size: for "paper",
    0.05 times the difference in areas as a share of the image; for "released", 1/20 of their ratio if it exceeds 3.

    Args:
        segments0, segments1: of frames of one size.
        features0, features1: (n, c) and (m, c), of any scale.
    """
    features0, features1 = _distribution(features0), _distribution(features1)
    n, m = len(features0), len(features1)
    best1, best0 = np.empty(n, np.int64), np.zeros(m, np.int64)
    highest1, highest0 = np.empty(n, np.float32), np.full(m, -np.inf, np.float32)
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        affinity = np.empty((block.stop - start, m), np.float32)
        threads.run(_likeness, -(-len(affinity) // _TILE), features0[block], features1, affinity)
        affinity -= _costs(segments0, segments1, block, penalty)
        best1[block] = affinity.argmax(1)
        highest1[block] = affinity.max(1)
        rows = affinity.argmax(0)
        values = np.take_along_axis(affinity, rows[None], 0)[0]
        better = values > highest0
        best0[better], highest0[better] = rows[better] + start, values[better]
    mutual = np.flatnonzero(best0[best1] == np.arange(n))
    found = Matching(np.stack([mutual, best1[mutual]], 1), highest1[mutual], segments0, segments1)
    credible = _are_credible(found)
    return found._replace(pairs=found.pairs[credible], affinities=found.affinities[credible])


def _distribution(features: np.ndarray) -> np.ndarray:
    shifted = features.astype(np.float32) - features.min(1, keepdims=True)
    total = shifted.sum(1, keepdims=True)
    return np.where(total > 0, shifted / np.where(total > 0, total, 1), np.float32(1 / features.shape[1]))


@njit(fastmath={"contract", "nsz", "reassoc", "nnan"})
def _likeness(features0, features1, affinity, start, stop):
    channels = features0.shape[1]
    for tile in range(start, stop):
        for j in range(len(features1)):
            other = features1[j]
            for i in range(tile * _TILE, min((tile + 1) * _TILE, len(features0))):
                one = features0[i]
                total = np.float32(0)
                for c in range(channels):
                    total += one[c] if one[c] < other[c] else other[c]
                affinity[i, j] = total


def _costs(segments0: Segments, segments1: Segments, block: slice, penalty: Penalty) -> np.ndarray:
    h, w = segments0.labels.shape
    apart = segments0.centroids[block, None] - segments1.centroids[None]
    distance = (np.hypot(apart[..., 0], apart[..., 1]) / np.hypot(h, w)).astype(np.float32)
    costs = np.where(distance > _NEAR[penalty], _FARNESS * distance, np.float32(0))
    areas0, areas1 = (areas.astype(np.float32) for areas in (segments0.areas[block, None], segments1.areas[None]))
    if penalty == "paper":
        return costs + np.abs(areas0 - areas1) * np.float32(_GROWTH / (h * w))
    ratio = np.maximum(areas0, areas1) / np.minimum(areas0, areas1)
    return costs + np.where(ratio > _LARGEST_RATIO, ratio / 20, np.float32(0))


def _are_credible(matching: Matching) -> np.ndarray:
    (first, second), segments0, segments1 = matching.pairs.T, matching.segments0, matching.segments1
    change = np.abs(segments0.colours[first] - segments1.colours[second]).max(1)
    areas = np.stack([segments0.areas[first], segments1.areas[second]])
    partners = coo_array(
        (np.ones(len(first), np.float32), (first, second)), (len(segments0.areas), len(segments1.areas))
    )
    # Row i: pieces of frame 1 that match neighbours of the i-th pair's piece in frame 0.
    expected = csr_array((_touching(segments0) @ partners)[first])
    kept = expected.multiply(_touching(segments1)[second])
    torn = (expected.sum(1) >= _NEIGHBOURS) & np.equal(kept.sum(1), 0)
    return (change <= _LARGEST_CHANGE) & (areas.max(0) < _LARGEST_RATIO * areas.min(0)) & ~torn


def _touching(segments: Segments) -> csr_array:
    """(n, n), 1 where two pieces touch, except for large ones, as everything moves over them."""
    touching = borders(segments).astype(bool).astype(np.float32)
    small = segments.areas < _LARGEST_NEIGHBOUR * segments.labels.size
    return csr_array(touching @ diags_array(small.astype(np.float32)))
