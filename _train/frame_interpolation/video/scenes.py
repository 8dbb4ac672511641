"""Scene lists in PySceneDetect's format: CSV with a row per scene, as read by `--scene-list`.

Scene Number,Start Frame,Start Timecode,Start Time (seconds),End Frame,…
1,1,00:00:00.000,0.000,48,…
2,49,00:00:02.000,2.000,96,…

Frames are numbered from 1; the last frame of a scene precedes the first of the next. A row "Timecode List:" may precede
the column names.
"""

import csv
import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from _train.frame_interpolation.video.excerpt import parse_time
from _util import clock
from _util.errors import InputError
from _util.files import replacing

_SECONDS, _TIMECODE, _FRAME = "Start Time (seconds)", "Start Timecode", "Start Frame"
_COLUMNS = (
    *("Scene Number", _FRAME, _TIMECODE, _SECONDS, "End Frame", "End Timecode", "End Time (seconds)"),
    *("Length (frames)", "Length (timecode)", "Length (seconds)"),
)


def read(path: Path, rate: Fraction) -> list[Fraction]:
    """Read the start times of scenes, in seconds, sorted.

    Args:
        rate: frames per second of the video, for lists with frame numbers only.

    Raises:
        InputError: the file cannot be read or is not a scene list.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if any(row)]
    except (OSError, ValueError, csv.Error) as error:
        why = getattr(error, "strerror", None) or "it is not a text in UTF-8"
        raise InputError(f"The scene list {path} cannot be read ({why}).") from error
    names = next(
        (i for i, (_, row) in enumerate(rows[:2]) if {_SECONDS, _TIMECODE, _FRAME} & set(map(str.strip, row))), None
    )
    if names is None:
        raise InputError(f"{path} has no column {_SECONDS!r}, {_TIMECODE!r} or {_FRAME!r}; PySceneDetect writes such.")
    columns = {name.strip(): i for i, name in enumerate(rows[names][1])}
    starts = []
    for number, row in rows[names + 1 :]:
        try:
            starts.append(_start(row, columns, rate))
        except (ValueError, IndexError, ZeroDivisionError) as error:
            raise InputError(f"Row {number} of {path} says no time at which its scene begins; correct it.") from error
    return sorted(set(starts))


def _start(row: list[str], columns: dict[str, int], rate: Fraction) -> Fraction:
    if _SECONDS in columns:
        return clock.parse(row[columns[_SECONDS]].strip())
    if _TIMECODE in columns:
        return parse_time(row[columns[_TIMECODE]].strip())
    return (int(row[columns[_FRAME]]) - 1) / rate


def write(path: Path, starts: Sequence[Fraction], end: Fraction, rate: Fraction) -> None:
    """Write the scenes that start at `starts`, of a video that ends at `end`, in seconds.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for number, (start, stop) in enumerate(itertools.pairwise([*starts, end]), 1):
            first, last = round(start * rate), round(stop * rate)
            writer.writerow(
                [
                    *(number, first + 1, _timecode(start), _seconds(start)),
                    *(last, _timecode(stop), _seconds(stop)),
                    *(last - first, _timecode(stop - start), _seconds(stop - start)),
                ]
            )


def _seconds(time: Fraction) -> str:
    return f"{float(time):.3f}"


def _timecode(time: Fraction) -> str:
    milliseconds = round(time * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
