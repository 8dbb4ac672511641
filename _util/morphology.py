"""Morphology of grey (b, c, h, w) tensors and of masks, with a square window; pixels beyond the border are ignored."""

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
        planes = image.float().flatten(0, 1).contiguous().numpy()
        opened = [cv2.morphologyEx(plane, cv2.MORPH_OPEN, window) for plane in planes]
        return torch.from_numpy(np.stack(opened)).to(image.dtype).view(image.shape)
    reach = size // 2
    return dilated(-dilated(-image, reach), reach)


def dilated(image: Tensor, reach: int) -> Tensor:
    """The maximum within `reach` pixels along both axes of (b, c, h, w)."""
    rows = F.max_pool2d(image, (1, 2 * reach + 1), 1, (0, reach))
    return F.max_pool2d(rows, (2 * reach + 1, 1), 1, (reach, 0))


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
