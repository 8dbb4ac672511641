"""Static pieces whose outlines suggest motion.

In: pieces, and motions fitted to their outlines. Out: which of them are static. Outlines change where something
passes in front, and a motion may fit these changes: a disc that an arm crosses seems to turn with the arm.
"""

import numpy as np

from _util.pieces.affine import applied, inverted
from _util.pieces.ground import SAME
from _util.segmentation import Segments

_MOSTLY = 0.5  # least share of a piece that looks the same at rest


def find_resting(
    pictures: tuple[np.ndarray, np.ndarray],
    pairs: np.ndarray,
    both: tuple[Segments, Segments],
    matrices: np.ndarray,
) -> np.ndarray:
    """(k,): whether the identity explains most of a pair, and as much of it as its motion does.

    What lands on another piece that moves may be hidden there, and does not count.

    Args:
        pictures: of both frames, (h, w, 3) uint8.
        pairs: (k, 2), piece of frame 0, piece of frame 1.
        matrices: (k, 2, 3), their motions.
    """
    count = len(pairs)
    moves = np.append((matrices != np.eye(2, 3)).any((1, 2)), False)  # the last entry is for no pair, -1
    pair_of = [_pair_of(pairs[:, i], of) for i, of in enumerate(both)]
    unlike, alike, areas = np.zeros((2, count)), np.zeros(count), np.zeros(count)
    for i, motions in enumerate((matrices, inverted(matrices))):
        starts = np.argwhere(pair_of[i] >= 0)[:, ::-1]
        ends = np.rint(applied(motions[pair_of[i][pair_of[i] >= 0]], starts)).astype(int)
        inside = ((ends >= 0) & (ends < pair_of[i].shape[::-1])).all(1)
        columns, rows = starts[inside].T
        own, here = pair_of[i][rows, columns], pictures[i][rows, columns]
        areas += both[i].areas[pairs[:, i]]
        for way, (x, y) in enumerate((starts[inside].T, ends[inside].T)):
            there = pair_of[1 - i][y, x]
            differs = (np.abs(here.astype(np.int16) - pictures[1 - i][y, x]) > SAME).any(1)
            counts = (there == own) | ~moves[there]
            unlike[way] += np.bincount(own, differs & counts, count)
            if way == 0:
                alike += np.bincount(own, ~differs & counts, count)
    return (unlike[0] <= unlike[1]) & (alike >= _MOSTLY * areas)


def _pair_of(pieces: np.ndarray, segments: Segments) -> np.ndarray:
    """(h, w): the pair of each pixel, -1 for none, of the pieces (k,) of all pairs."""
    numbers = np.full(len(segments.areas), -1)
    numbers[pieces] = np.arange(len(pieces))
    return numbers[segments.labels]
