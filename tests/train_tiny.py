"""The trainer with one task more, "tiny", which is quick. As a script, it takes train's arguments."""

import torch
from torch import Tensor, nn

from _train.frame_interpolation import train
from _train.frame_interpolation.training import tasks
from _train.frame_interpolation.training.tasks.task import Task
from _util import command


class Tiny(Task):
    """Corrects the mean of both frames, by gradient descent, with noise in training."""

    lr, schedule = 0.1, "plateau"

    def __init__(self, options, device):
        super().__init__(options, device)
        self.networks["tiny"] = nn.Sequential(nn.Conv2d(6, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))
        self.noise = 0.0 if options.freeze_batch_norm else 0.01

    def training_loss(self, batch):
        frame0, truth, frame1 = batch.frames.unbind(1)
        loss = (self.interpolate(frame0 + self.noise * torch.randn_like(frame0), frame1, 0.5) - truth).square().mean()
        return loss, {"squared": loss}

    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        return (frame0 + frame1) / 2 + self.networks["tiny"](torch.cat([frame0, frame1], 1))

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.networks.parameters(), lr, momentum=0.9)


tasks.TASKS["tiny"] = Tiny

if __name__ == "__main__":
    command.run(train.main)
