"""A flow that sees everything move by one pixel."""

import torch
from torch import Tensor

from _train.frame_interpolation.context import Context


def create(_: Context):
    def estimate(frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        flow = torch.zeros_like(frame0[:, :2])
        flow[:, 0] = 1
        return flow, -flow

    return estimate
