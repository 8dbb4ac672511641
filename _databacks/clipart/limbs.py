"""Finds the limbs of a drawing: its extremities, each with a joint and the weights of a rotation about it."""

from typing import NamedTuple

import cv2
import numpy as np

GRID = 64  # pixels of the square that weights are of
_MOST = 5
_LEAST_REACH = 7  # pixels from the middle of a drawing to a tip


class DrawnLimb(NamedTuple):
    """A limb that rotates about a joint."""

    weights: np.ndarray  # (GRID, GRID) uint8 of the drawing's square, 255 for the full rotation
    joint: tuple[float, float]  # x, y, in lengths of the square's side


def find_limbs(alpha: np.ndarray, random: np.random.Generator) -> list[DrawnLimb]:
    """The limbs of a drawing: the areas around the points that are farthest from its middle and from one another.

    Distances are geodesic, along paths inside the drawing.

    Args:
        alpha: (h, w) uint8; its top left corner is that of the square.
    """
    from scipy.ndimage import distance_transform_edt

    square = np.zeros((max(alpha.shape),) * 2, np.uint8)
    square[: alpha.shape[0], : alpha.shape[1]] = alpha
    body = _largest_piece(cv2.resize(square, (GRID, GRID), interpolation=cv2.INTER_AREA) > 90)
    y, x = np.nonzero(body)
    if len(y) < 60:
        return []
    middle = np.argmin((y - y.mean()) ** 2 + (x - x.mean()) ** 2)
    from_middle = _ways(body, (int(y[middle]), int(x[middle])))
    nearest = tuple(np.asarray(distance_transform_edt(~body, return_distances=False, return_indices=True)))
    remote = np.where(body, from_middle, 0)
    limbs = []
    for _ in range(_MOST):
        tip = tuple(int(i) for i in np.unravel_index(np.argmax(remote), remote.shape))
        if remote[tip] < _LEAST_REACH:
            break
        from_tip = _ways(body, tip)
        length = from_middle[tip] * random.uniform(0.35, 0.75)
        give = max(2.5, 0.3 * length)  # distance over which the rotation fades
        follows = np.clip((length + give - np.where(body, from_tip, np.inf)) / (2 * give), 0, 1)
        follows = follows**2 * (3 - 2 * follows)
        joint = body & (np.abs(np.where(body, from_tip, np.inf) - length) < 1.5)
        if joint.any() and (follows > 0.5).sum() < 0.45 * body.sum():
            spread = follows[nearest].astype(np.float32)
            weights = (255 * cv2.GaussianBlur(spread, (0, 0), 1)).round().astype(np.uint8)
            y, x = np.nonzero(joint)
            limbs.append(DrawnLimb(weights, (float(x.mean() + 0.5) / GRID, float(y.mean() + 0.5) / GRID)))
        remote = np.minimum(remote, np.where(body, from_tip, 0))
    return limbs


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA]) if count > 1 else np.zeros_like(mask)


def _ways(mask: np.ndarray, start: tuple[int, ...]) -> np.ndarray:
    """The geodesic distance of each pixel of a mask from one of its pixels; infinite outside the mask."""
    from skimage.graph import MCP_Geometric

    return MCP_Geometric(np.where(mask, 1.0, np.inf)).find_costs([start])[0]
