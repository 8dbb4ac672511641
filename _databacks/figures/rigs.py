"""Rigs of articulated figures: bones that turn about joints and bend, and the parts that are drawn on them.

A bone begins at a point of its parent and has an angle to it; both frames give it one, and between them it turns at an
even rate. A bone that bends is a piece of a circle whose curvature changes as evenly. So positions at any time, and
where a point of one time is at another, are known in closed form.

In: a random generator and the size of a frame. Out: a `FigureRig`. Lengths are in pixels, angles in radians, y points
down.
"""

from typing import NamedTuple

import numpy as np

Random = np.random.Generator
Points = np.ndarray  # (n, 2), x, y

LARGEST_TURN = np.radians(120)
_NO_CURVATURE = 1e-9
_INK = ((0.1, 0.08, 0.09), (0.17, 0.11, 0.1), (0.06, 0.08, 0.13))


class FigureBone(NamedTuple):
    parent: int  # an earlier bone, or -1: the joint is a point of the frame
    joints: tuple[Points, Points]  # (2,) at the times 0 and 1, in the parent's coordinates
    angles: tuple[float, float]  # to the parent, at the times 0 and 1
    curvatures: tuple[float, float] = (0.0, 0.0)  # in 1/pixels, at the times 0 and 1


class FigurePart(NamedTuple):
    """A closed outline, filled and drawn with ink. Parts are drawn in order."""

    bone: int
    outline: Points  # in the bone's coordinates: its joint is 0, 0, and it points along x
    colour: tuple[float, float, float]


class FigureRig(NamedTuple):
    bones: list[FigureBone]
    parts: list[FigurePart]
    ink: tuple[float, float, float]
    line: float  # width of outlines, pixels
    turn: float  # the largest change of an angle of a bone to its parent


class BonePose(NamedTuple):
    """Where one bone is at one time."""

    origin: Points  # (2,)
    angle: float
    curvature: float

    def place(self, points: Points) -> Points:
        """Map points (n, 2) from the bone's coordinates to the frame."""
        return self.origin + _turned(_bent(points, self.curvature), self.angle)

    def find(self, points: Points) -> Points:
        """Map points (n, 2) from the frame to the bone's coordinates."""
        return _straightened(_turned(points - self.origin, -self.angle), self.curvature)


def poses(rig: FigureRig, t: float) -> list[BonePose]:
    """The poses of all bones at a time in [0, 1]."""
    found: list[BonePose] = []
    for bone in rig.bones:
        joint, angle, curvature = (
            (1 - t) * np.asarray(ends[0]) + t * np.asarray(ends[1])
            for ends in (bone.joints, bone.angles, bone.curvatures)
        )
        if bone.parent >= 0:
            parent = found[bone.parent]
            angle = angle + parent.angle + parent.curvature * joint[0]
            joint = parent.place(joint[None])[0]
        found.append(BonePose(joint, float(angle), float(curvature)))
    return found


def _turned(points: Points, angle: float) -> Points:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _bent(points: Points, curvature: float) -> Points:
    if abs(curvature) < _NO_CURVATURE:
        return points
    radius = 1 / curvature - points[:, 1]
    angle = curvature * points[:, 0]
    return np.stack([radius * np.sin(angle), 1 / curvature - radius * np.cos(angle)], 1)


def _straightened(points: Points, curvature: float) -> Points:
    if abs(curvature) < _NO_CURVATURE:
        return points
    across, along = points[:, 0], 1 / curvature - points[:, 1]
    sign = np.sign(curvature)
    angle = np.arctan2(sign * across, sign * along)
    return np.stack([angle / curvature, 1 / curvature - sign * np.hypot(across, along)], 1)


def figure(random: Random, size: tuple[int, int]) -> FigureRig:
    """A figure of a trunk, a head, hair and one to four limbs of one to three bones, two to five joints in all.

    Its largest turn is even in [0°, 120°]; the trunk moves by up to an eighth of the height and leans by up to 12°.
    """
    unit = size[0] * random.uniform(0.85, 1.1)
    builder = _Builder(random, unit, random.uniform(0, LARGEST_TURN), size)
    builder.trunk()
    joints = int(random.integers(2, 6))
    builder.head()
    while joints > 0:
        joints -= builder.limb(min(joints, int(random.integers(1, 4))))
    return builder.rig()


def passing(behind: FigureRig, front: FigureRig, random: Random, size: tuple[int, int]) -> FigureRig:
    """Two figures that change places without turning, at least a third of the width; the one in front stands lower."""
    h, w = size
    left, right = w * random.uniform(0.18, 0.3), w * random.uniform(0.63, 0.82)
    heights = h * np.array([random.uniform(0.56, 0.6), random.uniform(0.62, 0.66)])
    places = [np.array([[left, y], [right, y + h * random.uniform(-0.02, 0.02)]]) for y in heights]
    parts, bones = [], []
    for rig, (start, end) in zip((behind, front), (places[0][::-1], places[1]), strict=True):
        first = len(bones)
        for bone in rig.bones:
            joint = (start, end) if bone.parent < 0 else (bone.joints[0], bone.joints[0])
            parent = first + bone.parent if bone.parent >= 0 else -1
            angle, curvature = bone.angles[0], bone.curvatures[0]
            bones.append(FigureBone(parent, joint, (angle, angle), (curvature, curvature)))
        parts += [part._replace(bone=first + part.bone) for part in rig.parts]
    return FigureRig(bones, parts, front.ink, front.line, 0.0)


class _Builder:
    def __init__(self, random: Random, unit: float, turn: float, size: tuple[int, int]):
        self.random, self.unit, self.turn, self.size = random, unit, turn, size
        self.bones: list[FigureBone] = []
        self.behind: list[FigurePart] = []
        self.front: list[FigurePart] = []
        self.skin = self.colour()
        self.slots = list(random.permutation([(0, -1), (0, 1), (1, -1), (1, 1)]))
        self.largest = 0.0

    def colour(self) -> tuple[float, float, float]:
        return tuple(self.random.uniform(0.2, 1, 3).tolist())

    def rig(self) -> FigureRig:
        line = max(1.0, self.size[0] / 240) * self.random.uniform(0.8, 1.4)
        ink = _INK[self.random.integers(len(_INK))]
        return FigureRig(self.bones, self.behind + self.front, ink, line, self.largest)

    def trunk(self) -> None:
        random, (h, w) = self.random, self.size
        start = np.array([random.uniform(0.35, 0.65) * w, random.uniform(0.58, 0.66) * h])
        way, direction = random.uniform(0, h / 8), random.uniform(0, 2 * np.pi)
        end = start + way * np.array([np.cos(direction), 0.5 * np.sin(direction)])
        upright, lean = -np.pi / 2, np.radians(random.uniform(-12, 12))
        self.bones.append(FigureBone(-1, (start, end), (upright, upright + min(1, self.turn) * lean)))
        self.length, self.hips, self.shoulders = self.unit * np.array(
            [random.uniform(0.24, 0.3), random.uniform(0.055, 0.09), random.uniform(0.065, 0.1)]
        )
        body = _tapered(self.length, self.hips, self.shoulders)
        self.front.append(FigurePart(0, body, self.colour()))
        if random.random() < 0.5:  # a belt, a hem
            hem = np.array([[-0.02, -1.0], [0.16, -1.0], [0.16, 1.0], [-0.02, 1.0]])
            self.front.append(FigurePart(0, hem * [self.length, 1.08 * self.hips], self.colour()))

    def head(self) -> None:
        random, radius = self.random, self.unit * self.random.uniform(0.085, 0.12)
        neck = np.array([self.length + 0.7 * radius, 0.0])
        bone = self.bone(0, neck, random.uniform(-0.15, 0.15), 0.3 * self._turn())
        strands = int(random.integers(0, 4))
        hair = self.colour()
        for k in range(strands):
            self.strand(bone, radius, (k - (strands - 1) / 2) * 0.7 + random.uniform(-0.2, 0.2), hair)
        angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        circle = np.stack([np.cos(angles), np.sin(angles)], 1)
        self.front.append(FigurePart(bone, radius * circle * [1.08, 0.95], self.skin))
        for side in (-0.38, 0.3):
            eye = radius * (circle * [0.17, 0.13] + [0.12, side])
            self.front.append(FigurePart(bone, eye, (0.98, 0.98, 0.98)))

    def strand(self, head: int, radius: float, place: float, colour: tuple[float, float, float]) -> None:
        random, length = self.random, radius * self.random.uniform(1.2, 2.4)
        root = 0.75 * radius * np.array([np.cos(place), np.sin(place)])
        bent = random.uniform(-1, 1) / length
        changed = bent + random.uniform(-1, 1) * min(1, self.turn) / length
        bone = self.bone(head, root, place * 2.2, 0.4 * self._turn(), (bent, changed))
        wide = random.uniform(0.16, 0.28) * radius
        self.behind.append(FigurePart(bone, _tapered(length, wide, 0.1 * wide), colour))

    def limb(self, joints: int) -> int:
        """Add a limb of `joints` bones if there is still room; returns `joints` either way."""
        random = self.random
        if not self.slots:
            return joints
        is_arm, side = self.slots.pop()
        along, across = (0.9, self.shoulders) if is_arm else (0.05, self.hips)
        root = np.array([along * self.length, side * 0.7 * across])
        angle = np.pi - side * random.uniform(0.2, 1.1 if is_arm else 0.45)
        total = self.unit * random.uniform(0.2, 0.3)
        wide = self.unit * random.uniform(0.022, 0.038)
        layer = self.front if random.random() < 0.6 else self.behind
        clothes, parent, pieces, length = self.colour(), 0, [], total / joints**0.8
        for k in range(joints):
            turn = self._turn() * (1 if is_arm else 0.6)
            curvature = (0.0, 0.0)
            if joints == 1 and random.random() < 0.4:  # a tail, a tube
                curvature = tuple((random.uniform(-1, 1, 2) * min(1, self.turn) / length).tolist())
            parent = self.bone(parent, root, angle, turn, curvature)
            thin = wide * random.uniform(0.7, 0.95)
            colour = clothes if k < joints - 1 or joints == 1 else self.skin
            pieces.append(FigurePart(parent, _tapered(length, wide, thin), colour))
            root, angle, wide = np.array([length, 0.0]), random.uniform(-0.6, 0.6), thin
        if random.random() < 0.7:  # a hand, a shoe
            hand = _tapered(wide * 1.4, 1.15 * wide, 1.1 * wide) + np.array([length - 0.3 * wide, 0])
            pieces.append(FigurePart(parent, hand, self.skin if is_arm else self.colour()))
        layer.extend(reversed(pieces) if random.random() < 0.5 else pieces)
        return joints

    def bone(
        self, parent: int, joint: Points, angle: float, turn: float, curvatures: tuple[float, float] = (0.0, 0.0)
    ) -> int:
        self.largest = max(self.largest, abs(turn))
        self.bones.append(FigureBone(parent, (joint, joint), (angle, angle + turn), curvatures))
        return len(self.bones) - 1

    def _turn(self) -> float:
        return self.turn * self.random.choice([-1, 1]) * self.random.uniform(0.4, 1)


def _tapered(length: float, start: float, end: float) -> Points:
    """A closed outline around 0 … length along x, of these half widths at its ends, which are round."""
    half = np.linspace(0, np.pi, 13)
    first = np.stack([-0.6 * start * np.sin(half), -start * np.cos(half)], 1)
    last = np.stack([length + 0.6 * end * np.sin(half), end * np.cos(half)], 1)
    along = np.linspace(0, 1, 12)[1:-1, None]
    return np.concatenate(
        [first, first[-1] + along * (last[0] - first[-1]), last, last[-1] + along * (first[0] - last[-1])]
    )
