"""Rigs: drawings in parts that move relative to one another, such as limbs, heads and figures.

All parts of a rig share one canvas, [-1, 1]², except those of a limb, each of which is a segment attached to the
previous one. A part moves with the whole rig, rotates about a joint, and shifts: the features of a turning head move
further than its outline, and the hair behind it moves the other way.
"""

from typing import NamedTuple

Point = tuple[float, float]


class Part(NamedTuple):
    """How a part may lie and move; angles in radians, coordinates in the canvas."""

    joint: Point = (0.0, 0.0)  # centre of rotation, on its own canvas
    hangs: Point | None = None  # the joint on the canvas of the carrier; None: the same point
    angle: float = 0.0  # maximum initial rotation
    turn: float = 0.0  # maximum rotation from frame 0 to frame 1
    parallax: float = 0.0  # shift as a share of the head's turn


class Rig(NamedTuple):
    parts: tuple[Part, ...]  # the nearest last, as they are drawn
    is_chain: bool = False  # each part is carried by the previous one, not by the whole rig
    turn: float = 0.35  # maximum rotation of the whole
    parallax: float = 0.0  # the most that a head turns, in the canvas


_JOINT, _TIP = (0.0, -0.8), (0.0, 0.8)  # where segments of a limb are joined
_SHOULDER, _NECK = (0.0, -0.2), (0.0, -0.28)
_SEGMENT = Part(_JOINT, _TIP, angle=1.3, turn=1.8)

RIGS: dict[str, Rig] = {
    "limb": Rig((Part(), _SEGMENT, _SEGMENT), is_chain=True, turn=1.8),
    "head": Rig(
        (Part(turn=0.15, parallax=-0.4), Part(), Part(turn=0.03, parallax=1.0), Part(turn=0.1, parallax=0.6)),
        parallax=0.22,
    ),
    "figure": Rig(
        (
            Part(_SHOULDER, angle=0.4, turn=1.5),
            Part(),
            Part(_NECK, angle=0.15, turn=0.4, parallax=0.15),
            Part(_SHOULDER, angle=0.4, turn=1.5),
        ),
        parallax=0.15,
    ),
}
