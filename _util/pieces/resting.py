"""Static pieces whose outlines suggest motion.

In: pieces, and motions fitted to their outlines. Out: which of them are static. Outlines change where something
passes in front, and a motion may fit these changes: a disc that an arm crosses seems to turn with the arm.
"""

import numpy as np

from _util.compiled import njit
from _util.pieces.affine import inverted, moved
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
    moves = np.append((matrices != np.eye(2, 3)).any((1, 2)), False)  # the last entry is for no pair, -1
    pair_of = [_pair_of(pairs[:, i], of) for i, of in enumerate(both)]
    counts, areas = np.zeros((3, len(pairs)), np.int64), np.zeros(len(pairs))
    for i, motions in enumerate((matrices, inverted(matrices))):
        _count(pair_of[i], pair_of[1 - i], pictures[i], pictures[1 - i], motions, moves, counts)
        areas += both[i].areas[pairs[:, i]]
    alike, unlike, unlike_moved = counts
    return (unlike <= unlike_moved) & (alike >= _MOSTLY * areas)


@njit()
def _count(pair_of, pair_there, picture, picture_there, motions, moves, counts):
    """Add to `counts` (3, k) each pair's pixels that land inside the other frame: of these, those that look the same at
    rest, those that do not, and those that do not where the motion takes them."""
    h, w = pair_of.shape
    for y in range(h):
        for x in range(w):
            own = pair_of[y, x]
            if own < 0:
                continue
            u, v = moved(motions[own], x, y)
            column, row = round(u), round(v)
            if not (0 <= column < w and 0 <= row < h):
                continue
            there = pair_there[y, x]
            if there == own or not moves[there]:
                counts[1 if _differ(picture[y, x], picture_there[y, x]) else 0, own] += 1
            there = pair_there[row, column]
            if (there == own or not moves[there]) and _differ(picture[y, x], picture_there[row, column]):
                counts[2, own] += 1


@njit()
def _differ(one, other):
    most = np.int64(0)
    for channel in range(3):
        most = max(most, abs(np.int64(one[channel]) - np.int64(other[channel])))
    return most > SAME


def _pair_of(pieces: np.ndarray, segments: Segments) -> np.ndarray:
    """(h, w): the pair of each pixel, -1 for none, of the pieces (k,) of all pairs."""
    numbers = np.full(len(segments.areas), -1, np.int32)
    numbers[pieces] = np.arange(len(pieces))
    return np.take(numbers, segments.labels)
