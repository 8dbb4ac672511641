"""Mapping of the frames of a new rate to pairs of drawings of a video and times between them.

Animation holds its drawings for two frames, three, or many. In: drawings with their start times in seconds. Out: one
stretch per drawing, with the frames of the new rate that show the drawing itself and those that lie between it and the
next. Motion fills the whole time from one drawing to the next, so that it is even at the new rate; only a pose that is
held for long rests, and moves at its end. There is no motion across cuts. All times are exact fractions, so neither
duration nor sound drifts, and constant and variable rates are handled alike.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Generic, NamedTuple, TypeVar

Picture = TypeVar("Picture")

LONGEST_HOLD = Fraction(1, 4)
_ON_TWOS = Fraction(1, 12)
_NEAR = Fraction(1, 20)  # of a frame, new or of the source: tolerance within which a drawing itself is shown


class Drawing(NamedTuple, Generic[Picture]):
    """A drawing of the source."""

    start: Fraction  # seconds
    picture: Picture
    opens_shot: bool


class Repeat(NamedTuple):
    """A frame of the source that is no drawing of its own."""

    start: Fraction  # seconds


class Stretch(NamedTuple, Generic[Picture]):
    """The new frames from one drawing to the next, or the first of those that hold a drawing for long."""

    picture: Picture
    following: Picture | None  # None if nothing moves
    held: range  # numbers of frames that show `picture`
    moving: list[tuple[int, float]]  # frame number, time in (0, 1) between the pictures
    onward: Picture | None = None  # the next drawing of the shot, also if no frame lies before it
    motion: Fraction = Fraction(0)  # seconds that the motion to it takes
    rests: bool = True  # whether the drawing rests before it moves

    @property
    def stop(self) -> int:
        """The frame after the last."""
        return self.moving[-1][0] + 1 if self.moving else self.held.stop


def stretches(
    drawings: Iterable[Drawing[Picture] | Repeat],
    end: Callable[[], Fraction],
    fps: Fraction,
    *,
    rate: Fraction,
    longest_hold: Fraction = LONGEST_HOLD,
) -> Iterator[Stretch[Picture]]:
    """Distribute drawings over frames at a new rate; frame k is shown from k / fps seconds on.

    Args:
        drawings: in order, read one ahead of the stretches. The first one's start time counts as 0. Where they include
            the repeats, a long hold comes in several stretches, so that no more than `longest_hold` is read ahead.
        end: called after the last drawing; returns the end time of the video in seconds. There are `round(end · fps)`
            frames, but at least one, and at least those before the last drawing.
        fps: frames per second of the result.
        rate: frames per second of the source.
        longest_hold: seconds. A drawing that is shown for longer rests: it is held, and moves to the next only at its
            end, for as long as the drawing before it did. (At low rates, no drawing of a single frame rests.)
    """
    limit, near = max(longest_hold, 1 / rate) + 1 / (2 * rate), tolerance(fps, rate)
    cadence: Fraction | None = None
    current: Drawing[Picture] | None = None
    first = 0  # frame that is not yet in a stretch
    for following in drawings:
        if current is None:
            if isinstance(following, Drawing):
                current = following._replace(start=Fraction(0))
            continue
        is_short = following.start - current.start <= limit
        motion = min(max(cadence or _ON_TWOS, 1 / rate), longest_hold)  # after a long hold
        if isinstance(following, Repeat):
            stop = first if is_short else _first_moving(following.start, motion, fps, near)
            if stop > first:
                yield Stretch(current.picture, None, range(first, stop), [])
                first = stop
            continue
        if following.opens_shot:
            cadence, motion = None, Fraction(0)
        elif is_short:
            cadence = motion = following.start - current.start
        yield _stretch(current, following, first, motion, fps, near)
        first, current = _first_frame(following.start, fps, near), following
    if current is not None:
        count = max(round(end() * fps), first, 1)
        yield Stretch(current.picture, None, range(first, count), [])


def tolerance(fps: Fraction, rate: Fraction) -> Fraction:
    """By how many new frames a frame of the source may be late and still count as shown.

    Args:
        fps: frames per second of the result.
        rate: frames per second of the source.
    """
    return _NEAR * min(Fraction(1), fps / rate)


def _stretch(
    current: Drawing[Picture],
    following: Drawing[Picture],
    first: int,
    motion: Fraction,
    fps: Fraction,
    near: Fraction,
) -> Stretch[Picture]:
    """The stretch from frame `first` on of a drawing that moves to the following one in its last `motion` seconds."""
    last = _first_frame(following.start, fps, near)
    start = following.start - motion
    moved = max(first, _first_moving(following.start, motion, fps, near)) if motion else last
    moving = [(k, float((k / fps - start) / motion)) for k in range(moved, last)]
    onward, rests = following.picture if motion else None, start > current.start
    held = range(first, min(moved, last))
    return Stretch(current.picture, onward if moving else None, held, moving, onward, motion, rests)


def _first_moving(start: Fraction, motion: Fraction, fps: Fraction, near: Fraction) -> int:
    """The first frame of motion to a drawing that is shown from `start` on; that of the drawing if none lies before."""
    return min(math.floor((start - motion) * fps + near) + 1, _first_frame(start, fps, near))


def _first_frame(start: Fraction, fps: Fraction, near: Fraction) -> int:
    return math.ceil(start * fps - near)
