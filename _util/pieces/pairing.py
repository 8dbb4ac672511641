"""Pairs of pieces that look alike, each with a near one, or with the one where a moving neighbour takes it.

In: a matching (`_util.sgm`), the colours of pieces, and what touches what. Out: pairs. Matching compares pieces by what
surrounds them and hardly by distance, so it exchanges pieces that look alike, such as the blades of a fan or the faces
of two figures, or leaves them out. Pieces of a colour that nothing else has are anchors: what touches an anchor in both
frames moves with it, and is an anchor of what it touches in turn.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from _util.pieces.affine import applied
from _util.pieces.outlines import Contacts
from _util.segmentation import Segments
from _util.sgm.motion import scale_of

_ALIKE, _RATIO = 16, 1.5  # most levels that colours differ by, and ratio of areas
_FAR = 2.5  # distance, in square roots of both areas, from which on pieces are rather left alone
_TRUSTED = 0.25  # a matched pair counts as nearer by this, in the same unit
_RIVAL = 0.25  # ratio of areas from which on a piece of the same colour may be the one that is looked for
_SAME_OUTLINE = 0.9  # intersection over union from which on two outlines are the same
_LEFT_BEHIND = 0.3  # share of a piece from which on its colour stays where it was
_BLOCK = 512  # pieces of the first frame at a time
_MOVED = 60.0  # pixels at 540×960 by which an anchor moves at least
_CARRIED = 0.25  # largest distance, in the same unit, of what an anchor carries from where it takes it
_ASTRAY = 0.5  # cost, in the same unit, of a pair whose pieces touch anchors, but not the same one
_SLIPPED = 0.4  # distance, in the same unit, from which on a piece slips along what carries it; less may be chance
_LESS = 0.5  # share of it that is left if they are exchanged, at most


class Paired(NamedTuple):
    """Pairs of pieces of both frames."""

    pairs: np.ndarray  # (m, 2)
    are_anchored: np.ndarray  # (m,) bool, those that are unambiguous by their colour, or by an anchor that they touch


def pair_nearest(
    pairs: np.ndarray,
    both: tuple[Segments, Segments],
    colours: list[np.ndarray],
    free: list[np.ndarray],
    borders: Sequence[Contacts],
    unchanged: np.ndarray,
) -> Paired:
    """Pairs of pieces: of those that look alike, those whose distances have the smallest sum.

    Args:
        pairs: (k, 2), matched pieces.
        colours: of the pieces of either frame, (n, 3), 0 … 255.
        free: (n,) bool, the pieces of either frame that may be paired otherwise.
        borders: the contacts of either frame.
        unchanged: (h, w) bool, pixels that look the same in both frames.
    """
    ones = np.flatnonzero(free[0])
    alike = [_alike(ones[k : k + _BLOCK], both, colours, free[1]) for k in range(0, len(ones), _BLOCK)]
    alike = np.concatenate(alike) if alike else np.zeros((0, 2), np.int64)
    near = alike[_distances(alike, both) < _FAR * _sizes(alike, both).sum(1)]
    anchors = _moving(_only(alike, both, colours, free, unchanged), both)
    while True:
        carried = alike[_away(alike, anchors, both, borders)[0] <= _CARRIED * _sizes(alike, both).sum(1)]
        candidates, firsts = np.unique(np.concatenate([pairs, near, anchors, carried]), axis=0, return_index=True)
        if not len(candidates):
            return Paired(candidates, np.zeros(0, bool))
        sizes = _sizes(candidates, both)
        away, astray = _away(candidates, anchors, both, borders)
        ways, alone = np.minimum(_distances(candidates, both) + _ASTRAY * sizes.sum(1) * astray, away), _FAR * sizes
        is_anchored = _are_in(candidates, anchors)
        ways[is_anchored] = 0
        known = firsts < len(pairs)
        ways[known] = np.minimum(ways[known] - _TRUSTED * sizes[known].sum(1), alone[known].min(1))
        chosen = _cheapest(candidates, ways, alone)
        is_carried = chosen & ~is_anchored & (away <= _CARRIED * sizes.sum(1))
        more = _moving(candidates[is_carried], both)
        if not len(more):
            return Paired(candidates[chosen], (is_anchored | is_carried)[chosen])
        anchors = np.concatenate([anchors, more])


def exchange_sides(
    pairs: np.ndarray,
    matrices: np.ndarray,
    both: tuple[Segments, Segments],
    colours: list[np.ndarray],
    touching: np.ndarray,
    places: np.ndarray,
) -> np.ndarray:
    """The pairs (k, 2), with those exchanged that look alike and slip along what carries both, unless they are.

    So a body tells its left arm from its right one, even where each is nearer to where the other was.

    Args:
        matrices: (k, 2, 3), the motions of the pairs.
        touching: (j, 2), pairs that touch in both frames; the larger one carries the other.
        places: (j, 4), the contacts: x, y in frame 0, and in frame 1.
    """
    found, sizes = pairs.copy(), _sizes(pairs, both)[:, 0]
    carried, carriers = np.where(
        (sizes[touching[:, 0]] < sizes[touching[:, 1]])[:, None], touching, touching[:, ::-1]
    ).T
    starts, ends = applied(matrices[carriers], places[:, :2]), places[:, 2:]
    slip = np.hypot(*(starts - ends).T) > _SLIPPED * sizes[carried]
    carried, carriers, starts, ends = carried[slip], carriers[slip], starts[slip], ends[slip]
    away = np.hypot(*(starts[:, None] - ends[None]).transpose(2, 0, 1))
    straight = away.diagonal() + away.diagonal()[:, None]
    alike = look_alike(pairs[carried, 0][:, None], pairs[carried, 1], both, colours)
    may = (carriers[:, None] == carriers) & alike & alike.T & (away + away.T < _LESS * straight)
    ones, others = np.nonzero(np.triu(may, 1))
    for k in np.argsort((away + away.T)[ones, others]):
        exchanged = carried[[ones[k], others[k]]]
        if (found[exchanged] == pairs[exchanged]).all():
            found[exchanged, 1] = pairs[exchanged[::-1], 1]
    return found


def _only(
    alike: np.ndarray,
    both: tuple[Segments, Segments],
    colours: list[np.ndarray],
    free: list[np.ndarray],
    unchanged: np.ndarray,
) -> np.ndarray:
    """Those (n, 2) of all pairs (m, 2) that look alike whose colour no other free piece has, except much smaller ones.

    Pieces that the border of the frame cuts are left out, and those of which something stays: the outline, with another
    colour, as a lamp that is switched off while another is switched on; or the colour, not all of which was segmented.
    """
    for i, segments in enumerate(both):
        alike = alike[(np.bincount(alike[:, i])[alike[:, i]] == 1) & ~_are_cut(segments)[alike[:, i]]]
    is_only = np.full(len(alike), True)
    for i, segments in enumerate(both):
        others = np.flatnonzero(free[i])
        for k, piece in enumerate(alike[:, i].tolist()):
            rivals = others[segments.areas[others] >= _RIVAL * segments.areas[piece]]
            is_only[k] &= (_apart(colours[i][rivals], colours[i][piece]) <= _ALIKE).sum() == 1
    for i, stay in enumerate(_keep_outlines(both)):
        is_only &= ~stay[alike[:, i]]
        stays = [_keeps_its_colour(both[i], both[1 - i], pair[i], pair[1 - i], unchanged) for pair in alike]
        is_only &= ~np.array(stays, bool)
    return alike[is_only]


def _keep_outlines(both: tuple[Segments, Segments]) -> list[np.ndarray]:
    """For each piece of either frame, (n,) bool: whether a piece of the other frame, of any colour, covers the same
    pixels."""
    sizes = [len(segments.areas) for segments in both]
    labels = np.stack([segments.labels.ravel() for segments in both])
    starts = np.append(0, 1 + np.flatnonzero((labels[:, 1:] != labels[:, :-1]).any(0)))  # of runs of equal pairs
    lengths = np.diff(starts, append=labels.shape[1])
    common = coo_array((lengths, labels[:, starts]), sizes).tocsr().tocoo()
    areas = both[0].areas[common.row] + both[1].areas[common.col]
    is_same = common.data > _SAME_OUTLINE * (areas - common.data)
    return [np.bincount(of[is_same], minlength=size) > 0 for of, size in zip(common.coords, sizes, strict=True)]


def _keeps_its_colour(here: Segments, there: Segments, piece: int, match: int, unchanged: np.ndarray) -> bool:
    """Whether a piece leaves its colour behind, on something other than its match."""
    x0, y0, x1, y1 = here.boxes[piece]
    around = slice(y0, y1), slice(x0, x1)
    stays = (here.labels[around] == piece) & unchanged[around] & (there.labels[around] != match)
    return np.count_nonzero(stays) > _LEFT_BEHIND * here.areas[piece]


def _are_cut(segments: Segments) -> np.ndarray:
    """(n,) bool: whether the border of the frame cuts pieces."""
    h, w = segments.labels.shape
    x0, y0, x1, y1 = segments.boxes.T
    return (x0 <= 0) | (y0 <= 0) | (x1 >= w) | (y1 >= h)


def _moving(pairs: np.ndarray, both: tuple[Segments, Segments]) -> np.ndarray:
    return pairs[_distances(pairs, both) >= _MOVED * scale_of(both[0].labels.shape)]


def _are_in(pairs: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(m,) bool: whether pairs (m, 2) are among others (n, 2)."""
    count = 1 + max(pairs.max(initial=0), others.max(initial=0))
    return np.isin(pairs @ (count, 1), others @ (count, 1))


def _away(
    pairs: np.ndarray, anchors: np.ndarray, both: tuple[Segments, Segments], borders: Sequence[Contacts]
) -> tuple[np.ndarray, np.ndarray]:
    """How pairs (m, 2) move with the anchors (n, 2) that they touch.

    Returns:
        (m,): the distance, in pixels, from where an anchor that both pieces touch takes them, the smallest of all
        anchors, or infinity; (m,) bool: whether anchors touch these pieces, but none both of them.
    """
    away, touches = np.full(len(pairs), np.inf), np.zeros(len(pairs), bool)
    shifts = both[1].centroids[pairs[:, 1]] - both[0].centroids[pairs[:, 0]]
    for anchor in anchors.tolist():
        touch0, touch1 = (np.isin(pairs[:, i], borders[i].beside(anchor[i])) for i in range(2))
        touches |= touch0 | touch1
        along = touch0 & touch1
        shift = both[1].centroids[anchor[1]] - both[0].centroids[anchor[0]]
        away[along] = np.minimum(away[along], np.hypot(*(shifts[along] - shift).T))
    return away, touches & np.isinf(away)


def _alike(
    ones: np.ndarray, both: tuple[Segments, Segments], colours: list[np.ndarray], free: np.ndarray
) -> np.ndarray:
    """Pairs (m, 2) of some pieces with free ones of the other frame that look alike."""
    others = np.flatnonzero(free)
    one, other = np.nonzero(look_alike(ones[:, None], others, both, colours))
    return np.stack([ones[one], others[other]], 1)


def look_alike(
    one: np.ndarray, other: np.ndarray, both: tuple[Segments, Segments], colours: list[np.ndarray]
) -> np.ndarray:
    """Whether pieces of frame 0 and of frame 1 are alike in colour and area, for two arrays that broadcast."""
    areas = both[0].areas[one], both[1].areas[other]
    return (_apart(colours[0][one], colours[1][other]) <= _ALIKE) & (np.maximum(*areas) <= _RATIO * np.minimum(*areas))


def _apart(colours: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.abs(colours - others).max(-1, initial=0)


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
    ends = rows.astype(np.int32), columns.astype(np.int32)  # the only type that this takes before SciPy 1.17.1
    found = min_weight_full_bipartite_matching(coo_array((costs, ends), (n + m, n + m)).tocsr())[1]
    return found[one] == other
