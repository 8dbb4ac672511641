"""Initial rigid motions of a piece, for `closest_points` to refine: from where it lies, and from what it touches."""

import numpy as np

from _util.compiled import njit

_COMPACT = 1.6  # ratio of axes below which the principal axis is unreliable
_EIGHTHS = np.arange(1, 8) * np.pi / 4  # rotations tried instead, radians
_APART = 3  # pixels above which two contacts tell a direction


@njit()
def from_places(here, there, joints):
    """(k, 2, 3) rigid motions: the shift of the centres, turns by the axes, turns by contacts, and no motion."""
    motions = np.zeros((len(_EIGHTHS) + 2 + len(joints) * (len(joints) + 1) // 2, 2, 3))
    x0, y0, x1, y1 = here.centre[0], here.centre[1], there.centre[0], there.centre[1]
    _set_turn(motions[0], 0.0, x0, y0, x1, y1)
    size = 1
    axis0, ratio0 = _axis(here.points)
    axis1, ratio1 = _axis(there.points)
    if min(ratio0, ratio1) > _COMPACT:
        middle0, middle1 = _mean(here.points), _mean(there.points)
        for turn in (axis1 - axis0, axis1 - axis0 + np.pi):
            _set_turn(motions[size], turn, middle0[0], middle0[1], middle1[0], middle1[1])
            size += 1
    else:
        for turn in _EIGHTHS:
            _set_turn(motions[size], turn, x0, y0, x1, y1)
            size += 1
    for k in range(len(joints)):
        pivot0, pivot1 = joints[k, :2], joints[k, 2:]
        for other in range(-1, k):
            end0 = here.centre if other < 0 else joints[other, :2]
            end1 = there.centre if other < 0 else joints[other, 2:]
            if min(_length(pivot0, end0), _length(pivot1, end1)) > _APART:
                turn = _direction(pivot1, end1) - _direction(pivot0, end0)
                _set_turn(motions[size], turn, pivot0[0], pivot0[1], pivot1[0], pivot1[1])
                size += 1
    motions[size, 0, 0] = motions[size, 1, 1] = 1
    return motions[: size + 1]


@njit()
def _length(start, end):
    return np.hypot(end[0] - start[0], end[1] - start[1])


@njit()
def _direction(start, end):
    return np.arctan2(end[1] - start[1], end[0] - start[0])


@njit()
def ends_upon_ends(here, there):
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
def _mean(points):
    return np.array([points[0].mean(), points[1].mean()])


@njit()
def _set_turn(motion, angle, x0, y0, x1, y1):
    """Write to `motion` the rotation that takes (x0, y0) to (x1, y1)."""
    cos, sin = np.cos(angle), np.sin(angle)
    motion[0, 0], motion[0, 1], motion[0, 2] = cos, -sin, x1 - cos * x0 + sin * y0
    motion[1, 0], motion[1, 1], motion[1, 2] = sin, cos, y1 - sin * x0 - cos * y0
