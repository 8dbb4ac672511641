"""The main interface: interpolates the frames at given times between two frames.

>>> import numpy as np
>>> frames = np.zeros((2, 32, 48, 3), np.uint8)
>>> middle, = Interpolator(flow="dis", synthesis="splat")(*frames, times=[0.5])
>>> middle.shape, middle.dtype
((32, 48, 3), dtype('uint8'))
"""

import functools
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from _train.frame_interpolation import pipeline
from _train.frame_interpolation.choice import choose
from _train.frame_interpolation.context import create_context
from _train.frame_interpolation.flows import Flows
from _train.frame_interpolation.frames import Range, as_arrays, check_times
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.guides.hints import check as check_hints
from _train.frame_interpolation.guides.parted import AutomaticMotion, Parted
from _util import checkpoints, graphs, image, memory, transfer
from _util.device import choose as choose_device
from _util.errors import InputError

if TYPE_CHECKING:
    from _train.frame_interpolation.guides.hinted import Hinted
    from _train.frame_interpolation.guides.line_art import Lines

LINE_ART = ("auto", "on", "off")
_PIXELS_TOGETHER, _TIMES_TOGETHER = 4 * 960 * 540, 8  # that a GPU draws at once


class PreparedFrames(NamedTuple):
    """Two frames, prepared for interpolation at any time."""

    prepared: pipeline.PreparedPair | None  # None where they are equal
    first: np.ndarray  # as it was given, and so are the frames between
    values: Range
    hinted: "Hinted | None" = None  # what draws instead, where there are hints
    parted: Parted | None = None  # and where there are parts, by those or by the pair
    lines: "Lines | None" = None  # where both are drawings of lines alone


class Interpolator:
    """Draws the frames between two frames.

    Args:
        flow: a name of `methods.FLOWS` or "auto", the best that has weights where the synthesis needs flow.
        synthesis: a name of `methods.SYNTHESES` or "auto", the best that has weights.
        device: "cpu", "cuda", "cuda:1", …, a `torch.device`, or "auto", a GPU if there is one.
        precision: of the networks: "fp32", "bf16", "fp16" or "auto", what the device is fast and close enough in. On a
            GPU, "auto" also lets convolutions in fp32 round what they multiply to TF32, for the whole process, as is
            PyTorch's default; any other precision forbids it.
        folder: where checkpoints are looked for.
        backend: "pytorch", or "onnxruntime" or "openvino", which take what `python -m _scripts.export_onnx` has
            written and the devices that they support, whatever `device` and `precision` are.
        line_art: whether lines of drawings of lines alone are redrawn, as wide as in both frames and without greys:
            "off", "on", or "auto", where both frames are such drawings.

    Attributes:
        flow, synthesis: the names that are used; `flow` is None where the synthesis finds motion itself.
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
        device: str | torch.device = "auto",
        precision: str = "auto",
        folder: str | Path = checkpoints.FOLDER,
        backend: str = "pytorch",
        line_art: str = "off",
    ):
        if line_art not in LINE_ART:
            raise InputError(f"There is no line art {line_art!r}; it is {', '.join(LINE_ART)}.")
        self._arguments = flow, synthesis, device, precision, folder, backend, line_art
        folder, self.line_art = Path(folder), line_art
        choice = choose(flow, synthesis, folder)
        self.flow, self.synthesis, self.method = choice.flow, choice.synthesis, str(choice)
        self.device = choose_device(device)
        self.context = create_context(self.device, precision, folder, backend)
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = precision == "auto"
            torch.backends.cuda.matmul.allow_tf32 = False  # correlations are not rounded
        memory.keep_freed()
        self.pipeline = pipeline.create(choice, self.context)
        for note in choice.notes:
            _print_once(note)

    def __call__(
        self, frame0: ArrayLike, frame1: ArrayLike, times: float | Iterable[float] = (0.5,), hints: Sequence[Hint] = ()
    ) -> list[np.ndarray]:
        """The frames at the given times.

        Args:
            frame0, frame1: two arrays, tensors on any device, or images of Pillow, of one shape and type: (h, w),
                (h, w, 1), (h, w, 3) RGB or (h, w, 4) RGBA; uint8, uint16, or finite floating values. Sides are at
                least 16 pixels. Floating colours are meant for [0, 1]; where some lie beyond, all are scaled to it for
                the work, and back. Alpha is in [0, 1].
            times: in (0, 1); 0 is frame0 and 1 is frame1. One number, or any number of them in any order.
            hints: what belongs together in both frames, where the automatic motion fails.

        Returns:
            One frame per time, in the shape and type of the frames given; float32 where NumPy lacks a tensor's type,
            as bfloat16. Between two equal frames, that frame bit by bit.

        Raises:
            InputError: frames or times that are none of these.
        """
        times = check_times(times)
        return [frame() for frame in self.draw(self.prepare(frame0, frame1, hints), times)]

    def __reduce__(self) -> tuple[type["Interpolator"], tuple]:
        """Other processes create it anew, on devices of their own."""
        return type(self), self._arguments

    @torch.inference_mode()
    def prepare(
        self, frame0: ArrayLike, frame1: ArrayLike, hints: Sequence[Hint] = (), masks: Sequence[np.ndarray] = ()
    ) -> PreparedFrames:
        """All that does not depend on the time; frames as in `__call__`.

        Args:
            hints: what belongs together in both frames; none outside them.
            masks: (h, w) in [0, 1], where frame 0 shows parts with times of their own, from back to front.

        Raises:
            InputError: frames, hints or masks that cannot be used.
        """
        frame0, frame1 = as_arrays(frame0, frame1)
        check_hints(hints, frame0.shape[:2])
        values = Range.of(frame0, frame1)
        if np.array_equal(frame0, frame1):
            return PreparedFrames(None, frame0.copy(), values)
        tensors = [transfer.upload(values.to_unit(frame), self.device)[None] for frame in (frame0, frame1)]
        if tensors[0].shape[1] == 1:
            tensors = [tensor.expand(-1, 3, -1, -1) for tensor in tensors]
        lines = self._lines(*tensors)
        hinted = parted = None
        with self._precision_of_its_own():
            if hints:
                from _train.frame_interpolation.guides.hinted import Hinted

                hinted = Hinted(self.pipeline, tensors[0], tensors[1], hints)
            prepared = hinted.automatic if hinted else self.pipeline.prepare(tensors[0], tensors[1])
            if len(masks):
                shown = [torch.as_tensor(mask, dtype=torch.float32, device=self.device)[None, None] for mask in masks]
                parted = Parted(hinted or AutomaticMotion(self.pipeline, prepared), shown)
        return PreparedFrames(prepared, frame0, values, hinted, parted, lines)

    def _lines(self, *frames: Tensor) -> "Lines | None":
        if self.line_art == "off":
            return None
        from _train.frame_interpolation.guides.line_art import Lines

        return Lines.of(*(image.to_array(frame[0], np.float32) for frame in frames), is_forced=self.line_art == "on")

    def flow_of(self, pair: PreparedFrames) -> Flows:
        """The flow (1, 2, h, w) between the frames, both ways, x then y, in pixels."""
        if pair.prepared is None:
            still = torch.zeros(1, 2, *pair.first.shape[:2], device=self.device)
            return Flows(still, still)
        return self.pipeline.flow(pair.prepared)

    def at(self, pair: PreparedFrames, t: float) -> np.ndarray:
        """The frame at time t, in (0, 1), of the kind that `prepare` was given."""
        (frame,) = self.draw(pair, [t])
        return frame()

    @torch.inference_mode()
    def draw(
        self, pair: PreparedFrames, times: Iterable[float], own: Sequence[Sequence[float]] = ()
    ) -> Iterator[Callable[[], np.ndarray]]:
        """The frames at times in (0, 1), of the kind that `prepare` was given, each as a function that waits for it.

        On the CPU, a frame is drawn when it is its turn. A GPU draws some at once, and continues while they are waited
        for, in whatever thread.

        Args:
            own: of each part that was prepared, as many times as there are frames.
        """
        if pair.prepared is None:
            yield from (pair.first.copy for _ in check_times(times))
            return
        if pair.parted is not None:
            for t, *of_parts in zip(check_times(times), *map(check_times, own), strict=True):
                with self._precision_of_its_own():
                    frame = pair.parted.frame(t, of_parts)[0]
                yield self._waiting(pair, t, frame)
            return
        times = iter(times)
        while together := check_times(itertools.islice(times, self._together(pair))):
            for t, frame in zip(together, self._frames(pair, together), strict=True):
                yield self._waiting(pair, t, frame)

    def _together(self, pair: PreparedFrames) -> int:
        if self.device.type == "cpu":
            return 1
        h, w = pair.first.shape[:2]
        return max(1, min(_TIMES_TOGETHER, _PIXELS_TOGETHER // (h * w)))

    def _frames(self, pair: PreparedFrames, times: list[float]) -> Tensor:
        """(n, 3 or 4, h, w) in [0, 1]."""
        with self._precision_of_its_own():
            if pair.hinted is not None:
                return pair.hinted.frames(times)
            assert pair.prepared is not None
            t = times[0] if self.device.type == "cpu" else graphs.constant(times, torch.empty(0, device=self.device))
            return self.pipeline.frames(pair.prepared, t)

    def _precision_of_its_own(self) -> torch.autocast:
        """A block in which `torch.autocast` of the caller has no say."""
        return torch.autocast(self.device.type, enabled=False)

    def _waiting(self, pair: PreparedFrames, t: float, frame: Tensor) -> Callable[[], np.ndarray]:
        """A frame (3 or 4, h, w) at time t on its way to the kind of the frames given."""
        if pair.lines is not None:
            assert pair.prepared is not None
            widths = torch.from_numpy(pair.lines.widths[:, None]).to(frame)
            _, width = self.pipeline.carry(pair.prepared, t, widths)
            redrawn = pair.lines.redraw(image.to_array(frame, np.float32), t, width[0, 0].cpu().numpy())
            frame = torch.from_numpy(redrawn).permute(2, 0, 1).to(frame)
        is_grey = pair.first.ndim == 2 or pair.first.shape[2] == 1
        frame = frame.mean(0, keepdim=True) if is_grey else frame
        return functools.partial(_like, pair, transfer.download(frame, pair.first.dtype))


def _like(pair: PreparedFrames, wait: Callable[[], np.ndarray]) -> np.ndarray:
    return pair.values.from_unit(wait().reshape(pair.first.shape))


@functools.cache
def _print_once(note: str) -> None:
    print(note, file=sys.stderr)
