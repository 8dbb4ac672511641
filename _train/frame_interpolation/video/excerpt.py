"""Selection of what is interpolated: the time span, crop and size of a source, and a slow-motion factor."""

import contextlib
import re
from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, cast

from _util.errors import InputError

if TYPE_CHECKING:  # help texts need neither NumPy nor PyAV
    import numpy as np

    from _util import video

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")
_NUMBERS = re.compile(r"\d+([:,]\d+)*")


class Area(NamedTuple):
    """An area of a picture, in pixels; centred without x and y."""

    w: int
    h: int
    x: int | None = None
    y: int | None = None

    def slices(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns in pictures of `size` (h, w).

        Raises:
            InputError: the area exceeds the pictures.
        """
        x = (size[1] - self.w) // 2 if self.x is None else self.x
        y = (size[0] - self.h) // 2 if self.y is None else self.y
        if x < 0 or y < 0 or x + self.w > size[1] or y + self.h > size[0]:
            raise InputError(
                f"An area of {self.w}×{self.h} at {x},{y} reaches over the edge of pictures of {size[1]}×{size[0]}; "
                "choose one within (--crop, --still)."
            )
        return slice(y, y + self.h), slice(x, x + self.w)

    def view(self, pixels: "np.ndarray") -> "np.ndarray":
        """The area of a picture (h, w, c), not copied; raises as `slices` does."""
        return pixels[self.slices(pixels.shape[:2])]


class Scale(NamedTuple):
    """A size in pixels; a width of None keeps the aspect ratio."""

    w: int | None
    h: int

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The scaled size (h, w) of pictures of `size` (h, w); a width of None becomes even."""
        return self.h, self.w or max(2, 2 * round(self.h * size[1] / size[0] / 2))

    def stretch(self, size: tuple[int, int]) -> Fraction:
        """How many times as wide a pixel becomes where pictures of `size` (h, w) keep their shape; 1 but for rounding
        if both sides are scaled alike."""
        h, w = self.size(size)
        keeping = Fraction(h * size[1], size[0])
        return Fraction(1) if abs(w - keeping) <= 1 else keeping / w


class Excerpt(NamedTuple):
    start: Fraction = Fraction(0)  # seconds since the first frame of the source
    stop: Fraction | None = None
    crop: Area | None = None
    scale: Scale | None = None  # applied after the crop
    slowness: Fraction = Fraction(1)  # factor by which the duration grows


def parse_time(text: str) -> Fraction:
    """Parse a time, such as `83.5`, `1:23.5` or `0:01:23.5`, to seconds.

    Raises:
        ValueError: the text is not a time.
    """
    match = _CLOCK.fullmatch(text)
    if not match:
        raise ValueError(f"{text} is not a time; it is seconds, as 83.5, or M:S or H:M:S, as 1:23.5")
    hours, minutes, seconds = match.groups("0")
    return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)


def parse_crop(text: str) -> Area:
    """Parse an area `W:H`, centred, or `W:H:X:Y`, as in FFmpeg's filter crop.

    Raises:
        ValueError: the text is not such an area.
    """
    numbers = _numbers(text)
    if len(numbers) not in (2, 4) or 0 in numbers[:2]:
        raise ValueError(f"{text} is not an area; it is W:H or W:H:X:Y, in pixels")
    return Area(*numbers)


def parse_still(text: str) -> Area:
    """Parse an area `X,Y,W,H`.

    Raises:
        ValueError: the text is not such an area.
    """
    numbers = _numbers(text)
    if len(numbers) != 4 or 0 in numbers[2:]:
        raise ValueError(f"{text} is not an area; it is X,Y,W,H, in pixels")
    x, y, w, h = numbers
    return Area(w, h, x, y)


def parse_scale(text: str) -> Scale:
    """Parse a size `WxH`, or a height `H` that keeps the aspect ratio.

    Raises:
        ValueError: the text is not such a size.
    """
    match = re.fullmatch(r"(?:([1-9]\d*)[x×:])?([1-9]\d*)", text)
    if not match:
        raise ValueError(f"{text} is not a size; it is WIDTHxHEIGHT, or a height")
    return Scale(int(match[1]) if match[1] else None, int(match[2]))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.split("[:,]", text)] if _NUMBERS.fullmatch(text) else []


class ExcerptReader:
    """A reader of an excerpt, with the attributes of a `video.Reader`.

    Cropped or scaled frames have no `stored` frame. Times count from the first frame at or after the start of the
    excerpt; `start` is its exact time only once that frame has been read.

    Raises:
        InputError: the excerpt is empty.
    """

    def __init__(self, reader: "video.Reader", excerpt: Excerpt):
        self._reader, self._excerpt = reader, excerpt
        size = reader.size
        if excerpt.crop:
            rows, columns = excerpt.crop.slices(size)
            size = rows.stop - rows.start, columns.stop - columns.start
        self.aspect = reader.aspect
        if excerpt.scale:
            self.aspect *= excerpt.scale.stretch(size)
            size = excerpt.scale.size(size)
        start = excerpt.start
        is_known = reader.declared is not None
        stop = excerpt.stop
        if stop is None or (is_known and reader.duration < stop):
            stop = reader.duration
        if excerpt.stop is not None and excerpt.stop <= start:
            raise InputError(f"--to {float(excerpt.stop):g} s is not after --from {float(start):g} s.")
        if start and is_known and start >= reader.duration:
            raise InputError(f"{reader.path} ends at {float(reader.duration):.2f} s, before {float(start):g} s.")
        self.size = size
        self.rate = reader.rate / excerpt.slowness
        self.duration = max(stop - start, 1 / reader.rate) * excerpt.slowness
        self.start = reader.start + start
        self.end: Fraction | None = None
        self.slowness, self.offset = excerpt.slowness, start  # offset: source time of the first frame, in seconds

    def __getattr__(self, name: str):
        return getattr(self._reader, name)

    def frames(self) -> Iterator["video.Frame"]:
        """The frames of the excerpt."""
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
        assert end is not None  # either all frames were read, or `stop` was reached
        self.end = ((end if stop is None else min(end, stop)) - first) * slowness

    def _edited(self, frame: "video.Frame") -> "video.Frame":
        crop, scale = self._excerpt.crop, self._excerpt.scale
        if not crop and not scale:
            return frame
        from _util.alpha import resized

        pixels = crop.view(frame.pixels) if crop else frame.pixels
        return frame._replace(pixels=resized(pixels, self.size), stored=None)


def in_source(reader: "video.Reader | ExcerptReader", time: Fraction) -> Fraction:
    """Convert a time of a reader to seconds of its source."""
    return time / reader.slowness + reader.offset if isinstance(reader, ExcerptReader) else time
