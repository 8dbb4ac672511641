"""Crops and augmentations of triplets; flows change with their frames."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from _databacks.triplet import Triplet
from _util import flow


def augment(triplet: Triplet, size: tuple[int, int], random: torch.Generator) -> Triplet:
    """A random crop of (h, w) = `size`, mirrored half of the time and played backwards half of the time.

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
    """Resized, by the same factor both ways, so that it is at least (h, w) = `size`; as it is if it is that large."""
    h, w = triplet.frames.shape[2:]
    factor = max(size[0] / h, size[1] / w)
    if factor <= 1:
        return triplet
    larger = max(size[0], round(h * factor)), max(size[1], round(w * factor))
    frames = F.interpolate(triplet.frames, larger, mode="bilinear", align_corners=False)
    return _with(triplet, frames, lambda field: flow.resize(field[None], larger)[0])


def crop(triplet: Triplet, top: int, left: int, size: tuple[int, int]) -> Triplet:
    """The part of (h, w) = `size` that begins at a row and a column."""

    def cut(field: Tensor) -> Tensor:
        return field[..., top : top + size[0], left : left + size[1]].contiguous()

    return _with(triplet, cut(triplet.frames), cut)


def mirror(triplet: Triplet) -> Triplet:
    """Left becomes right, in flows too."""
    sign = torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    return _with(triplet, triplet.frames.flip(-1), lambda field: field.flip(-1) * sign)


def reverse(triplet: Triplet) -> Triplet:
    """Played backwards: the last frame first, flow10 as flow01, time counted from the other end."""
    flows = None if triplet.flows is None else triplet.flows[::-1]
    return triplet._replace(frames=triplet.frames.flip(0), flows=flows, time=1 - triplet.time)


def _with(triplet: Triplet, frames: Tensor, change: Callable[[Tensor], Tensor]) -> Triplet:
    flows = None if triplet.flows is None else tuple(map(change, triplet.flows))
    return triplet._replace(frames=frames, flows=flows)
