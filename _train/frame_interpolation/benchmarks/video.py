"""The overhead of video over the interpolator alone: decoding, detecting drawings and cuts, encoding.

A video is interpolated as by the command; then the interpolator alone draws the same frames again from the same
drawings. Both run in one process after a warm-up, and the ratio of their times is the overhead. On a GPU they overlap;
there `rates` measures the total throughput, and how long the GPU is idle.
"""

import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import torch

from _train.frame_interpolation.benchmarks.stages import read_frame, write_checkpoints
from _train.frame_interpolation.interpolator import Interpolator, PreparedFrames
from _train.frame_interpolation.video.interpolate import Options, interpolate_video
from _util import checkpoints, video

_SIZE = 480, 640
_DRAWINGS = 12  # one second of animation on twos
METHODS = (("auto", "auto"), ("dis", "splat"))  # the default and the cheapest


class Times(NamedTuple):
    """The seconds for a whole video, and for its interpolated frames alone."""

    video: float
    interpolator: float
    drawn: int  # number of interpolated frames
    frames: int  # of the result

    @property
    def ratio(self) -> float:
        return self.video / self.interpolator


class _RecordingInterpolator:
    """An interpolator that records its calls."""

    def __init__(self, interpolator: Interpolator):
        self._interpolator = interpolator
        self.asked: list[tuple[np.ndarray, np.ndarray, list[float]]] = []

    def prepare(self, frame0: np.ndarray, frame1: np.ndarray) -> PreparedFrames:
        self.asked.append((frame0, frame1, []))
        return self._interpolator.prepare(frame0, frame1)

    def draw(self, pair: PreparedFrames, times: Iterable[float]) -> Iterator[Callable[[], np.ndarray]]:
        times = list(times)
        self.asked[-1][2].extend(times)
        return self._interpolator.draw(pair, times)


def compare(picture: Path, repeats: int) -> list[dict]:
    """Measure `METHODS` on a pan over a picture, on the CPU.

    Returns:
        By method, for the round with the median ratio: its name, number of drawn frames, seconds of both, their ratio.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pan.mp4"
        write_pan(picture, source)
        for flow, synthesis in METHODS:
            interpolator = Interpolator(flow, synthesis, "cpu")
            frames = [frame.pixels for frame in video.Reader(source)]
            interpolator.at(interpolator.prepare(frames[0], frames[-1]), 0.5)  # warms up
            rounds = sorted((measure(source, interpolator) for _ in range(repeats)), key=lambda times: times.ratio)
            times = rounds[(repeats - 1) // 2]
            rows.append({"method": interpolator.method, **times._asdict(), "ratio": times.ratio})
    return rows


def measure(source: Path, interpolator: Interpolator) -> Times:
    """Interpolate `source`, then draw the same frames alone.

    Raises:
        InputError: the video cannot be interpolated.
    """
    remembering = _RecordingInterpolator(interpolator)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        summary = interpolate_video(source, Path(folder) / "out.mp4", Options(), lambda: (remembering, {}))
        assert summary is not None  # the folder is new
        whole = time.perf_counter() - start
    start = time.perf_counter()
    for frame0, frame1, times in remembering.asked:
        for frame in interpolator.draw(interpolator.prepare(frame0, frame1), times):
            frame()
    alone = time.perf_counter() - start
    return Times(whole, alone, sum(len(times) for _, _, times in remembering.asked), summary.frames)


def write_pan(
    picture: Path, path: Path, size: tuple[int, int] = _SIZE, drawings: int = _DRAWINGS, held: int = 2
) -> None:
    """Write a video at 24 frames per second that pans over a picture, which is enlarged if it is too small.

    Args:
        size: (h, w) of the frames.
        held: number of frames per drawing.
    """
    (h, w), pixels = size, read_frame(picture)
    room = min(pixels.shape[0] / h, pixels.shape[1] / w)
    if room < 1.1:
        pixels = cv2.resize(pixels, None, fx=1.2 / room, fy=1.2 / room, interpolation=cv2.INTER_CUBIC)
    with video.Writer(path, video.Encoding(size, Fraction(24))) as writer:
        for i in range(drawings):
            y, x = ((side - part) * i // (drawings - 1) for side, part in zip(pixels.shape[:2], size, strict=True))
            for _ in range(held):
                writer.write(np.ascontiguousarray(pixels[y : y + h, x : x + w]))


def rates(
    device: torch.device, picture: Path, size: tuple[int, int] = (1080, 1920), drawings: int = 192
) -> list[dict[str, Any]]:
    """Frames per second of interpolating a video to twice its rate, from decoding to encoding, and the share of the
    steady state in which the GPU was idle: for rfr + ssldtm with seeded weights, and for the default method."""
    rows = []
    with tempfile.TemporaryDirectory() as folder_:
        folder = Path(folder_)
        write_checkpoints(folder)
        write_pan(picture, folder / "warm-up.mp4", size, 8, held=1)
        write_pan(picture, folder / "pan.mp4", size, drawings, held=1)
        for flow, synthesis, weights in (("rfr", "ssldtm", folder), ("auto", "auto", checkpoints.FOLDER)):
            interpolator = Interpolator(flow, synthesis, str(device), folder=weights)
            _interpolate(interpolator, folder / "warm-up.mp4")
            start = time.perf_counter()
            with Watch(device) as watch:
                frames = _interpolate(interpolator, folder / "pan.mp4")
            seconds = time.perf_counter() - start
            rows.append(
                {
                    "method": interpolator.method,
                    "frames": frames,
                    "seconds": seconds,
                    "frames a second": frames / seconds,
                    "GPU idle": watch.idle(),
                }
            )
    return rows


def _interpolate(interpolator: Interpolator, path: Path) -> int:
    """Interpolate a video, and return the number of frames of the result, which is removed."""
    target = path.with_name(f"out-{path.name}")
    summary = interpolate_video(path, target, Options(), lambda: (interpolator, {}))
    assert summary is not None  # the file is removed each time
    target.unlink()
    return summary.frames


class Watch:
    """Context manager that samples the utilisation of a GPU from the driver."""

    def __init__(self, device: torch.device):
        self.busy: list[int] = []  # percent of time in which a kernel ran
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(device,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def idle(self) -> float | None:
        """The share of time, without the first and last fifth, in which no kernel ran; None if unknown."""
        cut = len(self.busy) // 5
        middle = self.busy[cut : len(self.busy) - cut]
        return 1 - statistics.fmean(middle) / 100 if middle else None

    def _look(self, device: torch.device) -> None:
        if device.type != "cuda":
            return
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:  # no driver
            return
        with contextlib.suppress(pynvml.NVMLError):
            gpu = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
            while not self._ended.wait(0.1):
                self.busy.append(int(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu))
        pynvml.nvmlShutdown()
