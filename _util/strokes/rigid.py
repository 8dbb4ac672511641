"""Rigid motions of k lines, (k, 4): cos, sin, x, y, a rotation and then a shift, which take drawing 0 to drawing 1."""

import numpy as np

from _util.compiled import njit


def about(points: np.ndarray, turns: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(k, 4), the rigid motions that rotate by `turns` (k,) and take points (k, 2) to `ends` (k, 2)."""
    cos, sin = np.cos(turns), np.sin(turns)
    x, y = points.T
    return np.stack([cos, sin, ends[:, 0] - cos * x + sin * y, ends[:, 1] - sin * x - cos * y], 1)


def moved(motions: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply rigid motions (k, 4), or one (4,), to points (k, 2)."""
    cos, sin, right, down = motions.T
    x, y = points.T
    return np.stack([cos * x - sin * y + right, sin * x + cos * y + down], 1)


@njit()
def moved_point(motion, x, y):
    """`moved` for one motion (4,) and one point, in kernels."""
    return motion[0] * x - motion[1] * y + motion[2], motion[1] * x + motion[0] * y + motion[3]


def moved_back(motions: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Apply the inverse of rigid motions (k, 4) to points (k, 2)."""
    cos, sin, right, down = motions.T
    u, v = ends[:, 0] - right, ends[:, 1] - down
    return np.stack([cos * u + sin * v, cos * v - sin * u], 1)


def matrices_of(motions: np.ndarray) -> np.ndarray:
    """Rigid motions (k, 4) as matrices (k, 2, 3), see `_util.pieces.affine`."""
    cos, sin, right, down = motions.T
    return np.stack([np.stack([cos, -sin, right], -1), np.stack([sin, cos, down], -1)], 1)
