"""Optical flow by dense inverse search (DIS), and its multi-scale combination.

DIS (Kroeger et al., ECCV 2016; OpenCV) at full size finds the motion of small objects but loses large motion; at half
size it is the other way round. `multidis` runs it at several sizes and selects at each pixel the flow that warps the
frame best, with costs aggregated over similar pixels nearby (cost-volume filtering, Rhemann et al., CVPR 2011), so that
flow edges follow the outlines of the drawing without halos. As there, a median filter follows, which removes the
choices of isolated pixels.

In: two frames, (1, 3, h, w) RGB in [0, 1]. Out: flow01 and flow10, (1, 2, h, w) float32, x then y, in pixels.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from _util.flow import Flows, from_arrays
from _util.image import pictures_of

SCALES = (0.5, 1, 1.5)
_SMALLEST = 16  # pixels of a side that OpenCV can work on
_RADIUS, _SMOOTHNESS = 7, 1e-3  # of the guided filter: pixels, variance of grey below which a part is flat
_COLOUR, _SLOPE = 0.1, 0.08  # differences in colour and gradient are truncated at these
_COLOUR_WEIGHT, _SLOPE_WEIGHT = 0.4, 0.6
_OUTSIDE = 0.7  # cost, in [0, 1], of pointing out of the frame
_MEDIAN = 5  # pixels of its side


def dis(frame0: Tensor, frame1: Tensor) -> Flows:
    """DIS at full size, once in each direction."""
    return from_arrays(_both_ways(*pictures_of(frame0, frame1)), frame0.device)


def multidis(frame0: Tensor, frame1: Tensor) -> Flows:
    """The best flow of DIS at several sizes, selected per pixel."""
    picture0, picture1 = pictures_of(frame0, frame1)
    flows01, flows10 = zip(*(_at_scale(picture0, picture1, scale) for scale in SCALES), strict=True)
    best = select(picture0, picture1, flows01), select(picture1, picture0, flows10)
    return from_arrays(best, frame0.device)


def select(here: np.ndarray, there: np.ndarray, flows: Sequence[np.ndarray]) -> np.ndarray:
    """Select at each pixel the flow of lowest aggregated cost, then apply a median filter.

    Args:
        here, there: (h, w, 3) RGB uint8.
        flows: each (h, w, 2) float32, from here to there, x then y, pixels.

    Returns:
        (h, w, 2) float32.
    """
    found = costs(here, there, flows)
    best, lowest = flows[0].copy(), next(found)
    for flow, cost in zip(flows[1:], found, strict=True):
        better = cost < lowest
        best[better] = flow[better]
        np.minimum(cost, lowest, out=lowest)
    if len(flows) == 1:
        return best
    return cv2.merge([cv2.medianBlur(component, _MEDIAN) for component in cv2.split(best)])


def costs(here: np.ndarray, there: np.ndarray, flows: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The aggregated matching cost (h, w) in [0, 1] of each of several flows, as in `select`."""
    seen_here, seen_there = _features(here), _features(there)
    smooth = _GuidedFilter(cv2.cvtColor(seen_here[:, :, :3], cv2.COLOR_RGB2GRAY))
    for flow in flows:
        yield smooth(_cost(seen_here, seen_there, flow))


def dissimilarity(picture: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Difference (h, w) in [0, 1] of two pictures (h, w, 3) RGB uint8, by colour and gradient."""
    return _dissimilarity(_features(picture), _features(other))


def _features(picture: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 to (h, w, 5) float32: colours in [0, 1], slopes of grey along x and y."""
    colours = picture.astype(np.float32) / 255
    grey = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
    slopes = (cv2.Sobel(grey, cv2.CV_32F, *axis, ksize=3, scale=0.25) for axis in ((1, 0), (0, 1)))
    return np.dstack([colours, *slopes])


def _cost(here: np.ndarray, there: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Difference (h, w) in [0, 1] between the features of both frames along a flow."""
    h, w = flow.shape[:2]
    x = flow[:, :, 0] + np.arange(w, dtype=np.float32)
    y = flow[:, :, 1] + np.arange(h, dtype=np.float32)[:, None]
    seen = cv2.remap(there, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
    return np.where(inside, _dissimilarity(here, seen), np.float32(_OUTSIDE))


def _dissimilarity(features: np.ndarray, others: np.ndarray) -> np.ndarray:
    difference = cv2.absdiff(features, others)
    colour = np.minimum(difference[:, :, :3].mean(2), _COLOUR) / _COLOUR
    slope = np.minimum(difference[:, :, 3:].sum(2), _SLOPE) / _SLOPE
    return _COLOUR_WEIGHT * colour + _SLOPE_WEIGHT * slope


class _GuidedFilter:
    """Guided filter (He et al., TPAMI 2013): local means that respect the edges of a guide picture."""

    def __init__(self, guide: np.ndarray):
        self.guide, self.mean = guide, self._around(guide)
        self.variance = self._around(guide * guide) - self.mean**2 + _SMOOTHNESS

    def __call__(self, values: np.ndarray) -> np.ndarray:
        mean = self._around(values)
        slope = (self._around(self.guide * values) - self.mean * mean) / self.variance
        return self._around(slope) * self.guide + self._around(mean - slope * self.mean)

    @staticmethod
    def _around(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (2 * _RADIUS + 1, 2 * _RADIUS + 1))


def _at_scale(picture0: np.ndarray, picture1: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """DIS both ways on resized pictures, as flow of the size of the pictures."""
    h, w = picture0.shape[:2]
    size = max(_SMALLEST, round(w * scale)), max(_SMALLEST, round(h * scale))
    by = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    forth, back = _both_ways(*(cv2.resize(picture, size, interpolation=by) for picture in (picture0, picture1)))
    stretch = np.array([w / size[0], h / size[1]], np.float32)
    return cv2.resize(forth, (w, h)) * stretch, cv2.resize(back, (w, h)) * stretch


def search(grey0: np.ndarray, grey1: np.ndarray) -> np.ndarray:
    """The flow from one picture to another, both (h, w) uint8, by OpenCV's dense inverse search at medium quality.

    Returns:
        (h, w, 2) float32, x then y, pixels.
    """
    nothing: Any = None  # no initial flow; OpenCV's stubs do not allow None
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(grey0, grey1, nothing)


def _both_ways(picture0: np.ndarray, picture1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grey0, grey1 = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (picture0, picture1))
    return search(grey0, grey1), search(grey1, grey0)
