"""Ten seconds of 540p at twice the frame rate: stillness of what rests, evenness of motion, and time.

A disc with an outline moves on a circle over a picture, at twelve drawings per second. Encoding is lossless, with 4:2:0
chroma.
"""

import itertools
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from _train.frame_interpolation.benchmarks.stages import read_frame
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.video.interpolate import Options, interpolate_video
from _util import colour, video

METHODS = (("auto", "auto"), ("sgm+dis", "fusion"))  # the current default and the previous one
_SIZE = 540, 960
_RATE, _SECONDS = 12, 10
_RADIUS, _ORBIT = 48, 120  # of the disc and of its orbit, pixels
_STEP = 9.0  # pixels per drawing
_INK, _FILL = (20, 20, 30), (250, 20, 230)
_MARGIN = 24  # pixels around the disc's orbit that do not count as resting


def compare(picture: Path, size: tuple[int, int] = _SIZE, seconds: int = _SECONDS) -> list[dict]:
    """By method: total `seconds`; `flicker`, the maximum difference of a resting pixel from the first frame, and
    `unevenness`, the standard deviation of the disc's steps over their mean."""
    ground = read_frame(picture, size)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "disc.mkv", Path(folder) / "out.mkv"
        encoding = video.Encoding(size, Fraction(_RATE), "ffv1", colour=colour.usual(size[0]))
        with video.Writer(source, encoding) as writer:
            for i in range(_RATE * seconds):
                writer.write(drawing(ground, _STEP * i / _ORBIT))
        for flow, synthesis in METHODS:
            interpolator = Interpolator(flow, synthesis, "cpu")
            interpolator(ground, np.roll(ground, 2, 1), 0.5)  # warms up
            start = time.perf_counter()
            interpolate_video(source, out, Options(codec="ffv1"), lambda one=interpolator: (one, {}), overwrite=True)
            taken = time.perf_counter() - start
            flicker, unevenness = judge(out)
            rows.append({"method": interpolator.method, "seconds": taken, "flicker": flicker, "unevenness": unevenness})
    return rows


def drawing(ground: np.ndarray, angle: float) -> np.ndarray:
    """The ground with the disc at an angle of its orbit, in radians."""
    frame = ground.copy()
    x, y = ground.shape[1] / 2 + _ORBIT * np.cos(angle), ground.shape[0] / 2 + _ORBIT * np.sin(angle)
    for radius, filling in ((_RADIUS, _INK), (_RADIUS - 4, _FILL)):
        cv2.circle(frame, (round(16 * x), round(16 * y)), 16 * radius, filling, -1, cv2.LINE_AA, 4)
    return frame


def judge(path: Path) -> tuple[int, float]:
    """`flicker` and `unevenness` of a video, see `compare`; the last frame is a hold and is ignored."""
    frames = (frame.pixels.astype(np.float32) for frame in video.Reader(path))
    first = next(frames)
    h, w = first.shape[:2]
    y, x = np.ogrid[:h, :w]
    rests = np.abs(np.hypot(x - w / 2, y - h / 2) - _ORBIT) > _RADIUS + _MARGIN
    flicker, places = 0, []
    for pixels in itertools.chain([first], frames):
        flicker = max(flicker, int(np.abs(pixels - first)[rests].max()))
        disc = cv2.moments((pixels[:, :, 0] + pixels[:, :, 2] - 2 * pixels[:, :, 1] - 230).clip(0, 230))
        places.append(complex(disc["m10"], disc["m01"]) / disc["m00"])
    steps = np.abs(np.diff(places[:-1]))
    return flicker, float(steps.std() / steps.mean())
