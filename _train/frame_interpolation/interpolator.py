"""The main interface: interpolates the frames at given times between two frames.

>>> import numpy as np
>>> frames = np.zeros((2, 32, 48, 3), np.uint8)
>>> middle, = Interpolator(flow="dis", synthesis="splat")(*frames, times=[0.5])
>>> middle.shape, middle.dtype
((32, 48, 3), dtype('uint8'))
"""

import functools
import importlib.util
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from _train.frame_interpolation import flows, methods, pipeline
from _train.frame_interpolation.choice import choose
from _train.frame_interpolation.context import create_context
from _train.frame_interpolation.easing import Easing
from _train.frame_interpolation.flows import Flows
from _train.frame_interpolation.frames import Range, as_arrays, as_masks, check_times
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.guides.hints import check as check_hints
from _train.frame_interpolation.guides.parted import AutomaticMotion, PreparedParts
from _util import checkpoints, graphs, image, memory, runs, threads, transfer
from _util.counts import counted
from _util.device import choose as choose_device
from _util.errors import InputError
from _util.version import VERSION

if TYPE_CHECKING:
    from _train.frame_interpolation.guides.hinted import PreparedHints
    from _train.frame_interpolation.guides.line_art import Lines
    from _train.frame_interpolation.onnx_models import OnnxIntermediate

LINE_ART = ("auto", "on", "off")
MATCHING = ("auto", "off")
_PIXELS_TOGETHER, _TIMES_TOGETHER = 4 * 960 * 540, 8  # limits of one batch on a GPU


class PreparedFrames(NamedTuple):
    """Two frames, prepared for interpolation at any time."""

    prepared: pipeline.PreparedPair | None  # None if the frames are equal
    first: np.ndarray  # as given; results have its shape and type
    values: Range
    hinted: "PreparedHints | None" = None  # draws in place of the pipeline if there are hints
    parted: PreparedParts | None = None  # draws if there are parts, by `hinted` or `prepared`
    lines: "Lines | None" = None  # set if lines are to be redrawn


class Interpolator:
    """Draws the frames between two frames.

    Args:
        flow: a name of `methods.FLOWS`, or "auto": if the synthesis needs flow, the best with available weights.
        synthesis: a name of `methods.SYNTHESES`, or "auto": the best with available weights.
        device: "cpu", "cuda", "cuda:1", …, a `torch.device`, or "auto", a GPU if there is one.
        precision: of the networks: "fp32", "bf16", "fp16", or "auto", one that is fast and accurate on the device. On a
            GPU, "auto" also allows TF32 in fp32 convolutions, as PyTorch does by default; any other precision disables
            it. PyTorch has one such setting for the whole process: the interpolator that drew last determines it.
        folder: searched for checkpoints.
        backend: "pytorch", "onnxruntime" or "openvino". The last two run models written by
            `python -m _scripts.export_onnx`, on devices they choose themselves; they ignore `device` and `precision`.
        line_art: whether the lines of line drawings are redrawn, with the widths they have in both frames and without
            greys: "off", "on", or "auto" (on if both frames are line drawings).
        matching: "auto": strokes of line drawings, and pieces of flat drawings, that rotate too far for a synthesis
            that finds motion itself are matched, and drawn along their arcs. This takes up to a few seconds per pair of
            such drawings. "off": the synthesis draws everything, unless a flow is given.

    Attributes:
        flow, synthesis: the selected names; `flow` is None if the synthesis finds motion itself.
        method: both, as one name.
        pipeline: the `Pipeline`, which works on tensors.

    Raises:
        InputError: an unknown name, an incompatible flow and synthesis, or weights that are missing or do not fit.
    """

    def __init__(
        self,
        flow: str = "auto",
        synthesis: str = "auto",
        device: str | torch.device = "auto",
        precision: str = "auto",
        folder: str | os.PathLike[str] = checkpoints.FOLDER,
        backend: str = "pytorch",
        line_art: str = "off",
        matching: str = "off",
    ):
        for option, value, values in (("line art", line_art, LINE_ART), ("matching", matching, MATCHING)):
            if value not in values:
                raise InputError(f"There is no {option} {value!r}; it is {', '.join(values)}.")
        if not isinstance(folder, str | os.PathLike):
            raise InputError(f"The folder of checkpoints is a path, not {folder!r}.")
        threads.expect_work()
        self._arguments = flow, synthesis, device, precision, folder, backend, line_art, matching
        folder, self.line_art, self.matching = Path(folder), line_art, matching
        choice = choose(flow, synthesis, folder)
        self.flow, self.synthesis, self.method = choice.flow, choice.synthesis, str(choice)
        self.device = choose_device(device if backend == "pytorch" else "cpu")
        self.context = create_context(self.device, precision, folder, backend)
        self._allows_tf32 = precision == "auto"
        self._own_precision()  # for users of the pipeline
        memory.keep_freed()
        with checkpoints.skip_initialization():
            self.pipeline = pipeline.create(choice, self.context, with_matching=matching != "off")
        for note in choice.notes:
            _print_once(note)

    def __call__(
        self, frame0: ArrayLike, frame1: ArrayLike, times: float | Iterable[float] = (0.5,), hints: Sequence[Hint] = ()
    ) -> list[np.ndarray]:
        """The frames at the given times.

        Args:
            frame0, frame1: two arrays, tensors on any device, or Pillow images, of one shape and type: (h, w),
                (h, w, 1), (h, w, 3) RGB or (h, w, 4) RGBA; uint8, uint16, or finite floating values. Sides are at
                least 16 pixels. Floating colours are expected in [0, 1]; if some lie outside, all are scaled to [0, 1]
                for processing, and back. Alpha is in [0, 1].
            times: in (0, 1); 0 is frame0 and 1 is frame1. One number, or several in any order.
            hints: correspondences between the frames, for where the automatic motion fails.

        Returns:
            One NumPy array per time, of the shape and type of the input; float32 if NumPy has no such type, as for
            bfloat16. If both frames are equal, bit-exact copies.

        Raises:
            InputError: invalid frames, times or hints.
        """
        times = check_times(times)
        return [frame() for frame in self.draw(self.prepare(frame0, frame1, hints), times)]

    def __reduce__(self) -> tuple[type["Interpolator"], tuple]:
        """Pickle the arguments alone; another process creates its own interpolator, on its own device."""
        return type(self), self._arguments

    def weights(self) -> dict[str, Path]:
        """The files of weights that the frames depend on, by name."""
        folder = self.context.folder
        found = {name: checkpoints.find(name, folder) for name in methods.SYNTHESES[self.synthesis].weights}
        if self.flow or self.matching != "off":
            found |= flows.weights_of(self.flow or "sgm", folder)
        return {name: path for name, path in found.items() if path}

    def settings(self) -> dict[str, Any]:
        """All that determines the frames, as values that JSON can represent; weights by their digests."""
        backend = self.context.backend
        settings = {
            "version": VERSION,
            "flow": self.flow,
            "synthesis": self.synthesis,
            "device": self.device.type,
            "precision": list(self.context.precisions),
            "weights": {name: runs.digest(path) for name, path in self.weights().items()},
        }
        if backend != "pytorch":
            from _train.frame_interpolation import onnx_models

            settings |= onnx_models.settings(backend, self.context.folder)
        matching = self.matching if importlib.util.find_spec("numba") else "off"
        of_drawings = {"line_art": self.line_art, "matching": matching}
        return settings | {name: value for name, value in of_drawings.items() if value != "off"}

    @torch.inference_mode()
    def prepare(
        self, frame0: ArrayLike, frame1: ArrayLike, hints: Sequence[Hint] = (), masks: Sequence[np.ndarray] = ()
    ) -> PreparedFrames:
        """Compute everything that does not depend on the time; frames as in `__call__`.

        Args:
            hints: correspondences between the frames; all must lie inside them.
            masks: (h, w) in [0, 1], of parts of frame 0 that have their own timing, from back to front.

        Raises:
            InputError: invalid frames, hints or masks.
        """
        frame0, frame1 = as_arrays(frame0, frame1)
        check_hints(hints, frame0.shape[:2])
        masks = as_masks(masks, frame0.shape[:2])
        values = Range.of(frame0, frame1)
        if np.array_equal(frame0, frame1):
            return PreparedFrames(None, frame0.copy(), values)
        tensors = self._tensors(frame0, frame1, values)
        lines = self._lines(*tensors)
        hinted = parted = None
        with self._own_precision():
            if hints:
                from _train.frame_interpolation.guides.hinted import PreparedHints

                hinted = PreparedHints(self.pipeline, tensors[0], tensors[1], hints)
            prepared = hinted.automatic if hinted else self.pipeline.prepare(tensors[0], tensors[1])
            if masks:
                shown = [torch.as_tensor(mask, device=self.device)[None, None] for mask in masks]
                parted = PreparedParts(hinted or AutomaticMotion(self.pipeline, prepared), shown)
        return PreparedFrames(prepared, frame0, values, hinted, parted, lines)

    def _tensors(self, frame0: np.ndarray, frame1: np.ndarray, values: Range) -> list[Tensor]:
        """Two frames as (1, 3 or 4, h, w) in [0, 1]."""
        tensors = [transfer.upload(values.to_unit(frame), self.device)[None] for frame in (frame0, frame1)]
        return [tensor.expand(-1, 3, -1, -1) if tensor.shape[1] == 1 else tensor for tensor in tensors]

    def _lines(self, *frames: Tensor) -> "Lines | None":
        if self.line_art == "off":
            return None
        from _train.frame_interpolation.guides.line_art import Lines

        return Lines.of(*(image.to_array(frame[0], np.float32) for frame in frames), is_forced=self.line_art == "on")

    @torch.inference_mode()
    def displacement(self, frame0: ArrayLike, frame1: ArrayLike) -> Tensor:
        """The displacement between two frames as in `__call__`, for `easing.estimate`; see `Pipeline.displacement`.

        Raises:
            InputError: invalid frames, or as `check_eases`.
        """
        self.check_eases()
        frame0, frame1 = as_arrays(frame0, frame1)
        with self._own_precision():
            return self.pipeline.displacement(*self._tensors(frame0, frame1, Range.of(frame0, frame1)))

    def check_eases(self) -> None:
        """Raise InputError unless the synthesis finds motion itself, as `displacement` needs it."""
        if self.pipeline.network is None:
            raise InputError(
                f"The ease auto needs a synthesis that finds motion itself, such as ifnet; {self.method} does not."
            )

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise InputError if a backend other than PyTorch has no usable model for frames of (h, w)."""
        if self.context.backend != "pytorch":
            cast("OnnxIntermediate", self.pipeline.network).check_size(size)

    def flow_of(self, pair: PreparedFrames) -> Flows:
        """The flow (1, 2, h, w) between the frames, both ways, x then y, in pixels."""
        if pair.prepared is None:
            still = torch.zeros(1, 2, *pair.first.shape[:2], device=self.device)
            return Flows(still, still)
        with self._own_precision():
            return self.pipeline.flow(pair.prepared)

    def at(self, pair: PreparedFrames, t: float) -> np.ndarray:
        """The frame at time t in (0, 1), in the shape and type of the input."""
        (frame,) = self.draw(pair, [t])
        return frame()

    @torch.inference_mode()
    def draw(
        self,
        pair: PreparedFrames,
        times: Iterable[float],
        own: Sequence[Sequence[float]] = (),
        easing: Easing | None = None,
    ) -> Iterator[Callable[[], np.ndarray]]:
        """Yield, for each time in (0, 1), a function that waits for the frame and returns it, which may be the same
        array at every call.

        On the CPU, frames are drawn one by one, as the iterator advances. A GPU draws several in a batch, and keeps
        working while the caller waits, in any thread. Frames have the shape and type of the input.

        Args:
            own: for each mask given to `prepare`, the times of that part, one per frame.
            easing: progress of motion at the times, per pixel if `Pipeline.takes_maps` and there are no hints or masks,
                else its mean. Linear by default.

        Raises:
            InputError: invalid times, or not as many of `own` as there are masks and times.
        """
        if pair.prepared is None:
            yield from (pair.first.copy for _ in check_times(times))
            return
        if easing is not None and not self._takes_maps(pair):
            times, easing = map(easing.mean, check_times(times)), None
        _check_count("mask", len(own), pair.parted.count if pair.parted else 0)
        if pair.parted is not None:
            times, own = check_times(times), list(map(check_times, own))
            for of_part in own:
                _check_count("frame", len(of_part), len(times))
            for t, *of_parts in zip(times, *own, strict=True):
                with self._own_precision():
                    frame, width = pair.parted.frame(t, of_parts)[0], self._widths(pair, t)
                yield self._waiting(pair, t, frame, width)
            return
        times = iter(times)
        count = self._together(pair) if easing is None else 1
        while together := check_times(itertools.islice(times, count)):
            for t, frame, width in zip(together, *self._frames(pair, together, easing), strict=True):
                of_tones = t if pair.lines is None or easing is None else easing.mean(t)
                yield self._waiting(pair, of_tones, frame, width)

    def _takes_maps(self, pair: PreparedFrames) -> bool:
        is_guided = pair.hinted is not None or pair.parted is not None
        return pair.prepared is not None and not is_guided and self.pipeline.takes_maps(pair.prepared)

    def _together(self, pair: PreparedFrames) -> int:
        if self.device.type == "cpu":
            return 1
        h, w = pair.first.shape[:2]
        return max(1, min(_TIMES_TOGETHER, _PIXELS_TOGETHER // (h * w)))

    def _frames(
        self, pair: PreparedFrames, times: list[float], easing: Easing | None
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        """Frames (n, 3 or 4, h, w) in [0, 1], and the widths (1, h, w) of lines in each, if these are redrawn.

        Args:
            easing: of one time.
        """
        with self._own_precision():
            if pair.hinted is not None:
                return pair.hinted.frames(times), [self._widths(pair, t) for t in times]
            assert pair.prepared is not None
            if easing is not None:
                t: float | Tensor = easing.progress(times[0], pair.prepared.size)
            elif self.device.type == "cpu":
                t = times[0]
            else:
                t = graphs.constant(times, torch.empty(0, device=self.device))
            if pair.lines is None:
                return self.pipeline.frames(pair.prepared, t), [None] * len(times)
            frames, widths = self.pipeline.carry(pair.prepared, t, self._widths_of_keys(pair.lines))
            return frames, list(widths)

    def _widths(self, pair: PreparedFrames, t: float) -> Tensor | None:
        """The widths (1, h, w) of lines at time t, by automatic motion; None unless lines are redrawn."""
        if pair.lines is None:
            return None
        assert pair.prepared is not None
        return self.pipeline.carry(pair.prepared, t, self._widths_of_keys(pair.lines))[1][0]

    def _widths_of_keys(self, lines: "Lines") -> Tensor:
        return torch.from_numpy(lines.widths[:, None]).to(self.device)

    def _own_precision(self) -> torch.autocast:
        """Disable any `torch.autocast` of the caller, and allow TF32 or not as `precision` says.

        TF32 is not reset afterwards, since another thread may be drawing with the same interpolator.
        """
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = self._allows_tf32
            torch.set_float32_matmul_precision("highest")  # TF32 would round correlations
        return torch.autocast(self.device.type, enabled=False)

    def _waiting(self, pair: PreparedFrames, t: float, frame: Tensor, width: Tensor | None) -> Callable[[], np.ndarray]:
        """Start converting a frame (3 or 4, h, w) at time t to the shape and type of the input.

        Args:
            width: of its lines, (1, h, w); set if `pair.lines` are.
        """
        if pair.lines is not None and width is not None:
            is_soft = not self._takes_maps(pair)  # splatted
            redrawn = pair.lines.redraw(image.to_array(frame, np.float32), t, width[0].float().cpu().numpy(), is_soft)
            frame = torch.from_numpy(redrawn).permute(2, 0, 1).to(frame)
        is_grey = pair.first.ndim == 2 or pair.first.shape[2] == 1
        frame = frame.mean(0, keepdim=True) if is_grey else frame
        return functools.partial(_like, pair, transfer.download(frame, pair.values.unit_type(pair.first.dtype)))


def _like(pair: PreparedFrames, wait: Callable[[], np.ndarray]) -> np.ndarray:
    return pair.values.from_unit(wait().reshape(pair.first.shape), pair.first.dtype)


def _check_count(of: str, given: int, needed: int) -> None:
    if given != needed:
        raise InputError(f"Own times of parts are for {counted(given, of)}, and there are {needed}; give as many.")


@functools.cache
def _print_once(note: str) -> None:
    print(note, file=sys.stderr)
