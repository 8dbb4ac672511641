"""How the camera moves from one frame to the next: a shift, zoom and turn (similarity) of what fills the picture.

Corners are tracked (Lucas and Kanade, IJCAI 1981), and motions are fitted to them one after the other by RANSAC
(Fischler and Bolles, CACM 1981). The camera's is that which goes on as before, or else covers most of the picture: a
figure that steps may have more corners than the ground has.
"""

from collections.abc import Iterator

import cv2
import numpy as np

_CELL = 20  # pixels: the side of the cells in each of which corners are looked for; divides both sides of frames
_IN_CELL = 3  # corners at most
_FAINTEST = 2e-6  # least eigenvalue of a corner
_FEWEST = 8  # corners that a motion is believed from
_MOTIONS = 3  # that are told from one another
_MOVING = 0.08  # pixels a frame; less is no motion
_NEAR = 0.5  # pixels within which a corner moves with others
_AS_SHIFT = 0.9  # share of those that a shift alone must explain to be taken instead, since it is the more exact
_CONTINUES = 0.3, 0.15  # how far the camera's motion may change from frame to frame: share of it, and pixels
_AGREEING = 0.3  # share of the cells with moving corners in which some move with the camera
_SPREAD = 0.4  # of a side of the picture, over which they are spread


def find(one: np.ndarray, other: np.ndarray, before: np.ndarray | None) -> np.ndarray | None:
    """(2, 3): where the camera brings points of one grey frame (h, w) uint8 in the other; None where it does not move.

    Args:
        before: what was found between the frame before and the first, if anything was.
    """
    start, end = _tracked(one, other)
    found = list(_motions(start, end))
    going_on = [] if before is None else [motion for motion in found if _continues(before, motion[0], one.shape)]
    if not found:
        return None
    camera, along = max(going_on or found, key=lambda motion: _covered(start[motion[1]]))
    spread = np.ptp(start[along], axis=0) / one.shape[::-1]
    fills_picture = _covered(start[along]) >= _AGREEING * _covered(start) and spread.max() >= _SPREAD
    is_moving = np.linalg.norm(of_picture(camera, one.shape), axis=1).max() >= _MOVING
    return camera if is_moving and (going_on or fills_picture) else None


def of_picture(camera: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """(5, 2) pixels: how a camera (2, 3) moves the centre and the corners of a picture of a size (h, w)."""
    h, w = size
    points = np.array([[w / 2, h / 2], [0, 0], [w, 0], [0, h], [w, h]])
    return points @ camera[:, :2].T + camera[:, 2] - points


def _tracked(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) each: the corners that move, before and after."""
    corners = _corners(one)
    if not len(corners):
        return corners, corners
    tracked, is_found, _ = cv2.calcOpticalFlowPyrLK(one, other, corners, corners.copy(), winSize=(15, 15), maxLevel=4)
    moves = (is_found.ravel() == 1) & (np.linalg.norm(tracked - corners, axis=1) > _MOVING)
    return corners[moves], tracked[moves]


def _corners(grey: np.ndarray) -> np.ndarray:
    """(n, 2) float32: the best corners of each cell of a frame, so that strong outlines do not hide a faint ground."""
    h, w = grey.shape
    strength = cv2.cornerMinEigenVal(grey, 3)
    strength[strength < cv2.dilate(strength, np.ones((5, 5)))] = 0
    cells = strength.reshape(h // _CELL, _CELL, w // _CELL, _CELL).swapaxes(1, 2).reshape(-1, _CELL**2)
    best = np.argsort(-cells, axis=1, kind="stable")[:, :_IN_CELL]
    cell, rank = np.nonzero(np.take_along_axis(cells, best, 1) > _FAINTEST)
    (row, column), (y, x) = divmod(cell, w // _CELL), divmod(best[cell, rank], _CELL)
    return np.stack([column * _CELL + x, row * _CELL + y], 1).astype(np.float32)


def _covered(points: np.ndarray) -> int:
    """Cells of the frame in which there are points (n, 2)."""
    return len(np.unique(points // _CELL, axis=0))


def _motions(start: np.ndarray, end: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Motions (2, 3) of points (n, 2), each with the numbers of those that move by it, from most to fewest."""
    left = np.arange(len(start))
    for _ in range(_MOTIONS):
        if len(left) < _FEWEST:
            return
        cv2.setRNGSeed(0)  # RANSAC samples: the same frames give the same answer, whatever came before
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
    """Whether a camera's motion may be what another becomes a frame later."""
    one, other = of_picture(before, size), of_picture(after, size)
    share, pixels = _CONTINUES
    return bool(np.linalg.norm(other - one, axis=1).max() < share * np.linalg.norm(one, axis=1).max() + pixels)
