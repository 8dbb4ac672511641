"""Evaluate methods on items: every method draws every item, and every metric compares the result with the truth.

Each item is processed by a single thread; several threads, processes or GPUs work on different items. So on a CPU the
scores are bit-exact for any number of workers, and for a run that was killed and resumed.

An item that cannot be read, drawn or measured is excluded for all methods, so that all are scored on the same items.
"""

import contextlib
import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from _databacks.triplet import Triplet
from _train.frame_interpolation.evaluation.candidates import JudgedMethod
from _train.frame_interpolation.evaluation.items import Items, JudgedItem
from _train.frame_interpolation.evaluation.measures import Measures
from _train.frame_interpolation.evaluation.pages.report import Report, ReportItem
from _train.frame_interpolation.evaluation.scores import Gathered, Row
from _train.frame_interpolation.training import elastic
from _util import flow, image, memory, places, runs, torchrun
from _util.counts import counted
from _util.errors import InputError
from _util.files import fitting
from _util.lines import difference_of_gaussians
from _util.prefetch import in_order

_BYTES_AN_ITEM = 3 << 30  # approximate peak memory of drawing and measuring one item


def device_of(methods: Sequence[JudgedMethod]) -> torch.device:
    """The device of the methods: a GPU if any of them uses one."""
    return next((method.device for method in methods if method.device.type != "cpu"), torch.device("cpu"))


class Judged(NamedTuple):
    rows: list[Row]  # by method, then by item, of the items that all methods have
    damaged: dict[str, str]  # item -> a sentence on why it is excluded


class _Outcome(NamedTuple):
    """What came of one item."""

    item: int  # its index
    rows: list[Row]
    stamp: str = ""  # of all files that the rows were computed from; empty if they were known
    error: InputError | None = None  # instead of rows


class _ItemJudge:
    """Judges items by their index, in any thread.

    Args:
        known: rows by method, item and stamp, which are not computed again.
        report: every item is added to it, if given.
    """

    def __init__(
        self,
        items: Items,
        methods: Sequence[JudgedMethod],
        measures: Measures,
        known: dict[tuple[str, str, str], Row],
        report: Report | None,
    ):
        self._items, self._methods, self._measures = items, methods, measures
        self._known, self._report = known, report
        self._lock = contextlib.nullcontext() if device_of(methods).type == "cpu" else threading.Lock()

    def __call__(self, index: int) -> _Outcome:
        name = self._items.names[index]
        try:
            stamp = self._stamp(index)
            known = [row for method in self._methods if (row := self._known.get((method.name, name, stamp)))]
            if len(known) == len(self._methods) and (self._report is None or self._report.has(name, stamp)):
                return _Outcome(index, known)
            item = self._items[index]
            with self._lock:
                truth = self._measures.prepare(item)
                drawn = {method.name: draw(method, item.triplet, self._measures) for method in self._methods}
                found = {method: self._measures.compare(frames, item, truth) for method, frames in drawn.items()}
                flows = {method.name: method.flow01(item.triplet) for method in self._methods} if self._report else {}
        except InputError as error:
            return _Outcome(index, [], error=error)
        if self._report:  # outside the `try`: a write error ends the run instead of excluding the item
            metadata = {fact: value for fact, value in item.metadata.items() if value}
            first = {method: frames[0] for method, frames in drawn.items()}
            self._report.add(ReportItem(name, metadata, found, _pictures(item, first, flows), stamp))
        return _Outcome(index, [Row(method, name, item.metadata, scores) for method, scores in found.items()], stamp)

    def _stamp(self, index: int) -> str:
        name = self._items.names[index]
        of_methods = runs.stamp_of(sorted(file for method in self._methods for file in method.sources(name)))
        return runs.digest_of([self._items.source.stamp(index), of_methods])[:12]


def judge(
    items: Items,
    methods: Sequence[JudgedMethod],
    measures: Measures,
    gathered: Gathered,
    report: Report | None = None,
    strict: bool = False,
) -> Judged | None:
    """Evaluate all methods on this process's share of the items, gather the results, and write the table.

    Args:
        gathered: rows that it already holds are not computed again.
        report: receives every item, if given.
        strict: stop at the first damaged item.

    Returns:
        All rows in the first process, None in the others.

    Raises:
        InputError: no item is left, something cannot be written, or an item is damaged and `strict` is set.
    """
    judge_item = _ItemJudge(items, methods, measures, gathered.read(), report)
    share = range(torchrun.rank(), len(items), torchrun.count())
    own: dict[int, list[Row]] = {}
    damaged: dict[str, str] = {}
    bar = tqdm(total=len(share), unit="item", disable=True if torchrun.rank() else None, leave=False)
    with bar, _one_thread_each(device_of(methods)) as (pool, workers):
        for index, rows, stamp, error in in_order(pool, judge_item, share, 2 * workers):
            if error is not None:
                if strict:
                    raise error
                damaged[items.names[index]] = str(error)
            else:
                own[index] = rows
                if stamp:
                    gathered.append(rows, stamp)
            bar.update()
    shares = elastic.gather((own, damaged))
    if torchrun.rank():
        return None
    judged = _merge(shares, items)
    gathered.write(judged.rows)
    if not judged.damaged:
        gathered.remove()
    return judged


def _merge(shares: Sequence[tuple[dict[int, list[Row]], dict[str, str]]], items: Items) -> Judged:
    """Merge the rows by item, and the damaged items, of all processes; rows are ordered by method, then by item.

    Raises:
        InputError: no item could be judged.
    """
    by_index = dict(sorted(itertools.chain.from_iterable(rows.items() for rows, _ in shares)))
    reasons = {name: reason for _, damaged in shares for name, reason in damaged.items()}
    damaged = {name: reasons[name] for name in items.names if name in reasons}
    if not by_index:
        raise InputError(
            f"None of {counted(len(items), 'item')} can be judged; the first: {next(iter(damaged.values()))}"
        )
    return Judged([row for of_method in zip(*by_index.values(), strict=True) for row in of_method], damaged)


def draw(method: JudgedMethod, triplet: Triplet, measures: Measures) -> list[Tensor]:
    """Draw the frames (3, h, w) of a triplet at the times to be measured.

    Raises:
        InputError: a frame cannot be drawn, or has values that are not finite.
    """
    frames = method.draw(triplet, measures.times(triplet.time))
    if not all(frame.isfinite().all() for frame in frames):
        raise InputError(f"{method.name} draws {triplet.name} with values that are not finite.")
    return frames


@contextlib.contextmanager
def _one_thread_each(device: torch.device) -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """A pool of single-threaded workers, and their number; the libraries' thread counts are restored afterwards."""
    torch_threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    workers = 2  # one reads while the other computes
    if device.type == "cpu":
        workers = max(1, min(torch_threads, memory.installed() // 2 // _BYTES_AN_ITEM))
    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(workers, "judging", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool, workers
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch_threads)
        cv2.setNumThreads(cv_threads)


@torch.inference_mode()
def _pictures(item: JudgedItem, drawn: dict[str, Tensor], flows: dict[str, Tensor | None]) -> dict[str, np.ndarray]:
    """The pictures that the report shows of an item, in order."""
    frame0, truth, frame1 = item.triplet.frames
    shown = {"frame 0": frame0, "truth": truth, "frame 1": frame1}
    for name, frame in drawn.items():
        frame = frame.cpu()
        shown[name] = frame
        shown[f"{name} − truth"] = (1 + frame - truth) / 2
        shown[f"{name} lines"] = _drawing(frame)
    shown["truth lines"] = _drawing(truth)
    pictures = {label: image.to_array(picture, np.uint8) for label, picture in shown.items()}
    known = {name: flow01 for name, flow01 in flows.items() if flow01 is not None}
    for name, flow01 in known.items():
        pictures["flow" if len(known) == 1 else f"{name} flow"] = flow.to_colours(flow01.cpu())
    return pictures


def _drawing(frame: Tensor) -> Tensor:
    """The lines that the chamfer distance is computed from, black on white."""
    return 1 - (difference_of_gaussians(frame[None], sigma=1.0)[0] > 0.5).float().expand(3, -1, -1)


def default_out(items: Items, methods: Sequence[JudgedMethod], settings: dict) -> Path:
    """The default path of the table.

    Args:
        settings: what else tells it from tables of data and methods of the same names, as plain values.
    """
    names = "-".join(Path(method.name).name for method in methods)
    title = f"{items.source.title}-{names}"
    return places.results("evaluation") / fitting(title, f"-{runs.digest_of(settings)[:6]}.csv")
