"""Kinematic chains of pieces: pieces that touch in both frames stay joined at any time.

In: the motion of each piece from frame 0 to frame 1, and where pieces touch in both. Out: `Chains`. A piece follows its
parent and rotates about the point that both motions take to the same place, so that it travels on an arc. A piece
without a parent rotates about its own fixed point if that is near, else about its centre, which moves straight.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

from _util.pieces.affine import angles, applied

_STIFF = np.radians(2)  # relative rotation below which the pivot is undetermined
_SINGULAR = 1e-4  # determinant of the difference of two motions
_LINK = 1e-6  # added to weights of links, as SciPy's graph algorithms ignore links of weight 0
_NEAR = 3.0  # largest distance of a pivot from the contact, in square roots of the smaller area
_CARRIER = 2.0  # ratio of areas from which on a moving piece carries another rather than a static one does
_SLIP = 0.25  # up to which two motions take a contact to the same place, in the same unit


class Chains(NamedTuple):
    """Motions of k pieces, each with a parent piece or none."""

    matrices: np.ndarray  # (k, 2, 3), x, y of frame 0 to frame 1
    parents: np.ndarray  # (k,) int64, -1 for none
    pivots: np.ndarray  # (k, 2), in frame 0: centres of rotation, carried along by the parent

    def at(self, t: float) -> np.ndarray:
        """(k, 2, 3), the motions from frame 0 to time t in [0, 1]: the identity at 0, `matrices` at 1."""
        turns, stretches = _decomposed(self.matrices[:, :, :2])
        linear = _rotations(t * self._unwound(turns)) @ (np.eye(2) + t * (stretches - np.eye(2)))
        ends = applied(self.matrices, self.pivots)
        places = (1 - t) * self.pivots + t * ends
        result = np.concatenate([linear, np.zeros((len(linear), 2, 1))], 2)
        for generation in self._generations():
            parents = self.parents[generation]
            if (parents >= 0).all():
                pivots = self.pivots[generation]
                slips = ends[generation] - applied(self.matrices[parents], pivots)
                places[generation] = applied(result[parents], pivots) + t * slips
            result[generation, :, 2] = places[generation] - applied(result[generation], self.pivots[generation])
        return result

    def roots(self) -> np.ndarray:
        """(k,) int64, the piece at the beginning of the chain of each."""
        found = np.arange(len(self.parents))
        for generation in self._generations()[1:]:
            found[generation] = found[self.parents[generation]]
        return found

    def joined_to(self, pieces: np.ndarray) -> np.ndarray:
        """(k,) bool: whether the parent or a child of a piece is one of `pieces` (k,) bool."""
        children = np.flatnonzero(self.parents >= 0)
        parents = self.parents[children]
        found = np.zeros(len(self.parents), bool)
        found[children] = pieces[parents]
        found[parents[pieces[children]]] = True
        return found

    def _unwound(self, turns: np.ndarray) -> np.ndarray:
        """Turns, shifted by full turns to within half a turn of the parent's."""
        turns = turns.copy()
        for generation in self._generations()[1:]:
            carried = turns[self.parents[generation]]
            turns[generation] = carried + _wrapped(turns[generation] - carried)
        return turns

    def _generations(self) -> list[np.ndarray]:
        """The roots, their children, and so on."""
        found = [np.flatnonzero(self.parents < 0)]
        while len(found[-1]):
            found.append(np.flatnonzero(np.isin(self.parents, found[-1])))
        return found[:-1]


def chain(
    matrices: np.ndarray, areas: np.ndarray, centres: np.ndarray, touching: np.ndarray, places: np.ndarray
) -> Chains:
    """Build chains of joined pieces: the largest of each group is the root, carries its neighbours, and so on.

    Args:
        matrices: (k, 2, 3).
        areas, centres: (k,) and (k, 2), in frame 0.
        touching: (j, 2), pieces that touch in both frames.
        places: (j, 4), the contacts: x, y in frame 0, and in frame 1.
    """
    count = len(matrices)
    one, other = touching.T
    sizes = np.sqrt(np.minimum(areas[one], areas[other]))
    points, parted = _pivots(matrices[one], matrices[other], places[:, :2])
    away = np.hypot(*(points - places[:, :2]).T), np.hypot(*(applied(matrices[one], points) - places[:, 2:]).T)
    quality = (away[0] + away[1] + parted) / sizes
    slip = np.hypot(*(applied(matrices[one], places[:, :2]) - applied(matrices[other], places[:, :2])).T) / sizes
    at_contact = (quality >= _NEAR) & (slip < _SLIP)  # hardly any relative rotation, which puts the pivot far away
    points[at_contact], quality[at_contact] = places[at_contact, :2], slip[at_contact]
    joined = (quality < _NEAR) & ~_only_passes(matrices, areas, touching, quality)
    ends = touching[joined].T.astype(np.int32)  # the only type that minimum_spanning_tree takes before SciPy 1.17.1
    links = coo_array((quality[joined] + _LINK, tuple(ends)), (count, count))
    tree = minimum_spanning_tree(links)
    points_of = dict(zip(map(tuple, touching.tolist()), points, strict=True))

    parents, pivots = np.full(count, -1), centres.astype(float).copy()
    own, lost = _pivots(matrices, np.broadcast_to(np.eye(2, 3), matrices.shape), pivots)
    near = (np.hypot(*(own - pivots).T) < _NEAR * np.sqrt(areas)) & (lost == 0)
    pivots[near] = own[near]
    groups = connected_components(tree, directed=False)[1]
    largest = np.argsort(-areas, kind="stable")
    roots = largest[np.unique(groups[largest], return_index=True)[1]]
    for root in roots.tolist():
        found, carriers = breadth_first_order(tree, root, directed=False)
        for piece in found[1:].tolist():
            carrier = int(carriers[piece])
            parents[piece] = carrier
            pivots[piece] = points_of.get((piece, carrier), points_of.get((carrier, piece)))
    return Chains(matrices, parents, pivots)


def _only_passes(matrices: np.ndarray, areas: np.ndarray, touching: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """(j,) bool: whether a contact is between a static piece and one that moves with a larger piece, as an arm that
    passes a cupboard moves with its body. Each rotation has a fixed point, so that it fits what is static by chance."""
    moves = (matrices != np.eye(2, 3)).any((1, 2))
    best = np.full(len(matrices), np.inf)
    for piece, other in (touching.T, touching.T[::-1]):
        carries = moves[other] & (areas[other] >= _CARRIER * areas[piece])
        np.minimum.at(best, piece[carries], quality[carries])
    one, other = touching.T
    return (moves[one] != moves[other]) & (quality >= np.where(moves[one], best[one], best[other]))


def _pivots(one: np.ndarray, other: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (k, 2) that both motions take to the same place, or `near` if these hardly rotate relative to each other;
    and how far apart the motions take `near` in that case, else 0 (k,)."""
    turns = _decomposed(one[:, :, :2])[0] - _decomposed(other[:, :, :2])[0]
    relative = one[:, :, :2] - other[:, :, :2]
    turning = (np.abs(_wrapped(turns)) > _STIFF) & (np.abs(np.linalg.det(relative)) > _SINGULAR)
    points = near.astype(float).copy()
    points[turning] = np.linalg.solve(relative[turning], (other[turning, :, 2] - one[turning, :, 2])[..., None])[..., 0]
    return points, np.hypot(*(applied(one, points) - applied(other, points)).T) * ~turning


def _wrapped(turns: np.ndarray) -> np.ndarray:
    return (turns + np.pi) % (2 * np.pi) - np.pi


def _rotations(turns: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(turns), np.sin(turns)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def _decomposed(linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Polar decomposition of (k, 2, 2) into turns (k,) and symmetric stretches (k, 2, 2)."""
    turns = angles(linear)
    return turns, _rotations(-turns) @ linear
