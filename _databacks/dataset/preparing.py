"""One video of a data set: its triplets, extracted into a folder of their own.

WORK/0123456789abcdef/
    images/000012-000013-000015/    as _databacks.extraction leaves them
    thumbnails.npy                  (n, 3, 36, 64, 3) uint8, by which near-duplicates are found
    triplets.json                   what is known of each; comes last, so that the video is done where it is there

Any process on any machine that shares the file system may do this, and two at once: one of them waits.
"""

import errno
import io
import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from _databacks import extraction
from _databacks.dataset import near_duplicates
from _databacks.dataset.planning import Video
from _databacks.extraction import records
from _databacks.extraction.filtering import FlowEstimator
from _databacks.extraction.options import ExtractionOptions
from _databacks.extraction.reports import StageReport
from _util import image
from _util.errors import InputError
from _util.files import pictures, replacing, write_text

RATE = 24  # frames a second that are counted
_KEPT = {"thumbnails.npy", "triplets.json"}  # files to keep when the triplets have been moved to the data set
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class Settings(NamedTuple):
    """How triplets are extracted."""

    options: ExtractionOptions
    create_flow: Callable[[], FlowEstimator]  # for each video; a module's function, or a partial of one


class Job(NamedTuple):
    """A video to prepare."""

    video: Video
    work: Path
    settings: Settings


class Outcome(NamedTuple):
    """The result of a job."""

    error: str | None = None  # one sentence: why the video cannot be used
    is_fatal: bool = False  # a write error, which would affect all other videos


class PreparedTriplet(NamedTuple):
    """One of the triplets of a video."""

    name: str
    frames: tuple[int, int, int]
    rrld: float
    coverage: float
    cut: int
    width: int
    height: int


class PreparedVideo(NamedTuple):
    """What `triplets.json` holds about a video."""

    damage: str | None  # one sentence on what could not be read; the triplets are from the rest
    triplets: list[PreparedTriplet]


def prepare(job: Job, tick: Callable[[str], None]) -> Outcome:
    """Extract the triplets of a video, resuming an earlier attempt.

    Errors of the video are returned in the outcome.
    """
    folder = job.work / job.video.key
    try:
        folder.mkdir(exist_ok=True)
        with FileLock(job.work / f"{job.video.key}.lock"):  # released when this process ends, even if it is killed
            if read(job.work, job.video.key) is None:
                _extract(job, folder, tick)
        return Outcome()
    except Exception as error:  # damaged videos raise many types of errors
        said = f"{error}" if isinstance(error, InputError) else f"{job.video.path} cannot be used ({error!r})."
        return Outcome(error=" ".join(said.split()), is_fatal=_is_fatal(error))


def read(work: Path, key: str) -> PreparedVideo | None:
    """The triplets of a video that is prepared; None if it is not.

    Raises:
        InputError: what is known of them is damaged.
    """
    path = work / key / "triplets.json"
    try:
        damage, rows = json.loads(path.read_text())
        return PreparedVideo(damage, [PreparedTriplet(name, tuple(frames), *values) for name, frames, *values in rows])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise near_duplicates.damaged(path) from error


def tidy(work: Path, key: str) -> None:
    """Delete the files that are not needed once the triplets of a video are in the data set."""
    for path in (work / key).iterdir():
        if path.name not in _KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _extract(job: Job, folder: Path, tick: Callable[[str], None]) -> None:
    options, create_flow = job.settings
    report = StageReport(lambda sentence: None, _bar_that_calls(tick))
    found = extraction.extract(job.video.path, folder, create_flow(), options, report)
    rows, thumbnails = [], np.empty((len(found), 3, *near_duplicates.CELLS, 3), np.uint8)
    for i, triplet in enumerate(found):
        drawings = [image.read(path) for path in pictures(folder / "images" / triplet.name)]
        thumbnails[i] = near_duplicates.thumbnails(drawings)
        rows.append(PreparedTriplet(*triplet, *drawings[0].shape[1::-1]))
    with replacing(folder / "thumbnails.npy") as temporary:
        np.save(temporary, thumbnails)
    write_text(folder / "triplets.json", json.dumps(PreparedVideo(_damage(folder), rows)))


def _damage(folder: Path) -> str | None:
    encoded = folder / "video.mp4"
    return records.read(encoded)["found"]["damage"] if encoded.exists() else None


def _bar_that_calls(tick: Callable[[str], None]) -> type[tqdm]:
    class Bar(tqdm):
        """Reports progress to `tick` instead of showing it."""

        monitor_interval = 0
        _lock = threading.RLock()  # the default is shared between processes, and left behind if this one is killed

        def __init__(self, *arguments, **options):
            self._shown = 0.0
            super().__init__(*arguments, **{**options, "file": io.StringIO(), "leave": False})

        def display(self, *arguments, **options) -> None:
            if time.monotonic() - self._shown > 1:  # second
                self._shown = time.monotonic()
                tick(f"{self.desc.removesuffix(': ')} {self.n}/{self.total or '?'} {self.unit}s")

    return Bar


def _is_fatal(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FATAL:
            return True
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
