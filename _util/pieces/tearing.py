"""Pieces that come off what they touch, such as a hand whose arm is one piece with a resting body, or a head whose coat
was not matched.

In: pairs of matched pieces, and their motions. Out: those that rotate and touch another piece with the same part of
their outline in both frames, although the piece that it touches in frame 0, moved as it is known to move, is no longer
there. Those that move far without rotating come off pieces that were not matched alone: what is known to rest, such as
a road, does not carry them.
"""

import numpy as np

from _util.pieces.affine import angles, applied
from _util.pieces.ground import LARGE
from _util.pieces.outlines import Contacts
from _util.segmentation import Segments
from _util.sgm.motion import scale_of

_TURNED = np.radians(4)  # rotation from which on pieces are examined
_JOINT = 0.1, 0.45  # range of the share of a piece's outline that is a joint; longer contacts are of overlapping pieces
_MOVED = 60.0  # pixels at 540×960 from which on pieces that do not rotate are examined
_KEPT = 0.25  # square roots of the area of a piece within which a contact stays at the same place of its outline
_KEPT_FAR = 0.1  # the same of pieces that do not rotate
_LEFT = 1.0  # distance, in the same unit, from which on the other piece leaves a contact behind


def find_torn(
    pairs: np.ndarray,
    matrices: np.ndarray,
    both: tuple[Segments, Segments],
    borders: list[Contacts],
    stays: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """(k,) bool: which pairs come off; and (k,) bool: which come off a piece that was matched, and
    that they do not touch in frame 1.

    Args:
        pairs: (k, 2), piece of frame 0, piece of frame 1.
        matrices: (k, 2, 3), their motions.
        borders: the contacts of the pieces of either frame.
        stays: (n,) bool, the pieces of either frame that are ground, of which nothing comes off.
    """
    torn, parted = np.zeros((2, len(pairs)), bool)
    pair_of = np.full(len(both[0].areas), -1)
    pair_of[pairs[:, 0]] = np.arange(len(pairs))
    starts = both[0].centroids[pairs[:, 0]]
    turns = np.abs(angles(matrices)) >= _TURNED
    moves = np.hypot(*(applied(matrices, starts) - starts).T) >= _MOVED * scale_of(both[0].labels.shape)
    carries = [~ground & (of.areas <= LARGE * of.labels.size) for ground, of in zip(stays, both, strict=True)]
    for k in np.flatnonzero(turns | moves):
        (others, start), (_, end) = (_joints(borders[i], pairs[k, i], carries[i]) for i in range(2))
        motions = np.concatenate([matrices, np.eye(2, 3)[None]])[pair_of[others]]  # unmatched pieces rest
        if not turns[k]:
            start, motions = start[pair_of[others] < 0], motions[pair_of[others] < 0]
        size = np.sqrt(both[0].areas[pairs[k, 0]])
        kept, carried = (
            np.linalg.norm(moved[:, None] - end[None], axis=2)
            for moved in (applied(matrices[k], start), applied(motions, start))
        )
        comes_off = ((kept < (_KEPT if turns[k] else _KEPT_FAR) * size) & (carried > _LEFT * size)).any(1)
        known = pair_of[others] >= 0 if turns[k] else np.zeros(len(comes_off), bool)
        matches = pairs[pair_of[others[known]], 1] if turns[k] else others[:0]
        gone = borders[1].find(np.full(len(matches), pairs[k, 1]), matches) < 0
        torn[k], parted[k] = comes_off.any(), comes_off[known][gone].any()
    return torn, parted


def _joints(borders: Contacts, piece: int, carries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pieces (m,) that a piece may be joined to, and where (m, 2)."""
    ends = np.stack([borders.keys // borders.pieces, borders.keys % borders.pieces], 1)
    contact, end = np.nonzero(ends == piece)
    others = ends[contact, 1 - end]
    shares = borders.shares[contact, end]
    chosen = (shares > _JOINT[0]) & (shares < _JOINT[1]) & carries[others]
    return others[chosen], borders.centres[contact[chosen]]
