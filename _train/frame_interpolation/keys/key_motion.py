"""Easing of gaps between keys by the motion of the gaps before and after them."""

import functools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from _train.frame_interpolation.ends import Ends
from _train.frame_interpolation.keys.timing import Gap
from _util.runs import digest_of

if TYPE_CHECKING:
    from _train.frame_interpolation import easing
    from _train.frame_interpolation.easing import Easing

_CACHED = 4  # gaps


def neighbours(gaps: Sequence[Gap], i: int) -> tuple[int, int] | None:
    """The indices of the gaps before and after a gap; None if motion does not continue through all three.

    The last gap, from the last key to the first, has motion if it has ticks or is eased. Empty frames interrupt motion.
    """
    count = len(gaps) if gaps[-1].ticks or gaps[-1].is_eased else len(gaps) - 1
    before, after = i - 1, i + 1
    if count == len(gaps):
        before, after = before % count, after % count
    if before < 0 or after >= count or any(gaps[j].blank for j in (before, i, after)):
        return None
    return before, after


def settings(gaps: Sequence[Gap], keys: Sequence[str], i: int) -> dict[str, Any]:
    """All that determines how a gap is eased; empty if it is not.

    Args:
        keys: digests of the keys.
    """
    around = neighbours(gaps, i) if gaps[i].is_eased else None
    if around is None:
        return {}
    before, after = around
    rates = [str(Fraction(_duration(gaps[j]), _duration(gaps[i]))) for j in around]
    return {"eased": digest_of([keys[before], keys[(after + 1) % len(keys)], rates])}


class KeyMotion:
    """The motion between keys, by gap.

    Args:
        ends: the keys of a gap, by its number.
        interpolator: an `Interpolator`.
    """

    def __init__(self, ends: Callable[[int], Ends], gaps: Sequence[Gap], interpolator: Any):
        self._ends, self._gaps, self._interpolator = ends, gaps, interpolator
        self._gap = functools.lru_cache(_CACHED)(self._measured)

    def easing(self, i: int) -> "Easing | None":
        """The easing of a gap; None if it is not eased, or is the first or last of a motion."""
        around = neighbours(self._gaps, i) if self._gaps[i].is_eased else None
        if around is None:
            return None
        from _train.frame_interpolation import easing

        before, after = map(self._gap, around)
        return easing.estimate(before, self._gap(i), after)

    def _measured(self, i: int) -> "easing.GapMotion":
        from _train.frame_interpolation import easing

        displacement = self._interpolator.displacement(*self._ends(i).frames())
        return easing.GapMotion(displacement, _duration(self._gaps[i]))


def _duration(gap: Gap) -> int:
    """Frames from the first key of a gap to the next."""
    return sum(gap.exposures)
