"""The one door for scripts, users and tests: two frames and some times in, the frames at those times out.

>>> import numpy as np
>>> frames = np.zeros((2, 32, 48, 3), np.uint8)
>>> middle, = Interpolator(flow="dis", synthesis="splat")(*frames, times=[0.5])
>>> middle.shape, middle.dtype
((32, 48, 3), dtype('uint8'))
"""

import functools
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from _train.frame_interpolation import pipeline
from _train.frame_interpolation.context import create_context
from _train.frame_interpolation.flows import Flows
from _util import checkpoints, graphs, memory, transfer
from _util.device import choose as choose_device
from _util.errors import InputError

SMALLEST_SIDE = 16
_PIXELS_TOGETHER, _TIMES_TOGETHER = 4 * 960 * 540, 8  # that a GPU draws at once


class Pair(NamedTuple):
    """Two frames, ready to be interpolated at any time."""

    prepared: pipeline.Prepared
    shape: tuple[int, ...]  # of the frames as they were given
    dtype: np.dtype


class Interpolator:
    """Draws the frames between two frames.

    Args:
        flow: a name of `methods.FLOWS` or "auto", the best that has weights where the synthesis needs flow.
        synthesis: a name of `methods.SYNTHESES` or "auto", the best that has weights.
        device: "cpu", "cuda", "cuda:1", … or "auto", a GPU if there is one.
        precision: of the networks: "fp32", "bf16", "fp16" or "auto", what the device is fast and close enough in. On a
            GPU, "auto" also lets convolutions in fp32 round what they multiply to TF32, for the whole process, as is
            PyTorch's default; any other precision forbids it.
        folder: where checkpoints are looked for.

    Attributes:
        flow, synthesis: the names that are used; `flow` is None where the synthesis finds motion by itself.
        method: both, as one name.
        pipeline: what draws, of tensors.

    Raises:
        InputError: an unknown name, a flow and a synthesis that do not go together, or weights that are missing or do
            not fit.
    """

    def __init__(
        self,
        flow: str = "auto",
        synthesis: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        folder: str | Path = checkpoints.FOLDER,
    ):
        folder = Path(folder)
        choice = pipeline.choose(flow, synthesis, folder)
        self.flow, self.synthesis, self.method = choice.flow, choice.synthesis, str(choice)
        self.device = choose_device(device)
        self.context = create_context(self.device, precision, folder)
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = precision == "auto"
            torch.backends.cuda.matmul.allow_tf32 = False  # correlations are not rounded
        memory.keep_freed()
        self.pipeline = pipeline.create(choice, self.context)
        for note in choice.notes:
            _print_once(note)

    def __call__(self, frame0: np.ndarray, frame1: np.ndarray, times: Iterable[float] = (0.5,)) -> list[np.ndarray]:
        """The frames at the given times.

        Args:
            frame0, frame1: two arrays or tensors of one shape and type: (h, w), (h, w, 1), (h, w, 3) RGB or
                (h, w, 4) RGBA; uint8, uint16, or floating in [0, 1]. Sides are at least 16 pixels.
            times: in (0, 1); 0 is frame0 and 1 is frame1.

        Returns:
            One frame per time, in the shape and type of the frames given.

        Raises:
            InputError: frames or times that are none of these.
        """
        times = check_times(times)
        return [frame() for frame in self.draw(self.prepare(frame0, frame1), times)]

    @torch.inference_mode()
    def prepare(self, frame0: np.ndarray, frame1: np.ndarray) -> Pair:
        """All that does not depend on the time; frames as in `__call__`."""
        frame0, frame1 = np.asarray(frame0), np.asarray(frame1)
        check_frames(frame0, frame1)
        tensors = [transfer.upload(frame, self.device)[None] for frame in (frame0, frame1)]
        if tensors[0].shape[1] == 1:
            tensors = [tensor.expand(-1, 3, -1, -1) for tensor in tensors]
        return Pair(self.pipeline.prepare(*tensors), frame0.shape, frame0.dtype)

    def flow_of(self, pair: Pair) -> Flows:
        """The flow (1, 2, h, w) between the frames, both ways, x then y, in pixels."""
        return self.pipeline.flow(pair.prepared)

    def at(self, pair: Pair, t: float) -> np.ndarray:
        """The frame at time t, in (0, 1), of the kind that `prepare` was given."""
        (frame,) = self.draw(pair, [t])
        return frame()

    @torch.inference_mode()
    def draw(self, pair: Pair, times: Iterable[float]) -> Iterator[Callable[[], np.ndarray]]:
        """The frames at times in (0, 1), of the kind that `prepare` was given, each as a function that waits for it.

        On the CPU, a frame is drawn when it is its turn. A GPU draws some at once, and goes on while they are waited
        for, in whatever thread.
        """
        times = iter(times)
        while together := check_times(itertools.islice(times, self._together(pair))):
            for frame in self._frames(pair, together):
                yield functools.partial(_of_shape, transfer.download(frame, pair.dtype), pair.shape)

    def _together(self, pair: Pair) -> int:
        if self.device.type == "cpu":
            return 1
        h, w = pair.shape[:2]
        return max(1, min(_TIMES_TOGETHER, _PIXELS_TOGETHER // (h * w)))

    def _frames(self, pair: Pair, times: list[float]) -> Tensor:
        """(n, c, h, w) in [0, 1], with as many channels as the frames given."""
        t = times[0] if self.device.type == "cpu" else graphs.constant(times, torch.empty(0, device=self.device))
        frames = self.pipeline.frames(pair.prepared, t)
        is_grey = len(pair.shape) == 2 or pair.shape[2] == 1
        return frames.mean(1, keepdim=True) if is_grey else frames


def _of_shape(wait: Callable[[], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return wait().reshape(shape)


def check_frames(frame0: np.ndarray, frame1: np.ndarray) -> None:
    for frame in (frame0, frame1):
        if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (1, 3, 4)):
            raise InputError(f"A frame is (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), not {frame.shape}.")
        if frame.dtype not in (np.uint8, np.uint16) and not np.issubdtype(frame.dtype, np.floating):
            raise InputError(f"A frame holds uint8, uint16 or floating values, not {frame.dtype}.")
        if min(frame.shape[:2]) < SMALLEST_SIDE:
            raise InputError(
                f"The frames are {frame.shape[1]}×{frame.shape[0]} pixels; each side needs at least {SMALLEST_SIDE}."
            )
    if frame0.shape[:2] != frame1.shape[:2]:
        raise InputError(
            f"The frames differ in size, {frame0.shape[1]}×{frame0.shape[0]} and {frame1.shape[1]}×{frame1.shape[0]} "
            "pixels; bring them to one size."
        )
    if frame0.shape != frame1.shape or frame0.dtype != frame1.dtype:
        raise InputError(f"The frames differ in kind, {frame0.shape} {frame0.dtype} and {frame1.shape} {frame1.dtype}.")


def check_times(times: Iterable[float]) -> list[float]:
    times = [float(t) for t in times]
    for t in times:
        if not 0 < t < 1:
            raise InputError(f"Time {t:g} is not between the frames; times lie above 0 and below 1.")
    return times


@functools.cache
def _print_once(note: str) -> None:
    print(note, file=sys.stderr)
