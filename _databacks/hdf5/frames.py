"""The frames of a triplet as arrays to store, and back, bit by bit.

As files, a frame is the picture's own file where decoding that gives the frame (PNG, JPEG and WebP without
transparency), else a PNG. As an array, the three are uint8, or uint16 of pictures with 16 bits. What neither can hold
exactly, such as an animation rendered over a gradient, is an array of floats either way.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from _util import image
from _util.pixels import decoded, encoded

FILES = ("frame0", "middle", "frame1")
ARRAY = "frames"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def to_files(frames: Tensor, pictures: Sequence[Path]) -> dict[str, np.ndarray]:
    """Frames, (3, 3, h, w) in [0, 1], as bytes of files, (n,) uint8.

    Args:
        pictures: the files that the frames were read from; empty if there are none.
    """
    files = [_own_file(path, frame) for path, frame in zip(pictures, frames, strict=True)] if pictures else [None] * 3
    files = [_png(frame) if file is None else file for file, frame in zip(files, frames, strict=True)]
    whole = [file for file in files if file is not None]
    if len(whole) < len(files):
        return to_array(frames)
    return dict(zip(FILES, whole, strict=True))


def to_array(frames: Tensor) -> dict[str, np.ndarray]:
    """Frames, (3, 3, h, w) in [0, 1], as one array of that shape: uint8 or uint16 if that is exact, else float32."""
    array = _exact_integers(frames)
    return {ARRAY: frames.contiguous().numpy() if array is None else array}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Tensor:
    """Frames from what `to_files` or `to_array` made of them.

    Raises:
        ValueError: a file cannot be decoded.
    """
    if ARRAY in arrays:
        return _to_float(arrays[ARRAY])
    return torch.stack([_decode(arrays[name]) for name in FILES])


def _own_file(path: Path, frame: Tensor) -> np.ndarray | None:
    if path.suffix.lower() in SUFFIXES:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        with contextlib.suppress(ValueError, cv2.error):
            if torch.equal(_decode(content), frame):
                return content
    return None


def _png(frame: Tensor) -> np.ndarray | None:
    array = _exact_integers(frame)
    if array is None:
        return None
    return np.frombuffer(encoded(array.transpose(1, 2, 0)), np.uint8)


def _decode(content: np.ndarray) -> Tensor:
    pixels = decoded(content)
    if pixels.dtype not in (np.uint8, np.uint16) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError("no opaque picture")
    return image.to_tensor(pixels).expand(3, -1, -1)


def _exact_integers(frames: Tensor) -> np.ndarray | None:
    """Frames as uint8 or uint16, the first that gives them back exactly; None if neither does."""
    for dtype in (np.uint8, np.uint16):
        array = (frames.numpy() * np.float32(np.iinfo(dtype).max)).round().astype(dtype)
        if torch.equal(_to_float(array), frames):
            return array
    return None


def _to_float(array: np.ndarray) -> Tensor:
    if array.dtype == np.float32:
        return torch.from_numpy(array)
    return torch.from_numpy(array).float().div_(np.iinfo(array.dtype).max)
