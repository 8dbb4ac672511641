"""A network that finds motion itself, with pieces that rotate far drawn along their arcs.

Such networks fade or bend limbs that rotate far, as pixels move by more than the network can follow. Where paths
(`_util.paths`) show pieces that rotate, and the network does not carry them along, it draws the ground behind them
alone, and the pieces are splatted along their paths onto it.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.syntheses import FrameSynthesis, Pair
from _util import paths
from _util.errors import InputError
from _util.flow import Flows

if TYPE_CHECKING:
    from _train.frame_interpolation.models.splatting import SplatSource

_FOLLOWED = 0.75  # overlap of the pieces as drawn both ways, at t = 0.5, from which on the network draws them
_KNOWN = 0.1  # share of a pixel from which on its colour is known
_CLEAR = 0.999  # share from which on no piece is sampled, up to rounding, and the network's pixel is kept
_SOLID = 0.6  # mean cover of the surroundings from which on gaps in a piece are closed
_REACH = 1 / 480  # of the width: outline around a piece that is not ground, and half of a gap that is closed


class RotatingPair(NamedTuple):
    """A pair as the network prepared it, and what rotates; None if the network draws everything."""

    own: Any
    source: "SplatSource | None"  # both frames, and their paths
    rotating: Tensor | None  # (2, 1, h, w), 1 on the pieces that rotate


class AlongArcs:
    """Draws by a network, except for pieces that rotate far, which are splatted.

    Args:
        network: a synthesis that finds motion itself.
    """

    def __init__(self, network: FrameSynthesis):
        self.network = network

    def prepare(self, pair: Pair, flow: Flows | None) -> RotatingPair:
        """Compute what does not depend on the time; `flow` holds flows or paths, (1, 2 or 9, h, w)."""
        own = self.network.prepare(pair, None)
        alone = RotatingPair(own, None, None)
        if flow is None:
            return alone
        rotating = torch.cat([_rotating(path) for path in flow])
        if not rotating.any():
            return alone
        from _train.frame_interpolation.models.splatting import SplatSource, splat, splat_metric

        metric = splat_metric(pair.seen0, pair.seen1, *flow)
        source = SplatSource(torch.cat([pair.frame0, pair.frame1]), torch.cat([*flow]), metric)
        by_network = self.network.synthesise(own, 0.5, rotating)[:, -1:]
        along = splat(source._replace(values=rotating), 0.5)
        overlap = torch.minimum(by_network, along).sum() / torch.maximum(by_network, along).sum()
        return RotatingPair(own, source, rotating) if overlap < _FOLLOWED else alone

    def synthesise(self, prepared: RotatingPair, t: float | Tensor, carried: Tensor | None = None) -> Tensor:
        own, source, rotating = prepared
        if source is None or rotating is None:
            return self.network.synthesise(own, t, carried)
        if isinstance(t, Tensor) and t.ndim == 4:
            raise InputError("Pieces that rotate are drawn at one time; leave the flow out to use a map of times.")
        values = source.values if carried is None else torch.cat([source.values, carried.to(source.values)], 1)
        ground = self._ground(own, values, rotating, t)
        pieces, cover = _splatted(source, values, rotating, t)
        return ground.lerp(pieces.to(ground), cover.to(ground))

    def flow(self, prepared: RotatingPair) -> Flows:
        by_network = self.network.flow(prepared.own)
        if prepared.source is None or prepared.rotating is None:
            return by_network
        along, rotating = paths.flow(prepared.source.flow).chunk(2), prepared.rotating.bool().chunk(2)
        return Flows(*(torch.where(*each) for each in zip(rotating, along, by_network, strict=True)))

    def _ground(self, own: Any, values: Tensor, rotating: Tensor, t: float | Tensor) -> Tensor:
        """What the network draws from `values` (2, c, h, w) without what rotates: (n, c, h, w).

        Where only pieces would be sampled from both frames, the ground is assumed to rest.
        """
        reach, c = _reach(rotating), values.shape[1]
        rest = 1 - _mean(_dilated(rotating, reach), 1)
        drawn = self.network.synthesise(own, t, torch.cat([values[:, 3:], values * rest, rest], 1))
        with_pieces, without, share = drawn.split([c, c, 1], 1)
        resting = (values * rest).sum(0, keepdim=True) / rest.sum(0, keepdim=True).clamp(min=_KNOWN)
        resting = torch.where(rest.amax(0, keepdim=True) > _KNOWN, resting, with_pieces)
        ground = torch.where(share > _KNOWN, without / share.clamp(min=_KNOWN), resting)
        return torch.where(share < _CLEAR, ground, with_pieces)


def _splatted(source: "SplatSource", values: Tensor, rotating: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
    """The pieces at time t, (n, c, h, w), and their cover, (n, 1, h, w); small gaps in solid pieces are closed."""
    from _train.frame_interpolation.models.splatting import splat

    moved = splat(source._replace(values=torch.cat([values * rotating, rotating], 1)), t)
    sums, cover = moved[:, :-1], moved[:, -1:].clamp(0, 1)
    reach = _reach(rotating)
    around = _mean(cover, 2 * reach)
    closed = -_dilated(-_dilated(cover, reach), reach)
    colours = torch.where(
        cover > _KNOWN, sums / cover.clamp(min=_KNOWN), _mean(sums, 2 * reach) / around.clamp(min=1e-3)
    )
    return colours, torch.where(around > _SOLID, closed, cover)


def _rotating(path: Tensor) -> Tensor:
    """(1, 1, h, w), 1 where a path (1, 9, h, w) is not straight; 0 for a flow."""
    if path.shape[1] == 2:
        return torch.zeros_like(path[:, :1])
    bows = path[:, 2 : 2 + 2 * len(paths.KNOTS)]
    return bows.any(1, keepdim=True).to(path)


def _reach(image: Tensor) -> int:
    return max(1, round(_REACH * image.shape[3]))


def _dilated(mask: Tensor, reach: int) -> Tensor:
    rows = F.max_pool2d(mask, (1, 2 * reach + 1), 1, (0, reach))
    return F.max_pool2d(rows, (2 * reach + 1, 1), 1, (reach, 0))


def _mean(image: Tensor, reach: int) -> Tensor:
    rows = F.avg_pool2d(image, (1, 2 * reach + 1), 1, (0, reach), count_include_pad=False)
    return F.avg_pool2d(rows, (2 * reach + 1, 1), 1, (reach, 0), count_include_pad=False)
