"""From prepared videos to the data set: numbers, near-duplicates left out, index.

OUT/
    000001/  im1.jpg  im2.jpg  im3.jpg                    layout "folders"
    images/000000-000001-000002/  000000.jpg  …           layout "rrld": the data set as one video, three frames a
    rrld.txt                                              triplet; its list, which `_databacks.rrldextr` reads
    index.csv                                             one row for each triplet

Numbers follow the names of the videos, not the order in which they were prepared; existing triplets keep theirs.
Changes are journaled first, so that the next run completes one that was killed.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from _databacks.dataset import preparing
from _databacks.dataset.near_duplicates import Selection
from _databacks.dataset.planning import Video
from _databacks.extraction.triplets import HEADER, name_of
from _util import runs
from _util.errors import InputError
from _util.files import write_text, writing


class MadeRow(NamedTuple):
    """A triplet in `index.csv`."""

    name: str  # of its folder
    show: str
    source: str  # the video, below the folder that was given
    frames: str  # first, middle and last, 24 a second from 0: 000012-000013-000015
    seconds: str  # from the beginning of the video to the first frame
    rrld: str
    coverage: str
    width: str  # pixels
    height: str
    cut: str  # number of the shot in the video, from 0
    video: str  # what its content is known by


def read_index(out: Path) -> list[MadeRow]:
    """The rows of a data set; none if it has not been assembled.

    Raises:
        InputError: the index is damaged.
    """
    path = out / "index.csv"
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            header, *rows = csv.reader(file)
            if tuple(header) != MadeRow._fields:
                raise ValueError("other columns")
            return [MadeRow(*row) for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); restore it, or make the data set again.") from error


def assemble(videos: Sequence[Video], out: Path, work: Path, layout: str, threshold: float) -> int:
    """Move the triplets of prepared videos into the data set, except existing ones and near-duplicates.

    Args:
        videos: in the order of their numbers; those that are not prepared are skipped.
        layout: "folders" or "rrld".
        threshold: as of `Selection`.

    Returns:
        The number of triplets added.

    Raises:
        InputError: something cannot be written; the next call resumes.
    """
    with writing(out, "run again to resume"):
        complete(out, work)
        before = read_index(out)
        rows, moves = _plan(videos, before, work, layout, threshold)
        if rows or not (out / "index.csv").exists():
            write_text(work / "assembly.json", json.dumps({"moves": moves, "rows": before + rows, "layout": layout}))
            complete(out, work)
        for video in videos:
            if (work / video.key / "triplets.json").exists():
                preparing.tidy(work, video.key)
    return len(rows)


def complete(out: Path, work: Path) -> None:
    """Complete an interrupted assembly, if there is one.

    Raises:
        InputError: its journal is damaged.
    """
    journal = work / "assembly.json"
    if not journal.exists():
        return
    plan = runs.read(journal, "restore it, or make the data set again")
    for source, target in plan["moves"]:
        _move(work / source, out / target)
    rows = [MadeRow(*row) for row in plan["rows"]]
    if plan["layout"] == "rrld":
        listing = [HEADER, *(f"{row.name},{row.rrld},{row.coverage}" for row in rows), ""]
        write_text(out / "rrld.txt", "\n".join(listing))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([MadeRow._fields, *rows])
    write_text(out / "index.csv", text.getvalue())
    journal.unlink()


def _plan(
    videos: Sequence[Video], before: list[MadeRow], work: Path, layout: str, threshold: float
) -> tuple[list[MadeRow], list[tuple[str, str]]]:
    """The rows to add, and the folders to move, from paths in `work` to paths in the data set."""
    known = {row.video for row in before}
    fresh = [(video, preparing.read(work, video.key)) for video in videos if video.key not in known]
    fresh = [(video, prepared) for video, prepared in fresh if prepared and prepared.triplets]
    rows: list[MadeRow] = []
    moves: list[tuple[str, str]] = []
    if not fresh:
        return rows, moves
    selection = Selection(threshold)
    _add_known(selection, before, work)
    for video, (_, triplets) in fresh:
        for k in selection.admit(work / video.key / "thumbnails.npy"):
            triplet = triplets[k]
            name, folder = _place(len(before) + len(rows), layout)
            rows.append(_row(name, video, triplet))
            moves.append((f"{video.key}/images/{triplet.name}", folder))
    return rows, moves


def _add_known(selection: Selection, rows: list[MadeRow], work: Path) -> None:
    chosen = defaultdict(set)
    for row in rows:
        chosen[row.video].add(row.frames)
    for key, names in chosen.items():
        prepared = preparing.read(work, key)
        if prepared is None:
            raise InputError(f"{work / key}, by which repetitions are known, is gone; make the data set again.")
        positions = [k for k, triplet in enumerate(prepared.triplets) if triplet.name in names]
        selection.add(work / key / "thumbnails.npy", positions)


def _place(position: int, layout: str) -> tuple[str, str]:
    """The name of the triplet at a position, from 0, and its folder below the data set."""
    if layout == "folders":
        return (name := f"{position + 1:06d}"), name
    name = name_of(range(3 * position, 3 * position + 3))
    return name, f"images/{name}"


def _row(name: str, video: Video, triplet: preparing.PreparedTriplet) -> MadeRow:
    return MadeRow(
        name=name,
        show=video.show,
        source=video.source,
        frames=triplet.name,
        seconds=f"{triplet.frames[0] / preparing.RATE:.3f}",
        rrld=f"{triplet.rrld:.6g}",
        coverage=f"{triplet.coverage:.6g}",
        width=str(triplet.width),
        height=str(triplet.height),
        cut=str(triplet.cut),
        video=video.key,
    )


def _move(source: Path, target: Path) -> None:
    """Move the pictures of a triplet and name them by position; pictures missing at the source were moved before."""
    names = ("im1", "im2", "im3") if "-" not in target.name else target.name.split("-")
    target.mkdir(parents=True, exist_ok=True)
    for number, name in zip(source.name.split("-"), names, strict=True):
        for path in source.glob(f"{number}.*"):
            path.replace(target / f"{name}{path.suffix}")
