"""Stage 2: how each frame differs from the one before it, in a table of SQLite.

video.mp4 → duplicates.db, table duplicates(frame, rgb_mean, rgb_max, lab_mean, lab_max, psnr, ssim): a row for each
frame but the first, frame 0.
"""

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from _databacks.extraction import records
from _databacks.extraction.frames import RATE, at_constant_rate
from _databacks.extraction.reports import CONSOLE, StageReport
from _util import duplicates, memory
from _util.errors import InputError
from _util.pixels import resize
from _util.prefetch import in_order
from _util.video import Reader

_COLUMNS = duplicates.Difference._fields
_BATCH = RATE  # rows per write
_THREADS = 2


def duplicate_frame_features(out: Path, report: StageReport = CONSOLE) -> None:
    """Fill duplicates.db in the folder `out`, resuming after its last row.

    Raises:
        InputError: there is no finished video.mp4, or the table is damaged or cannot be written.
    """
    memory.keep_freed()
    video, path = out / "video.mp4", out / "duplicates.db"
    total = records.read(video)["found"]["frames"]
    record = records.Record(path, video=records.fingerprint(video))
    if record.is_finished(report):
        return
    record.begin(report)
    with _table(path) as table, ThreadPoolExecutor(_THREADS) as pool:
        done = table.execute("SELECT max(frame) FROM duplicates").fetchone()[0] or 0
        batches = _overlapping(_frames(video, done), _BATCH)
        with report.bar(total=total - 1, initial=done, unit="frame", desc="duplicate_frame_features") as bar:
            for batch in in_order(pool, _differences, batches):
                rows = [(number, *difference) for number, difference in enumerate(batch, done + 1)]
                with table:
                    table.executemany(f"INSERT INTO duplicates VALUES ({', '.join('?' * (1 + len(_COLUMNS)))})", rows)
                done += len(rows)
                bar.update(len(rows))
    record.finish()


def read_differences(out: Path) -> list[tuple[int, float, float]]:
    """The columns frame, lab_mean and lab_max of duplicates.db in the folder `out`, in the order of frames.

    Raises:
        InputError: the table is missing, unfinished, empty or damaged.
    """
    path = out / "duplicates.db"
    records.read(path)
    with _table(path) as table:
        rows = table.execute("SELECT frame, lab_mean, lab_max FROM duplicates ORDER BY frame").fetchall()
    if not rows:
        raise InputError(f"{path} has no rows; the video is a single frame.")
    if [row[0] for row in rows] != list(range(1, len(rows) + 1)):
        raise InputError(f"{path} lacks some frames; delete it and make it again.")
    return rows


def _frames(video: Path, first: int) -> Iterator[np.ndarray]:
    """Frames from number `first` on, no larger than needed for comparison."""
    for _, pixels in at_constant_rate(Reader(video), first):
        yield resize(pixels, tuple(map(min, pixels.shape, duplicates.SIZE)))


def _overlapping(frames: Iterator[np.ndarray], count: int) -> Iterator[list[np.ndarray]]:
    """Batches of `count` pairs of frames, each starting with the last frame of the previous one."""
    batch = list(itertools.islice(frames, count + 1))
    while len(batch) > 1:
        yield batch
        batch = [batch[-1], *itertools.islice(frames, count)]


def _differences(frames: list[np.ndarray]) -> list[duplicates.Difference]:
    return list(duplicates.differences(frames))


@contextlib.contextmanager
def _table(path: Path) -> Iterator[sqlite3.Connection]:
    columns = ", ".join(f"{name} REAL NOT NULL" for name in _COLUMNS)
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS duplicates (frame INTEGER PRIMARY KEY, {columns})")
            yield connection
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path} cannot be used ({error}); free the disk, or delete it and make it again.") from error
