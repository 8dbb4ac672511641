"""Affine motions of k pieces: matrices (k, 2, 3), which take x, y of frame 0 to frame 1."""

import numpy as np

from _util.compiled import njit


def applied(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply motions (…, 2, 3) to points (…, 2)."""
    return (matrices[..., :2] @ points[..., None])[..., 0] + matrices[..., 2]


def inverted(matrices: np.ndarray) -> np.ndarray:
    """The inverse motions (k, 2, 3)."""
    linear = np.linalg.inv(matrices[:, :, :2])
    return np.concatenate([linear, -linear @ matrices[:, :, 2:]], 2)


def angles(matrices: np.ndarray) -> np.ndarray:
    """Rotation angles (k,) of motions (k, 2, 2 or 3), from x towards y, radians."""
    return np.arctan2(matrices[:, 1, 0] - matrices[:, 0, 1], matrices[:, 0, 0] + matrices[:, 1, 1])


@njit()
def moved(motion, x, y):
    """The place to which a motion (2, 3) takes x, y."""
    return motion[0, 0] * x + motion[0, 1] * y + motion[0, 2], motion[1, 0] * x + motion[1, 1] * y + motion[1, 2]


@njit()
def landing(motion, bend, x, y, frame):
    """Column and row at which a pixel of frame 0 or 1 lands in the other frame.

    `bend` (2,) is in pixels of frame 0. `motion` takes frame 0 to frame 1, or for a pixel of frame 1, back.
    """
    u, v = x + 0.0, y + 0.0
    if frame == 0:
        u, v = u + bend[0], v + bend[1]
    column, row = moved(motion, u, v)
    if frame == 1:
        column, row = column + bend[0], row + bend[1]
    return round(column), round(row)
