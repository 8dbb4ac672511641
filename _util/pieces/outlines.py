"""Outlines of pieces, and contacts between pieces.

In: label maps. Out: for each piece, a sample of its pixels beside other pieces; for each pair of touching pieces, the
centre of their border.
"""

from typing import NamedTuple

import numpy as np

from _util.segmentation import Segments
from _util.segmentation.borders import adjacent, keys_of

OCCLUDER_RATIO = 0.25  # ratio of areas from which on a piece may hide parts of another
SOME = 32  # leading points of each outline that serve as its coarse sample
_MOST = 240  # points kept per outline, at most
_MOST_INSIDE, _STEP = 64, 2  # pixels kept per piece, at most; step of rows and columns


class Outlines(NamedTuple):
    """Outline points of n pieces; those of piece i are `points[:, starts[i] : starts[i + 1]]`, in random order."""

    points: np.ndarray  # (2, k) float32, x, y; in rows, as Numba compiles each order of memory on its own
    starts: np.ndarray  # (n + 1,) int64


def outlines(segments: Segments, can_occlude: np.ndarray | None = None) -> Outlines:
    """The outlines of all pieces; the border of the frame does not count as an outline.

    Args:
        can_occlude: (n,) bool, pieces that may hide others; outlines beside those of them that are not much smaller
            are left out.
    """
    labels, count = segments.labels, len(segments.areas)
    beside, ends = np.zeros(labels.shape, bool), adjacent(labels)
    beside.flat[np.concatenate(ends)] = True
    if can_occlude is not None:
        for here, there in (ends, ends[::-1]):
            own, other = labels.flat[here], labels.flat[there]
            beside.flat[here[can_occlude[other] & (segments.areas[other] > OCCLUDER_RATIO * segments.areas[own])]] = (
                False
            )
    y, x = np.nonzero(beside)
    return _sample(x, y, labels[y, x], count, _MOST)


def insides(segments: Segments) -> Outlines:
    """Pixels of each piece, instead of its outline."""
    some = segments.labels[::_STEP, ::_STEP]
    y, x = np.indices(some.shape).reshape(2, -1)
    return _sample(_STEP * x, _STEP * y, some.ravel(), len(segments.areas), _MOST_INSIDE)


def _sample(x: np.ndarray, y: np.ndarray, pieces: np.ndarray, count: int, most: int) -> Outlines:
    """At most so many of the points of each piece, in random order, so that the first of them are a fair sample."""
    order = np.random.default_rng(0).permutation(len(pieces))
    order = order[np.argsort(pieces[order].astype(np.min_scalar_type(count)), kind="stable")]  # faster for small types
    lengths = np.bincount(pieces, minlength=count)
    rank = np.arange(len(pieces)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    order = order[rank < most]
    starts = np.concatenate([[0], np.cumsum(np.minimum(lengths, most))])
    points = np.stack([x[order], y[order]]).astype(np.float32)
    return Outlines(points, starts)


class Contacts(NamedTuple):
    """Pairs of touching pieces, sorted by key."""

    keys: np.ndarray  # (k,) int64, one · n + other, one < other
    centres: np.ndarray  # (k, 2) float64, x, y
    shares: np.ndarray  # (k, 2) of the outlines of `one` and `other`
    pieces: int  # n

    def find(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Indices (m,) of pairs (m,) in this list, -1 where they do not touch."""
        wanted = np.minimum(one, other) * self.pieces + np.maximum(one, other)
        if not len(self.keys):
            return np.full(len(wanted), -1)
        places = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        return np.where(self.keys[places] == wanted, places, -1)

    def beside(self, piece: int) -> np.ndarray:
        """The pieces (m,) that touch a piece."""
        one, other = self.keys // self.pieces, self.keys % self.pieces
        return np.concatenate([other[one == piece], one[other == piece]])


def contacts(segments: Segments) -> Contacts:
    """The contacts between the pieces of a frame."""
    labels, count = segments.labels, len(segments.areas)
    ends = adjacent(labels)
    found, inverse, lengths = np.unique(keys_of(labels, *ends, count), return_inverse=True, return_counts=True)
    (y0, x0), (y1, x1) = (np.unravel_index(end, labels.shape) for end in ends)
    sums = np.stack([np.bincount(inverse, places, len(found)) for places in ((x0 + x1) / 2, (y0 + y1) / 2)], 1)
    both = np.stack([found // count, found % count], 1)
    outlines = np.bincount(both.ravel(), np.repeat(lengths, 2), count)
    return Contacts(found, sums / lengths[:, None], lengths[:, None] / outlines[both], count)
