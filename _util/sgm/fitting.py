"""The motion that carries the outline of a piece over to that of another.

Shift, then turn, then scale, then affine, each only where it explains the outlines better. Beginnings come from
moments, from the centres of the pieces and from where they touch others; each is improved by matching nearest points
both ways (iterative closest points) with weights that leave out what is far (Tukey), so that a part of an outline may
be missing. Mirror images are refused.

A motion is a matrix (2, 3) that takes x, y of frame 0 to frame 1.
"""

import numpy as np

from _util.compiled import njit

SHIFT, TURN, SIMILARITY, AFFINE = range(4)
_ROUNDS, _LAST_ROUNDS = 5, 4
_KEPT = 3  # beginnings that are improved
_BETTER, _NOTICED = 0.8, 0.01  # of the cost, what a richer kind of motion must reach, and less of that
_SMALLEST, _LARGEST = 0.55, 1.8  # scales along any direction
_BEND = 0.06  # of the square root of the area, from which on an outline point counts as missing
_TURNING, _TOUCHING = 0.2, 0.5  # what a turn of 180° and contacts that part cost
_COMPACT = 1.6  # ratio of axes below which moments say nothing of the direction


@njit()
def fit(
    pairs, points0, starts0, points1, starts1, centres0, centres1, areas, joints, firsts, some, scale, fits, start, stop
):
    """Fit the pairs start … stop - 1; a kernel of `threads.run`.

    Args:
        pairs: (k, 2), piece of frame 0, piece of frame 1.
        points0, starts0, points1, starts1: `outlines.Outlines`.
        centres0, centres1: (n, 2) and (m, 2), of the pieces.
        areas: (k,), the mean of both.
        some: so many points of each outline stand for all in the first rounds.
        scale: of lengths, 1 at 540×960.
        joints: (j, 4), x, y in frame 0 and in frame 1, of where pair i touches others: firsts[i] … firsts[i + 1].
        fits: (k, 7), result: the matrix by rows, then its cost, at most 1, of the outlines.
    """
    for i in range(start, stop):
        one, other = pairs[i]
        here = points0[starts0[one] : starts0[one + 1]]
        there = points1[starts1[other] : starts1[other + 1]]
        own = joints[firsts[i] : firsts[i + 1]]
        _fit(here, there, centres0[one], centres1[other], areas[i], own, some, scale, fits[i])


@njit()
def _fit(here, there, centre0, centre1, area, joints, some, scale, found):
    found[:] = 0
    found[0], found[4], found[6] = 1, 1, 1
    if len(here) < 8 or len(there) < 8:
        found[2], found[5] = centre1[0] - centre0[0], centre1[1] - centre0[1]
        return
    few0, few1 = here[: min(some, len(here))], there[: min(some, len(there))]
    near = max(1.5 * scale, _BEND * np.sqrt(area))
    wide = max(4 * near, 0.35 * np.sqrt(area))
    begun = _beginnings(here, there, centre0, centre1, joints)
    costs = np.empty(len(begun))
    for k in range(len(begun)):
        costs[k] = _cost(begun[k], few0, few1, wide) + _prior(begun[k], joints, area)
    order = np.argsort(costs)[: _KEPT + 1]
    best, lowest = begun[0].copy(), np.inf
    for k in order:
        trial = begun[k].copy()
        _improve(trial, few0, few1, few0, few1, TURN, _ROUNDS, wide, 1.5 * near)
        cost = _cost(trial, few0, few1, 2 * near) + _prior(trial, joints, area)
        if cost < lowest:
            best, lowest = trial, cost
    # What does not move, or only shifts, does so rather than turn a little.
    kept = np.empty((2, 2, 3))
    kept[:] = 0
    kept[:, 0, 0] = kept[:, 1, 1] = 1
    x, y = _moved(best, centre0[0], centre0[1])
    kept[1, 0, 2], kept[1, 1, 2] = x - centre0[0], y - centre0[1]
    _improve(kept[1], few0, few1, here, there, SHIFT, _LAST_ROUNDS, 2 * near, near)
    _improve(best, few0, few1, here, there, TURN, _LAST_ROUNDS, 2 * near, near)
    full = _full_cost(kept[0], few0, few1, here, there, near)
    result = kept[0]
    for kind in (SHIFT, TURN, SIMILARITY, AFFINE):
        candidate = kept[1] if kind == SHIFT else best.copy()
        if kind > TURN:
            _improve(candidate, few0, few1, here, there, kind, _LAST_ROUNDS, 1.5 * near, near)
            if not _is_credible(candidate):
                continue
        cost = _full_cost(candidate, few0, few1, here, there, near)
        if cost < _BETTER * full - _NOTICED:
            result, full = candidate, cost
    found[:3], found[3:6], found[6] = result[0], result[1], full


@njit()
def _beginnings(here, there, centre0, centre1, joints):
    """(k, 2, 3) rigid motions: none, the shift of the centres, those of the axes, those that contacts suggest."""
    angles = np.empty(12 + 2 * len(joints) + len(joints) ** 2)
    anchors = np.empty((len(angles), 4))
    anchors[:] = np.array([centre0[0], centre0[1], centre1[0], centre1[1]])
    size = 1
    angles[0] = 0
    axis0, ratio0 = _axis(here)
    axis1, ratio1 = _axis(there)
    if min(ratio0, ratio1) > _COMPACT:
        middle0, middle1 = _mean(here), _mean(there)
        for turn in (axis1 - axis0, axis1 - axis0 + np.pi):
            angles[size] = turn
            anchors[size] = np.array([middle0[0], middle0[1], middle1[0], middle1[1]])
            size += 1
    else:
        for k in range(1, 8):
            angles[size] = k * np.pi / 4
            size += 1
    for k in range(len(joints)):
        for other in range(-1, len(joints)):
            if other == k:
                continue
            x0, y0, x1, y1 = anchors[0] if other < 0 else joints[other]
            away0 = np.hypot(x0 - joints[k, 0], y0 - joints[k, 1])
            away1 = np.hypot(x1 - joints[k, 2], y1 - joints[k, 3])
            if min(away0, away1) > 3 and (other < k):
                before = np.arctan2(y0 - joints[k, 1], x0 - joints[k, 0])
                angles[size] = np.arctan2(y1 - joints[k, 3], x1 - joints[k, 2]) - before
                anchors[size] = joints[k]
                size += 1
    begun = np.zeros((size + 1, 2, 3))
    begun[size, 0, 0] = begun[size, 1, 1] = 1
    for k in range(size):
        cos, sin = np.cos(angles[k]), np.sin(angles[k])
        x0, y0, x1, y1 = anchors[k]
        begun[k, 0, 0], begun[k, 0, 1], begun[k, 0, 2] = cos, -sin, x1 - cos * x0 + sin * y0
        begun[k, 1, 0], begun[k, 1, 1], begun[k, 1, 2] = sin, cos, y1 - sin * x0 - cos * y0
    return begun


@njit()
def _mean(points):
    x = y = 0.0
    for k in range(len(points)):
        x += points[k, 0]
        y += points[k, 1]
    return np.array([x / len(points), y / len(points)])


@njit()
def _axis(points):
    """The direction of the longer axis of an outline, and how many times as long it is."""
    x, y = _mean(points)
    xx = yy = xy = 0.0
    for k in range(len(points)):
        u, v = points[k, 0] - x, points[k, 1] - y
        xx += u * u
        yy += v * v
        xy += u * v
    spread = np.hypot(xx - yy, 2 * xy)
    return np.arctan2(2 * xy, xx - yy) / 2, np.sqrt((xx + yy + spread) / max(xx + yy - spread, 1e-9))


@njit()
def _prior(motion, joints, area):
    """What speaks against a motion but for the outlines."""
    angle = np.arctan2(motion[1, 0] - motion[0, 1], motion[0, 0] + motion[1, 1])
    cost = _TURNING * (angle / np.pi) ** 2
    far = 0.12 * area
    parted, least = 0.0, 1.0
    for k in range(len(joints)):
        x, y = _moved(motion, joints[k, 0], joints[k, 1])
        away = min((x - joints[k, 2]) ** 2 + (y - joints[k, 3]) ** 2, far) / far
        parted, least = parted + away, min(least, away)
    # What is joined by one of its contacts may slide along the others.
    return cost + (_TOUCHING * (parted / len(joints) + least) / 2 if len(joints) else 0.0)


@njit()
def _moved(motion, x, y):
    return motion[0, 0] * x + motion[0, 1] * y + motion[0, 2], motion[1, 0] * x + motion[1, 1] * y + motion[1, 2]


@njit(fastmath=True)
def _nearest(x, y, points):
    best, place = np.float32(1e30), 0
    x, y = np.float32(x), np.float32(y)
    for k in range(len(points)):
        u, v = points[k, 0] - x, points[k, 1] - y
        d = u * u + v * v
        if d < best:
            best, place = d, k
    return place, best


@njit()
def _carried(motion, points):
    carried = np.empty_like(points)
    for k in range(len(points)):
        carried[k, 0], carried[k, 1] = _moved(motion, points[k, 0], points[k, 1])
    return carried


@njit()
def _cost(motion, here, there, far):
    """The mean square of distances between outlines, both ways, as a share of that at which a point is missing."""
    return _full_cost(motion, here, there, here, there, far)


@njit()
def _full_cost(motion, few0, few1, here, there, far):
    total, limit = 0.0, far * far
    for k in range(len(few0)):
        x, y = _moved(motion, few0[k, 0], few0[k, 1])
        total += min(_nearest(x, y, there)[1], limit) / len(few0)
    carried = _carried(motion, here)
    for k in range(len(few1)):
        total += min(_nearest(few1[k, 0], few1[k, 1], carried)[1], limit) / len(few1)
    return total / (2 * limit)


@njit()
def _improve(motion, few0, few1, here, there, kind, rounds, widest, narrowest):
    """Rounds of matching nearest points and solving for the motion, within ever smaller distances."""
    size = len(few0) + len(few1)
    pairs, weights = np.empty((size, 4)), np.empty(size)
    for step in range(rounds):
        limit = (widest * (narrowest / widest) ** (step / max(rounds - 1, 1))) ** 2 * 4
        for k in range(len(few0)):
            x, y = _moved(motion, few0[k, 0], few0[k, 1])
            place, d = _nearest(x, y, there)
            pairs[k] = np.array([few0[k, 0], few0[k, 1], there[place, 0], there[place, 1]])
            weights[k] = (1 - d / limit) ** 2 if d < limit else 0
        carried = _carried(motion, here)
        for k in range(len(few1)):
            place, d = _nearest(few1[k, 0], few1[k, 1], carried)
            i = len(few0) + k
            pairs[i] = np.array([here[place, 0], here[place, 1], few1[k, 0], few1[k, 1]])
            weights[i] = (1 - d / limit) ** 2 if d < limit else 0
        if weights.sum() < 6:
            return
        _solve(pairs, weights, kind, motion)


@njit()
def _solve(pairs, weights, kind, motion):
    """The motion of a kind that takes the first points of pairs closest to the second ones."""
    total = weights.sum()
    middle = np.zeros(4)
    for k in range(len(pairs)):
        middle += weights[k] / total * pairs[k]
    xx = xy = yy = xu = xv = yu = yv = 0.0
    for k in range(len(pairs)):
        x, y, u, v = pairs[k] - middle
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
def _is_credible(motion):
    a, b, c, d = motion[0, 0], motion[0, 1], motion[1, 0], motion[1, 1]
    sums, differences = np.hypot(a + d, c - b), np.hypot(a - d, c + b)
    return (sums - differences) / 2 > _SMALLEST and (sums + differences) / 2 < _LARGEST
