"""Detection of ground: pieces that do not move, while others move over them.

In: two frames and their pieces. Out: which pieces are ground, and the colours of pieces without their outlines.
"""

import cv2
import numpy as np

from _util import image
from _util.compiled import njit
from _util.segmentation import Segments

_CORE = 5  # pixels; window that must lie within one piece for a pixel to be away from its border
SAME, _STAYS = 10, 0.6  # levels within which a pixel is unchanged, and least share of such pixels in ground
_SIDES = 3  # least number of the frame's sides that ground touches
_AROUND = 0.3  # least share of the border of the frame that divided ground covers if it touches one side less
LARGE = 0.12  # share of the frame; larger pieces are not neighbours, as everything moves over them
_ONE_COLOUR, _LINE_ART = 0.015, 0.4  # of a channel; share of the drawn area in the ground's colour that means line art


def find_ground(pictures: tuple, both: tuple[Segments, Segments]) -> list[np.ndarray]:
    """For each piece of either frame, whether it is ground: mostly unchanged, and touching most sides of the frame."""
    return [
        (_sides(segments).sum(1) >= _SIDES) & (unchanged / segments.areas >= _STAYS)
        for segments, unchanged in zip(both, _unchanged(pictures, both), strict=True)
    ]


def find_divided_ground(
    pictures: tuple, both: tuple[Segments, Segments], colours: list[np.ndarray], ground: list[np.ndarray]
) -> list[np.ndarray]:
    """The ground, and what has its colour: parts of it that things divide, as a tree does the sky, or enclose.

    Pieces of one colour at the border of the frame are ground if together they are mostly unchanged, and touch most
    sides of the frame, or much of two.

    Args:
        colours: of the pieces of either frame, (n, 3), 0 … 255.
        ground: what `find_ground` returned.
    """
    known_colours = []
    for segments, unchanged, of, known in zip(both, _unchanged(pictures, both), colours, ground, strict=True):
        sides, along = _sides(segments), _along_border(segments)
        outer = np.flatnonzero(along)
        alike = _have_one_colour(of[outer, None], of[outer])
        count = (alike @ sides[outer]).sum(1)
        much = alike @ along[outer] >= _AROUND * along.sum()
        stays = alike @ unchanged[outer] >= _STAYS * (alike @ segments.areas[outer])
        is_ground = known.copy()
        is_ground[outer] |= stays & ((count >= _SIDES) | ((count == _SIDES - 1) & much))
        known_colours.append(of[is_ground])
    of_ground = np.concatenate(known_colours)
    return [np.any(_have_one_colour(of[:, None], of_ground), 1) for of in colours]


def _unchanged(pictures: tuple, both: tuple[Segments, Segments]) -> list[np.ndarray]:
    """For each piece of either frame, (n,) int64: the number of its pixels that look the same in both frames."""
    same = image.difference(*pictures) <= SAME
    return [_count(segments.labels, same, len(segments.areas)) for segments in both]


@njit()
def _count(labels, chosen, count):
    counts = np.zeros(count, np.int64)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            counts[labels[y, x]] += chosen[y, x]
    return counts


def _sides(segments: Segments) -> np.ndarray:
    """(n, 4) bool: which sides of the frame each piece touches."""
    h, w = segments.labels.shape
    return segments.boxes == (0, 0, w, h)


def _along_border(segments: Segments) -> np.ndarray:
    """(n,): the number of pixels of each piece at the border of the frame."""
    labels = segments.labels
    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    return np.bincount(border, minlength=len(segments.areas))


def _have_one_colour(colours: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether colours (…, 3) are the same, for two arrays that broadcast."""
    return np.abs(colours - others).max(-1) <= 255 * _ONE_COLOUR


def shows_lines_alone(picture: np.ndarray, segments: Segments, colours: np.ndarray, ground: np.ndarray) -> bool:
    """Whether much of the drawn area has the ground's colour, so that colours do not distinguish pieces."""
    if not ground.any():
        return False
    enclosed = (segments.areas < LARGE * segments.labels.size) & ~ground
    paper = colours[ground][segments.areas[ground].argmax()]
    alike = _count_alike(picture, segments.labels, enclosed, paper, np.float32(255 * _ONE_COLOUR))
    return bool(alike > _LINE_ART * segments.areas[enclosed].sum())


@njit()
def _count_alike(picture, labels, chosen, colour, most):
    """The number of pixels of chosen pieces (n,) bool whose channels differ by so many levels at most from a colour."""
    count = 0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if chosen[labels[y, x]]:
                is_alike = True
                for channel in range(3):
                    is_alike &= abs(np.float32(picture[y, x, channel]) - colour[channel]) <= most
                count += is_alike
    return count


def core_colours(picture: np.ndarray, segments: Segments) -> np.ndarray:
    """(n, 3) float32, 0 … 255: the median colour of each piece away from its border, so without its outline."""
    labels = segments.labels.astype(np.float32)
    square = np.ones((_CORE, _CORE), np.uint8)
    inside = cv2.erode(labels, square) == cv2.dilate(labels, square)
    counts = np.zeros((len(segments.areas), 3, 256), np.int32)
    _count_levels(picture, segments.labels, inside, counts)
    sums = counts.cumsum(2)
    medians = (2 * sums < sums[:, :, -1:]).sum(2)  # lower ones
    return np.where(sums[:, :1, -1] > 0, medians, 255 * segments.colours).astype(np.float32)


@njit()
def _count_levels(picture, labels, inside, counts):
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if inside[y, x]:
                for channel in range(3):
                    counts[labels[y, x], channel, picture[y, x, channel]] += 1
