"""Common parts of networks that splat: their inputs and outputs, and the splatting of both frames to a time.

Softmax splatting (Niklaus and Liu, CVPR 2020) moves each pixel of a frame along its flow. Holes of one frame are filled
from the other.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from _util import paths
from _util.flow import backwarp
from _util.lab import rgb_to_lab
from _util.morphology import opening
from _util.softsplat import softsplat, softsplat_with_mask, splat_part

T = TypeVar("T")
EPSILON = 1e-6  # weight below which a pixel counts as empty
FULL_WEIGHT = 0.05  # weight from which on a pixel is used as it is, without filling
_OPAQUE = 0.75  # coverage of a pixel from which on it hides what is behind
_WHOLE = np.s_[:, :, :, :]  # part of images that is all of them
_TRUST = 0.3  # factor of the metric along paths, whose depth order already resolves occlusion


class Synthesis(NamedTuple):
    """A synthesised frame and what it was made from."""

    frame: Tensor  # (b, 3, h, w) RGB in [0, 1]
    bases: tuple[
        Tensor, Tensor
    ]  # (b, 3 or 4, h, w) RGB, and NEDT in SoftsplatLite: each frame warped, mostly with filling
    masks: tuple[Tensor, Tensor]  # (b, 1, h, w) 1 where pixels of frame 0 (frame 1) landed


class SplatSource(NamedTuple):
    """The input of splatting at one size. The first half of each batch is frame 0 with flow01, the second frame 1."""

    values: Tensor  # (2b, c, h, w)
    flow: Tensor  # (2b, 2, h, w) from each frame to the other, in pixels of this size; or a path, (2b, 9, h, w)
    metric: Tensor  # (2b, 1, h, w)


class SplattedPair(NamedTuple):
    """A pair of frames, prepared by a method that splats nothing but images."""

    image: SplatSource


class Warp(NamedTuple):
    """Both frames splatted to the same time."""

    bases: tuple[Tensor, Tensor]  # warps with their holes filled from each other
    warps: tuple[Tensor, Tensor]
    masks: tuple[Tensor, Tensor]
    flows: tuple[Tensor, Tensor]  # flow01 and flow10 scaled by the time


class SplattingNetwork(nn.Module, ABC):
    """A network that synthesises the frame at a time from two frames that are splatted along the flow between them."""

    def forward(
        self, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor, t: float | Tensor = 0.5
    ) -> Synthesis:
        """Synthesise the frame at time t.

        Args:
            frame0, frame1: (b, 3, h, w) RGB in [0, 1], h and w at least 16.
            flow01, flow10: (b, 2, h, w), x then y, pixels, or paths, (b, 9, h, w), if the network supports them.
            t: time in (0, 1): one for all, or (b,), or (n,) for a single pair.
        """
        return self.synthesise(self.prepare(frame0, frame1, flow01, flow10), t)

    @abstractmethod
    def prepare(self, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor) -> Any:
        """Compute what does not depend on the time; arguments as in `forward`."""

    @abstractmethod
    def synthesise(self, prepared: Any, t: float | Tensor) -> Synthesis:
        """The frame at time t, (0, 1), from what `prepare` returned."""


def halves(both: Tensor) -> tuple[Tensor, Tensor]:
    """Split a batch laid out as in `SplatSource` into the halves of frame 0 and frame 1."""
    of_frame0, of_frame1 = both.chunk(2)
    return of_frame0, of_frame1


def at_times(prepared: T, t: float | Tensor) -> T:
    """Repeat the prepared tensors of a single pair once per time (n,); those of several pairs are returned unchanged.

    Args:
        prepared: tensors with a batch laid out as in `SplatSource`, in named tuples and lists.
    """
    pairs = len(pytree.tree_leaves(prepared)[0]) // 2
    times = t.numel() if isinstance(t, Tensor) else 1
    if times in (1, pairs):
        return prepared
    return pytree.tree_map(lambda x: x.repeat_interleave(times, 0), prepared)


def times_of(t: float | Tensor, pairs: int, like: Tensor) -> Tensor:
    """(pairs, 1, 1, 1) of the dtype and device of `like`, from one time for all pairs, or (pairs,)."""
    return torch.as_tensor(t, dtype=like.dtype, device=like.device).expand(pairs).view(-1, 1, 1, 1)


def splat_metric(frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor) -> Tensor:
    """How well each pixel agrees with where its flow points, -0.1 · ‖Δ Lab‖: (2b, 1, h, w), frame 0's first."""
    lab = rgb_to_lab(torch.cat([frame0, frame1]))
    seen = backwarp(torch.cat(halves(lab)[::-1]), torch.cat([paths.flow(flow01), paths.flow(flow10)]), quirk=True)
    return -0.1 * length(lab - seen)


def length(vectors: Tensor) -> Tensor:
    """Euclidean length over the channels, (b, c, h, w) to (b, 1, h, w); several times faster than `Tensor.norm`."""
    squared = vectors.square().sum(1, keepdim=True)
    return squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt()  # at 0 the gradient is 0


def splat_in_order(values: Tensor, path: Tensor, way: Tensor) -> tuple[Tensor, Tensor]:
    """Splat in depth order, so that what is in front hides what is behind.

    Args:
        values: (b, c, h, w).
        path: (b, 9, h, w), of which only the depth order is used.
        way: (b, 2, h, w), the displacement of each pixel.

    Returns:
        Sums (b, c, h, w), and the coverage of each pixel (b, 1, h, w).
    """
    sums, uncovered = torch.zeros_like(values), torch.ones_like(path[:, -1:])
    for part, landed in _front_to_back(torch.cat([values, torch.ones_like(values[:, :1])], 1), path, way):
        shown = uncovered[part]
        sums = _with_part(sums, part, sums[part] + shown * landed[:, :-1])
        uncovered = _with_part(uncovered, part, shown * (1 - (landed[:, -1:] / _OPAQUE).clamp(max=1)))
    return sums, 1 - uncovered


def _front_to_back(values: Tensor, path: Tensor, way: Tensor) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
    """The sums (b, c, h, w) of each layer of depth in turn; arguments as of `splat_in_order`.

    On the CPU without gradient, these are sums of the part of the images that the layer touches, which is yielded too.
    """
    order, outside = path[:, -1:].round(), -2.0 - way.shape[3]
    is_whole = values.device.type != "cpu" or torch.is_grad_enabled()
    layers = range(paths.LAYERS if is_whole else int(order.max()) + 1)
    for layer in reversed(layers):
        belongs = order == layer
        if is_whole:
            if values.is_cuda or belongs.any():  # a GPU would have to be waited for
                yield _WHOLE, softsplat(values, way.where(belongs, outside), mode="sum")
        elif part := _touched(belongs, way):
            corner = part[3].start or 0, part[2].start or 0
            yield part, splat_part(values[part], way[part].where(belongs[part], outside), corner)


def _touched(belongs: Tensor, way: Tensor) -> tuple[slice, ...] | None:
    """The part of images on the CPU that holds some pixels (b, 1, h, w) bool and where they land; None if empty."""
    x, y, across, down = cv2.boundingRect(belongs[:, 0].any(0).numpy().view(np.uint8))
    h, w = way.shape[2:]
    if not across or (down, across) == (h, w):
        return _WHOLE if across else None
    own = np.s_[:, :, y : y + down, x : x + across]
    ways = way[own].where(belongs[own], 0).nan_to_num()
    (left, up), (right, low) = ways.amin((0, 2, 3)).clamp(max=0).tolist(), ways.amax((0, 2, 3)).clamp(min=0).tolist()
    rows = slice(max(0, y + math.floor(up)), min(h, y + down + math.ceil(low) + 1))
    return np.s_[:, :, rows, max(0, x + math.floor(left)) : min(w, x + across + math.ceil(right) + 1)]


def _with_part(whole: Tensor, part: tuple[slice, ...], values: Tensor) -> Tensor:
    """A tensor with other values in a part; if that is not all of it, it is changed in place."""
    if values.shape == whole.shape:
        return values
    whole[part] = values
    return whole


def _splatted(source: SplatSource, way: Tensor) -> tuple[Tensor, Tensor]:
    """Splat values along displacements; returns them and the mask of where any landed, along paths the coverage."""
    if source.flow.shape[1] == 2:
        return softsplat_with_mask(source.values, way, source.metric)
    weights = (_TRUST * source.metric).exp()
    sums, covered = splat_in_order(torch.cat([source.values * weights, weights], 1), source.flow, way)
    return sums[:, :-1] / sums[:, -1:].clamp(min=EPSILON), covered


def splat_together(source: SplatSource, hidden: Tensor, t: float | Tensor) -> Tensor:
    """Splat both images of a pair along paths to time t. What is in front in either image hides what is behind in both.

    Args:
        source: values (2, c, h, w).
        hidden: (2, 1, h, w) in [0, 1], 1 for pixels that the other image does not show: these cover alone, others as
            much as both images say on average.
        t: one time, or (n,).

    Returns:
        (1 or n, c, h, w), 0 where nothing lands.
    """
    source, hidden = at_times((source, hidden), t)
    times = times_of(t, len(source.flow) // 2, source.flow)
    times = torch.cat([times, 1 - times])
    weights = (_TRUST * source.metric).exp()
    weighted = torch.cat([source.values * weights, weights, hidden, torch.ones_like(weights)], 1)
    sums, uncovered = torch.zeros_like(source.values.chunk(2)[0]), torch.ones_like(hidden.chunk(2)[0])
    for part, landed in _front_to_back(weighted, source.flow, paths.at(source.flow, times)):
        alone_there, cover = (landed[:, -2:] / _OPAQUE).clamp(max=1).split(1, 1)
        means = landed[:, :-3] / landed[:, -3:-2].clamp(min=EPSILON)
        (mean0, mean1), (near0, near1) = halves(means), halves((1 - times) * cover)
        mean = (near0 * mean0 + near1 * mean1) / (near0 + near1).clamp(min=EPSILON)
        alone0, alone1 = halves(times * alone_there)
        shown = uncovered[part]
        most = shown * (near0 + near1 + alone0 + alone1).minimum(torch.maximum(*halves(cover)))
        sums = _with_part(sums, part, sums[part] + most * mean)
        uncovered = _with_part(uncovered, part, shown - most)
    return sums


def half_warp(source: SplatSource, t: float | Tensor) -> Warp:
    """Splat both frames to time t and fill the holes of each from the other."""
    times = times_of(t, len(source.flow) // 2, source.flow)
    flow = paths.at(source.flow, torch.cat([times, 1 - times]))
    warps, masks = _splatted(source, flow)
    (warp0, warp1), (mask0, mask1) = warps.chunk(2), opening(masks).chunk(2)
    bases = mask0 * warp0 + (1 - mask0) * warp1, mask1 * warp1 + (1 - mask1) * warp0
    return Warp(bases, (warp0, warp1), (mask0, mask1), halves(flow))


def splat(source: SplatSource, t: float | Tensor) -> Tensor:
    """Splat both images to time t and mix them, weighted by nearness in time. Holes in both are filled with a
    cross-fade of the images or, along paths, with what lies behind in the surroundings.

    Args:
        source: values (2, c, h, w).
        t: one time, or (n,).

    Returns:
        (1 or n, c, h, w).
    """
    source = at_times(source, t)
    knows_order = source.flow.shape[1] > 2
    if knows_order:
        source = source._replace(values=torch.cat([source.values, paths.behind(source.flow)], 1))
    warp = half_warp(source, t)
    t = t.to(warp.bases[0]).view(-1, 1, 1, 1) if isinstance(t, Tensor) else t
    mixed = (1 - t) * warp.bases[0] + t * warp.bases[1]
    if knows_order:
        weights0, weights1 = (mask * base[:, -1:] for mask, base in zip(warp.masks, warp.bases, strict=True))
        sums = weights0 * warp.bases[0][:, :-1] + weights1 * warp.bases[1][:, :-1]
        is_open = (1 - warp.masks[0]) * (1 - warp.masks[1])
        return torch.lerp(mixed[:, :-1], fill(sums, weights0 + weights1), is_open)
    image0, image1 = source.values.chunk(2)
    open_in_both = (warp.masks[0] == 0) & (warp.masks[1] == 0)
    return torch.where(open_in_both, (1 - t) * image0 + t * image1, mixed)


def fill(sums: Tensor, weights: Tensor) -> Tensor:
    """Divide sums by weights; where these are small, blend in the surrounding mean (pull-push, Gortler et al. 1996)."""
    pyramid = [(sums, weights)]
    while max(pyramid[-1][0].shape[2:]) > 1:
        finer_sums, finer_weights = pyramid[-1]
        pyramid.append((F.avg_pool2d(finer_sums, 2, ceil_mode=True), F.avg_pool2d(finer_weights, 2, ceil_mode=True)))
    sums, weights = pyramid.pop()
    mean = sums / weights.clamp(min=EPSILON)
    for sums, weights in reversed(pyramid):
        around = F.interpolate(mean, sums.shape[2:], mode="bilinear", align_corners=False)
        share = (weights / FULL_WEIGHT).clamp(max=1)
        mean = share * sums / weights.clamp(min=EPSILON) + (1 - share) * around
    return mean
