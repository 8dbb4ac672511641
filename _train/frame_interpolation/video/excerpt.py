"""What of a source is interpolated: from when to when, which part of its pictures, at which size, and how slowly."""

import contextlib
import re
from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, cast

from _util.errors import InputError

if TYPE_CHECKING:  # help texts need no PyAV
    from _util import video

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")
_NUMBERS = re.compile(r"\d+([:,]\d+)*")


class Area(NamedTuple):
    """A part of a picture, in pixels; without x and y, in the middle."""

    w: int
    h: int
    x: int | None = None
    y: int | None = None

    def slices(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns, of pictures of `size` (h, w).

        Raises:
            InputError: it reaches over their edges.
        """
        x = (size[1] - self.w) // 2 if self.x is None else self.x
        y = (size[0] - self.h) // 2 if self.y is None else self.y
        if x < 0 or y < 0 or x + self.w > size[1] or y + self.h > size[0]:
            raise InputError(
                f"An area of {self.w}×{self.h} at {x},{y} reaches over the edge of pictures of {size[1]}×{size[0]}; "
                "choose one within (--crop, --still)."
            )
        return slice(y, y + self.h), slice(x, x + self.w)


class Scale(NamedTuple):
    """A size in pixels; of None, that which keeps the proportions."""

    w: int | None
    h: int

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of pictures that were of `size`, (h, w); a width that is not given becomes even."""
        return self.h, self.w or max(2, 2 * round(self.h * size[1] / size[0] / 2))


class Excerpt(NamedTuple):
    start: Fraction = Fraction(0)  # seconds since the first frame of the source
    stop: Fraction | None = None
    crop: Area | None = None
    scale: Scale | None = None  # of what is cropped
    slowness: Fraction = Fraction(1)  # how many times as long as it was

    @property
    def is_partial(self) -> bool:
        """Whether something is left out before or after."""
        return self.start > 0 or self.stop is not None


def parse_time(text: str) -> Fraction:
    """Seconds of `83.5`, `1:23.5` or `0:01:23.5`.

    Raises:
        ValueError: it is not a time.
    """
    match = _CLOCK.fullmatch(text)
    if not match:
        raise ValueError(f"{text} is not a time; it is seconds, as 83.5, or M:S or H:M:S, as 1:23.5")
    hours, minutes, seconds = match.groups("0")
    return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)


def parse_crop(text: str) -> Area:
    """An area of `W:H`, in the middle, or `W:H:X:Y`, as FFmpeg's filter takes it.

    Raises:
        ValueError: it is none.
    """
    numbers = _numbers(text)
    if len(numbers) not in (2, 4) or 0 in numbers[:2]:
        raise ValueError(f"{text} is not an area; it is W:H or W:H:X:Y, in pixels")
    return Area(*numbers)


def parse_still(text: str) -> Area:
    """An area of `X,Y,W,H`.

    Raises:
        ValueError: it is none.
    """
    numbers = _numbers(text)
    if len(numbers) != 4 or 0 in numbers[2:]:
        raise ValueError(f"{text} is not an area; it is X,Y,W,H, in pixels")
    x, y, w, h = numbers
    return Area(w, h, x, y)


def parse_scale(text: str) -> Scale:
    """A size of `WxH`, or of `H` with the proportions kept.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"(?:([1-9]\d*)[x×:])?([1-9]\d*)", text)
    if not match:
        raise ValueError(f"{text} is not a size; it is WIDTHxHEIGHT, or a height")
    return Scale(int(match[1]) if match[1] else None, int(match[2]))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.split("[:,]", text)] if _NUMBERS.fullmatch(text) else []


class ExcerptReader:
    """A reader of what is selected: its attributes are those of a `video.Reader`.

    Frames that are cropped or scaled are no longer as they were stored. Time begins with the first frame at or after
    the start; `start`, of it, is known once it has been read.

    Raises:
        InputError: nothing is selected.
    """

    def __init__(self, reader: "video.Reader", excerpt: Excerpt):
        self._reader, self._excerpt = reader, excerpt
        size = reader.size
        if excerpt.crop:
            rows, columns = excerpt.crop.slices(size)
            size = rows.stop - rows.start, columns.stop - columns.start
        if excerpt.scale:
            size = excerpt.scale.size(size)
        start = excerpt.start
        stop = reader.duration if excerpt.stop is None else min(excerpt.stop, reader.duration)
        if excerpt.stop is not None and excerpt.stop <= start:
            raise InputError(f"--to {float(excerpt.stop):g} s is not after --from {float(start):g} s.")
        if start and start >= reader.duration:
            raise InputError(f"{reader.path} ends at {float(reader.duration):.2f} s, before {float(start):g} s.")
        self.size = size
        self.rate = reader.rate / excerpt.slowness
        self.duration = max(stop - start, 1 / reader.rate) * excerpt.slowness
        self.start = reader.start + start
        self.end: Fraction | None = None
        self.slowness, self.offset = excerpt.slowness, start  # seconds of the source at which the first frame is

    def __getattr__(self, name: str):
        return getattr(self._reader, name)

    def frames(self) -> Iterator["video.Frame"]:
        """The frames that are selected."""
        stop, slowness = self._excerpt.stop, self._excerpt.slowness
        first: Fraction | None = None
        self.end = None
        frames = cast("Generator[video.Frame, None, None]", self._reader.frames(self._excerpt.start))
        with contextlib.closing(frames):
            for frame in frames:
                if stop is not None and frame.time >= stop:
                    break
                if first is None:
                    first = frame.time
                    self.offset, self.start = first, self._reader.start + first
                yield self._edited(frame)._replace(time=(frame.time - first) * slowness)
        if first is None:
            raise InputError(f"{self._reader.path} has no frame from {float(self._excerpt.start):g} s on.")
        end = self._reader.end if self._reader.end is not None else stop
        assert end is not None  # either all frames were read, or the stop was met
        self.end = ((end if stop is None else min(end, stop)) - first) * slowness

    def _edited(self, frame: "video.Frame") -> "video.Frame":
        crop, scale = self._excerpt.crop, self._excerpt.scale
        if not crop and not scale:
            return frame
        from _util.alpha import resized

        pixels = frame.pixels[crop.slices(frame.pixels.shape[:2])] if crop else frame.pixels
        return frame._replace(pixels=resized(pixels, self.size), stored=None)


def in_source(reader: "video.Reader | ExcerptReader", time: Fraction) -> Fraction:
    """The second of the source that is shown at `time`, a time of its reader."""
    return time / reader.slowness + reader.offset if isinstance(reader, ExcerptReader) else time
