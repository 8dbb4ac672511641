"""Clip art as triplets: figures that bend over painted-looking grounds, under a camera that moves or rests.

Item i is a function of the atlas, the seed and i alone. Motion is even over time.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from _databacks.clipart import mesh
from _databacks.clipart.atlas import Atlas, Entry
from _databacks.clipart.figures import BendingFigure, Vertices, move
from _databacks.toons.degradation import degrade
from _databacks.triplet import Source, Triplet

COUNT = 100_000  # number of triplets in a source
_SUPERSAMPLING = 2  # supersampling factor along each side
_USUAL = 256  # pixels, the side of a frame that sizes and speeds below are of
_FIGURES = 0.72  # share of drawings that are figures, not things
_GROUND = 0.78  # share of scenes on a ground of the atlas; others lie on plain colours
_RESTING = 0.1  # share of figures that only the camera moves


class MovingCamera(NamedTuple):
    """How a camera moves from time 0 to time 1."""

    middle: tuple[float, float]  # of the frame, x, y, in pixels
    shift: tuple[float, float] = (0.0, 0.0)  # x, y, in pixels
    growth: float = 0.0  # logarithm of how much larger things become
    turn: float = 0.0  # radians

    def see(self, points: Vertices, time: float, parallax: float) -> Vertices:
        """Project points of the scene at a time; `parallax` is the share of the camera's motion that they follow."""
        progress = time - 0.5
        grown = math.exp(progress * self.growth * parallax)
        cos, sin = grown * math.cos(progress * self.turn), grown * math.sin(progress * self.turn)
        x, y = points[0] - self.middle[0], points[1] - self.middle[1]
        return (
            cos * x - sin * y + self.middle[0] + progress * parallax * self.shift[0],
            sin * x + cos * y + self.middle[1] + progress * parallax * self.shift[1],
        )


@dataclass
class Actor:
    """A figure as it is painted in a scene."""

    figure: BendingFigure
    parallax: float  # share of the camera's motion that it follows
    colours: np.ndarray  # (3, 3), the colour matrix
    shade: np.ndarray  # as in `mesh.draw`

    def __post_init__(self):
        reduced = min(1.0, 1.15 * _SUPERSAMPLING * self.figure.scale)
        self._pictures = [self._paint(layer, reduced) for layer in self.figure.drawing.layers]

    def draw(self, canvas: np.ndarray, camera: MovingCamera, time: float) -> None:
        """Draw the figure at a time on a canvas of `_SUPERSAMPLING` pixels for each of the frame."""
        for layer, (picture, scale) in enumerate(self._pictures):
            x, y = camera.see(self.figure.vertices(layer, time), time, self.parallax)
            corner = scale * np.array(self.figure.drawing.entry.corners[layer])
            mesh.draw(
                canvas, _SUPERSAMPLING * x, _SUPERSAMPLING * y, self.figure.cell, picture, scale, corner, self.shade
            )

    def _paint(self, layer: np.ndarray, reduced: float) -> tuple[np.ndarray, np.ndarray]:
        """A layer, recoloured and reduced by about the factor `reduced`, and the exact factors, x and y."""
        h, w = layer.shape[:2]
        size = max(1, round(reduced * w)), max(1, round(reduced * h))
        picture = cv2.resize(layer, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        alpha = picture[..., 3:]
        mixed = np.clip(picture[..., :3] @ self.colours.T, 0, alpha)
        return np.concatenate([mixed, alpha], -1), np.array([size[0] / w, size[1] / h])


class Backdrop(NamedTuple):
    """The background of a scene."""

    picture: np.ndarray  # (h, w, 3) float32 RGB in [0, 255]
    middle: tuple[float, float]  # x, y, in the picture, of the frame's middle half way
    scale: float  # pixels of the frame for each of the picture
    parallax: float  # share of the camera's motion that it follows

    def draw(self, size: tuple[int, int], camera: MovingCamera, time: float) -> np.ndarray:
        """A canvas of `_SUPERSAMPLING` pixels for each of a frame of (h, w) = `size`."""
        h, w = size
        x, y = np.array([0.0, w, 0.0]), np.array([0.0, 0.0, h])
        source = np.stack([(x - w / 2) / self.scale + self.middle[0], (y - h / 2) / self.scale + self.middle[1]], 1)
        target = _SUPERSAMPLING * np.stack(camera.see((x, y), time, self.parallax), 1)
        to_picture = cv2.getAffineTransform((target - 0.5).astype(np.float32), (source - 0.5).astype(np.float32))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        fine = _SUPERSAMPLING * w, _SUPERSAMPLING * h
        return cv2.warpAffine(self.picture, to_picture, fine, flags=flags, borderMode=cv2.BORDER_REFLECT)


class ClipartScene(NamedTuple):
    """A scene that can be drawn at any time."""

    size: tuple[int, int]  # (h, w)
    camera: MovingCamera
    backdrop: Backdrop
    actors: list[Actor]  # the nearest last

    def draw(self, time: float) -> np.ndarray:
        """The frame at a time in [0, 1], (h, w, 3) float32 RGB in [0, 255]."""
        canvas = self.backdrop.draw(self.size, self.camera, time)
        for actor in self.actors:
            actor.draw(canvas, self.camera, time)
        return cv2.resize(canvas, self.size[::-1], interpolation=cv2.INTER_AREA)


class Clipart(Source):
    """Triplets composed of the drawings of an atlas. Item i depends on the atlas, the seed and i alone.

    Args:
        path: the atlas.
        size: (h, w) of the frames, which are degraded as real sources are.

    Raises:
        InputError: the atlas is missing or damaged.
    """

    is_unlimited = True

    def __init__(self, path: str | Path, size: tuple[int, int] = (540, 960), seed: int = 0):
        self.path = Path(path)
        self.atlas, self.size, self.seed = Atlas(self.path), size, seed
        self.names = [f"clipart-{i:05}" for i in range(COUNT)]

    @property
    def title(self) -> str:
        return "clipart"

    def __getitem__(self, index: int) -> Triplet:
        """Frames at times 0, t and 1; t is 0.5 with probability 1/2.

        Raises:
            InputError: the atlas is damaged.
        """
        index = range(len(self))[index]
        random = np.random.default_rng((self.seed, index))
        time = 0.5 if random.random() < 0.5 else random.uniform(0.25, 0.75)
        scene = compose(self.atlas, self.size, random)
        frames = _grade(np.stack([scene.draw(t) for t in (0.0, time, 1.0)]), random).clip(0, 255).round() / 255
        frames = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2), np.float32))
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        frames = degrade(frames[None], torch.tensor([time]), generator)[0].clamp(0, 1)
        return Triplet(self.names[index], frames, time=time)

    def files(self, index: int) -> list[Path]:
        return [self.path]

    def for_crops(self, size: tuple[int, int], seed: int) -> "Clipart":
        """Drawn at the size of the crops."""
        return Clipart(self.path, size, seed)


def compose(atlas: Atlas, size: tuple[int, int], random: np.random.Generator) -> ClipartScene:
    """A scene of (h, w) = `size`, with one to six figures.

    Raises:
        InputError: the atlas is damaged.
    """
    h, w = size
    unit = math.sqrt(h * w) / _USUAL
    actors = []
    for number in range(1 + min(5, random.poisson(1.6))):
        entry = _choose(atlas, random)
        is_large = number == 0 or random.random() < 0.4
        side = unit * _between(random, *((120, 400) if is_large else (40, 240)))
        centre = np.array([w, h]) * (random.uniform(0.05, 0.95, 2) if number else random.uniform(0.25, 0.75, 2))
        figure = move(atlas.drawing(entry), random, side, centre)
        actors.append(
            Actor(
                figure, random.uniform(0.7, 1.3), _random_colour_matrix(random), _random_shadow(max(entry.size), random)
            )
        )
    actors.sort(key=lambda actor: actor.parallax)
    _pace([actor.figure for actor in actors], size, unit, random)
    return ClipartScene(size, _random_camera(size, unit, random), _random_backdrop(atlas, size, unit, random), actors)


def _between(random: np.random.Generator, low: float, high: float) -> float:
    """A log-uniform random number."""
    return math.exp(random.uniform(math.log(low), math.log(high)))


def _choose(atlas: Atlas, random: np.random.Generator) -> Entry:
    kind = atlas.things if atlas.things and random.random() > _FIGURES else atlas.figures
    return kind[random.integers(len(kind))]


def _pace(figures: list[BendingFigure], size: tuple[int, int], unit: float, random: np.random.Generator) -> None:
    """Set the pace of a scene: figures keep their own speed, or get a share of the fastest one's."""
    fastest = max(figure.speed(size) for figure in figures)
    wanted = unit * _between(random, 1, 24 if random.random() < 0.85 else 60)
    together = random.random() < 0.5
    for figure in figures:
        share = 1 if together else random.uniform(0.2, 1)
        figure.pace = 0.0 if random.random() < _RESTING else min(2.0, share * wanted / max(fastest, 1e-3))


def _random_camera(size: tuple[int, int], unit: float, random: np.random.Generator) -> MovingCamera:
    """A camera, static with probability 1/2."""
    middle = size[1] / 2, size[0] / 2
    if random.random() < 0.5:
        return MovingCamera(middle)
    way, direction = unit * _between(random, 0.7, 30), random.uniform(0, 2 * math.pi)
    return MovingCamera(
        middle,
        (way * math.cos(direction), way * math.sin(direction)),
        growth=random.normal(0, 0.05) if random.random() < 0.4 else 0.0,
        turn=random.normal(0, 0.03) if random.random() < 0.2 else 0.0,
    )


def _random_backdrop(atlas: Atlas, size: tuple[int, int], unit: float, random: np.random.Generator) -> Backdrop:
    """A ground of the atlas, a plain colour, or a vertical gradient."""
    if not atlas.grounds or random.random() > _GROUND:
        top = np.full(3, 255.0) if random.random() < 0.4 else random.uniform(0, 255, 3)
        bottom = top if random.random() < 0.6 else random.uniform(0, 255, 3)
        share = np.linspace(0, 1, 64)[:, None, None]
        plain = np.broadcast_to(top + (bottom - top) * share, (64, 64, 3))
        return Backdrop(plain.astype(np.float32), (32, 32), max(size) / 48, 0.0)
    picture = atlas.ground(int(random.integers(atlas.grounds))).astype(np.float32)
    picture = picture if random.random() < 0.5 else np.ascontiguousarray(picture[:, ::-1])
    h, w = picture.shape[:2]
    middle = random.uniform(0.3, 0.7) * w, random.uniform(0.3, 0.7) * h
    return Backdrop(picture, middle, unit * random.uniform(0.45, 0.95), random.uniform(0.3, 1))


def _random_colour_matrix(random: np.random.Generator) -> np.ndarray:
    """A matrix that mixes colours: a turn about grey at times, then most often less saturation, less light."""
    if random.random() < 0.15:
        return np.eye(3, dtype=np.float32)
    angle = random.uniform(0, 2 * math.pi) if random.random() < 0.35 else 0.0
    cos, sin = math.cos(angle), math.sin(angle) / math.sqrt(3)
    same, before, after = (1 + 2 * cos) / 3, (1 - cos) / 3 - sin, (1 - cos) / 3 + sin
    turned = np.array([[same, before, after], [after, same, before], [before, after, same]])
    saturation = random.uniform(0.3, 0.9) if random.random() < 0.75 else 1.0
    luminance = np.broadcast_to([0.3, 0.59, 0.11], (3, 3))
    mixed = turned @ (saturation * np.eye(3) + (1 - saturation) * luminance)
    return (mixed * random.uniform(0.7, 1.05)).astype(np.float32)


def _random_shadow(length: float, random: np.random.Generator) -> np.ndarray:
    """A shadow over one side of a drawing, its edge hard and wavy as in cels, or soft; at times none."""
    if random.random() < 0.4:
        return np.zeros(7)
    direction = random.uniform(0, 2 * math.pi)
    x, y = random.uniform(1, 2.5) / length * np.array([math.cos(direction), math.sin(direction)])
    sharpness = 60 if random.random() < 0.65 else 1
    across = sharpness * np.array([x, y, random.uniform(-0.5, 0.5) - (x + y) * length / 2, random.uniform(0, 0.15)])
    return np.array([random.uniform(0.12, 0.45), *across, *random.uniform(0, 12, 2) / length])


def _grade(frames: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Half of the scenes in other tones: a gamma, of all channels or of each, and less contrast."""
    if random.random() < 0.5:
        return frames
    gamma = random.uniform(0.75, 1.3, 3 if random.random() < 0.4 else 1)
    return 255 * (frames.clip(0, 255) / 255) ** gamma * random.uniform(0.8, 1) + random.uniform(0, 12)
