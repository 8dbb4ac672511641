"""Arrays of pixels: decoding, encoding, conversion of depth and channels, resizing, placement and orientation."""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np

TRANSPOSED = (5, 6, 7, 8)  # orientations of EXIF that exchange width and height
_NAMES = {1: "grey", 3: "RGB", 4: "RGBA"}  # by number of channels


def decoded(data: bytes | np.ndarray) -> np.ndarray:
    """Decode the bytes of an image file by OpenCV: (h, w), (h, w, 3) RGB or (h, w, 4) RGBA of the depth that it has.

    Raises:
        ValueError: OpenCV cannot decode it.
    """
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("it cannot be decoded")
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def encoded(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    """The bytes of an image file, without tags, of (h, w), (h, w, 3) RGB or (h, w, 4) RGBA, uint8, or uint16 in PNG."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def as_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Convert uint8 or uint16 to uint8, rounded."""
    return (pixels / 257).round().astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def as_16_bits(pixels: np.ndarray) -> np.ndarray:
    """Convert uint8 or uint16 to uint16."""
    return pixels.astype(np.uint16) * np.uint16(257) if pixels.dtype == np.uint8 else pixels


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Extend (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) to at least 3 or 4 channels.

    Grey becomes RGB. Added alpha is opaque: 1 for floating-point values, the largest value for integers.
    """
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, 2)
    if pixels.shape[2] < channels:
        largest = 1 if np.issubdtype(pixels.dtype, np.floating) else np.iinfo(pixels.dtype).max
        pixels = np.concatenate([pixels, np.full_like(pixels[:, :, :1], largest)], 2)
    return pixels


def unpremultiply(values: np.ndarray) -> None:
    """Divide the colours of floating-point (h, w, 4) by their alpha, in place; those of zero alpha stay."""
    colours, alpha = values[:, :, :3], values[:, :, 3:]
    np.divide(colours, alpha, out=colours, where=alpha > 0)


class PixelType(NamedTuple):
    """The type of pixels: 1 channel (grey), 3 (RGB) or 4 (RGBA), and the type of their values."""

    channels: int
    dtype: np.dtype

    @classmethod
    def of(cls, pixels: np.ndarray) -> "PixelType":
        """The type of (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)."""
        return cls(pixels.shape[2] if pixels.ndim == 3 else 1, pixels.dtype)

    @classmethod
    def common(cls, types: Iterable["PixelType"]) -> "PixelType":
        """The smallest type that holds pixels of all types without loss, which must be all integers or all floating."""
        channels, dtypes = zip(*types, strict=True)
        return cls(max(channels), np.result_type(*dtypes))

    def convert(self, pixels: np.ndarray) -> np.ndarray:
        """Convert pixels of a type that this one holds without loss."""
        if pixels.dtype != self.dtype:
            pixels = pixels.astype(self.dtype) if np.issubdtype(self.dtype, np.floating) else as_16_bits(pixels)
        return with_channels(pixels, self.channels) if self.channels > 1 else pixels

    def __str__(self) -> str:
        return f"{_NAMES[self.channels]} with {8 * self.dtype.itemsize} bits"


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize to (h, w) = `size`: area averages to smaller sizes, else bicubic."""
    if pixels.shape[:2] == size:
        return pixels
    shrinks = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def placed(pixels: np.ndarray, at: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Place pixels at (y, x) on a canvas of (h, w) = `size`, 0 elsewhere; what lies outside is cropped."""
    if (at, pixels.shape[:2]) == ((0, 0), size):
        return pixels
    canvas = np.zeros((*size, *pixels.shape[2:]), pixels.dtype)
    paste(canvas, pixels, at)
    return canvas


def paste(canvas: np.ndarray, pixels: np.ndarray, at: tuple[int, int]) -> None:
    """Put pixels onto a canvas at (y, x), which may lie outside."""
    (y, x), (h, w), (height, width) = at, pixels.shape[:2], canvas.shape[:2]
    top, left, bottom, right = max(y, 0), max(x, 0), min(y + h, height), min(x + w, width)
    if top < bottom and left < right:
        canvas[top:bottom, left:right] = pixels[top - y : bottom - y, left - x : right - x]


def colours_of(pixels: np.ndarray) -> np.ndarray:
    """The colours of contiguous pixels, (h, w, 1 or 3), as a view: all channels but alpha."""
    return pixels.reshape(*pixels.shape[:2], -1)[:, :, :3]


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels (h, w, …) upright, by an orientation of EXIF or TIFF, 1 to 8."""
    if orientation in TRANSPOSED:
        pixels = cv2.transpose(pixels)
    axis = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if axis is None else cv2.flip(pixels, axis)
