"""The drawings of a project: their keys, timing and exposures."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from _train.frame_interpolation.guides import hints as hinting
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.keys.timing import Gap
from _train.frame_interpolation.studio import project
from _train.frame_interpolation.studio.keys import Key
from _train.frame_interpolation.studio.project import State
from _util.errors import InputError
from _util.runs import digest_of


class InBetween(NamedTuple):
    """An in-between; `id` is a digest of all that determines it, and empty as long as the method is not known."""

    id: str
    tick: Fraction


class SheetRow(NamedTuple):
    """A key, and the gap that it begins.

    Attributes:
        next: the key that ends the gap; None after the last key.
        gap: its timing.
        problem: a sentence if the gap cannot be drawn.
    """

    key: Key
    next: Key | None
    gap: Gap
    hints: tuple[Hint, ...]
    drawings: tuple[InBetween, ...]
    problem: str


def rows(keys: Sequence[Key], state: State, planned: Mapping[str, Gap], settings: str) -> list[SheetRow]:
    """All keys in order, each with its gap.

    Args:
        planned: for gaps without a timing in the project, by the name of the key that begins them.
        settings: a digest of the method, its weights and options; empty as long as they are not known.
    """
    gaps = project.gaps(state, [key.name for key in keys], planned)
    followers: list[Key | None] = [*keys[1:], keys[0] if state.is_loop and len(keys) > 1 else None]
    return [_row(*found, state, settings) for found in zip(keys, followers, gaps, strict=False)]


def _row(key: Key, follower: Key | None, gap: Gap, state: State, settings: str) -> SheetRow:
    hints = state.hints.get(key.name, ()) if follower else ()
    if follower is None:
        return SheetRow(key, None, Gap.on((), gap.exposures[0]), (), (), key.problem)
    drawings = tuple(InBetween(_id(key, follower, tick, hints, settings), tick) for tick in gap.ticks)
    return SheetRow(key, follower, gap, hints, drawings, _problem(key, follower, hints))


def _id(key: Key, follower: Key, tick: Fraction, hints: tuple[Hint, ...], settings: str) -> str:
    if not settings:
        return ""
    made = {"key": key.digest, "next": follower.digest, "tick": str(tick), "settings": settings}
    return digest_of(made | ({"hints": digest_of(hints)} if hints else {}))[:32]


def _problem(key: Key, follower: Key, hints: tuple[Hint, ...]) -> str:
    if key.problem or follower.problem:
        return key.problem or follower.problem
    if key.size != follower.size:
        (h0, w0), (h1, w1) = key.size, follower.size
        return f"{key.path.name} is {w0}×{h0} pixels and {follower.path.name} {w1}×{h1}; bring them to one size."
    try:
        hinting.check(hints, key.size)
    except InputError as error:
        return str(error)
    return ""
