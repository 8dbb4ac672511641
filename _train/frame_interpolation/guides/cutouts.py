"""The pieces of a drawing to which hints refer, their motion from a key to the next, and their kinematic chains.

A piece is a segment of one colour with its outline, or the line that a stroke follows. Its motion is a similarity: the
one fitted to its hints if these are far enough apart, else the rotation about its hint that aligns both keys best. A
neighbour that the automatic motion would tear off a piece is rotated about their contact. Pieces that stay connected
form a kinematic chain: each rotates about its joint with its parent, so that limbs move on arcs.
"""

import cmath
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from _train.frame_interpolation.guides.cut_keys import OUTLINE, CutKey, disc
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.guides.piece_match import CAP, PieceMatch
from _util.similarity import Points, Similarity, about, fitted, power, warped

_APART = 10.0  # pixels; least extent of hints that determines a rotation
_ALIKE = 0.06  # largest mean difference of colours at which a neighbour counts as found in key 1
_BETTER = 0.5  # of the difference without motion
_TORN = 2.5  # pixels by which the automatic motion misses a joint
_WHOLE = 0.7  # share of a piece that must match for all of it to follow its hints
_LOOSE = 10.0  # pixels by which the motions of two connected pieces may differ at their joint
_COVERED, _FILLED = 0.5, 0.4  # shares of pieces of key 1 that a piece covers, and of it that they cover
_MOST = 12  # pieces that are moved


@dataclass
class Piece:
    """A piece that moves from key 0 to key 1."""

    mask0: np.ndarray  # (h, w) bool, outline included
    mask1: np.ndarray
    motion: Similarity
    centroid: complex
    parent: "Piece | None" = None
    joint: complex = 0  # in key 0

    def at(self, t: float) -> Similarity:
        """The motion from key 0 to time t."""
        if self.parent is None:
            return self.motion.at(t)
        slip = self.motion(self.joint) - self.parent.motion(self.joint)
        return about(self.joint, power(self.motion.a, t), self.parent.at(t)(self.joint) + t * slip)


def find(key0: CutKey, key1: CutKey, hints: Sequence[Hint], flow01: np.ndarray, within: np.ndarray) -> list[Piece]:
    """The pieces that hints move, and those connected to them, from back to front.

    Args:
        flow01: (2, h, w), the automatic motion from key 0 to key 1.
        within: (h, w) bool, where hints have effect.
    """
    found: dict[int, Piece] = {}
    for label, points in _by_piece(key0, hints).items():
        motion = _motion(key0, key1, label, points)
        found[label] = _piece(key0, key1, _following(key0, key1, key0.mask(label), motion, points[:, 0]), motion)
    for i, hint in enumerate(hints):
        if _follows_line(key0, key1, hint):
            start, end = _complex(hint).T
            drawn = _line(key0, start)
            found[-1 - i] = Piece(drawn, _line(key1, end), fitted(start, end), _centroid(drawn))
    waiting = list(found)
    while waiting and len(found) < _MOST:
        parent = waiting.pop(0)
        for label, motion in _torn_off(key0, key1, parent, found, flow01, within):
            found[label] = _piece(key0, key1, key0.mask(label), motion)
            waiting.append(label)
    pieces = list(found.values())
    _chain(pieces)
    return _in_depth(pieces)


def loose(key0: CutKey, key1: CutKey, hints: Sequence[Hint]) -> np.ndarray:
    """The points of hints on ground, (n, 2, 2): key, then x and y."""
    on_ground = [hint for hint in hints if _label(key0, _complex(hint)) is None]
    points = [hint.samples() for hint in on_ground if not _follows_line(key0, key1, hint)]
    return np.concatenate(points) if points else np.zeros((0, 2, 2))


def _complex(hint: Hint) -> Points:
    return hint.samples() @ np.array([1, 1j])


def _label(key0: CutKey, pairs: np.ndarray) -> int | None:
    """The piece at a point, or at most points of a stroke."""
    if len(pairs) == 1:
        return key0.label_at(pairs[0, 0])
    labels = [label for pair in pairs if (label := key0.label_at(pair[0], (1.5,))) is not None]
    return int(np.bincount(labels).argmax()) if 2 * len(labels) > len(pairs) else None


def _follows_line(key0: CutKey, key1: CutKey, hint: Hint) -> bool:
    """Whether a stroke lies along a line of both keys, and on no piece."""
    pairs = _complex(hint)
    if len(pairs) == 1 or _label(key0, pairs) is not None:
        return False
    shares = []
    for key, points in zip((key0, key1), pairs.T, strict=True):
        near = cv2.dilate(key.on_line.astype(np.uint8), disc(2))
        shares.append(np.mean([near[round(point.imag), round(point.real)] for point in points]))
    return min(shares) >= _WHOLE


def _line(key: CutKey, points: Points) -> np.ndarray:
    """The mask of the line along points."""
    near = np.zeros(key.labels.shape, np.uint8)
    corners = np.stack([points.real, points.imag], 1).round().astype(np.int32)
    cv2.polylines(near, [corners], False, 1, 2 * OUTLINE + 1)
    return (near > 0) & (cv2.dilate(key.on_line.astype(np.uint8), disc(1)) > 0)


def _by_piece(key0: CutKey, hints: Sequence[Hint]) -> dict[int, np.ndarray]:
    found: dict[int, list[np.ndarray]] = {}
    for hint in hints:
        pairs = _complex(hint)
        if (label := _label(key0, pairs)) is not None:
            found.setdefault(label, []).append(pairs)
    return {label: np.concatenate(pairs) for label, pairs in found.items()}


def _motion(key0: CutKey, key1: CutKey, label: int, points: np.ndarray) -> Similarity:
    start, end = points.T
    if abs(start - start.mean()).max() * 2 >= _APART:
        return fitted(start, end)
    centre, to = start.mean(), end.mean()
    there = key1.label_at(to)
    match = PieceMatch(key0, key1, key0.mask(label), None if there is None else key1.mask(there))
    return match.refine(match.best_turn(centre, to, 0.0), reach=1.0)


def _torn_off(
    key0: CutKey, key1: CutKey, parent: int, found: dict[int, Piece], flow01: np.ndarray, within: np.ndarray
) -> list[tuple[int, Similarity]]:
    """Neighbours of a piece that the automatic motion would tear off, and their motions with the piece.

    A neighbour counts where its colours match better along that motion than without motion and than automatically.
    """
    before = found[parent]
    around = np.unique(key0.labels[cv2.dilate(before.mask0.astype(np.uint8), disc(2)) > 0])
    torn = []
    for label in around[key0.is_small(around)]:
        touching = cv2.dilate(key0.mask(label).astype(np.uint8), disc(1)).astype(bool) & before.mask0
        if int(label) in found or not touching.any():
            continue
        joint = _centroid(touching)
        x, y = round(joint.real), round(joint.imag)
        goes = joint + complex(*flow01[:, y, x])
        if not within[y, x] or abs(goes - before.motion(joint)) < _TORN:
            continue
        match = PieceMatch(key0, key1, key0.mask(label))
        motion = match.best_turn(joint, before.motion(joint), cmath.phase(before.motion.a))
        motion = match.refine(motion, reach=0.5)
        resting, automatic = match.cost(Similarity(1, 0)), match.cost_along(flow01)
        if match.cost(motion) < min(_ALIKE, _BETTER * resting, automatic):
            torn.append((int(label), motion))
    return torn


def _centroid(mask: np.ndarray) -> complex:
    y, x = np.nonzero(mask)
    return complex(x.mean(), y.mean())


def _following(key0: CutKey, key1: CutKey, mask0: np.ndarray, motion: Similarity, points: Points) -> np.ndarray:
    """The part of a piece that follows its hints: all of it, unless it consists of two objects of one colour."""
    back = warped(key1.smooth, motion.inverse(), mask0.shape)
    agrees = mask0 & (abs(back - key0.smooth).mean(2) < CAP / 3)
    if agrees.sum() > _WHOLE * mask0.sum():
        return mask0
    opened = cv2.morphologyEx(agrees.astype(np.uint8), cv2.MORPH_OPEN, disc(2))
    _, parts = cv2.connectedComponents(opened)
    near = parts[points.imag.round().astype(int), points.real.round().astype(int)]
    if not near.any():
        return mask0
    part = (parts == np.bincount(near[near > 0]).argmax()).astype(np.uint8)
    return mask0 & (cv2.dilate(part, disc(OUTLINE)) > 0)


def _piece(key0: CutKey, key1: CutKey, mask0: np.ndarray, motion: Similarity) -> Piece:
    return Piece(mask0, _found_again(key0, key1, mask0, motion), motion, _centroid(mask0))


def _found_again(key0: CutKey, key1: CutKey, mask0: np.ndarray, motion: Similarity) -> np.ndarray:
    """The mask of a piece in key 1: the pieces that it covers there, or the pixels that match if it covers none."""
    h, w = mask0.shape
    moved = warped(mask0.astype(np.float32), motion, (h, w)) > 0.5
    labels, counts = np.unique(key1.labels[moved], return_counts=True)
    covered = labels[(counts > _COVERED * key1.areas[labels]) & key1.is_small(labels)]
    union = np.zeros((h, w), bool)
    for label in covered:
        union |= key1.mask(int(label))
    if (union & moved).sum() > _FILLED * moved.sum():
        return union
    there = warped(key0.pixels, motion, (h, w))
    return moved & (abs(there - key1.pixels).mean(2) < CAP / 2)


def _chain(pieces: list[Piece]) -> None:
    """Give pieces that touch and stay connected a parent and a joint; the one that moves least is the root."""
    joints = {}
    for i, one in enumerate(pieces):
        near = cv2.dilate(one.mask0.astype(np.uint8), disc(1)) > 0
        for j, other in enumerate(pieces[:i]):
            touching = near & other.mask0
            if not touching.any():
                continue
            joint = _centroid(touching)
            if abs(one.motion(joint) - other.motion(joint)) < _LOOSE:
                joints[i, j] = joints[j, i] = joint
    free = sorted(range(len(pieces)), key=lambda i: abs(pieces[i].motion(pieces[i].centroid) - pieces[i].centroid))
    while free:
        connected = [free.pop(0)]
        while connected:
            i = connected.pop(0)
            for j in [j for j in free if (i, j) in joints]:
                pieces[j].parent, pieces[j].joint = pieces[i], joints[i, j]
                free.remove(j)
                connected.append(j)


def _in_depth(pieces: list[Piece]) -> list[Piece]:
    """From back to front: a piece is in front of another where it hides that one in either key."""
    size = pieces[0].mask0.shape if pieces else (0, 0)
    moved = [warped(piece.mask0.astype(np.float32), piece.motion, size) > 0.5 for piece in pieces]
    back = [warped(piece.mask1.astype(np.float32), piece.motion.inverse(), size) > 0.5 for piece in pieces]

    def covers(i: int, j: int) -> int:
        there = pieces[i].mask1 & ~pieces[j].mask1 & moved[j]
        here = pieces[i].mask0 & ~pieces[j].mask0 & back[j]
        return int(there.sum() + here.sum())

    n = len(pieces)
    front = [sum(np.sign(covers(i, j) - covers(j, i)) for j in range(n)) for i in range(n)]
    return [pieces[i] for i in np.argsort(front, kind="stable")]
