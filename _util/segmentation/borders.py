"""Borders between the pieces of a label map."""

import numpy as np


def adjacent(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices (k,) of horizontally and vertically adjacent pixels of (h, w) with different labels: of the left or
    upper one, and of the other."""
    width = labels.shape[1]
    across, down = np.flatnonzero(labels[:, :-1] != labels[:, 1:]), np.flatnonzero(labels[:-1] != labels[1:])
    across += across // (width - 1)  # from indices without the last column
    return np.concatenate([across, down]), np.concatenate([across + 1, down + width])


def keys_of(labels: np.ndarray, one: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """(k,) int64, a · count + b with a < b for the labels a and b of pixels (k,), of the labels 0 … count - 1."""
    first, second = labels.flat[one].astype(np.int64), labels.flat[other]
    return np.minimum(first, second) * count + np.maximum(first, second)
