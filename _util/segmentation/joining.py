"""Joining fills into pieces: small ones by colour, and those that only a narrow parts.

In: labels of fills between lines, the lines and the frame. Out: a piece for every pixel, lines too.
"""

import numpy as np
import scipy.sparse.csgraph

from _util.compiled import njit
from _util.segmentation.fills import grow

_BINS = 32  # of a colour histogram, per channel
_ALIKE = 2  # bins, over the channels, by which colours of one piece may differ on both sides of a narrow
_OPEN, _CROSSED = 3, 16  # pixels at least of a narrow, and at most of a line between the two pieces


def join(labels: np.ndarray, count: int, lines: np.ndarray, pixels: np.ndarray, smallest: int) -> np.ndarray:
    """Pieces of all pixels, lines too: fills of fewer than `smallest` pixels join others, then whatever should be one.

    Takes over `labels`. Pieces are not numbered consecutively.
    """
    if count == 0:
        return labels
    histograms = np.zeros((count + 1, 3, _BINS), np.int32)
    areas = np.zeros(count + 1, np.int64)
    _count_colours(labels, pixels, areas, histograms)
    histograms = histograms.cumsum(2, dtype=np.float32).reshape(count + 1, -1)
    grow(labels, np.ones(lines.shape, np.uint8))
    into = _join_small(labels, areas, histograms, smallest)
    pieces = into[labels]
    return _join_narrow(pieces, lines, histograms / np.maximum(areas, 1)[:, None])


def _join_narrow(pieces: np.ndarray, lines: np.ndarray, histograms: np.ndarray) -> np.ndarray:
    """Pieces that are one but for a narrow where no ball passed.

    They look alike and touch where there is no line. A gap in a line is such a place, too, but there the line goes on
    between the two pieces, which it does not in a narrow between two other things.
    """
    count = len(histograms)
    touching, opening = np.unique(_open_borders(pieces, lines, count), return_counts=True)
    crossed = np.zeros(len(touching), np.int64)
    if len(touching):
        _count_crossings(pieces, lines, count, touching, crossed)
    one, other = touching // count, touching % count
    alike = np.abs(histograms[one] - histograms[other]).sum(1) <= _ALIKE
    joined = alike & (opening >= _OPEN) & (crossed <= _CROSSED)
    links = scipy.sparse.coo_array((np.ones(joined.sum()), (one[joined], other[joined])), (count, count))
    return scipy.sparse.csgraph.connected_components(links, directed=False)[1][pieces]


@njit()
def _open_borders(pieces, lines, count):
    # one · count + other for all pixels side by side that are of two pieces, one < other, and not on a line.
    h, w = pieces.shape
    pairs = np.empty(2 * h * w, np.int64)
    size = 0
    for y in range(h):
        for x in range(w):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < h and u < w and pieces[y, x] != pieces[v, u] and not (lines[y, x] or lines[v, u]):
                    one, other = min(pieces[y, x], pieces[v, u]), max(pieces[y, x], pieces[v, u])
                    pairs[size] = one * count + other
                    size += 1
    return pairs[:size]


@njit()
def _count_crossings(pieces, lines, count, pairs, crossed):
    # How often pixels of each of these pairs of pieces are side by side on a line.
    h, w = pieces.shape
    for y in range(h):
        for x in range(w):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < h and u < w and pieces[y, x] != pieces[v, u] and (lines[y, x] or lines[v, u]):
                    one, other = min(pieces[y, x], pieces[v, u]), max(pieces[y, x], pieces[v, u])
                    pair = one * count + other
                    at = np.searchsorted(pairs, pair)
                    if at < len(pairs) and pairs[at] == pair:
                        crossed[at] += 1


@njit()
def _count_colours(labels, pixels, areas, histograms):
    h, w = labels.shape
    for y in range(h):
        for x in range(w):
            label = labels[y, x]
            areas[label] += 1
            for channel in range(3):
                histograms[label, channel, pixels[y, x, channel] * _BINS // 256] += 1


@njit()
def count_borders(labels):
    """How many pairs of pixels of (h, w), side by side or one below the other, have different labels."""
    h, w = labels.shape
    count = 0
    for y in range(h):
        for x in range(w):
            count += x + 1 < w and labels[y, x] != labels[y, x + 1]
            count += y + 1 < h and labels[y, x] != labels[y + 1, x]
    return count


@njit()
def _join_small(labels, areas, histograms, smallest):
    # For each label the one it ends in. The smallest piece always goes first. Pieces wait in lists by area; borders are
    # lists too, and those of two pieces become one in a step. Histograms are cumulative: their mean difference is what
    # it takes to move one into the other. Changes `areas` and `histograms`.
    count, bins = histograms.shape
    h, w = labels.shape
    borders = count_borders(labels)
    first, last = np.full(count, -1), np.full(count, -1)
    neighbour, following = np.empty(2 * borders, np.int64), np.full(2 * borders, -1)
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

    parent = np.arange(count)
    waiting = np.full(smallest, -1)  # the last that came of each area
    before = np.full(count, -1)
    for piece in range(count - 1, 0, -1):
        if areas[piece] < smallest:
            before[piece] = waiting[areas[piece]]
            waiting[areas[piece]] = piece
    seen = np.full(count, -1)
    for area in range(smallest):
        while waiting[area] >= 0:
            piece = waiting[area]
            waiting[area] = before[piece]
            if areas[piece] > area:  # others have joined it since
                if areas[piece] < smallest:
                    before[piece] = waiting[areas[piece]]
                    waiting[areas[piece]] = piece
                continue
            best, nearest = -1, np.float32(np.inf)
            border = first[piece]
            while border >= 0:
                other = neighbour[border]
                while parent[other] != other:
                    parent[other] = parent[parent[other]]
                    other = parent[other]
                if other != piece and seen[other] != piece:
                    seen[other] = piece
                    distance = np.float32(0)
                    for i in range(bins):
                        distance += abs(histograms[piece, i] / areas[piece] - histograms[other, i] / areas[other])
                    if distance < nearest or (distance == nearest and areas[other] > areas[best]):
                        best, nearest = other, distance
                border = following[border]
            if best < 0:
                continue
            parent[piece] = best
            areas[best] += areas[piece]
            for i in range(bins):
                histograms[best, i] += histograms[piece, i]
            if first[best] >= 0:
                following[last[best]] = first[piece]
                last[best] = last[piece]
    for piece in range(count):
        while parent[parent[piece]] != parent[piece]:
            parent[piece] = parent[parent[piece]]
    return parent
