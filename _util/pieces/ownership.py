"""Assignment of pixels to moving pieces: parts that were not matched, lines, and the rims of pieces.

In: pieces, some of which move. Out: owners (h, w) int32 for either frame: the index of a motion, `GROUND` or `UNKNOWN`.
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.sparse import coo_array

from _util import image, threads
from _util.compiled import njit
from _util.morphology import dilated_mask
from _util.pieces.affine import inverted, landing, moved
from _util.pieces.bending import LEAST_SEEN
from _util.pieces.ground import SAME
from _util.segmentation import Segments
from _util.segmentation.borders import adjacent
from _util.sgm.motion import OVERLAP

GROUND, UNKNOWN = 0, -1
_ALIKE = 0.08  # of a channel; largest difference in colour between parts of one piece
_COARSE = 5  # pixels of radius from which pixels are subsampled
_OFF_COLOUR, _DEVIATIONS = 5, 2.5  # levels by which a line differs from its piece, and deviations from painted ground
_UNMOVED = 3  # levels within which background counts as seen in both frames
_UNSEEN = 4.0  # levels subtracted from its cost if it is, else added
_SWITCH_COST = 12  # levels by which another piece must match better
_AWAY = 0.3  # levels per pixel of distance to an owner
_UNOWNED, _OUTSIDE = 60.0, 100.0  # levels at which no owner counts, and one that takes a pixel out of the frame
_ALIKE_AROUND = 2  # least number of a line pixel's neighbours that its new owner has; fewer are specks
_LOST = 30  # levels of difference above which a line pixel matches no owner nearby
_BESIDE = 3  # pixels within which it then takes the nearest moving piece
_BLEND = 2  # pixels at 540×960 over which a rim blends into the ground


def assign_unmatched(of_labels: tuple, both: tuple[Segments, Segments], matrices: np.ndarray) -> None:
    """Assign unmatched pieces, such as parts cut off by something in front, to moving pieces or the ground, in place.

    Each gets the one of similar colour whose motion takes most of its pixels into that piece.
    """
    inverse = inverted(matrices)
    before = [of.copy() for of in of_labels]
    for i, motions in enumerate((matrices, inverse)):
        here, there = both[i], both[1 - i]
        lost = np.flatnonzero(before[i] == UNKNOWN)
        if not len(lost):
            continue
        colours, weights = _mean_colours(before[1 - i], there, len(matrices))
        known = np.flatnonzero(weights > 0)
        rows, columns = np.nonzero(np.abs(here.colours[lost, None] - colours[known]).max(2) <= _ALIKE)
        candidates, firsts = known[columns], np.searchsorted(rows, np.arange(len(lost) + 1))
        counts = np.zeros((len(candidates), 2), np.int64)
        boxes, owners = here.boxes[lost].astype(np.int64), before[1 - i][there.labels]
        threads.run(_count_landings, len(lost), lost, here.labels, boxes, candidates, firsts, motions, owners, counts)
        for k, label in enumerate(lost.tolist()):
            own = counts[firsts[k] : firsts[k + 1]]
            if not len(own):
                continue
            best = own[:, 0].argmax()
            visible = here.areas[label] - own[best, 1]
            if own[best, 0] > OVERLAP * visible and own[best, 0] > LEAST_SEEN * here.areas[label]:
                of_labels[i][label] = candidates[firsts[k] + best]


def _mean_colours(of_labels: np.ndarray, segments: Segments, count: int) -> tuple[np.ndarray, np.ndarray]:
    known = np.flatnonzero(of_labels >= 0)
    weights = coo_array((segments.areas[known].astype(float), (of_labels[known], known)), (count, len(of_labels)))
    total = weights.sum(1)
    return (weights @ segments.colours) / np.maximum(total, 1)[:, None], total


@njit()
def _count_landings(lost, labels, boxes, candidates, firsts, motions, owners, counts, start, stop):
    # For each candidate: the number of pixels that land in it, and in other moving pieces.
    h, w = labels.shape
    for k in range(start, stop):
        for c in range(firsts[k], firsts[k + 1]):
            motion = motions[candidates[c]]
            for y in range(boxes[k, 1], boxes[k, 3]):
                for x in range(boxes[k, 0], boxes[k, 2]):
                    if labels[y, x] != lost[k]:
                        continue
                    u, v = moved(motion, x, y)
                    column, row = round(u), round(v)
                    if 0 <= row < h and 0 <= column < w:
                        owner = owners[row, column]
                        if owner == candidates[c]:
                            counts[c, 0] += 1
                        elif owner > GROUND:
                            counts[c, 1] += 1


class _FrameView(NamedTuple):
    """One frame, and how its pixels move to the other."""

    here: np.ndarray  # (h, w, 3) uint8
    there: np.ndarray  # (h, w, 3), the other frame
    owners: np.ndarray  # (h, w) int32
    bends: np.ndarray  # (h, w, 2)
    motions: np.ndarray  # (k, 2, 3), of owners
    frame: int  # 0 or 1


class _Around(NamedTuple):
    """Buffers for the owners around a pixel."""

    owners: np.ndarray  # (16,) int32
    distances: np.ndarray  # (16,) int64, squared, to the nearest pixel of each
    places: np.ndarray  # (16, 2) int64, and that pixel, y, x


def with_lines(
    pictures: tuple, both: tuple, colours: list, owners: tuple, bends: tuple, matrices: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """The owners, with each line pixel near a border reassigned to the nearby piece whose motion it follows."""

    def of_frame(i: int, motions: np.ndarray) -> np.ndarray:
        off = _off_colour(pictures[i], both[i], colours[i], owners[i])
        border = np.zeros(owners[i].shape, bool)
        border.flat[adjacent(owners[i])[1]] = True
        beside = dilated_mask(border, radius)
        changed = owners[i].copy()
        view = _FrameView(pictures[i], pictures[1 - i], owners[i], bends[i].copy(), motions, i)
        threads.run(_give_lines, len(beside), view, beside & off, radius, changed, bends[i])
        specks = _find_specks(changed, (changed != owners[i]) & (changed > GROUND))
        changed[specks], bends[i][specks] = owners[i][specks], view.bends[specks]
        return changed

    owners0, owners1 = threads.each(of_frame, range(2), (matrices, inverted(matrices)))
    return owners0, owners1


def _find_specks(owners: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows and columns of pixels among some, (h, w) bool, few of whose eight neighbours have their owner."""
    y, x = np.nonzero(among)
    padded, own = np.pad(owners, 1, constant_values=UNKNOWN), owners[y, x]
    alike = np.sum([padded[y + down, x + right] == own for down in range(3) for right in range(3)], 0) - 1
    few = alike < _ALIKE_AROUND
    return y[few], x[few]


def _off_colour(picture: np.ndarray, segments: Segments, colours: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """(h, w) bool: whether a pixel's colour differs from its piece's; for ground, by more than the ground varies."""
    labels = segments.labels
    apart, squares = _differences(picture, labels, colours)
    spread = np.sqrt(squares / segments.areas)
    limits = np.maximum(_OFF_COLOUR, _DEVIATIONS * spread)[labels]
    return apart > np.where(owners == GROUND, limits, _OFF_COLOUR)


@njit()
def _differences(picture, labels, colours):
    """(h, w) float32, the largest difference over channels between a pixel and its piece's colour; and the sums of
    their squares per piece (n,)."""
    apart, squares = np.empty(labels.shape, np.float32), np.zeros(len(colours))
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            piece = labels[y, x]
            most = np.float32(0)
            for channel in range(3):
                most = max(most, abs(np.float32(picture[y, x, channel]) - colours[piece, channel]))
            apart[y, x] = most
            squares[piece] += most * most
    return apart, squares


@njit()
def _give_lines(view, beside, radius, changed, bends, start, stop):
    # One task: one row. Writes the new owner of each line pixel to `changed`, and its bend to `bends`.
    around = _Around(np.empty(16, np.int32), np.empty(16, np.int64), np.empty((16, 2), np.int64))
    for y in range(start, stop):
        for x in range(view.owners.shape[1]):
            if not beside[y, x]:
                continue
            own = view.owners[y, x]
            if own > GROUND and _difference(view, x, y, own, view.bends[y, x], 1) <= _SWITCH_COST:
                continue
            count = _find_around(view.owners, x, y, radius, around)
            best = _best_owner(view, x, y, around, count)
            if best < 0 and own == GROUND:
                changed[y, x] = UNKNOWN
            elif best >= 0 and around.owners[best] != own:
                changed[y, x] = around.owners[best]
                bends[y, x] = view.bends[around.places[best, 0], around.places[best, 1]]  # 0 on the ground


@njit()
def _find_around(owners, x, y, radius, around):
    """Write the distinct owners around a pixel to `around`; returns their number."""
    h, w = owners.shape
    tried, distances, places = around
    step = 1 + radius // _COARSE  # pieces are wider than this
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
    return count


@njit()
def _best_owner(view, x, y, around, count):
    """The index of the owner, of the first `count` around a pixel, whose motion fits it best; -1 if none does."""
    own = view.owners[y, x]
    best, lowest, beside_it, nearest = -1, 1e9, -1, _BESIDE**2 + 1
    for k in range(count):
        owner, distance = around.owners[k], around.distances[k]
        if owner == GROUND and own > GROUND:
            continue
        if owner > GROUND and distance <= nearest:
            beside_it, nearest = k, distance
        if owner == UNKNOWN:
            cost = _UNOWNED if count > 1 else 0.0
        else:
            bend = view.bends[around.places[k, 0], around.places[k, 1]]
            cost = _difference(view, x, y, owner, bend, int(owner != GROUND))
        cost += _AWAY * np.sqrt(distance)
        if owner == own and own > GROUND:
            cost -= _SWITCH_COST
        if owner == GROUND:
            cost += _UNSEEN if cost > _UNMOVED else -_UNSEEN
        if cost < lowest:
            best, lowest = k, cost
    return beside_it if lowest > _LOST and own == GROUND else best


@njit()
def _difference(view, x, y, owner, bend, reach):
    """The smallest mean difference in levels between a pixel and those around the position to which its owner moves."""
    here, there = view.here, view.there
    column, row = landing(view.motions[owner], bend, x, y, view.frame)
    if not (0 <= row < there.shape[0] and 0 <= column < there.shape[1]):
        return _OUTSIDE
    lowest = 255.0
    for v in range(max(row - reach, 0), min(row + reach + 1, there.shape[0])):
        for u in range(max(column - reach, 0), min(column + reach + 1, there.shape[1])):
            total = 0.0
            for c in range(3):
                total += abs(np.int64(here[y, x, c]) - np.int64(there[v, u, c]))  # int() of a byte has no sign
            lowest = min(lowest, total / 3)
    return lowest


def find_mixed(pictures: tuple, owners: tuple, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) bool for either frame: changed ground beside a moving piece, blended with the rim of the piece."""
    reach = max(1, round(_BLEND * scale))
    changed = image.difference(*pictures) > _UNMOVED
    near = [dilated_mask(owner > GROUND, reach) for owner in owners]
    return tuple(beside & changed & (owner == GROUND) for beside, owner in zip(near, owners, strict=True))


def leave_out_unexplained(pictures: tuple, owners: tuple, mixed: tuple, radius: int) -> None:
    """Mark ground that changed from frame to frame as unknown, in place, except beside moving pieces."""
    changed = (owners[0] == GROUND) & (owners[1] == GROUND) & (image.difference(*pictures) > SAME)
    beside = dilated_mask((owners[0] > GROUND) | (owners[1] > GROUND), radius)
    count, parts = cv2.connectedComponents(changed.astype(np.uint8))
    apart = np.bincount(parts[~beside], minlength=count)
    apart[0] = 0
    around = dilated_mask((apart > radius)[parts], 2)
    for owner, rim in zip(owners, mixed, strict=True):
        owner[around & ~rim & (owner == GROUND)] = UNKNOWN
