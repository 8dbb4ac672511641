"""AnimeInterp (Li et al., "Deep Animation Video Interpolation in the Wild", CVPR 2021), and its variant with global
motion aggregation (`models.gma`).

In: two frames, a coarse flow between them in both directions, such as that of segment-guided matching, and a time. Out:
the frame at that time. RFR refines the flow; both frames and three levels of their features are splatted to the time; a
SynthesisGrid draws the frame from them.

Attribute names follow the published checkpoint `anime_interp_full.ckpt`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from _train.frame_interpolation.models.gma import AggregatingRFR
from _train.frame_interpolation.models.layers import StridedConv2d, dtype_of
from _train.frame_interpolation.models.rfr import RFR, InitialMode
from _train.frame_interpolation.models.splatting import SplatSource, Synthesis, at_times, halves, times_of
from _util.flow import Flows
from _util.softsplat import softsplat, softsplat_with_mask

CHANNELS = (32, 64, 96)  # at the size of the frames, at 1/2 and at 1/4


class FeaturePyramid(nn.Module):
    def __init__(self):
        super().__init__()
        a, b, c = CHANNELS
        self.conv1, self.prelu1 = nn.Conv2d(3, a, 3, padding=1), nn.PReLU()
        self.conv2, self.prelu2 = nn.Conv2d(a, a, 3, padding=1), nn.PReLU()
        self.conv3, self.prelu3 = StridedConv2d(a, b, 3, stride=2, padding=1), nn.PReLU()
        self.conv4, self.prelu4 = nn.Conv2d(b, b, 3, padding=1), nn.PReLU()
        self.conv5, self.prelu5 = StridedConv2d(b, c, 3, stride=2, padding=1), nn.PReLU()
        self.conv6, self.prelu6 = nn.Conv2d(c, c, 3, padding=1), nn.PReLU()

    def forward(self, image: Tensor) -> list[Tensor]:
        """(b, 3, h, w) to (b, 32, h, w), (b, 64, ⌈h/2⌉, ⌈w/2⌉) and (b, 96, ⌈h/4⌉, ⌈w/4⌉)."""
        full = self.prelu2(self.conv2(self.prelu1(self.conv1(image))))
        half = self.prelu4(self.conv4(self.prelu3(self.conv3(full))))
        quarter = self.prelu6(self.conv6(self.prelu5(self.conv5(half))))
        return [full, half, quarter]


def lateral(i: int, o: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.PReLU(), StridedConv2d(i, o, 3, stride, 1), nn.PReLU(), nn.Conv2d(o, o, 3, padding=1))


def downsample(i: int, o: int) -> nn.Sequential:
    return lateral(i, o, stride=2)


def upsample(i: int, o: int) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), *lateral(i, o))


class SynthesisGrid(nn.Module):
    """A GridNet of three rows, one per size, and four columns, two down and two up (Fourure et al., BMVC 2017).

    In attribute names, the first digit is the target row and the second the column. The names count six columns, of
    which two do not exist.
    """

    def __init__(self):
        super().__init__()
        a, b, c = CHANNELS
        self.residual_model_head = lateral(2 * 3, a)
        self.residual_model_head1 = lateral(2 * a, a)
        self.residual_model_head2 = lateral(2 * b, b)
        self.residual_model_head3 = lateral(2 * c, c)
        self.residual_model_01, self.residual_model_04, self.residual_model_05 = (lateral(a, a) for _ in range(3))
        self.residual_model_11, self.residual_model_14, self.residual_model_15 = (lateral(b, b) for _ in range(3))
        self.residual_model_21, self.residual_model_24, self.residual_model_25 = (lateral(c, c) for _ in range(3))
        self.downsample_model_10, self.downsample_model_11 = downsample(a, b), downsample(a, b)
        self.downsample_model_20, self.downsample_model_21 = downsample(b, c), downsample(b, c)
        self.upsample_model_04, self.upsample_model_05 = upsample(b, a), upsample(b, a)
        self.upsample_model_14, self.upsample_model_15 = upsample(c, b), upsample(c, b)
        self.residual_model_tail = lateral(a, 3)

    def forward(self, images: Tensor, features: list[Tensor]) -> Tensor:
        """Map images (b, 6, h, w) and features (b, 64, h, w), (b, 128, ⌈h/2⌉, ⌈w/2⌉) and (b, 192, ⌈h/4⌉, ⌈w/4⌉) to the
        frame (b, 3, h, w). Channels are those of frame 0, then those of frame 1."""
        row0 = self.residual_model_head(images) + self.residual_model_head1(features[0])
        row1 = self.downsample_model_10(row0) + self.residual_model_head2(features[1])
        row2 = self.downsample_model_20(row1) + self.residual_model_head3(features[2])

        row0 = row0 + self.residual_model_01(row0)
        row1 = row1 + self.residual_model_11(row1) + self.downsample_model_11(row0)
        row2 = row2 + self.residual_model_21(row2) + self.downsample_model_21(row1)

        row2 = row2 + self.residual_model_24(row2)
        row1 = row1 + self.residual_model_14(row1) + crop(self.upsample_model_14(row2), row1)
        row0 = row0 + self.residual_model_04(row0) + crop(self.upsample_model_04(row1), row0)

        row2 = row2 + self.residual_model_25(row2)
        row1 = row1 + self.residual_model_15(row1) + crop(self.upsample_model_15(row2), row1)
        row0 = row0 + self.residual_model_05(row0) + crop(self.upsample_model_05(row1), row0)
        return self.residual_model_tail(row0)


def crop(x: Tensor, like: Tensor) -> Tensor:
    """Crop to the size of `like`: halving rounds up, so doubling can give one pixel too many."""
    return x[:, :, : like.shape[2], : like.shape[3]]


class ReleasedRFR(RFR):
    stretched = True


class SplatFeatures(NamedTuple):
    """Everything about a pair of frames that does not depend on the time."""

    image: SplatSource  # RGB and the refined flow; all pixels weigh the same
    features: list[Tensor]  # (2b, c, h, w), three levels


class AnimeInterp(nn.Module):
    """The network.

    Args:
        aggregate: refine the flow with global motion aggregation.
    """

    def __init__(self, aggregate: bool = False):
        super().__init__()
        self.feat_ext = FeaturePyramid()
        self.flownet = AggregatingRFR() if aggregate else ReleasedRFR()
        self.synnet = SynthesisGrid()

    def forward(
        self,
        frame0: Tensor,
        frame1: Tensor,
        t: float | Tensor = 0.5,
        initial01: Tensor | None = None,
        initial10: Tensor | None = None,
        initial_mode: InitialMode = "released",
    ) -> Synthesis:
        """Synthesise the frame at time t.

        Args:
            frame0, frame1: (b, 3, h, w) RGB in [0, 1], h and w at least 16.
            t: time in (0, 1): one for all, or (b,), or (n,) for a single pair.
            initial01, initial10: (b, 2, h, w), x then y, pixels: the initial flow, both or none.
            initial_mode: how RFR uses the initial flow.

        Returns:
            The frame, and both splatted frames, (b, 3, h, w) with 0 in holes.
        """
        initial = None
        if initial01 is not None:
            assert initial10 is not None, "both or none"
            initial = Flows(initial01, initial10)
        return self.synthesise(self.prepare(frame0, frame1, *self.refine(frame0, frame1, initial, initial_mode)), t)

    def refine(
        self,
        frame0: Tensor,
        frame1: Tensor,
        initial: Flows | None = None,
        initial_mode: InitialMode = "released",
        iterations: int = 12,
    ) -> Flows:
        """Estimate flow01 and flow10, (b, 2, h, w), with RFR; arguments as in `forward`."""
        return self.flownet.both_ways(_centre(frame0), _centre(frame1), iterations, initial, initial_mode)

    def prepare(self, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor) -> SplatFeatures:
        """Extract the features of both frames, to be splatted along refined flows (b, 2, h, w); see `forward`."""
        images, flow = torch.cat([frame0, frame1]), torch.cat([flow01, flow10])
        weight = self.feat_ext.conv1.weight
        features = self.feat_ext(_centre(images).to(weight.dtype, memory_format=torch.channels_last))
        return SplatFeatures(
            SplatSource(images, flow, torch.zeros_like(flow[:, :1])), [x.contiguous() for x in features]
        )

    def synthesise(self, prepared: SplatFeatures, t: float | Tensor) -> Synthesis:
        """The frame at time t, (0, 1), from what `prepare` returned."""
        prepared = at_times(prepared, t)
        images, flow, _ = prepared.image
        times = times_of(t, len(flow) // 2, flow)
        flow = flow * torch.cat([times, 1 - times])
        # In double precision, since a rounding error that reaches the next pixel fills it if nothing else lands there.
        exact = torch.float32 if images.device.type == "mps" else torch.float64  # Apple's GPUs lack it
        splats, masks = (x.to(images.dtype) for x in softsplat_with_mask(images.to(exact), flow, mode="average"))
        inputs = [splats]
        for level, feature in enumerate(prepared.features):
            every = 2**level  # stride of the features
            splat = softsplat(feature.to(exact), flow[:, :, ::every, ::every] / every, mode="average")
            inputs.append(splat.to(feature.dtype))
        both = [torch.cat(x.chunk(2), 1).to(dtype_of(self.synnet), memory_format=torch.channels_last) for x in inputs]
        frame = self.synnet(both[0], both[1:]).to(images.dtype)
        return Synthesis(frame, halves(splats), halves(masks))


def _centre(images: Tensor) -> Tensor:
    """Map [0, 1] to [-1, 1], the input range of RFR and of the feature pyramid."""
    return 2 * images - 1
