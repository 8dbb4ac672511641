"""Residual motion within a piece, by dense inverse search, and whether it explains both frames.

In: pairs of pieces and the motions fitted to their outlines. Out: bends, in pixels, and which pairs are accepted. Each
pair is processed on a canvas of its own, blank outside the piece.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np

from _util import threads
from _util.compiled import njit
from _util.pieces.affine import angles, inverted, moved
from _util.sgm.matching import Matching
from _util.sgm.motion import BLANK, MARGIN, OVERLAP, SMALLEST_CANVAS, cut, estimator

LEAST_SEEN = 0.35  # least share of a piece that must lie in its match, even if the rest is covered
_TURNED, _LEAST_SEEN_TURNED = 20, 0.7  # the same for pieces that rotate by so many degrees or more, if none is hidden
_AGREES, _UNLIKE = 0.12, 24  # no bend is searched if less than this share of pixels differs by more than so many levels
_TINY = 300  # pixels at 540×960; smaller pieces are nearly all outline and do not bend


class _PieceMaps(NamedTuple):
    """The pieces of a frame."""

    labels: np.ndarray  # (h, w)
    boxes: np.ndarray  # (n, 4) int64
    areas: np.ndarray  # (n,)
    grey: np.ndarray  # (h, w) uint8
    covering: np.ndarray  # (n,) bool, matched pieces, which may cover others


class _Canvas(NamedTuple):
    """A piece of one frame, and its match from the other frame moved onto it."""

    corner: np.ndarray  # (2,) x, y in the frame
    own: np.ndarray  # (h, w) uint8
    other: np.ndarray


def bend_within(
    pairs: np.ndarray,
    matrices: np.ndarray,
    occluder_areas: np.ndarray,
    matching: Matching,
    pictures: tuple,
    bends: tuple,
    scale: float,
) -> np.ndarray:
    """Fill in `bends`. Returns for each pair whether it explains both frames.

    Args:
        occluder_areas: (k,), the area from which on a piece, like all that is outside the frame, may hide parts;
            infinite if nothing does.
    """
    accepted = np.zeros(len(pairs), bool)
    if not len(pairs):
        return accepted
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    both = matching.segments0, matching.segments1
    covering = [np.zeros(len(segments.areas), bool) for segments in both]
    for i in range(2):
        covering[i][pairs[:, i]] = True
    inverse = inverted(matrices)
    frames = [
        _PieceMaps(of.labels, of.boxes.astype(np.int64), of.areas, grey, covers)
        for of, grey, covers in zip(both, greys, covering, strict=True)
    ]
    tiny = _TINY * scale**2
    least = np.where(np.abs(np.degrees(angles(matrices))) >= _TURNED, _LEAST_SEEN_TURNED, LEAST_SEEN)
    threads.run(_agree, len(pairs), pairs, matrices, inverse, *frames, tiny, least, occluder_areas, accepted)
    rest = np.flatnonzero(~accepted)
    rest = rest[np.argsort(-both[0].areas[pairs[rest, 0]], kind="stable")]

    def work(start: int, stop: int) -> None:
        for k in rest[start:stop]:
            accepted[k] = _bend_one(pairs[k], (matrices[k], inverse[k]), float(least[k]), both, greys, covering, bends)

    if len(rest):
        threads.run(work, len(rest))
    return accepted


@njit()
def _agree(pairs, matrices, inverse, frame0, frame1, tiny, least, occluder_areas, accepted, start, stop):
    """Whether pieces explain each other without a bend."""
    for k in range(start, stop):
        one, other = pairs[k]
        accepted[k] = _agrees(one, other, matrices[k], frame0, frame1, tiny, least[k], occluder_areas[k]) and _agrees(
            other, one, inverse[k], frame1, frame0, tiny, least[k], occluder_areas[k]
        )


@njit()
def _agrees(own, other, matrix, here, there, tiny, least, occluder_areas):
    h, w = here.labels.shape
    count = inside = covered = hidden = differ = 0
    for y in range(here.boxes[own, 1], here.boxes[own, 3]):
        for x in range(here.boxes[own, 0], here.boxes[own, 2]):
            if here.labels[y, x] != own:
                continue
            count += 1
            u, v = moved(matrix, x, y)
            column, row = round(u), round(v)
            if not (0 <= row < h and 0 <= column < w):
                differ += 1
                covered += occluder_areas < np.inf
                hidden += occluder_areas < np.inf
                continue
            label = there.labels[row, column]
            if label == other:
                inside += 1
                differ += _differ(here.grey[y, x], there.grey[row, column])
            else:
                differ += 1
                if there.covering[label]:
                    covered += 1
                    hidden += there.areas[label] > occluder_areas
    alike = differ - hidden < _AGREES * (count - hidden) or count < tiny
    seen = inside > least * count or (occluder_areas < np.inf and inside > LEAST_SEEN * count)
    return alike and inside > OVERLAP * (count - covered) and seen


@njit()
def _differ(one, other):
    return abs(np.int64(one) - np.int64(other)) > _UNLIKE  # Numba's int() of a byte has no sign


def _bend_one(
    pair: np.ndarray, matrices: tuple, least: float, both: tuple, greys: list, covering: list, bends: tuple
) -> bool:
    canvases = [_canvas(pair, i, matrices[i], both, greys) for i in range(2)]
    # What smaller pieces hide, as an arm hides part of the body behind it, is no sign of a bend.
    hiding = [covers & (of.areas < of.areas[piece]) for covers, of, piece in zip(covering, both, pair, strict=True)]
    within = []
    for i, (own, other) in enumerate((canvas.own.copy(), canvas.other.copy()) for canvas in canvases):
        labels = both[i].labels, both[1 - i].labels
        _fill_hidden(own, other, canvases[i].corner, matrices[i], *labels, hiding[i], hiding[1 - i])
        within.append(_search(own, other))
    for tried in (within, [None, None]) if any(bend is not None for bend in within) else ([None, None],):
        if all(
            _is_explained(canvases[i], tried[i], matrices[i], least, pair[1 - i], both[1 - i].labels, covering[1 - i])
            for i in range(2)
        ):
            for i in range(2):
                if tried[i] is not None:
                    # In frame 1, too, bends are offsets of positions in frame 0.
                    turn = np.eye(2) if i == 0 else matrices[1][:, :2]
                    _paste(tried[i], np.ascontiguousarray(turn), canvases[i].own, *canvases[i].corner, bends[i])
            return True
    return False


def _canvas(pair: np.ndarray, i: int, matrix: np.ndarray, both: tuple, greys: list) -> _Canvas:
    """Piece `pair[i]` of frame i; `matrix` takes its positions to the other frame."""
    box, other = both[i].boxes[pair[i]].astype(int), both[1 - i].boxes[pair[1 - i]].astype(int)
    corners = np.array([[x, y] for x in other[::2] for y in other[1::2]])
    back = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    low = np.minimum(box[:2], np.maximum(np.floor(back.min(0)), box[:2] - (box[2:] - box[:2]))).astype(int) - MARGIN
    high = np.maximum(box[2:], np.minimum(np.ceil(back.max(0)), box[2:] + (box[2:] - box[:2]))).astype(int) + MARGIN
    low -= np.maximum(SMALLEST_CANVAS - (high - low), 0) // 2
    width, height = np.maximum(high - low, SMALLEST_CANVAS)
    own = np.full((height, width), BLANK, np.uint8)
    cut(greys[i], both[i].labels, pair[i], *low, own)
    there = np.full((other[3] - other[1], other[2] - other[0]), BLANK, np.uint8)
    cut(greys[1 - i], both[1 - i].labels, pair[1 - i], *other[:2], there)
    onto = matrix.copy()
    onto[:, 2] += matrix[:, :2] @ low - other[:2]
    shown = cv2.warpAffine(
        there, onto, (int(width), int(height)), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderValue=BLANK
    )
    return _Canvas(low, own, shown)


@njit()
def _fill_hidden(own, other, corner, matrix, labels, other_labels, hiding, other_hiding):
    """Give either picture of a piece the other's pixels where pieces (n,) bool of its frame may hide its own."""
    h, w = labels.shape
    for y in range(own.shape[0]):
        for x in range(own.shape[1]):
            if (own[y, x] == BLANK) == (other[y, x] == BLANK):
                continue
            column, row = x + corner[0], y + corner[1]
            if own[y, x] == BLANK:
                if 0 <= row < h and 0 <= column < w and hiding[labels[row, column]]:
                    own[y, x] = other[y, x]
            else:
                u, v = moved(matrix, column, row)
                column, row = round(u), round(v)
                if 0 <= row < h and 0 <= column < w and other_hiding[other_labels[row, column]]:
                    other[y, x] = own[y, x]


def _search(own: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    """The residual motion (h, w, 2); None if the pieces agree without."""
    if _disagreement(own, other) < _AGREES:
        return None
    nothing: Any = None  # no initial flow; OpenCV's stubs do not allow None
    return estimator().calc(own, other, nothing)


def _is_explained(
    canvas: _Canvas,
    within: np.ndarray | None,
    matrix: np.ndarray,
    least: float,
    other: int,
    labels: np.ndarray,
    covering: np.ndarray,
) -> bool:
    bend = np.zeros((1, 1, 2), np.float32) if within is None else within
    count, inside, covered = _overlap(canvas.own, bend, canvas.corner, matrix, other, labels, covering)
    return inside > OVERLAP * (count - covered) and inside > least * count


@njit()
def _disagreement(own, other):
    differ = union = 0
    for y in range(own.shape[0]):
        for x in range(own.shape[1]):
            if own[y, x] != BLANK or other[y, x] != BLANK:
                union += 1
                differ += _differ(own[y, x], other[y, x])
    return differ / max(union, 1)


@njit()
def _overlap(own, bend, corner, matrix, other, labels, covering):
    """The number of pixels of a piece, of those that land in its match or next to it, and of those under others."""
    h, w = labels.shape
    count = inside = covered = 0
    straight = bend.shape[0] == 1
    for y in range(own.shape[0]):
        for x in range(own.shape[1]):
            if own[y, x] == BLANK:
                continue
            count += 1
            u, v = x + corner[0] + 0.0, y + corner[1] + 0.0
            if not straight:
                u, v = u + bend[y, x, 0], v + bend[y, x, 1]
            u, v = moved(matrix, u, v)
            column, row = round(u), round(v)
            if 0 <= row < h and 0 <= column < w:
                if (
                    labels[row, column] == other
                    or labels[max(row - 1, 0), column] == other
                    or labels[min(row + 1, h - 1), column] == other
                    or labels[row, max(column - 1, 0)] == other
                    or labels[row, min(column + 1, w - 1)] == other
                ):
                    inside += 1
                elif covering[labels[row, column]]:
                    covered += 1
    return count, inside, covered


@njit()
def _paste(within, turn, canvas, left, top, bends):
    for y in range(canvas.shape[0]):
        for x in range(canvas.shape[1]):
            if canvas[y, x] != BLANK:
                u, v = within[y, x]
                bends[top + y, left + x, 0] = turn[0, 0] * u + turn[0, 1] * v
                bends[top + y, left + x, 1] = turn[1, 0] * u + turn[1, 1] * v
