"""The distance transform module (Chen and Zwicker, ECCV 2022, section 3.3), which corrects lines.

In: a synthesis of SoftsplatLite. The module predicts the distance transform of the true frame and refines the frame
with it. Attribute names follow the published checkpoint `dtm.pt`.
"""

import itertools

import torch
from torch import Tensor, nn

from _train.frame_interpolation.models.gridnet import PReLU, preactivated
from _train.frame_interpolation.models.layers import dtype_of
from _train.frame_interpolation.models.splatting import Synthesis
from _util.image import logit
from _util.lines import nedt
from _util.tiling import in_bands


def _convolutions(*channels: int) -> nn.Sequential:
    *before, last = itertools.pairwise(channels)
    layers = [layer for pair in before for layer in preactivated(*pair)]
    return nn.Sequential(*layers, PReLU(last[0]), nn.Conv2d(*last, 3, padding=1))


class NetNedt(nn.Module):
    """Predicts the distance transform of the true frame."""

    halo = 3

    def __init__(self):
        super().__init__()
        self.net = _convolutions(3 + 1 + 4 + 4 + 1 + 1, 16, 16, 1)

    def forward(self, images: list[Tensor]) -> Tensor:
        return torch.sigmoid(self.net(_logits(images, dtype_of(self.net))).float())


class NetTail(nn.Module):
    """Refines the frame, in logits, given its own distance transform and the predicted one."""

    halo = 4

    def __init__(self):
        super().__init__()
        self.net = _convolutions(3 + 1 + 1, 16, 16, 16, 3)

    def forward(self, images: list[Tensor]) -> Tensor:
        return torch.sigmoid(logit(images[0]) + self.net(_logits(images, dtype_of(self.net))).float())


class DTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.net_nedt = NetNedt()
        self.net_tail = NetTail()

    def forward(self, synthesis: Synthesis) -> tuple[Tensor, Tensor]:
        """Map a synthesis to the frame (b, 3, h, w) and the predicted NEDT (b, 1, h, w), both in [0, 1]."""
        frame, distance = synthesis.frame, nedt(synthesis.frame)
        predicted = _of_all(self.net_nedt, [frame, distance, *synthesis.bases, *synthesis.masks])
        return _of_all(self.net_tail, [frame, distance, predicted.detach()]), predicted


def _of_all(net: NetNedt | NetTail, images: list[Tensor]) -> Tensor:
    return in_bands(net, lambda start, stop: net([image[:, :, start:stop] for image in images]), images[0])


def _logits(images: list[Tensor], dtype: torch.dtype) -> Tensor:
    stacked = logit(torch.cat(images, 1).clamp(0, 1))
    return stacked.to(dtype).contiguous(memory_format=torch.channels_last)
