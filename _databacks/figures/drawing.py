"""A rig before a ground: its picture at any time, which part each pixel shows, and where that is at another time."""

from typing import NamedTuple

import cv2
import numpy as np

from _databacks.figures.rigs import BonePose, FigurePart, FigureRig, Points, Random, poses

Colour = tuple[float, float, float] | int

_SUPERSAMPLING = 3  # samples of a pixel along each side; odd, so that one is its centre
_BITS = 4  # of fractions of a sample
_SPACING = 2.0  # pixels between the points of an outline, at most, before it is bent
_PAINTED = 0.5  # share of the grounds


class DrawnFigure(NamedTuple):
    """A rig in front of its ground."""

    rig: FigureRig
    ground: np.ndarray  # (h, w, 3) float32 RGB in [0, 1]

    def frame(self, t: float) -> np.ndarray:
        """(h, w, 3) uint8 RGB at a time in [0, 1]."""
        large = cv2.resize(self.ground, None, fx=_SUPERSAMPLING, fy=_SUPERSAMPLING, interpolation=cv2.INTER_NEAREST)
        for part, pose in zip(self.rig.parts, self._poses(t), strict=True):
            _paint(large, part, pose, self.rig.line, part.colour, self.rig.ink)
        small = cv2.resize(large, self.ground.shape[1::-1], interpolation=cv2.INTER_AREA)
        return (small * 255).round().clip(0, 255).astype(np.uint8)

    def parts(self, t: float) -> np.ndarray:
        """(h, w) int32: the part at each pixel's centre at a time, its outline included; -1 the ground."""
        h, w = self.ground.shape[:2]
        large = np.full((h * _SUPERSAMPLING, w * _SUPERSAMPLING), -1, np.int32)
        for i, (part, pose) in enumerate(zip(self.rig.parts, self._poses(t), strict=True)):
            _paint(large, part, pose, self.rig.line, i, i)
        return large[_SUPERSAMPLING // 2 :: _SUPERSAMPLING, _SUPERSAMPLING // 2 :: _SUPERSAMPLING].copy()

    def flow(self, start: float, end: float) -> np.ndarray:
        """(h, w, 2) float32: how far what each pixel shows at `start` is moved at `end`, x then y, pixels."""
        shown = self.parts(start)
        ways = np.zeros((*shown.shape, 2), np.float32)
        for i, (before, after) in enumerate(zip(self._poses(start), self._poses(end), strict=True)):
            y, x = np.nonzero(shown == i)
            points = np.stack([x, y], 1).astype(float)
            ways[y, x] = after.place(before.find(points)) - points
        return ways

    def _poses(self, t: float) -> list[BonePose]:
        """The pose of the bone of each part."""
        of_bones = poses(self.rig, t)
        return [of_bones[part.bone] for part in self.rig.parts]


def draw_ground(random: Random, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) float32 RGB in [0, 1]: one colour, or a painting of soft patches and of things with outlines."""
    colour = random.uniform(0.3, 1, 3).astype(np.float32)
    picture = np.broadcast_to(colour, (*size, 3)).copy()
    if random.random() >= _PAINTED:
        return picture
    patches = cv2.resize(
        random.uniform(-0.15, 0.15, (5, 8, 3)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC
    )
    picture += patches
    large = cv2.resize(picture, None, fx=_SUPERSAMPLING, fy=_SUPERSAMPLING)
    for _ in range(random.integers(3, 9)):
        centre = random.uniform(0, 1, 2) * [size[1], size[0]]
        corners = int(random.integers(3, 8))
        angles = np.sort(random.uniform(0, 2 * np.pi, corners))
        reach = size[0] * random.uniform(0.05, 0.25, (corners, 1))
        thing = FigurePart(
            0, reach * np.stack([np.cos(angles), np.sin(angles)], 1), tuple(random.uniform(0.2, 1, 3).tolist())
        )
        _paint(large, thing, BonePose(centre, 0.0, 0.0), size[0] / 240, thing.colour, (0.15, 0.13, 0.13))
    picture = cv2.resize(large, size[::-1], interpolation=cv2.INTER_AREA)
    grain = random.normal(0, 0.01, (*size, 1)).astype(np.float32)
    return (picture + cv2.GaussianBlur(grain, (0, 0), 1)[..., None]).clip(0, 1)


def _paint(canvas: np.ndarray, part: FigurePart, pose: BonePose, line: float, fill: Colour, ink: Colour) -> None:
    outline = pose.place(_dense(part.outline))
    fixed = np.round((_SUPERSAMPLING * outline + _SUPERSAMPLING // 2) * 2**_BITS).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], fill, shift=_BITS)
    cv2.polylines(canvas, [fixed], True, ink, max(1, round(_SUPERSAMPLING * line)), shift=_BITS)


def _dense(outline: Points) -> Points:
    following = np.roll(outline, -1, 0)
    steps = np.maximum(1, np.ceil(np.hypot(*(following - outline).T) / _SPACING)).astype(int)
    sides = zip(outline, following, steps, strict=True)
    return np.concatenate([a + (b - a) * np.linspace(0, 1, n, endpoint=False)[:, None] for a, b, n in sides])
