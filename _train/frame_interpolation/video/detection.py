"""Detection of the drawings of a video: the frames that are new drawings, and the starts of shots."""

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from _train.frame_interpolation.video import scenes, stills
from _train.frame_interpolation.video.excerpt import in_source
from _train.frame_interpolation.video.results import Options
from _train.frame_interpolation.video.timeline import Drawing, Repeat
from _util import camera_holds, cuts, duplicates, video


class ReducedFrame(NamedTuple):
    """A frame of the source, reduced to detect repeats."""

    frame: video.Frame
    lab: np.ndarray | None  # as `duplicates.reduced_lab` returns it; None if repeats are not detected
    is_held: bool  # it repeats the previous drawing but for the motion of the camera


class MarkedFrame(NamedTuple):
    """A frame of the source."""

    time: Fraction
    picture: video.Frame | None  # None if it repeats the previous drawing, or only moves it with the camera
    opens_shot: bool


class SourceCount(NamedTuple):
    """Counts of a source."""

    source_frames: int
    drawings: int
    cuts: int


class FoundDrawings:
    """Iterates over the drawings of a source and their repeats, and counts them.

    Attributes:
        count: numbers of frames, drawings and cuts so far.
        scenes: start times of the shots so far, in seconds of the source.
    """

    def __init__(self, marked: Iterable[MarkedFrame], reader: video.Reader):
        self._marked, self._reader = marked, reader
        self.count = SourceCount(0, 0, 0)
        self.scenes: list[Fraction] = []

    def __iter__(self) -> Iterator[Drawing[video.Frame] | Repeat]:
        for time_, picture, opens_shot in self._marked:
            if opens_shot:
                self.scenes.append(in_source(self._reader, time_))
            frames, drawings, _ = self.count
            self.count = SourceCount(frames + 1, drawings + (picture is not None), len(self.scenes) - 1)
            yield Repeat(time_) if picture is None else Drawing(time_, picture, opens_shot)

    def end(self) -> Fraction:
        """The end time of the source; known after the last frame."""
        return cast(Fraction, self._reader.end)

    def write_scenes(self, path: Path, slowness: Fraction) -> None:
        """Write a list of the source's scenes, as `scenes.write` does; they are known after the last drawing."""
        scenes.write(path, self.scenes, in_source(self._reader, self.end()), self._reader.rate * slowness)


def find_holds(frames: Iterable[video.Frame], options: Options) -> Iterator[ReducedFrame]:
    """Reduce each frame, and find holds under a moving camera, where the options ask for either.

    As many frames are held in memory as the detector reads ahead.
    """
    if not options.dedup:
        yield from (ReducedFrame(frame, None, False) for frame in frames)
        return
    reduced = ((frame, duplicates.reduced_lab(stills.visible(frame, options.still or ()))) for frame in frames)
    held: Iterable[bool] = itertools.repeat(False)
    if options.camera_holds:
        reduced, tracked = itertools.tee(reduced)
        held = camera_holds.detect_reduced(lab for _, lab in tracked)
    for (frame, lab), is_held in zip(reduced, held, strict=False):
        yield ReducedFrame(frame, lab, is_held)


def mark(frames: Iterable[video.Frame], options: Options, reader: video.Reader | None = None) -> Iterator[MarkedFrame]:
    """Mark each frame, as `mark_reduced` does those of `find_holds`."""
    return mark_reduced(find_holds(frames, options), options, reader)


def mark_reduced(
    frames: Iterable[ReducedFrame], options: Options, reader: video.Reader | None = None
) -> Iterator[MarkedFrame]:
    """Mark each frame as a new drawing or a repeat, and the first frame of each shot.

    As many frames are held in memory as the detectors read ahead.

    Args:
        frames: of `find_holds`.
        reader: of the frames; needed if `options` lists the scenes of the source.
    """
    frames, seen = itertools.tee(frames)
    if options.scenes is None:
        opens = cuts.detect((stills.visible(one.frame, options.still or ()) for one in seen), options.cut_threshold)
    else:
        assert reader is not None
        opens = _opens_listed((one.frame for one in seen), options.scenes, reader)
    repeats: Iterable[bool] = itertools.repeat(False)
    if options.dedup:
        frames, compared = itertools.tee(frames)
        repeats = duplicates.detect_reduced(one.lab for one in compared if one.lab is not None)
    for (frame, _, is_held), opens_shot, repeats_last in zip(frames, opens, repeats, strict=False):
        is_drawing = opens_shot or not (repeats_last or is_held)
        yield MarkedFrame(frame.time, frame if is_drawing else None, opens_shot)


def _opens_listed(frames: Iterable[video.Frame], starts: Sequence[Fraction], reader: video.Reader) -> Iterator[bool]:
    """Whether each frame is the first of a listed scene; the first frame of all is."""
    half_frame, last = 1 / (2 * reader.rate), -1
    for frame in frames:
        number = bisect.bisect_right(starts, in_source(reader, frame.time + half_frame))
        yield number > last
        last = max(number, last)
