"""A network that finds motion itself, with pieces that rotate or move far drawn along their paths.

Such networks fade or bend what moves by more than they can follow. Where paths (`_util.paths`) are curved, the network
draws the frames without these pieces, and the pieces are splatted along their paths onto that. Straight paths of pieces
that move far are marked as curved (`paths.as_curved`). `carried_along` tells which pieces a network loses.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.syntheses import FrameSynthesis, Pair
from _util import paths
from _util.errors import InputError
from _util.flow import Flows, backwarp
from _util.morphology import box_mean, dilated, nearest_known

if TYPE_CHECKING:
    from _train.frame_interpolation.models.splatting import SplatSource

_TOGETHER = 4  # masks that a network carries at once
_KNOWN = 0.1  # share of a pixel from which on its colour is known
_HALF = 0.5  # share of a pixel that is ground from which on its colour is that of the ground
_FAR = 16  # times the reach, from which on a piece has left what it covers
_SOLID = 0.6  # mean cover of the surroundings from which on gaps in a piece are closed
_REACH = 1 / 480  # of the width: outline around a piece that is not ground, and half of a gap that is closed


class Arcs(NamedTuple):
    """What rotates in a pair, and what is behind it."""

    ground: Any  # the pair without what rotates, as the network prepared it
    source: "SplatSource"  # both frames, and their paths
    rotating: Tensor  # (2, 1, h, w), 1 on the pieces that rotate
    hidden: Tensor  # (2, 1, h, w), 1 on what the other frame does not show, being covered there or outside


class RotatingPair(NamedTuple):
    """A pair as the network prepared it, and what rotates in it."""

    own: Any
    arcs: Arcs | None  # None if the network draws everything


class AlongArcs:
    """Draws by a network, except for pieces that rotate or move far, which are splatted.

    Args:
        network: a synthesis that finds motion itself.
    """

    def __init__(self, network: FrameSynthesis):
        self.network = network

    def prepare(self, pair: Pair, flow: Flows | None) -> RotatingPair:
        """Compute what does not depend on the time; `flow` holds flows or paths, (1, 2 or 9, h, w)."""
        own = self.network.prepare(pair, None)
        if flow is None:
            return RotatingPair(own, None)
        path = torch.cat(flow)
        rotating = rotates(path)
        if not rotating.any():
            return RotatingPair(own, None)
        from _train.frame_interpolation.models.splatting import SplatSource, splat_metric

        metric = splat_metric(pair.seen0, pair.seen1, *flow)
        source = SplatSource(torch.cat([pair.frame0, pair.frame1]), path, metric)
        frame0, frame1 = seen0, seen1 = _without(source.values, source.flow, rotating).chunk(2)
        if pair.seen0 is not pair.frame0 or pair.seen1 is not pair.frame1:
            seen0, seen1 = _without(torch.cat([pair.seen0, pair.seen1]), source.flow, rotating).chunk(2)
        without = self.network.prepare(Pair(frame0, frame1, seen0, seen1), None)
        return RotatingPair(own, Arcs(without, source, rotating, _hidden(source.flow)))

    def synthesise(self, prepared: RotatingPair, t: float | Tensor, carried: Tensor | None = None) -> Tensor:
        if prepared.arcs is None:
            return self.network.synthesise(prepared.own, t, carried)
        if isinstance(t, Tensor) and t.ndim == 4:
            raise InputError("Pieces that rotate are drawn at one time; leave the flow out to use a map of times.")
        ground, source, rotating, hidden = prepared.arcs
        values, behind = source.values, None
        if carried is not None:
            values = torch.cat([values, carried.to(values)], 1)
            behind = _without(carried, source.flow, rotating)
        frame = self.network.synthesise(ground, t, behind)
        pieces, cover = _splatted(source, values, rotating, hidden, t)
        return frame.lerp(pieces.to(frame), cover.to(frame))

    def flow(self, prepared: RotatingPair) -> Flows:
        by_network = self.network.flow(prepared.own)
        if prepared.arcs is None:
            return by_network
        along, rotating = paths.flow(prepared.arcs.source.flow).chunk(2), prepared.arcs.rotating.bool().chunk(2)
        return Flows(*(torch.where(*each) for each in zip(rotating, along, by_network, strict=True)))

    def takes_maps(self, prepared: RotatingPair) -> bool:
        return prepared.arcs is None and self.network.takes_maps(prepared.own)


def _without(values: Tensor, path: Tensor, rotating: Tensor) -> Tensor:
    """Both frames (2, c, h, w) without what rotates: what is behind it is taken from the other frame, or where neither
    shows it, from around."""
    from _train.frame_interpolation.models.splatting import length, splat_in_order

    reach = _reach(rotating)
    moves_far = rotating * (length(paths.flow(path)) > _FAR * reach)
    outlined = dilated(moves_far, 2 * reach).amin(0, keepdim=True)  # in both frames, so that neither tells the ground
    rest = 1 - box_mean(dilated(rotating, reach).maximum(outlined), 1)
    known = torch.cat([values * rest, rest], 1)
    behind = torch.cat([path[:, :-1], path[:, -1:].where(rotating == 0, paths.NOT_DRAWN)], 1)
    of_other, _ = splat_in_order(known, behind, paths.flow(path))
    sums, weights = (known + (1 - rest) * of_other.roll(1, 0)).split([values.shape[1], 1], 1)
    known = weights > _HALF
    return torch.where(rest == 1, values, _with_nearest(sums / weights.clamp(min=_HALF), known))


def _with_nearest(values: Tensor, known: Tensor) -> Tensor:
    """Pictures (2, c, h, w) in which pixels that are not known (2, 1, h, w) have the nearest known colour, blurred."""
    places = np.arange(known[0].numel()).reshape(known.shape[2:])
    nearest = np.stack([nearest_known(places, of)[0].ravel() for of in known[:, 0].cpu().numpy()])
    index = torch.from_numpy(nearest).to(values.device)[:, None].expand(-1, values.shape[1], -1)
    found = values.flatten(2).gather(2, index).view_as(values)
    return torch.where(known, found, box_mean(found, 2 * _reach(values)))


def _hidden(path: Tensor) -> Tensor:
    """(2, 1, h, w), 1 on pixels of both frames' paths that end behind something in front of them, or outside."""
    order = path[:, -1:]
    there = F.pad(order[..., 1:-1, 1:-1], (1, 1, 1, 1), value=paths.LAYERS).roll(1, 0)
    return (backwarp(there, paths.flow(path), quirk=False) > order + 0.5).to(path)


def _splatted(
    source: "SplatSource", values: Tensor, rotating: Tensor, hidden: Tensor, t: float | Tensor
) -> tuple[Tensor, Tensor]:
    """The pieces at time t, (n, c, h, w), and their cover, (n, 1, h, w); small gaps in solid pieces are closed."""
    from _train.frame_interpolation.models.splatting import SplatSource, splat_together

    order = source.flow[:, -1:]
    is_behind = order < order.where(rotating > 0, paths.LAYERS).amin()  # all that rotates, so that it hides nothing
    path = torch.cat([source.flow[:, :-1], order.where(~is_behind, paths.NOT_DRAWN)], 1)
    moved = splat_together(SplatSource(torch.cat([values * rotating, rotating], 1), path, source.metric), hidden, t)
    sums, cover = moved[:, :-1], moved[:, -1:].clamp(0, 1)
    reach = _reach(rotating)
    around = box_mean(cover, 2 * reach)
    closed = -dilated(-dilated(cover, reach), reach)
    colours = torch.where(
        cover > _KNOWN, sums / cover.clamp(min=_KNOWN), box_mean(sums, 2 * reach) / around.clamp(min=1e-3)
    )
    return colours, torch.where(around > _SOLID, closed, cover)


def rotates(path: Tensor) -> Tensor:
    """(b, 1, h, w), 1 where a path (b, 9, h, w) is not straight; 0 for a flow."""
    return paths.offsets(path).any(1, keepdim=True).to(path)


def carried_along(
    network: FrameSynthesis, frame0: Tensor, frame1: Tensor, masks: Tensor, motion: Flows
) -> tuple[Tensor, Tensor]:
    """How a network carries pieces, compared with their motion, at t = 0.5.

    Args:
        network: a synthesis that finds motion itself.
        masks: (2, k, h, w), 0 or 1 or bool, the pieces in both frames.
        motion: paths of both frames.

    Returns:
        (k,) the overlap of each piece as drawn both ways, in [0, 1]; (k,) the ratio of its areas.
    """
    from _train.frame_interpolation.models.splatting import SplatSource, splat, splat_metric

    prepared = network.prepare(Pair(frame0, frame1, frame0, frame1), None)
    path, metric = torch.cat(motion), splat_metric(frame0, frame1, *motion)
    overlaps, areas = [], []
    for some in masks.split(_TOGETHER, 1):  # drawings may have hundreds of pieces
        shown = some.to(frame0)
        by_network = _drawn(network, prepared, shown)[0]
        along = splat(SplatSource(shown, path, metric), 0.5)[0]
        both, either = (of(by_network, along).sum((1, 2)) for of in (torch.minimum, torch.maximum))
        overlaps.append(both / either.clamp(min=1))
        areas.append(by_network.sum((1, 2)) / along.sum((1, 2)).clamp(min=1))
    return torch.cat(overlaps), torch.cat(areas)


def _drawn(network: FrameSynthesis, prepared: Any, masks: Tensor) -> Tensor:
    """Masks (2, k, h, w), k ≤ `_TOGETHER`, as the network carries them to t = 0.5, (1, k, h, w).

    The network is given as many at any time, since each number would be a CUDA graph of its own.
    """
    padded = F.pad(masks, (0, 0, 0, 0, 0, _TOGETHER - masks.shape[1]))
    return network.synthesise(prepared, 0.5, padded)[:, 3 : 3 + masks.shape[1]]


def _reach(image: Tensor) -> int:
    return max(1, round(_REACH * image.shape[3]))
