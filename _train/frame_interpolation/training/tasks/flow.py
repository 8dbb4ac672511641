"""Flow networks, trained with RAFT's sequence loss on exact flow in both directions.

Triplets without exact flow are trained with photometric losses: each frame against the other one warped back to it, and
the truth against both frames splatted to its time.
"""

from abc import abstractmethod
from argparse import Namespace
from typing import cast

import torch
from torch import Tensor

from _train.frame_interpolation import syntheses
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.splatting import SplatSource, half_warp, splat_metric
from _train.frame_interpolation.pipeline import Pipeline
from _train.frame_interpolation.training.batches import Batch
from _train.frame_interpolation.training.tasks.task import Figures, Task, full_precision
from _util.flow import Flows, backwarp
from _util.losses import LPIPSLoss, census, sequence_loss


class FlowTask(Task):
    """Base class of the tasks of flow networks."""

    schedule, weight_decay, gamma = "cosine", 1e-4, 0.8
    self_supervise = True

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.needs_exact_flow = not options.self_supervise

    @abstractmethod
    def refinements(self, frame0: Tensor, frame1: Tensor) -> list[Tensor]:
        """Successive flow estimates, best last: each (2b, 2, h, w), flow01 first, then flow10."""

    @abstractmethod
    def appearance(self, frame: Tensor, truth: Tensor) -> tuple[str, Tensor]:
        """The name and the mean of the loss on splatted frames, (b, 3, h, w) in [0, 1]."""

    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        frame0, _, frame1 = batch.frames.unbind(1)
        refined = self.refinements(frame0, frame1)
        with full_precision(frame0):
            if not batch.exact or batch.flows is None:
                return self.self_supervision(batch, *refined[-1].chunk(2))
            truth = torch.cat(batch.flows)
            error = (refined[-1].detach() - truth).norm(dim=1).mean()
            return sequence_loss(refined, truth, self.gamma), {"end_point_error": error}

    def self_supervision(self, batch: Batch, flow01: Tensor, flow10: Tensor) -> tuple[Tensor, Figures]:
        """The census distance of each frame to the other warped back, where it is not occluded (UnFlow, Meister et al.,
        AAAI 2018), and the appearance loss of both frames splatted to the truth's time."""
        frame0, truth, frame1 = batch.frames.unbind(1)
        frames, others = torch.cat([frame0, frame1]), torch.cat([frame1, frame0])
        flow, opposite = torch.cat([flow01, flow10]), torch.cat([flow10, flow01])
        photometric = census(frames, backwarp(others, flow, quirk=False), consistent(flow, opposite))
        warp = half_warp(SplatSource(frames, flow, splat_metric(frame0, frame1, flow01, flow10)), batch.times)
        t = batch.times.view(-1, 1, 1, 1)
        name, appearance = self.appearance(((1 - t) * warp.bases[0] + t * warp.bases[1]).clamp(0, 1), truth)
        return photometric + appearance, {"census": photometric, name: appearance}

    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        def both_ways(frame0: Tensor, frame1: Tensor) -> Flows:
            return Flows(*self.refinements(frame0, frame1)[-1].chunk(2))

        pipeline = Pipeline(both_ways, syntheses.splatting(Context(self.device)))
        return pipeline.frames(pipeline.prepare(frame0, frame1), t)


class RFRTask(FlowTask):
    """RFR; without exact flow, its appearance loss is LPIPS."""

    lr, iterations = 2e-4, 12

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.networks["rfr"] = RFR()
        self.networks["rfr"].attention2.requires_grad_(False)  # weights the initial flow, which training does not use
        self.lpips = LPIPSLoss(protocol="paper") if options.self_supervise else None

    def refinements(self, frame0: Tensor, frame1: Tensor) -> list[Tensor]:
        return cast(RFR, self.networks["rfr"]).refinements(
            frame0, frame1, self.iterations, last_only=not torch.is_grad_enabled()
        )

    def appearance(self, frame: Tensor, truth: Tensor) -> tuple[str, Tensor]:
        assert self.lpips is not None
        return "lpips", self.lpips(frame, truth).mean()


@torch.no_grad()
def consistent(flow: Tensor, opposite: Tensor) -> Tensor:
    """(b, 1, h, w) 1 where the opposite flow leads back to within UnFlow's tolerance and the target is in the image."""
    h, w = flow.shape[2:]
    back = backwarp(opposite, flow, quirk=False)
    lengths = flow.square().sum(1, keepdim=True) + back.square().sum(1, keepdim=True)
    returns = (flow + back).square().sum(1, keepdim=True) < 0.01 * lengths + 0.5
    x = torch.arange(w, device=flow.device) + flow[:, :1]
    y = torch.arange(h, device=flow.device).view(-1, 1) + flow[:, 1:]
    return (returns & (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)).float()
