"""Iterative closest points: refinement of the motion that takes one outline to another (Besl and McKay, PAMI 1992).

Each round pairs the points of either outline with the nearest ones of the other, and solves for the motion that takes
the pairs to one another by weighted least squares. The weights are Tukey's, whose limit shrinks from round to round, so
parts of an outline may be missing.
"""

from typing import NamedTuple

import numpy as np

from _util.compiled import njit
from _util.pieces.affine import moved

# NumPy's integers: Numba compiles a function anew for each of Python's constants that it is called with.
TRANSLATION, RIGID, SIMILARITY, AFFINE = np.arange(4)
_LEAST = 6  # points in all that must be paired
_COLLINEAR = 1e-6  # ratio of determinant to squared trace below which points lie on a line


class Outline(NamedTuple):
    """Points of one piece as (x, y), each (n,) float32."""

    points: tuple[np.ndarray, np.ndarray]
    sample: tuple[np.ndarray, np.ndarray]  # the first of them, which are fitted to all points of the other piece
    centre: np.ndarray  # (2,)


@njit()
def refine(motion, here, there, kind, rounds, widest, narrowest):
    """Refine a motion in place by iterative closest points, within 2 · `widest`, then down to 2 · `narrowest`."""
    count0, count1 = len(here.sample[0]), len(there.sample[0])
    pairs, weights = np.empty((count0 + count1, 4)), np.empty(count0 + count1)
    squares = np.empty(max(len(here.points[0]), len(there.points[0])), np.float32)
    for step in range(rounds):
        limit = (2 * widest * (narrowest / widest) ** (step / max(rounds - 1, 1))) ** 2
        for k in range(count0):
            x, y = here.sample[0][k], here.sample[1][k]
            u, v = moved(motion, x, y)
            place, d = _nearest(u, v, there.points, squares)
            pairs[k, 0], pairs[k, 1], pairs[k, 2], pairs[k, 3] = x, y, there.points[0][place], there.points[1][place]
            weights[k] = (1 - d / limit) ** 2 if d < limit else 0
        carried = moved_points(motion, here.points)
        for k in range(count1):
            u, v, i = there.sample[0][k], there.sample[1][k], count0 + k
            place, d = _nearest(u, v, carried, squares)
            pairs[i, 0], pairs[i, 1], pairs[i, 2], pairs[i, 3] = here.points[0][place], here.points[1][place], u, v
            weights[i] = (1 - d / limit) ** 2 if d < limit else 0
        if weights.sum() < _LEAST:
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
    if kind in (RIGID, SIMILARITY):
        cos, sin = xu + yv, xv - yu
        length = np.hypot(cos, sin)
        if length > 1e-9:
            grown = length / max(xx + yy, 1e-9) if kind == SIMILARITY else 1.0
            a, b = grown * cos / length, -grown * sin / length
            c, d = -b, a
    elif kind == AFFINE:
        determinant = xx * yy - xy * xy
        if determinant < _COLLINEAR * (xx + yy) ** 2:
            return
        a, b = (xu * yy - yu * xy) / determinant, (yu * xx - xu * xy) / determinant
        c, d = (xv * yy - yv * xy) / determinant, (yv * xx - xv * xy) / determinant
    motion[0, 0], motion[0, 1], motion[0, 2] = a, b, middle[2] - a * middle[0] - b * middle[1]
    motion[1, 0], motion[1, 1], motion[1, 2] = c, d, middle[3] - c * middle[0] - d * middle[1]


@njit()
def cost_of(motion, here, there, far):
    """The mean of squared distances between outlines in both directions, each clipped at `far`² and divided by it."""
    total, limit = 0.0, far * far
    xs, ys = here.sample
    for k in range(len(xs)):
        x, y = moved(motion, xs[k], ys[k])
        total += min(nearest_square(x, y, there.points), limit) / len(xs)
    carried = moved_points(motion, here.points)
    xs, ys = there.sample
    for k in range(len(xs)):
        total += min(nearest_square(xs[k], ys[k], carried), limit) / len(xs)
    return total / (2 * limit)


@njit(fastmath=True)
def nearest_square(x, y, points):
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
def moved_points(motion, points):
    a, b, c = np.float32(motion[0, 0]), np.float32(motion[0, 1]), np.float32(motion[0, 2])
    d, e, f = np.float32(motion[1, 0]), np.float32(motion[1, 1]), np.float32(motion[1, 2])
    return a * points[0] + b * points[1] + c, d * points[0] + e * points[1] + f
