"""How matched pieces move, at any time, and what lies before what.

In: two frames and a matching. Out: `Pieces`: which moving piece each pixel of both frames belongs to, the motion of
each as a chain about joints, what bends within it, and its place in the order of layers; from these, flow or paths.
A motion is fitted to outlines, then what is left is found by dense inverse search on the piece alone, and then the
whole must explain what both frames show, or the piece does not move at all. What lies around everything and looks the
same in both frames is ground, and stays.
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.sparse import coo_array

from _util import paths, threads
from _util.compiled import njit
from _util.segmentation import Segments
from _util.sgm import fitting
from _util.sgm.joints import Chains, chain
from _util.sgm.matching import Matching
from _util.sgm.outlines import contacts, outlines

# As released, at 540×960. Lengths grow with the side of a frame, areas with the frame.
_REFERENCE = 540 * 960
_LONGEST, _SMALLEST = 250, 50  # pixels
_LARGEST_RATIO, _OVERLAP = 3, 0.8
_MARGIN, _SMALLEST_CANVAS = 4, 24  # pixels
_BLANK, _DARKEST = 0, 64  # grey around a piece, and of black in it
_LEAST_SEEN = 0.35  # of a piece, what must lie in the other though the rest is covered,
_TURNED, _LEAST_SEEN_TURNED = 20, 0.7  # and of one that turns by so many degrees, which is believed less easily
_AGREES, _UNLIKE = 0.12, 24  # share of a canvas, and levels, within which nothing is searched for;
_TINY = 300  # pixels at 540×960 of what is nearly all outline, in which nothing is searched for, either
_CORE = 5  # pixels around that are of the same piece, away from its border
_SAME, _STAYS = 10, 0.6  # levels of a colour that did not change, and the share of these that ground has
_SIDES = 3  # of the frame, which ground touches
_LARGE = 0.12  # share of the frame; such pieces are no neighbours, everything moves over them
_ALIKE = 0.08  # of a channel, by which parts of one piece differ
_RIM = 10  # pixels at 540×960 to either side of a border, in which lines are given to the piece they move with
_COARSE = 5  # pixels of a rim from which on not every one is looked at
_OFF_COLOUR, _DEVIATIONS = 5, 2.5  # levels by which a line differs from its piece, and from ground that is painted
_UNMOVED = 3  # levels within which ground is seen in both frames
_LOYAL = 12  # levels by which another piece must do better
_LOST = 30  # levels of the difference from which on a line goes with nothing around it,
_BESIDE = 3  # but what is within so many pixels
_BLEND = 2  # pixels at 540×960 over which a rim blends into the ground
_ONE_COLOUR, _LINE_ART = 0.015, 0.4  # of a channel; share of what is drawn that has the ground's colour in line art
_MOST_LAYERS = 3
_COVERED = 12  # pixels at 540×960 by which one piece covers another before that says something

GROUND, UNKNOWN = 0, -1


class Pieces(NamedTuple):
    """k moving pieces of two frames of (h, w); the first is the ground, which stays.

    `chains.at(t)` takes positions of frame 0 to the time t. What bends is in `bends`, in pixels of frame 0, and is
    added to positions before.
    """

    owners: tuple[np.ndarray, np.ndarray]  # (h, w) int32 in either frame: the piece, or -1 where it is not known
    chains: Chains
    bends: tuple[np.ndarray, np.ndarray]  # (h, w, 2) float32, by pixels of either frame
    layers: np.ndarray  # (k,) float32, larger in front
    mixed: tuple[np.ndarray, np.ndarray]  # (h, w) bool in either frame: of ground, with the rim of something in it
    is_line_art: bool  # nearly all pieces have the colour of the ground, so that they are often mistaken

    def flows(self) -> tuple[np.ndarray, np.ndarray]:
        """flow01 and flow10, (h, w, 2) float32, x then y, pixels; 0 where the piece is not known."""
        forth, back = (np.ascontiguousarray(path[:, :, :2]) for path in self._traced((0.0, 1.0)))
        return forth, back

    def paths(self) -> tuple[np.ndarray, np.ndarray]:
        """From either frame to the other, (h, w, 9) float32, as `_util.paths`; 0 where the piece is not known."""
        found = self._traced((0.0, *paths.KNOTS, 1.0))
        for path, mixed in zip(found, self.mixed, strict=True):
            path[mixed, -1] = paths.NOT_DRAWN
        return found

    def _traced(self, times: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
        h, w = self.owners[0].shape
        matrices = np.stack([self.chains.at(t) for t in times], 1)
        inverse = _inverted(self.chains.matrices)
        found = np.zeros((2, h, w, paths.CHANNELS), np.float32)
        for i in range(2):
            threads.run(
                _trace, h, self.owners[i], self.bends[i], matrices, inverse, np.array(times), i, self.layers, found[i]
            )
        return found[0], found[1]


def find(picture0: np.ndarray, picture1: np.ndarray, matching: Matching) -> Pieces:
    """How all matched pieces move that do so plausibly.

    A pair is left out where its centres are more than 250 pixels apart, where one has no more than 50 pixels or three
    times those of the other, or where less than 80 % of either piece, moved, lies in the other, but for what others
    cover. Pixels are those of 540×960; at other sizes lengths scale with √(h·w).

    Args:
        picture0, picture1: (h, w, 3) RGB uint8.
    """
    pictures = picture0, picture1
    both = matching.segments0, matching.segments1
    scale = _scale(picture0)
    colours = [_core_colours(*of) for of in zip(pictures, both, strict=True)]
    stays = _stays(pictures, both)
    pockets = [_have_its_colour(*of) for of in zip(colours, stays, strict=True)]
    is_line_art = any(_is_line_art(*of) for of in zip(pictures, both, colours, stays, strict=True))
    if not is_line_art:
        stays = pockets
    pairs = matching.pairs[_are_plausible(matching, scale)]
    pairs = pairs[~(stays[0][pairs[:, 0]] & stays[1][pairs[:, 1]])]
    touching = _Touching(pairs, both)
    fits = _fit(pairs, both, touching, scale)
    matrices = fits[:, :6].reshape(-1, 2, 3)
    bends = tuple(np.zeros((*picture.shape[:2], 2), np.float32) for picture in pictures)
    believed = _bend(pairs, matrices, matching, pictures, bends)
    kept = np.cumsum(believed)  # the ground is the first
    matrices = np.concatenate([np.eye(2, 3)[None], matrices[believed]])
    of_labels = tuple(np.full(len(segments.areas), UNKNOWN, np.int32) for segments in both)
    for i in range(2):
        of_labels[i][stays[i]] = GROUND
        of_labels[i][pairs[believed, i]] = kept[believed]
    _adopt(of_labels, both, matrices)
    owners = tuple(of[segments.labels] for of, segments in zip(of_labels, both, strict=True))
    layers = _layers(owners, bends, matrices, scale)
    owners = _with_lines(pictures, both, colours, owners, bends, matrices, max(2, round(_RIM * scale)))
    chains = _chain(pairs, believed, kept, matrices, both, touching)
    mixed = _mixed(pictures, owners, scale)
    _leave_out_unexplained(pictures, owners, mixed, max(2, round(_RIM * scale)))
    return Pieces(owners, chains, bends, layers, mixed, is_line_art)


def _scale(picture: np.ndarray) -> float:
    return (picture.shape[0] * picture.shape[1] / _REFERENCE) ** 0.5


def _are_plausible(matching: Matching, scale: float) -> np.ndarray:
    segments0, segments1 = matching.segments0, matching.segments1
    first, second = matching.pairs.T
    way = np.hypot(*(segments1.centroids[second] - segments0.centroids[first]).T)
    areas = np.stack([segments0.areas[first], segments1.areas[second]])
    smaller, larger = areas.min(0), areas.max(0)
    return (way <= _LONGEST * scale) & (smaller > _SMALLEST * scale**2) & (larger < _LARGEST_RATIO * smaller)


def _stays(pictures: tuple, both: tuple[Segments, Segments]) -> list[np.ndarray]:
    """For each piece of either frame, whether it is ground that did not change but for what covers it."""
    h, w = pictures[0].shape[:2]
    same = cv2.absdiff(*pictures).max(2) <= _SAME
    found = []
    for segments in both:
        share = np.bincount(segments.labels.ravel(), same.ravel(), len(segments.areas)) / segments.areas
        sides = (segments.boxes[:, :2] == 0).sum(1) + (segments.boxes[:, 2:] == [w, h]).sum(1)
        found.append((sides >= _SIDES) & (share >= _STAYS))
    return found


def _have_its_colour(colours: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Whether pieces are of the very colour of a piece of ground, which shows between two limbs."""
    if not ground.any():
        return ground
    return np.abs(colours[:, None] - colours[ground]).max(2).min(1) <= 255 * _ONE_COLOUR


def _is_line_art(picture: np.ndarray, segments: Segments, colours: np.ndarray, ground: np.ndarray) -> bool:
    """Whether most of what is drawn on the ground has its colour, so that colours tell nothing."""
    if not ground.any():
        return False
    enclosed = ((segments.areas < _LARGE * segments.labels.size) & ~ground)[segments.labels]
    paper = colours[ground][segments.areas[ground].argmax()]
    alike = np.abs(picture[enclosed] - paper).max(1) <= 255 * _ONE_COLOUR
    return len(alike) > 0 and alike.mean() > _LINE_ART


def _core_colours(picture: np.ndarray, segments: Segments) -> np.ndarray:
    """(n, 3) float32, 0 … 255: the mean of each piece away from its border, so without its outline."""
    labels = segments.labels.astype(np.float32)
    square = np.ones((_CORE, _CORE), np.uint8)
    inside = cv2.erode(labels, square) == cv2.dilate(labels, square)
    found, count = segments.labels[inside], len(segments.areas)
    pixels = np.bincount(found, minlength=count)
    sums = np.stack([np.bincount(found, picture[:, :, c][inside], count) for c in range(3)], 1)
    return np.where(pixels[:, None] > 0, sums / np.maximum(pixels, 1)[:, None], 255 * segments.colours).astype(
        np.float32
    )


class _Touching:
    """Which pairs of pieces touch in both frames, and where."""

    def __init__(self, pairs: np.ndarray, both: tuple[Segments, Segments]):
        borders = [contacts(segments) for segments in both]
        large = [segments.areas > _LARGE * segments.labels.size for segments in both]
        place = np.full(len(both[0].areas), -1)
        place[pairs[:, 0]] = np.arange(len(pairs))
        first = borders[0]
        one, other = (place[labels] for labels in (first.keys // first.count, first.keys % first.count))
        known = (one >= 0) & (other >= 0)
        for i in range(2):
            known &= ~large[i][pairs[one, i]] & ~large[i][pairs[other, i]] if len(pairs) else known
        one, other = one[known], other[known]
        there = borders[1].find(pairs[one, 1], pairs[other, 1])
        again = there >= 0
        self.pairs = np.stack([one[again], other[again]], 1)
        self.places = np.concatenate([first.centres[known][again], borders[1].centres[there[again]]], 1)

    def by_pair(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(j, 4), x, y in frame 0 and in frame 1, those of pair i from firsts[i] to firsts[i + 1]; and firsts."""
        ends = np.concatenate([self.pairs[:, 0], self.pairs[:, 1]])
        order = np.argsort(ends, kind="stable")
        firsts = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=count))])
        return np.concatenate([self.places, self.places])[order], firsts


def _fit(pairs: np.ndarray, both: tuple[Segments, Segments], touching: _Touching, scale: float) -> np.ndarray:
    fits = np.zeros((len(pairs), 7))
    if len(pairs):
        found = [outlines(segments) for segments in both]
        areas = (both[0].areas[pairs[:, 0]] + both[1].areas[pairs[:, 1]]) / 2
        threads.run(
            fitting.fit,
            len(pairs),
            pairs,
            *(part for outline in found for part in outline),
            *(segments.centroids for segments in both),
            areas,
            *touching.by_pair(len(pairs)),
            found[0].some,
            scale,
            fits,
        )
    return fits


def _chain(
    pairs: np.ndarray,
    believed: np.ndarray,
    kept: np.ndarray,
    matrices: np.ndarray,
    both: tuple[Segments, Segments],
    touching: _Touching,
) -> Chains:
    moving = believed[touching.pairs].all(1)
    areas = np.concatenate([[0], both[0].areas[pairs[believed, 0]]])
    centres = np.concatenate([np.zeros((1, 2)), both[0].centroids[pairs[believed, 0]]])
    return chain(matrices, areas, centres, kept[touching.pairs[moving]], touching.places[moving])


# Within a piece


class _Canvas(NamedTuple):
    """A piece of one frame, and the one of the other moved onto it."""

    corner: np.ndarray  # (2,) x, y in the frame
    own: np.ndarray  # (h, w) uint8
    other: np.ndarray


def _bend(pairs: np.ndarray, matrices: np.ndarray, matching: Matching, pictures: tuple, bends: tuple) -> np.ndarray:
    """Fill in `bends`; for each pair, whether it explains both frames."""
    believed = np.zeros(len(pairs), bool)
    if not len(pairs):
        return believed
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    both = matching.segments0, matching.segments1
    covering = [np.zeros(len(segments.areas), bool) for segments in both]
    for i in range(2):
        covering[i][pairs[:, i]] = True
    inverse = _inverted(matrices)
    of_frames = [(both[i].labels, both[i].boxes.astype(np.int64), greys[i], covering[i]) for i in range(2)]
    tiny = _TINY * _scale(pictures[0]) ** 2
    linear = matrices[:, :, :2]
    angles = np.degrees(np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1]))
    least = np.where(np.abs(angles) >= _TURNED, _LEAST_SEEN_TURNED, _LEAST_SEEN)
    threads.run(_agree, len(pairs), pairs, matrices, inverse, *of_frames, tiny, least, believed)
    rest = np.flatnonzero(~believed)
    rest = rest[np.argsort(-both[0].areas[pairs[rest, 0]], kind="stable")]

    def work(start: int, stop: int) -> None:
        for k in rest[start:stop]:
            believed[k] = _bend_one(pairs[k], (matrices[k], inverse[k]), least[k], both, greys, covering, bends)

    if len(rest):
        threads.run(work, len(rest))
    return believed


@njit()
def _agree(pairs, matrices, inverse, frame0, frame1, tiny, least, believed, start, stop):
    """Whether pieces explain each other without a bend."""
    for k in range(start, stop):
        one, other = pairs[k]
        believed[k] = _agrees(one, other, matrices[k], frame0, frame1, tiny, least[k]) and _agrees(
            other, one, inverse[k], frame1, frame0, tiny, least[k]
        )


@njit()
def _agrees(own, other, matrix, here, there, tiny, least):
    labels, boxes, grey, _ = here
    labels_there, _, grey_there, covering = there
    h, w = labels.shape
    count = inside = covered = differ = 0
    for y in range(boxes[own, 1], boxes[own, 3]):
        for x in range(boxes[own, 0], boxes[own, 2]):
            if labels[y, x] != own:
                continue
            count += 1
            column = round(matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2])
            row = round(matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2])
            if not (0 <= row < h and 0 <= column < w):
                differ += 1
            elif labels_there[row, column] == other:
                inside += 1
                differ += abs(int(grey[y, x]) - int(grey_there[row, column])) > _UNLIKE
            else:
                differ += 1
                covered += covering[labels_there[row, column]]
    alike = differ < _AGREES * count or count < tiny
    return alike and inside > _OVERLAP * (count - covered) and inside > least * count


def _bend_one(
    pair: np.ndarray, matrices: tuple, least: float, both: tuple, greys: list, covering: list, bends: tuple
) -> bool:
    canvases = [_canvas(pair, i, matrices[i], both, greys) for i in range(2)]
    within = [_search(canvas) for canvas in canvases]
    for tried in (within, [None, None]) if any(bend is not None for bend in within) else ([None, None],):
        if all(
            _is_explained(canvases[i], tried[i], matrices[i], least, pair[1 - i], both[1 - i].labels, covering[1 - i])
            for i in range(2)
        ):
            for i in range(2):
                if tried[i] is not None:
                    # In frame 1, what bends is what is added to the position in frame 0.
                    turn = np.eye(2) if i == 0 else matrices[1][:, :2]
                    _paste(tried[i], np.ascontiguousarray(turn), canvases[i].own, *canvases[i].corner, bends[i])
            return True
    return False


def _canvas(pair: np.ndarray, i: int, matrix: np.ndarray, both: tuple, greys: list) -> _Canvas:
    """Piece `pair[i]` of frame i; `matrix` takes its positions to the other frame."""
    box, other = both[i].boxes[pair[i]].astype(int), both[1 - i].boxes[pair[1 - i]].astype(int)
    corners = np.array([[x, y] for x in other[::2] for y in other[1::2]])
    back = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    low = np.minimum(box[:2], np.maximum(np.floor(back.min(0)), box[:2] - (box[2:] - box[:2]))).astype(int) - _MARGIN
    high = np.maximum(box[2:], np.minimum(np.ceil(back.max(0)), box[2:] + (box[2:] - box[:2]))).astype(int) + _MARGIN
    low -= np.maximum(_SMALLEST_CANVAS - (high - low), 0) // 2
    width, height = np.maximum(high - low, _SMALLEST_CANVAS)
    own = np.full((height, width), _BLANK, np.uint8)
    _cut(greys[i], both[i].labels, pair[i], *low, own)
    there = np.full((other[3] - other[1], other[2] - other[0]), _BLANK, np.uint8)
    _cut(greys[1 - i], both[1 - i].labels, pair[1 - i], *other[:2], there)
    onto = matrix.copy()
    onto[:, 2] += matrix[:, :2] @ low - other[:2]
    moved = cv2.warpAffine(
        there, onto, (int(width), int(height)), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderValue=_BLANK
    )
    return _Canvas(low, own, moved)


def _search(canvas: _Canvas) -> np.ndarray | None:
    """(h, w, 2), what is left of the motion; none where the pieces agree without."""
    if _disagreement(canvas.own, canvas.other) < _AGREES:
        return None
    return _estimator().calc(canvas.own, canvas.other, None)


def _estimator() -> cv2.DISOpticalFlow:
    # One for each piece: on a small canvas it changes its own settings, and would keep them for the next.
    # Small canvases: what is not looked for at their full size costs little, and refinement over blank paper much.
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    estimator.setFinestScale(1)
    estimator.setPatchSize(8)
    estimator.setPatchStride(4)
    estimator.setGradientDescentIterations(12)
    estimator.setVariationalRefinementIterations(0)
    return estimator


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
    return inside > _OVERLAP * (count - covered) and inside > least * count


@njit()
def _disagreement(own, other):
    differ = union = 0
    for y in range(own.shape[0]):
        for x in range(own.shape[1]):
            if own[y, x] != _BLANK or other[y, x] != _BLANK:
                union += 1
                differ += abs(int(own[y, x]) - int(other[y, x])) > _UNLIKE
    return differ / max(union, 1)


@njit()
def _cut(grey, labels, piece, left, top, canvas):
    h, w = labels.shape
    for y in range(max(-top, 0), min(canvas.shape[0], h - top)):
        for x in range(max(-left, 0), min(canvas.shape[1], w - left)):
            if labels[top + y, left + x] == piece:
                canvas[y, x] = _DARKEST + grey[top + y, left + x] * (255 - _DARKEST) // 255


@njit()
def _overlap(own, bend, corner, matrix, other, labels, covering):
    """How many pixels a piece has, and how many of them, moved, lie in the other or beside it, and under others."""
    h, w = labels.shape
    count = inside = covered = 0
    straight = bend.shape[0] == 1
    for y in range(own.shape[0]):
        for x in range(own.shape[1]):
            if own[y, x] == _BLANK:
                continue
            count += 1
            u, v = x + corner[0] + 0.0, y + corner[1] + 0.0
            if not straight:
                u, v = u + bend[y, x, 0], v + bend[y, x, 1]
            column = round(matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2])
            row = round(matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2])
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
            if canvas[y, x] != _BLANK:
                u, v = within[y, x]
                bends[top + y, left + x, 0] = turn[0, 0] * u + turn[0, 1] * v
                bends[top + y, left + x, 1] = turn[1, 0] * u + turn[1, 1] * v


# Whose pixels they are


def _adopt(of_labels: tuple, both: tuple[Segments, Segments], matrices: np.ndarray) -> None:
    """Parts of a piece that something in front cut off, or that were joined to another, go with it.

    A piece without a partner goes with the moving piece, of its colour, in which most of it lies when moved so.
    """
    inverse = _inverted(matrices)
    before = [of.copy() for of in of_labels]
    for i, motions in enumerate((matrices, inverse)):
        here, there = both[i], both[1 - i]
        lost = np.flatnonzero(before[i] == UNKNOWN)
        if not len(lost):
            continue
        colours, weights = _mean_colours(before[1 - i], there, len(matrices))
        known = np.flatnonzero(weights > 0)
        alike = np.abs(here.colours[lost, None] - colours[known]).max(2) <= _ALIKE
        candidates = [known[row].astype(np.int64) for row in alike]
        firsts = np.concatenate([[0], np.cumsum([len(found) for found in candidates])])
        if firsts[-1]:
            counts = np.zeros((firsts[-1], 2), np.int64)
            boxes = here.boxes[lost].astype(np.int64)
            flat = np.concatenate(candidates)
            threads.run(
                _count_landings, len(lost), lost, here.labels, boxes, flat, firsts, motions, there.labels,
                before[1 - i], counts,
            )  # fmt: skip
            for k, label in enumerate(lost.tolist()):
                own = counts[firsts[k] : firsts[k + 1]]
                if len(own):
                    best = own[:, 0].argmax()
                    visible = here.areas[label] - own[best, 1]
                    if own[best, 0] > _OVERLAP * visible and own[best, 0] > _LEAST_SEEN * here.areas[label]:
                        of_labels[i][label] = flat[firsts[k] + best]


def _mean_colours(of_labels: np.ndarray, segments: Segments, count: int) -> tuple[np.ndarray, np.ndarray]:
    known = np.flatnonzero(of_labels >= 0)
    weights = coo_array((segments.areas[known].astype(float), (of_labels[known], known)), (count, len(of_labels)))
    total = weights.sum(1)
    return (weights @ segments.colours) / np.maximum(total, 1)[:, None], total


@njit()
def _count_landings(lost, labels, boxes, candidates, firsts, motions, there, owners, counts, start, stop):
    # For each candidate: pixels that land in it, and in other pieces that move.
    h, w = labels.shape
    for k in range(start, stop):
        for c in range(firsts[k], firsts[k + 1]):
            motion = motions[candidates[c]]
            for y in range(boxes[k, 1], boxes[k, 3]):
                for x in range(boxes[k, 0], boxes[k, 2]):
                    if labels[y, x] != lost[k]:
                        continue
                    u = round(motion[0, 0] * x + motion[0, 1] * y + motion[0, 2])
                    v = round(motion[1, 0] * x + motion[1, 1] * y + motion[1, 2])
                    if 0 <= v < h and 0 <= u < w:
                        owner = owners[there[v, u]]
                        if owner == candidates[c]:
                            counts[c, 0] += 1
                        elif owner > GROUND:
                            counts[c, 1] += 1


def _with_lines(
    pictures: tuple, both: tuple, colours: list, owners: tuple, bends: tuple, matrices: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """Owners with each pixel of a line beside a border given to that of the pieces around with which it moves."""
    inverse, found = _inverted(matrices), []
    for i, motions in enumerate((matrices, inverse)):
        off = _off_colour(pictures[i], both[i], colours[i], owners[i])
        border = np.zeros(owners[i].shape, np.uint8)
        across, down = owners[i][:, 1:] != owners[i][:, :-1], owners[i][1:] != owners[i][:-1]
        border[:, 1:] |= across
        border[1:] |= down
        beside = cv2.dilate(border, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
        changed, bend = owners[i].copy(), bends[i].copy()
        threads.run(
            _give_lines, len(beside), pictures[i], pictures[1 - i], owners[i], bend, motions, i, beside & off, radius,
            changed, bends[i],
        )  # fmt: skip
        found.append(changed)
    return found[0], found[1]


def _off_colour(picture: np.ndarray, segments: Segments, colours: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """(h, w) whether a pixel differs from the colour of its piece more than the piece does, if that is ground."""
    labels = segments.labels
    apart = np.abs(picture - colours[labels]).max(2)
    spread = np.sqrt(np.bincount(labels.ravel(), np.square(apart).ravel()) / segments.areas)
    limits = np.maximum(_OFF_COLOUR, _DEVIATIONS * spread)[labels]
    return apart > np.where(owners == GROUND, limits, _OFF_COLOUR)


@njit()
def _give_lines(here, there, owners, old, motions, frame, beside, radius, changed, bends, start, stop):
    h, w = owners.shape
    tried, distances = np.empty(16, np.int32), np.empty(16, np.int64)
    places = np.empty((16, 2), np.int64)
    step = 1 + radius // _COARSE  # pieces are wider than that
    for y in range(start, stop):
        for x in range(w):
            if not beside[y, x]:
                continue
            own = owners[y, x]
            if own > GROUND and _difference(here, there, x, y, motions[own], old[y, x], frame, 1) <= _LOYAL:
                continue
            count = 0
            for v in range(max(y - radius, (y - radius) % step), min(y + radius + 1, h), step):
                for u in range(max(x - radius, (x - radius) % step), min(x + radius + 1, w), step):
                    owner = owners[v, u]
                    away = (v - y) ** 2 + (u - x) ** 2
                    k = 0
                    while k < count and tried[k] != owner:
                        k += 1
                    if k == count and count < len(tried):
                        tried[k], distances[k] = owner, away + 1
                        count += 1
                    if k < count and away < distances[k]:
                        distances[k] = away
                        places[k] = v, u
            best, lowest, beside_it, nearest = -1, 1e9, -1, _BESIDE**2 + 1
            for k in range(count):
                if tried[k] == GROUND and owners[y, x] > GROUND:
                    continue
                if tried[k] > GROUND and distances[k] <= nearest:
                    beside_it, nearest = k, distances[k]
                if tried[k] == UNKNOWN:
                    cost = 60.0 if count > 1 else 0.0
                else:
                    bend = old[places[k, 0], places[k, 1]]
                    cost = _difference(here, there, x, y, motions[tried[k]], bend, frame, int(tried[k] != GROUND))
                # The nearer one, and the one that moves, where both fit.
                cost += 0.3 * np.sqrt(distances[k])
                if tried[k] == owners[y, x] and tried[k] > GROUND:
                    cost -= _LOYAL
                if tried[k] == GROUND:
                    cost += 4.0 if cost > _UNMOVED else -4.0
                if cost < lowest:
                    best, lowest = k, cost
            if lowest > _LOST and owners[y, x] == GROUND:
                best = beside_it
                if best < 0:
                    changed[y, x] = UNKNOWN
                    continue
            if best >= 0 and tried[best] != owners[y, x]:
                changed[y, x] = tried[best]
                bends[y, x] = old[places[best, 0], places[best, 1]]  # 0 on the ground


@njit()
def _difference(here, there, x, y, motion, bend, frame, around):
    """How unlike a pixel is to the most alike around where a motion takes it, in levels."""
    u, v = x + 0.0, y + 0.0
    if frame == 0:
        u, v = u + bend[0], v + bend[1]
    column = motion[0, 0] * u + motion[0, 1] * v + motion[0, 2]
    row = motion[1, 0] * u + motion[1, 1] * v + motion[1, 2]
    if frame == 1:
        column, row = column + bend[0], row + bend[1]
    column, row = round(column), round(row)
    if not (0 <= row < there.shape[0] and 0 <= column < there.shape[1]):
        return 100.0
    lowest = 255.0
    for v in range(max(row - around, 0), min(row + around + 1, there.shape[0])):
        for u in range(max(column - around, 0), min(column + around + 1, there.shape[1])):
            total = 0.0
            for c in range(3):
                total += abs(int(here[y, x, c]) - int(there[v, u, c]))
            lowest = min(lowest, total / 3)
    return lowest


def _mixed(pictures: tuple, owners: tuple, scale: float) -> tuple[np.ndarray, np.ndarray]:
    side = 2 * max(1, round(_BLEND * scale)) + 1
    changed = cv2.absdiff(*pictures).max(2) > _UNMOVED
    near = [cv2.dilate((owner > GROUND).astype(np.uint8), np.ones((side, side), np.uint8)) > 0 for owner in owners]
    return tuple(beside & changed & (owner == GROUND) for beside, owner in zip(near, owners, strict=True))


def _leave_out_unexplained(pictures: tuple, owners: tuple, mixed: tuple, radius: int) -> None:
    """What is not the same in both frames though both show ground there is none, or not alone, and is not known.

    What changed beside a moving piece alone is its rim.
    """
    changed = (owners[0] == GROUND) & (owners[1] == GROUND) & (cv2.absdiff(*pictures).max(2) > _SAME)
    moving = ((owners[0] > GROUND) | (owners[1] > GROUND)).astype(np.uint8)
    beside = cv2.dilate(moving, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)) > 0
    count, parts = cv2.connectedComponents(changed.astype(np.uint8))
    apart = np.bincount(parts[~beside], minlength=count)
    apart[0] = 0
    around = cv2.dilate((apart > radius)[parts].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    for owner, rim in zip(owners, mixed, strict=True):
        owner[around & ~rim & (owner == GROUND)] = UNKNOWN


# What lies before what


def _layers(owners: tuple, bends: tuple, matrices: np.ndarray, scale: float) -> np.ndarray:
    """(k,) float32: larger for what covers others where it comes from or goes to."""
    count = len(matrices)
    covers = np.zeros(0, np.int64)
    for i, motions in enumerate((matrices, _inverted(matrices))):
        covers = np.concatenate([covers, _covers(owners[i], owners[1 - i], bends[i], motions, i, count)])
    keys, times = np.unique(covers, return_counts=True)
    matrix = coo_array((times.astype(float), (keys // count, keys % count)), (count, count)).tocsr()
    surplus = (matrix - matrix.T).tocoo()
    above = surplus.data > max(2.0, _COVERED * scale**2)
    front, behind = surplus.row[above], surplus.col[above]
    layers = np.zeros(count, np.float32)
    layers[1:] = 1
    for _ in range(_MOST_LAYERS):
        lifted = layers.copy()
        np.maximum.at(lifted, front, layers[behind] + 1)
        lifted[GROUND] = 0
        if (lifted == layers).all():
            break
        layers = np.minimum(lifted, _MOST_LAYERS)
    return layers


@njit()
def _covers(owners, others, bends, motions, frame, count):
    """front · count + behind for each pixel of a piece that lands in another one."""
    h, w = owners.shape
    found = np.empty(h * w, np.int64)
    size = 0
    for y in range(0, h, 2):
        for x in range(y // 2 % 2, w, 2):
            owner = owners[y, x]
            if owner < 0:
                continue
            motion = motions[owner]
            u, v = x + 0.0, y + 0.0
            if frame == 0:
                u, v = u + bends[y, x, 0], v + bends[y, x, 1]
            column = motion[0, 0] * u + motion[0, 1] * v + motion[0, 2]
            row = motion[1, 0] * u + motion[1, 1] * v + motion[1, 2]
            if frame == 1:
                column, row = column + bends[y, x, 0], row + bends[y, x, 1]
            column, row = round(column), round(row)
            if 0 <= row < h and 0 <= column < w:
                other = others[row, column]
                if other >= 0 and other != owner:
                    found[size] = np.int64(other) * count + owner
                    size += 4  # of four pixels, one is looked at
                    found[size - 3 : size] = found[size - 4]
    return found[:size]


@njit()
def _trace(owners, bends, matrices, inverse, times, frame, layers, found, start, stop):
    """Paths of pixels, row by row: `matrices` (k, times, 2, 3), the last takes frame 0 to frame 1."""
    last = len(times) - 1
    for y in range(start, stop):
        for x in range(owners.shape[1]):
            owner = owners[y, x]
            if owner < 0:
                continue
            found[y, x, 8] = layers[owner]
            if owner == GROUND:
                continue
            bend_x, bend_y = bends[y, x]
            u, v = x + 0.0, y + 0.0
            if frame == 1:
                motion = inverse[owner]
                u, v = (
                    motion[0, 0] * x + motion[0, 1] * y + motion[0, 2],
                    motion[1, 0] * x + motion[1, 1] * y + motion[1, 2],
                )
                # The whole bend is already in the pixel: without it, it came from elsewhere.
                u, v = u + bend_x, v + bend_y
                bend_x, bend_y = -bend_x, -bend_y
            for k in range(last + 1):
                if k == 0:
                    continue
                place = last - k if frame == 1 else k
                t, motion = times[place], matrices[owner, place]
                p, q = u + t * bend_x, v + t * bend_y
                way_x = motion[0, 0] * p + motion[0, 1] * q + motion[0, 2] - x
                way_y = motion[1, 0] * p + motion[1, 1] * q + motion[1, 2] - y
                if k == last:
                    found[y, x, 0], found[y, x, 1] = way_x, way_y
                else:
                    found[y, x, 2 * k], found[y, x, 2 * k + 1] = way_x, way_y
            for k in range(1, last):
                found[y, x, 2 * k] -= times[k] * found[y, x, 0]
                found[y, x, 2 * k + 1] -= times[k] * found[y, x, 1]


def _inverted(matrices: np.ndarray) -> np.ndarray:
    """(k, 2, 3), the other way."""
    linear = np.linalg.inv(matrices[:, :, :2])
    return np.concatenate([linear, -linear @ matrices[:, :, 2:]], 2)
