"""The two tones of a line drawing: one ink on one ground, or on transparency.

In: a drawing, RGB or RGBA. Out: its tones, and the share of ink at each pixel.
"""

from typing import NamedTuple

import cv2
import numpy as np

_OFF = 0.15  # of 1; difference from mixtures of ink and ground above which a pixel is off
_FEW = 0.01  # share of pixels that may be off
_STRIDE, _CLEARLY = 4, 2  # of a sample of the pixels; factor of that share above which no more pixels are looked at
_ONE_SIDED = 0.5  # least distance of ink from the ground, relative to the farthest colour
_THICK = 1 / 60  # of the height; thicker regions are areas
_LEVELS = 0.25, 0.5  # shares of ink at which areas are sought: shades, ink
_FAINT, _STRONG, _BESIDE = 0.15, 0.5, 5  # range of the share of ink of a fainter line; pixels around it
_MANY_FAINT = 0.05  # share of the drawn pixels that may be fainter
_UNEVEN, _AREA = 0.03, 33  # of 1; difference of paper from the ground; pixels over which it is measured
_GRAIN = 5  # pixels; window of medians, two in turn, that remove the grain of paper and thin lines
_LEVEL = 127  # 8-bit levels per unit of difference
_TINT, _LEAST = 1 / 5400, 32  # least tinted area: share of the pixels, and pixels
_BLANK = 0.7  # least share of pixels that show the ground
_OTHER = 0.3  # of 1; difference in colour from most lines above which a line is of another ink
_AVERAGED = 2.0  # pixels; standard deviation of the window over which colours of lines are averaged
_THIN = 0.25  # share of ink, averaged likewise, below which differences in colour are not enlarged
_STROKE = 12  # pixels; connected ones of another ink that are a stroke


class Tones(NamedTuple):
    """Ink and ground of a line drawing, RGB in [0, 1]; `ground` is None if it is transparent."""

    ink: np.ndarray
    ground: np.ndarray | None


def find_tones(frame: np.ndarray, is_forced: bool = False) -> Tones | None:
    """The tones of a pure line drawing, (h, w, 3) RGB or (h, w, 4) RGBA in [0, 1]; None for any other picture.

    Args:
        is_forced: accept any drawing that has two tones.
    """
    is_transparent = frame.shape[2] == 4 and (frame[:, :, 3] < 0.5).mean() >= _BLANK
    if frame.shape[2] == 4 and not is_transparent and frame[:, :, 3].min() < 1:
        return None
    tones = _tones_on_transparent(frame) if is_transparent else _tones_on_ground(frame[:, :, :3], is_forced)
    if tones is None or is_forced:
        return tones
    share = share_of_ink(frame, tones)
    if (share < 0.1).mean() < _BLANK:
        return None
    if any(_has_areas(share > level) for level in _LEVELS):
        return None
    return None if _has_other_inks(frame, tones, share) else tones


def _has_areas(drawn: np.ndarray) -> bool:
    """Whether what is drawn (h, w) is not of lines alone, or nothing."""
    inside = cv2.distanceTransform(drawn.astype(np.uint8), cv2.DIST_L2, 5)
    inside = inside[inside > 0]
    return not len(inside) or bool((inside > max(4.0, _THICK * len(drawn))).mean() > _FEW)


def _has_other_inks(frame: np.ndarray, tones: Tones, share: np.ndarray) -> bool:
    """Whether a stroke, or more than a few of the drawn pixels, differs in colour from most of what is drawn.

    Colours are averaged around each pixel, weighted by the share of ink (h, w), since compression and scanners shift
    them by a pixel or two.
    """
    if tones.ground is None:
        drawn, off = share > _FAINT, share[:, :, None] * (frame[:, :, :3] - tones.ink)
    else:
        change, way = frame[:, :, :3] - tones.ground, tones.ink - tones.ground
        drawn = np.linalg.norm(change, axis=2) > _FAINT * np.linalg.norm(way)
        off = change - share[:, :, None] * way
    weight = cv2.GaussianBlur(share, (0, 0), _AVERAGED)[drawn]
    off = cv2.GaussianBlur(off.astype(np.float32), (0, 0), _AVERAGED)[drawn] / np.maximum(weight, _THIN)[:, None]
    is_other = np.linalg.norm(off - np.median(off, 0), axis=1) > _OTHER
    if np.count_nonzero(is_other) > _FEW * len(is_other):
        return True
    others = np.zeros(share.shape, np.uint8)
    others[drawn] = is_other
    stats = cv2.connectedComponentsWithStats(others, connectivity=8)[2]
    return bool((stats[1:, cv2.CC_STAT_AREA] >= _STROKE).any())


def is_even(frame: np.ndarray, tones: Tones) -> bool:
    """Whether all lines of a drawing are of about one strength, on an even ground.

    Scans of shaded paper are not, nor is ink over the fainter lines of a sketch, nor are drawings with pale fills.
    """
    share = share_of_ink(frame, tones)
    drawn = share > _FAINT
    strongest = cv2.dilate(share, np.ones((2 * _BESIDE + 1,) * 2, np.uint8))
    if np.count_nonzero(drawn & (strongest < _STRONG)) > _MANY_FAINT * np.count_nonzero(drawn):
        return False
    off = share[:, :, None] if tones.ground is None else (frame[:, :, :3] - tones.ground).astype(np.float32)
    if _has_tints(off, strongest < _STRONG):
        return False
    if tones.ground is None:
        return True
    paper = cv2.erode((~drawn).astype(np.float32), np.ones((2 * _BESIDE + 1,) * 2, np.uint8))
    area = cv2.boxFilter(paper, -1, (_AREA, _AREA))
    mean = cv2.boxFilter(off * paper[:, :, None], -1, (_AREA, _AREA)) / np.maximum(area, 1e-3)[:, :, None]
    is_off = (_largest(mean) > _UNEVEN) & (paper > 0)
    return bool(np.count_nonzero(is_off) <= _FEW * np.count_nonzero(paper))


def _has_tints(off: np.ndarray, is_paper: np.ndarray) -> bool:
    """Whether an area of the paper (h, w) is tinted, by its difference from the ground (h, w, channels).

    Areas at the border do not count: there, paper is often shaded.
    """
    if not ((_largest(off) > _UNEVEN) & is_paper).any():
        return False
    levels = cv2.convertScaleAbs(off, alpha=_LEVEL, beta=_LEVEL)
    for _ in range(2):
        levels = cv2.medianBlur(levels, _GRAIN)
    tinted = (_largest(levels - np.float32(_LEVEL)) > _UNEVEN * _LEVEL) & is_paper
    left, top, width, height, area = cv2.connectedComponentsWithStats(tinted.astype(np.uint8), connectivity=8)[2][1:].T
    h, w = tinted.shape
    is_inside = (left > 0) & (top > 0) & (left + width < w) & (top + height < h)
    return bool((area[is_inside] >= max(_LEAST, _TINT * tinted.size)).any())


def _largest(off: np.ndarray) -> np.ndarray:
    """The largest absolute value of any channel, (h, w)."""
    return np.maximum.reduce(cv2.split(abs(off)))


def _tones_on_transparent(frame: np.ndarray) -> Tones | None:
    drawn = frame[frame[:, :, 3] > 0.5]
    return Tones(np.median(drawn[:, :3], 0), None) if len(drawn) else None


def _tones_on_ground(colours: np.ndarray, is_forced: bool) -> Tones | None:
    if not is_forced:
        sample = _two_tones(colours[::_STRIDE, ::_STRIDE])
        if sample is not None and sample[1] > _CLEARLY * _FEW:
            return None
    found = _two_tones(colours)
    return found[0] if found is not None and (is_forced or found[1] <= _FEW) else None


def _two_tones(colours: np.ndarray) -> tuple[Tones, float] | None:
    """The median and what is farthest from it, and the share of pixels that are off; None if there is no contrast, or
    if what is farthest lies to all sides, as around the median of two colours on half of the frame each."""
    flat = colours.reshape(-1, 3)
    ground = np.median(flat, 0)
    change = flat - ground
    distance = _length(change)
    if distance.max() < 0.3:
        return None
    ink = np.median(flat[distance >= 0.9 * distance.max()], 0)
    if np.linalg.norm(ink - ground) < _ONE_SIDED * distance.max():
        return None
    tones = Tones(ink, ground)
    share = share_of_ink(colours, tones).reshape(-1, 1)
    off = _length(change - share * (ink - ground))
    return tones, float((off > _OFF).mean())


def _length(vectors: np.ndarray) -> np.ndarray:
    """Euclidean length (n,) of vectors (n, 3); several times faster than `np.linalg.norm`."""
    x, y, z = vectors.T
    return np.sqrt(x * x + y * y + z * z)


def share_of_ink(frame: np.ndarray, tones: Tones) -> np.ndarray:
    """The share of ink at each pixel, (h, w) float32 in [0, 1]."""
    if tones.ground is None:
        return frame[:, :, 3].astype(np.float32)
    way = tones.ink - tones.ground
    share = (frame[:, :, :3] - tones.ground) @ way / (way @ way)
    return share.clip(0, 1).astype(np.float32)


def with_ink(share: np.ndarray, tones: Tones, channels: int) -> np.ndarray:
    """A picture (h, w, 3 or 4) float32 of a share of ink (h, w)."""
    share = share[:, :, None]
    if tones.ground is None:
        return np.concatenate([tones.ink * (share > 0), share], 2).astype(np.float32)
    picture = tones.ground + share * (tones.ink - tones.ground)
    if channels == 4:
        picture = np.concatenate([picture, np.ones_like(share)], 2)
    return picture.astype(np.float32)
