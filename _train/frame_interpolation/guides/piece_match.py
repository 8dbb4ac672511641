"""How well a motion aligns a piece of one key with the other key, and the motion that aligns it best."""

import cmath

import cv2
import numpy as np

from _train.frame_interpolation.guides.cut_keys import CutKey
from _util.similarity import Points, Similarity, about

CAP = 0.3  # at which colour differences are clipped
_POINTS = 1500  # of a piece that are compared
_INSIDE = 0.3  # least share of them that must stay in the frame
_COARSE = np.radians(np.arange(-150, 151, 5.0))
_STEPS = ((3.0, 4.0), (1.5, 2.0), (0.75, 1.0), (0.4, 0.5))  # pixels and degrees of refinement
_TRIES = 4  # for each of them
_TURN_COSTS = 0.03  # added to the difference of colours for each radian


class PieceMatch:
    """Evaluates how well motions align a piece of key 0 with key 1, and its counterpart in key 1 with key 0."""

    def __init__(self, key0: CutKey, key1: CutKey, mask0: np.ndarray, mask1: np.ndarray | None = None):
        self._points0, self._colours0 = _points(key0, mask0)
        self._image0, self._image1 = key0.smooth, key1.smooth
        self._back = None if mask1 is None else _points(key1, mask1)

    def cost(self, motion: Similarity) -> float:
        """The mean difference of colours, in [0, `CAP`]."""
        there = _difference(motion(self._points0), self._colours0, self._image1)
        if self._back is None:
            return there
        points1, colours1 = self._back
        return float(np.mean([there, _difference(motion.inverse()(points1), colours1, self._image0)]))

    def cost_along(self, flow01: np.ndarray) -> float:
        """The cost of the automatic motion, flow01 (2, h, w)."""
        z = self._points0
        y, x = z.imag.astype(int), z.real.astype(int)
        return _difference(z + flow01[0, y, x] + 1j * flow01[1, y, x], self._colours0, self._image1)

    def best_turn(self, centre: complex, to: complex, around: float) -> Similarity:
        """The turn that aligns the keys best, of those that take `centre` to `to`; `around` is in radians."""
        motions = [about(centre, cmath.exp(1j * (around + turn)), to) for turn in _COARSE]
        costs = [self.cost(motion) + _TURN_COSTS * abs(turn) for motion, turn in zip(motions, _COARSE, strict=True)]
        return self.refine(motions[int(np.argmin(costs))], centre=centre, reach=0.0)

    def refine(self, motion: Similarity, centre: complex | None = None, reach: float = 1.0) -> Similarity:
        """Improve a motion in steps: turns about a centre (default: of the piece), and shifts scaled by `reach`."""
        if centre is None:
            centre = complex(self._points0.mean())
        best = self.cost(motion)
        for pixels, degrees in _STEPS:
            turn = cmath.exp(1j * np.radians(degrees))
            changes = [(turn, 0), (1 / turn, 0)]
            changes += [(1, pixels * reach * step) for step in (1, -1, 1j, -1j)] if reach else []
            for _ in range(_TRIES):
                tried = [about(centre, motion.a * a, motion(centre) + b) for a, b in changes]
                costs = [self.cost(one) for one in tried]
                if min(costs) >= best:
                    break
                best = min(costs)
                motion = tried[int(np.argmin(costs))]
        return motion


def _points(key: CutKey, mask: np.ndarray) -> tuple[Points, np.ndarray]:
    y, x = np.nonzero(mask)
    step = max(1, len(x) // _POINTS)
    y, x = y[::step], x[::step]
    return x + 1j * y, key.smooth[y, x]


def _difference(z: Points, colours: np.ndarray, image: np.ndarray) -> float:
    h, w = image.shape[:2]
    inside = (z.real >= 0) & (z.real <= w - 1) & (z.imag >= 0) & (z.imag <= h - 1)
    if inside.mean() < _INSIDE:
        return CAP
    z, colours = z[inside], colours[inside]
    x, y = (coordinate.astype(np.float32)[:, None] for coordinate in (z.real, z.imag))
    there = cv2.remap(image, x, y, cv2.INTER_LINEAR)[:, 0]
    return float(np.minimum(abs(there - colours).mean(1), CAP).mean())
