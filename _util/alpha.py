"""Pixels with alpha: compositing, premultiplication and resizing."""

import cv2
import numpy as np


def opaque(pixels: np.ndarray, background: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """(h, w, 3) integers as they are, or (h, w, 4) composited over an 8-bit colour `background`: (h, w, 3)."""
    if pixels.shape[2] == 3:
        return pixels
    largest = np.iinfo(pixels.dtype).max
    share = pixels[:, :, 3:] / np.float32(largest)
    backdrop = np.array(background, np.float32) * np.float32(largest / 255)
    return (backdrop + (pixels[:, :, :3] - backdrop) * share).round().astype(pixels.dtype)


def premultiplied(pixels: np.ndarray, largest: float) -> np.ndarray:
    """Convert (h, w, 4) with straight alpha in [0, largest] to premultiplied float32 of the same range."""
    values = pixels.astype(np.float32)
    values[:, :, :3] *= values[:, :, 3:] / np.float32(largest)
    return values


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w), (h, w, 3) or (h, w, 4) integers resized to (h, w) = `size`: area averages to smaller sizes, else Lanczos.

    Colours are weighted by their alpha, so that those of transparent pixels do not show.
    """
    if pixels.shape[:2] == size:
        return np.ascontiguousarray(pixels)
    is_smaller = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if is_smaller else cv2.INTER_LANCZOS4
    if pixels.ndim == 2 or pixels.shape[2] < 4:
        return cv2.resize(pixels, size[::-1], interpolation=method)
    largest = np.iinfo(pixels.dtype).max
    values = cv2.resize(premultiplied(pixels, largest), size[::-1], interpolation=method)
    values[:, :, :3] /= np.maximum(values[:, :, 3:], 1e-3) / largest
    return values.clip(0, largest).round().astype(pixels.dtype)
