"""Trapped-ball filling of the area between lines, which does not leak through gaps (Zhang et al., TVCG 2009).

In: a mask of lines. Out: labels. All balls of one radius fill at once: each fill is a connected component of the pixels
where their centres fit, grown back by the radius.
"""

import cv2
import numpy as np

from _util.compiled import njit

RADII = (3, 2, 1)  # of the balls, in pixels, in this order; of the first, only the largest fill is kept


def fill(lines: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels (h, w) int32, 0 on lines and 1 … count on the balls' fills and on the remaining areas; and count."""
    labels = np.zeros(lines.shape, np.int32)
    free = 1 - lines.astype(np.uint8)
    count = 0
    for radius in RADII:
        reach = np.arange(-radius, radius + 1)
        ball = (reach**2 + reach[:, None] ** 2 <= radius**2).astype(np.uint8)
        centres = cv2.erode(free, ball)
        fills, components = _components(centres)
        filled = cv2.dilate(centres, ball)
        grow(fills, filled)
        if radius == RADII[0]:
            sizes = np.bincount(fills.ravel(), minlength=components + 1)
            sizes[0] = 0
            fills = (fills == (sizes.argmax() or -1)).astype(np.int32)
            components = int(components > 0)
        _take(fills, count, labels, free)
        count += components
    rest, components = _components(free)
    _take(rest, count, labels, free)
    return labels, count + components


@njit()
def _take(fills, count, labels, free):
    """Give fills 1, 2, … the labels from `count` + 1 on, where they are no longer free."""
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if fills[y, x] > 0:
                labels[y, x], free[y, x] = fills[y, x] + count, 0


def _components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels 1 … count of the 4-connected components of a mask, in the order of their first pixels; and count."""
    count, labels = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_32S)
    return labels, count - 1


@njit()
def grow(labels, room):
    # Breadth-first: unlabelled pixels where there is `room` take the label of a neighbour, ring by ring.
    h, w = labels.shape
    queue = np.empty(h * w, np.int32)
    first, last = 0, 0
    for y in range(h):
        for x in range(w):
            if labels[y, x] == 0:
                continue
            for v, u in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
                if 0 <= v < h and 0 <= u < w and labels[v, u] == 0 and room[v, u]:
                    queue[last] = y * w + x
                    last += 1
                    break
    while first < last:
        y, x = divmod(np.int64(queue[first]), w)
        first += 1
        for v, u in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
            if 0 <= v < h and 0 <= u < w and labels[v, u] == 0 and room[v, u]:
                labels[v, u] = labels[y, x]
                queue[last] = v * w + u
                last += 1
