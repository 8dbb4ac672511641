"""Registration of outlines: the motion that takes the outline of a piece to that of its match.

Candidates are a shift, a rigid motion, a similarity and an affine motion. A richer one is used only where it fits the
outlines clearly better. Initial motions come from the centres and principal axes of the pieces, and from the places
where they touch others. Each is refined by iterative closest points; pixels that it maps to other colours add to its
cost. Mirrored motions are rejected. If the identity fits all outline points that cannot be occluded, it is taken. Else
a poor fit is replaced by a rigid motion of these points, if that fits far better.

A motion is a matrix (2, 3) that takes x, y of frame 0 to frame 1.
"""

from typing import NamedTuple

import numpy as np

from _util.compiled import njit
from _util.pieces.affine import moved
from _util.pieces.closest_points import (
    AFFINE,
    RIGID,
    SIMILARITY,
    TRANSLATION,
    Outline,
    cost_of,
    moved_points,
    nearest_square,
    refine,
)
from _util.pieces.ground import LARGE
from _util.pieces.initial_motions import ends_upon_ends, from_places
from _util.pieces.outlines import SOME, Outlines, insides, outlines
from _util.segmentation import Segments

_ROUNDS, _LAST_ROUNDS = np.array([5, 4])
_LEAST = 8  # points of an outline with which more than the shift of the centres is fitted
_KEPT = 3  # initial motions that are refined
_BETTER = np.array(
    [0.8, 0.8, 0.6, 0.6]
)  # a kind must cost less than this times the simpler kind's cost, minus _NOTICED
_NOTICED = 0.01
_CLOSE, _MOST_CLOSE = 0.55, 0.25  # mean distance in pixels at which no richer motion is tried; its largest cost
_SMALLEST, _LARGEST = 0.55, 1.8  # scales along any direction
_BEND = 0.06  # distance at which an outline point counts as missing, as a share of the square root of the area
_ASTRAY = 0.35  # distance within which initial motions find points to pair, as a share of the same
_TURNING, _TOUCHING = 0.2, 0.5  # cost of a turn of 180°, and of contacts that come apart
_PARTED = 0.12  # squared distance at which contacts are apart, as a share of the area
_APPEARANCE, _UNLIKE = 0.5, 24  # cost of colours that all differ, by more levels than this
_STATIC = 0.02  # cost of the unoccluded points up to which a piece is static
_POOR = 0.1  # cost from which on a fit may be replaced by one of the unoccluded points
_BETTER_SHOWN = 0.5  # largest cost of the replacement, relative to the fit's
_LEAST_SHOWN = 10  # points of an outline that cannot be occluded
_ABOUT_AS_WELL = 0.1  # by how much more a motion turned by half may cost
_MOST_JOINTS = 6  # from which initial motions are made


class Shapes(NamedTuple):
    """The n pieces of a frame."""

    outlines: Outlines
    shown: Outlines  # without those beside other pieces that may hide them
    labels: np.ndarray  # (h, w)
    hiding: np.ndarray  # (n,) int64, the areas of pieces that may hide others; 0 for the rest
    centres: np.ndarray  # (n, 2)
    insides: Outlines
    picture: np.ndarray  # (h, w, 3) uint8


class _Cover(NamedTuple):
    """The pieces of a frame that may hide its piece `own`."""

    labels: np.ndarray
    hiding: np.ndarray
    own: int


class _Appearance(NamedTuple):
    """The colours of a piece, and the frame that shows its match."""

    points: tuple[np.ndarray, np.ndarray]  # in the piece
    picture: np.ndarray
    other: np.ndarray  # the other picture
    cover: _Cover  # of the match


class _Priors(NamedTuple):
    """What tells of the motion of a piece apart from outlines."""

    area: float
    joints: np.ndarray  # (j, 4), its contacts, see `Joints`
    appearance: _Appearance


class Joints(NamedTuple):
    """The contacts of pieces with other pieces; those of pair i are `places[firsts[i] : firsts[i + 1]]`."""

    places: np.ndarray  # (j, 4), x, y in frame 0 and in frame 1
    firsts: np.ndarray  # (k + 1,)


def shapes_of(picture: np.ndarray, segments: Segments, can_occlude: np.ndarray | None = None) -> Shapes:
    """The pieces of a frame.

    Args:
        can_occlude: (n,) bool, pieces that may lie in front of others (default: all but large ones).
    """
    if can_occlude is None:
        can_occlude = segments.areas <= LARGE * segments.labels.size
    hiding = np.where(can_occlude, segments.areas, 0).astype(np.int64)
    both = outlines(segments), outlines(segments, can_occlude)
    return Shapes(*both, segments.labels, hiding, segments.centroids, insides(segments), picture)


@njit()
def fit(pairs, shapes0, shapes1, areas, occluder_areas, joints, scale, fits, start, stop):
    """Fit the pairs start … stop - 1; for `threads.run`.

    Args:
        pairs: (k, 2), piece of frame 0, piece of frame 1.
        shapes0, shapes1: the `Shapes` of both frames.
        areas: (k,), the mean of both pieces'.
        occluder_areas: (k,), the area from which on a piece may lie in front of each.
        joints: the `Joints` of the pairs.
        scale: of lengths, 1 at 540×960.
        fits: (k, 8), the result: the matrix by rows, its cost in [0, 1], and that of a rigid one on points that
            cannot be occluded; 1 if it is not rigid or much is hidden.
    """
    for i in range(start, stop):
        own = joints.places[joints.firsts[i] : min(joints.firsts[i + 1], joints.firsts[i] + _MOST_JOINTS)]
        one, other = pairs[i]
        centre0, centre1 = shapes0.centres[one], shapes1.centres[other]
        here, there = _outline(shapes0.outlines, one, centre0), _outline(shapes1.outlines, other, centre1)
        near = _near(areas[i], scale)
        covers = _Cover(shapes0.labels, shapes0.hiding, one), _Cover(shapes1.labels, shapes1.hiding, other)
        appearance = _Appearance(_points(shapes0.insides, one), shapes0.picture, shapes1.picture, covers[1])
        priors = _Priors(areas[i], own, appearance)
        _fit(here, there, priors, scale, near, fits[i])
        here, there = _outline(shapes0.shown, one, centre0), _outline(shapes1.shown, other, centre1)
        _fit_hidden(here, there, covers, occluder_areas[i], priors, near, fits[i])
        motion = fits[i, :6].copy().reshape(2, 3)
        fits[i, 7] = _shown_cost(motion, here, there, covers, occluder_areas[i], near) if _is_rigid(motion) else 1


@njit()
def fit_end_for_end(pairs, shapes0, shapes1, areas, occluder_areas, scale, fits, start, stop):
    """Turn the fits (k, 8) of long pieces by half, in place, where they fit the outlines about as well; for
    `threads.run`. Arguments as for `fit`."""
    for i in range(start, stop):
        one, other = pairs[i]
        here = _outline(shapes0.outlines, one, shapes0.centres[one])
        there = _outline(shapes1.outlines, other, shapes1.centres[other])
        near, wide = _near(areas[i], scale), _ASTRAY * np.sqrt(areas[i])
        x, y = here.points[0].mean(), here.points[1].mean()
        motion = fits[i, :6].copy().reshape(2, 3)
        u, v = moved(motion, x, y)
        motion[:, :2] *= -1
        motion[0, 2], motion[1, 2] = 0, 0
        back_x, back_y = moved(motion, x, y)
        motion[0, 2], motion[1, 2] = u - back_x, v - back_y
        refine(motion, here, there, RIGID, _ROUNDS, wide, near)
        refine(motion, here, there, RIGID, _LAST_ROUNDS, 2 * near, near)
        cost = cost_of(motion, here, there, near)
        if cost < fits[i, 6] + _ABOUT_AS_WELL:
            _write(fits[i], motion, cost)
            here = _outline(shapes0.shown, one, shapes0.centres[one])
            there = _outline(shapes1.shown, other, shapes1.centres[other])
            covers = _Cover(shapes0.labels, shapes0.hiding, one), _Cover(shapes1.labels, shapes1.hiding, other)
            fits[i, 7] = _shown_cost(motion, here, there, covers, occluder_areas[i], near)


@njit()
def _near(area, scale):
    """The distance in pixels at which an outline point of a piece counts as missing."""
    return max(1.5 * scale, _BEND * np.sqrt(area))


@njit()
def _outline(outlines, piece, centre):
    x, y = _points(outlines, piece)
    return Outline((x, y), (x[:SOME], y[:SOME]), centre)


@njit()
def _points(outlines, piece):
    start, stop = outlines.starts[piece], outlines.starts[piece + 1]
    return outlines.points[0, start:stop], outlines.points[1, start:stop]


@njit()
def _fit(here, there, priors, scale, near, found):
    found[:] = 0
    found[0], found[4], found[6] = 1, 1, 1
    if min(len(here.points[0]), len(there.points[0])) < _LEAST:
        found[2], found[5] = there.centre[0] - here.centre[0], there.centre[1] - here.centre[1]
        return
    enough = min((_CLOSE * max(scale, 1.0) / near) ** 2, _MOST_CLOSE)
    # Rest and pure shifts come first: a piece that does not turn should not get a small turn.
    result = np.eye(2, 3)
    full = cost_of(result, here, there, near)
    shifted = np.eye(2, 3)
    shifted[0, 2], shifted[1, 2] = there.centre[0] - here.centre[0], there.centre[1] - here.centre[1]
    if full > enough:
        refine(shifted, here, there, TRANSLATION, _LAST_ROUNDS, 2 * near, near)
        cost = cost_of(shifted, here, there, near)
        if cost < _BETTER[TRANSLATION] * full - _NOTICED:
            result, full = shifted, cost
    if full > enough:
        best = _turned(here, there, priors, near)
        x, y = moved(best, here.centre[0], here.centre[1])
        shifted = np.eye(2, 3)
        shifted[0, 2], shifted[1, 2] = x - here.centre[0], y - here.centre[1]
        refine(shifted, here, there, TRANSLATION, _LAST_ROUNDS, 2 * near, near)
        for kind, candidate in ((TRANSLATION, shifted), (RIGID, best)):
            cost = cost_of(candidate, here, there, near)
            if cost < _BETTER[kind] * full - _NOTICED:
                result, full = candidate, cost
        for kind in (SIMILARITY, AFFINE):
            if full <= enough:
                break
            candidate = best.copy()
            refine(candidate, here, there, kind, _LAST_ROUNDS, 1.5 * near, near)
            cost = cost_of(candidate, here, there, near)
            if _is_credible(candidate) and cost < _BETTER[kind] * full - _NOTICED:
                result, full = candidate, cost
    _write(found, result, full)


@njit()
def _write(found, motion, cost):
    for k in range(6):
        found[k] = motion[k // 3, k % 3]
    found[6] = cost


@njit()
def _fit_hidden(here, there, covers, occluder_areas, priors, near, found):
    """Replace a fit by the identity, or by a rigid motion if that fits far better, on points that cannot be occluded.

    Args:
        here, there: the outlines, where nothing can occlude them.
        covers: the `_Cover` of both frames.
    """
    if min(len(here.points[0]), len(there.points[0])) < 2 * _LEAST_SHOWN:
        return
    rest = np.eye(2, 3)
    cost = _shown_cost(rest, here, there, covers, occluder_areas, near)
    if cost < _STATIC:
        _write(found, rest, cost)
        return
    if found[6] < _POOR:
        return
    wide = _ASTRAY * np.sqrt(priors.area)
    lowest = _BETTER_SHOWN * found[6]
    trials = ends_upon_ends(here, there)
    turned = _turned(here, there, priors, near)
    for k in range(len(trials) + 1):
        trial = trials[k] if k < len(trials) else turned
        refine(trial, here, there, RIGID, _ROUNDS, wide, near)
        cost = _shown_cost(trial, here, there, covers, occluder_areas, near)
        apart = _turning(trial) + _APPEARANCE * _unlike(trial, priors.appearance)
        if cost + apart < lowest:
            lowest = cost + apart
            _write(found, trial, cost)


@njit()
def _shown_cost(motion, here, there, covers, occluder_areas, far):
    """`cost_of` of a rigid motion, without points that land where they may be hidden; 1 if few are left."""
    limit, total = far * far, 0.0
    carried = moved_points(motion, here.points)
    for way in range(2):
        xs, ys = here.sample if way == 0 else there.sample
        count, cost = 0, 0.0
        for k in range(len(xs)):
            if way == 0:
                u, v = moved(motion, xs[k], ys[k])
                hidden, distance = _is_hidden(covers[1], u, v, occluder_areas), nearest_square(u, v, there.points)
            else:
                x, y = xs[k] - motion[0, 2], ys[k] - motion[1, 2]
                u, v = motion[0, 0] * x + motion[1, 0] * y, motion[0, 1] * x + motion[1, 1] * y
                hidden, distance = _is_hidden(covers[0], u, v, occluder_areas), nearest_square(xs[k], ys[k], carried)
            if not hidden:
                count, cost = count + 1, cost + min(distance, limit) / limit
        if count < _LEAST_SHOWN:
            return 1.0
        total += cost / count
    return total / 2


@njit()
def _is_hidden(cover, x, y, occluder_areas):
    """Whether a point lies outside the frame, or in or beside a piece that may hide it."""
    h, w = cover.labels.shape
    column, row = round(x), round(y)
    if not (0 <= row < h and 0 <= column < w):
        return True
    if cover.labels[row, column] == cover.own:
        return False
    for v in range(max(row - 1, 0), min(row + 2, h)):
        for u in range(max(column - 1, 0), min(column + 2, w)):
            if cover.labels[v, u] != cover.own and cover.hiding[cover.labels[v, u]] > occluder_areas:
                return True
    return False


@njit()
def _turned(here, there, priors, near):
    """The best rigid motion, from the most promising initial ones, refined first on few points, then on all."""
    wide = max(4 * near, _ASTRAY * np.sqrt(priors.area))
    initial = from_places(here, there, priors.joints)
    few, few_there = Outline(here.sample, here.sample, here.centre), Outline(there.sample, there.sample, there.centre)
    costs = np.empty(len(initial))
    for k in range(len(initial)):
        costs[k] = cost_of(initial[k], few, few_there, wide) + _prior(initial[k], priors)
    best, lowest = initial[0].copy(), np.inf
    for _ in range(min(_KEPT, len(initial))):
        k = np.argmin(costs)
        costs[k] = np.inf
        trial = initial[k].copy()
        refine(trial, few, few_there, RIGID, _ROUNDS, wide, 1.5 * near)
        refine(trial, here, there, RIGID, _LAST_ROUNDS, 2 * near, near)
        cost = (
            cost_of(trial, here, there, near) + _prior(trial, priors) + _APPEARANCE * _unlike(trial, priors.appearance)
        )
        if cost < lowest:
            best, lowest = trial, cost
    return best


@njit()
def _prior(motion, priors):
    """The cost of a motion apart from the outlines: of its turn, and of contacts that come apart."""
    joints, far = priors.joints, _PARTED * priors.area
    parted, least = 0.0, 1.0
    for k in range(len(joints)):
        x, y = moved(motion, joints[k, 0], joints[k, 1])
        away = min((x - joints[k, 2]) ** 2 + (y - joints[k, 3]) ** 2, far) / far
        parted, least = parted + away, min(least, away)
    # A piece that stays joined at one contact may slide along the others.
    return _turning(motion) + (_TOUCHING * (parted / len(joints) + least) / 2 if len(joints) else 0.0)


@njit()
def _turning(motion):
    angle = np.arctan2(motion[1, 0] - motion[0, 1], motion[0, 0] + motion[1, 1])
    return _TURNING * (angle / np.pi) ** 2


@njit()
def _unlike(motion, appearance):
    """The share of a piece's pixels that land in its match on other colours."""
    xs, ys = appearance.points
    count = unlike = 0
    for k in range(len(xs)):
        x, y = moved(motion, xs[k], ys[k])
        column, row = round(x), round(y)
        if not (0 <= row < appearance.other.shape[0] and 0 <= column < appearance.other.shape[1]):
            continue
        if appearance.cover.labels[row, column] == appearance.cover.own:
            count += 1
            apart = 0
            for c in range(3):
                one, other = appearance.picture[int(ys[k]), int(xs[k]), c], appearance.other[row, column, c]
                apart = max(apart, abs(np.int64(one) - np.int64(other)))  # int() of a byte has no sign
            unlike += apart > _UNLIKE
    return unlike / max(count, 1)


@njit()
def _is_rigid(motion):
    return abs(motion[0, 0] - motion[1, 1]) + abs(motion[0, 1] + motion[1, 0]) < 1e-6 and (
        abs(motion[0, 0] * motion[1, 1] - motion[0, 1] * motion[1, 0] - 1) < 1e-6
    )


@njit()
def _is_credible(motion):
    a, b, c, d = motion[0, 0], motion[0, 1], motion[1, 0], motion[1, 1]
    sums, differences = np.hypot(a + d, c - b), np.hypot(a - d, c + b)
    return (sums - differences) / 2 > _SMALLEST and (sums + differences) / 2 < _LARGEST
