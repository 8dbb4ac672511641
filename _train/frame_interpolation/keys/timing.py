"""Timing: the positions of in-betweens between two keys, and the exposure of drawings.

A *gap* lies between a key and the next. Its *ticks* are the marks of an animator's timing chart: one position for each
in-between, ascending between 0, the first key, and 1, the second. Positions are exact fractions.

    between   3            number of evenly spaced in-betweens: ticks 1/4, 1/2, 3/4
    ease      in           the ticks are moved along a CSS easing curve: the motion starts slowly, so that ticks cluster
                           at the first key; out: at the second; in-out: at both. (Animators call the first "slow out"
                           of a key, and the second "slow in" to one.)
    ease      auto         the ticks stay, but what is drawn at them is as far along as estimated from the
                           neighbouring gaps (`easing`)
    ticks     0.1,1/4      or the positions themselves
    on        2            each drawing, keys included, is exposed for two frames; the number of drawings is the same

A chart is a CSV file with a header. `key` is the name of the key that begins the gap, with or without suffix. Other
columns and values are optional; the options of the command line apply where they are missing.

    key,between,ease,ticks,on
    key_001,3,in-out,,2
    key_002,,,0.1 0.25 1/2,
    key_003,0,,,
"""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from _train.frame_interpolation.keys import key_names
from _train.frame_interpolation.keys.tables import read_rows
from _util import clock, files
from _util.counts import counted, listed
from _util.errors import InputError

MOST_BETWEEN = 9999
MOST_FRAMES = 9999  # longest exposure of a drawing
_LARGEST_DENOMINATOR = 2**24  # of an eased position
_HALVINGS = 80  # bisections of the parameter: more precise than fractions of that denominator
_COLUMNS = ("key", "between", "ease", "ticks", "on")

Ease = Callable[[Fraction], Fraction]


@dataclass(frozen=True)
class Gap:
    """The timing of one gap.

    Attributes:
        ticks: positions of the in-betweens, in (0, 1), ascending.
        exposures: of its first key and of each in-between, in frames.
        blank: number of empty frames after them.
        is_eased: whether the progress of motion at the ticks is estimated from the neighbouring gaps.
    """

    ticks: tuple[Fraction, ...]
    exposures: tuple[int, ...]
    blank: int = 0
    is_eased: bool = False

    @classmethod
    def on(cls, ticks: Sequence[Fraction], on: int, is_eased: bool = False) -> "Gap":
        """A gap whose drawings are all exposed for `on` frames."""
        return cls(tuple(ticks), (on,) * (1 + len(ticks)), is_eased=is_eased)


@dataclass(frozen=True)
class CubicBezier:
    """`cubic-bezier(x1, y1, x2, y2)` of CSS Easing Functions: progress over time, from (0, 0) to (1, 1).

    Progress is rounded to the nearest fraction with a denominator up to 2²⁴.
    """

    x1: Fraction
    y1: Fraction
    x2: Fraction
    y2: Fraction

    def __post_init__(self):
        for x in (self.x1, self.x2):
            if not 0 <= x <= 1:
                raise InputError(f"A cubic Bézier curve has x {float(x):g}; both x lie in [0, 1].")

    def __call__(self, time: Fraction) -> Fraction:
        low, high = Fraction(0), Fraction(1)
        for _ in range(_HALVINGS):  # x increases with the parameter
            middle = (low + high) / 2
            if _bernstein(self.x1, self.x2, middle) < time:
                low = middle
            else:
                high = middle
        return _bernstein(self.y1, self.y2, high).limit_denominator(_LARGEST_DENOMINATOR)


def _bernstein(a: Fraction, b: Fraction, s: Fraction) -> Fraction:
    """The cubic polynomial from 0 to 1 with the inner control values `a` and `b`."""
    return 3 * (1 - s) ** 2 * s * a + 3 * (1 - s) * s**2 * b + s**3


_SLOW, _FAST = Fraction("0.42"), Fraction("0.58")
EASES: dict[str, Ease] = {
    "none": lambda time: time,
    "in": CubicBezier(_SLOW, Fraction(0), Fraction(1), Fraction(1)),
    "out": CubicBezier(Fraction(0), Fraction(0), _FAST, Fraction(1)),
    "in-out": CubicBezier(_SLOW, Fraction(0), _FAST, Fraction(1)),
}


def even(count: int) -> tuple[Fraction, ...]:
    """The ticks of `count` evenly spaced in-betweens."""
    return tuple(Fraction(i, count + 1) for i in range(1, count + 1))


def eased(ticks: Sequence[Fraction], ease: Ease) -> tuple[Fraction, ...]:
    """Ticks moved along a curve.

    Raises:
        InputError: the curve turns back or overshoots, so that ticks do not ascend within (0, 1).
    """
    moved = tuple(map(ease, ticks))
    try:
        return check_ticks(moved)
    except InputError as error:
        raise InputError(
            f"The ease cannot be drawn ({str(error).rstrip('.')}); take a curve that rises within [0, 1]."
        ) from error


def check_ticks(ticks: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """Verify the ticks of a gap, and return them.

    Raises:
        InputError: a tick is not in (0, 1), or not greater than the one before.
    """
    for tick in ticks:
        if not 0 < tick < 1:
            raise InputError(f"A tick is at {_shown(tick)}; ticks lie above 0, the first key, and below 1, the second.")
    for before, tick in itertools.pairwise(ticks):
        if tick <= before:
            raise InputError(f"A tick at {_shown(tick)} follows one at {_shown(before)}; ticks must rise.")
    return tuple(ticks)


def _shown(number: Fraction) -> str:
    return str(number) if number.denominator <= 100 else f"{float(number):.9g}"


def automatic(time: Fraction) -> Fraction:
    """The ease `auto`, which leaves ticks where they are: the motion of each gap is eased as it is drawn."""
    return time


def parse_ease(text: str) -> Ease:
    """The ease `auto`, or a curve as of `parse_curve`.

    Raises:
        InputError: the text is neither.
    """
    return automatic if text.strip().lower() == "auto" else parse_curve(text)


def parse_curve(text: str) -> Ease:
    """The easing curve `in`, `out`, `in-out`, `none`, `cubic-bezier(x1, y1, x2, y2)`, or `x1, y1, x2, y2`.

    Raises:
        InputError: the text is none of these.
    """
    text = text.strip().lower()
    if text in EASES:
        return EASES[text]
    if text == "auto":
        raise InputError("auto applies to whole gaps only; choose a curve here.")
    whole = re.fullmatch(r"cubic-bezier\s*\((.*)\)|([^()]*)", text)
    numbers = (whole[1] or whole[2] or "").split(",") if whole else []
    if len(numbers) != 4:
        names = ", ".join((*EASES, "auto"))
        raise InputError(f"There is no ease {text!r}; there are {names} and cubic-bezier(x1, y1, x2, y2).")
    return CubicBezier(*(_number("cubic-bezier", number) for number in numbers))


def parse_count(text: str, name: str) -> int:
    """Parse the number of in-betweens of one gap.

    Args:
        name: of the option or column, for messages.

    Raises:
        InputError: the text is not an integer from 0 to `MOST_BETWEEN`.
    """
    count = _whole(name, text)
    if not 0 <= count <= MOST_BETWEEN:
        raise InputError(f"{name} has {count}; a gap has from 0 to {MOST_BETWEEN} in-betweens.")
    return count


def parse_gap_ticks(texts: Iterable[str], name: str) -> tuple[Fraction, ...]:
    """Parse the ticks of one gap; empty texts are left out.

    Args:
        name: of the option or column, for messages.

    Raises:
        InputError: as `check_ticks`, or a tick is not a number.
    """
    return check_ticks([_number(name, text) for text in texts if text.strip()])


def parse_on(text: str, name: str = "--on") -> int:
    """Parse the number of frames for which each drawing is exposed.

    Args:
        name: of the option or column, for messages.

    Raises:
        InputError: the text is not an integer from 1 to `MOST_FRAMES`.
    """
    on = _whole(name, text)
    if not 1 <= on <= MOST_FRAMES:
        raise InputError(
            f"{name} has {on}; it must be from 1 to {MOST_FRAMES}, the frames that a drawing is exposed for."
        )
    return on


def plan(
    keys: Sequence[str],
    is_loop: bool = False,
    between: str = "1",
    ease: str = "none",
    ticks: str | None = None,
    on: str = "1",
    chart: Path | None = None,
) -> list[Gap]:
    """The timing of the gap that each key begins; the last gap leads to the first key, and is empty without a loop.

    A key named like an earlier key followed by `+`, as `key_002+fixed`, is a corrected in-between. It divides the gap
    of that key, and its own gap has the same timing unless another is given.

    Args:
        keys: names of the keys, in order, without suffix.
        is_loop: whether a gap leads from the last key to the first.
        between, ticks: texts such as `3,1,0,5` and `0.25,0.5:0.5::1/3`, with one value for all gaps or one for each.
            The value of the gap that closes a loop may be omitted; it is then that of the last gap. ticks override
            between.
        ease, on: texts for `parse_ease` and `parse_on`.
        chart: a CSV file, whose values override the others.

    Raises:
        InputError: texts or a chart that cannot be used.
    """
    divided = key_names.divided(keys)[: len(keys) - 1 + is_loop]
    if ticks is None:
        counts = [parse_count(part, "--between") for part in between.split(",")]
        marks = [even(count) for count in _by_gap("--between", "counts", counts, divided, is_loop)]
    else:
        lists = [parse_gap_ticks(part.split(","), "--ticks") for part in ticks.split(":")]
        marks = _by_gap("--ticks", "lists", lists, divided, is_loop)
    rows = [_Row(one, parse_ease(ease), parse_on(on)) for one in marks]
    if chart is not None:
        rows = _charted(rows, chart, keys, divided)
    gaps = [Gap.on(eased(row.marks, row.ease), row.on, row.ease is automatic) for row in rows]
    check_neighbours(gaps)
    return gaps if is_loop else [*gaps, Gap.on((), rows[-1].on)]


def check_neighbours(gaps: Sequence[Gap]) -> None:
    """Raise InputError if gaps are to be eased by others, and there are fewer than three in all."""
    if len(gaps) < 3 and any(gap.is_eased for gap in gaps):
        raise InputError(
            "The ease auto needs the gaps before and after each gap, and there "
            f"{'are two gaps' if len(gaps) == 2 else 'is one gap'}; give more keys, or choose a curve."
        )


@dataclass(frozen=True)
class _Row:
    """The timing of a gap before easing."""

    marks: tuple[Fraction, ...]
    ease: Ease
    on: int


def _by_gap(option: str, what: str, values: list[Any], divided: list[int], is_loop: bool) -> list[Any]:
    """A value for each gap, from one for all, one for each, or one for each gap before corrections divide it.

    The value of the gap that closes a loop may be omitted; it is then that of the last gap.
    """
    wholes = list(dict.fromkeys(divided))
    if len(values) == 1:
        return values * len(divided)
    if len(values) == len(divided):
        return values
    if is_loop and len(values) == len(wholes) - 1:
        values = [*values, values[-1]]
    if len(values) != len(wholes):
        raise InputError(
            f"{option} has {len(values)} {what} for {counted(len(wholes), 'gap')}; give one for each, or one for all."
        )
    return [values[wholes.index(number)] for number in divided]


def _charted(rows: list[_Row], chart: Path, keys: Sequence[str], divided: list[int]) -> list[_Row]:
    charted: dict[int, _Row] = {}
    lines: dict[int, int] = {}
    for line, values in read_rows(chart, "a chart", _COLUMNS, ["key"]):
        where = f"{chart}, line {line}"
        name = values["key"]
        number = files.index_of(name, keys)
        if number is None:
            raise InputError(f"{where}: there is no key {name!r}; the keys are {listed(keys)}.")
        if number >= len(rows):
            raise InputError(f"{where}: no gap begins at {name}, the last key; remove the line, or add --loop.")
        if number in lines:
            raise InputError(f"{where}: {name} has line {lines[number]} already; keep one of the two.")
        lines[number] = line
        try:
            charted[number] = _overridden(rows[number], values)
            eased(charted[number].marks, charted[number].ease)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
    return [charted.get(i, charted.get(divided[i], row)) for i, row in enumerate(rows)]


def _overridden(row: _Row, values: dict[str, str]) -> _Row:
    if values["between"] and values["ticks"]:
        raise InputError("a gap has both between and ticks; leave one of them empty.")
    if values["between"]:
        row = replace(row, marks=even(parse_count(values["between"], "the column between")))
    if values["ticks"]:
        row = replace(row, marks=parse_gap_ticks(values["ticks"].split(), "the column ticks"))
    if values["ease"]:
        row = replace(row, ease=parse_ease(values["ease"]))
    if values["on"]:
        row = replace(row, on=parse_on(values["on"], "the column on"))
    return row


def _whole(name: str, text: str) -> int:
    number = _number(name, text)
    if number.denominator != 1:
        raise InputError(f"{name} has {text.strip()}; a whole number is needed.")
    return int(number)


def _number(name: str, text: str) -> Fraction:
    try:
        return clock.parse(text.strip())
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"{name} has {text.strip()[:32]!r}, which is not a number.") from error
