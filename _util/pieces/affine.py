"""Affine motions of k pieces: matrices (k, 2, 3), which take x, y of frame 0 to frame 1."""

import numpy as np


def applied(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(…, 2), where motions (…, 2, 3) take points (…, 2)."""
    return (matrices[..., :2] @ points[..., None])[..., 0] + matrices[..., 2]


def inverted(matrices: np.ndarray) -> np.ndarray:
    """(k, 2, 3), the other way."""
    linear = np.linalg.inv(matrices[:, :, :2])
    return np.concatenate([linear, -linear @ matrices[:, :, 2:]], 2)


def angles(matrices: np.ndarray) -> np.ndarray:
    """(k,), by how much motions (k, 2, 2 or 3) turn, from x towards y, radians."""
    return np.arctan2(matrices[:, 1, 0] - matrices[:, 0, 1], matrices[:, 0, 0] + matrices[:, 1, 1])
