"""Ways to draw the frame at a time from two frames and the flow between them, by name.

Each does what does not depend on the time in `prepare`, once for a pair of frames, and the rest in `synthesise`.
"""

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from _train.frame_interpolation import flows
from _train.frame_interpolation.models import animeinterp, fusion, unet
from _train.frame_interpolation.models.animeinterp import AnimeInterp
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.fusion import Fusion, fill
from _train.frame_interpolation.models.rfr import InitialMode
from _train.frame_interpolation.models.softsplat_lite import (
    Prepared,
    SoftsplatLite,
    Source,
    at_times,
    half_warp,
    splat_metric,
)
from _util import checkpoints, graphs, paths
from _util.flow import resize as resize_flow
from _util.folding import fold_batch_norms

# These take a coarse flow and refine it by an RFR of their own, which begins with it in one of two modes (models.rfr)
REFINING = ("animeinterp", "animeinterp-paper", "animeinterp-gma", "animeinterp-gma-paper")
ALONG_PATHS = ("ssldtm", "fusion", "ssl", "splat")  # these take paths (_util.paths) as well as flows
# The best first; those after splat, which needs no weights, are taken only by name.
NAMES = ("ssldtm", "fusion", "resunet", "transunet", "unet", "ssl", "splat", *REFINING)


class Preparation(Protocol):
    """What a synthesis keeps of a pair of frames; `image` tells how it splats them."""

    image: Source


class FrameSynthesis(Protocol):
    def prepare(self, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor) -> Preparation:
        """Frames (1, 3, h, w) RGB in [0, 1], flows (1, 2, h, w) x then y in pixels; or paths, for `ALONG_PATHS`."""

    def synthesise(self, prepared: Preparation, t: float | Tensor) -> Tensor:
        """The frame (1, 3, h, w) at time t in (0, 1), or the frames (n, 3, h, w) at several times (n,)."""


def create(
    name: str,
    device: torch.device,
    flow_dtype: torch.dtype,
    dtype: torch.dtype,
    folder: Path = checkpoints.FOLDER,
) -> FrameSynthesis:
    """A synthesis of `NAMES`, on a device and in a precision, that of flow where it refines it, with weights from a
    folder."""
    synthesis = _create(name, device, flow_dtype, dtype, folder)
    return Replayed(synthesis, device) if device.type == "cuda" else synthesis


def _create(
    name: str, device: torch.device, flow_dtype: torch.dtype, dtype: torch.dtype, folder: Path
) -> FrameSynthesis:
    if name == "splat":
        return Splat()
    if name == "fusion":
        return Fused(device, dtype, folder)
    if name in unet.VARIANTS:
        network = unet.FrameUNet(name).eval()
        checkpoints.load(network, name, folder)
        return network.to(device, dtype, memory_format=torch.channels_last)
    if name in REFINING:
        return Refining(name, device, flow_dtype, dtype, folder)
    return Networks(device, dtype, folder, corrects_lines=name == "ssldtm")


class Replayed:
    """A synthesis on a GPU, whose two steps are replayed as graphs."""

    def __init__(self, synthesis: FrameSynthesis, device: torch.device):
        self.prepare = graphs.replayed(synthesis.prepare, device)
        self._synthesise = graphs.replayed(synthesis.synthesise, device)

    def synthesise(self, prepared: Preparation, t: float | Tensor) -> Tensor:
        return self._synthesise(prepared, t if isinstance(t, Tensor) else graphs.constant([t], prepared.image.flow))


class Splat:
    """Softmax splatting of both frames, holes filled from the other frame: what there is without learned weights."""

    def prepare(self, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor) -> Prepared:
        metric = splat_metric(frame0, frame1, flow01, flow10)
        return Prepared(Source(torch.cat([frame0, frame1]), torch.cat([flow01, flow10]), metric), [])

    def synthesise(self, prepared: Prepared, t: float | Tensor) -> Tensor:
        return splat(prepared.image, t)


def splat(source: Source, t: float | Tensor) -> Tensor:
    """Both images splatted to time t, mixed by their nearness in time; where neither lands, they fade into each
    other, or, along paths, the hole shows what lies behind around it.

    Args:
        source: values (2, c, h, w).
        t: one time, or several, (n,).

    Returns:
        (1 or n, c, h, w).
    """
    source = at_times(source, t)
    knows_order = source.flow.shape[1] > 2
    if knows_order:
        source = source._replace(values=torch.cat([source.values, paths.behind(source.flow)], 1))
    warp = half_warp(source, t)
    t = t.view(-1, 1, 1, 1) if isinstance(t, Tensor) else t
    mixed = (1 - t) * warp.bases[0] + t * warp.bases[1]
    open_in_both = (warp.masks[0] == 0) & (warp.masks[1] == 0)
    if knows_order:
        weights = [mask * base[:, -1:] for mask, base in zip(warp.masks, warp.bases, strict=True)]
        sums = sum(weight * base[:, :-1] for weight, base in zip(weights, warp.bases, strict=True))
        return torch.where(open_in_both, fill(sums, sum(weights)), mixed[:, :-1])
    image0, image1 = source.values.chunk(2)
    return torch.where(open_in_both, (1 - t) * image0 + t * image1, mixed)


class Networks:
    """SoftsplatLite, and DTM after it where lines are corrected."""

    def __init__(self, device: torch.device, dtype: torch.dtype, folder: Path, corrects_lines: bool):
        self.ssl, self.dtm = SoftsplatLite().eval(), DTM().eval() if corrects_lines else None
        for name, network in (("ssl", self.ssl), ("dtm", self.dtm)):
            if network is not None:
                checkpoints.load(network, name, folder)
                fold_batch_norms(network).to(device, dtype, memory_format=torch.channels_last)
        self.prepare = self.ssl.prepare

    def synthesise(self, prepared: Prepared, t: float | Tensor) -> Tensor:
        synthesis = self.ssl.synthesise(prepared, t)
        return synthesis.frame if self.dtm is None else self.dtm(synthesis)[0]


class Fused:
    """Fusion."""

    def __init__(self, device: torch.device, dtype: torch.dtype, folder: Path):
        network = Fusion().eval()
        checkpoints.load(network, "fusion", folder)
        self.network = network.to(device, dtype, memory_format=torch.channels_last)
        self.prepare = self.network.prepare

    def synthesise(self, prepared: fusion.Prepared, t: float | Tensor) -> Tensor:
        return self.network.synthesise(prepared, t).frame


class Refining:
    """AnimeInterp. Like every flow here, it is refined at no more than `flows.LARGEST_AREA`."""

    def __init__(self, name: str, device: torch.device, flow_dtype: torch.dtype, dtype: torch.dtype, folder: Path):
        weights = name.removesuffix("-paper")
        network = AnimeInterp(aggregate=weights == "animeinterp-gma").eval()
        checkpoints.load(network, weights, folder)
        for part, precision in ((network.flownet, flow_dtype), (network.feat_ext, dtype), (network.synnet, dtype)):
            part.to(device, precision, memory_format=torch.channels_last)
        self.network = network
        self.initial_mode: InitialMode = "paper" if name.endswith("-paper") else "released"

    def prepare(self, frame0: Tensor, frame1: Tensor, flow01: Tensor, flow10: Tensor) -> animeinterp.Prepared:
        def refine(frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
            initial = tuple(resize_flow(flow, frame0.shape[2:]) for flow in (flow01, flow10))
            return self.network.refine(frame0, frame1, initial, self.initial_mode)

        return self.network.prepare(frame0, frame1, *flows.at_moderate_size(refine, frame0, frame1))

    def synthesise(self, prepared: animeinterp.Prepared, t: float | Tensor) -> Tensor:
        return self.network.synthesise(prepared, t).frame.clamp(0, 1)
