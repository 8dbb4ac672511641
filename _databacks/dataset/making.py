"""Makes a data set of triplets from shows: finds the videos, prepares each, and assembles their triplets.

In: videos and folders of videos. Out: the data set as described in `assembly`, with index.csv and report.html, and
`.work` beside them, from which a run resumes.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from _databacks.dataset import assembly, planning, preparing, report
from _databacks.dataset.preparing import Job, Outcome, Settings, prepare
from _databacks.extraction.reports import CONSOLE
from _util.counts import counted
from _util.errors import InputError

WORK = ".work"

Execute = Callable[..., Generator[tuple[Job, Outcome | None], None, None]]  # (work, jobs, tick), as in `workers`


def make(
    shows: Sequence[Path],
    out: Path,
    settings: Settings,
    execute: Execute,
    *,
    layout: str,
    threshold: float,
    say: Callable[[str], Any] = CONSOLE.say,
) -> list[str]:
    """Make the data set `out`, resume it, or add new videos of the shows.

    Args:
        shows: videos, and folders that are searched for videos at any depth.
        execute: runs the jobs; `workers.processes` or `workers.cluster` with their own arguments bound.
        layout: "folders" or "rrld", as in `assembly`.
        threshold: the largest disagreement of near-duplicates, as of `near_duplicates.Selection`.
        say: receives a message for each unusable video, and on the result.

    Returns:
        A sentence on each video that was skipped.

    Raises:
        InputError: there are no usable videos, or `out` cannot be written or is another data set.
    """
    videos = planning.find_videos(shows, out)
    work = out / WORK
    decisive = {**dataclasses.asdict(settings.options), "layout": layout, "near_duplicates": threshold}
    with planning.claim(out, work, decisive):
        assembly.complete(out, work)
        missing = [video for video in videos if preparing.read(work, video.key) is None]
        failures = _prepare([Job(video, work.resolve(), settings) for video in missing], execute, say, len(videos))
        added = assembly.assemble(videos, out, work, layout, threshold)
        rows = assembly.read_index(out)
        keys = dict.fromkeys([*(row.video for row in rows), *(video.key for video in videos)])
        prepared = [value for value in (preparing.read(work, key) for key in keys) if value is not None]
        skipped = [failures[video.key] for video in videos if video.key in failures]
        changed = report.write(out, rows, prepared, skipped)
    if len(failures) == len(videos):
        unusable = f"None of {counted(len(videos), 'video')} can be used"
        raise InputError(f"{unusable}; the reasons are above and in {out}/report.html.")
    count = f"{len(rows):,} triplets" if rows else "no triplets"
    if added or changed or len(missing) > len(failures):
        say(f"{out} holds {count}, {added:,} of them new.")
    else:
        say(f"{out} holds {count} already; nothing to do.")
    return skipped


def _prepare(jobs: list[Job], execute: Execute, say: Callable[[str], Any], total: int) -> dict[str, str]:
    """Prepare videos; returns a sentence on each that cannot be used, by its key."""
    failures = {}
    if not jobs:
        return failures
    with tqdm(total=total, initial=total - len(jobs), unit="video", desc="make_dataset") as bar:

        def tick(job: Job, text: str) -> None:
            bar.set_postfix_str(f"{job.video.source}: {text}")

        with contextlib.closing(execute(prepare, jobs, tick)) as results:
            for job, outcome in results:
                path = job.video.path
                if outcome is None:
                    outcome = Outcome(f"{path} ended the process that read it, perhaps for lack of memory.")
                if outcome.is_fatal:
                    raise InputError(outcome.error)
                if outcome.error:
                    said = outcome.error if str(path) in outcome.error else f"{path}: {outcome.error}"
                    failures[job.video.key] = said
                    say(f"{said} It is skipped.")
                bar.update()
    return failures
