"""Names of keys and drawings: their order, and which keys are corrected in-betweens.

    key_002              a key
    key_002+2of3         a corrected in-between of the gap that it begins, under its original name: at 2/4 of the gap
    key_002+2of3+1of1    one in the gap that this begins, at 1/2 of it
    key_002+fixed        one under another name; these follow those with a place

Drawings are named after the key that begins their gap, so that the bytewise order of names is that of the drawings:

    key_002+0of3+0of3    the key, if the next one has a place within its gap
    key_002+0of3+3of3    the last of its three in-betweens before that
    key_002+2of3+0of3    the correction
    K02+0of1             the key K2, if another one is K10
    2_end+0of0           the second key, if `start.png end.png` are given in this order
"""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from _util import files

_PLACE = re.compile(r"([0-9]{1,6})of([0-9]{1,6})(.*)", re.DOTALL)
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class _GapPlace:
    """The part of a name after a `+`: the number of an in-between, the count of its gap, and any further text."""

    number: int
    count: int
    rest: str

    @property
    def position(self) -> Fraction:
        return Fraction(self.number, self.count + 1)

    def among(self, parts: int) -> str:
        """The same place, as the name of one of `parts - 1` in-betweens."""
        return f"+{int(self.position * parts):0{len(str(parts - 1))}d}of{parts - 1}{self.rest}"


def name_of(key: Path) -> str:
    """The name of a key, without suffix; digits do not count as a suffix, as in shot.001."""
    return key.name if key.suffix[1:].isdecimal() else key.stem


def order(name: str) -> list[Any]:
    """Sort key for names of keys: natural order, and after each key the corrections of its gap by place."""
    begin, *more = name.split("+")
    return [files.natural(begin), *map(_order_within, more)]


def divided(keys: Sequence[str]) -> list[int]:
    """For each key, in order, its index, or that of the key whose gap it divides."""
    numbers: list[int] = []
    for i, key in enumerate(keys):
        numbers.append(numbers[-1] if i and is_within(key, keys[numbers[-1]]) else i)
    return numbers


def is_within(key: str, whole: str) -> bool:
    """Whether a key is a corrected in-between of the gap that another one begins: the same name, then `+` and more."""
    begin = order(whole)
    return len(order(key)) > len(begin) and order(key)[: len(begin)] == begin


def positions(keys: Sequence[str], ticks: Sequence[Sequence[Fraction]]) -> list[Fraction]:
    """Where each key is in the gap that it divides: in [0, 1), ascending within a gap; 0 for a key that begins one.

    A correction has the tick of the in-between that its name states or, if the gap has another number of them, the
    stated place. Without one, or if that does not follow the place of the key before, it lies evenly between others.

    Args:
        keys: their names, in order.
        ticks: of the gap that each begins.
    """
    found: list[Fraction] = []
    for begin, end in itertools.pairwise([*sorted({*divided(keys)}), len(keys)]):
        depth = keys[begin].count("+") + 1
        found += _positions([key.split("+")[depth:] for key in keys[begin:end]], ticks[begin:end], ())
    return found


def key_at(name: str) -> str:
    """The key of which a name, without suffix, is the drawing: `key_002` of `key_002+0of3`; the name if of none."""
    parts = name.split("+")
    while len(parts) > 1 and (place := _place(parts[-1])) and place.number == 0 and not place.rest:
        parts.pop()
    return "+".join(parts)


def is_drawn(name: str) -> bool:
    """Whether a name, without suffix, has the form that `drawing` produces."""
    _, plus, last = name.rpartition("+")
    place = _place(last)
    return bool(plus) and place is not None and not place.rest


def drawing(key: str, number: int, count: int, suffix: str) -> str:
    """The file name of a key (number 0) or an in-between; `key` is the name that `of_drawings` returns for it."""
    return files.fitting(key, f"+{number:0{len(str(count))}d}of{count}{suffix}")


def of_drawings(keys: Sequence[str], counts: Sequence[int]) -> list[str]:
    """The name from which drawings are named, for each key: with places and zero-padded numbers as needed for sorting.

    Keys whose given order is not that of their names are numbered. If keys are in order but drawings cannot sort
    bytewise, as with `a` and `B`, names are unchanged, so that drawings can be placed among keys; see `are_sorted`.

    Args:
        keys: their names, in order.
        counts: number of in-betweens in the gap that each begins.
    """
    placed = _placed(keys)
    for names in (placed, _padded(placed)):
        if are_sorted(_ends(names, counts)):
            return names
    return list(keys) if are_in_order(keys) else _numbered(placed)


def are_in_order(names: Sequence[str]) -> bool:
    """Whether names are in the order that keys of a folder have."""
    return all(a <= b for a, b in itertools.pairwise(map(order, names)))


def are_sorted(drawings: Sequence[str]) -> bool:
    """Whether names of drawings, without suffix, are sorted, both bytewise and in the order of keys."""
    with_dot = (f"{name}." for name in drawings)  # of the suffix
    return all(a < b for a, b in itertools.pairwise(with_dot)) and are_in_order(drawings)


def _ends(names: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Names of the first and last drawing of each gap; those between are always sorted."""
    return [
        drawing(name, number, count, "")
        for name, count in zip(names, counts, strict=True)
        for number in sorted({0, count})
    ]


def _order_within(part: str) -> tuple[Any, ...]:
    place = _place(part)
    return (1, files.natural(part)) if place is None else (0, place.position, files.natural(place.rest))


def _place(part: str) -> _GapPlace | None:
    match = _PLACE.fullmatch(part)
    if not match or int(match[1]) > int(match[2]):
        return None
    return _GapPlace(int(match[1]), int(match[2]), match[3])


def _positions(
    names: Sequence[list[str]], ticks: Sequence[Sequence[Fraction]], around: Sequence[Fraction]
) -> list[Fraction]:
    """The positions of keys in one gap.

    Args:
        names: of each key, the parts beyond the name of the key that begins the gap; that key may be missing.
        ticks: of the gap that each begins.
        around: ticks of the gap if that key is missing.
    """
    found = []
    if not names[0]:
        found, around, names, ticks = [Fraction(0)], ticks[0], names[1:], ticks[1:]
    begins = [
        i
        for i, name in enumerate(names)
        if i == 0 or len(name) == 1 or _order_within(name[0]) != _order_within(names[i - 1][0])
    ]
    places = _ascending([_stated(names[i], around) for i in begins])
    ends = [*zip(begins, places, strict=True), (len(names), Fraction(1))]
    for (begin, low), (end, high) in itertools.pairwise(ends):
        within = _positions([name[1:] for name in names[begin:end]], ticks[begin:end], around)
        found += [low + position * (high - low) for position in within]
    return found


def _stated(name: list[str], ticks: Sequence[Fraction]) -> Fraction | None:
    """The position that the first part of a name states; 0 only for what more parts divide."""
    place = _place(name[0])
    if place is None or (place.number == 0 and len(name) == 1):
        return None
    return ticks[place.number - 1] if place.number and place.count == len(ticks) else place.position


def _ascending(stated: Sequence[Fraction | None]) -> list[Fraction]:
    """Positions, of which those that are missing or do not ascend are replaced by ones evenly between the others."""
    known = {-1: Fraction(0)}
    for i, position in enumerate(stated):
        if position is not None and (position > max(known.values()) or i == 0):
            known[i] = position
    known[len(stated)] = Fraction(1)
    return [
        low + (high - low) * Fraction(i - before, after - before)
        for (before, low), (after, high) in itertools.pairwise(known.items())
        for i in range(max(before, 0), after)
    ]


def _placed(keys: Sequence[str]) -> list[str]:
    """Names in which all places in a gap have a common denominator, and a key followed by one has place 0."""
    numbers = divided(keys)
    parts = [1] * len(keys)
    for key, number in zip(keys, numbers, strict=True):
        parts[number] = math.lcm(parts[number], *(place.count + 1 for place in _places(key)))
    names = []
    for i, (key, number) in enumerate(zip(keys, numbers, strict=True)):
        begin, *more = key.split("+")
        told = [place.among(parts[number]) if (place := _place(part)) else f"+{part}" for part in more]
        names.append(begin + "".join(told) + _zeros(keys[i : i + 2], parts[number]))
    return names


def _zeros(key_and_next: Sequence[str], parts: int) -> str:
    """The places 0 to append to a key: as many as the next one has beyond its name."""
    if len(key_and_next) < 2 or not is_within(key_and_next[1], key_and_next[0]):
        return ""
    beyond = key_and_next[1].split("+")[len(key_and_next[0].split("+")) :]
    places = itertools.takewhile(lambda place: place is not None, map(_place, beyond))
    return _GapPlace(0, 0, "").among(parts) * len(list(places))


def _places(key: str) -> list[_GapPlace]:
    return [place for part in key.split("+")[1:] if (place := _place(part))]


def _numbered(names: Sequence[str]) -> list[str]:
    digits = len(str(len(names)))
    return [f"{i:0{digits}d}_{name}" for i, name in enumerate(names, 1)]


def _padded(names: Sequence[str]) -> list[str]:
    """Names with zero-padded numbers: as many digits as the longest number at the same position."""
    pieces = [_DIGITS.split(name) for name in names]
    widths: dict[tuple[str, ...], int] = {}
    for of_name in pieces:
        for i in range(1, len(of_name), 2):
            before = tuple(of_name[:i:2])
            widths[before] = max(widths.get(before, 0), len(of_name[i]))
    return [
        "".join(piece.zfill(widths[tuple(of_name[:i:2])]) if i % 2 else piece for i, piece in enumerate(of_name))
        for of_name in pieces
    ]
