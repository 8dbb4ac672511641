"""Images read at any positions, the border repeated beyond it, on every kind of device.

`F.grid_sample` does it, but on Apple's GPUs it lacked the border before PyTorch 2.13, and lacks the bicubic kernel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_CUBIC_A = -0.75  # of the cubic kernel (Keys, 1981), PyTorch's and OpenCV's


def sample(image: Tensor, grid: Tensor, mode: str = "bilinear", align_corners: bool = False) -> Tensor:
    """`F.grid_sample(image, grid, mode, "border", align_corners)`.

    Args:
        image: (b, c, h, w).
        grid: (b, h', w', 2), x then y; -1 and 1 are the middles of the outermost pixels if `align_corners`, else their
            outer edges.
        mode: "bilinear" or "bicubic".
    """
    if image.device.type == "mps":
        return sample_without_border(image, grid, mode, align_corners)
    return F.grid_sample(image, grid, mode, padding_mode="border", align_corners=align_corners)


def sample_without_border(image: Tensor, grid: Tensor, mode: str, align_corners: bool) -> Tensor:
    """The same, of what any device has kernels for."""
    if mode == "bicubic":
        return _bicubic(image, grid, align_corners)
    h, w = image.shape[2:]
    # A position within the middles of the outermost pixels has no neighbour outside that counts.
    most = (1.0, 1.0) if align_corners else (1 - 1 / w, 1 - 1 / h)
    inside = torch.stack([part.clamp(-limit, limit) for part, limit in zip(grid.unbind(-1), most, strict=True)], -1)
    return F.grid_sample(image, inside, mode, padding_mode="zeros", align_corners=align_corners)


def _bicubic(image: Tensor, grid: Tensor, align_corners: bool) -> Tensor:
    b, c, h, w = image.shape
    pixels = image.flatten(2)
    (columns, across), (rows, down) = (
        _taps(part, side, align_corners) for part, side in zip(grid.unbind(-1), (w, h), strict=True)
    )
    result = torch.zeros(b, c, *grid.shape[1:3], device=image.device, dtype=image.dtype)
    for row, share in zip(rows, down, strict=True):
        for column, part in zip(columns, across, strict=True):
            places = (row * w + column).flatten(1)[:, None].expand(-1, c, -1)
            result = result + pixels.gather(2, places).view_as(result) * (share * part)[:, None]
    return result


def _taps(places: Tensor, side: int, align_corners: bool) -> tuple[list[Tensor], list[Tensor]]:
    """The four pixels around each place (b, h', w') of a grid, and their shares."""
    position = (places + 1) / 2 * (side - 1) if align_corners else ((places + 1) * side - 1) / 2
    first = position.floor()
    beyond = position - first
    pixels = [(first + step).clamp(0, side - 1).long() for step in (-1, 0, 1, 2)]
    distances = beyond + 1, beyond, 1 - beyond, 2 - beyond
    return pixels, [_far(distances[0]), _near(distances[1]), _near(distances[2]), _far(distances[3])]


def _near(x: Tensor) -> Tensor:
    return ((_CUBIC_A + 2) * x - (_CUBIC_A + 3)) * x * x + 1


def _far(x: Tensor) -> Tensor:
    return ((_CUBIC_A * x - 5 * _CUBIC_A) * x + 8 * _CUBIC_A) * x - 4 * _CUBIC_A
