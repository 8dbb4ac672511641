"""Registration of outlines: the motion that takes the outline of a piece to that of its match.

Candidates are a shift, a rigid motion, a similarity and an affine motion. A richer one is used only where it fits the
outlines clearly better. Initial motions come from the centres and principal axes of the pieces, and from the places
where they touch others. Each is refined by iterative closest points in both directions with Tukey weights, so parts of
an outline may be missing, and is charged for the pixels that it takes to other colours. Mirrored motions are rejected.
What rests wherever nothing may hide it rests. Else a poor fit gives way to a rigid motion of the outlines that nothing
may hide, if these fit far better.

A motion is a matrix (2, 3) that takes x, y of frame 0 to frame 1.
"""

from typing import NamedTuple

import numpy as np

from _util.compiled import njit
from _util.pieces.affine import moved
from _util.pieces.outlines import SOME, Outlines

# NumPy's integers: Numba compiles a function anew for each of Python's constants that it is called with.
SHIFT, TURN, SIMILARITY, AFFINE = np.arange(4)
_ROUNDS, _LAST_ROUNDS = np.array([5, 4])
_KEPT = 3  # initial motions that are refined
_BETTER = np.array([0.8, 0.8, 0.6, 0.6])  # each kind must have less than this share of the cost of the simpler one,
_NOTICED = 0.01  # minus this
_CLOSE, _MOST_CLOSE = 0.55, 0.25  # mean distance in pixels at which no richer motion is tried; its largest cost
_SMALLEST, _LARGEST = 0.55, 1.8  # scales along any direction
_BEND = 0.06  # distance at which an outline point counts as missing, as a share of the square root of the area
_TURNING, _TOUCHING = 0.2, 0.5  # cost of a turn of 180°, and of contacts that come apart
_LOOKS, _UNLIKE = 0.5, 24  # cost of colours that all differ, by more levels than this
_COMPACT = 1.6  # ratio of axes below which the principal axis is not reliable
_RESTS = 0.02  # cost up to which what nothing hides rests
_POOR = 0.1  # least cost of a fit that gives way to one of what nothing hides,
_BETTER_SHOWN = 0.5  # which must have less than this share of it
_LEAST_SHOWN = 10  # points of an outline that nothing hides
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


class _Looks(NamedTuple):
    """The colours of a piece, and the frame that shows its match."""

    points: tuple[np.ndarray, np.ndarray]  # in the piece
    picture: np.ndarray
    other: np.ndarray  # the other picture
    cover: _Cover  # of the match


class _Clues(NamedTuple):
    """What tells of the motion of a piece apart from outlines."""

    area: float
    joints: np.ndarray  # (j, 4), its contacts, see `Joints`
    looks: _Looks


class Joints(NamedTuple):
    """The contacts of pieces with other pieces; those of pair i are `places[firsts[i] : firsts[i + 1]]`."""

    places: np.ndarray  # (j, 4), x, y in frame 0 and in frame 1
    firsts: np.ndarray  # (k + 1,)


class _Outline(NamedTuple):
    """Points of one piece as (x, y), each (n,) float32."""

    points: tuple[np.ndarray, np.ndarray]
    sample: tuple[np.ndarray, np.ndarray]  # the first of them, which are fitted to all points of the other piece
    centre: np.ndarray  # (2,)


@njit()
def fit(pairs, shapes0, shapes1, areas, hides, joints, scale, fits, start, stop):
    """Fit the pairs start … stop - 1; for `threads.run`.

    Args:
        pairs: (k, 2), piece of frame 0, piece of frame 1.
        shapes0, shapes1: the `Shapes` of both frames.
        areas: (k,), the mean of both pieces'.
        hides: (k,), the area from which on a piece may lie in front of each.
        joints: the `Joints` of the pairs.
        scale: of lengths, 1 at 540×960.
        fits: (k, 8), the result: the matrix by rows, its cost in [0, 1], and that of a rigid one on what nothing hides;
            1 if it is not rigid or much is hidden.
    """
    for i in range(start, stop):
        own = joints.places[joints.firsts[i] : min(joints.firsts[i + 1], joints.firsts[i] + _MOST_JOINTS)]
        one, other = pairs[i]
        centre0, centre1 = shapes0.centres[one], shapes1.centres[other]
        here, there = _outline(shapes0.outlines, one, centre0), _outline(shapes1.outlines, other, centre1)
        near = max(1.5 * scale, _BEND * np.sqrt(areas[i]))
        covers = _Cover(shapes0.labels, shapes0.hiding, one), _Cover(shapes1.labels, shapes1.hiding, other)
        looks = _Looks(_points(shapes0.insides, one), shapes0.picture, shapes1.picture, covers[1])
        clues = _Clues(areas[i], own, looks)
        _fit(here, there, clues, scale, near, fits[i])
        here, there = _outline(shapes0.shown, one, centre0), _outline(shapes1.shown, other, centre1)
        _fit_hidden(here, there, covers, hides[i], clues, near, fits[i])
        motion = fits[i, :6].copy().reshape(2, 3)
        fits[i, 7] = _shown_cost(motion, here, there, covers, hides[i], near) if _is_rigid(motion) else 1


@njit()
def _outline(outlines, piece, centre):
    x, y = _points(outlines, piece)
    return _Outline((x, y), (x[:SOME], y[:SOME]), centre)


@njit()
def _points(outlines, piece):
    start, stop = outlines.starts[piece], outlines.starts[piece + 1]
    return outlines.points[0, start:stop], outlines.points[1, start:stop]


@njit()
def _fit(here, there, clues, scale, near, found):
    found[:] = 0
    found[0], found[4], found[6] = 1, 1, 1
    if len(here.points[0]) < 8 or len(there.points[0]) < 8:
        found[2], found[5] = there.centre[0] - here.centre[0], there.centre[1] - here.centre[1]
        return
    enough = min((_CLOSE * max(scale, 1.0) / near) ** 2, _MOST_CLOSE)
    # Rest and pure shifts come first: a piece that does not turn should not get a small turn.
    result = np.eye(2, 3)
    full = _full_cost(result, here, there, near)
    shifted = np.eye(2, 3)
    shifted[0, 2], shifted[1, 2] = there.centre[0] - here.centre[0], there.centre[1] - here.centre[1]
    if full > enough:
        _improve(shifted, here, there, SHIFT, _LAST_ROUNDS, 2 * near, near)
        cost = _full_cost(shifted, here, there, near)
        if cost < _BETTER[SHIFT] * full - _NOTICED:
            result, full = shifted, cost
    if full > enough:
        best = _turned(here, there, clues, near)
        x, y = moved(best, here.centre[0], here.centre[1])
        shifted = np.eye(2, 3)
        shifted[0, 2], shifted[1, 2] = x - here.centre[0], y - here.centre[1]
        _improve(shifted, here, there, SHIFT, _LAST_ROUNDS, 2 * near, near)
        for kind, candidate in ((SHIFT, shifted), (TURN, best)):
            cost = _full_cost(candidate, here, there, near)
            if cost < _BETTER[kind] * full - _NOTICED:
                result, full = candidate, cost
        for kind in (SIMILARITY, AFFINE):
            if full <= enough:
                break
            candidate = best.copy()
            _improve(candidate, here, there, kind, _LAST_ROUNDS, 1.5 * near, near)
            cost = _full_cost(candidate, here, there, near)
            if _is_credible(candidate) and cost < _BETTER[kind] * full - _NOTICED:
                result, full = candidate, cost
    _write(found, result, full)


@njit()
def _write(found, motion, cost):
    for k in range(6):
        found[k] = motion[k // 3, k % 3]
    found[6] = cost


@njit()
def _fit_hidden(here, there, covers, hides, clues, near, found):
    """Replace a fit by rest if that explains what nothing hides, or by a rigid motion if that fits far better.

    Args:
        here, there: the outlines that nothing hides.
        covers: the `_Cover` of both frames.
    """
    if min(len(here.points[0]), len(there.points[0])) < 2 * _LEAST_SHOWN:
        return
    rest = np.eye(2, 3)
    cost = _shown_cost(rest, here, there, covers, hides, near)
    if cost < _RESTS:
        _write(found, rest, cost)
        return
    if found[6] < _POOR:
        return
    wide = 0.35 * np.sqrt(clues.area)
    lowest = _BETTER_SHOWN * found[6]
    trials = _ends_upon_ends(here, there)
    turned = _turned(here, there, clues, near)
    for k in range(len(trials) + 1):
        trial = trials[k] if k < len(trials) else turned
        _improve(trial, here, there, TURN, _ROUNDS, wide, near)
        cost = _shown_cost(trial, here, there, covers, hides, near)
        apart = _turning(trial) + _LOOKS * _unlike(trial, clues.looks)
        if cost + apart < lowest:
            lowest = cost + apart
            _write(found, trial, cost)


@njit()
def _ends_upon_ends(here, there):
    """(4 or 0, 2, 3) rigid motions that take one end of a long outline to one end of the other."""
    axis0, ratio0 = _axis(here.points)
    axis1, ratio1 = _axis(there.points)
    motions = np.zeros((4 if min(ratio0, ratio1) > _COMPACT else 0, 2, 3))
    for k in range(len(motions)):
        end0, end1 = _end(here.points, axis0 + (k % 2) * np.pi), _end(there.points, axis1 + (k // 2) * np.pi)
        angle = axis1 + (k // 2) * np.pi - axis0 - (k % 2) * np.pi
        _set_turn(motions[k], angle, end0[0], end0[1], end1[0], end1[1])
    return motions


@njit()
def _end(points, direction):
    """The point on the axis of an outline that lies as far in a direction as any of its points."""
    x, y = _mean(points)
    u, v = np.cos(direction), np.sin(direction)
    farthest = 0.0
    for k in range(len(points[0])):
        farthest = max(farthest, (points[0][k] - x) * u + (points[1][k] - y) * v)
    return np.array([x + farthest * u, y + farthest * v])


@njit()
def _set_turn(motion, angle, x0, y0, x1, y1):
    """Write to `motion` the rotation that takes (x0, y0) to (x1, y1)."""
    cos, sin = np.cos(angle), np.sin(angle)
    motion[0, 0], motion[0, 1], motion[0, 2] = cos, -sin, x1 - cos * x0 + sin * y0
    motion[1, 0], motion[1, 1], motion[1, 2] = sin, cos, y1 - sin * x0 - cos * y0


@njit()
def _shown_cost(motion, here, there, covers, hides, far):
    """`_full_cost` of a rigid motion, without points that land where they may be hidden; 1 if few are left."""
    limit, total = far * far, 0.0
    carried = _carried(motion, here.points)
    for way in range(2):
        xs, ys = here.sample if way == 0 else there.sample
        count, cost = 0, 0.0
        for k in range(len(xs)):
            if way == 0:
                u, v = moved(motion, xs[k], ys[k])
                hidden, distance = _is_hidden(covers[1], u, v, hides), _square(u, v, there.points)
            else:
                x, y = xs[k] - motion[0, 2], ys[k] - motion[1, 2]
                u, v = motion[0, 0] * x + motion[1, 0] * y, motion[0, 1] * x + motion[1, 1] * y
                hidden, distance = _is_hidden(covers[0], u, v, hides), _square(xs[k], ys[k], carried)
            if not hidden:
                count, cost = count + 1, cost + min(distance, limit) / limit
        if count < _LEAST_SHOWN:
            return 1.0
        total += cost / count
    return total / 2


@njit()
def _is_hidden(cover, x, y, hides):
    """Whether a point lies outside the frame, or in or beside a piece that may hide it."""
    h, w = cover.labels.shape
    column, row = round(x), round(y)
    if not (0 <= row < h and 0 <= column < w):
        return True
    if cover.labels[row, column] == cover.own:
        return False
    for v in range(max(row - 1, 0), min(row + 2, h)):
        for u in range(max(column - 1, 0), min(column + 2, w)):
            if cover.labels[v, u] != cover.own and cover.hiding[cover.labels[v, u]] > hides:
                return True
    return False


@njit()
def _turned(here, there, clues, near):
    """The best rigid motion, from the most promising initial ones, refined first on few points, then on all."""
    wide = max(4 * near, 0.35 * np.sqrt(clues.area))
    initial = _initial_motions(here, there, clues.joints)
    few, few_there = _Outline(here.sample, here.sample, here.centre), _Outline(there.sample, there.sample, there.centre)
    costs = np.empty(len(initial))
    for k in range(len(initial)):
        costs[k] = _full_cost(initial[k], few, few_there, wide) + _prior(initial[k], clues)
    best, lowest = initial[0].copy(), np.inf
    for _ in range(min(_KEPT, len(initial))):
        k = np.argmin(costs)
        costs[k] = np.inf
        trial = initial[k].copy()
        _improve(trial, few, few_there, TURN, _ROUNDS, wide, 1.5 * near)
        _improve(trial, here, there, TURN, _LAST_ROUNDS, 2 * near, near)
        cost = _full_cost(trial, here, there, near) + _prior(trial, clues) + _LOOKS * _unlike(trial, clues.looks)
        if cost < lowest:
            best, lowest = trial, cost
    return best


@njit()
def _initial_motions(here, there, joints):
    """(k, 2, 3) rigid motions: the shift of the centres, turns by the axes, turns by contacts, and no motion."""
    angles = np.empty(12 + 2 * len(joints) + len(joints) ** 2)
    anchors = np.empty((len(angles), 4))
    for k in range(len(anchors)):
        _set_pair(anchors[k], here.centre[0], here.centre[1], there.centre[0], there.centre[1])
    size = 1
    angles[0] = 0
    axis0, ratio0 = _axis(here.points)
    axis1, ratio1 = _axis(there.points)
    if min(ratio0, ratio1) > _COMPACT:
        middle0, middle1 = _mean(here.points), _mean(there.points)
        for turn in (axis1 - axis0, axis1 - axis0 + np.pi):
            angles[size] = turn
            _set_pair(anchors[size], middle0[0], middle0[1], middle1[0], middle1[1])
            size += 1
    else:
        for k in range(1, 8):
            angles[size] = k * np.pi / 4
            size += 1
    for k in range(len(joints)):
        for other in range(-1, k):
            x0, y0, x1, y1 = anchors[0] if other < 0 else joints[other]
            away0 = np.hypot(x0 - joints[k, 0], y0 - joints[k, 1])
            away1 = np.hypot(x1 - joints[k, 2], y1 - joints[k, 3])
            if min(away0, away1) > 3:
                before = np.arctan2(y0 - joints[k, 1], x0 - joints[k, 0])
                angles[size] = np.arctan2(y1 - joints[k, 3], x1 - joints[k, 2]) - before
                _set_pair(anchors[size], joints[k, 0], joints[k, 1], joints[k, 2], joints[k, 3])
                size += 1
    motions = np.zeros((size + 1, 2, 3))
    motions[size, 0, 0] = motions[size, 1, 1] = 1
    for k in range(size):
        x0, y0, x1, y1 = anchors[k]
        _set_turn(motions[k], angles[k], x0, y0, x1, y1)
    return motions


@njit()
def _set_pair(pair, x0, y0, x1, y1):
    pair[0], pair[1], pair[2], pair[3] = x0, y0, x1, y1


@njit()
def _mean(points):
    return np.array([points[0].mean(), points[1].mean()])


@njit()
def _axis(points):
    """The direction of the principal axis of an outline in radians, and the ratio of its axes."""
    x, y = _mean(points)
    xx = yy = xy = 0.0
    for k in range(len(points[0])):
        u, v = points[0][k] - x, points[1][k] - y
        xx += u * u
        yy += v * v
        xy += u * v
    spread = np.hypot(xx - yy, 2 * xy)
    return np.arctan2(2 * xy, xx - yy) / 2, np.sqrt((xx + yy + spread) / max(xx + yy - spread, 1e-9))


@njit()
def _prior(motion, clues):
    """The cost of a motion apart from the outlines: of its turn, and of contacts that come apart."""
    joints, far = clues.joints, 0.12 * clues.area
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
def _unlike(motion, looks):
    """The share of a piece's pixels that land in its match on other colours."""
    xs, ys = looks.points
    count = unlike = 0
    for k in range(len(xs)):
        x, y = moved(motion, xs[k], ys[k])
        column, row = round(x), round(y)
        if not (0 <= row < looks.other.shape[0] and 0 <= column < looks.other.shape[1]):
            continue
        if looks.cover.labels[row, column] == looks.cover.own:
            count += 1
            apart = 0
            for c in range(3):
                one, other = looks.picture[int(ys[k]), int(xs[k]), c], looks.other[row, column, c]
                apart = max(apart, abs(np.int64(one) - np.int64(other)))  # int() of a byte has no sign
            unlike += apart > _UNLIKE
    return unlike / max(count, 1)


@njit(fastmath=True)
def _square(x, y, points):
    """The squared distance to the nearest of points."""
    xs, ys = points
    x, y, best = np.float32(x), np.float32(y), np.float32(1e30)
    for k in range(len(xs)):
        u, v = xs[k] - x, ys[k] - y
        best = min(best, u * u + v * v)
    return best


@njit(fastmath=True)
def _nearest(x, y, points, squares):
    """The index of the nearest of points, and the squared distance; `squares` is a buffer for as many."""
    xs, ys = points
    x, y, best = np.float32(x), np.float32(y), np.float32(1e30)
    for k in range(len(xs)):
        u, v = xs[k] - x, ys[k] - y
        squares[k] = u * u + v * v
    for k in range(len(xs)):
        best = min(best, squares[k])
    place = 0
    while place < len(xs) - 1 and squares[place] > best:
        place += 1
    return place, best


@njit()
def _carried(motion, points):
    a, b, c = np.float32(motion[0, 0]), np.float32(motion[0, 1]), np.float32(motion[0, 2])
    d, e, f = np.float32(motion[1, 0]), np.float32(motion[1, 1]), np.float32(motion[1, 2])
    return a * points[0] + b * points[1] + c, d * points[0] + e * points[1] + f


@njit()
def _full_cost(motion, here, there, far):
    """The mean of squared distances between outlines in both directions, each clipped at `far`² and divided by it."""
    total, limit = 0.0, far * far
    xs, ys = here.sample
    for k in range(len(xs)):
        x, y = moved(motion, xs[k], ys[k])
        total += min(_square(x, y, there.points), limit) / len(xs)
    carried = _carried(motion, here.points)
    xs, ys = there.sample
    for k in range(len(xs)):
        total += min(_square(xs[k], ys[k], carried), limit) / len(xs)
    return total / (2 * limit)


@njit()
def _improve(motion, here, there, kind, rounds, widest, narrowest):
    """Refine a motion in place by iterative closest points, within distances from `widest` down to `narrowest`."""
    count0, count1 = len(here.sample[0]), len(there.sample[0])
    pairs, weights = np.empty((count0 + count1, 4)), np.empty(count0 + count1)
    squares = np.empty(max(len(here.points[0]), len(there.points[0])), np.float32)
    for step in range(rounds):
        limit = (widest * (narrowest / widest) ** (step / max(rounds - 1, 1))) ** 2 * 4
        for k in range(count0):
            x, y = here.sample[0][k], here.sample[1][k]
            u, v = moved(motion, x, y)
            place, d = _nearest(u, v, there.points, squares)
            pairs[k, 0], pairs[k, 1], pairs[k, 2], pairs[k, 3] = x, y, there.points[0][place], there.points[1][place]
            weights[k] = (1 - d / limit) ** 2 if d < limit else 0
        carried = _carried(motion, here.points)
        for k in range(count1):
            u, v, i = there.sample[0][k], there.sample[1][k], count0 + k
            place, d = _nearest(u, v, carried, squares)
            pairs[i, 0], pairs[i, 1], pairs[i, 2], pairs[i, 3] = here.points[0][place], here.points[1][place], u, v
            weights[i] = (1 - d / limit) ** 2 if d < limit else 0
        if weights.sum() < 6:
            return
        _solve(pairs, weights, kind, motion)


@njit()
def _solve(pairs, weights, kind, motion):
    """The weighted least-squares motion of a kind, from pairs (n, 4) of points; written to `motion`.

    `motion` stays as it is where the points of an affine one lie on a line.
    """
    total = weights.sum()
    middle = np.zeros(4)
    for k in range(len(pairs)):
        for i in range(4):
            middle[i] += weights[k] / total * pairs[k, i]
    xx = xy = yy = xu = xv = yu = yv = 0.0
    for k in range(len(pairs)):
        x, y = pairs[k, 0] - middle[0], pairs[k, 1] - middle[1]
        u, v = pairs[k, 2] - middle[2], pairs[k, 3] - middle[3]
        w = weights[k]
        xx, xy, yy = xx + w * x * x, xy + w * x * y, yy + w * y * y
        xu, xv, yu, yv = xu + w * x * u, xv + w * x * v, yu + w * y * u, yv + w * y * v
    a, b, c, d = 1.0, 0.0, 0.0, 1.0
    if kind in (TURN, SIMILARITY):
        cos, sin = xu + yv, xv - yu
        length = np.hypot(cos, sin)
        if length > 1e-9:
            grown = length / max(xx + yy, 1e-9) if kind == SIMILARITY else 1.0
            a, b = grown * cos / length, -grown * sin / length
            c, d = -b, a
    elif kind == AFFINE:
        determinant = xx * yy - xy * xy
        if determinant < 1e-6 * (xx + yy) ** 2:
            return
        a, b = (xu * yy - yu * xy) / determinant, (yu * xx - xu * xy) / determinant
        c, d = (xv * yy - yv * xy) / determinant, (yv * xx - xv * xy) / determinant
    motion[0, 0], motion[0, 1], motion[0, 2] = a, b, middle[2] - a * middle[0] - b * middle[1]
    motion[1, 0], motion[1, 1], motion[1, 2] = c, d, middle[3] - c * middle[0] - d * middle[1]


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
