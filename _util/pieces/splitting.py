"""Limbs that are one piece with a body, such as the arm of a coat: found by what moves.

In: matched pieces and their motions. Out: a matching in which such limbs are pieces of their own. If the motion of a
body does not explain a part of it in either frame, and a rotation about a joint with the body takes one part to the
other, they are the limb. What both frames show of the limb near the joint belongs to it as well.
"""

from typing import NamedTuple

import cv2
import numpy as np

from _util import threads
from _util.compiled import njit
from _util.pieces import fitting
from _util.pieces.affine import angles, applied, inverted, moved
from _util.pieces.ground import LARGE
from _util.segmentation import Segments, describe
from _util.sgm.matching import Matching

_THICK = 3  # pixels at 540×960; thinner parts are differences of outlines
_SMALLEST = 300  # pixels of a part at 540×960
_LARGEST = 0.5  # of the frame; a larger piece is no body
_MARGIN = 2  # pixels around masks that are fitted
_MOST = 24  # pairs of parts that are tried
_RATIO = 2.2  # largest ratio of the areas of both parts
_TURNED, _MOST_TURNED = np.radians([8, 90])  # range of the rotation of a limb
_ROUGH, _MISFIT = 0.6, 0.22  # largest cost of the fit of parts, and of whole limbs
_ROUNDS = 2  # in which limbs are fitted and grown
_REACH = 0.9  # share of the border between limb and body that the disc about the joint holds
_ALIKE = 16  # levels within which pixels have the colour of their body
_JOINT = 0.8  # largest distance of the joint from where limb and body touch, in square roots of the limb's area
_NO_JOINTS = fitting.Joints(np.zeros((0, 4)), np.zeros(2, np.int64))


class _Part(NamedTuple):
    """A part of a body that the motion of the body does not explain."""

    pair: int  # of the body
    mask: np.ndarray  # (h, w) bool
    area: int


def split(
    pictures: tuple[np.ndarray, np.ndarray],
    matching: Matching,
    pairs: np.ndarray,
    matrices: np.ndarray,
    stays: list[np.ndarray],
    scale: float,
) -> Matching | None:
    """The matching with limbs as pieces of their own; None if there are none.

    Args:
        pictures: of both frames, (h, w, 3) uint8.
        pairs, matrices: (k, 2) and (k, 2, 3), matched pieces and their motions.
        stays: (n,) bool, the pieces of either frame that are ground.
        scale: of lengths, 1 at 540×960.
    """
    both = matching.segments0, matching.segments1
    hiding = [_may_hide(pairs[:, i], matrices, ground) for i, ground in enumerate(stays)]
    ways, back = (both, both[::-1]), inverted(matrices)
    parts = threads.each(_unexplained, ways, (pairs, pairs[:, ::-1]), (matrices, back), hiding[::-1], (scale, scale))
    tries = [
        (one, other)
        for one in parts[0]
        for other in parts[1]
        if one.pair == other.pair and max(one.area, other.area) <= _RATIO * min(one.area, other.area)
    ]
    tries = sorted(tries, key=lambda pair: -pair[0].area)[:_MOST]
    fits = _fits(pictures, both, [(one.mask, other.mask) for one, other in tries], scale)
    limbs, used = [], set()
    for number in np.argsort(fits[:, 6], kind="stable").tolist():
        ends = {(i, id(part)) for i, part in enumerate(tries[number])}
        if fits[number, 6] <= _ROUGH and not used & ends:
            pair = tries[number][0].pair
            limb = _limb(pictures, both, tries[number], pairs[pair], matrices[pair], fits[number], scale)
            if limb is not None:
                used |= ends
                limbs.append(limb)
    if not limbs:
        return None
    segments = [_with_pieces(of, [limb[i] for limb in limbs], pictures[i]) for i, of in enumerate(both)]
    new = np.arange(len(limbs))[:, None] + [len(of.areas) for of in both]
    return matching._replace(
        pairs=np.concatenate([matching.pairs, new]),
        affinities=np.append(matching.affinities, np.ones(len(limbs), np.float32)),
        segments0=segments[0],
        segments1=segments[1],
    )


def _may_hide(pieces: np.ndarray, matrices: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """(n,) bool: which pieces of a frame may pass in front of others: those that move, and those without a match.

    Args:
        pieces: (k,), the matched ones.
    """
    found = ~ground
    found[pieces] = (matrices != np.eye(2, 3)).any((1, 2))
    return found


def _unexplained(
    both: tuple[Segments, Segments], pairs: np.ndarray, matrices: np.ndarray, hiding: np.ndarray, scale: float
) -> list[_Part]:
    """The parts of pieces of the first frame that land neither on their match nor on what may hide it.

    Args:
        hiding: (n,) bool, pieces of the second frame that may hide others.
    """
    here, there = both
    h, w = here.labels.shape
    size = 2 * round(_THICK * scale / 2) + 1
    found = []
    for k, (piece, match) in enumerate(pairs.tolist()):
        if here.areas[piece] > _LARGEST * h * w or here.areas[piece] < 2 * _SMALLEST * scale**2:
            continue
        x0, y0, x1, y1 = here.boxes[piece].tolist()
        lost = np.zeros((y1 - y0, x1 - x0), np.uint8)
        area = _find_lost(here.labels, there.labels, piece, match, x0, y0, matrices[k], hiding, lost)
        if area < _SMALLEST * scale**2:
            continue
        cores = cv2.morphologyEx(lost, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
        count, labels = cv2.connectedComponents(cores, connectivity=4)
        for label in range(1, count):
            core = (labels == label).astype(np.uint8)
            part = (cv2.dilate(core, np.ones((size, size), np.uint8)) > 0) & (lost > 0)
            if part.sum() >= _SMALLEST * scale**2:
                mask = np.zeros((h, w), bool)
                mask[y0:y1, x0:x1] = part
                found.append(_Part(k, mask, int(part.sum())))
    return found


@njit()
def _find_lost(labels, labels_there, piece, match, left, top, motion, hiding, lost):
    """Mark the pixels of a piece, in its box, that land in the other frame neither on their match nor on what may hide
    them; returns their number."""
    h, w = labels_there.shape
    count = 0
    for y in range(lost.shape[0]):
        for x in range(lost.shape[1]):
            if labels[top + y, left + x] != piece:
                continue
            u, v = moved(motion, left + x, top + y)
            column, row = round(u), round(v)
            if 0 <= row < h and 0 <= column < w:
                landed = labels_there[row, column]
                if landed != match and not hiding[landed]:
                    lost[y, x] = 1
                    count += 1
    return count


def _with_pieces(segments: Segments, masks: list[np.ndarray], picture: np.ndarray) -> Segments:
    """The pieces of a frame, of which masks become further ones."""
    count = len(segments.areas)
    labels = segments.labels.copy()
    changed = []
    for i, mask in enumerate(masks):
        changed += np.unique(labels[mask]).tolist()
        labels[mask] = count + i
    total = count + len(masks)
    areas, centroids, boxes, colours = (
        np.concatenate([of, np.zeros((len(masks), *of.shape[1:]), of.dtype)])
        for of in (segments.areas, segments.centroids, segments.boxes, segments.colours)
    )
    for piece in {*changed, *range(count, total)}:
        y, x = np.nonzero(labels == piece)
        areas[piece] = len(x)
        if len(x):
            centroids[piece] = x.mean(), y.mean()
            boxes[piece] = x.min(), y.min(), x.max() + 1, y.max() + 1
            colours[piece] = picture[y, x].mean(0) / 255
    return Segments(labels, areas, centroids, boxes, colours)


def _fits(
    pictures: tuple[np.ndarray, np.ndarray],
    both: tuple[Segments, Segments],
    masks: list[tuple[np.ndarray, np.ndarray]],
    scale: float,
) -> np.ndarray:
    """(k, 8), see `fitting.fit`, of k pairs of masks (h, w) of both frames, fitted in the box that holds them."""
    fits = np.zeros((len(masks), 8))

    def work(start: int, stop: int) -> None:
        for fit, pair in zip(fits[start:stop], masks[start:stop], strict=True):
            x, y, width, height = cv2.boundingRect((pair[0] | pair[1]).view(np.uint8))
            corner = np.maximum([x - _MARGIN, y - _MARGIN], 0)
            box = np.s_[corner[1] : y + height + _MARGIN, corner[0] : x + width + _MARGIN]
            (shapes0, one), (shapes1, other) = (
                _shapes(picture, of, mask, box) for picture, of, mask in zip(pictures, both, pair, strict=True)
            )
            areas = np.array([np.mean([mask.sum() for mask in pair])])
            numbers = np.array([[one, other]])
            fitting.fit(numbers, shapes0, shapes1, areas, np.array([np.inf]), _NO_JOINTS, scale, fit[None], 0, 1)
            motion = fit[:6].reshape(2, 3)
            motion[:, 2] += corner - motion[:, :2] @ corner

    threads.run(work, len(masks))
    return fits


def _shapes(
    picture: np.ndarray, segments: Segments, mask: np.ndarray, box: tuple[slice, slice]
) -> tuple[fitting.Shapes, int]:
    """The shapes of the pieces within a box, of which a mask becomes a further one; and its number."""
    labels = segments.labels[box].copy()
    labels[mask[box]] = len(segments.areas)
    pixels = np.ascontiguousarray(picture[box])
    within = describe(labels, pixels)
    names = np.empty(len(within.areas), np.int64)
    names[within.labels.ravel()] = labels.ravel()
    can_occlude = np.append(segments.areas, 0)[names] <= LARGE * segments.labels.size
    return fitting.shapes_of(pixels, within, can_occlude), int(np.flatnonzero(names == len(segments.areas))[0])


def _limb(
    pictures: tuple[np.ndarray, np.ndarray],
    both: tuple[Segments, Segments],
    parts: tuple[_Part, _Part],
    body: np.ndarray,
    of_body: np.ndarray,
    fit: np.ndarray,
    scale: float,
) -> tuple[np.ndarray, np.ndarray] | None:
    """The masks (h, w) of a limb in both frames, or None.

    Args:
        parts: of it.
        body, of_body: the body's pieces (2,), and its motion (2, 3).
        fit: (8,), of the parts.
    """
    limb = parts[0].mask, parts[1].mask
    bodies = both[0].labels == body[0], both[1].labels == body[1]
    insides = _inside(pictures[0], bodies[0]), _inside(pictures[1], bodies[1])
    for _ in range(_ROUNDS):
        limb = _grown(parts, bodies, insides, fit[:6].reshape(2, 3), of_body)
        if limb is None:
            return None
        (fit,) = _fits(pictures, both, [limb], scale)
    turn = abs(angles(fit[None, :6].reshape(1, 2, 3))[0])
    left = min((body & ~mask).sum() for body, mask in zip(bodies, limb, strict=True))
    return limb if fit[6] <= _MISFIT and turn <= _MOST_TURNED and left >= _SMALLEST * scale**2 else None


def _grown(
    parts: tuple[_Part, _Part],
    bodies: tuple[np.ndarray, np.ndarray],
    insides: tuple[np.ndarray, np.ndarray],
    motion: np.ndarray,
    of_body: np.ndarray,
) -> tuple[np.ndarray, np.ndarray] | None:
    """The masks (h, w) of a limb in both frames: parts of it, and what else of the inside of its body moves with them;
    None if the parts do not rotate about a joint with the body."""
    joint = _joint(parts[0], bodies[0], motion, of_body)
    if joint is None:
        return None
    back, (inside0, inside1) = inverted(motion[None])[0], insides
    return (
        parts[0].mask | (bodies[0] & (_moved(parts[1].mask, back) | (_moved(inside1, back) & inside0 & joint))),
        parts[1].mask | (bodies[1] & (_moved(parts[0].mask, motion) | (_moved(inside0 & joint, motion) & inside1))),
    )


def _joint(part: _Part, body: np.ndarray, motion: np.ndarray, of_body: np.ndarray) -> np.ndarray | None:
    """(h, w) bool, the disc about which a part rotates against its body in frame 0; None if it does not.

    It reaches as far as the border between both. What lies in it moves with the part too, so that no gap opens.
    """
    back = inverted(of_body[None])[0]
    relative = np.concatenate([back[:, :2] @ motion[:, :2], applied(back, motion[:, 2])[:, None]], 1)
    if abs(angles(relative[None])[0]) < _TURNED:
        return None
    pivot = np.linalg.lstsq(np.eye(2) - relative[:, :2], relative[:, 2])[0]  # a sheared motion may have none
    beside = cv2.dilate(part.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    rows, columns = np.ogrid[: body.shape[0], : body.shape[1]]
    away = np.hypot(columns - pivot[0], rows - pivot[1])
    border = away[beside & body & ~part.mask]
    if not len(border) or border.min() > _JOINT * np.sqrt(part.area):
        return None
    return away <= np.quantile(border, _REACH)


def _inside(picture: np.ndarray, body: np.ndarray) -> np.ndarray:
    """(h, w) bool: the pixels of a body that have its colour, so without outlines."""
    colour = np.median(picture[body], 0)
    darkest, lightest = np.ceil(colour - _ALIKE).clip(0), np.floor(colour + _ALIKE).clip(max=255)
    return body & (cv2.inRange(picture, darkest, lightest) > 0)


def _moved(mask: np.ndarray, motion: np.ndarray) -> np.ndarray:
    h, w = mask.shape
    return cv2.warpAffine(mask.astype(np.uint8), motion, (w, h), flags=cv2.INTER_NEAREST) > 0
