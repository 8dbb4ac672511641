"""Interlaced and telecined video: found out, and made whole frames by FFmpeg's own filters.

An interlaced frame is woven of two fields, the even lines of one moment and the odd lines of the next. Film is
telecined when four of its frames become five woven ones, of which two mix fields of different frames.

Flags tell of it, but not reliably, so pictures are asked: where something moves, lines that stand out from both their
neighbours in turn (combing) are counted in each frame as it is, and in the frames woven of a field of it and the other
field of the frame before. What comes from one moment combs less as it is than woven in any other way. What comes from
two combs no less than one of the other weaves; and that one shows which field is the earlier.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from enum import Enum
from fractions import Fraction
from typing import NamedTuple

import av
import av.filter
import numpy as np

_LOOKED_AT = 150  # frames
_COLUMNS = 480  # no fewer of a wide frame
_STANDS_OUT = 12  # levels of luma
_MOVING = 0.002  # share of pixels from which on a frame counts
_TELLING = 5  # frames that must tell something
_CYCLE = 5  # frames that four of film become
_CYCLES = 3  # that must tell the same; of short video, fewer if flags agree
_WINDOW = 8 * _CYCLE
_BETTER, _AS_GOOD, _WORSE = 0.75, 1.15, 1.3  # combing of other weaves, over that of the frame as it is


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


class Filters(NamedTuple):
    """What frames go through, by names and options of FFmpeg."""

    chain: tuple[tuple[str, str], ...] = ()
    frames: Fraction = Fraction(1)  # that come out for each that goes in


def find(frames: Iterable[av.VideoFrame]) -> Finding:
    """Find out how the first frames of a video were made."""
    combing: list[tuple[float, float, float] | None] = []
    flags = 0
    before = None
    for frame in itertools.islice(frames, _LOOKED_AT):
        flags += frame.interlaced_frame
        luma = frame.to_ndarray(format="gray")[:, :: max(2, frame.width // _COLUMNS)].astype(np.int16)
        if before is not None and before.shape == luma.shape:
            combing.append(_combing(before, luma))
        before = luma
    flagged = 2 * flags > len(combing) + 1
    woven = [None if shares is None else _is_woven(*shares) for shares in combing]
    telling = [one for one in woven if one is not None]
    if len(telling) < _TELLING:
        return Finding(Kind.INTERLACED if flagged else Kind.PROGRESSIVE, flagged=flagged)
    if _is_cyclic(woven, 1 if flagged else _CYCLES):
        kind = Kind.TELECINED
    elif np.mean(telling) >= 0.5:
        kind = Kind.INTERLACED
    else:
        return Finding(Kind.PROGRESSIVE, flagged=flagged)
    later, earlier = (sum(shares[i] for shares in combing if shares) for i in (1, 2))
    return Finding(kind, bool(later < earlier), flagged)


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
    rate = template.average_rate or template.guessed_rate
    last = graph.add(
        "buffer",
        f"video_size={first.width}x{first.height}:pix_fmt={first.format.name}:time_base={template.time_base}"
        f":frame_rate={rate}",
    )
    for name, options in (*chain.chain, ("buffersink", "")):
        following = graph.add(name, options or None)
        last.link_to(following)
        last = following
    graph.configure()
    for frame in itertools.chain([first], frames):
        if (frame.width, frame.height, frame.format.name) != (first.width, first.height, first.format.name):
            time = frame.pts
            frame = frame.reformat(first.width, first.height, first.format.name)
            frame.pts = time
        graph.push(frame)
        yield from _pull(graph)
    graph.push(None)
    yield from _pull(graph)


def _pull(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    with contextlib.suppress(av.BlockingIOError, av.EOFError):
        while True:
            yield graph.vpull()


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


def _is_woven(as_it_is: float, later: float, earlier: float) -> bool:
    """Whether a frame comes from two moments."""
    least, most = sorted((later, earlier))
    return least < _BETTER * as_it_is or (least < _AS_GOOD * as_it_is and most > _WORSE * as_it_is)


def _is_cyclic(woven: list[bool | None], cycles: int) -> bool:
    """Whether the same of every five frames are woven in at least so many cycles, and others are not."""
    windows = [woven[i : i + _WINDOW] for i in range(0, max(1, len(woven) - _WINDOW // 2), _WINDOW)]
    cyclic = 0
    for window in windows:
        shares = []
        for phase in range(_CYCLE):
            telling = [one for one in window[phase::_CYCLE] if one is not None]
            if len(telling) >= max(cycles, min(_CYCLES, len(window) // _CYCLE)):
                shares.append(np.mean(telling))
        cyclic += len(shares) > 1 and max(shares) >= 0.75 and min(shares) <= 0.25
    return 2 * cyclic > len(windows)
