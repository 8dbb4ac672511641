"""Search for rigid motions that map the surroundings of a point in one drawing onto lines of the other.

All motions that place the point on a line of the other drawing, along its direction, are tried; the best are kept.
"""

import numpy as np

from _util import threads
from _util.compiled import njit
from _util.strokes.fields import LineField, distance_at
from _util.strokes.tracing import LinePoints, thinned

_APART, _TARGETS_APART = 10, 2.5  # pixels at 540×960 between anchors, and between their targets
_MOST_TRIED, _FARTHER = 2_500_000, 1.25  # anchors times targets; beyond, as in hatching, anchors are spaced further
_AROUND, _MOST_AROUND = 60, 32  # radius of surroundings in pixels at 540×960; number of points sampled from them
_FAR = 8  # pixels at 540×960 at which distances to lines are clipped
_REACH = 250  # pixels at 540×960; largest displacement of an anchor
_KEPT, _UNLIKE, _TURNED = 6, 8, 0.5  # motions per anchor; pixels at 540×960, or radians, by which they differ
_UNLIKELY = 0.15  # cost of half a turn, and of the largest displacement; fits cost 0 to 1
_NEVER = 1e9


def search(lines: LinePoints, others: LinePoints, field: LineField, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Rigid motions of points of one drawing to lines of the other.

    Args:
        field: of the `others`.
        scale: of lengths, 1 at 540×960.

    Returns:
        The points (k,) and their motions (k, 4): several for each point, including rest.
    """
    targets = thinned(others.points, _TARGETS_APART * scale)
    anchors = _anchors(lines.points, _MOST_TRIED // len(targets), scale)
    around = _surroundings(anchors, lines, _AROUND * scale, _MOST_AROUND)
    found, costs = np.zeros((len(anchors), _KEPT, 4)), np.full((len(anchors), _KEPT), _NEVER)
    threads.run(_search, len(anchors), anchors, around, lines, others, targets, field, scale, found, costs)
    known = costs < _NEVER
    points = np.broadcast_to(anchors[:, None], known.shape)[known]
    resting = np.broadcast_to([1.0, 0.0, 0.0, 0.0], (len(anchors), 4))
    return np.concatenate([points, anchors]), np.concatenate([found[known], resting])


def _anchors(points: np.ndarray, most: int, scale: float) -> np.ndarray:
    """Evenly spread points (k,), at most `most`, but at least one."""
    apart = _APART * scale
    anchors = thinned(points, apart)
    while len(anchors) > max(most, 1):
        apart *= _FARTHER
        anchors = anchors[thinned(points[anchors], apart)]
    return anchors


@njit()
def _surroundings(anchors, lines, radius, most):
    """(k, most), a random sample of the points connected to each anchor within `radius`; -1 where there are fewer."""
    points, around = lines.points, lines.around
    count = len(points)
    found = np.full((len(anchors), most), -1, np.int64)
    seen, stack, reached = np.full(count, -1, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    np.random.seed(0)
    for a in range(len(anchors)):
        anchor = anchors[a]
        stack[0], top, size = anchor, 1, 0
        seen[anchor] = a
        while top:
            top -= 1
            point = stack[top]
            reached[size] = point
            size += 1
            for k in range(around.firsts[point], around.firsts[point + 1]):
                other = around.points[k]
                x, y = points[other, 0] - points[anchor, 0], points[other, 1] - points[anchor, 1]
                if seen[other] != a and x * x + y * y < radius * radius:
                    seen[other], stack[top] = a, other
                    top += 1
        for k in range(min(most, size)):
            chosen = np.random.randint(k, size) if size > most else k
            reached[k], reached[chosen] = reached[chosen], reached[k]
            found[a, k] = reached[k]
    return found


@njit()
def _search(anchors, around, lines, others, chosen, field, scale, found, costs, start, stop):
    points, directions, distances = lines.points, lines.directions, field.distances
    targets, target_directions = others.points[chosen], others.directions[chosen]
    far, reach, unlike = _FAR * scale, _REACH * scale, _UNLIKE * scale
    tried = np.empty(2 * len(targets))
    for a in range(start, stop):
        anchor = anchors[a]
        x, y = points[anchor]
        size = 0
        while size < around.shape[1] and around[a, size] >= 0:
            size += 1
        for k in range(len(tried)):
            u, v = targets[k // 2]
            away = np.hypot(u - x, v - y)
            tried[k] = _NEVER
            if away > reach:
                continue
            turn = _turn(target_directions[k // 2] - directions[anchor], k % 2)
            cos, sin = np.cos(turn), np.sin(turn)
            cost = 0.0
            for i in range(size):
                point = around[a, i]
                right, down = points[point, 0] - x, points[point, 1] - y
                cost += distance_at(
                    distances, u + cos * right - sin * down, v + sin * right + cos * down, directions[point] + turn, far
                )
            tried[k] = cost / (size * far) + _UNLIKELY * ((turn / np.pi) ** 2 + (away / reach) ** 2)
        for kept in range(costs.shape[1]):
            best = np.argmin(tried)
            if tried[best] == _NEVER:
                break
            u, v = targets[best // 2]
            turn = _turn(target_directions[best // 2] - directions[anchor], best % 2)
            cos, sin = np.cos(turn), np.sin(turn)
            found[a, kept, 0], found[a, kept, 1] = cos, sin
            found[a, kept, 2], found[a, kept, 3] = u - cos * x + sin * y, v - sin * x - cos * y
            costs[a, kept] = tried[best]
            for k in range(len(tried)):
                if abs(targets[k // 2, 0] - u) < unlike and abs(targets[k // 2, 1] - v) < unlike:
                    other = _turn(target_directions[k // 2] - directions[anchor], k % 2)
                    if abs(_turn(other - turn, 0)) < _TURNED:
                        tried[k] = _NEVER


@njit()
def _turn(angle, halves):
    """An angle plus so many half turns, wrapped to [-π, π)."""
    return (angle + halves * np.pi + np.pi) % (2 * np.pi) - np.pi
