"""Morphology of grey (b, c, h, w) tensors and of masks, with a square window; pixels beyond the border are ignored."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def opening(image: Tensor, size: int = 5) -> Tensor:
    """Erosion, then dilation, by a window of `size` × `size` ones: what is narrower than the window disappears.

    Args:
        image: (b, c, h, w), any floating dtype.
        size: side of the window, odd.

    Returns:
        (b, c, h, w), without gradient; equal to `kornia.morphology.opening` with a window of ones.
    """
    if image.device.type == "cpu":
        window = np.ones((size, size), np.uint8)
        return _by_plane(image, lambda plane: cv2.morphologyEx(plane, cv2.MORPH_OPEN, window))
    reach = size // 2
    return dilated(-dilated(-image, reach), reach)


@torch.no_grad()
def dilated(image: Tensor, reach: int) -> Tensor:
    """The maximum within `reach` pixels along both axes of (b, c, h, w), without gradient."""
    if image.device.type == "cpu":  # where PyTorch's pooling takes many times as long
        window = np.ones((2 * reach + 1,) * 2, np.uint8)
        return _by_plane(image, lambda plane: cv2.dilate(plane, window))
    rows = F.max_pool2d(image, (1, 2 * reach + 1), 1, (0, reach))
    return F.max_pool2d(rows, (2 * reach + 1, 1), 1, (reach, 0))


@torch.no_grad()
def box_mean(image: Tensor, reach: int) -> Tensor:
    """The mean within `reach` pixels along both axes of (b, c, h, w), without gradient."""
    if image.device.type == "cpu":
        size = (2 * reach + 1,) * 2

        def sums(plane: np.ndarray) -> np.ndarray:
            return cv2.boxFilter(plane, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)

        counts = sums(np.ones(image.shape[2:], np.float32))
        return _by_plane(image, lambda plane: sums(plane) / counts)
    rows = F.avg_pool2d(image, (1, 2 * reach + 1), 1, (0, reach), count_include_pad=False)
    return F.avg_pool2d(rows, (2 * reach + 1, 1), 1, (reach, 0), count_include_pad=False)


def _by_plane(image: Tensor, function: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Apply a function of a plane (h, w) float32 to each plane of (b, c, h, w)."""
    planes = image.float().flatten(0, 1).contiguous().numpy()
    return torch.from_numpy(np.stack([function(plane) for plane in planes])).to(image.dtype).view(image.shape)


def dilated_mask(mask: np.ndarray, reach: int) -> np.ndarray:
    """Dilate a mask (h, w) by `reach` pixels along both axes; bool."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0


def nearest_known(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value of the nearest known pixel at each pixel (h, w), and its distance in pixels, float32."""
    distance, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    labels = np.asarray(labels, np.intp)
    table = np.zeros(labels.max() + 1, values.dtype)
    table[labels[known]] = values[known]
    return table[labels], np.asarray(distance)
