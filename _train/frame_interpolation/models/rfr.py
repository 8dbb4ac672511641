"""Recurrent flow refinement, RFR (Li et al., "Deep Animation Video Interpolation in the Wild", CVPR 2021), from RAFT.

In: two images and optionally an initial flow. Out: the flow from the first to the second. One encoder extracts both the
features to correlate and the context. A recurrent block looks up correlations around the current flow and refines it,
at an eighth of the size.

The context's contribution to each convolution of the recurrent block does not change between iterations, so it is
computed once. Attribute names follow the published checkpoint (`module.flownet.*` of `anime_interp_full.ckpt`).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _train.frame_interpolation.models.layers import StridedConv2d
from _util.correlation import CorrelationPyramid
from _util.flow import Flows, backwarp
from _util.flow import resize as resize_flow
from _util.graphs import constant

InitialMode = Literal["released", "paper"]
Norm = Callable[[int], nn.Module]
_CORRELATIONS = 4 * 9**2  # that `CorrelationPyramid` looks up per pixel
_CHANNELS = 128  # of the hidden state, and of the context


class EncoderBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: Norm = nn.Identity):
        super().__init__()
        self.conv1 = StridedConv2d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.norm1, self.norm2 = norm(out_channels), norm(out_channels)
        self.downsample = None
        if stride != 1:
            self.norm3 = norm(out_channels)  # published under this name and under `downsample.1`
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=stride), self.norm3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(self.conv1(x)).relu_()
        y = self.norm2(self.conv2(y)).relu_()
        return (y + (x if self.downsample is None else self.downsample(x))).relu_()


class BasicEncoder(nn.Module):
    def __init__(self, norm: Norm = nn.Identity):
        super().__init__()
        self.conv1 = StridedConv2d(3, 64, 7, stride=2, padding=3)
        self.norm1 = norm(64)
        self.layer1 = nn.Sequential(EncoderBlock(64, 64, 1, norm), EncoderBlock(64, 64, 1, norm))
        self.layer2 = nn.Sequential(EncoderBlock(64, 96, 2, norm), EncoderBlock(96, 96, 1, norm))
        self.layer3 = nn.Sequential(EncoderBlock(96, 128, 2, norm), EncoderBlock(128, 128, 1, norm))
        self.conv2 = nn.Conv2d(128, 256, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(b, 3, h, w) to (b, 256, h/8, w/8)."""
        x = self.norm1(self.conv1(image)).relu_()
        return self.conv2(self.layer3(self.layer2(self.layer1(x))))


class MotionEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.convc1 = nn.Conv2d(_CORRELATIONS, 256, 1)
        self.convc2 = nn.Conv2d(256, 192, 3, padding=1)
        self.convf1 = nn.Conv2d(2, 128, 7, padding=3)
        self.convf2 = nn.Conv2d(128, 64, 3, padding=1)
        self.conv = nn.Conv2d(64 + 192, 128 - 2, 3, padding=1)

    def forward(self, flow: Tensor, correlation: Tensor) -> Tensor:
        matched = self.convc2(self.convc1(correlation).relu_()).relu_()
        moved = self.convf2(self.convf1(flow).relu_()).relu_()
        return torch.cat([self.conv(torch.cat([matched, moved], 1)).relu_(), flow], 1)


class ContextGates(NamedTuple):
    """One pass of the recurrent unit: weights of the varying inputs, and the constant contribution of the context."""

    weight_zr: Tensor
    context_zr: Tensor
    weight_q: Tensor
    context_q: Tensor
    padding: str | tuple[int, ...]


class SepConvGRU(nn.Module):
    """A convolutional GRU in two passes, along rows and along columns. Its input is [context, motion]."""

    def __init__(self, motion: int):
        super().__init__()
        i, o = 2 * _CHANNELS + motion, _CHANNELS
        self.convz1, self.convr1, self.convq1 = (nn.Conv2d(i, o, (1, 5), padding=(0, 2)) for _ in range(3))
        self.convz2, self.convr2, self.convq2 = (nn.Conv2d(i, o, (5, 1), padding=(2, 0)) for _ in range(3))

    def prepare(self, context: Tensor) -> list[ContextGates]:
        passes = ((self.convz1, self.convr1, self.convq1), (self.convz2, self.convr2, self.convq2))
        return [self._prepare(context, *convolutions) for convolutions in passes]

    def _prepare(self, context: Tensor, z: nn.Conv2d, r: nn.Conv2d, q: nn.Conv2d) -> ContextGates:
        weight = torch.cat([z.weight, r.weight, q.weight])
        bias = torch.cat([x.bias for x in (z, r, q) if x.bias is not None])
        before, of_context, after = weight.tensor_split([_CHANNELS, 2 * _CHANNELS], 1)
        varying = torch.cat([before, after], 1).contiguous(memory_format=torch.channels_last)
        share = F.conv2d(context, of_context.contiguous(memory_format=torch.channels_last), bias, padding=z.padding)
        both = 2 * _CHANNELS
        return ContextGates(varying[:both], share[:, :both], varying[both:], share[:, both:], z.padding)

    def forward(self, hidden: Tensor, motion: Tensor, gates: list[ContextGates]) -> Tensor:
        for gate in gates:
            zr = F.conv2d(torch.cat([hidden, motion], 1), gate.weight_zr, padding=gate.padding)
            z, r = zr.add_(gate.context_zr).sigmoid_().chunk(2, 1)
            q = F.conv2d(torch.cat([r * hidden, motion], 1), gate.weight_q, padding=gate.padding)
            hidden = hidden.lerp(q.add_(gate.context_q).tanh_(), z)
        return hidden


class FlowHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(128, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.conv2(self.conv1(hidden).relu_())


class GRUContext(NamedTuple):
    """What the recurrent block takes from the context in every iteration."""

    gates: list[ContextGates]
    attention: Any = None  # for the aggregator, if there is one


class UpdateBlock(nn.Module):
    """The recurrent block.

    Args:
        aggregator: maps motion (b, 128, h, w) and the context's attention to (b, 256, h, w); None leaves motion as is.
    """

    def __init__(self, aggregator: nn.Module | None = None):
        super().__init__()
        self.encoder = MotionEncoder()
        self.aggregator = aggregator
        self.gru = SepConvGRU(motion=128 if aggregator is None else 256)
        self.flow_head = FlowHead()
        self.mask = nn.Sequential(nn.Conv2d(128, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 64 * 9, 1))

    def forward(self, hidden: Tensor, context: GRUContext, correlation: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """The next hidden state and the update of the flow, both at an eighth of the size."""
        layout = {"dtype": hidden.dtype, "memory_format": torch.channels_last}
        motion = self.encoder(flow.to(**layout), correlation.to(**layout))
        if self.aggregator is not None:
            motion = self.aggregator(motion, context.attention)
        hidden = self.gru(hidden, motion, context.gates)
        return hidden, self.flow_head(hidden).to(flow.dtype)

    def upsample(self, hidden: Tensor, flow: Tensor) -> Tensor:
        """Flow (b, 2, h, w) to (b, 2, 8h, 8w): each vector is a convex combination of its 3×3 coarse neighbours."""
        b, _, h, w = flow.shape
        shares = (0.25 * self.mask(hidden).float()).permute(0, 2, 3, 1).reshape(b, h, w, 9, 64).softmax(3)
        neighbours = F.unfold(8 * flow, 3, padding=1).view(b, 2, 9, h, w).permute(0, 3, 4, 1, 2)
        with torch.autocast(flow.device.type, enabled=False):  # half precision would round flows to half pixels
            fine = (neighbours @ shares).view(b, h, w, 2, 8, 8)
        return fine.permute(0, 3, 1, 4, 2, 5).reshape(b, 2, 8 * h, 8 * w)


class ConfidenceNet(nn.Module):
    """The confidence of an initial flow: exp(-g²) per pixel (AnimeInterp, section 4.2)."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(6, 32, 5, padding=2)
        self.prelu1 = nn.PReLU()
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.prelu2 = nn.PReLU()
        self.conv3 = nn.Conv2d(32 + 6, 1, 3, padding=1)

    def forward(self, image0: Tensor, image1: Tensor, flow: Tensor) -> Tensor:
        """Images (b, 3, h, w) and flow (b, 2, h, w) of one size to (b, 1, h, w) in (0, 1]."""
        difference = (backwarp(image1, flow, quirk=False) - image0).abs().sum(1, keepdim=True)
        inputs = torch.cat([image0, difference, flow], 1).to(self.conv1.weight.dtype)
        x = self.prelu2(self.conv2(self.prelu1(self.conv1(inputs))))
        return (-self.conv3(torch.cat([x, inputs], 1)).to(flow.dtype).square()).exp()


class RFR(nn.Module):
    stretched = False  # as of `CorrelationPyramid`

    def __init__(self):
        super().__init__()
        self.fnet = BasicEncoder()
        self.update_block = UpdateBlock()
        self.attention2 = ConfidenceNet()

    def forward(
        self,
        image0: Tensor,
        image1: Tensor,
        iterations: int = 12,
        initial: Tensor | None = None,
        initial_mode: InitialMode = "released",
    ) -> Tensor:
        """The flow from image0 to image1, as by `both_ways`; the reverse flow is computed and discarded.

        Args:
            image0, image1: (b, 3, h, w), in the range the weights were trained with; sides of at least 16 pixels.
            iterations: number of refinements.
            initial: (b, 2, h, w), the initial flow, in pixels.
            initial_mode: "released" adds the initial flow twice, as the published code does; "paper" adds it once,
                weighted by the confidence network.

        Returns:
            (b, 2, h, w), x then y, pixels, in the dtype of image0.
        """
        initials = None if initial is None else Flows(initial, torch.zeros_like(initial))
        return self.both_ways(image0, image1, iterations, initials, initial_mode).flow01

    def both_ways(
        self,
        image0: Tensor,
        image1: Tensor,
        iterations: int = 12,
        initial: Flows | None = None,
        initial_mode: InitialMode = "released",
    ) -> Flows:
        """flow01 and flow10, from one pass of the encoder and one correlation matrix.

        Args:
            initial: the initial flow01 and flow10; the other arguments are those of `forward`.
        """
        return Flows(*self.refinements(image0, image1, iterations, initial, initial_mode, last_only=True)[-1].chunk(2))

    def refinements(
        self,
        image0: Tensor,
        image1: Tensor,
        iterations: int = 12,
        initial: Flows | None = None,
        initial_mode: InitialMode = "released",
        last_only: bool = False,
    ) -> list[Tensor]:
        """The flow after every iteration: each (2b, 2, h, w), flow01 first, then flow10.

        Args:
            last_only: return only the flow of the last iteration; the other arguments are those of `both_ways`.
        """
        reduced = _to_multiples_of_8(torch.cat([image0, image1]))
        features = self.fnet(reduced.to(self.fnet.conv1.weight.dtype, memory_format=torch.channels_last))
        pyramid = CorrelationPyramid(*features.chunk(2), both_ways=True, stretched=self.stretched)
        hidden, context = features.chunk(2, 1)
        hidden, context = hidden.tanh(), self._prepare(context.relu())
        h, w = features.shape[2:]
        x, y = torch.arange(w, device=features.device).float(), torch.arange(h, device=features.device).float()
        start = torch.stack(torch.meshgrid(x, y, indexing="xy"))
        if initial is None:
            flow = features.new_zeros((len(features), 2, h, w), dtype=torch.float32)
        else:
            flow = self._begin(reduced, torch.cat(initial), initial_mode).float()
        refined = []
        for i in range(iterations):
            if i > 0:
                if not last_only:
                    refined.append(self.update_block.upsample(hidden, flow))
                flow = flow.detach()
            hidden, change = self.update_block(hidden, context, pyramid.lookup(start + flow), flow)
            flow = flow + change
        refined.append(self.update_block.upsample(hidden, flow))
        return [resize_flow(flow, image0.shape[2:]).to(image0.dtype) for flow in refined]

    def _prepare(self, context: Tensor) -> GRUContext:
        return GRUContext(self.update_block.gru.prepare(context))

    def _begin(self, images: Tensor, initial: Tensor, mode: InitialMode) -> Tensor:
        """The flow to refine, at an eighth of the size of images (2b, 3, h, w), given the initial flow of any size."""
        size = images.shape[2] // 8, images.shape[3] // 8
        scale = constant([size[1] / initial.shape[3], size[0] / initial.shape[2]], initial).view(1, 2, 1, 1)
        coarse = F.interpolate(initial, size, mode="nearest") * scale
        if mode == "released":
            return 2 * coarse
        image0, image1 = F.interpolate(images, size, mode="bilinear", align_corners=False).chunk(2)
        return self.attention2(torch.cat([image0, image1]), torch.cat([image1, image0]), coarse) * coarse


def _to_multiples_of_8(image: Tensor) -> Tensor:
    h, w = image.shape[2:]
    return F.interpolate(image, (h // 8 * 8, w // 8 * 8), mode="bilinear", align_corners=False)
