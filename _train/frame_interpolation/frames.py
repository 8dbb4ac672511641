"""Input validation: two frames and times, checked and converted to the form that all other modules expect."""

import math
import numbers
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from _util.errors import InputError
from _util.pixels import colours_of

SMALLEST_SIDE = 16
_PIL_MODES = ("L", "RGB", "RGBA", "I;16", "F")


class Range(NamedTuple):
    """The value range of frames, which is mapped to [0, 1] for processing."""

    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, *frames: np.ndarray) -> "Range":
        """[0, 1], extended to include all values of floating frames; integers are scaled by their dtype's range.

        Raises:
            InputError: the range is no finite number.
        """
        if not np.issubdtype(frames[0].dtype, np.floating):
            return cls()
        low, high = min(0.0, *(float(f.min()) for f in frames)), max(1.0, *(float(f.max()) for f in frames))
        if not math.isfinite(high - low):
            raise InputError(f"The frames hold values from {low:g} to {high:g}, which is too wide a range; scale them.")
        return cls(low, high)

    def unit_type(self, dtype: np.dtype) -> np.dtype:
        """The type in [0, 1] of frames of `dtype`: scaled ones as float16 would lose their dark tones."""
        return dtype if self == Range() else np.promote_types(dtype, np.float32)

    def to_unit(self, frame: np.ndarray) -> np.ndarray:
        """Map the colours of a frame to [0, 1], as `unit_type`. Alpha is unchanged, as it is in [0, 1] already."""
        scaled = self._map_colours(frame, lambda colours: (colours - self.low) / (self.high - self.low))
        return scaled.astype(self.unit_type(frame.dtype), copy=False)

    def from_unit(self, frame: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The inverse of `to_unit`, for frames of `dtype`."""
        scaled = self._map_colours(frame, lambda colours: colours * (self.high - self.low) + self.low)
        return scaled.astype(dtype, copy=False)

    def _map_colours(self, frame: np.ndarray, function: Any) -> np.ndarray:
        if self == Range():
            return frame
        mapped = frame.astype(np.float64, order="C")
        colours = colours_of(mapped)
        colours[...] = function(colours)
        return mapped


def as_arrays(frame0: Any, frame1: Any) -> tuple[np.ndarray, np.ndarray]:
    """Convert two frames to arrays and validate them with `check_frames`.

    Args:
        frame0, frame1: arrays or array-likes, tensors on any device, or Pillow images.

    Raises:
        InputError: they cannot be converted, or are not two frames of one kind.
    """
    arrays = _as_array(frame0), _as_array(frame1)
    check_frames(*arrays)
    return arrays


def _as_array(frame: Any) -> np.ndarray:
    if isinstance(frame, str | bytes | Path):
        raise InputError(f"A frame is an array, not the path {str(frame)!r}; _util.image.read reads files.")
    if isinstance(frame, Image.Image) and frame.mode not in _PIL_MODES:
        raise InputError(f"A picture of Pillow's mode {frame.mode} is not understood; convert it to RGB or RGBA.")
    if np.ma.is_masked(frame):
        raise InputError("A frame has masked pixels; fill them, or give them an alpha of 0.")
    torch = sys.modules.get("torch")  # if it is not imported, no frame is a tensor
    try:
        return _tensor_as_array(torch, frame) if torch and isinstance(frame, torch.Tensor) else np.asarray(frame)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"A frame cannot be made an array ({' '.join(str(error).split())}).") from error


def _tensor_as_array(torch: Any, frame: Any) -> np.ndarray:
    frame = frame.detach().cpu()
    has_a_type_in_numpy = not frame.is_floating_point() or frame.dtype in (torch.float16, torch.float32, torch.float64)
    return (frame if has_a_type_in_numpy else frame.float()).resolve_neg().numpy()


def check_frames(frame0: np.ndarray, frame1: np.ndarray) -> None:
    """Raise InputError unless both are frames of one kind that can be interpolated."""
    for frame in (frame0, frame1):
        if frame.ndim not in (2, 3) or (frame.ndim == 3 and frame.shape[2] not in (1, 3, 4)):
            raise InputError(f"A frame is (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), not {frame.shape}.")
        kind = frame.dtype.newbyteorder("=")
        if kind not in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
            raise InputError(f"A frame holds uint8, uint16, or floating values of up to 64 bits, not {frame.dtype}.")
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
    for name, frame in (("first", frame0), ("second", frame1)):
        _check_values(name, frame)


def _check_values(name: str, frame: np.ndarray) -> None:
    if not np.issubdtype(frame.dtype, np.floating):
        return
    finite = np.isfinite(frame)
    if not finite.all():
        y, x = np.argwhere(~finite)[0][:2]
        count = np.count_nonzero(~finite)
        raise InputError(
            f"The {name} frame holds {count} values that are not finite, one at x {x}, y {y}; replace them."
        )
    if frame.ndim == 3 and frame.shape[2] == 4:
        alpha = frame[:, :, 3]
        if alpha.min() < 0 or alpha.max() > 1:
            raise InputError(
                f"The {name} frame has an alpha from {alpha.min():g} to {alpha.max():g}; alpha lies in [0, 1]."
            )


def as_masks(masks: Iterable[Any], size: tuple[int, int]) -> list[np.ndarray]:
    """Convert masks of parts of frames of (h, w) = `size` to (h, w) float32.

    Raises:
        InputError: one cannot be converted, has another size, or holds values outside [0, 1].
    """
    try:
        arrays = [np.array(mask, np.float32) for mask in masks]
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"A mask cannot be made an array ({' '.join(str(error).split())}).") from error
    for array in arrays:
        if array.shape != size:
            raise InputError(f"A mask has the size of the frames, {size}, not {array.shape}.")
        if not (array.min() >= 0 and array.max() <= 1):
            raise InputError(f"A mask holds values in [0, 1], not from {array.min():g} to {array.max():g}.")
    return arrays


def check_times(times: float | Iterable[float]) -> list[float]:
    """Times in (0, 1) as a list; a single number gives a list of one.

    Raises:
        InputError: one is not a number, or not in (0, 1).
    """
    is_one = isinstance(times, str | bytes | numbers.Number) or getattr(times, "ndim", 1) == 0
    values = [times] if is_one or not isinstance(times, Iterable) else list(times)
    try:
        checked = [_as_number(t) for t in values]
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(f"Times are numbers above 0 and below 1, not {times!r}.") from error
    for t in checked:
        if not 0 < t < 1:
            raise InputError(f"Time {t:g} is not between the frames; times lie above 0 and below 1.")
    return checked


def _as_number(t: Any) -> float:
    if isinstance(t, str | bytes) or (isinstance(t, np.ndarray) and t.dtype.kind in "SU"):  # float() would parse it
        raise TypeError(t)
    return float(t)
