"""Easing of the stretches of a video by the motion of the stretches before and after each."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, cast

import numpy as np

from _train.frame_interpolation import easing
from _train.frame_interpolation.easing import Easing
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.video.progress import PairInterpolator
from _train.frame_interpolation.video.timeline import Stretch
from _util.video import Frame


class EasedStretch(NamedTuple):
    stretch: Stretch[Frame]
    easing: Callable[[], Easing | None]  # estimates it; None if motion is even

    def draw(self, interpolator: PairInterpolator, times: Iterable[float]) -> Iterator[Callable[[], np.ndarray]]:
        """Draw frames of the stretch at times in (0, 1), as `Interpolator.draw`."""
        assert self.stretch.following is not None
        pair = interpolator.prepare(self.stretch.picture.pixels, self.stretch.following.pixels)
        easing = self.easing()
        if easing is None:
            return interpolator.draw(pair, times)
        return cast(Interpolator, interpolator).draw(pair, times, easing=easing)


def with_easing(
    stretches: Iterable[Stretch[Frame]], ease: str, interpolator: PairInterpolator
) -> Iterator[EasedStretch]:
    """The stretches, each with its easing.

    Args:
        ease: "none", or "auto": by the stretches before and after each, for which they are read one ahead. Motion
            continues from one to the next unless there is a cut, or the drawing between them rests.
        interpolator: an `Interpolator` if `ease` is "auto".
    """
    if ease == "none":
        yield from (EasedStretch(stretch, lambda: None) for stretch in stretches)
        return
    before: _Gap | None = None
    gap: _Gap | None = None
    for stretch in stretches:
        after = _Gap(stretch, cast(Interpolator, interpolator))
        if gap is not None:
            yield EasedStretch(gap.stretch, functools.partial(_easing, before, gap, after))
        before, gap = gap, after
    if gap is not None:
        yield EasedStretch(gap.stretch, functools.partial(_easing, before, gap, None))


class _Gap:
    """A stretch, and its motion, which is estimated when it is first needed."""

    def __init__(self, stretch: Stretch[Frame], interpolator: Interpolator):
        self.stretch, self._interpolator = stretch, interpolator

    @functools.cached_property
    def motion(self) -> easing.GapMotion:
        assert self.stretch.onward is not None
        displacement = self._interpolator.displacement(self.stretch.picture.pixels, self.stretch.onward.pixels)
        return easing.GapMotion(displacement, float(self.stretch.motion))

    @property
    def moves(self) -> bool:
        return self.stretch.onward is not None


def _easing(before: _Gap | None, gap: _Gap, after: _Gap | None) -> Easing | None:
    if before is None or after is None or not (before.moves and gap.moves and after.moves):
        return None
    if gap.stretch.rests or after.stretch.rests:
        return None
    return easing.estimate(before.motion, gap.motion, after.motion)
