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
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from _train.frame_interpolation import flows, syntheses
from _train.frame_interpolation.models.softsplat_lite import Source
from _util import checkpoints, cpu, graphs, memory, paths, transfer
from _util.device import choose as choose_device
from _util.errors import InputError

SMALLEST_SIDE = 16
_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_WEIGHTS = {"rfr": ["rfr"], "ssldtm": ["ssl", "dtm"]} | {
    name: [name] for name in ("fusion", "resunet", "transunet", "unet", "ssl")
}
_COARSE_FLOW = "sgm"
_PIXELS_TOGETHER, _TIMES_TOGETHER = 4 * 960 * 540, 8  # that a GPU draws at once


class Pair(NamedTuple):
    """Two frames, ready to be interpolated at any time."""

    prepared: syntheses.Preparation
    flow01: Tensor  # (1, 2, h, w), as the synthesis splats along it
    flow10: Tensor
    alpha: Source | None
    shape: tuple[int, ...]  # of the frames as they were given
    dtype: np.dtype


class Interpolator:
    """Draws the frames between two frames.

    Args:
        flow: one of `flows.NAMES` or "auto", the best that has weights, and "sgm" for a synthesis that refines it.
        synthesis: one of `syntheses.NAMES` or "auto", the best that has weights.
        device: "cpu", "cuda", "cuda:1", … or "auto", a GPU if there is one.
        precision: of the networks: "fp32", "bf16", "fp16" or "auto", what the device is fast and close enough in. On a
            GPU, "auto" also lets convolutions in fp32 round what they multiply to TF32, for the whole process, as is
            PyTorch's default; any other precision forbids it.
        folder: where checkpoints are looked for.

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
        self.device = choose_device(device)
        self.synthesis, synthesis_note = _choose("synthesis", synthesis, syntheses.NAMES, folder)
        if self.synthesis in syntheses.REFINING:
            flow = _coarse(flow, self.synthesis)
        self.flow, flow_note = _choose("flow", flow, flows.NAMES, folder)
        self.precisions = _choose_precisions(precision, self.device)
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = precision == "auto"
            torch.backends.cuda.matmul.allow_tf32 = False  # correlations are not rounded
        memory.keep_freed()
        self.estimator = flows.create(self.flow, self.device, self.precisions.flow, folder)
        along_paths = self.synthesis in syntheses.ALONG_PATHS
        self.motion = flows.with_paths(self.estimator) if along_paths else self.estimator
        self.synthesiser = syntheses.create(self.synthesis, self.device, *self.precisions, folder)
        for note in filter(None, (flow_note, synthesis_note)):
            _say_once(note)

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
        alphas = [tensor[:, 3:] for tensor in tensors] if tensors[0].shape[1] == 4 else None
        seen = colours = [tensor[:, :3].expand(-1, 3, -1, -1) for tensor in tensors]
        if alphas:
            seen = _over_plain_ground(colours, alphas)
            colours = _extend(colours, alphas)
        flow01, flow10 = flows.at_moderate_size(self.motion, *seen)
        prepared = self.synthesiser.prepare(*colours, flow01, flow10)
        alpha = Source(torch.cat(alphas), prepared.image.flow, prepared.image.metric) if alphas else None
        flow01, flow10 = paths.flow(prepared.image.flow).chunk(2)
        return Pair(prepared, flow01, flow10, alpha, frame0.shape, frame0.dtype)

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
        t = times[0] if self.device.type == "cpu" else graphs.constant(times, pair.flow01)
        frames = self.synthesiser.synthesise(pair.prepared, t)
        if len(pair.shape) == 2 or pair.shape[2] == 1:
            frames = frames.mean(1, keepdim=True)
        if pair.alpha is not None:
            alphas = syntheses.splat(pair.alpha, t)
            frames = torch.cat([frames * (alphas > 0), alphas], 1)
        return frames


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


def _over_plain_ground(colours: list[Tensor], alphas: list[Tensor]) -> list[Tensor]:
    """Both frames over white or black, whichever the visible colours stand out from."""
    weight = sum(alpha.sum() for alpha in alphas).clamp(min=1e-6)
    mean = sum((colour * alpha).sum() for colour, alpha in zip(colours, alphas, strict=True)) / (3 * weight)
    ground = float(mean < 0.5)
    return [ground + (colour - ground) * alpha for colour, alpha in zip(colours, alphas, strict=True)]


def _extend(colours: list[Tensor], alphas: list[Tensor]) -> list[Tensor]:
    """Give every pixel of zero alpha the colour of the nearest visible one, so that hidden colours play no part.

    A frame without a visible pixel takes the colours of the other.
    """
    hidden = [(alpha[0, 0] == 0).cpu().numpy() for alpha in alphas]
    sources = [1 - i if hidden[i].all() else i for i in range(2)]
    return [_nearest_visible(colours[i], hidden[i]) for i in sources]


def _nearest_visible(colour: Tensor, hidden: np.ndarray) -> Tensor:
    if hidden.all():
        return torch.zeros_like(colour)
    y, x = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return colour[:, :, torch.from_numpy(y), torch.from_numpy(x)]


class Precisions(NamedTuple):
    flow: torch.dtype
    synthesis: torch.dtype


def _choose_precisions(precision: str, device: torch.device) -> Precisions:
    if precision == "auto":
        # Flow gains little from half precision on the CPU, and rounding adds up over its iterations.
        return Precisions(torch.float32, _fast_precision(device))
    if precision not in _PRECISIONS:
        raise InputError(f"There is no precision {precision!r}; it is auto, {', '.join(_PRECISIONS)}.")
    return Precisions(_PRECISIONS[precision], _PRECISIONS[precision])


def _fast_precision(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        return torch.bfloat16 if cpu.multiplies_bf16() else torch.float32
    generation, _ = torch.cuda.get_device_capability(device)
    if generation >= 8:
        return torch.bfloat16
    # GTX 16, of generation 7 too, has no units for products in fp16, and its convolutions in it are known to fail.
    return torch.float16 if generation == 7 and "GTX 16" not in torch.cuda.get_device_name(device) else torch.float32


def _coarse(flow: str, synthesis: str) -> str:
    """The flow to begin with for a synthesis that refines it."""
    if "rfr" in flow:
        raise InputError(
            f"The synthesis {synthesis} refines a coarse flow by its own RFR and gains nothing from {flow}, which RFR "
            f"has refined already; take --flow {_COARSE_FLOW}."
        )
    return _COARSE_FLOW if flow == "auto" else flow


def _choose(what: str, wanted: str, names: tuple[str, ...], folder: Path) -> tuple[str, str | None]:
    """The name wanted, or of those that have weights the first, with a note for the user about it."""
    if wanted != "auto":
        if wanted not in names:
            raise InputError(f"There is no {what} {wanted!r}; it is auto, {', '.join(names)}.")
        return wanted, None
    missing = {
        name: [checkpoints.expected(part) for part in _WEIGHTS.get(name, []) if not checkpoints.find(part, folder)]
        for name in names
    }
    taken = next(name for name in names if not missing[name])
    note = f"{what}: {taken}"
    if taken != names[0]:
        place = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        note += f" (for {names[0]}, put {' and '.join(missing[names[0]])} into {place})"
    return taken, note


@functools.cache
def _say_once(note: str) -> None:
    print(note, file=sys.stderr)
