"""Frame syntheses, created by the entries of `methods.SYNTHESES`.

`prepare` computes what does not depend on the time, once per pair of frames; `synthesise` does the rest. Methods that
splat need the flow between the frames; methods that estimate motion at the new frame do not. Networks are imported
where they are created, since some of their dependencies are optional or slow to import.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

from _train.frame_interpolation import flows, methods
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.flows import Flows
from _train.frame_interpolation.models import ifnet
from _train.frame_interpolation.models.ifnet import IFNet, Interpolation
from _train.frame_interpolation.models.layers import placed
from _util import checkpoints, graphs, paths
from _util.errors import InputError
from _util.flow import resize as resize_flow
from _util.folding import fold_batch_norms

if TYPE_CHECKING:
    from _train.frame_interpolation.models.rfr import InitialMode
    from _train.frame_interpolation.models.splatting import SplattingNetwork
    from _train.frame_interpolation.models.unet import Variant


class Pair(NamedTuple):
    """Two frames, and the versions of them that motion is estimated from."""

    frame0: Tensor  # (1, 3, h, w) RGB in [0, 1]
    frame1: Tensor
    seen0: Tensor  # (1, 3, h, w), the frames composited over a plain ground if they have transparency
    seen1: Tensor


class FrameSynthesis(Protocol):
    def prepare(self, pair: Pair, flow: Flows | None) -> Any:
        """Compute what does not depend on the time, as named tuples of tensors.

        Args:
            flow: flow01 and flow10, (1, 2, h, w), or for methods that are `along_paths` also paths, (1, 9, h, w); None
                for methods that find motion themselves.
        """

    def synthesise(self, prepared: Any, t: float | Tensor, carried: Tensor | None = None) -> Tensor:
        """The frame (1, 3 + c, h, w) at time t in (0, 1), or the frames (n, 3 + c, h, w) at several times (n,).

        Args:
            t: times, or for methods that find motion themselves, maps (n, 1, h, w) of the time of each pixel.
            carried: (2, c, h, w) additional channels of both frames, such as alpha, that move with the drawing.
        """
        ...

    def flow(self, prepared: Any) -> Flows:
        """flow01 and flow10 that the synthesis uses, (1, 2, h, w), x then y, pixels."""
        ...

    def takes_maps(self, prepared: Any) -> bool:
        """Whether `synthesise` accepts a map of the time of each pixel."""
        ...


def create(name: str, context: Context) -> FrameSynthesis:
    """Create a synthesis by its name in `methods.SYNTHESES`.

    Raises:
        InputError: an unknown name, its weights are missing or do not fit, or the backend does not support it.
    """
    method = methods.find("synthesis", methods.SYNTHESES, name, ())
    if context.backend != "pytorch" and not method.onnx:
        others = ", ".join(other for other, method in methods.SYNTHESES.items() if method.onnx)
        raise InputError(f"The backend {context.backend} draws {others}, not {name}; choose one of them.")
    synthesis = method.creator(context.backend)(context)
    return ReplayedSynthesis(synthesis, context.device) if context.device.type == "cuda" else synthesis


class ReplayedSynthesis:
    """A synthesis on a GPU whose two steps are replayed as CUDA graphs."""

    def __init__(self, synthesis: FrameSynthesis, device: torch.device):
        self.prepare = graphs.replayed(synthesis.prepare, device)
        self._synthesise = graphs.replayed(synthesis.synthesise, device)
        self.flow, self.takes_maps, self._device = synthesis.flow, synthesis.takes_maps, device
        if isinstance(synthesis, Intermediate):
            self.displacement = graphs.replayed(synthesis.displacement, device)

    def synthesise(self, prepared: Any, t: float | Tensor, carried: Tensor | None = None) -> Tensor:
        t = t if isinstance(t, Tensor) else graphs.constant([t], torch.empty(0, device=self._device))
        return self._synthesise(prepared, t, carried)


class Splatting:
    """A network that splats along flow.

    Args:
        prepare: maps two frames (1, 3, h, w), flow01 and flow10 to what does not depend on the time; the `image` of the
            result is a `SplatSource`.
        synthesise: maps that and t to the frame (n, 3, h, w).
    """

    def __init__(self, prepare: Callable[..., Any], synthesise: Callable[[Any, float | Tensor], Tensor]):
        self._prepare, self._synthesise = prepare, synthesise

    def prepare(self, pair: Pair, flow: Flows | None) -> Any:
        assert flow is not None
        return self._prepare(pair.frame0, pair.frame1, *flow)

    def synthesise(self, prepared: Any, t: float | Tensor, carried: Tensor | None = None) -> Tensor:
        if isinstance(t, Tensor) and t.dim() == 4 and t.numel() > len(t):
            raise InputError("A map of times needs a method that finds motion itself; this one takes times of frames.")
        frame = self._synthesise(prepared, t)
        if carried is None:
            return frame
        from _train.frame_interpolation.models.splatting import SplatSource, splat

        moved = splat(SplatSource(carried, prepared.image.flow, prepared.image.metric), t)
        return torch.cat([frame, moved.to(frame.dtype)], 1)

    def flow(self, prepared: Any) -> Flows:
        return Flows(*paths.flow(prepared.image.flow).chunk(2))

    def takes_maps(self, prepared: Any) -> bool:
        return False


class Intermediate:
    """A network that estimates the motion at the new frame.

    Args:
        coarseness: maps a frame's size (h, w) to the factor by which blocks work coarser than at their default scales.
    """

    def __init__(self, network: IFNet, coarseness: Callable[[Sequence[int]], int]):
        self.network, self.coarseness = network, coarseness

    def prepare(self, pair: Pair, flow: Flows | None = None) -> Any:
        coarser = self.coarseness(pair.frame0.shape[2:])
        return self.network.prepare(pair.frame0, pair.frame1, coarser, (pair.seen0, pair.seen1))

    def interpolate(self, prepared: Any, t: float | Tensor) -> Interpolation:
        """The frame at time t, with its motion and mask."""
        return self.network.synthesise(prepared, t)

    def synthesise(self, prepared: Any, t: float | Tensor, carried: Tensor | None = None) -> Tensor:
        frame, motion, mask = self.interpolate(prepared, t)
        if carried is None:
            return frame
        moved0, moved1 = ifnet.warp_both(carried.unsqueeze(1), motion)
        return torch.cat([frame, moved1.lerp(moved0, torch.sigmoid(mask))], 1)

    def flow(self, prepared: Any) -> Flows:
        """The motion estimated at t = 0 and at t = 1."""
        motions = [self.interpolate(prepared, t).motion for t in (0.0, 1.0)]
        return Flows(motions[0][:, 2:], motions[1][:, :2])

    def displacement(self, prepared: Any) -> Tensor:
        """The displacement (1, 2, h, w) from frame 0 to frame 1 of what is at each pixel at t = 0.5."""
        to0, to1 = self.interpolate(prepared, 0.5).motion.chunk(2, 1)
        return to1 - to0

    def takes_maps(self, prepared: Any) -> bool:
        return True


class CachedIntermediate(Intermediate):
    """An `Intermediate` that caches the last prepared pair and motion, if these are small.

    Pairs are compared by content, since a caller may fill the same tensors with the next pair.
    """

    def __init__(self, synthesis: Intermediate):
        self._synthesis = synthesis
        self._last_pair: tuple[Pair, Any] | None = None
        self._last_frame: tuple[Any, float, Interpolation] | None = None

    def prepare(self, pair: Pair, flow: Flows | None = None) -> Any:
        last = self._last_pair
        if last is not None and all(map(_are_equal, last[0], pair)):
            return last[1]
        h, w = pair.frame0.shape[2:]
        if h * w > flows.LARGEST_AREA:
            self._last_pair = None
            return self._synthesis.prepare(pair)
        copies = {id(frame): frame.clone() for frame in pair}  # what is seen may be the frames themselves
        pair = Pair(*(copies[id(frame)] for frame in pair))
        self._last_pair = last = pair, self._synthesis.prepare(pair)
        return last[1]

    def interpolate(self, prepared: Any, t: float | Tensor) -> Interpolation:
        if isinstance(t, Tensor):
            return self._synthesis.interpolate(prepared, t)
        last = self._last_frame
        if last is None or last[0] is not prepared or last[1] != t:
            last, pair = (prepared, t, self._synthesis.interpolate(prepared, t)), self._last_pair
            self._last_frame = last if pair and pair[1] is prepared else None
        return last[2]


def _are_equal(frame: Tensor, other: Tensor) -> bool:
    return frame.device == other.device and torch.equal(frame, other)


def splatting(_: Context) -> FrameSynthesis:
    """Softmax splatting of both frames, holes filled from the other frame; needs no learned weights."""
    from _train.frame_interpolation.models.splatting import SplatSource, SplattedPair, splat, splat_metric

    def prepare(frame0: Tensor, frame1: Tensor, *flow: Tensor) -> Any:
        metric = splat_metric(frame0, frame1, *flow)
        return SplattedPair(SplatSource(torch.cat([frame0, frame1]), torch.cat(flow), metric))

    return Splatting(prepare, lambda prepared, t: splat(prepared.image, t))


def rife(context: Context) -> FrameSynthesis:
    return _intermediate(IFNet(), "rife", context, ifnet.rife_coarseness)


def sharp_ifnet(context: Context, coarser: str = "1") -> FrameSynthesis:
    """SharpIFNet with blocks that work `coarser` times coarser than by default: faster, slightly less accurate."""
    from _train.frame_interpolation.models.sharp_ifnet import SharpIFNet

    return _intermediate(SharpIFNet(), "ifnet", context, lambda size: int(coarser) * ifnet.coarseness(size))


def _intermediate(
    network: IFNet, weights: str, context: Context, coarseness: Callable[[Sequence[int]], int]
) -> FrameSynthesis:
    checkpoints.load(network.eval(), weights, context.folder)
    network.trim()
    if context.dtype == torch.float32:
        network.fold()
    placed(network, context.device, context.dtype)
    return Intermediate(network, coarseness)


def ssl(context: Context) -> FrameSynthesis:
    from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite

    return _along_flow(_loaded(SoftsplatLite(), "ssl", context))


def ssldtm(context: Context) -> FrameSynthesis:
    from _train.frame_interpolation.models.dtm import DTM
    from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite

    network, corrector = _loaded(SoftsplatLite(), "ssl", context), _loaded(DTM(), "dtm", context)
    return Splatting(network.prepare, lambda prepared, t: corrector(network.synthesise(prepared, t))[0])


def fusion(context: Context) -> FrameSynthesis:
    from _train.frame_interpolation.models.fusion import Fusion

    return _along_flow(_loaded(Fusion(), "fusion", context))


def unet(context: Context, variant: "Variant") -> FrameSynthesis:
    from _train.frame_interpolation.models.unet import FrameUNet

    return _along_flow(_loaded(FrameUNet(variant), variant, context))


def _loaded(network: torch.nn.Module, weights: str, context: Context) -> Any:
    checkpoints.load(network.eval(), weights, context.folder)
    return placed(fold_batch_norms(network), context.device, context.dtype)


def _along_flow(network: "SplattingNetwork") -> Splatting:
    return Splatting(network.prepare, lambda prepared, t: network.synthesise(prepared, t).frame)


def animeinterp(context: Context, weights: str, mode: "InitialMode") -> FrameSynthesis:
    """AnimeInterp. Its flow, like any other, is refined at no more than `flows.LARGEST_AREA` pixels."""
    from _train.frame_interpolation.models.animeinterp import AnimeInterp

    network = AnimeInterp(aggregate=weights == "animeinterp-gma").eval()
    checkpoints.load(network, weights, context.folder)
    parts = (network.flownet, context.flow_dtype), (network.feat_ext, context.dtype), (network.synnet, context.dtype)
    for part, dtype in parts:
        placed(part, context.device, dtype)

    def prepare(frame0: Tensor, frame1: Tensor, *coarse: Tensor) -> Any:
        def refine(frame0: Tensor, frame1: Tensor) -> Flows:
            initial = Flows(*(resize_flow(flow, frame0.shape[2:]) for flow in coarse))
            return network.refine(frame0, frame1, initial, mode)

        return network.prepare(frame0, frame1, *flows.at_moderate_size(refine, frame0, frame1))

    return Splatting(prepare, lambda prepared, t: network.synthesise(prepared, t).frame.clamp(0, 1))
