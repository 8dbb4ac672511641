"""RFR with global motion aggregation (Jiang et al., "Learning to Estimate Hidden Motions with Global Motion
Aggregation", ICCV 2021).

In and out: as `models.rfr`. Each pixel also sees the motion of all others, weighted by the similarity of their context.
So where a pixel's match is occluded or its surroundings are flat, its motion follows that of similar places.

Attention is the same in every iteration. Up to 540p it is computed once and kept. For larger pictures it is recomputed
in every iteration, for some pixels at a time, to limit memory. Attribute names follow the released weights, some of
which the released network contains but does not use.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models.rfr import RFR, BasicEncoder, GRUContext, UpdateBlock

_KEPT = 2**27  # attention weights of pairs of pixels that may be kept, 512 MB
_AT_ONCE = 2**24  # limit per step if they are not kept, whatever PyTorch does internally


class RelativePositions(nn.Module):
    """Embeddings of GMA's positional variant: part of the released weights, but without effect on the result."""

    def __init__(self, largest_side: int, channels: int):
        super().__init__()
        self.rel_height = nn.Embedding(2 * largest_side - 1, channels)
        self.rel_width = nn.Embedding(2 * largest_side - 1, channels)
        place = torch.arange(largest_side)
        self.register_buffer("rel_ind", place - place[:, None] + largest_side - 1)


class QueriesAndKeys(NamedTuple):
    """Attention queries and keys, (b, n, c) for n pixels."""

    queries: Tensor
    keys: Tensor

    def attend(self, values: Tensor, at_once: int = _AT_ONCE) -> Tensor:
        """softmax(queries · keysᵀ / √c) · values, (b, n, c), with at most `at_once` attention weights at a time."""
        together = max(1, at_once // math.prod(self.keys.shape[:2]))
        some = self.queries.split(together, 1)
        return torch.cat([F.scaled_dot_product_attention(queries, self.keys, values) for queries in some], 1)

    def weights(self) -> "Weights":
        """The attention weights of all pixels."""
        return Weights((self.queries @ self.keys.transpose(1, 2) * self.keys.shape[2] ** -0.5).softmax(2))


class Weights(NamedTuple):
    """Attention weights between all pixels, (b, n, n)."""

    weights: Tensor

    def attend(self, values: Tensor) -> Tensor:
        return self.weights @ values


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.to_qk = nn.Conv2d(128, 2 * 128, 1, bias=False)
        self.pos_emb = RelativePositions(160, 128)

    def forward(self, context: Tensor, kept: int = _KEPT) -> QueriesAndKeys | Weights:
        """The attention of the context (b, c, h, w): weights if there are at most `kept`, else queries and keys."""
        attention = QueriesAndKeys(*_as_tokens(self.to_qk(context)).chunk(2, 2))
        b, n, _ = attention.keys.shape
        return attention.weights() if b * n**2 <= kept else attention


class Aggregator(nn.Module):
    """Appends to the motion features a copy with the attended motion of other pixels added."""

    def __init__(self):
        super().__init__()
        self.to_v = nn.Conv2d(128, 128, 1, bias=False)
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
    def __init__(self):
        super().__init__()
        self.fnet = BasicEncoder(nn.InstanceNorm2d)
        # Unused: the released network has a context network, but takes its context from `fnet`, as RFR does.
        self.cnet = BasicEncoder(nn.BatchNorm2d)
        self.att = Attention()
        self.update_block = UpdateBlock(Aggregator())

    def _prepare(self, context: Tensor) -> GRUContext:
        return super()._prepare(context)._replace(attention=self.att(context))
