"""Stage 3: selects the triplets of drawings that are suited for training.

video.mp4, duplicates.db → rrld.txt. A drawing is the first of the frames that show it. Within a shot, every three
successive drawings are judged by the flow from the middle one to the others (`_util.rrld`), at 360×640.
"""

import collections
import itertools
import os
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from _databacks.extraction import records
from _databacks.extraction.duplicates import read_differences
from _databacks.extraction.frames import at_constant_rate
from _databacks.extraction.options import ExtractionOptions
from _databacks.extraction.reports import CONSOLE, StageReport
from _databacks.extraction.triplets import ExtractedTriplet, name_of, read_triplets, write_triplets
from _util import cuts, duplicates, image, rrld
from _util.files import writing
from _util.pixels import resize
from _util.prefetch import ahead
from _util.video import Reader

# From two frames (1, 3, h, w) RGB in [0, 1], on the CPU, to flow01 and flow10, (1, 2, h, w), x then y in pixels, on any
# device; called from several threads.
FlowEstimator = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
_FLOWS = 2  # estimated at once


class NumberedDrawing(NamedTuple):
    """A drawing, with the number of the first frame that shows it."""

    number: int
    cut: int
    tensor: Tensor  # (1, 3, 360, 640) RGB in [0, 1]


Three = tuple[NumberedDrawing, NumberedDrawing, NumberedDrawing]


def rrld_filter(
    out: Path, flow: FlowEstimator, options: ExtractionOptions, report: StageReport = CONSOLE
) -> list[ExtractedTriplet]:
    """Write rrld.txt into the folder `out` and return what it lists.

    Raises:
        InputError: an earlier stage is not finished, its result is damaged, or something cannot be written.
    """
    path, journal = out / "rrld.txt", out / ".rrld-partial.txt"
    record = records.Record(
        path,
        journal,
        video=records.fingerprint(out / "video.mp4"),
        duplicates=records.read(out / "duplicates.db")["made_from"],
        flow=options.flow,
        repeats=options.repeats,
        sensitivity=options.sensitivity,
        cut_threshold=options.cut_threshold,
        thresholds=options.thresholds,
        one_per_cut=options.one_per_cut,
    )
    if record.is_finished(report):
        return read_triplets(out)
    differences = read_differences(out)
    record.begin(report)
    starts: list[int] = []
    drawings = _drawings(_marked(out, differences, options, report), starts, options.cut_threshold)
    judged = list(_judge(drawings, flow, options.thresholds, journal))
    passed = [triplet for triplet, is_accepted in judged if is_accepted]
    accepted = _best_of_each_cut(passed) if options.one_per_cut else passed
    write_triplets(path, accepted)
    record.finish(cuts=starts, judged=len(judged), accepted=len(accepted))
    rejected = [triplet for triplet, is_accepted in judged if not is_accepted]
    report.say(
        f"{path}: {len(accepted) or 'none'} of {len(judged)} triplets accepted, in {len(starts)} shots."
        + _rejections(rejected, options.thresholds, len(passed) - len(accepted))
    )
    return read_triplets(out)


def _frames(out: Path) -> Iterator[tuple[int, np.ndarray]]:
    for number, pixels in at_constant_rate(Reader(out / "video.mp4")):
        yield number, resize(pixels, rrld.SIZE)


def _marked(
    out: Path, differences: list[tuple[int, float, float]], options: ExtractionOptions, report: StageReport
) -> Iterator[tuple[int, np.ndarray, bool]]:
    """Each frame of the video, and whether it repeats the drawing before it, as the options say to find it."""
    frames = report.bar(_frames(out), total=len(differences) + 1, unit="frame", desc="rrld_filter")
    if options.repeats != "published":
        return _detected(frames)
    repeats = {
        number
        for number, *norms in differences
        if duplicates.is_duplicate(*(options.sensitivity * norm for norm in norms))
    }
    return ((number, pixels, number in repeats) for number, pixels in frames)


def _detected(frames: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray, bool]]:
    """Each frame, and whether it repeats the drawing before it, by the detector that videos are interpolated with."""
    frames, seen = itertools.tee(frames)
    repeats = duplicates.detect(pixels for _, pixels in seen)
    for (number, pixels), is_repeat in zip(frames, repeats, strict=True):
        yield number, pixels, is_repeat


def _drawings(
    frames: Iterable[tuple[int, np.ndarray, bool]], starts: list[int], threshold: float | None
) -> Iterator[NumberedDrawing]:
    """The frames that begin a shot or repeat nothing; the numbers of those that begin a shot are added to `starts`."""
    frames, seen = itertools.tee(frames)
    begins = cuts.detect((pixels for _, pixels, _ in seen), threshold)
    for is_first, (number, pixels, is_repeat) in zip(begins, frames, strict=True):
        if is_first:
            starts.append(number)
        if is_first or not is_repeat:
            yield NumberedDrawing(number, len(starts) - 1, image.to_tensor(pixels)[None])


def _judge(
    drawings: Iterator[NumberedDrawing], flow: FlowEstimator, thresholds: dict[str, float], journal: Path
) -> Iterator[tuple[ExtractedTriplet, bool]]:
    """Every three successive drawings of a shot, and whether they are accepted.

    Verdicts are stored in the journal, and are not computed again.
    """
    known = _read_journal(journal)
    with writing(journal), journal.open("a", buffering=1) as file, ThreadPoolExecutor(_FLOWS) as pool:
        for drawn, flows in _with_flows(_in_threes(ahead(drawings)), flow, known, pool):
            numbers = drawn[0].number, drawn[1].number, drawn[2].number
            name = name_of(numbers)
            if flows:
                (_, to_previous), (to_next, _) = (future.result() for future in flows)
                found = rrld.judge(to_previous, to_next, drawn[1].tensor, **thresholds)
                known[name] = found.rrld, found.coverage, found.accepted
                file.write(f"{name},{found.rrld!r},{found.coverage!r},{int(found.accepted)}\n")
            value, coverage, is_accepted = known[name]
            yield ExtractedTriplet(name, numbers, value, coverage, drawn[1].cut), is_accepted


def _in_threes(drawings: Iterator[NumberedDrawing]) -> Iterator[Three]:
    recent: collections.deque[NumberedDrawing] = collections.deque(maxlen=3)
    for drawing in drawings:
        if recent and recent[-1].cut != drawing.cut:
            recent.clear()
        recent.append(drawing)
        if len(recent) == 3:
            first, middle, last = recent
            yield first, middle, last


def _with_flows(
    threes: Iterator[Three], flow: FlowEstimator, known: Container[str], pool: Executor
) -> Iterator[tuple[Three, tuple[Future, Future] | None]]:
    """Triples of drawings, with futures of the flows between the first two and the last two; None if in `known`."""
    begun: collections.deque[tuple[Three, tuple[Future, Future] | None]] = collections.deque()
    latest, coming = None, None  # the last drawing that flow was requested for, and that flow
    for first, middle, last in threes:
        flows = None
        if name_of((first.number, middle.number, last.number)) not in known:
            before = (
                coming if coming is not None and latest is middle else pool.submit(flow, first.tensor, middle.tensor)
            )
            latest, coming = last, pool.submit(flow, middle.tensor, last.tensor)
            flows = before, coming
        begun.append(((first, middle, last), flows))
        if len(begun) > _FLOWS:
            yield begun.popleft()
    yield from begun


def _read_journal(path: Path) -> dict[str, tuple[float, float, bool]]:
    """Read RRLD, coverage and verdict by name; an incomplete last line is cut off the file, which needs no space."""
    if not path.exists():
        return {}
    with writing(path):
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(path, len(whole))
    rows = (line.split(",") for line in whole.decode().splitlines())
    return {name: (float(value), float(coverage), accepted == "1") for name, value, coverage, accepted in rows}


def _rejections(rejected: Iterable[ExtractedTriplet], thresholds: dict[str, float], not_best: int) -> str:
    """A sentence that tells why triplets were rejected, `not_best` of them for better ones; "" if there are none."""
    limits, reasons = rrld.Thresholds(**thresholds), collections.Counter[str]()
    for triplet in rejected:
        if not triplet.coverage > limits.smallest_share:
            reasons["move too little"] += 1
        elif not triplet.rrld < limits.largest_rrld:
            reasons["move unevenly"] += 1
        else:
            reasons["are pans, cover too much or are credits"] += 1
    if not_best:
        reasons["are not the best of their shots"] = not_best
    return f" Rejected: {', '.join(f'{count} {reason}' for reason, count in reasons.items())}." if reasons else ""


def _best_of_each_cut(triplets: list[ExtractedTriplet]) -> list[ExtractedTriplet]:
    best: dict[int, ExtractedTriplet] = {}
    for triplet in triplets:
        if triplet.cut not in best or triplet.rrld < best[triplet.cut].rrld:
            best[triplet.cut] = triplet
    return list(best.values())
