"""Optical flow: (b, 2, h, w), x then y, in pixels of its grid."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _util.graphs import constant
from _util.sampling import sample

_ALIKE = 3.0  # pixels by which paths of one piece differ at most within 3×3 pixels, as those of one that rotates by 80°
CONTRAST = 1.25  # weight of bicubic in mode "sharp"; bilinear has the rest, -0.25


class Flows(NamedTuple):
    """The flow between two frames in both directions."""

    flow01: Tensor  # (b, 2, h, w) from frame 0 to frame 1, x then y, pixels
    flow10: Tensor


def from_arrays(flows: Iterable[np.ndarray], device: torch.device) -> Flows:
    """Convert flow01 and flow10, or paths, from arrays (h, w, c) to tensors (1, c, h, w) on a device."""
    return Flows(*(torch.from_numpy(flow).permute(2, 0, 1)[None].contiguous().to(device) for flow in flows))


def to_array(flow: Tensor) -> np.ndarray:
    """Convert a flow or path from (1, c, h, w) to (h, w, c)."""
    return flow[0].permute(1, 2, 0).cpu().contiguous().numpy()


def backwarp(image: Tensor, flow: Tensor, quirk: bool = True, mode: str = "bilinear") -> Tensor:
    """Sample `image` at the positions that `flow` points to; positions outside take the nearest border pixel.

    Args:
        image: (b, c, h, w).
        flow: (b, 2, h, w), from the grid of the result to the grid of `image`.
        quirk: use the grid of the released EISAI code, with which its weights were trained: pixel x samples at
            `x · w / (w - 1) - ½ + flow`. False: exactly at `x + flow`.
        mode: "bilinear", or "sharp": bicubic plus a quarter of its difference from bilinear, so that lines keep their
            contrast between pixels. Results may slightly exceed the range of the image.

    Returns:
        (b, c, h, w), differentiable in both tensors.
    """
    h, w = flow.shape[2:]
    if quirk:
        x = torch.linspace(-1, 1, w, device=flow.device, dtype=flow.dtype)
        y = torch.linspace(-1, 1, h, device=flow.device, dtype=flow.dtype)
        across, down = 2 / w, 2 / h
    else:
        across, down = 2 / max(w - 1, 1), 2 / max(h - 1, 1)
        x = torch.arange(w, device=flow.device, dtype=flow.dtype) * across - 1
        y = torch.arange(h, device=flow.device, dtype=flow.dtype) * down - 1
    grid = torch.stack([x + flow[:, 0] * across, y[:, None] + flow[:, 1] * down], -1).to(image.dtype)
    if mode == "sharp":
        bilinear, bicubic = (sample(image, grid, kind, align_corners=not quirk) for kind in ("bilinear", "bicubic"))
        return bilinear.lerp(bicubic, CONTRAST)
    return sample(image, grid, mode, align_corners=not quirk)


def resize(flow: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a flow or a path to (h, w) = `size`; vectors are scaled likewise.

    A flow is resized bilinearly, and so is a path where its neighbours are similar. Elsewhere the nearest path is
    taken, since a mean of the paths of two pieces follows neither.
    """
    h, w = flow.shape[2:]
    if (h, w) == tuple(size):
        return flow
    vectors, others = divmod(flow.shape[1], 2)
    scale = constant([size[1] / w, size[0] / h] * vectors + [1.0] * others, flow).view(1, -1, 1, 1)
    scaled = flow * scale
    smooth = F.interpolate(scaled, size, mode="bilinear", align_corners=False)
    if not others:
        return smooth
    spread = F.max_pool2d(scaled, 3, 1, 1) + F.max_pool2d(-scaled, 3, 1, 1)
    steps = constant([_ALIKE * max(size[0] / h, size[1] / w)] * (2 * vectors) + [0.0] * others, flow).view(1, -1, 1, 1)
    is_alike = (spread <= steps).all(1, keepdim=True).to(flow.dtype)
    is_alike, nearest = (F.interpolate(image, size, mode="nearest-exact") for image in (is_alike, scaled))
    return torch.where(is_alike > 0, smooth, nearest)


def to_colours(flow: Tensor, largest: float | None = None) -> np.ndarray:
    """Visualize a flow in Middlebury's colours (Baker et al., IJCV 2011): hue is direction, saturation is length.

    Args:
        flow: (2, h, w).
        largest: length in pixels at full saturation; by default that of the longest vector.

    Returns:
        (h, w, 3) uint8 RGB; white where nothing moves, black where the flow is not finite.
    """
    x, y = flow.detach().cpu().double().numpy()
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(finite, x, 0), np.where(finite, y, 0)
    length = np.hypot(x, y)
    radius = length / max(length.max() if largest is None else largest, 1e-9)
    wheel = _colour_wheel()
    position = (np.arctan2(-y, -x) / np.pi + 1) / 2 * (len(wheel) - 1)
    low = np.floor(position).astype(int)
    share = (position - low)[..., None]
    colour = (1 - share) * wheel[low] + share * wheel[(low + 1) % len(wheel)]
    saturation = np.minimum(radius, 1)[..., None]
    colour = np.where(radius[..., None] <= 1, 1 - saturation * (1 - colour), 0.75 * colour)
    return np.floor(255 * colour * finite[..., None]).astype(np.uint8)


def _colour_wheel() -> np.ndarray:
    """55 hues in [0, 1], red through yellow, green, cyan, blue and magenta, spaced by perceptual similarity."""
    steps = {"ry": 15, "yg": 6, "gc": 4, "cb": 11, "bm": 13, "mr": 6}
    corners = {"r": (1, 0, 0), "y": (1, 1, 0), "g": (0, 1, 0), "c": (0, 1, 1), "b": (0, 0, 1), "m": (1, 0, 1)}
    spans = [np.linspace(corners[a], corners[b], count, endpoint=False) for (a, b), count in steps.items()]
    return np.concatenate(spans)
