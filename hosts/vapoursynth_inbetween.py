"""A function for VapourSynth scripts: a clip at another frame rate, with the frames that `interpolate_video` draws.

>>> import sys; sys.path.append("/path/to/the/project")
>>> from hosts.vapoursynth_inbetween import interpolate
>>> clip = clip.resize.Bicubic(format=vs.RGB24, matrix_in_s="709")
>>> clip = interpolate(clip, times_fps=2)
"""

import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import vapoursynth as vs

from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.video.detection import mark
from _train.frame_interpolation.video.results import Options
from _train.frame_interpolation.video.timeline import Drawing, stretches
from _util.video import Frame

_FORMATS = {vs.RGB24: np.uint8, vs.RGB48: np.uint16}
_ROUNDING = Fraction(2, 1000)  # seconds by which containers may round durations


class _Source(NamedTuple):
    """The frames of the clip that a new frame is drawn from."""

    first: int
    second: int
    time: float  # between them, 0 where the first is shown as it is


def interpolate(
    clip: vs.VideoNode,
    fps: Fraction | float | str | None = None,
    times_fps: Fraction | float | str = 2,
    *,
    dedup: bool = True,
    camera_holds: bool = True,
    cut_threshold: float | None = None,
    interpolator: Interpolator | None = None,
) -> vs.VideoNode:
    """Convert a clip to another frame rate.

    The clip is read once from start to end when the script is evaluated, to find drawings, holds and cuts; frames are
    drawn on request, in any order.

    Args:
        clip: RGB24 or RGB48 of a constant rate and size.
        fps: frames per second of the result, such as 60 or "60000/1001"; None: `times_fps` times those of the clip.
        dedup, camera_holds, cut_threshold: as the options of `interpolate_video`.
        interpolator: draws the frames (default: `Interpolator()`).

    Raises:
        vs.Error: the clip has another format, no constant rate or size, or frames that last longer than others; or the
            rate is not a number above 0.
    """
    if clip.format is None or clip.format.id not in _FORMATS or not clip.width:
        raise vs.Error("inbetween: the clip must be RGB24 or RGB48 of one size; convert it with clip.resize.Bicubic.")
    if not clip.fps:
        raise vs.Error("inbetween: the clip needs a constant rate; give it one with clip.std.AssumeFPS.")
    rate = Fraction(clip.fps)
    fps = _fraction(times_fps) * rate if fps is None else _fraction(fps)
    if fps <= 0:
        raise vs.Error("inbetween: the rate must be more than 0 frames a second.")
    options = Options(dedup=dedup, camera_holds=camera_holds, cut_threshold=cut_threshold)
    sources = _plan(clip, rate, fps, options)
    return _drawn(clip, fps, sources, interpolator or Interpolator())


def _fraction(value: Fraction | float | str) -> Fraction:
    """A rate as it is written: 59.94 is 2997/50."""
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise vs.Error(f"inbetween: the rate {value!r} is not a number, such as 60 or 60000/1001.") from error


def _plan(clip: vs.VideoNode, rate: Fraction, fps: Fraction, options: Options) -> list[_Source]:
    """The source frames and the time of each new frame."""
    sources: list[_Source] = []
    end = clip.num_frames / rate
    for stretch in stretches(
        _drawings(clip, rate, options), lambda: end, fps, rate=rate, longest_hold=options.longest_hold
    ):
        sources += [_Source(stretch.picture, stretch.picture, 0.0) for _ in stretch.held]
        if stretch.following is not None:
            sources += [_Source(stretch.picture, stretch.following, t) for _, t in stretch.moving]
    return sources


def _drawings(clip: vs.VideoNode, rate: Fraction, options: Options) -> Iterator[Drawing[int]]:
    frames = (Frame(i / rate, _pixels(frame)) for i, frame in enumerate(_evenly_timed(clip)))
    for i, marked in enumerate(mark(frames, options)):
        if marked.picture is not None:
            yield Drawing(marked.time, i, marked.opens_shot)


def _evenly_timed(clip: vs.VideoNode) -> Iterator[vs.VideoFrame]:
    """The frames of a clip, whose durations are verified: source filters give variable rates a constant one."""
    usual = None
    for i, frame in enumerate(clip.frames(close=True)):
        if i < clip.num_frames - 1 and (denominator := frame.props.get("_DurationDen")):
            duration = Fraction(frame.props["_DurationNum"], denominator)
            usual = usual or duration
            if abs(duration - usual) > _ROUNDING:
                raise vs.Error(
                    f"inbetween: frame {i} lasts {float(duration):.3f} seconds and those before it {float(usual):.3f}; "
                    "make the rate constant, by the source filter's fpsnum and fpsden for example."
                )
        yield frame


def _drawn(clip: vs.VideoNode, fps: Fraction, sources: list[_Source], interpolator: Interpolator) -> vs.VideoNode:
    blank = clip.std.BlankClip(length=len(sources), fpsnum=fps.numerator, fpsden=fps.denominator, keep=True)
    first = blank.std.FrameEval(lambda n: clip[sources[n].first], clip_src=clip)
    second = blank.std.FrameEval(lambda n: clip[sources[n].second], clip_src=clip)
    prepared = {}
    lock = threading.Lock()

    def draw(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        one, other, time = sources[n]
        result = f[1].copy()
        result.props["_DurationNum"], result.props["_DurationDen"] = fps.denominator, fps.numerator
        if time:
            with lock:
                if (one, other) not in prepared:
                    prepared.clear()
                    prepared[one, other] = interpolator.prepare(_pixels(f[1]), _pixels(f[2]))
                pixels = next(iter(interpolator.draw(prepared[one, other], [time])))()
            for plane in range(3):
                np.copyto(np.asarray(result[plane]), pixels[:, :, plane])
        return result

    return blank.std.ModifyFrame([blank, first, second], draw)


def _pixels(frame: vs.VideoFrame) -> np.ndarray:
    """(h, w, 3) of a frame's planes."""
    return np.stack([np.asarray(frame[plane]) for plane in range(3)], axis=2)
