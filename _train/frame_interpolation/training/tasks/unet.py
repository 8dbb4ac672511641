"""The two tasks of the U-Nets: the flow between two frames, and the frame between them given flow."""

from argparse import Namespace
from typing import cast

import torch
from torch import Tensor

from _train.frame_interpolation.models.unet import FlowUNet, FrameUNet
from _train.frame_interpolation.training.batches import Batch
from _train.frame_interpolation.training.tasks.flow import FlowTask
from _train.frame_interpolation.training.tasks.task import Figures, SynthesisTask
from _util import losses, metrics


class FlowUNetTask(FlowTask):
    """`--task optflow`: the flow; without exact flow, its appearance loss is that of `FrameUNetTask`."""

    lr = 4e-4
    style_features = "vgg19"

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.name = f"{options.model}_flow"
        self.networks[self.name] = FlowUNet(options.model)
        self.backbone = losses.style_features(options.style_features) if options.self_supervise else None

    def refinements(self, frame0: Tensor, frame1: Tensor) -> list[Tensor]:
        return cast(FlowUNet, self.networks[self.name]).refinements(frame0, frame1)

    def appearance(self, frame: Tensor, truth: Tensor) -> tuple[str, Tensor]:
        assert self.backbone is not None
        return "looks", _perceptual(self.backbone, frame, truth) + (frame - truth).abs().mean()


class FrameUNetTask(SynthesisTask):
    """`--task vfi`: the frame, trained with L1 and a perceptual loss over several layers of a backbone."""

    lr, schedule, weight_decay = 1e-3, "cosine", 1e-4
    style_features = "vgg19"

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.networks[options.model] = FrameUNet(options.model)
        self.backbone = losses.style_features(options.style_features)
        self.psnr, self.ssim = metrics.PSNR(), metrics.SSIM()

    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        frame0, truth, frame1 = batch.frames.unbind(1)
        frame = self.networks[self.options.model](frame0, frame1, *self.flows_of(batch), batch.times).frame
        return self.judge(frame, truth)

    def judge(self, frame: Tensor, truth: Tensor) -> tuple[Tensor, Figures]:
        perceptual, l1 = _perceptual(self.backbone, frame, truth), (frame - truth).abs().mean()
        drawn = frame.detach().float()
        figures = {name: getattr(self, name).measure(drawn, truth).mean() for name in ("psnr", "ssim")}
        return perceptual + l1, {"perceptual": perceptual, "l1": l1, **figures}

    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        return self.networks[self.options.model](frame0, frame1, *self.estimate(frame0, frame1), t).frame


def _perceptual(features: torch.nn.Module, frame: Tensor, truth: Tensor) -> Tensor:
    with torch.no_grad():
        theirs = features(truth)
    return losses.perceptual(features(frame), theirs)
