"""Long pieces that part from what they touch, such as an arm that was matched end for end.

In: pairs of matched pieces and their motions. Out: how far each long piece parts from what it touches in both frames.
The outlines of a limb fit end for end as well as they fit upright; where it is joined to a body tells the ends apart.
"""

import numpy as np
from scipy.spatial import KDTree

from _util.morphology import dilated_mask
from _util.pieces.affine import angles, applied
from _util.segmentation import Segments

APART = 0.35  # square roots of the area of a piece from which on it parts from what it touches
_TURNED = np.radians(4)  # rotation from which on pieces are examined
LONG = 0.22  # share of the square over its diagonal that a long piece fills at most


def gaps_of(
    pairs: np.ndarray, matrices: np.ndarray, both: tuple[Segments, Segments], touching: np.ndarray
) -> np.ndarray:
    """(k,): how far long pieces that rotate part from what they touch, in square roots of their areas.

    The borders that a piece has with another in either frame are compared, that of frame 0 as the piece moves it. Where
    a limb lies along a body in one frame, most of that border is no joint; so the border counts of which half lies
    nearer to the other. Of all that a piece touches, what it stays closest to counts. The result is 0 for pieces that
    touch nothing in both frames, and for those that are not long or do not rotate.

    Args:
        pairs, matrices: (k, 2) and (k, 2, 3), matched pieces and their motions.
        touching: (j, 2), the pairs that touch in both frames.
    """
    examined = np.abs(angles(matrices)) >= _TURNED
    for i, of in enumerate(both):
        examined &= _are_long(of)[pairs[:, i]]
    found = np.where(examined, np.inf, 0.0)
    for one, other in np.concatenate([touching, touching[:, ::-1]]).tolist():
        if examined[one]:
            start, end = (_border(of, pairs[one, i], pairs[other, i]) for i, of in enumerate(both))
            moved = applied(matrices[one], start)
            away = min(np.median(KDTree(there).query(here)[0]) for here, there in ((moved, end), (end, moved)))
            found[one] = min(found[one], away / np.sqrt(both[0].areas[pairs[one, 0]]))
    return np.where(np.isinf(found), 0, found)


def _are_long(segments: Segments) -> np.ndarray:
    """(n,) bool: whether pieces fill little of the square over the diagonal of their bounds, as limbs do."""
    boxes = segments.boxes.astype(float)
    return segments.areas <= LONG * ((boxes[:, 2:] - boxes[:, :2]) ** 2).sum(1)


def _border(segments: Segments, piece: int, other: int) -> np.ndarray:
    """(n, 2): the pixels x, y of a piece beside another one."""
    x0, y0, x1, y1 = segments.boxes[piece].tolist()
    left, top = max(x0 - 1, 0), max(y0 - 1, 0)
    around = segments.labels[top : y1 + 1, left : x1 + 1]
    y, x = np.nonzero((around == piece) & dilated_mask(around == other, 1))
    return np.stack([x + left, y + top], 1)
