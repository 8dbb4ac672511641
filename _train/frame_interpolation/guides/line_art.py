"""Line drawings: faded lines of in-betweens are redrawn with the widths of the keys, and grey remains are erased.

A line drawing is one ink on one ground, or on transparency: a share of ink at each pixel. Where lines of an in-between
are blurred or blended, only their positions are taken from it: along the ridges of its share of ink, strokes are drawn
with the width that the lines of both keys have there. Solid lines, and marks that are no lines, stay as drawn.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from _util.errors import InputError
from _util.morphology import dilated_mask, nearest_known
from _util.tones import Tones, find_tones, is_even, share_of_ink, with_ink

_FINER = 3  # factor of resolution at which lines are traced
_FAINT = 0.3  # share of ink of a ridge below which nothing is drawn
_WITHIN = 3  # pixels within which ink is compared with the strongest ink nearby
_SPECK = 4.0  # least ink of a line, in square pixels
_WINDOW = 4.0  # pixels; standard deviation of the window over which widths are measured
_BROAD = 4.5  # width in pixels from which on it is measured from edge to edge
_ENDS = 4  # pixels from the end of a line within which its width is taken from further inside
_STAIRS = 0.95  # ratio of a line's length to that of its 8-connected pixel chain (Kulpa, 1977)
_AT_REST = 1.5 / 255  # largest difference of shares of ink between keys that agree
_LIKE = 0.25  # largest difference of shares of ink at which an in-between shows a resting line
_GONE = 0.5  # difference between keys above which a line has moved away
_RIM = 2  # pixels of the rim around moving or resting lines
_AROUND = 4  # pixels around differences that may be redrawn
_FADED = 0.52  # largest share of ink around a line that is redrawn
_BESIDE, _BLEND = 2, 3  # pixels beside it that are; pixels over which they are blended with what stays
_SOLID = 0.51  # share of ink from which on a pixel is of a line, in 8 bits too
_REMAINS = 2.0  # pixels from lines above which greys are erased
_HAIRLINE = 1.0  # width in pixels below which lines are grey in the keys as well


class Lines:
    """Two keys that are pure line drawings, (h, w, 3) RGB or (h, w, 4) RGBA in [0, 1]."""

    def __init__(self, frames: Sequence[np.ndarray], tones: Sequence[Tones]):
        self.tones = tones
        self._shares = [share_of_ink(frame, of_key) for frame, of_key in zip(frames, tones, strict=True)]
        self.widths = np.stack([_widths(share) for share in self._shares])  # (2, h, w), of the line nearest to a pixel

    @classmethod
    def of(cls, frame0: np.ndarray, frame1: np.ndarray, is_forced: bool = False) -> "Lines | None":
        """The lines of two keys; None if one of them shows more than lines, lines of several strengths, or uneven
        paper, if only one of them is transparent, or if one is a negative of the other.

        Args:
            is_forced: treat both keys as line drawings.

        Raises:
            InputError: `is_forced`, and a key is not in one ink on one ground, only one of the keys is transparent, or
                one is a negative of the other.
        """
        frames = frame0, frame1
        tones = [find_tones(frame, is_forced) for frame in frames]
        if not is_forced:
            tones = [of if of and is_even(frame, of) else None for frame, of in zip(frames, tones, strict=True)]
        found = [one for one in tones if one is not None]
        problem = ""
        if len(found) < 2 or (found[0].ground is None) != (found[1].ground is None):
            problem = "a key has no ink on one ground, as black on white"
        elif _are_opposite(*found):
            problem = "one key is a negative of the other, so that lines vanish between them"
        if not problem:
            return cls(frames, found)
        if is_forced:
            raise InputError(f"Line art is on, but {problem}; set it to auto or off.")
        return None

    def redraw(self, frame: np.ndarray, t: float, width: np.ndarray, is_soft: bool = False) -> np.ndarray:
        """Redraw faded lines of an in-between (h, w, 3 or 4) with widths (h, w) in pixels, and erase grey remains.

        Args:
            is_soft: redraw all lines that move, as splatting softens them.
        """
        first, last = self.tones
        tones = _mixed(first, last, t)
        share = share_of_ink(frame, tones)
        differs = np.maximum(*(abs(share - of_key) for of_key in self._shares)) > _AT_REST
        may_change = dilated_mask(differs, _AROUND)
        lines = redrawn(share, width)
        solid = np.where(may_change, lines if is_soft else _with_solid_lines(share, lines), share)
        distance = cv2.distanceTransform((solid < _SOLID).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        remains = may_change & (distance > _REMAINS) & (self.widths.min(0) >= _HAIRLINE)
        return with_ink(self._with_rest(np.where(remains, 0, solid), share), tones, frame.shape[2])

    def _with_rest(self, changed: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Replace lines at rest, which both keys and the in-between show, by those of the keys.

        Args:
            changed: the redrawn share of ink, (h, w).
            share: that of the in-between before, (h, w).
        """
        rest, differ = np.minimum(*self._shares), abs(self._shares[0] - self._shares[1])
        agrees, is_moving = differ <= _AT_REST, abs(share - rest) > _LIKE
        beside = dilated_mask((rest > 0.5) & agrees & ~is_moving, _RIM)
        with_ink_of_rest = np.where(beside & agrees & ~is_moving, np.maximum(changed, rest), changed)
        is_rest = beside & (agrees | dilated_mask(differ > _GONE, _RIM)) & ~dilated_mask(is_moving, _RIM)
        return np.where(is_rest, rest, with_ink_of_rest)


def _with_solid_lines(share: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """A share of ink (h, w) in which faded lines are replaced by those redrawn, (h, w)."""
    strongest = cv2.dilate(share, np.ones((3, 3), np.uint8))
    is_faded = dilated_mask((lines > 0.5) & (strongest < _FADED), _BESIDE)
    weight = cv2.blur(is_faded.astype(np.float32), (_BLEND, _BLEND))
    return share + weight * (lines - share)


def _are_opposite(first: Tones, last: Tones) -> bool:
    """Whether the contrast of ink and ground turns round between two drawings, and is lost on the way."""
    if first.ground is None or last.ground is None:
        return False
    return bool((first.ink - first.ground) @ (last.ink - last.ground) <= 0)


def _mixed(first: Tones, last: Tones, t: float) -> Tones:
    """Interpolate the tones of two drawings at time t."""
    if first.ground is None or last.ground is None:
        return Tones((1 - t) * first.ink + t * last.ink, None)
    return Tones((1 - t) * first.ink + t * last.ink, (1 - t) * first.ground + t * last.ground)


def _widths(share: np.ndarray) -> np.ndarray:
    """(h, w) float32, the width in pixels of the nearest line; 1 without lines.

    Of narrow lines, their ink divided by their length. Of broad ones, twice the distance of the medial axis from the
    edge (Blum, 1967), since short marks, such as dots, have hardly any length.
    """
    trace = _trace(share)
    if not trace.any():
        return np.ones_like(share)
    mass = cv2.GaussianBlur(share, (0, 0), _WINDOW)
    length = cv2.GaussianBlur(_length(trace), (0, 0), _WINDOW)
    known = _blocks(trace).max(3).max(1)
    narrow = np.where(known, mass / np.maximum(length, 1e-6), np.inf)
    narrow = cv2.erode(narrow, np.ones((2 * _ENDS + 1,) * 2, np.uint8))  # traces end before lines do
    inside = (_enlarged(share) > 0.5).astype(np.uint8)
    radius = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) / _FINER
    broad = 2 * _blocks(np.where(trace, radius, 0)).max(3).max(1)
    width = np.where(broad > _BROAD, broad, np.minimum(narrow, _BROAD))
    return nearest_known(width.astype(np.float32), known)[0]


def redrawn(share: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Redraw lines along the ridges of a share of ink, (h, w) float32, with widths (h, w) in pixels."""
    trace = _trace(share)
    if not trace.any():
        return np.zeros_like(share)
    h, w = share.shape
    distance = cv2.distanceTransform((~trace).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = cv2.GaussianBlur(distance, (0, 0), 1.0)
    fine = cv2.resize(width, (w * _FINER, h * _FINER), interpolation=cv2.INTER_LINEAR)
    covered = (fine * _FINER / 2 - distance + 0.5).clip(0, 1)
    return cv2.resize(covered, (w, h), interpolation=cv2.INTER_AREA)


def _trace(share: np.ndarray) -> np.ndarray:
    """The centre lines, one pixel wide, on a grid `_FINER` times as fine: bool."""
    fine = cv2.GaussianBlur(_enlarged(share), (0, 0), 0.5 * _FINER)
    reach = 2 * _WITHIN * _FINER + 1
    strongest = cv2.dilate(fine, np.ones((reach, reach), np.uint8))
    lines = (fine > 0.5 * strongest) & (fine > _FAINT / 2) & (strongest > _FAINT)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(lines.astype(np.uint8), connectivity=8)
    ink = np.bincount(labels.ravel(), fine.ravel(), count) / _FINER**2
    kept = (ink >= _SPECK) | (stats[:, cv2.CC_STAT_AREA] >= 2 * _SPECK * _FINER**2)
    kept[0] = False
    from skimage.morphology import skeletonize  # slow to import, and rarely needed

    return skeletonize(kept[np.asarray(labels, np.intp)])


def _enlarged(share: np.ndarray) -> np.ndarray:
    h, w = share.shape
    return cv2.resize(share, (w * _FINER, h * _FINER), interpolation=cv2.INTER_CUBIC)


def _length(trace: np.ndarray) -> np.ndarray:
    """(h, w) float32, the length of the centre lines in each pixel, in pixels."""
    step = np.array([[2**0.5, 1, 2**0.5], [1, 0, 1], [2**0.5, 1, 2**0.5]], np.float32) / 2
    pixels = trace.astype(np.float32)
    lengths = cv2.filter2D(pixels, -1, step, borderType=cv2.BORDER_CONSTANT) * pixels * (_STAIRS / _FINER)
    return _blocks(lengths).sum((1, 3))


def _blocks(fine: np.ndarray) -> np.ndarray:
    """View a fine grid by pixels: (h, finer, w, finer)."""
    h, w = fine.shape
    return fine.reshape(h // _FINER, _FINER, w // _FINER, _FINER)
