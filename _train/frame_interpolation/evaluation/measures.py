"""Metrics of a drawn frame against the truth, by name: on whole frames, on regions, at the best-fitting time, and after
registration.

Frames and the truth are compared as 8-bit pictures, as users get them, in fp32 even where autocast is enabled.

Two drawings do not determine the timing of the one between them: in films it is often at a fifth of the way. So
`aligned` draws an item at nine times more and also reports every metric at the time with the best LPIPS (or the best
first metric if LPIPS is not among them). Nor do they determine its position to the pixel, which viewers do not notice:
`registered` first warps the frame onto the truth by smooth flow, so that tears, ghosts and blur remain.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import torch
from torch import Tensor

from _databacks.keyframes import LPIPS_SMALLEST_SIDE
from _train.frame_interpolation.evaluation import sequences
from _train.frame_interpolation.evaluation.items import JudgedItem
from _train.frame_interpolation.evaluation.sequences import SEQUENCE_TIMES
from _train.frame_interpolation.methods import METRICS, PUBLISHED
from _util.errors import InputError
from _util.metrics import ImageMetric, device_for

IN_ROI = ("psnr", "ssim", "ie")
REGISTERED = ("lpips", "chamfer")
ALIGNED_TIMES = tuple(i / 10 for i in range(1, 10))
BEST_TIME = "aligned_time"
SEQUENCE = {"unevenness": sequences.unevenness, "flicker": sequences.flicker}
SMALLEST_REGION = 11  # the larger window of SSIM
_SMOOTH = 8  # pixels, the standard deviation of the Gaussian that smooths the flow of `register`


class Truth(NamedTuple):
    """The truth of an item, prepared once for all methods."""

    frame: Tensor  # (1, 3, h, w), rounded to 8 bits
    whole: dict[str, Any]  # what each metric prepared from it, by name
    roi: dict[str, Any]


class Measures:
    """Metrics by name.

    Args:
        names: of `methods.METRICS`, in the order of the columns.
        protocol: "paper" or "standard", see `_util.metrics`.
        device: where they are computed; on the CPU if it lacks float64.
        in_roi: also measure those of `IN_ROI` in the region, as `roi_NAME`.
        aligned: also measure all at the best time, as `aligned_NAME`, and report that time.
        in_sequence: also measure `sequences.unevenness` and `flicker`, at four times the frame rate.
        registered: also measure those of `REGISTERED` after registration, as `registered_NAME`.

    Attributes:
        higher_is_better: the columns in order -> whether higher is better.

    Raises:
        InputError: a metric lacks its weights.
    """

    def __init__(
        self,
        names: Sequence[str] = PUBLISHED,
        protocol: str = "paper",
        device: torch.device | str = "cpu",
        *,
        in_roi: bool = False,
        aligned: bool = False,
        registered: bool = False,
        in_sequence: bool = False,
    ):
        self.device, self.aligned, self.in_sequence = device_for(device), aligned, in_sequence
        self.metrics = {name: _create(name, protocol).to(self.device) for name in names}
        self.in_roi = [name for name in names if name in IN_ROI and in_roi]
        self.registered = [name for name in names if name in REGISTERED and registered]
        better = {name: bool(metric.higher_is_better) for name, metric in self.metrics.items()}
        self.higher_is_better = dict(better)
        self.higher_is_better |= {f"roi_{name}": better[name] for name in self.in_roi}
        if aligned:
            self.higher_is_better |= {f"aligned_{name}": better[name] for name in names} | {BEST_TIME: True}
        self.higher_is_better |= {f"registered_{name}": better[name] for name in self.registered}
        if in_sequence:
            self.higher_is_better |= dict.fromkeys(SEQUENCE, False)

    @property
    def comparable(self) -> dict[str, bool]:
        """The columns that can be compared as better or worse: all but the time."""
        return {name: higher for name, higher in self.higher_is_better.items() if name != BEST_TIME}

    def times(self, t: float) -> list[float]:
        """The times at which to draw an item whose truth is at time t: unique, t first."""
        times = [t, *(ALIGNED_TIMES if self.aligned else ()), *(SEQUENCE_TIMES if self.in_sequence else ())]
        return list(dict.fromkeys(times))

    @torch.inference_mode()
    def prepare(self, item: JudgedItem) -> Truth:
        """Prepare the truth of an item, once for all methods.

        Raises:
            InputError: the frames or the region are too small.
        """
        frame = quantised(item.triplet.frames[1, None].to(self.device))
        if min(frame.shape[2:]) < LPIPS_SMALLEST_SIDE:
            size = f"{frame.shape[3]}×{frame.shape[2]}"
            raise InputError(f"{item.triplet.name} is {size} pixels; each side needs at least {LPIPS_SMALLEST_SIDE}.")
        part = _crop(frame, item)
        if self.in_roi and min(part.shape[2:]) < SMALLEST_REGION:
            size = f"{part.shape[3]}×{part.shape[2]}"
            raise InputError(
                f"The region of {item.triplet.name} is {size} pixels, and each side needs at least {SMALLEST_REGION}."
            )
        with self._full_precision():
            whole = {name: metric.prepare(frame) for name, metric in self.metrics.items()}
            return Truth(frame, whole, {name: self.metrics[name].prepare(part) for name in self.in_roi})

    @torch.inference_mode()
    def compare(self, frames: Sequence[Tensor], item: JudgedItem, truth: Truth) -> dict[str, float]:
        """Compute every column for the frames (3, h, w) drawn at `times`."""
        frames = [quantised(frame[None].to(self.device).float()) for frame in frames]
        found = {name: self._value(name, frames[0], truth.whole) for name in self.metrics}
        part = _crop(frames[0], item)
        found |= {f"roi_{name}": self._value(name, part, truth.roi) for name in self.in_roi}
        t = item.triplet.time
        by_time = dict(zip(self.times(t), frames, strict=True))
        if self.aligned:
            found |= self._aligned({time: by_time[time] for time in (t, *ALIGNED_TIMES)}, t, truth)
        if self.registered:
            moved = quantised(register(frames[0], truth.frame))
            found |= {f"registered_{name}": self._value(name, moved, truth.whole) for name in self.registered}
        if self.in_sequence:
            first, _, last = item.triplet.frames
            sequence = [first, *(by_time[time][0] for time in SEQUENCE_TIMES), last]
            found |= {name: measure(sequence) for name, measure in SEQUENCE.items()}
        return found

    def _aligned(self, frames: dict[float, Tensor], t: float, truth: Truth) -> dict[str, float]:
        """Every metric at the time with the best LPIPS, or the best first metric if there is no LPIPS; of equally good
        times, as where nothing moves, the one nearest to t.
        """
        name = "lpips" if "lpips" in self.metrics else next(iter(self.metrics))
        sign = -1 if self.higher_is_better[name] else 1
        values = {time: self._value(name, frame, truth.whole) for time, frame in frames.items()}
        best = min(frames, key=lambda time: (sign * values[time], abs(time - t)))
        found = {
            f"aligned_{other}": values[best] if other == name else self._value(other, frames[best], truth.whole)
            for other in self.metrics
        }
        return found | {BEST_TIME: best}

    def _value(self, name: str, frame: Tensor, prepared: dict[str, Any]) -> float:
        with self._full_precision():
            return float(self.metrics[name].compare(frame, prepared[name]).double())

    def _full_precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, enabled=False)


def _create(name: str, protocol: str) -> ImageMetric:
    metric = METRICS[name]
    return metric.creator()(protocol) if metric.has_protocols else metric.creator()()


def quantised(frame: Tensor) -> Tensor:
    """Round values to what an 8-bit picture stores, in [0, 1]."""
    return (255 * frame.clamp(0, 1)).round() / 255


def register(frame: Tensor, truth: Tensor) -> Tensor:
    """Warp a frame (1, 3, h, w) onto the truth, along dense inverse search smoothed by a Gaussian of σ = 8 pixels."""
    flow = cv2.GaussianBlur(sequences.motion(truth[0], frame[0]), (0, 0), _SMOOTH)
    return sequences.moved(frame, flow)


def _crop(frames: Tensor, item: JudgedItem) -> Tensor:
    if item.roi is None:
        return frames
    left, top, right, bottom = item.roi
    return frames[..., top:bottom, left:right]
