"""Merging of fills into pieces: small ones by colour, and those separated only by a narrow passage.

In: labels of fills between lines, the lines and the frame. Out: a piece for every pixel, including lines.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse.csgraph

from _util.compiled import njit
from _util.segmentation.borders import adjacent, keys_of
from _util.segmentation.fills import grow

_BINS = 32  # of a colour histogram, per channel
_ALIKE = 2  # bins, over the channels, by which colours on both sides of a narrow passage may differ
_OPEN, _CROSSED = 3, 16  # least length of the open border, and largest of the line, between two pieces, in pixels


def join(labels: np.ndarray, count: int, lines: np.ndarray, pixels: np.ndarray, smallest: int) -> np.ndarray:
    """Assign all pixels, including lines, to pieces: merge fills of fewer than `smallest` pixels, then narrow passages.

    Modifies `labels`. Pieces are not numbered consecutively.
    """
    if count == 0:
        return labels
    histograms = np.zeros((count + 1, 3, _BINS), np.int32)
    areas = np.zeros(count + 1, np.int64)
    _count_colours(labels, pixels, areas, histograms)
    histograms = histograms.cumsum(2, dtype=np.float32).reshape(count + 1, -1)
    grow(labels, np.ones(lines.shape, np.uint8))
    changes = (labels[:, 1:] != labels[:, :-1]), (labels[1:] != labels[:-1])
    into = _join_small(labels, areas, histograms, smallest, 2 * sum(map(np.count_nonzero, changes)))
    pieces = into[labels]
    return _join_narrow(pieces, lines, histograms / np.maximum(areas, 1)[:, None])


def _join_narrow(pieces: np.ndarray, lines: np.ndarray, histograms: np.ndarray) -> np.ndarray:
    """Merge pieces separated only by a passage too narrow for the balls.

    They have similar colours and touch where there is no line. So do pieces at a gap in a line, but there the line
    continues between the two pieces, unlike in a passage between two other things.
    """
    count = len(histograms)
    one, other = adjacent(pieces)
    keys, on_line = keys_of(pieces, one, other, count), lines.flat[one] | lines.flat[other]
    touching, opening = np.unique(keys[~on_line], return_counts=True)
    crossings = keys[on_line & np.isin(keys, touching)]
    crossed = np.bincount(np.searchsorted(touching, crossings), minlength=len(touching))
    one, other = touching // count, touching % count
    alike = np.abs(histograms[one] - histograms[other]).sum(1) <= _ALIKE
    joined = alike & (opening >= _OPEN) & (crossed <= _CROSSED)
    links = scipy.sparse.coo_array((np.ones(joined.sum()), (one[joined], other[joined])), (count, count))
    return scipy.sparse.csgraph.connected_components(links, directed=False)[1][pieces]


@njit()
def _count_colours(labels, pixels, areas, histograms):
    h, w = labels.shape
    for y in range(h):
        for x in range(w):
            label = labels[y, x]
            areas[label] += 1
            for channel in range(3):
                histograms[label, channel, pixels[y, x, channel] * _BINS // 256] += 1


class _Borders(NamedTuple):
    """The neighbours of pieces as linked lists, so that those of two pieces are concatenated in constant time."""

    first: np.ndarray  # (n,), entry of each piece's first neighbour; -1 if it has none
    last: np.ndarray  # (n,), of its last
    neighbour: np.ndarray  # (k,), piece of each entry
    following: np.ndarray  # (k,), next entry of the list; -1 at its end


@njit()
def _join_small(labels, areas, histograms, smallest, most):
    """For each label, the one it is merged into, smallest piece first. Modifies `areas` and `histograms`.

    Histograms are cumulative, so that their distance is the earth mover's. `_Borders` has up to `most` entries.
    """
    count = len(areas)
    borders = _borders_of_small(labels, areas, smallest, most)
    parent, seen = np.arange(count), np.full(count, -1)
    waiting, before = np.full(smallest, -1), np.full(count, -1)  # heads and links of lists of small pieces by area
    for piece in range(count - 1, 0, -1):
        if areas[piece] < smallest:
            before[piece], waiting[areas[piece]] = waiting[areas[piece]], piece
    for area in range(smallest):
        while waiting[area] >= 0:
            piece = waiting[area]
            waiting[area] = before[piece]
            if areas[piece] > area:  # others have been merged into it
                if areas[piece] < smallest:
                    before[piece], waiting[areas[piece]] = waiting[areas[piece]], piece
                continue
            best = _most_alike(piece, borders, parent, areas, histograms, seen)
            if best < 0:
                continue
            parent[piece] = best
            areas[best] += areas[piece]
            for i in range(histograms.shape[1]):  # a tenth of the time to compile of whole rows
                histograms[best, i] += histograms[piece, i]
            if borders.first[best] >= 0:
                borders.following[borders.last[best]] = borders.first[piece]
                borders.last[best] = borders.last[piece]
    for piece in range(count):
        parent[piece] = _root(parent, piece)
    return parent


@njit()
def _borders_of_small(labels, areas, smallest, most):
    h, w = labels.shape
    first, last = np.full(len(areas), -1), np.full(len(areas), -1)
    neighbour, following = np.empty(most, np.int64), np.full(most, -1)
    size = 0
    for y in range(h):
        for x in range(w):
            one = labels[y, x]
            for v, u in ((y, x + 1), (y + 1, x)):
                if v == h or u == w or labels[v, u] == one:
                    continue
                for from_, to in ((one, labels[v, u]), (labels[v, u], one)):
                    if areas[from_] >= smallest or (last[from_] >= 0 and neighbour[last[from_]] == to):
                        continue
                    neighbour[size] = to
                    if first[from_] < 0:
                        first[from_] = size
                    else:
                        following[last[from_]] = size
                    last[from_] = size
                    size += 1
    return _Borders(first, last, neighbour, following)


@njit()
def _most_alike(piece, borders, parent, areas, histograms, seen):
    """The neighbour with the nearest histogram, of equally near ones the largest; -1 if there is no neighbour."""
    best, nearest = -1, np.float32(np.inf)
    border = borders.first[piece]
    while border >= 0:
        other = _root(parent, borders.neighbour[border])
        if other != piece and seen[other] != piece:
            seen[other] = piece
            distance = np.float32(0)
            for i in range(histograms.shape[1]):
                distance += abs(histograms[piece, i] / areas[piece] - histograms[other, i] / areas[other])
            if distance < nearest or (distance == nearest and areas[other] > areas[best]):
                best, nearest = other, distance
        border = borders.following[border]
    return best


@njit()
def _root(parent, piece):
    """The piece that a piece has been merged into; shortens the way to it."""
    while parent[piece] != piece:
        parent[piece] = parent[parent[piece]]
        piece = parent[piece]
    return piece
