"""Crops and augmentations of triplets; flows change with their frames."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from _databacks.triplet import Triplet
from _util import flow


def augment(triplet: Triplet, size: tuple[int, int], random: torch.Generator) -> Triplet:
    """Crop randomly to (h, w) = `size`, mirror with probability 1/2 and reverse in time with probability 1/2.

    The published augmentations (Chen and Zwicker, ECCV 2022). Frames smaller than the crop are enlarged first.
    """
    triplet = enlarge(triplet, size)
    top, left = (
        int(torch.randint(whole - part + 1, (), generator=random))
        for whole, part in zip(triplet.frames.shape[2:], size, strict=True)
    )
    mirrored, reversed_ = torch.rand(2, generator=random) < 0.5
    triplet = crop(triplet, top, left, size)
    triplet = mirror(triplet) if mirrored else triplet
    return reverse(triplet) if reversed_ else triplet


def enlarge(triplet: Triplet, size: tuple[int, int]) -> Triplet:
    """Upscale, keeping the aspect ratio, to at least (h, w) = `size`; larger triplets are returned unchanged."""
    h, w = triplet.frames.shape[2:]
    factor = max(size[0] / h, size[1] / w)
    if factor <= 1:
        return triplet
    larger = max(size[0], round(h * factor)), max(size[1], round(w * factor))
    frames = F.interpolate(triplet.frames, larger, mode="bilinear", align_corners=False)
    return _with(triplet, frames, lambda field: flow.resize(field[None], larger)[0])


def crop(triplet: Triplet, top: int, left: int, size: tuple[int, int]) -> Triplet:
    """Crop to (h, w) = `size`, starting at row `top` and column `left`."""

    def cut(field: Tensor) -> Tensor:
        return field[..., top : top + size[0], left : left + size[1]].contiguous()

    return _with(triplet, cut(triplet.frames), cut)


def mirror(triplet: Triplet) -> Triplet:
    """Mirror horizontally, flows included."""
    sign = torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    return _with(triplet, triplet.frames.flip(-1), lambda field: field.flip(-1) * sign)


def reverse(triplet: Triplet) -> Triplet:
    """Reverse in time: frames in reverse order, flow01 and flow10 swapped, time t becomes 1 - t."""
    flows = None if triplet.flows is None else triplet.flows[::-1]
    return triplet._replace(frames=triplet.frames.flip(0), flows=flows, time=1 - triplet.time)


def _with(triplet: Triplet, frames: Tensor, change: Callable[[Tensor], Tensor]) -> Triplet:
    flows = None if triplet.flows is None else tuple(map(change, triplet.flows))
    return triplet._replace(frames=frames, flows=flows)
