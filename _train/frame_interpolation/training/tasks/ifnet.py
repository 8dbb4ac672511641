"""IFNet with its refiner, by what frames look like and, on toons, by true motion.

What is drawn is compared by LPIPS, colours and line responses. Toons also know where each pixel of the middle frame
comes from and which frames show it, so each block's motion and the first mask are taught directly, and how far it has
come on its way, so that the network is never asked for a time that the truth does not have (distance indexing; Zhong
et al., Clearer Frames, Anytime, ECCV 2024).
"""

import operator
from argparse import Namespace
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.models.refined_ifnet import FAST, RefinedIFNet
from _train.frame_interpolation.training.batches import Batch
from _train.frame_interpolation.training.tasks.task import Figures, Task, drawing_loss, full_precision
from _util import checkpoints
from _util.losses import LPIPS

_REFINER_RATE = 10  # times the learning rate of the motion, which starts from published weights
_MOTION, _MASK = 0.004, 0.02
_FADE = 0.7  # weight of a block's motion against the next one's
_UNSEEN = 0.1  # weight of motion to where a frame does not show the pixel
_SOFT = 0.1  # pixels of motion below which errors count by their square


class IFNetTask(Task):
    """RefinedIFNet. Starts from RIFE's published weights, or from its own, by `--from`."""

    lr, schedule, weight_decay, finds_motion = 3e-5, "cosine", 1e-4, True

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.lpips = LPIPS(protocol="paper")
        self.networks["ifnet"] = RefinedIFNet()

    @property
    def network(self) -> RefinedIFNet:
        (network,) = self.networks.values()
        return cast(RefinedIFNet, network)

    def begin(self) -> None:
        """Weights of RIFE become those of the motion; the refiner begins as new."""
        for path in self.options.start or []:
            if path.is_file() and _is_of_rife(checkpoints.read(path)):
                self.begin_motion(path)
            else:
                super().begin()

    def begin_motion(self, path: Path) -> None:
        checkpoints.load(self.network.ifnet, path)

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        assert self.network.refiner is not None
        groups = [
            {"params": list(part.parameters()), "lr": scale * lr, "scale": scale}
            for part, scale in ((self.network.ifnet, 1), (self.network.refiner, _REFINER_RATE))
        ]
        return torch.optim.AdamW(groups, lr, weight_decay=self.weight_decay)

    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        frame0, truth, frame1 = batch.frames.unbind(1)
        t = batch.times if batch.progress is None else batch.progress
        prepared = self.network.prepare(frame0, frame1)
        stages = self.network.ifnet.stages(prepared.pair, t)
        frame = self.network.refine(prepared, t, *stages[-1]).frame
        loss, figures = self.judge(frame, truth)
        if batch.motion is not None and batch.seen is not None:
            with full_precision(loss):
                error, motion = motion_loss([motion for motion, _ in stages], batch.motion, batch.seen)
                mask = mask_loss(stages[-1][1], batch.seen)
            loss = loss + _MOTION * motion + _MASK * mask
            figures |= {"end_point_error": error, "mask": mask}
        taught, distances = self.teach(batch, t, *stages[-1], frame)
        return loss + taught, figures | distances

    def teach(
        self, batch: Batch, t: Tensor, motion: Tensor, mask: Tensor, frame: Tensor
    ) -> tuple[Tensor | float, Figures]:
        """What is added to the loss by a teacher, and figures about it."""
        return 0.0, {}

    def judge(self, frame: Tensor, truth: Tensor) -> tuple[Tensor, Figures]:
        return drawing_loss(self.lpips, frame, truth)

    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        return self.network(frame0, frame1, t).frame


class FastIFNetTask(IFNetTask):
    """The small network, taught by the large one's motion, mask and frame beside the truth (knowledge distillation).

    The large network has the weights that interpolation takes.
    """

    lr = 2e-4

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        del self.networks["ifnet"]
        self.networks["ifnet-fast"] = RefinedIFNet(**FAST)
        self.teacher = RefinedIFNet().requires_grad_(False).eval()
        checkpoints.load(self.teacher, "ifnet")

    def train(self, mode: bool = True) -> "FastIFNetTask":
        super().train(mode)
        self.teacher.eval()
        return self

    def begin_motion(self, path: Path) -> None:
        """Blocks of the published widths begin with the published weights."""
        state, published = self.network.ifnet.state_dict(), checkpoints.read(path)
        fitting = {name: published[name] for name, tensor in state.items() if published[name].shape == tensor.shape}
        self.network.ifnet.load_state_dict(fitting, strict=False)

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.network.parameters(), lr, weight_decay=self.weight_decay)

    def teach(self, batch: Batch, t: Tensor, motion: Tensor, mask: Tensor, frame: Tensor) -> tuple[Tensor, Figures]:
        """The distance from what the large network makes of the same frames."""
        with torch.no_grad():
            taught = self.teacher(batch.frames[:, 0], batch.frames[:, 2], t)
        with full_precision(frame):
            h, w = taught.frame.shape[2:]
            error = (motion[:, :, :h, :w] - taught.motion).square().unflatten(1, (2, 2)).sum(2)
            distances = {
                "taught_motion": (error + _SOFT**2).sqrt().mean(),
                "taught_mask": (mask[:, :, :h, :w].sigmoid() - taught.mask.sigmoid()).abs().mean(),
                "taught_colour": (frame - taught.frame).abs().mean(),
            }
        weights = {"taught_motion": 5 * _MOTION, "taught_mask": 5 * _MASK, "taught_colour": 1.0}
        return reduce(operator.add, (weights[name] * distance for name, distance in distances.items())), distances


def _is_of_rife(names: Iterable[str]) -> bool:
    """Whether tensors of these names are IFNet's alone; RefinedIFNet's have it as their `ifnet`."""
    parts = [name.split(".") for name in names]
    return any("block0" in part for part in parts) and not any("ifnet" in part for part in parts)


def motion_loss(stages: list[Tensor], truth: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """The last stage's mean end-point error where motion leads to what is seen, and the weighted error of all stages.

    Args:
        stages: motion (b, 4, any, any) in pixels of its own size, the last one the best.
        truth: (b, 4, h, w).
        seen: (b, 2, h, w) 1 where a frame shows the pixel.
    """
    h, w = truth.shape[2:]
    weight = (seen + _UNSEEN * (1 - seen)).unsqueeze(2)
    total = error = truth.new_zeros(())
    for i, motion in enumerate(stages):
        if motion.shape[3] < w:
            factor = -(-w // motion.shape[3])
            motion = F.interpolate(motion.float(), scale_factor=factor, mode="bilinear", align_corners=False) * factor
        squared = (motion[:, :, :h, :w] - truth).square().unflatten(1, (2, 2)).sum(2, keepdim=True)
        total = total + _FADE ** (len(stages) - 1 - i) * (weight * (squared + _SOFT**2).sqrt()).mean()
        error = (seen.unsqueeze(2) * squared.sqrt()).sum() / seen.sum().clamp(min=1)
    return error.detach(), total


def mask_loss(mask: Tensor, seen: Tensor) -> Tensor:
    """Cross-entropy of the mask where one frame alone shows the pixel."""
    h, w = seen.shape[2:]
    one = (seen[:, :1] - seen[:, 1:]).abs()
    entropy = F.binary_cross_entropy_with_logits(mask[:, :, :h, :w].float(), seen[:, :1], reduction="none")
    return (one * entropy).mean()
