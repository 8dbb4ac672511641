"""A drawing as a figure of a scene: its placement, and its translation, rotation, scaling, bending and part motion.

All motion is even: every quantity is linear in time. Lengths inside the drawing are in its own pixels, placements in
the frame in pixels of the frame; angles are in radians; changes are from time 0 to time 1.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from _databacks.clipart.atlas import LayeredDrawing
from _databacks.clipart.limbs import DrawnLimb

CELLS = 24  # of the mesh, along each side of the drawing's square
Vertices = tuple[np.ndarray, np.ndarray]  # x, y, (CELLS + 1, CELLS + 1) each


class Swing(NamedTuple):
    """The rotation of a limb about its joint."""

    weights: np.ndarray  # of the vertices, in [0, 1]
    joint: np.ndarray  # x, y
    angle: float  # half way
    turn: float


class Wave(NamedTuple):
    """A bend along sine waves."""

    frequency: np.ndarray  # x, y
    phases: tuple[float, float]
    height: float  # half way
    change: np.ndarray  # x, y


class PartMotion(NamedTuple):
    """The motion of a part within the drawing."""

    pivot: np.ndarray  # x, y
    shift: np.ndarray  # x, y
    turn: float
    growth: np.ndarray  # x, y


@dataclass
class BendingFigure:
    """A drawing and its motion.

    Attributes:
        scale: pixels of the frame for each of the drawing.
        centre: x, y half way, in the frame.
        growth: x, y, logarithms of the scale change.
        stirs: one per layer; None for layers that are not parts.
        pace: factor of all motion.
    """

    drawing: LayeredDrawing
    scale: float
    centre: np.ndarray
    is_mirrored: bool = False
    angle: float = 0.0
    shift: np.ndarray | tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    growth: tuple[float, float] = (0.0, 0.0)
    swings: tuple[Swing, ...] = ()
    waves: tuple[Wave, ...] = ()
    stirs: tuple[PartMotion | None, ...] = ()
    pace: float = 1.0

    @property
    def cell(self) -> float:
        """The side of a cell of the mesh, in pixels of the drawing."""
        return max(self.drawing.entry.size) / CELLS

    def vertices(self, layer: int, time: float) -> Vertices:
        """The mesh of a layer at a time in [0, 1], in pixels of the frame, without camera motion."""
        progress = (time - 0.5) * self.pace
        flat_x, flat_y = np.meshgrid(*[np.arange(CELLS + 1) * self.cell] * 2)
        x, y = flat_x, flat_y
        if self.stirs and (stir := self.stirs[layer]):
            grown = 1 + np.clip(progress * stir.growth, -0.7, 0.7)
            x, y = _turn(x - stir.pivot[0], y - stir.pivot[1], progress * stir.turn, grown)
            x, y = x + stir.pivot[0] + progress * stir.shift[0], y + stir.pivot[1] + progress * stir.shift[1]
        for weights, joint, angle, turn in self.swings:
            turned = (angle + np.clip(progress * turn, -0.9, 0.9)) * weights
            x, y = _turn(x - joint[0], y - joint[1], turned)
            x, y = x + joint[0], y + joint[1]
        for frequency, (one, other), height, change in self.waves:
            along = frequency[0] * flat_x + frequency[1] * flat_y
            x = x + height * np.sin(along + one) + progress * change[0] * np.sin(along + other)
            y = y + height * np.cos(along + other) + progress * change[1] * np.sin(along + one)
        w, h = self.drawing.entry.size
        sides = np.array([-1 if self.is_mirrored else 1, 1])
        grown = self.scale * sides * np.exp(progress * np.array(self.growth))
        x, y = _turn(x - w / 2, y - h / 2, 0, grown)
        x, y = _turn(x, y, self.angle + progress * self.turn)
        return x + self.centre[0] + progress * self.shift[0], y + self.centre[1] + progress * self.shift[1]

    def speed(self, frame: tuple[int, int]) -> float:
        """How far most of what is inside a frame of (h, w) moves from time 0 to 1, in pixels; 0 if nothing is."""
        (x, y), (later_x, later_y) = (self.vertices(0, time) for time in (0, 1))
        seen = (x > 0) & (x < frame[1]) & (y > 0) & (y < frame[0])
        return float(np.percentile(np.hypot(later_x - x, later_y - y)[seen], 85)) if seen.any() else 0.0


def _turn(x: np.ndarray, y: np.ndarray, angle, scale=(1, 1)) -> Vertices:
    """Scale points, x and y separately, then rotate them about the origin."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = x * scale[0], y * scale[1]
    return cos * x - sin * y, sin * x + cos * y


def move(drawing: LayeredDrawing, random: np.random.Generator, size: float, centre: np.ndarray) -> BendingFigure:
    """Give a drawing, with a longer side of `size` pixels of the frame, a random motion."""
    length = max(drawing.entry.size)
    direction = random.uniform(0, 2 * math.pi)
    way = random.exponential(0.12) * size if random.random() < 0.75 else 0.0
    squash = _sometimes(random, 0.3, 0.06)
    growth = _sometimes(random, 0.35, 0.08)
    return BendingFigure(
        drawing,
        size / length,
        centre,
        is_mirrored=bool(random.random() < 0.5),
        angle=random.normal(0, 0.12) if random.random() < 0.7 else random.uniform(-0.7, 0.7),
        shift=way * np.array([math.cos(direction), math.sin(direction)]),
        turn=_sometimes(random, 0.5, 0.12),
        growth=(growth + squash, growth - squash),
        swings=_swings(drawing.limbs, length, random),
        waves=tuple(_wave(length, random) for _ in range(2)) if random.random() < 0.7 else (),
        stirs=_stirs(drawing, random),
    )


def _sometimes(random: np.random.Generator, share: float, spread: float) -> float:
    return random.normal(0, spread) if random.random() < share else 0.0


def _swings(limbs: list[DrawnLimb], length: float, random: np.random.Generator) -> tuple[Swing, ...]:
    lively = random.uniform(0.15, 0.9)
    return tuple(
        Swing(
            cv2.resize(limb.weights, (CELLS + 1, CELLS + 1), interpolation=cv2.INTER_LINEAR) / 255,
            length * np.array(limb.joint),
            random.normal(0, 0.1),
            random.normal(0, 0.45),
        )
        for limb in limbs
        if random.random() < lively
    )


def _wave(length: float, random: np.random.Generator) -> Wave:
    direction, frequency = random.uniform(0, 2 * math.pi), random.uniform(0.5, 2.2) * 2 * math.pi / length
    return Wave(
        frequency * np.array([math.cos(direction), math.sin(direction)]),
        (random.uniform(0, 2 * math.pi), random.uniform(0, 2 * math.pi)),
        random.normal(0, 0.012) * length,
        random.normal(0, 0.02, 2) * length,
    )


def _stirs(drawing: LayeredDrawing, random: np.random.Generator) -> tuple[PartMotion | None, ...]:
    """Parts move together, as features of a face that turns, and each by itself."""
    length = max(drawing.entry.size)
    together = _sometimes(random, 0.5, 0.035) * length * np.array([1, 0.4])
    stirs: list[PartMotion | None] = []
    for box in drawing.entry.boxes:
        if box is None:
            stirs.append(None)
            continue
        sides = np.array([box[2] - box[0], box[3] - box[1]])
        own = random.normal(0, 0.05, 2) * max(sides) if random.random() < 0.6 else 0.0
        stirs.append(
            PartMotion(
                pivot=np.array(box[:2]) + sides * random.uniform(0, 1, 2),
                shift=together * random.uniform(0.4, 1) + own,
                turn=_sometimes(random, 0.5, 0.22),
                growth=np.array([_sometimes(random, 0.25, 0.12), _sometimes(random, 0.35, 0.25)]),
            )
        )
    return tuple(stirs)
