"""IFNet, trained on the appearance of frames and, on toons, on exact motion.

Frames are compared by LPIPS, colours and line responses. Toons also provide where each pixel of the middle frame comes
from and which frames show it, which supervises each block's motion and the last mask directly. They also provide the
fraction of the way that each pixel has covered, so that the time given to the network always matches the truth
(distance indexing; Zhong et al., Clearer Frames, Anytime, ECCV 2024).

When starting from published weights, it is best to freeze the coarse blocks: they were trained on more real motion than
toons can provide.
"""

from argparse import Namespace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.models.ifnet import enlarge
from _train.frame_interpolation.models.mixing import mix
from _train.frame_interpolation.models.sharp_ifnet import SharpIFNet
from _train.frame_interpolation.training.batches import Batch
from _train.frame_interpolation.training.tasks.task import Figures, Task, drawing_loss, full_precision
from _util.errors import InputError
from _util.losses import LPIPSLoss

_MOTION, _MASK = 0.004, 0.02
_FADE = 0.7  # weight of a block's motion relative to the next block's
_UNSEEN = 0.1  # weight of motion to a frame that does not show the pixel
_SOFT = 0.1  # error in pixels below which the loss is about quadratic


class IFNetTask(Task):
    """SharpIFNet. `--from` loads RIFE's published weights or its own; only `--blocks` are trained."""

    lr, schedule, weight_decay, finds_motion = 1e-4, "cosine", 1e-4, True
    blocks = 1

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.lpips = LPIPSLoss(protocol="paper")
        network = self.networks["ifnet"] = SharpIFNet()
        if options.blocks > len(network.blocks):
            raise InputError(f"--blocks is {options.blocks}; {options.model} has {len(network.blocks)} blocks.")
        for block in network.blocks[: -options.blocks]:
            block.requires_grad_(False)

    @property
    def network(self) -> SharpIFNet:
        return cast(SharpIFNet, self.networks["ifnet"])

    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        frame0, truth, frame1 = batch.frames.unbind(1)
        t = batch.times if batch.progress is None else batch.progress
        prepared = self.network.prepare(frame0, frame1)
        stages = self.network.stages(prepared, t)
        h, w = truth.shape[2:]
        motion, mask = enlarge(*stages[-1], prepared.reductions[-1], prepared.frames.shape[3:])
        assert prepared.static_limit is not None
        drawn = mix(*(x[..., :h, :w] for x in (prepared.frames, motion, mask)), limit=prepared.static_limit)
        loss, figures = self.judge(drawn.frame, truth)
        if batch.motion is not None and batch.seen is not None:
            with full_precision(loss):
                error, of_motion = motion_loss([motion for motion, _ in stages], batch.motion, batch.seen)
                of_mask = mask_loss(mask, batch.seen)
            loss = loss + _MOTION * of_motion + _MASK * of_mask
            figures |= {"end_point_error": error, "mask": of_mask}
        return loss, figures

    def judge(self, frame: Tensor, truth: Tensor) -> tuple[Tensor, Figures]:
        return drawing_loss(self.lpips, frame, truth)

    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        return self.network(frame0, frame1, t).frame


def motion_loss(stages: list[Tensor], truth: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """The last stage's mean end-point error where the frame shows the pixel, and the weighted error of all stages.

    Args:
        stages: motion (b, 4, any, any) in pixels of its own size, best last.
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
    """Cross-entropy of the mask where only one frame shows the pixel."""
    h, w = seen.shape[2:]
    one = (seen[:, :1] - seen[:, 1:]).abs()
    entropy = F.binary_cross_entropy_with_logits(mask[:, :, :h, :w].float(), seen[:, :1], reduction="none")
    return (one * entropy).mean()
