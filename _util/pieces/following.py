"""Matches of pieces that follow a rotating neighbour, as a hand follows an arm.

In: matched pieces and their motions. Out: further pairs. Small pieces that move far are not matched by colours and
places; the neighbour's motion tells where to look for them.
"""

import numpy as np

from _util.pieces.affine import angles, applied
from _util.pieces.outlines import Contacts
from _util.pieces.pairing import look_alike
from _util.segmentation import Segments

_ROTATES = 10.0  # degrees from which on a neighbour is followed
_AWAY = 1.0  # most distance from where the neighbour's motion leads, in square roots of the area


def follow(
    pairs: np.ndarray,
    matrices: np.ndarray,
    both: tuple[Segments, Segments],
    colours: list[np.ndarray],
    free: list[np.ndarray],
    borders: list[Contacts],
) -> np.ndarray:
    """Pairs (m, 2) of other pieces that touch a rotating one in both frames, look alike, and are where it takes them.

    Args:
        pairs, matrices: (k, 2) and (k, 2, 3), matched pieces and their motions.
        colours: of the pieces of either frame, (n, 3), 0 … 255.
        free: (n,) bool, the pieces of either frame that may be matched if they are not in `pairs`.
        borders: the contacts of either frame.
    """
    free = [may & ~np.isin(np.arange(len(may)), pairs[:, i]) for i, may in enumerate(free)]
    found = []
    for k in np.flatnonzero(np.abs(np.degrees(angles(matrices))) >= _ROTATES):
        beside = [of.beside(piece) for of, piece in zip(borders, pairs[k], strict=True)]
        ones, others = (pieces[may[pieces]] for pieces, may in zip(beside, free, strict=True))
        one, other = (each.ravel() for each in np.meshgrid(ones, others, indexing="ij"))
        sizes = np.sqrt(np.minimum(both[0].areas[one], both[1].areas[other]))
        places = applied(np.broadcast_to(matrices[k], (len(one), 2, 3)), both[0].centroids[one])
        away = np.hypot(*(places - both[1].centroids[other]).T) / sizes
        alike = look_alike(one, other, both, colours) & (away <= _AWAY)
        found += zip(away[alike], one[alike], other[alike], strict=True)
    chosen = []
    for _, one, other in sorted(found):
        if free[0][one] and free[1][other]:
            free[0][one] = free[1][other] = False
            chosen.append((one, other))
    return np.array(chosen, pairs.dtype).reshape(-1, 2)
