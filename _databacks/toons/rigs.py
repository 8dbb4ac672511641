"""Rigs: drawings in parts that move against one another, as limbs, heads and figures do.

All parts of a rig share one canvas, [-1, 1]², but for those of a limb, each of which is a segment of its own that hangs
on the one before. A part is carried by the whole rig, turned about a joint, and shifted: the features of a head that
turns go further than its outline, and the hair behind it the other way.
"""

from typing import NamedTuple

Point = tuple[float, float]


class Part(NamedTuple):
    """How a part may lie and move; angles in radians, coordinates in the canvas."""

    joint: Point = (0.0, 0.0)  # where it turns, on its own canvas
    hangs: Point | None = None  # where that is on the canvas that carries it; None: at the same place
    angle: float = 0.0  # the most that it is turned at first
    turn: float = 0.0  # the most that it turns from frame 0 to frame 1
    parallax: float = 0.0  # shift as a share of the head's turn


class Rig(NamedTuple):
    parts: tuple[Part, ...]  # the nearest last, as they are drawn
    is_chain: bool = False  # each part is carried by the one before, not by the whole
    turn: float = 0.35  # the most that the whole turns
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
