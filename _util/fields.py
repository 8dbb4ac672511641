"""Interlaced and telecined video: found out, and made whole frames by FFmpeg's own filters.

An interlaced frame is woven of two fields, the even lines of one moment and the odd lines of the next. Film is
telecined when four of its frames become five woven ones, of which two mix fields of different frames.

Flags tell of it, but not reliably, so the pictures are judged, by two measures. FFmpeg's filter idet compares each
field with those before and after it: it gives the order of fields, and which one repeats that of the frame before, in
which telecine has a cycle. It finds an order of fields in progressive video with moving slanted lines, too. So combing
is measured: lines that stand out from both their neighbours in turn are counted in each frame as it is, and in the
frames woven of a field of it and the other field of the frame before. What comes from one moment combs far less as it
is than woven otherwise.
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
_COLUMNS = 480  # no fewer of a wide frame
_STANDS_OUT = 12  # levels of luma
_MOVING = 0.002  # share of pixels from which on a frame counts
_TELLING = 5  # frames that must move
_CYCLE = 5  # frames that four of film become
_CYCLES = 2  # that must be seen; one is enough if flags agree
_REGULAR = 0.85  # share of repeated fields that are where telecine has them
_ONE_ORDER, _ORDERED = 0.9, 0.25  # shares of the frames that have an order, and of all
_COMBS, _COMBS_IF_FLAGGED = 1.7, 2.5  # combing of the better weave, over that of the frame as it is, at most
_WORSE = 1.06  # combing of the other weave, over that of the better one, at least


class Kind(Enum):
    """How frames were made."""

    PROGRESSIVE = "progressive"
    INTERLACED = "interlaced"
    TELECINED = "telecined"


class Finding(NamedTuple):
    """What was found out of a video."""

    kind: Kind
    top_first: bool | None = None  # whether the even lines are the earlier; None: as the flags say
    flagged: bool = False


class Judgement(NamedTuple):
    """What idet says of a frame."""

    order: str  # "tff", "bff", "progressive" or "undetermined"
    repeated: str  # the field that is as in the frame before: "top", "bottom" or "neither"


class Filters(NamedTuple):
    """What frames go through, by names and options of FFmpeg."""

    chain: tuple[tuple[str, str], ...] = ()
    frames: Fraction = Fraction(1)  # that come out for each that goes in


def find(frames: Iterable[av.VideoFrame]) -> Finding:
    """Find out how the first frames of a video were made."""
    judge = _Judge()
    judgements: list[Judgement] = []
    combing: list[tuple[float, float, float] | None] = []
    flags = count = 0
    before = None
    for frame in itertools.islice(frames, _LOOKED_AT):
        grey = frame.reformat(format="gray")
        luma = grey.to_ndarray()[:, :: max(2, frame.width // _COLUMNS)].astype(np.int16)
        if before is not None and before.shape != luma.shape:
            break
        flags += frame.interlaced_frame
        judgements += judge.push(grey)
        combing.append(None if before is None else _combing(before, luma))
        before, count = luma, count + 1
    judgements += judge.push(None)
    flagged = 2 * flags > count
    moving = list(filter(None, combing))
    if len(moving) < _TELLING:
        return Finding(Kind.INTERLACED if flagged else Kind.PROGRESSIVE, flagged=flagged)
    repeated = [one.repeated if shares else "neither" for one, shares in zip(judgements, combing, strict=True)]
    if _is_telecined(repeated, 1 if flagged else _CYCLES):
        return Finding(Kind.TELECINED, _top_is_first(repeated), flagged)
    orders = Counter(one.order for one in judgements)
    if _has_one_order(orders) and _combs(moving, _COMBS_IF_FLAGGED if flagged else _COMBS):
        return Finding(Kind.INTERLACED, orders["tff"] > orders["bff"], flagged)
    return Finding(Kind.PROGRESSIVE, flagged=flagged)


def filters(finding: Finding, deinterlace: str, detelecine: bool) -> Filters:
    """What makes whole frames of what was found.

    Args:
        deinterlace: "auto", as found; "on", "off".
        detelecine: bring telecined film back to its 24 frames, whatever was found.
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
    """A sentence about what was found and is done."""
    if detelecine:
        if finding.kind is Kind.TELECINED:
            return "is telecined: brought back to the frames of the film, four of five"
        return f"is {finding.kind.value} rather than telecined; as asked, four frames of five are taken"
    if finding.kind is Kind.PROGRESSIVE or deinterlace == "on":
        return None
    flag = "" if finding.flagged else " (though it is not flagged so)"
    if deinterlace == "off":
        return f"is {finding.kind.value}{flag}; as asked, its frames are taken as they are"
    if finding.kind is Kind.INTERLACED:
        return f"is interlaced{flag}: deinterlaced by bwdif; --deinterlace off takes it as it is"
    return f"is telecined{flag}: its fields are matched; --detelecine also takes out the repeated frame of five"


def run(chain: Filters, frames: Iterator[av.VideoFrame], template: av.VideoStream) -> Iterator[av.VideoFrame]:
    """The frames through the filters; those of another size or format than the first are brought to it."""
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
    """The frames, of pictures or of sound, that have come through a graph so far."""
    with contextlib.suppress(av.BlockingIOError, av.EOFError):
        while True:
            yield graph.pull()


class _Judge:
    """FFmpeg's filter idet, to which frames of one size and format are given."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._count = 0

    def push(self, frame: av.VideoFrame | None) -> list[Judgement]:
        """What it has to say once it has a frame, or has had the last (None); it needs the frame after each."""
        if frame is None:
            if self._graph is None:
                return []
        else:
            frame.pts, frame.time_base = self._count, Fraction(1)
            self._count += 1
            self._graph = self._graph or _graph_of_idet(frame)
        self._graph.push(frame)
        said = (frame.metadata for frame in pull(self._graph))
        return [
            Judgement(*(one[f"lavfi.idet.{name}.current_frame"] for name in ("single", "repeated"))) for one in said
        ]


def _graph_of_idet(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    ends = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(ends, graph.add("idet"), graph.add("buffersink")).configure()
    return graph


def _combing(before: np.ndarray, luma: np.ndarray) -> tuple[float, float, float] | None:
    """Shares of moving pixels that comb: as it is, with the odd lines before, with the even lines before."""
    changed = np.abs(luma - before) > _STANDS_OUT
    moving = changed[:-2] | changed[1:-1] | changed[2:]
    count = moving.sum()
    if count < _MOVING * moving.size:
        return None
    even_before, odd_before = luma.copy(), luma.copy()
    even_before[::2], odd_before[1::2] = before[::2], before[1::2]
    as_it_is, later, earlier = ((_stands_out(one) & moving).sum() / count for one in (luma, odd_before, even_before))
    return as_it_is, later, earlier


def _stands_out(luma: np.ndarray) -> np.ndarray:
    """Where a line stands out from both its neighbours and one of them does so the other way, as no thin line does."""
    above, here, below = luma[:-2], luma[1:-1], luma[2:]
    brighter = here - np.maximum(above, below) > _STANDS_OUT
    darker = np.minimum(above, below) - here > _STANDS_OUT
    combs = np.zeros(here.shape, bool)
    combs[1:] = (brighter[1:] & darker[:-1]) | (darker[1:] & brighter[:-1])
    combs[:-1] |= combs[1:]
    return combs


def _is_telecined(repeated: Sequence[str], cycles: int) -> bool:
    """Whether fields repeat as in telecine: once in five frames the top one, and once the bottom one.

    Which frames these are shifts by one where film is held.

    Args:
        cycles: that must be seen.
    """
    for field in ("top", "bottom"):
        places = _places(repeated, field)
        regular = max(places[i] + places[(i + 1) % _CYCLE] for i in range(_CYCLE))
        if regular < cycles or regular < _REGULAR * places.total():
            return False
    return True


def _top_is_first(repeated: Sequence[str]) -> bool:
    """Of telecine: the earlier field is repeated where two frames of film first meet, the later one soon after."""
    (top, _), (bottom, _) = (_places(repeated, field).most_common(1)[0] for field in ("top", "bottom"))
    return (bottom - top) % _CYCLE in (1, 2)


def _places(repeated: Sequence[str], field: str) -> Counter[int]:
    return Counter(i % _CYCLE for i, one in enumerate(repeated) if one == field)


def _has_one_order(orders: Counter[str]) -> bool:
    one, other = sorted((orders["tff"], orders["bff"]))
    return other >= _ONE_ORDER * (one + other) and other >= _ORDERED * orders.total()


def _combs(combing: Sequence[tuple[float, float, float]], limit: float) -> bool:
    """Whether frames come from two moments, of which one weave mixes neighbours, the other those that are far apart."""
    as_it_is, later, earlier = map(sum, zip(*combing, strict=True))
    better, other = sorted((later, earlier))
    return better < limit * as_it_is and other > _WORSE * better
