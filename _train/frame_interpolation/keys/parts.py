"""Parts of a drawing with their own timing: the hair drags, the head leads.

    --part hair.png=in                 a mask, white on the part in the key that begins the gap; its ease
    --part hair.png=0.1,0.2,0.6        or its ticks, one for each in-between

    parts.csv    key,mask,ease,ticks
                 key_001,hair.png,in,
                 key_002,hair_2.png,,0.1 0.2 0.6

`key` names the key that begins the gap. Paths of masks are relative to the file.
"""

import contextlib
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from _train.frame_interpolation.keys import timing
from _train.frame_interpolation.keys.tables import read_rows
from _train.frame_interpolation.keys.timing import Gap
from _util import files, formats
from _util.counts import counted, listed
from _util.errors import InputError
from _util.runs import digest

_COLUMNS = ("key", "mask", "ease", "ticks")


class TimedPart(NamedTuple):
    """A part of the key that begins a gap, and its own tick for each in-between."""

    path: Path  # of the mask
    ticks: tuple[Fraction, ...]  # as many as the gap has
    digest: str  # of the mask

    def check(self) -> None:
        """Raise InputError if the mask is no longer what it was."""
        with contextlib.suppress(OSError):  # it is gone
            if digest(self.path) == self.digest:
                return
        raise InputError(f"{self.path} was changed during the run; run again.")


def parse(text: str, gap: Gap) -> TimedPart:
    """Parse a part of the command line, such as `hair.png=in`.

    Raises:
        InputError: the text is not a part, or its ticks do not match those of the gap.
    """
    name, equals, how = text.rpartition("=")
    if not equals or not name or not how:
        raise InputError(f"The part {text!r} is not written as MASK=EASE or MASK=TICKS, as hair.png=in.")
    if how.lstrip()[:1].isalpha():
        return _part(Path(name), how, "", gap, f"The part {text!r}")
    return _part(Path(name), "", how.replace(",", " "), gap, f"The part {text!r}")


def read(path: Path, keys: Sequence[str], gaps: Sequence[Gap]) -> dict[int, tuple[TimedPart, ...]]:
    """Read the parts of a file, by the number of the gap.

    Args:
        keys: names of the keys, in order.
        gaps: of each key, as `timing.plan` returns them.

    Raises:
        InputError: the file cannot be used.
    """
    found: dict[int, list[TimedPart]] = {}
    for line, row in read_rows(path, "a list of parts", _COLUMNS, ["key", "mask"]):
        where = f"{path}, line {line}"
        i = files.index_of(row["key"], keys)
        if i is None:
            raise InputError(f"{where} names {row['key']!r}, which is not a key; keys are {listed(keys)}.")
        if not gaps[i].ticks and i == len(keys) - 1:
            raise InputError(
                f"{where}: no in-between follows {row['key']}, the last key; remove the line, or add --loop."
            )
        if not row["mask"]:
            raise InputError(f"{where} names no mask, a picture of the keys' size that is white on the part.")
        part = _part(path.parent / row["mask"], row["ease"], row["ticks"], gaps[i], where)
        found.setdefault(i, []).append(part)
    return {i: tuple(parts) for i, parts in found.items()}


def read_mask(part: TimedPart, size: tuple[int, int]) -> np.ndarray:
    """Read a mask as (h, w) float32 in [0, 1]: its alpha unless that is missing or opaque, else its brightness.

    Raises:
        InputError: the mask was changed, cannot be read, has another size, or is empty.
    """
    try:
        picture = formats.for_display(formats.read(part.path))
    finally:
        part.check()
    top = np.iinfo(picture.dtype).max
    pixels = picture.astype(np.float32) / top
    has_alpha = pixels.ndim == 3 and pixels.shape[2] == 4 and bool((pixels[:, :, 3] < 1).any())
    if pixels.ndim == 3:
        pixels = pixels[:, :, 3] if has_alpha else pixels[:, :, :3].mean(2)
    if pixels.shape != size:
        raise InputError(
            f"{part.path} is {pixels.shape[1]}×{pixels.shape[0]} pixels and the keys are {size[1]}×{size[0]}; "
            "draw the mask on the key."
        )
    if not pixels.any():
        what, needed = ("transparent", "opaque") if has_alpha else ("black", "white")
        raise InputError(f"{part.path} is {what} all over; a mask is {needed} where the part is.")
    return pixels


def _part(mask: Path, ease: str, ticks: str, gap: Gap, where: str) -> TimedPart:
    if not mask.is_file():
        raise InputError(f"{where}: there is no file {mask}; a mask is a picture of the keys' size.")
    if bool(ease) == bool(ticks):
        raise InputError(f"{where} needs either an ease or ticks.")
    if not gap.ticks:
        print(f"{where} has no effect, as its gap has no in-between.", file=sys.stderr)
    try:
        if ease:
            return TimedPart(mask, timing.eased(gap.ticks, timing.parse_curve(ease)), digest(mask))
        marks = timing.parse_gap_ticks(ticks.split(), "ticks")
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if len(marks) != len(gap.ticks):
        raise InputError(
            f"{where} has {counted(len(marks), 'tick')}, and its gap has {counted(len(gap.ticks), 'in-between')}; "
            "give as many."
        )
    return TimedPart(mask, marks, digest(mask))
