"""A network that finds motion itself, with pieces that rotate far drawn along their arcs.

Such networks fade or bend limbs that rotate far, as their pixels move by more than the network can follow. Where paths
(`_util.paths`) show pieces that rotate, and the network does not carry them along, both frames are splatted along the
paths instead: where the piece is at that time, and where the network would draw it.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.models.splatting import SplatSource, splat, splat_metric
from _train.frame_interpolation.syntheses import FrameSynthesis, Pair
from _util import paths
from _util.errors import InputError
from _util.flow import Flows

_FOLLOWED = 0.75  # overlap of both drawings of the pieces, at t = 0.5, from which on the network draws them
_PRESENT = 0.05  # share of a pixel that a piece covers, from which on the pixel is drawn along paths
_EDGE = 1 / 240  # of the width, by which that region is extended


class RotatingPair(NamedTuple):
    """A pair as the network prepared it, and what is splatted; None if the network draws everything."""

    own: Any
    splatted: SplatSource | None
    rotating: Tensor | None  # (2, 1, h, w), 1 on the pieces that rotate


class AlongArcs:
    """Draws by a network, and along paths where pieces rotate.

    Args:
        network: a synthesis that finds motion itself.
    """

    def __init__(self, network: FrameSynthesis):
        self.network = network

    def prepare(self, pair: Pair, flow: Flows | None) -> RotatingPair:
        """Compute what does not depend on the time; `flow` holds flows or paths, (1, 2 or 9, h, w)."""
        alone = RotatingPair(self.network.prepare(pair, None), None, None)
        rotating = None if flow is None else torch.cat([_rotating(path) for path in flow])
        if flow is None or rotating is None or not rotating.any():
            return alone
        frames, metric = torch.cat([pair.frame0, pair.frame1]), splat_metric(pair.seen0, pair.seen1, *flow)
        prepared = RotatingPair(alone.own, SplatSource(frames, torch.cat([*flow]), metric), rotating)
        own, along = (drawn[:, -1:] for drawn in self._drawn(prepared, 0.5, None))
        overlap = torch.minimum(own, along).sum() / torch.maximum(own, along).sum()
        return prepared if overlap < _FOLLOWED else alone

    def synthesise(self, prepared: RotatingPair, t: float | Tensor, carried: Tensor | None = None) -> Tensor:
        if prepared.splatted is None:
            return self.network.synthesise(prepared.own, t, carried)
        if isinstance(t, Tensor) and t.ndim == 4:
            raise InputError("Pieces that rotate are drawn at one time; leave the flow out to use a map of times.")
        own, along = self._drawn(prepared, t, carried)
        share = _extended(torch.maximum(own[:, -1:], along[:, -1:]) > _PRESENT)
        return own.lerp(along, share)[:, :-1]

    def flow(self, prepared: RotatingPair) -> Flows:
        own = self.network.flow(prepared.own)
        if prepared.splatted is None or prepared.rotating is None:
            return own
        along = paths.flow(prepared.splatted.flow).chunk(2)
        rotating = prepared.rotating.bool().chunk(2)
        return Flows(*(torch.where(*each) for each in zip(rotating, along, own, strict=True)))

    def _drawn(self, prepared: RotatingPair, t: float | Tensor, carried: Tensor | None) -> tuple[Tensor, Tensor]:
        """The frames, `carried` and the masks of what rotates, (n, 4 + c, h, w), by the network and along paths."""
        assert prepared.splatted is not None
        assert prepared.rotating is not None
        more = prepared.rotating if carried is None else torch.cat([carried.float(), prepared.rotating], 1)
        values = torch.cat([prepared.splatted.values, more], 1)
        own = self.network.synthesise(prepared.own, t, more)
        return own, splat(prepared.splatted._replace(values=values), t).to(own)


def _rotating(path: Tensor) -> Tensor:
    """(1, 1, h, w), 1 where a path (1, 9, h, w) is not straight; 0 for a flow."""
    if path.shape[1] == 2:
        return torch.zeros_like(path[:, :1])
    bows = path[:, 2 : 2 + 2 * len(paths.KNOTS)]
    return bows.any(1, keepdim=True).to(path)


def _extended(region: Tensor) -> Tensor:
    """A region (n, 1, h, w), dilated, with a soft edge: weights in [0, 1]."""
    reach = max(1, round(_EDGE * region.shape[3]))
    larger = F.max_pool2d(region.float(), 2 * reach + 1, 1, reach)
    return F.avg_pool2d(larger, 3, 1, 1, count_include_pad=False)
