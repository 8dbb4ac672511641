"""Figures with rotating limbs over a ground, drawn at any time, with exact joint positions."""

from typing import NamedTuple

import cv2
import numpy as np

SIZE = (320, 480)
_FINER = 4  # supersampling factor
_OUTLINE = 2.0  # pixels
_INK = (0.1, 0.08, 0.1)


class Bone(NamedTuple):
    """A segment of a limb, attached to the previous one."""

    length: float  # pixels
    widths: tuple[float, float]  # at its start and end
    colour: tuple[float, float, float]
    angles: tuple[float, float]  # relative to the previous bone, at times 0 and 1; radians


class Limb(NamedTuple):
    root: tuple[float, float]  # on the figure
    bones: tuple[Bone, ...]


class Figure:
    """A figure of limbs, from back to front, over a static ground."""

    def __init__(self, seed: int):
        random = np.random.default_rng(seed)
        self._ground = _ground(random)
        self._limbs = _limbs(random)
        self._way = random.uniform(-8, 8, 2)
        self._place = np.array([SIZE[1] * random.uniform(0.4, 0.6), SIZE[0] * 0.42])

    def draw(self, t: float) -> np.ndarray:
        """(h, w, 3) uint8 RGB at time t."""
        canvas = cv2.resize(self._ground, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_LINEAR)
        for limb, joints in zip(self._limbs, self.joints(t), strict=True):
            for bone, start, end in zip(limb.bones, joints, joints[1:], strict=False):
                for grown, colour in ((_OUTLINE, _INK), (0.0, bone.colour)):
                    _fill(canvas, start, end, [width + grown for width in bone.widths], colour)
        small = cv2.resize(canvas, SIZE[::-1], interpolation=cv2.INTER_AREA)
        return (small * 255).round().clip(0, 255).astype(np.uint8)

    def joints(self, t: float) -> list[np.ndarray]:
        """Of each limb, the ends of its bones (n + 1, 2) at time t: x, y, pixels."""
        return [self._chain(limb, t) for limb in self._limbs]

    def bones(self, t: float) -> np.ndarray:
        """The ends of all bones (n, 2, 2), in the order that they are drawn."""
        return np.concatenate([np.stack([joints[:-1], joints[1:]], 1) for joints in self.joints(t)])

    def shows(self, bone: int, t: float) -> bool:
        """Whether the middle of a bone is not covered by a bone drawn later, at time t."""
        all_bones = [bone for limb in self._limbs for bone in limb.bones]
        ends = self.bones(t)
        middle = ends[bone].mean(0)
        return all(_distance(middle, ends[k]) > max(all_bones[k].widths) + _OUTLINE for k in range(bone + 2, len(ends)))

    def _chain(self, limb: Limb, t: float) -> np.ndarray:
        joints, angle = [self._place + t * self._way + limb.root], 0.0
        for bone in limb.bones:
            angle += (1 - t) * bone.angles[0] + t * bone.angles[1]
            joints.append(joints[-1] + bone.length * np.array([np.sin(angle), np.cos(angle)]))
        return np.array(joints)


def _distance(point: np.ndarray, ends: np.ndarray) -> float:
    """The distance from a point to a segment."""
    way = ends[1] - ends[0]
    along = np.clip(((point - ends[0]) @ way) / (way @ way), 0, 1)
    return float(np.linalg.norm(point - ends[0] - along * way))


def _limbs(random: np.random.Generator) -> tuple[Limb, ...]:
    skin, sleeve, trousers, shirt = (tuple(random.uniform(0.25, 1, 3)) for _ in range(4))

    def limb(root: tuple[float, float], size: float, upper: tuple, lower: tuple, start: float) -> Limb:
        bones = []
        for i, (length, widths, colour) in enumerate(
            ((1.0, (11, 9), upper), (0.95, (9, 7), lower), (0.3, (8, 7), skin))
        ):
            first = (start if i == 0 else 0) + random.uniform(-0.6, 0.6)
            turn = random.choice([-1, 1]) * random.uniform(0.3, 1.3) if i < 2 else random.uniform(-0.5, 0.5)
            bones.append(Bone(length * size, widths, colour, (first, first + turn)))
        return Limb(root, tuple(bones))

    lean = tuple(random.uniform(-0.08, 0.08, 2))
    torso = Limb((0, -30), (Bone(70, (24, 20), shirt, lean),))
    nod = np.pi + random.uniform(-0.25, 0.25, 2)
    head = Limb((0, -56), (Bone(22, (24, 22), skin, tuple(nod)),))
    return (
        limb((20, -34), 62, sleeve, skin, 0.7),
        limb((10, 44), 66, trousers, trousers, 0.25),
        torso,
        limb((-10, 44), 66, trousers, trousers, -0.25),
        head,
        limb((-20, -34), 62, sleeve, skin, -0.7),
    )


def _ground(random: np.random.Generator) -> np.ndarray:
    """(h, w, 3) in [0, 1]: a gradient, plain shapes, and a soft texture."""
    h, w = SIZE
    ends = random.uniform(0.4, 1, (2, 3))
    ground = np.linspace(ends[0], ends[1], h)[:, None].repeat(w, 1).astype(np.float32)
    for _ in range(14):
        corner, size = random.uniform(0, 1, 2) * (w, h), random.uniform(20, 140, 2)
        colour = tuple(random.uniform(0.35, 1, 3))
        if random.random() < 0.5:
            cv2.rectangle(ground, _whole(corner), _whole(corner + size), colour, -1, cv2.LINE_AA)
        else:
            cv2.ellipse(ground, _whole(corner), _whole(size / 2), 0, 0, 360, colour, -1, cv2.LINE_AA)
    noise = cv2.GaussianBlur(random.normal(0, 1, (h, w, 1)).astype(np.float32), (0, 0), 3)
    return (ground + 0.15 * noise[:, :, None]).clip(0, 1)


def _whole(point: np.ndarray) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _fill(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, radii: list[float], colour: tuple) -> None:
    """Fill a bone, round at both ends."""
    along = (end - start) / np.linalg.norm(end - start)
    angle = np.arctan2(along[1], along[0])
    half = np.linspace(0.5 * np.pi, 1.5 * np.pi, 24)
    outline = [
        place + radius * np.stack([np.cos(angle + turn + half), np.sin(angle + turn + half)], 1)
        for place, radius, turn in ((start, radii[0], 0.0), (end, radii[1], np.pi))
    ]
    fixed = ((np.concatenate(outline) + 0.5) * _FINER - 0.5) * 16
    cv2.fillPoly(canvas, [fixed.round().astype(np.int32)], colour, cv2.LINE_8, 4)
