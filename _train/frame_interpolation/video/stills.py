"""Areas of a video that are not interpolated, such as captions: they are copied from the frames of the source.

They are hidden where drawings and cuts are looked for, so that a caption that comes in the middle of a hold does not
divide the motion of what is drawn.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from _train.frame_interpolation.video.excerpt import Area
from _util import alpha, duplicates
from _util.video import Frame

_GROUND = (0, 177, 64)  # the green of studios, which few drawings have: shows where pixels are clear
_HIDDEN = 128  # grey
_NEAR = Fraction(1, 20)  # of a new frame: so near to a frame of the source, that is shown


class _StillChange(NamedTuple):
    """An area begins to show something else."""

    time: Fraction
    pixels: np.ndarray


class Stills:
    """What areas show, as the frames of a source go by.

    Args:
        areas: of its frames.
        fps: frames a second of the result.
    """

    def __init__(self, areas: Sequence[Area], fps: Fraction):
        self._areas, self._fps = areas, fps
        self._coming: list[deque[_StillChange]] = [deque() for _ in areas]
        self._last: list[_StillChange | None] = [None for _ in areas]

    def watch(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames; those that change an area are remembered until they have been shown."""
        if not self._areas:
            yield from frames
            return
        frames, *seen = itertools.tee(frames, 1 + len(self._areas))
        repeats = [duplicates.detect(_cut_out(area, some)) for area, some in zip(self._areas, seen, strict=True)]
        for frame, *is_repeat in zip(frames, *repeats, strict=False):
            for area, coming, repeats_last in zip(self._areas, self._coming, is_repeat, strict=True):
                if not repeats_last:
                    coming.append(_StillChange(frame.time, frame.pixels[area.slices(frame.pixels.shape[:2])].copy()))
            yield frame

    def over(self, picture: Frame | np.ndarray, drawing: Frame, number: int) -> Frame | np.ndarray:
        """Frame `number` of the result with the areas as the source shows them then; numbers rise.

        Args:
            picture: the frame, drawn or the drawing itself.
            drawing: that is shown, or is being left.
        """
        for i, area in enumerate(self._areas):
            change = self._at(i, (number + _NEAR) / self._fps)
            if change is not None and change.time > drawing.time:
                pixels = change.pixels
            elif isinstance(picture, Frame):
                continue
            else:
                pixels = drawing.pixels[area.slices(drawing.pixels.shape[:2])]
            picture = (picture.pixels if isinstance(picture, Frame) else picture).copy()
            picture[area.slices(picture.shape[:2])] = pixels
        return picture

    def _at(self, i: int, time: Fraction) -> _StillChange | None:
        """The last change of an area until a time."""
        while self._coming[i] and self._coming[i][0].time <= time:
            self._last[i] = self._coming[i].popleft()
        return self._last[i]


def visible(frame: Frame, hidden: Sequence[Area] = ()) -> np.ndarray:
    """(h, w, 3): what is seen of a frame but for areas, clear pixels in a colour of their own."""
    pixels = frame.pixels
    if pixels.shape[2] == 4:
        pixels = alpha.over(pixels[:, :, :3], pixels[:, :, 3], _GROUND)
    if hidden:
        pixels = pixels.copy()
    for area in hidden:
        pixels[area.slices(pixels.shape[:2])] = _HIDDEN
    return pixels


def _cut_out(area: Area, frames: Iterable[Frame]) -> Iterator[np.ndarray]:
    for frame in frames:
        yield visible(frame)[area.slices(frame.pixels.shape[:2])]
