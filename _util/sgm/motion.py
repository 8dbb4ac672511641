"""Flow of matched pieces: the shift of their centres, plus dense inverse search between the two pieces.

In: two frames and a matching. Out: flow in both directions, 0 where no piece was matched or its motion is not
plausible. Pieces are processed in parallel, each on a canvas of its own, blank outside the piece.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np

from _util import threads
from _util.compiled import njit
from _util.segmentation import Segments
from _util.sgm.matching import Matching

# As released, at 540×960. Lengths grow with the side of a frame, areas with the frame.
REFERENCE = 540 * 960
_LONGEST, SMALLEST = 250, 50  # pixels
_LARGEST_SHARE, _LARGEST_RATIO, OVERLAP = 0.12, 3, 0.8
MARGIN, SMALLEST_CANVAS = 4, 24  # pixels
BLANK, _DARKEST = 0, 64  # grey outside a piece, and grey that represents black in it


class _Piece(NamedTuple):
    """A matched pair and its canvas, which bounds both pieces once their centres are aligned."""

    indices: tuple[int, int]
    corners: tuple[tuple[int, int], tuple[int, int]]  # x, y of the canvas in both frames; may lie outside
    size: tuple[int, int]  # h, w


def flow_of_pieces(picture0: np.ndarray, picture1: np.ndarray, matching: Matching) -> tuple[np.ndarray, np.ndarray]:
    """Flow of all matched pieces that move plausibly.

    A pair is left out if its centres are more than 250 pixels apart, if a piece fills at least 12 % of the frame or has
    no more than 50 pixels, if one has at least three times as many pixels as the other, or if at most 80 % of either
    piece, once moved, lies in the other. Pixels are those of 540×960; at other sizes lengths scale with √(h·w).

    Args:
        picture0, picture1: (h, w, 3) RGB uint8.

    Returns:
        flow01 and flow10, (h, w, 2) float32, x then y, pixels.
    """
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (picture0, picture1)]
    labels = matching.segments0.labels, matching.segments1.labels
    flows = [np.zeros((*grey.shape, 2), np.float32) for grey in greys]
    plausible = matching.pairs[are_plausible(matching.pairs, matching.segments0, matching.segments1)]
    pieces = [_on_canvas(matching, pair) for pair in plausible.tolist()]
    pieces.sort(key=lambda piece: piece.size[0] * piece.size[1], reverse=True)

    def work(start: int, stop: int) -> None:
        for piece in pieces[start:stop]:
            _add_flow(piece, greys, labels, flows)

    if pieces:
        threads.run(work, len(pieces))
    return flows[0], flows[1]


def scale_of(size: tuple[int, ...]) -> float:
    """Lengths in a frame of (h, w, …), relative to those at 540×960."""
    return (size[0] * size[1] / REFERENCE) ** 0.5


def are_plausible(
    pairs: np.ndarray,
    segments0: Segments,
    segments1: Segments,
    largest: float = _LARGEST_SHARE,
    are_near: np.ndarray | bool = False,
) -> np.ndarray:
    """Whether pairs (k, 2) are near enough, large enough, similar in size, and below a share of the frame's area.

    Args:
        are_near: (k,) bool, those that are near enough at any distance.
    """
    first, second = pairs.T
    h, w = segments0.labels.shape
    scale = scale_of((h, w))
    way = np.hypot(*(segments1.centroids[second] - segments0.centroids[first]).T)
    areas = np.stack([segments0.areas[first], segments1.areas[second]])
    smaller, larger = areas.min(0), areas.max(0)
    return (
        ((way <= _LONGEST * scale) | are_near)
        & (smaller > SMALLEST * scale**2)
        & (larger < largest * h * w)
        & (larger < _LARGEST_RATIO * smaller)
    )


def _on_canvas(matching: Matching, pair: list[int]) -> _Piece:
    segments = matching.segments0, matching.segments1
    centre0, centre1 = (s.centroids[i] for s, i in zip(segments, pair, strict=True))
    shift = np.round(centre1 - centre0).astype(int)
    box0, box1 = (s.boxes[i].astype(int) for s, i in zip(segments, pair, strict=True))
    low = np.minimum(box0[:2], box1[:2] - shift) - MARGIN
    high = np.maximum(box0[2:], box1[2:] - shift) + MARGIN
    low -= np.maximum(SMALLEST_CANVAS - (high - low), 0) // 2
    width, height = np.maximum(high - low, SMALLEST_CANVAS)
    return _Piece((pair[0], pair[1]), (tuple(low.tolist()), tuple((low + shift).tolist())), (int(height), int(width)))


def _add_flow(piece: _Piece, greys: list, labels: tuple, flows: list) -> None:
    canvases = np.full((2, *piece.size), BLANK, np.uint8)
    for canvas, index, corner, grey, pieces in zip(canvases, *piece[:2], greys, labels, strict=True):
        cut(grey, pieces, index, *corner, canvas)
    search = estimator()
    one, other = canvases
    nothing: Any = None  # no initial flow; OpenCV's stubs do not allow None
    within = [search.calc(one, other, nothing), search.calc(other, one, nothing)]
    if min(_overlap(canvases[0], canvases[1], within[0]), _overlap(canvases[1], canvases[0], within[1])) <= OVERLAP:
        return
    shift = np.subtract(piece.corners[1], piece.corners[0]).astype(np.float32)
    for i, sign in ((0, 1), (1, -1)):
        _paste(within[i], *(sign * shift), canvases[i], *piece.corners[i], flows[i])


def estimator() -> cv2.DISOpticalFlow:
    # A new one for each piece: on a small canvas OpenCV changes its settings, which would persist for the next piece.
    # Canvases are small: skipping their full size loses little, and refinement over blank areas would cost much.
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    estimator.setFinestScale(1)
    estimator.setPatchSize(8)
    estimator.setPatchStride(4)
    estimator.setGradientDescentIterations(12)
    estimator.setVariationalRefinementIterations(0)
    return estimator


@njit()
def cut(grey, labels, piece, left, top, canvas):
    """Copy a piece's grey, raised to at least `_DARKEST`, onto a canvas whose corner is at (left, top)."""
    h, w = labels.shape
    for y in range(max(-top, 0), min(canvas.shape[0], h - top)):
        for x in range(max(-left, 0), min(canvas.shape[1], w - left)):
            if labels[top + y, left + x] == piece:
                canvas[y, x] = _DARKEST + grey[top + y, left + x] * (255 - _DARKEST) // 255


@njit()
def _overlap(canvas, other, flow):
    """The share of a piece that lies in the other, once moved."""
    h, w = canvas.shape
    count = inside = 0
    for y in range(h):
        for x in range(w):
            if canvas[y, x] != BLANK:
                count += 1
                row, column = round(y + flow[y, x, 1]), round(x + flow[y, x, 0])
                if 0 <= row < h and 0 <= column < w and other[row, column] != BLANK:
                    inside += 1
    return inside / max(count, 1)


@njit()
def _paste(within, shift_x, shift_y, canvas, left, top, flow):
    for y in range(canvas.shape[0]):
        for x in range(canvas.shape[1]):
            if canvas[y, x] != BLANK:
                flow[top + y, left + x, 0] = shift_x + within[y, x, 0]
                flow[top + y, left + x, 1] = shift_y + within[y, x, 1]
