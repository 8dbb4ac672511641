"""Image files, arrays and tensors.

Image files are arrays of their own kind: (h, w) grey, (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16. Networks take
(b, 3, h, w) float32 in [0, 1].
"""

import functools
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import DTypeLike
from torch import Tensor

from _util import formats

_MERGED = tuple(map(np.dtype, (np.uint8, np.uint16, np.float32)))  # of planes that OpenCV interleaves


def read(path: str | Path) -> np.ndarray:
    """Read an image file, upright, as (h, w), (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16.

    Floating-point values are converted for display; `formats.read` returns them unchanged, with colour and resolution
    metadata.

    Raises:
        InputError: the file does not exist, is not an image, or is damaged.
    """
    return formats.for_display(formats.read(path))


def write(path: str | Path, image: np.ndarray) -> None:
    """Write (h, w), (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16, as PNG; the file appears whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    formats.write(path, image)


def to_tensor(image: np.ndarray) -> Tensor:
    """(h, w) or (h, w, c), uint8, uint16 or float in [0, 1], to (c, h, w) float32 in [0, 1]."""
    pixels = image if image.ndim == 3 else image[:, :, None]
    pixels = np.require(pixels, pixels.dtype.newbyteorder("="), ["C", "W"])
    scale = 1 if np.issubdtype(pixels.dtype, np.floating) else np.iinfo(pixels.dtype).max
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    return tensor.to(torch.float32, memory_format=torch.contiguous_format, copy=True).div_(scale)


def to_array(tensor: Tensor, dtype: DTypeLike) -> np.ndarray:
    """(c, h, w) in [0, 1] to (h, w, c), or (h, w) if c is 1, of the given dtype; integers are rounded, not cut."""
    values = tensor.detach().float().clamp(0, 1).cpu()
    dtype = np.dtype(dtype)
    if np.issubdtype(dtype, np.integer):
        values = (values * np.iinfo(dtype).max).round_()
    planes = values.numpy().astype(dtype)
    if len(planes) == 1:
        return planes[0]
    pixels = planes.transpose(1, 2, 0)
    if pixels.flags.c_contiguous or dtype not in _MERGED:
        return np.ascontiguousarray(pixels)
    return cv2.merge(list(planes))


def pictures_of(frame0: Tensor, frame1: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Two frames (1, 3, h, w) RGB in [0, 1] as (h, w, 3) uint8."""
    return to_array(frame0[0], np.uint8), to_array(frame1[0], np.uint8)


def difference(picture0: np.ndarray, picture1: np.ndarray) -> np.ndarray:
    """(h, w) uint8: the largest difference of any channel of two (h, w, 3) uint8."""
    return functools.reduce(cv2.max, cv2.split(cv2.absdiff(picture0, picture1)))


def contact_sheet(rows: Iterable[Iterable[np.ndarray]]) -> np.ndarray:
    """Rows of pictures (h, w, 3) of one size and type as one picture, each with a black border of one pixel."""
    bordered = ([np.pad(picture, ((1, 1), (1, 1), (0, 0))) for picture in row] for row in rows)
    return np.concatenate([np.concatenate(row, 1) for row in bordered])


def logit(image: Tensor) -> Tensor:
    """`log(p / (1 - p))` of values in [0, 1], first scaled to [1/255, 254/255] to keep it finite."""
    p = (253 * image + 1) / 255
    return (p / (1 - p)).log()


def inverse_logit(logits: Tensor) -> Tensor:
    """The inverse of `logit`, clamped to [0, 1]."""
    return ((255 * logits.sigmoid() - 1) / 253).clamp(0, 1)


def resize_rows(image: Tensor, size: tuple[int, int], start: int, stop: int) -> Tensor:
    """Rows `start … stop - 1` of `image` resized bilinearly to (h, w) = `size`.

    Args:
        image: (b, c, any, any).

    Returns:
        (b, c, stop - start, w); equal to those rows of `F.interpolate(image, size, mode="bilinear")`.
    """
    h, w = size
    if (start, stop) == (0, h):
        return F.interpolate(image, size, mode="bilinear", align_corners=False)
    rows = image.shape[2]
    y = ((torch.arange(start, stop, device=image.device) + 0.5) * (rows / h) - 0.5).clamp(min=0)
    above = y.long().clamp(max=rows - 1)
    share = (y - above).view(-1, 1).to(image.dtype)
    band = image[:, :, above].lerp(image[:, :, (above + 1).clamp(max=rows - 1)], share)
    return F.interpolate(band, (stop - start, w), mode="bilinear", align_corners=False)
