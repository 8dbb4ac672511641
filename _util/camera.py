"""Camera motion between two frames: the similarity transform (shift, zoom and rotation) of most of the picture.

Corners are tracked (Lucas and Kanade, IJCAI 1981), and motions are fitted to them one after the other by RANSAC
(Fischler and Bolles, CACM 1981). The camera's is the one that continues the previous motion, or else covers most of the
picture. The number of corners does not decide, as a moving figure may have more than the background.
"""

from collections.abc import Iterator

import cv2
import numpy as np

_CELL = 20  # pixels; side of the cells in which corners are detected; divides both sides of frames
_IN_CELL = 3  # largest number of corners per cell
_FAINTEST = 2e-6  # least eigenvalue of a corner
_FEWEST = 8  # least number of corners that support a motion
_MOTIONS = 3  # largest number of motions fitted
_MOVING = 0.08  # pixels per frame; less is no motion
_NEAR = 0.5  # pixels; inlier threshold
_AS_SHIFT = 0.9  # least share of inliers that a pure shift must explain to be preferred, since it is more exact
_CONTINUES = 0.3, 0.15  # largest change of the camera's motion between frames: share of the motion, plus pixels
_AGREEING = 0.3  # least share of the cells with moving corners in which some move with the camera
_SPREAD = 0.4  # least extent of these, as a share of a side of the picture


def find(one: np.ndarray, other: np.ndarray, before: np.ndarray | None) -> np.ndarray | None:
    """Estimate the camera's motion between two grey frames (h, w) uint8.

    Args:
        before: the motion found between the previous frame and `one`, if any.

    Returns:
        (2, 3), the affine transform from points of `one` to points of `other`; None if the camera does not move.
    """
    start, end = _tracked(one, other)
    found = list(_motions(start, end))
    continuing = [] if before is None else [motion for motion in found if _continues(before, motion[0], one.shape)]
    if not found:
        return None
    camera, along = max(continuing or found, key=lambda motion: _covered(start[motion[1]]))
    spread = np.ptp(start[along], axis=0) / one.shape[::-1]
    fills_picture = _covered(start[along]) >= _AGREEING * _covered(start) and spread.max() >= _SPREAD
    is_moving = np.linalg.norm(displacements(camera, one.shape), axis=1).max() >= _MOVING
    return camera if is_moving and (continuing or fills_picture) else None


def displacements(camera: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Displacements (5, 2) in pixels of the centre and corners of a picture of `size` (h, w) by a camera (2, 3)."""
    h, w = size
    points = np.array([[w / 2, h / 2], [0, 0], [w, 0], [0, h], [w, h]])
    return points @ camera[:, :2].T + camera[:, 2] - points


def _tracked(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positions of moving corners in both frames, (n, 2) each."""
    corners = _corners(one)
    if not len(corners):
        return corners, corners
    tracked, is_found, _ = cv2.calcOpticalFlowPyrLK(one, other, corners, corners.copy(), winSize=(15, 15), maxLevel=4)
    moves = (is_found.ravel() == 1) & (np.linalg.norm(tracked - corners, axis=1) > _MOVING)
    return corners[moves], tracked[moves]


def _corners(grey: np.ndarray) -> np.ndarray:
    """The best corners (n, 2) float32 of each cell, so that strong outlines do not crowd out a faint background."""
    h, w = grey.shape
    strength = cv2.cornerMinEigenVal(grey, 3)
    strength[strength < cv2.dilate(strength, np.ones((5, 5)))] = 0
    cells = strength.reshape(h // _CELL, _CELL, w // _CELL, _CELL).swapaxes(1, 2).reshape(-1, _CELL**2)
    best = np.argsort(-cells, axis=1, kind="stable")[:, :_IN_CELL]
    cell, rank = np.nonzero(np.take_along_axis(cells, best, 1) > _FAINTEST)
    (row, column), (y, x) = divmod(cell, w // _CELL), divmod(best[cell, rank], _CELL)
    return np.stack([column * _CELL + x, row * _CELL + y], 1).astype(np.float32)


def _covered(points: np.ndarray) -> int:
    """The number of cells that contain points (n, 2)."""
    return len(np.unique(points // _CELL, axis=0))


def _motions(start: np.ndarray, end: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Fit motions (2, 3) to points (n, 2) one after the other, each with the indices of its inliers."""
    left = np.arange(len(start))
    for _ in range(_MOTIONS):
        if len(left) < _FEWEST:
            return
        motion, inliers = cv2.estimateAffinePartial2D(start[left], end[left], ransacReprojThreshold=_NEAR, maxIters=500)
        if motion is None or np.count_nonzero(inliers) < _FEWEST:
            return
        along = left[inliers.ravel() == 1]
        shift = end[along] - start[along]
        is_shifted = np.linalg.norm(shift - np.median(shift, axis=0), axis=1) < _NEAR
        if np.count_nonzero(is_shifted) >= _AS_SHIFT * len(along):
            motion = np.column_stack([np.eye(2), shift[is_shifted].mean(0)])
        yield motion, along
        left = np.setdiff1d(left, along)


def _continues(before: np.ndarray, after: np.ndarray, size: tuple[int, ...]) -> bool:
    """Whether a camera's motion `after` is close enough to `before` to continue it."""
    one, other = displacements(before, size), displacements(after, size)
    share, pixels = _CONTINUES
    return bool(np.linalg.norm(other - one, axis=1).max() < share * np.linalg.norm(one, axis=1).max() + pixels)
