"""Filling of holes in pictures from the pixels around them.

Push-pull (Gortler et al., "The Lumigraph", SIGGRAPH 1996): the known pixels are averaged into a pyramid of smaller
pictures until no hole is left, and each hole takes its value from the next smaller picture.
"""

import cv2
import numpy as np


def push_pull(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fill the unknown pixels of a picture smoothly, coarse to fine.

    Args:
        picture: (h, w, c) float32.
        known: (h, w) bool.

    Returns:
        (h, w, c) float32, the known pixels unchanged. A picture without any known pixel is returned as it is.
    """
    weight = known.astype(np.float32)[:, :, None]
    if weight.all() or not weight.any():
        return picture
    return np.where(known[:, :, None], picture, _pulled(picture * weight, weight))


def _pulled(picture: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The filled picture, from the picture (h, w, c) multiplied by its weights (h, w, 1)."""
    if weight.all():
        return picture / np.maximum(weight, 1e-6)
    h, w = picture.shape[:2]
    size = (w + 1) // 2, (h + 1) // 2
    smaller = [
        cv2.resize(x, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1) for x in (picture, weight)
    ]
    total = np.minimum(smaller[1] * 4, 1)
    scale = total / np.maximum(smaller[1], 1e-6)
    coarse = cv2.resize(_pulled(smaller[0] * scale, total), (w, h), interpolation=cv2.INTER_LINEAR)
    return picture + (1 - weight) * coarse.reshape(h, w, -1)
