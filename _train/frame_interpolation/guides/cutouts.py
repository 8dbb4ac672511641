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
import torch

from _train.frame_interpolation.guides.hints import Hint
from _util import segmentation
from _util.segmentation import lines
from _util.similarity import Points, Similarity, about, fitted, power, warped

_SMALLEST = 40  # pixels of a piece
_LARGEST = 0.12  # of the frame; larger pieces that touch two borders are ground, and larger pieces have no parent
_GROUND = 0.5  # of the frame; larger ones are ground
_OUTLINE = 4  # largest thickness of an outline in pixels, at 540 lines
_APART = 10.0  # pixels; least extent of hints that determines a rotation
_CAP = 0.3  # at which colour differences are clipped
_ALIKE = 0.06  # largest mean difference of colours at which a neighbour counts as found in key 1
_BETTER = 0.5  # of the difference without motion
_TORN = 2.5  # pixels by which the automatic motion misses a joint
_WHOLE = 0.7  # share of a piece that must match for all of it to follow its hints
_LOOSE = 10.0  # pixels by which the motions of two connected pieces may differ at their joint
_MOST = 12  # pieces that are moved
_POINTS = 1500  # of a piece that are compared
_COARSE = np.radians(np.arange(-150, 151, 5.0))
_STEPS = ((3.0, 4.0), (1.5, 2.0), (0.75, 1.0), (0.4, 0.5))  # pixels and degrees of refinement
_TURN_COSTS = 0.03  # added to the difference of colours for each radian


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


class CutKey:
    """A key (h, w, 3), float32 RGB in [0, 1], its segmentation, and the masks of its pieces.

    Attributes:
        ground: labels of pieces that no hint moves.
    """

    def __init__(self, pixels: np.ndarray):
        image = torch.from_numpy(pixels).permute(2, 0, 1)
        pieces = segmentation.segment(image, smallest=_SMALLEST)
        levels = np.ascontiguousarray((pixels * 255).round().astype(np.uint8))
        self.pixels, self.smooth = pixels, cv2.GaussianBlur(pixels, (0, 0), 1.0)
        self.labels, self.areas, self.on_line = pieces.labels, pieces.areas, lines.find(levels, "japanese")
        self._masks: dict[int, np.ndarray] = {}
        borders = [self.labels[0], self.labels[-1], self.labels[:, 0], self.labels[:, -1]]
        touched = sum(np.bincount(np.unique(border), minlength=len(self.areas)) for border in borders)
        share = self.areas / self.labels.size
        self.ground = np.flatnonzero(((share > _LARGEST) & (touched > 1)) | (share > _GROUND))

    def mask(self, label: int) -> np.ndarray:
        """(h, w) bool: a piece with its outline."""
        if label not in self._masks:
            inner = ((self.labels == label) & ~self.on_line).astype(np.uint8)
            if not inner.any():
                inner = (self.labels == label).astype(np.uint8)
            reach = round(_OUTLINE * max(1, min(inner.shape) / 540))
            self._masks[label] = (inner > 0) | ((cv2.dilate(inner, disc(reach)) > 0) & self.on_line)
        return self._masks[label]

    def label_at(self, point: complex, reaches: tuple[float, ...] = (1.5, 4, 8)) -> int | None:
        """The piece at or beside a point; None on ground."""
        h, w = self.labels.shape
        y, x = np.ogrid[:h, :w]
        around = np.hypot(x - point.real, y - point.imag)
        for reach in reaches:
            found = self.labels[(around <= reach) & ~self.on_line]
            if len(found := found[~np.isin(found, self.ground)]):
                return int(np.bincount(found).argmax())
        return None

    def is_small(self, labels: np.ndarray) -> np.ndarray:
        return self.areas[labels] <= _LARGEST * self.labels.size


def disc(radius: int) -> np.ndarray:
    reach = np.arange(-radius, radius + 1)
    return (reach**2 + reach[:, None] ** 2 <= radius**2 + 1).astype(np.uint8)


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
    cv2.polylines(near, [corners], False, 1, 2 * _OUTLINE + 1)
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
    match = _PieceMatch(key0, key1, key0.mask(label), None if there is None else key1.mask(there))
    return match.refine(match.best_turn(centre, to, 0.0), reach=1.0)


class _PieceMatch:
    """Evaluates how well motions align a piece of key 0 with key 1, and its counterpart in key 1 with key 0."""

    def __init__(self, key0: CutKey, key1: CutKey, mask0: np.ndarray, mask1: np.ndarray | None):
        self._points0, self._colours0 = _points(key0, mask0)
        self._image0, self._image1 = key0.smooth, key1.smooth
        self._back = None if mask1 is None else _points(key1, mask1)

    def cost(self, motion: Similarity) -> float:
        """The mean difference of colours, in [0, `_CAP`]."""
        there = _difference(motion(self._points0), self._colours0, self._image1)
        if self._back is None:
            return there
        points1, colours1 = self._back
        return float(np.mean([there, _difference(motion.inverse()(points1), colours1, self._image0)]))

    def cost_along(self, flow01: np.ndarray) -> float:
        """The cost of the automatic motion, flow01 (2, h, w)."""
        z = self._points0
        y, x = z.imag.astype(int), z.real.astype(int)
        return _difference(z + flow01[0, y, x] + 1j * flow01[1, y, x], self._colours0, self._image1)

    def best_turn(self, centre: complex, to: complex, around: float) -> Similarity:
        """The turn that aligns the keys best, of those that take `centre` to `to`; `around` is in radians."""
        motions = [about(centre, cmath.exp(1j * (around + turn)), to) for turn in _COARSE]
        costs = [self.cost(motion) + _TURN_COSTS * abs(turn) for motion, turn in zip(motions, _COARSE, strict=True)]
        return self.refine(motions[int(np.argmin(costs))], centre=centre, reach=0.0)

    def refine(self, motion: Similarity, centre: complex | None = None, reach: float = 1.0) -> Similarity:
        """Improve a motion in steps: turns about a centre (default: of the piece), and shifts scaled by `reach`."""
        if centre is None:
            centre = complex(self._points0.mean())
        best = self.cost(motion)
        for pixels, degrees in _STEPS:
            turn = cmath.exp(1j * np.radians(degrees))
            changes = [(turn, 0), (1 / turn, 0)]
            changes += [(1, pixels * reach * step) for step in (1, -1, 1j, -1j)] if reach else []
            for _ in range(4):
                tried = [about(centre, motion.a * a, motion(centre) + b) for a, b in changes]
                costs = [self.cost(one) for one in tried]
                if min(costs) >= best:
                    break
                best = min(costs)
                motion = tried[int(np.argmin(costs))]
        return motion


def _points(key: CutKey, mask: np.ndarray) -> tuple[Points, np.ndarray]:
    y, x = np.nonzero(mask)
    step = max(1, len(x) // _POINTS)
    y, x = y[::step], x[::step]
    return x + 1j * y, key.smooth[y, x]


def _difference(z: Points, colours: np.ndarray, image: np.ndarray) -> float:
    h, w = image.shape[:2]
    inside = (z.real >= 0) & (z.real <= w - 1) & (z.imag >= 0) & (z.imag <= h - 1)
    if inside.mean() < 0.3:
        return _CAP
    z, colours = z[inside], colours[inside]
    x, y = (coordinate.astype(np.float32)[:, None] for coordinate in (z.real, z.imag))
    there = cv2.remap(image, x, y, cv2.INTER_LINEAR)[:, 0]
    return float(np.minimum(abs(there - colours).mean(1), _CAP).mean())


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
        match = _PieceMatch(key0, key1, key0.mask(label), None)
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
    agrees = mask0 & (abs(back - key0.smooth).mean(2) < _CAP / 3)
    if agrees.sum() > _WHOLE * mask0.sum():
        return mask0
    opened = cv2.morphologyEx(agrees.astype(np.uint8), cv2.MORPH_OPEN, disc(2))
    _, parts = cv2.connectedComponents(opened)
    near = [parts[place] for point in points if parts[place := (round(point.imag), round(point.real))]]
    if not near:
        return mask0
    part = (parts == np.bincount(near).argmax()).astype(np.uint8)
    return mask0 & (cv2.dilate(part, disc(_OUTLINE)) > 0)


def _piece(key0: CutKey, key1: CutKey, mask0: np.ndarray, motion: Similarity) -> Piece:
    return Piece(mask0, _found_again(key0, key1, mask0, motion), motion, _centroid(mask0))


def _found_again(key0: CutKey, key1: CutKey, mask0: np.ndarray, motion: Similarity) -> np.ndarray:
    """The mask of a piece in key 1: the pieces that it covers there, or the pixels that match if it covers none."""
    h, w = mask0.shape
    moved = warped(mask0.astype(np.float32), motion, (h, w)) > 0.5
    labels, counts = np.unique(key1.labels[moved], return_counts=True)
    covered = labels[(counts > 0.5 * key1.areas[labels]) & key1.is_small(labels)]
    union = np.zeros((h, w), bool)
    for label in covered:
        union |= key1.mask(int(label))
    if (union & moved).sum() > 0.4 * moved.sum():
        return union
    there = warped(key0.pixels, motion, (h, w))
    return moved & (abs(there - key1.pixels).mean(2) < _CAP / 2)


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
