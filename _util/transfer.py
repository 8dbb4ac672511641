"""Asynchronous transfer of pictures to a device and back.

In and out: arrays as in `_util.image`. Pictures of 8 bits are copied to and from a GPU as bytes, through pinned memory,
and converted to floats, or rounded, on the GPU.
"""

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from _util import image


def upload(pixels: np.ndarray, device: torch.device) -> Tensor:
    """`image.to_tensor(pixels)`, (c, h, w) float32 in [0, 1], on a device."""
    if pixels.dtype != np.uint8 or not _is_gpu(device):
        return image.to_tensor(pixels).to(device)
    pixels = pixels if pixels.ndim == 3 else pixels[:, :, None]
    pinned = torch.empty(pixels.shape, dtype=torch.uint8, device="cpu", pin_memory=True)
    np.copyto(pinned.numpy(), pixels)
    return pinned.to(device, non_blocking=True).permute(2, 0, 1).contiguous().float() / 255


def download(frame: Tensor, dtype: np.dtype) -> Callable[[], np.ndarray]:
    """`image.to_array(frame, dtype)` for a frame (c, h, w) in [0, 1], as a function that waits for the result.

    It may return the same array at every call. From a GPU, the copy overlaps with the device's further work.
    """
    if not _is_gpu(frame.device):
        array = image.to_array(frame, dtype)
        return lambda: array
    finished, is_bytes = frame.float().clamp(0, 1), dtype == np.uint8
    if is_bytes:
        finished = (255 * finished).round().to(torch.uint8)
    finished = finished.permute(1, 2, 0).contiguous()
    pinned = torch.empty(finished.shape, dtype=finished.dtype, device="cpu", pin_memory=True)
    copying, copied = _stream(frame.device), torch.cuda.Event(blocking=True)
    copying.wait_stream(torch.cuda.current_stream(frame.device))
    with torch.cuda.stream(copying):
        pinned.copy_(finished, non_blocking=True)
        copied.record()
    finished.record_stream(copying)

    def wait() -> np.ndarray:
        copied.synchronize()
        if not is_bytes:
            return image.to_array(pinned.permute(2, 0, 1), dtype)
        array = pinned.numpy().copy()
        return array[:, :, 0] if array.shape[2] == 1 else array

    return wait


def _is_gpu(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_available()


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
