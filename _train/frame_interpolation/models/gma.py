"""RFR with global motion aggregation (Jiang et al., "Learning to Estimate Hidden Motions with Global Motion
Aggregation", ICCV 2021).

In and out: as `models.rfr`. Where a pixel's match is hidden or its surroundings are flat, its motion follows that of
places that look alike: every pixel also sees the motion of all others, weighted by the likeness of their context.

What each pixel attends to is the same in every iteration. It is worked out once and kept while there is room, up to
540p; for larger pictures it is worked out again for some pixels at a time, so that it never takes up more. Attribute
names follow the released weights, some of which the released network holds but does not use.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models.rfr import RFR, BasicEncoder, GRUContext, UpdateBlock

_KEPT = 2**27  # likenesses of pairs of pixels, 512 MB
_AT_ONCE = 2**24  # where they are not kept, whatever PyTorch does inside


class RelativePositions(nn.Module):
    """Embeddings of GMA's positional variant: part of the released weights, without a share in the result."""

    def __init__(self, largest_side: int, channels: int):
        super().__init__()
        self.rel_height = nn.Embedding(2 * largest_side - 1, channels)
        self.rel_width = nn.Embedding(2 * largest_side - 1, channels)
        place = torch.arange(largest_side)
        self.register_buffer("rel_ind", place - place[:, None] + largest_side - 1)


class QueriesAndKeys(NamedTuple):
    """What each pixel looks for and what it is found by, (b, n, c) of n pixels."""

    queries: Tensor
    keys: Tensor

    def attend(self, values: Tensor, at_once: int = _AT_ONCE) -> Tensor:
        """softmax(queries · keysᵀ / √c) · values, (b, n, c), with no more than `at_once` likenesses at a time."""
        together = max(1, at_once // math.prod(self.keys.shape[:2]))
        some = self.queries.split(together, 1)
        return torch.cat([F.scaled_dot_product_attention(queries, self.keys, values) for queries in some], 1)

    def keep(self) -> "Weights":
        return Weights((self.queries @ self.keys.transpose(1, 2) * self.keys.shape[2] ** -0.5).softmax(2))


class Weights(NamedTuple):
    """How much each pixel attends to each other, (b, n, n)."""

    weights: Tensor

    def attend(self, values: Tensor) -> Tensor:
        return self.weights @ values


class Attention(nn.Module):
    def __init__(self, channels: int = 128, largest_side: int = 160):
        super().__init__()
        self.to_qk = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.pos_emb = RelativePositions(largest_side, channels)

    def forward(self, context: Tensor, kept: int = _KEPT) -> QueriesAndKeys | Weights:
        """What each pixel of the context (b, c, h, w) attends to; as weights, if there are no more than `kept`."""
        attention = QueriesAndKeys(*_as_tokens(self.to_qk(context)).chunk(2, 2))
        b, n, _ = attention.keys.shape
        return attention.keep() if b * n**2 <= kept else attention


class Aggregator(nn.Module):
    """Adds to the motion a view of it that takes in what moves elsewhere."""

    def __init__(self, channels: int = 128):
        super().__init__()
        self.to_v = nn.Conv2d(channels, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, motion: Tensor, attention: QueriesAndKeys | Weights) -> Tensor:
        """(b, c, h, w) to (b, 2c, h, w)."""
        found = attention.attend(_as_tokens(self.to_v(motion)))
        found = found.transpose(1, 2).unflatten(2, motion.shape[2:])
        return torch.cat([motion, motion + self.gamma * found], 1)


def _as_tokens(x: Tensor) -> Tensor:
    """(b, c, h, w) to (b, h·w, c)."""
    return x.flatten(2).transpose(1, 2)


class AggregatingRFR(RFR):
    def __init__(self, scales: int = 4, radius: int = 4):
        super().__init__(scales, radius)
        self.fnet = BasicEncoder(nn.InstanceNorm2d)
        # The released network has a context network too, but takes its context from `fnet`, as RFR does.
        self.cnet = BasicEncoder(nn.BatchNorm2d)
        self.att = Attention()
        self.update_block = UpdateBlock(scales * (2 * radius + 1) ** 2, Aggregator())

    def _prepare(self, context: Tensor) -> GRUContext:
        return super()._prepare(context)._replace(attention=self.att(context))
