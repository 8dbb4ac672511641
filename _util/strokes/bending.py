"""Bending lines: the residual of a rigid motion between matched lines, and lines that only a bend explains.

Starting at points with a motion, other points on the same line follow their neighbours: each moves towards the nearest
unclaimed line, and turns a little towards its direction. The remaining offset across the nearest line is smoothed.
"""

import numpy as np
from scipy.sparse import coo_array

from _util.compiled import njit
from _util.strokes.fields import LineField, nearest_at
from _util.strokes.matching import UNKNOWN, StrokeMatching, on_line
from _util.strokes.rigid import moved, moved_back, moved_point
from _util.strokes.tracing import LinePoints, Neighbours, nearest_of

_OFF = 4  # pixels at 540×960; largest distance of a point from the line onto which it is moved
_PUT, _TURNED = 0.7, 0.3  # shares of the way to it, and of the turn, per step
_SMOOTHED = 6  # steps along lines
_NEAR = 12  # pixels at 540×960 within which a point of the second drawing takes a bend of the first


def bend(
    lines: tuple[LinePoints, LinePoints], field: LineField, matching: StrokeMatching, scale: float
) -> tuple[StrokeMatching, tuple[np.ndarray, np.ndarray]]:
    """Extend a matching to lines that bend.

    Args:
        field: of the second drawing's lines.
        scale: of lengths, 1 at 540×960.

    Returns:
        The matching with the points added, and the bends (n, 2) and (m, 2) of points of both drawings: offsets in
        pixels of drawing 0, added to positions there before the motion to drawing 1, or after the motion back from it.
    """
    here, there = lines
    owners = matching.owners[0].copy(), matching.owners[1].copy()
    if not len(matching.motions):
        return matching, (np.zeros((len(here.points), 2)), np.zeros((len(there.points), 2)))
    bends = np.zeros((len(here.points), 2))
    _follow(matching.motions, here, there, field, _OFF * scale, *owners, bends)
    known = owners[0] != UNKNOWN
    motions = matching.motions[owners[0][known]]
    ends = moved(motions, here.points[known]) + bends[known]
    directions = here.directions[known] + np.arctan2(motions[:, 1], motions[:, 0])
    rest, is_found = _rest(ends, directions, there, field, _OFF * scale)
    left, found = np.zeros_like(bends), np.zeros(len(bends))
    left[known], found[known] = rest, is_found
    ends += _smoothed(here.along, owners[0], left, found)[known]
    away, nearest = nearest_of(ends, there.points, on_line(scale))
    follows = np.isfinite(away) & (owners[1] == UNKNOWN)
    owners[1][follows] = owners[0][known][nearest[follows]]
    bends[known] = moved_back(motions, ends) - here.points[known]
    return StrokeMatching(matching.motions, owners), (bends, _seen_there(owners, known, ends, bends, there, scale))


def _seen_there(
    owners: tuple, known: np.ndarray, ends: np.ndarray, bends: np.ndarray, there: LinePoints, scale: float
) -> np.ndarray:
    """(m, 2), the bends of points of the second drawing: the negated bends of the points that land next to them."""
    found = np.zeros((len(there.points), 2))
    for owner in np.unique(owners[0][known]).tolist():
        own, others = np.flatnonzero(owners[0][known] == owner), np.flatnonzero(owners[1] == owner)
        if len(others):
            away, nearest = nearest_of(ends[own], there.points[others], _NEAR * scale)
            near = np.isfinite(away)
            found[others[near]] = -bends[known][own[nearest[near]]]
    return found


def _smoothed(along: Neighbours, owners: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means of values (n, 2) with weights (n,), over some steps along lines of one motion."""
    count = len(owners)
    one, other = np.repeat(np.arange(count), np.diff(along.firsts)), along.points
    same = owners[one] == owners[other]
    steps = coo_array((np.ones(same.sum()), (one[same], other[same])), (count, count)).tocsr()
    sums = np.concatenate([values * weights[:, None], weights[:, None]], 1)
    for _ in range(_SMOOTHED):
        sums = (sums + steps @ sums) / 3
    return sums[:, :2] / np.maximum(sums[:, 2:], 1e-9)


@njit()
def _follow(motions, here, there, field, off, owners, claimed, bends):
    """Give points without a motion that of a neighbour on the line; `bends` are in drawing 1."""
    points, directions, along = here.points, here.directions, here.along
    count = len(points)
    queue, turned = np.empty(count, np.int64), np.zeros(count)
    reached = 0
    for point in range(count):
        if owners[point] != UNKNOWN:
            queue[reached] = point
            reached += 1
    head = 0
    while head < reached:
        point = queue[head]
        head += 1
        motion = motions[owners[point]]
        whole = np.arctan2(motion[1], motion[0])
        cos, sin = np.cos(whole + turned[point]), np.sin(whole + turned[point])
        x, y = moved_point(motion, points[point, 0], points[point, 1])
        for k in range(along.firsts[point], along.firsts[point + 1]):
            other = along.points[k]
            if owners[other] != UNKNOWN:
                continue
            right, down = points[other] - points[point]
            u = x + bends[point, 0] + cos * right - sin * down
            v = y + bends[point, 1] + sin * right + cos * down
            direction = directions[other] + whole + turned[point]
            place, _ = nearest_at(field, u, v, direction, off)
            if place < 0 or claimed[place] != UNKNOWN:
                continue
            across = _across(u, v, there.points[place], there.directions[place])
            end_x, end_y = moved_point(motion, points[other, 0], points[other, 1])
            bends[other, 0] = u + _PUT * across[0] - end_x
            bends[other, 1] = v + _PUT * across[1] - end_y
            turn = (there.directions[place] - direction + np.pi / 2) % np.pi - np.pi / 2
            owners[other], turned[other] = owners[point], turned[point] + _TURNED * turn
            queue[reached] = other
            reached += 1


@njit()
def _rest(ends, directions, there, field, off):
    """(k, 2), the perpendicular offset from each end to the nearest line; and 1 where there is one, else 0 (k,)."""
    rest, found = np.zeros((len(ends), 2)), np.zeros(len(ends))
    for k in range(len(ends)):
        place, _ = nearest_at(field, ends[k, 0], ends[k, 1], directions[k], off)
        if place >= 0:
            rest[k] = _across(ends[k, 0], ends[k, 1], there.points[place], there.directions[place])
            found[k] = 1
    return rest, found


@njit()
def _across(x, y, point, direction):
    """The perpendicular offset from a position to the line through a point."""
    right, down = -np.sin(direction), np.cos(direction)
    way = (point[0] - x) * right + (point[1] - y) * down
    return np.array([way * right, way * down])
