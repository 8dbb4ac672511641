"""Cuts a drawing into layers: parts that can move on their own, such as eyes and hair, and what is behind and in front.

Most drawings without outlines get some, as nearly all animation has them.
"""

from typing import NamedTuple

import cv2
import numpy as np

from _databacks.clipart.vectors import VectorDrawing
from _util.errors import InputError

SIDE = 640  # pixels of the longer side of a drawing
_THUMBNAIL = 64  # size at which shapes are compared, pixels
_MOST_PARTS = 4
_INKED = 0.8  # share of drawings without outlines that get outlines
_INKS = ((26, 20, 22), (43, 29, 26), (16, 20, 32), (70, 40, 50), (0, 0, 0))
Box = tuple[float, float, float, float]  # left, top, right, bottom


class CutDrawing(NamedTuple):
    """A drawing in layers, the nearest last."""

    size: tuple[int, int]  # (w, h)
    layers: list[np.ndarray]  # (h, w, 4) float32 RGBA in [0, 255], colours multiplied by alpha
    boxes: list[Box | None]  # of layers that are parts, in pixels
    alpha: np.ndarray  # (h, w) uint8, of the whole
    fills_page: bool  # it has a ground of its own


def cut(drawing: VectorDrawing, random: np.random.Generator) -> CutDrawing:
    """Render a drawing in layers, which compose to the whole.

    Raises:
        InputError: the drawing is not suited to be animated, such as a bar, a few shapes or a wash.
    """
    if not 4 <= drawing.shapes <= 1200:
        raise InputError(f"has {drawing.shapes} shapes; 4 to 1200 are wanted")
    w, h = drawing.extent
    if min(w, h) < 0.2 * max(w, h):
        raise InputError("is too narrow")
    scale = SIDE / max(w, h)
    size = max(8, round(scale * w)), max(8, round(scale * h))
    whole = drawing.render(size)
    alpha = whole[..., 3]
    covered = float((alpha > 128).mean())
    seen = alpha > 30
    if covered < 0.06:
        raise InputError("is nearly empty")
    if (seen & (alpha < 220)).sum() > 0.35 * seen.sum():
        raise InputError("is mostly translucent")
    fills_page = covered > 0.93
    layers: list[np.ndarray] = [whole]
    boxes: list[Box | None] = [None]
    if not fills_page and 6 <= drawing.shapes <= 160:
        ranges, boxes = _divide(drawing.shapes, _choose_parts(drawing, size, covered, random))
        layers = [drawing.render(size, shapes) for shapes in ranges]
        if np.abs(_compose(layers) - whole).mean() > 2.5:  # the drawing is clipped or blended as a whole
            layers, boxes = [whole], [None]
    if not _has_outlines(whole) and random.random() < _INKED:
        layers = _draw_outlines(layers, whole, random)
    return CutDrawing(size, layers, boxes, alpha.round().astype(np.uint8), fills_page)


def _choose_parts(
    drawing: VectorDrawing, size: tuple[int, int], covered: float, random: np.random.Generator
) -> list[tuple[range, Box]]:
    """Choose some parts, in painting order: the numbers of their shapes, and their boxes.

    A part is a shape of some size and the following shapes inside its box, such as a pupil in an eye.
    """
    scale = _THUMBNAIL / max(size)
    w, h = (max(2, round(scale * side)) for side in size)
    found = [_box(drawing.render((w, h), {number})[..., 3] > 60) for number in range(drawing.shapes)]
    candidates: list[tuple[range, Box]] = []
    for first, (box, area) in enumerate(found):
        if box is None or first == 0 or not 0.008 < area / (covered * w * h) < 0.35:
            continue
        end = first + 1
        while end < len(found) and _within(found[end][0], box):
            end += 1
        left, top, right, bottom = box
        candidates.append((range(first, end), (left / scale, top / scale, right / scale, bottom / scale)))
    random.shuffle(candidates)
    chosen: list[tuple[range, Box]] = []
    for shapes, box in candidates:
        if len(chosen) < _MOST_PARTS and all(
            shapes.stop <= other.start or other.stop <= shapes.start for other, _ in chosen
        ):
            chosen.append((shapes, box))
    return sorted(chosen, key=lambda part: part[0].start)


def _divide(count: int, parts: list[tuple[range, Box]]) -> tuple[list[range], list[Box | None]]:
    """Divide all shapes into layers, in painting order, with their boxes; None for layers that are not parts."""
    ranges: list[range] = []
    boxes: list[Box | None] = []
    painted = 0
    for shapes, box in parts:
        ranges += [range(painted, shapes.start), shapes]
        boxes += [None, box]
        painted = shapes.stop
    ranges, boxes = [*ranges, range(painted, count)], [*boxes, None]
    kept = [place for place, shapes in enumerate(ranges) if shapes]
    return [ranges[place] for place in kept], [boxes[place] for place in kept]


def _box(seen: np.ndarray) -> tuple[Box | None, int]:
    """The bounding box of the visible pixels, with a margin of half a pixel, and their area."""
    y, x = np.nonzero(seen)
    if not len(x):
        return None, 0
    return (float(x.min() - 0.5), float(y.min() - 0.5), float(x.max() + 1.5), float(y.max() + 1.5)), len(x)


def _within(inner: Box | None, outer: Box, slack: float = 1.5) -> bool:
    if inner is None:
        return True
    (left, top, right, bottom), (least_x, least_y, most_x, most_y) = inner, outer
    return min(left - least_x, top - least_y, most_x - right, most_y - bottom) >= -slack


def _compose(layers: list[np.ndarray]) -> np.ndarray:
    whole = np.zeros_like(layers[0])
    for layer in layers:
        whole = layer + whole * (1 - layer[..., 3:] / 255)
    return whole


def _has_outlines(whole: np.ndarray) -> bool:
    """Whether a dark rim runs around most of a drawing."""
    alpha = whole[..., 3]
    within, core = (cv2.erode(alpha, np.ones((n, n), np.uint8)) > 200 for n in (3, 7))
    rim = within & ~core
    return rim.sum() < 50 or bool(np.percentile(whole[..., :3].mean(-1)[rim], 60) < 80)


def _draw_outlines(layers: list[np.ndarray], whole: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """Draw lines where the colours of the whole change, on the layers that are visible there."""
    colours = cv2.GaussianBlur(whole[..., :3].astype(np.uint8), (0, 0), 1)
    channels = (*cv2.split(colours), whole[..., 3].astype(np.uint8))
    edges = np.max([cv2.Canny(channel, 60, 140) for channel in channels], 0)
    away = cv2.distanceTransform(255 - edges, cv2.DIST_L2, 5)
    line = np.clip(random.uniform(0.8, 1.7) + 0.5 - away, 0, 1)[..., None]
    ink = np.array(_INKS[random.integers(len(_INKS))], np.float32)
    lined = []
    for number, layer in enumerate(layers):
        reach = layer[..., 3:] / 255
        if number == 0:  # lines around the whole lie half outside it
            reach = np.maximum(reach, cv2.dilate(layer[..., 3], np.ones((3, 3), np.uint8))[..., None] > 100)
        cover = line * reach
        lined.append(
            np.concatenate(
                [layer[..., :3] * (1 - cover) + ink * cover, np.maximum(layer[..., 3:], 255 * cover)], -1
            ).astype(np.float32)
        )
    return lined
