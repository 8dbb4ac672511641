"""Segmentation of a drawing into colour pieces, for matching between frames.

This is AnimeInterp's segmentation (Li et al., CVPR 2021): lines are detected in the smoothed frame, the area between
them is filled by trapped balls, which are too large to slip through gaps in a line (Zhang et al., "Vectorizing Cartoon
Animations", TVCG 2009), small fills are merged into the neighbour of most similar colour, and line pixels into an
adjacent piece. Here every step processes the whole frame at once: the fills of all balls of one radius are the
connected components of the pixels where their centres fit, grown back by the radius. Time is linear in pixels except
for merging small fills, which is n log n. One step is added: fills of one colour that only a narrow passage separates,
with no line between them, are merged again.

In: a frame, RGB in [0, 1]. Out: `Segments`, a label for each pixel and statistics of each piece.
"""

import colorsys
from typing import NamedTuple

import numpy as np
from torch import Tensor

from _util.compiled import njit
from _util.image import to_array
from _util.segmentation import lines
from _util.segmentation.fills import fill
from _util.segmentation.joining import join
from _util.segmentation.lines import Style


class Segments(NamedTuple):
    """n pieces of an (h, w) frame."""

    labels: np.ndarray  # (h, w) int32, 0 … n - 1; the pixels of each are 4-connected
    areas: np.ndarray  # (n,) int64, pixels
    centroids: np.ndarray  # (n, 2) float64, x, y, pixels
    boxes: np.ndarray  # (n, 4) int32, x0, y0, x1, y1; the last two are just outside
    colours: np.ndarray  # (n, 3) float64, mean RGB in [0, 1]


def segment(image: Tensor, style: Style = "japanese", smallest: int = 500) -> Segments:
    """Segment a frame into its colour pieces.

    Args:
        image: (3, h, w) or (1, 3, h, w), RGB in [0, 1], any size.
        style: of the drawing; "western" smooths over a wider range of colours and further.
        smallest: fills of fewer pixels are merged into a neighbour.

    Returns:
        At least one piece; the result does not depend on the number of threads.

    Raises:
        ValueError: not one RGB image, or an unknown style.
    """
    shape = tuple(image.shape)
    if shape[-3:-2] != (3,) or shape[:-3] not in ((), (1,)) or 0 in shape:
        raise ValueError(f"image must be (3, h, w) or (1, 3, h, w), not {shape}")
    pixels = to_array(image.reshape(shape[-3:]), np.uint8)
    on_line = lines.find(pixels, style)
    fills, count = fill(on_line)
    return describe(join(fills, count, on_line, pixels, smallest), pixels)


def describe(labels: np.ndarray, pixels: np.ndarray) -> Segments:
    """Measure pieces and number them in the order of their first pixels.

    Args:
        labels: (h, w), an integer from 0 for each piece; the pixels of each are 4-connected.
        pixels: (h, w, 3) uint8 RGB.
    """
    numbers = np.full(labels.max() + 1, -1, np.int32)
    renumbered = np.empty(labels.shape, np.int32)
    count = _renumber(labels, numbers, renumbered)
    areas, sums = np.zeros(count, np.int64), np.zeros((count, 5))
    h, w = labels.shape
    boxes = np.tile(np.array([w, h, 0, 0], np.int32), (count, 1))
    _measure(renumbered, pixels, areas, sums, boxes)
    means = sums / areas[:, None]
    return Segments(renumbered, areas, means[:, :2].copy(), boxes, means[:, 2:] / 255)


def show(segments: Segments) -> np.ndarray:
    """Visualize the pieces: (h, w, 3) uint8 RGB, in varied colours with black borders."""
    count = len(segments.areas)
    golden = 0.618034
    palette = [
        colorsys.hsv_to_rgb(i * golden % 1, 0.45 + 0.2 * (i % 3), 0.95 - 0.17 * (i // 3 % 3)) for i in range(count)
    ]
    labels = segments.labels
    picture = (255 * np.array(palette)).astype(np.uint8)[labels]
    picture[:, 1:][labels[:, 1:] != labels[:, :-1]] = 0
    picture[1:][labels[1:] != labels[:-1]] = 0
    return picture


@njit()
def _renumber(labels, numbers, renumbered):
    h, w = labels.shape
    count = 0
    for y in range(h):
        for x in range(w):
            label = labels[y, x]
            if numbers[label] < 0:
                numbers[label] = count
                count += 1
            renumbered[y, x] = numbers[label]
    return count


@njit()
def _measure(labels, pixels, areas, sums, boxes):
    h, w = labels.shape
    for y in range(h):
        x = 0
        while x < w:
            start, label = x, labels[y, x]
            red, green, blue = 0, 0, 0
            while x < w and labels[y, x] == label:
                red += pixels[y, x, 0]
                green += pixels[y, x, 1]
                blue += pixels[y, x, 2]
                x += 1
            run = x - start
            areas[label] += run
            sums[label, 0] += run * (start + x - 1) / 2
            sums[label, 1] += run * y
            sums[label, 2] += red
            sums[label, 3] += green
            sums[label, 4] += blue
            box = boxes[label]
            box[0], box[1] = min(box[0], start), min(box[1], y)
            box[2], box[3] = max(box[2], x), max(box[3], y + 1)
