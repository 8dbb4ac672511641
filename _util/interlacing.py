"""Detection of interlaced and telecined video, and the FFmpeg filters that restore progressive frames.

An interlaced frame weaves two fields: one holds the even lines, the other the odd lines of another moment. Telecine
turns four frames of film into five, two of which weave fields of different film frames.

The container's flags are unreliable, so the pictures are analysed. FFmpeg's filter idet compares each field with its
neighbours in time. It reports the field order, and the field that repeats the previous frame's, which is cyclic in
telecined video. Because idet also reports a field order for progressive video with moving slanted lines, combing is
measured as well: pixels whose line stands out from both neighbouring lines, alternately up and down. It is counted in
each frame as stored, and in two frames woven from one of its fields and the other field of the previous frame. A
progressive frame combs far less as stored than rewoven.
"""

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from fractions import Fraction
from typing import Any, NamedTuple

import av
import av.filter
import numpy as np

from _util.clock import fraction

_LOOKED_AT = 150  # frames
_COLUMNS = 480  # wide frames are subsampled to no fewer
_STANDS_OUT = 12  # levels of luma
_MOVING = 0.002  # least share of moving pixels in a frame that is measured
_TELLING = 5  # least number of frames with motion
_CYCLE = 5  # video frames per four frames of film
_CYCLES = 2  # telecine cycles that must be seen; one is enough if flags agree
_REGULAR = 0.85  # least share of repeated fields at the positions of the telecine cycle
_ONE_ORDER, _ORDERED = 0.9, 0.25  # least share of the dominant order among frames with an order, and among all
_COMBS, _COMBS_IF_FLAGGED = 1.7, 2.5  # largest ratio of combing, the better weave to the stored frame
_WORSE = 1.06  # least ratio of combing, the worse weave to the better one


class Kind(Enum):
    """How frames were made."""

    PROGRESSIVE = "progressive"
    INTERLACED = "interlaced"
    TELECINED = "telecined"


class Finding(NamedTuple):
    """The result of `find`."""

    kind: Kind
    top_first: bool | None = None  # whether the even lines come first in time; None: as the flags say
    flagged: bool = False


class IdetResult(NamedTuple):
    """The result of idet for one frame."""

    order: str  # "tff", "bff", "progressive" or "undetermined"
    repeated: str  # the field that repeats the previous frame's: "top", "bottom" or "neither"


class Filters(NamedTuple):
    """A chain of FFmpeg filters."""

    chain: tuple[tuple[str, str], ...] = ()  # names and options
    frames: Fraction = Fraction(1)  # output frames per input frame


def find(frames: Iterable[av.VideoFrame]) -> Finding:
    """Detect from its first frames whether a video is interlaced or telecined."""
    idet = _Idet()
    results: list[IdetResult] = []
    combing: list[tuple[float, float, float] | None] = []
    flags = count = 0
    before = None
    for frame in itertools.islice(frames, _LOOKED_AT):
        grey = frame.reformat(format="gray")
        luma = grey.to_ndarray()[:, :: max(2, frame.width // _COLUMNS)].astype(np.int16)
        if before is not None and before.shape != luma.shape:
            break
        flags += frame.interlaced_frame
        results += idet.push(grey)
        combing.append(None if before is None else _combing(before, luma))
        before, count = luma, count + 1
    results += idet.push(None)
    flagged = 2 * flags > count
    moving = list(filter(None, combing))
    if len(moving) < _TELLING:
        return Finding(Kind.INTERLACED if flagged else Kind.PROGRESSIVE, flagged=flagged)
    repeated = [one.repeated if shares else "neither" for one, shares in zip(results, combing, strict=True)]
    if _is_telecined(repeated, 1 if flagged else _CYCLES):
        return Finding(Kind.TELECINED, _top_is_first(repeated), flagged)
    orders = Counter(one.order for one in results)
    if _has_one_order(orders) and _combs(moving, _COMBS_IF_FLAGGED if flagged else _COMBS):
        return Finding(Kind.INTERLACED, orders["tff"] > orders["bff"], flagged)
    return Finding(Kind.PROGRESSIVE, flagged=flagged)


def filters(finding: Finding, deinterlace: str, detelecine: bool) -> Filters:
    """The filters that restore progressive frames.

    Args:
        deinterlace: "auto" (according to the finding), "on" or "off".
        detelecine: apply inverse telecine (four frames from five), whatever was found.
    """
    order = {True: "tff", False: "bff", None: "auto"}[finding.top_first]
    match = ("fieldmatch", f"order={order}:combmatch=full")
    rest = ("bwdif", f"mode=send_frame:parity={order}:deint=interlaced")
    if detelecine:
        return Filters((match, rest, ("decimate", "")), Fraction(_CYCLE - 1, _CYCLE))
    if deinterlace == "on" or (deinterlace == "auto" and finding.kind is Kind.INTERLACED):
        return Filters((("bwdif", f"mode=send_frame:parity={order}:deint=all"),))
    if deinterlace == "auto" and finding.kind is Kind.TELECINED:
        return Filters((match, rest))
    return Filters()


def message(finding: Finding, deinterlace: str, detelecine: bool) -> str | None:
    """A sentence about what was found and what is done; None if there is nothing to report."""
    if detelecine:
        if finding.kind is Kind.TELECINED:
            return "is telecined: restored to the film's frames, four of five"
        return f"is {finding.kind.value} rather than telecined; as requested, four frames of five are kept"
    if finding.kind is Kind.PROGRESSIVE or deinterlace == "on":
        return None
    flag = "" if finding.flagged else " (though it is not flagged so)"
    if deinterlace == "off":
        return f"is {finding.kind.value}{flag}; as requested, its frames are not changed"
    if finding.kind is Kind.INTERLACED:
        return f"is interlaced{flag}: deinterlaced by bwdif; --deinterlace off keeps it as it is"
    return f"is telecined{flag}: its fields are matched; --detelecine also takes out the repeated frame of five"


def run(chain: Filters, frames: Iterator[av.VideoFrame], template: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Filter the frames; frames that differ from the first in size or pixel format are converted to match it."""
    first = next(frames, None)
    if first is None:
        return
    graph = av.filter.Graph()
    rate = fraction(template.average_rate) or fraction(template.guessed_rate)
    source = graph.add(
        "buffer",
        f"video_size={first.width}x{first.height}:pix_fmt={first.format.name}:time_base={fraction(template.time_base)}"
        f":frame_rate={rate}",
    )
    nodes = [graph.add(name, options or None) for name, options in (*chain.chain, ("buffersink", ""))]
    graph.link_nodes(source, *nodes).configure()
    for frame in itertools.chain([first], frames):
        if (frame.width, frame.height, frame.format.name) != (first.width, first.height, first.format.name):
            time = frame.pts
            frame = frame.reformat(first.width, first.height, first.format.name)
            frame.pts = time
        graph.push(frame)
        yield from pull(graph)
    graph.push(None)
    yield from pull(graph)


def pull(graph: av.filter.Graph) -> Iterator[Any]:
    """The video or audio frames that a graph has ready."""
    with contextlib.suppress(av.BlockingIOError, av.EOFError):
        while True:
            yield graph.pull()


class _Idet:
    """FFmpeg's filter idet, for frames of one size and format."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._count = 0

    def push(self, frame: av.VideoFrame | None) -> list[IdetResult]:
        """Pass a frame, or None to flush, and return the results that are ready; each needs the next frame."""
        if frame is None:
            if self._graph is None:
                return []
        else:
            frame.pts, frame.time_base = self._count, Fraction(1)
            self._count += 1
            self._graph = self._graph or _graph_of_idet(frame)
        self._graph.push(frame)
        filtered = (frame.metadata for frame in pull(self._graph))
        return [
            IdetResult(*(one[f"lavfi.idet.{name}.current_frame"] for name in ("single", "repeated")))
            for one in filtered
        ]


def _graph_of_idet(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    ends = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(ends, graph.add("idet"), graph.add("buffersink")).configure()
    return graph


def _combing(before: np.ndarray, luma: np.ndarray) -> tuple[float, float, float] | None:
    """Shares of moving pixels that comb: as stored, with the odd lines before, with the even ones; None if few move."""
    changed = np.abs(luma - before) > _STANDS_OUT
    moving = changed[:-2] | changed[1:-1] | changed[2:]
    count = moving.sum()
    if not count or count < _MOVING * moving.size:
        return None
    even_before, odd_before = luma.copy(), luma.copy()
    even_before[::2], odd_before[1::2] = before[::2], before[1::2]
    as_it_is, later, earlier = ((_stands_out(one) & moving).sum() / count for one in (luma, odd_before, even_before))
    return as_it_is, later, earlier


def _stands_out(luma: np.ndarray) -> np.ndarray:
    """Where a line stands out from both neighbours, and one of these does so with opposite sign, unlike a thin line."""
    above, here, below = luma[:-2], luma[1:-1], luma[2:]
    brighter = here - np.maximum(above, below) > _STANDS_OUT
    darker = np.minimum(above, below) - here > _STANDS_OUT
    combs = np.zeros(here.shape, bool)
    combs[1:] = (brighter[1:] & darker[:-1]) | (darker[1:] & brighter[:-1])
    combs[:-1] |= combs[1:]
    return combs


def _is_telecined(repeated: Sequence[str], cycles: int) -> bool:
    """Whether fields repeat as in telecine: in every five frames, the top field once and the bottom field once.

    The positions shift by one where the film is held.

    Args:
        cycles: least number of cycles that must be seen.
    """
    for field in ("top", "bottom"):
        places = _places(repeated, field)
        regular = max(places[i] + places[(i + 1) % _CYCLE] for i in range(_CYCLE))
        if regular < cycles or regular < _REGULAR * places.total():
            return False
    return True


def _top_is_first(repeated: Sequence[str]) -> bool:
    """The field order of telecined video: the later field repeats one or two frames after the earlier one."""
    (top, _), (bottom, _) = (_places(repeated, field).most_common(1)[0] for field in ("top", "bottom"))
    return (bottom - top) % _CYCLE in (1, 2)


def _places(repeated: Sequence[str], field: str) -> Counter[int]:
    return Counter(i % _CYCLE for i, one in enumerate(repeated) if one == field)


def _has_one_order(orders: Counter[str]) -> bool:
    one, other = sorted((orders["tff"], orders["bff"]))
    return other >= _ONE_ORDER * (one + other) and other >= _ORDERED * orders.total()


def _combs(combing: Sequence[tuple[float, float, float]], limit: float) -> bool:
    """Whether frames hold two moments: then one reweaving mixes adjacent fields, the other fields further apart."""
    as_it_is, later, earlier = map(sum, zip(*combing, strict=True))
    better, other = sorted((later, earlier))
    return better < limit * as_it_is and other > _WORSE * better
