"""Limbs that are one piece with a body, such as the arm of a coat: found by what moves.

In: matched pieces and their motions. Out: a matching in which such limbs are pieces of their own. If the motion of a
body does not explain a part of it in either frame, and a rotation about a joint with the body takes one part to the
other, they are the limb. What both frames show of the limb near the joint belongs to it as well.
"""

from typing import NamedTuple

import cv2
import numpy as np

from _util import threads
from _util.pieces import fitting
from _util.pieces.affine import angles, applied, inverted
from _util.pieces.ground import LARGE
from _util.segmentation import Segments
from _util.sgm.matching import Matching

_THICK = 3  # pixels at 540×960; thinner parts are differences of outlines
_SMALLEST = 300  # pixels at 540×960
_RATIO = 1.6  # largest ratio of the areas of both parts
_TURNED = np.radians(8)  # least rotation of a limb against its body
_MISFIT = 0.35  # largest cost of the fit of a part
_REACH = 0.9  # share of the border between limb and body that the disc about the joint holds
_ALIKE = 16  # levels within which pixels have the colour of their body
_JOINT = 0.8  # largest distance of the joint from where limb and body touch, in square roots of the limb's area


class _Part(NamedTuple):
    """A part of a body that the motion of the body does not explain."""

    pair: int  # of the body
    mask: np.ndarray  # (h, w) bool
    area: int


def split(
    pictures: tuple[np.ndarray, np.ndarray], matching: Matching, pairs: np.ndarray, matrices: np.ndarray, scale: float
) -> Matching | None:
    """The matching with limbs as pieces of their own; None if there are none.

    Args:
        pictures: of both frames, (h, w, 3) uint8.
        pairs, matrices: (k, 2) and (k, 2, 3), matched pieces and their motions.
        scale: of lengths, 1 at 540×960.
    """
    both = matching.segments0, matching.segments1
    parts = (
        _unexplained(both, pairs, matrices, scale),
        _unexplained(both[::-1], pairs[:, ::-1], inverted(matrices), scale),
    )
    tries = [
        (i, j)
        for i, one in enumerate(parts[0])
        for j, other in enumerate(parts[1])
        if one.pair == other.pair and max(one.area, other.area) <= _RATIO * min(one.area, other.area)
    ]
    if not tries:
        return None
    cut = [
        _with_pieces(*of) for of in zip(both, [[part.mask for part in found] for found in parts], pictures, strict=True)
    ]
    counts = [len(of.areas) for of in both]
    fits = _fits(pictures, (cut[0], cut[1]), np.array(tries) + counts, scale)
    limbs: list[tuple[np.ndarray, np.ndarray]] = []
    free = [set(range(len(found))) for found in parts]
    for number in np.argsort(fits[:, 6], kind="stable").tolist():
        i, j = tries[number]
        one, other, motion = parts[0][i], parts[1][j], fits[number, :6].reshape(2, 3)
        body0, body1 = (of.labels == piece for of, piece in zip(both, pairs[one.pair], strict=True))
        if fits[number, 6] > _MISFIT or i not in free[0] or j not in free[1]:
            continue
        joint = _joint(one, body0, motion, matrices[one.pair])
        if joint is not None:
            free[0].remove(i)
            free[1].remove(j)
            back = inverted(motion[None])[0]
            inside0, inside1 = (_inside(*of) for of in zip(pictures, (body0, body1), strict=True))
            limbs.append(
                (
                    one.mask | (body0 & (_moved(other.mask, back) | (_moved(inside1, back) & inside0 & joint))),
                    other.mask | (body1 & (_moved(one.mask, motion) | (_moved(inside0 & joint, motion) & inside1))),
                )
            )
    if not limbs:
        return None
    segments = [_with_pieces(*of) for of in zip(both, zip(*limbs, strict=True), pictures, strict=True)]
    new = np.arange(len(limbs))[:, None] + counts
    return matching._replace(
        pairs=np.concatenate([matching.pairs, new]),
        affinities=np.append(matching.affinities, np.ones(len(limbs), np.float32)),
        segments0=segments[0],
        segments1=segments[1],
    )


def _unexplained(both: tuple[Segments, Segments], pairs: np.ndarray, matrices: np.ndarray, scale: float) -> list[_Part]:
    """The parts of pieces of the first frame that do not land on their match."""
    here, there = both
    h, w = here.labels.shape
    size = 2 * round(_THICK * scale / 2) + 1
    found = []
    for k, (piece, match) in enumerate(pairs.tolist()):
        if here.areas[piece] > LARGE * h * w or here.areas[piece] < 2 * _SMALLEST * scale**2:
            continue
        x0, y0, x1, y1 = here.boxes[piece].tolist()
        y, x = np.nonzero(here.labels[y0:y1, x0:x1] == piece)
        u, v = np.rint(applied(matrices[k], np.stack([x + x0, y + y0], 1))).astype(int).T
        is_inside = (u >= 0) & (u < w) & (v >= 0) & (v < h)
        is_lost = is_inside & (there.labels[v.clip(0, h - 1), u.clip(0, w - 1)] != match)
        if is_lost.sum() < _SMALLEST * scale**2:
            continue
        lost = np.zeros((y1 - y0, x1 - x0), np.uint8)
        lost[y[is_lost], x[is_lost]] = 1
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
    pictures: tuple[np.ndarray, np.ndarray], both: tuple[Segments, Segments], pairs: np.ndarray, scale: float
) -> np.ndarray:
    """(k, 8), see `fitting.fit`."""
    shapes = [fitting.shapes_of(*of) for of in zip(pictures, both, strict=True)]
    areas = np.mean([of.areas[pairs[:, i]] for i, of in enumerate(both)], 0)
    fits, joints = np.zeros((len(pairs), 8)), fitting.Joints(np.zeros((0, 4)), np.zeros(len(pairs) + 1, np.int64))
    threads.run(fitting.fit, len(pairs), pairs, *shapes, areas, np.full(len(pairs), np.inf), joints, scale, fits)
    return fits


def _joint(part: _Part, body: np.ndarray, motion: np.ndarray, of_body: np.ndarray) -> np.ndarray | None:
    """(h, w) bool, the disc about which a part rotates against its body in frame 0; None if it does not.

    It reaches as far as the border between both. What lies in it moves with the part too, so that no gap opens.
    """
    back = inverted(of_body[None])[0]
    relative = np.concatenate([back[:, :2] @ motion[:, :2], applied(back, motion[:, 2])[:, None]], 1)
    if abs(angles(relative[None])[0]) < _TURNED:
        return None
    x, y = np.linalg.solve(np.eye(2) - relative[:, :2], relative[:, 2])
    beside = cv2.dilate(part.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    rows, columns = np.indices(body.shape, sparse=True)
    away = np.hypot(columns - x, rows - y)
    border = away[beside & body & ~part.mask]
    if not len(border) or border.min() > _JOINT * np.sqrt(part.area):
        return None
    return away <= np.quantile(border, _REACH)


def _inside(picture: np.ndarray, body: np.ndarray) -> np.ndarray:
    """(h, w) bool: the pixels of a body that have its colour, so without outlines."""
    colour = np.median(picture[body], 0)
    return body & (np.abs(picture - colour).max(2) <= _ALIKE)


def _moved(mask: np.ndarray, motion: np.ndarray) -> np.ndarray:
    h, w = mask.shape
    return cv2.warpAffine(mask.astype(np.uint8), motion, (w, h), flags=cv2.INTER_NEAREST) > 0
