"""Evenness of motion of figures on ones, twos and threes under a camera on ones.

A figure of one colour is composed over a picture that pans or zooms on every frame, so that the exact positions of both
are known at any time. In the result, the figure is found by its colour, and the ground is tracked from the expected
ground of that time (Lucas and Kanade, IJCAI 1981).
"""

import functools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from _train.frame_interpolation.video.interpolate import Options, PairInterpolator, interpolate_video
from _util import video

SIZE = 360, 640
_FRAMES = 25
_RATE, _TIMES = Fraction(24), 2  # frames per second, and the factor of the result
_FIGURE = 44, 70  # half axes, pixels
_INK, _FILL, _EYE = (20, 20, 30), (250, 20, 230), (250, 250, 250)
_AROUND = 60  # pixels around the figure where the ground is not tracked


class Pan(NamedTuple):
    """A clip; speeds and steps are in pixels (x, y) of a 360×640 picture.

    Attributes:
        speed: of the camera per frame; the mean if it is eased.
        zoom: factor per frame.
        hold: number of frames that each drawing of the figure is shown.
        step: of the figure per drawing, in addition to the camera's motion unless the figure is held on the screen.
        on_screen: the figure is held relative to the screen; otherwise relative to the ground.
        is_eased: the camera eases in and out.
        is_plain: a ground of sky and clouds; otherwise one full of shapes.
    """

    speed: tuple[float, float]
    hold: int
    step: tuple[float, float] = (8, 2)
    zoom: float = 1
    on_screen: bool = True
    is_eased: bool = False
    is_plain: bool = False

    def __str__(self) -> str:
        moves = "zoom" if self.zoom != 1 else "eased pan" if self.is_eased else "pan"
        where = "the screen" if self.on_screen else "the ground"
        return f"{moves}, {'plain' if self.is_plain else 'textured'}, {_NAMES[self.hold]}, on {where}"

    def camera(self, time: float) -> np.ndarray:
        """(2, 3): the affine map from picture coordinates, relative to its centre, at a time in frames."""
        last = _FRAMES - 1
        passed = last * (1 - np.cos(np.pi * time / last)) / 2 if self.is_eased else time
        scale, (h, w) = self.zoom**passed, SIZE
        return np.array([[scale, 0, w / 2 + self.speed[0] * passed], [0, scale, h / 2 + self.speed[1] * passed]])

    def figure(self, time: float, even: bool = True) -> np.ndarray:
        """(2,): the centre of the figure, moved evenly or as it is drawn."""
        last = (_FRAMES - 1) / self.hold
        drawn = time // self.hold * self.hold
        place = np.array(SIZE[::-1]) / 2 + np.array(self.step) * ((time if even else drawn) / self.hold - last / 2)
        if not self.on_screen:
            place += (self.camera(time) - self.camera((_FRAMES - 1) / 2))[:, 2]
        return place

    def ground(self, time: float) -> np.ndarray:
        """(h, w, 3) uint8: the ground behind the figure at a time in frames."""
        picture = _picture(self.is_plain)
        camera = self.camera(time)
        camera[:, 2] -= camera[:, :2] @ np.array(picture.shape[1::-1]) / 2
        return cv2.warpAffine(picture, camera, SIZE[::-1], flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)

    def frames(self) -> Iterator[np.ndarray]:
        """The clip's frames (h, w, 3) uint8."""
        for i in range(_FRAMES):
            yield with_figure(self.ground(i), self.figure(i, even=False))

    def repeats(self) -> np.ndarray:
        """(n,) bool: whether a frame shows the same drawing of the figure as the previous one."""
        return np.arange(_FRAMES) % self.hold != 0


_NAMES = {1: "on ones", 2: "on twos", 3: "on threes"}
PANS = (
    Pan((-5, 0), 2),
    Pan((6, 1), 3),
    Pan((-5, 0), 2, on_screen=False),
    Pan((4, -2), 3, on_screen=False),
    Pan((-5, 0), 2, is_plain=True),
    Pan((5, 1), 3, on_screen=False, is_plain=True),
    Pan((-6, 0), 2, is_eased=True),
    Pan((5, 0), 2, on_screen=False, is_eased=True, is_plain=True),
    Pan((0, 0), 2, zoom=1.01),
    Pan((1, 0), 3, zoom=1 / 1.008),
    Pan((-5, 0), 1, (4, 1)),
)


def compare(create: Callable[[], tuple[PairInterpolator, Any]], pans: tuple[Pan, ...] = PANS) -> list[dict]:
    """By clip: the unevenness of `figure` and `ground` (see `judge`), and of the figure `without` `camera_holds`; the
    number of `drawings` detected, and of those `drawn`."""
    rows = []
    for pan in pans:
        figure, ground, drawings = _interpolated(pan, create, Options(codec="ffv1"))
        without, *_ = _interpolated(pan, create, Options(codec="ffv1", camera_holds=False))
        drawn = int(np.count_nonzero(~pan.repeats()))
        row = {"clip": str(pan), "figure": figure, "ground": ground, "without": without}
        rows.append(row | {"drawings": drawings, "drawn": drawn})
    return rows


def _interpolated(
    pan: Pan, create: Callable[[], tuple[PairInterpolator, Any]], options: Options
) -> tuple[float, float, int]:
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "pan.mkv", Path(folder) / "out.mkv"
        with video.Writer(source, video.Encoding(SIZE, _RATE, "ffv1", source="gbrp")) as writer:
            for frame in pan.frames():
                writer.write(frame)
        summary = interpolate_video(source, out, options._replace(fps=_RATE * _TIMES), create)
        assert summary is not None  # the output did not exist
        figure, ground = judge(pan, (frame.pixels for frame in video.Reader(out)))
        return figure, ground, summary.drawings


def judge(pan: Pan, frames: Iterable[np.ndarray]) -> tuple[float, float]:
    """The unevenness of figure and ground: the maximum deviation of a step between frames from an even one, relative to
    the mean step. Frames of the last hold are ignored, as no drawing follows."""
    last = _TIMES * ((_FRAMES - 1) // pan.hold * pan.hold)
    found, even = np.empty((2, last + 1, 2, 2))
    for k, frame in zip(range(last + 1), frames, strict=False):
        time = k / _TIMES
        found[k] = figure_of(frame), ground_of(frame, pan, time)
        even[k] = pan.figure(time), _tracked_point(pan.camera(time))
    steps, expected = np.diff(found, axis=0), np.diff(even, axis=0)
    off = np.linalg.norm(steps - expected, axis=2).max(0) / np.linalg.norm(expected, axis=2).mean(0)
    return float(off[0]), float(off[1])


def figure_of(frame: np.ndarray) -> np.ndarray:
    """(2,): the centre of the pixels of the figure's colour."""
    red, green, blue = frame.astype(np.float32).transpose(2, 0, 1)
    moments = cv2.moments((red + blue - 2 * green - 230).clip(0, 200))
    return np.array([moments["m10"], moments["m01"]]) / moments["m00"]


def ground_of(frame: np.ndarray, pan: Pan, time: float) -> np.ndarray:
    """(2,): the position of a point of the ground, from the offset of the frame to the expected ground of that time."""
    h, w = SIZE
    expected, found = (cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) for pixels in (pan.ground(time), frame))
    mask = np.full((h, w), 255, np.uint8)
    axes = tuple(axis + _AROUND for axis in _FIGURE)
    cv2.ellipse(mask, tuple(np.rint(pan.figure(time)).astype(int).tolist()), axes, 0, 0, 360, 0, -1)
    corners = cv2.goodFeaturesToTrack(expected, 300, 0.005, 8, mask=mask)
    tracked, is_found, _ = cv2.calcOpticalFlowPyrLK(expected, found, corners, corners.copy(), winSize=(31, 31))
    start, end = (points[is_found.ravel() == 1] for points in (corners, tracked))
    motion, _ = cv2.estimateAffinePartial2D(start, end, ransacReprojThreshold=1)
    return motion[:, :2] @ _tracked_point(pan.camera(time)) + motion[:, 2]


def _tracked_point(camera: np.ndarray) -> np.ndarray:
    """(2,): the position of a point of the picture, chosen off centre so that it also moves under a zoom."""
    return camera @ np.array([-150, -90, 1])


def with_figure(ground: np.ndarray, place: np.ndarray) -> np.ndarray:
    frame, (x, y) = ground.copy(), np.rint(16 * place).astype(int).tolist()
    for less, colour in ((0, _INK), (4, _FILL)):
        axes = tuple(16 * (axis - less) for axis in _FIGURE)
        cv2.ellipse(frame, (x, y), axes, 0, 0, 360, colour, -1, cv2.LINE_AA, 4)
    for side in (-16, 16):
        cv2.circle(frame, (x + 16 * side, y - 16 * 20), 16 * 8, _EYE, -1, cv2.LINE_AA, 4)
    return frame


@functools.cache
def _picture(is_plain: bool) -> np.ndarray:
    """(3 h, 3 w, 3): a picture that extends beyond the frame on all sides."""
    random, (h, w) = np.random.default_rng(3), (3 * SIZE[0], 3 * SIZE[1])
    if is_plain:
        picture = np.linspace((120, 180, 240), (220, 235, 250), h)[:, None].repeat(w, 1).astype(np.uint8)
    else:
        picture = np.full((h, w, 3), (150, 170, 190), np.uint8)
    for _ in range(60 if is_plain else 500):
        colour = (250, 250, 252) if is_plain else random.uniform((40, 120, 40), (200, 240, 200)).tolist()
        centre = tuple((random.uniform(size=2) * (w, h)).astype(int).tolist())
        axes = tuple(random.uniform(12, 60, 2).astype(int).tolist())
        cv2.ellipse(picture, centre, axes, random.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 1.2)
