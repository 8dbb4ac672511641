"""A synthesis that draws the time, whatever there is."""

import torch
from torch import Tensor

from _train.frame_interpolation.context import Context
from _train.frame_interpolation.flows import Flows
from _train.frame_interpolation.syntheses import Pair


class Grey:
    def __init__(self, _: Context):
        pass

    def prepare(self, pair: Pair, flow: Flows | None) -> tuple[Pair, Flows]:
        assert (flow.flow01[:, 0] == 1).all()
        return pair, flow

    def synthesise(self, prepared: tuple[Pair, Flows], t: float | Tensor, carried: Tensor | None = None) -> Tensor:
        return torch.full_like(prepared[0].frame0, t)

    def flow(self, prepared: tuple[Pair, Flows]) -> Flows:
        return prepared[1]
