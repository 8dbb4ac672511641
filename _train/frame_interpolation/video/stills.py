"""Areas of a video that are not interpolated, such as captions: they are copied from the frames of the source.

They are masked in the detection of drawings and cuts, so that a caption that appears during a hold does not split the
motion of the drawing.
"""

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from _train.frame_interpolation.video.excerpt import Area
from _train.frame_interpolation.video.source_frames import SourceFrames
from _util import alpha, duplicates
from _util.video import Frame

_GROUND = (0, 177, 64)  # chroma-key green, rare in drawings; replaces transparent pixels
_HIDDEN = 128  # grey


class Stills:
    """The content of still areas over the frames of a source.

    Args:
        areas: in the frames of the source.
        fps: frames per second of the result.
        rate: frames per second of the source.
        start: time of the first frame that is asked for; of earlier changes, only the last is kept.
    """

    def __init__(self, areas: Sequence[Area], fps: Fraction, rate: Fraction, start: Fraction = Fraction(0)):
        self._areas = areas
        self._contents = [SourceFrames(fps, rate, start) for _ in areas]

    def watch(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Pass frames through, and record changes of the areas until they are shown."""
        if not self._areas:
            yield from frames
            return
        frames, *seen = itertools.tee(frames, 1 + len(self._areas))
        repeats = [
            duplicates.detect(map(area.view, map(visible, some))) for area, some in zip(self._areas, seen, strict=True)
        ]
        for frame, *is_repeat in zip(frames, *repeats, strict=False):
            for area, content, repeats_last in zip(self._areas, self._contents, is_repeat, strict=True):
                if not repeats_last:
                    content.keep(frame.time, area.view(frame.pixels).copy())
            yield frame

    def over(self, picture: Frame | np.ndarray, drawing: Frame, number: int) -> Frame | np.ndarray:
        """Frame `number` of the result, with the areas as the source shows them at that time; numbers must increase.

        Args:
            picture: the frame, an in-between or the drawing itself.
            drawing: the source's drawing at that time.
        """
        for area, content in zip(self._areas, self._contents, strict=True):
            time, pixels = content.since(number)
            if time <= drawing.time:
                if isinstance(picture, Frame):
                    continue
                pixels = area.view(drawing.pixels)
            picture = (picture.pixels if isinstance(picture, Frame) else picture).copy()
            area.view(picture)[:] = pixels
        return picture


def visible(frame: Frame, hidden: Sequence[Area] = ()) -> np.ndarray:
    """A frame as (h, w, 3), with `hidden` areas in grey and composited over a key colour if it has alpha."""
    pixels = alpha.opaque(frame.pixels, _GROUND)
    if hidden:
        pixels = pixels.copy()
    for area in hidden:
        area.view(pixels)[:] = _HIDDEN
    return pixels
