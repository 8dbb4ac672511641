"""Detection of holds under a moving camera: the camera is on ones, the figure on twos or threes.

Under a smooth pan or zoom all frames differ, though the figure is redrawn only every second or third frame. If each
pair of frames were interpolated, the background would move evenly and the figure would not. `detect_reduced` finds the
frames between two drawings, so that motion can be interpolated from drawing to drawing, over the hold.

A pixel is explained if it shows the previous frame, moved with the camera or standing still on the screen, or if the
camera uncovers what was behind something that stands still.

Frames are measured at 180×320, in CIE L*a*b*.
"""

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from _util import camera, duplicates
from _util.morphology import dilated_mask

LOOKAHEAD = 5  # frames: the rest of a hold on threes, and the whole next one

_HOLDS = 2, 3  # lengths of holds, frames
_LEAST = 4.5  # least local ‖ΔLab‖ of a new drawing
_FEWEST_STANDING = 16  # pixels
_DIFFERS = 3  # ‖ΔLab‖ from which a pixel is unexplained
_HELD = 5.5  # largest unexplained local ‖ΔLab‖ in a hold, as outlines over a moving background leave it
_FAINT, _WIDE = 1, 320  # ‖ΔLab‖, and the number of pixels above it that a hold may not reach
_GRAIN = 6  # compression and grain may add this times the 0.9 quantile of the unexplained ‖ΔLab‖
_INEXACT = 0.2  # pixels; tolerated error of motion, from rounding and from antialiased outlines
_STEP = 2  # least ratio of the change at a new drawing to that within the hold
_UNEVEN = 0.2, 0.25  # largest deviation from the camera's mean motion: share of it, plus pixels


class _View(NamedTuple):
    """A reduced frame."""

    lab: np.ndarray  # (h, w, 3), smoothed for subpixel motion
    grey: np.ndarray  # (h, w) uint8


class _Change(NamedTuple):
    """The change from one frame to the next under a moving camera (`camera.find`)."""

    motion: np.ndarray  # (5, 2) pixels, of the centre and the corners of the picture
    unexplained: float  # the largest ‖ΔLab‖ that neither the camera nor standing still explains
    wide: int  # number of pixels above _FAINT and grain
    stands: np.ndarray  # (h, w): where something stands on the screen instead of moving with the camera
    differs: np.ndarray  # (h, w): ‖ΔLab‖ on the screen


def detect_reduced(labs: Iterable[np.ndarray]) -> Iterator[bool]:
    """Whether each frame, as `duplicates.reduced_lab` returns it, shows only camera motion, within a figure's hold.

    Holds are on twos or threes. One counts only if another one precedes or follows it and the camera moves evenly
    through it, so that nothing is lost by dropping its later frames. A pan in which nothing is redrawn has no holds. At
    most `LOOKAHEAD` frames are read ahead.
    """
    changes = _changes(map(_view, labs))
    size = 2 * LOOKAHEAD + 1
    window: deque[_Change | None] = deque([None] * LOOKAHEAD, maxlen=size)
    answers: deque[bool] = deque()
    for change in itertools.chain(changes, itertools.repeat(None, LOOKAHEAD)):
        window.append(change)
        if len(window) < size:
            continue
        if not answers:
            length = _hold_before_middle(list(window))
            answers.extend([True] * (length - 1) + [False])
        yield answers.popleft()


def _view(lab: np.ndarray) -> _View:
    return _View(cv2.GaussianBlur(lab, (0, 0), 0.8), np.clip(lab[:, :, 0] * 2.55, 0, 255).astype(np.uint8))


def _changes(views: Iterable[_View]) -> Iterator[_Change | None]:
    """The change from the previous frame for each frame; None for the first one and where no camera moves."""
    last = moved_by = None
    for view in views:
        moved_by = None if last is None else camera.find(last.grey, view.grey, moved_by)
        yield None if last is None or moved_by is None else _compare(last.lab, view.lab, moved_by)
        last = view


def _hold_before_middle(changes: list[_Change | None]) -> int:
    """Length of the hold that begins with the frame before the middle, if a hold follows or precedes it; else 1."""
    start = LOOKAHEAD - 1
    for length in _HOLDS:
        if _is_hold(changes, start, length) and any(
            _is_hold(changes, start - other, other) or _is_hold(changes, start + length, other) for other in _HOLDS
        ):
            return length
    return 1


def _is_hold(changes: list[_Change | None], start: int, length: int) -> bool:
    """Whether `start` and `start + length` show new drawings, and no frame between them does."""
    if start < 0 or start + length >= len(changes):
        return False
    within = changes[start + 1 : start + length + 1]
    known = [change for change in within if change is not None]
    if len(known) < len(within):
        return False
    *held, step = known
    largest = max(_new(change, held) for change in held)
    steps = [_new(change, held) for change in (changes[start], step) if change is not None]
    is_new = min(steps) > max(_LEAST, _STEP * largest)
    is_held = largest < _HELD and max(change.wide for change in held) < _WIDE
    return is_held and is_new and _is_even(np.stack([change.motion for change in known]))


def _new(change: _Change, held: list[_Change]) -> float:
    """‖ΔLab‖ of redrawn content: unexplained change, and change where something stands still only in this change or
    only in the held ones."""
    left = (_typical(change.differs[other.stands]) for other in held)
    stopped = (_typical(other.differs[change.stands]) for other in held)
    return max(change.unexplained, *left, *stopped)


def _typical(differences: np.ndarray) -> float:
    """The 0.75 quantile over pixels that stand still; 0 if there are too few."""
    return float(np.quantile(differences, 0.75)) if differences.size > _FEWEST_STANDING else 0.0


def _is_even(motions: np.ndarray) -> bool:
    """Whether a camera's motions (n, 5, 2), one per frame, have constant speed."""
    mean = motions.mean(0)
    share, pixels = _UNEVEN
    largest = np.linalg.norm(mean, axis=1).max()
    return bool(np.linalg.norm(motions - mean, axis=2).max() < share * largest + pixels)


def _compare(one: np.ndarray, other: np.ndarray, moved_by: np.ndarray) -> _Change:
    """What a camera's motion (2, 3) leaves unexplained between two frames in L*a*b*."""
    h, w = one.shape[:2]
    motion = camera.displacements(moved_by, (h, w))
    moved, still = other - _moved(one, moved_by), other - one
    by_moving, by_standing = (duplicates.lab_length(cv2.blur(change, (3, 3))) for change in (moved, still))
    stands = (by_standing < _DIFFERS) & (by_moving > _DIFFERS)
    change = np.where((by_moving < by_standing)[:, :, None], moved, still)
    moves = (by_moving < _DIFFERS) & (by_standing > _DIFFERS)
    reach = math.ceil(np.linalg.norm(motion, axis=1).max()) + 2
    figure = (by_standing < _DIFFERS) & dilated_mask(stands, reach)
    uncovered = cv2.dilate(cv2.warpAffine(figure.astype(np.float32), moved_by, (w, h)), np.ones((3, 3))) > 0.25
    uncovered &= dilated_mask(moves, 2 * reach)  # exclude the inside of a large figure
    inside = cv2.warpAffine(np.ones((h, w), np.float32), moved_by, (w, h))
    change[dilated_mask(stands, 1) | uncovered | (cv2.erode(inside, np.ones((5, 5))) < 1)] = 0
    excess = np.maximum(duplicates.lab_length(change) - _misplaced(other), 0)
    unexplained = cv2.blur(excess, (5, 5), borderType=cv2.BORDER_CONSTANT)
    back = duplicates.lab_length(cv2.blur(one - _moved(other, cv2.invertAffineTransform(moved_by)), (3, 3)))
    stands &= back > _DIFFERS  # exclude the place to which the camera would have moved the figure
    grain = min(_GRAIN * float(np.quantile(unexplained[::3, ::3], 0.9)), _FAINT)
    wide = int(np.count_nonzero(unexplained > _FAINT + grain))
    stands = cv2.erode(stands.astype(np.uint8), np.ones((2, 2))) > 0
    return _Change(motion, float(unexplained.max()), wide, stands, by_standing)


def _misplaced(lab: np.ndarray) -> np.ndarray:
    """(h, w): the largest ‖ΔLab‖ within one pixel that an error of `_INEXACT` pixels in the motion causes."""
    slopes = (cv2.Sobel(lab[:, :, 0], cv2.CV_32F, *order, scale=_INEXACT / 8) for order in ((1, 0), (0, 1)))
    return cv2.dilate(cv2.magnitude(*slopes), np.ones((3, 3)))


def _moved(lab: np.ndarray, moved_by: np.ndarray) -> np.ndarray:
    h, w = lab.shape[:2]
    return cv2.warpAffine(lab, moved_by, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
