"""Line extraction by difference of Gaussians, and each pixel's distance to the nearest line.

EISAI (Chen and Zwicker, "Improving the Perceptual Quality of 2D Animation Interpolation", ECCV 2022), section 3.2:
the normalised Euclidean distance transform (NEDT) turns thin lines into a smooth image that networks and losses can
compare.
"""

import operator
from functools import reduce

import kornia
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _util import threads
from _util.compiled import njit
from _util.distance_transform import edt


def difference_of_gaussians(
    image: Tensor, sigma: float = 1.0, k: float = 1.6, gain: float = 2.0, epsilon: float = 0.01
) -> Tensor:
    """`0.5 + gain · (G(k · sigma) - G(sigma)) - epsilon` of the grey image; above 0.5 on dark lines.

    Args:
        image: (b, 3, h, w) RGB in [0, 1].
        sigma: standard deviation of the narrower Gaussian in pixels; both kernels are truncated at four of theirs.

    Returns:
        (b, 1, h, w) float32, not clipped; differentiable.
    """
    grey = kornia.color.rgb_to_grayscale(image.float())
    narrow, wide = _gaussian(sigma), _gaussian(k * sigma)
    if grey.device.type == "cpu" and not (grey.requires_grad and torch.is_grad_enabled()):
        b, _, h, w = grey.shape
        out = np.empty((b, h, w), np.float32)
        threads.run(
            _dog_rows, b * h, grey.detach().squeeze(1).numpy(), narrow, wide, np.float32(gain), np.float32(epsilon), out
        )
        return torch.from_numpy(out).unsqueeze(1)
    return 0.5 + gain * (_blur(grey, wide) - _blur(grey, narrow)) - epsilon


@torch.no_grad()
def nedt(image: Tensor) -> Tensor:
    """Normalised distance to the nearest line: `1 - exp(-36 · d / max(h, w))`, 0 on lines.

    Args:
        image: (b, 3, h, w) RGB in [0, 1]; the Gaussians scale with its height, σ = h / 540.

    Returns:
        (b, 1, h, w) float32 in [0, 1), without gradient.
    """
    h, w = image.shape[2:]
    distance = edt(difference_of_gaussians(image, sigma=h / 540) > 0.5)
    return 1 - (distance * (-36 / max(h, w))).exp()


def _gaussian(sigma: float) -> np.ndarray:
    width = max(2 * int(4 * sigma) + 1, 3)
    kernel = np.exp(-((np.arange(width) - width // 2) ** 2) / (2 * sigma**2))
    return (kernel / kernel.sum()).astype(np.float32)


def _blur(grey: Tensor, kernel: np.ndarray) -> Tensor:
    h, w = grey.shape[2:]
    reach = len(kernel) // 2
    padded = F.pad(grey, (reach, reach, reach, reach), mode="replicate")
    if grey.device.type == "cpu":
        weight = torch.from_numpy(kernel)
        return F.conv2d(F.conv2d(padded, weight.view(1, 1, 1, -1)), weight.view(1, 1, -1, 1))
    # A GPU may round the inputs of a convolution to TF32, and lines are sensitive to the last digits.
    rows = reduce(operator.add, (share * padded[:, :, :, i : i + w] for i, share in enumerate(kernel.tolist())))
    return reduce(operator.add, (share * rows[:, :, i : i + h] for i, share in enumerate(kernel.tolist())))


@njit(fastmath={"contract", "nsz", "reassoc"})
def _dog_rows(grey, narrow, wide, gain, epsilon, out, start, stop):
    # One task: one row of one image, blurred vertically, then horizontally; borders repeat the edge.
    h, w = grey.shape[1:]
    reach = wide.size // 2
    row = np.empty(w + 2 * reach, np.float32)
    blurred = np.empty((2, w), np.float32)
    for task in range(start, stop):
        n, y = task // h, task % h
        for which in range(2):
            kernel = wide if which else narrow
            half = kernel.size // 2
            row[:] = 0
            for i in range(kernel.size):
                source, share = grey[n, min(max(y + i - half, 0), h - 1)], kernel[i]
                for x in range(w):
                    row[x + half] += share * source[x]
            row[:half] = row[half]
            row[w + half : w + 2 * half] = row[w + half - 1]
            blurred[which] = 0
            for i in range(kernel.size):
                share = kernel[i]
                for x in range(w):
                    blurred[which, x] += share * row[x + i]
        for x in range(w):
            out[n, y, x] = np.float32(0.5) + gain * (blurred[1, x] - blurred[0, x]) - epsilon
