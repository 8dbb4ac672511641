"""The interpolation pipeline on tensors: flow if needed, then synthesis.

    frame0, frame1 (1, 3 or 4, h, w)  ─prepare─▶  PreparedPair  ─frames(t)─▶  (n, 3 or 4, h, w)

All interpolation in the project, including evaluation and validation, uses `Pipeline`.
"""

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from _train.frame_interpolation import flows, syntheses
from _train.frame_interpolation.choice import Choice
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.flows import FlowEstimator, Flows
from _train.frame_interpolation.methods import SYNTHESES
from _train.frame_interpolation.syntheses import FrameSynthesis, Intermediate, Pair, ReplayedSynthesis
from _util.errors import InputError

_SMALL_AREA = 320 * 180


class PreparedPair(NamedTuple):
    """The state of a pair of frames that does not depend on the time."""

    synthesis: Any
    alpha: Tensor | None  # (2, 1, h, w)
    colours: Tensor | None  # (2, 6, h, w), weighted by alpha, and as they are; None if alpha is the same everywhere
    size: tuple[int, int]  # (h, w)


class Pipeline:
    """A synthesis and its flow estimator, None if the synthesis finds motion itself.

    Args:
        network: a synthesis that finds motion itself, by which `displacement` is estimated.
    """

    def __init__(
        self,
        estimator: FlowEstimator | None,
        synthesiser: FrameSynthesis,
        network: Intermediate | ReplayedSynthesis | None = None,
    ):
        self.estimator, self.synthesiser, self.network = estimator, synthesiser, network

    @torch.inference_mode()
    def prepare(self, frame0: Tensor, frame1: Tensor, flow: Flows | None = None) -> PreparedPair:
        """Compute what does not depend on the time.

        Args:
            frame0, frame1: (1, 3, h, w) RGB or (1, 4, h, w) RGBA in [0, 1].
            flow: flow01 and flow10, (1, 2, h, w); estimated by default.
        """
        pair, alpha, colours = Pair(frame0, frame1, frame0, frame1), None, None
        if frame0.shape[1] == 4:
            visible, alphas = _split(frame0, frame1)
            pair, alpha = Pair(*_extend(visible, alphas), *over_plain_background(visible, alphas)), torch.cat(alphas)
            if alpha.min() < alpha.max():
                colours = torch.cat([pair.frame0, pair.frame1])
                colours = torch.cat([colours * alpha, colours], 1)
        if flow is None and self.estimator is not None:
            flow = flows.at_moderate_size(self.estimator, pair.seen0, pair.seen1)
        h, w = frame0.shape[2:]
        return PreparedPair(self.synthesiser.prepare(pair, flow), alpha, colours, (h, w))

    @torch.inference_mode()
    def frames(self, prepared: PreparedPair, t: float | Tensor) -> Tensor:
        """The frame (1, c, h, w) at time t in (0, 1), or the frames (n, c, h, w) at times (n,); c is that of the input.

        Methods that find motion themselves also accept maps of the time of each pixel, (n, 1, h, w). Colours under
        zero alpha are 0.

        Raises:
            InputError: times of another shape, or outside [0, 1] and not on a GPU, which would have to be waited for.
        """
        return self.carry(prepared, t, None)[0]

    @torch.inference_mode()
    def carry(self, prepared: PreparedPair, t: float | Tensor, carried: Tensor | None) -> tuple[Tensor, Tensor]:
        """The frames as in `frames`, and `carried` (2, k, h, w), channels of both keys, at the times: (n, k, h, w)."""
        _check_times(t, prepared.size)
        more = [x for x in (prepared.alpha, prepared.colours, carried) if x is not None]
        drawn = self.synthesiser.synthesise(prepared.synthesis, t, torch.cat(more, 1) if more else None)
        frames, moved = drawn[:, :3], drawn[:, 3:]
        if prepared.alpha is not None:
            alpha, moved = moved[:, :1], moved[:, 1:]
            if prepared.colours is not None:
                frames, moved = _weighted_by_alpha(frames, alpha, moved[:, :6]), moved[:, 6:]
            frames = torch.cat([frames * (alpha > 0), alpha], 1)
        return frames, moved

    @torch.inference_mode()
    def flow(self, prepared: PreparedPair) -> Flows:
        """The flow (1, 2, h, w) that the synthesis uses, in both directions."""
        return self.synthesiser.flow(prepared.synthesis)

    @torch.inference_mode()
    def displacement(self, frame0: Tensor, frame1: Tensor) -> Tensor:
        """The displacement (1, 2, h', w') from frame 0 to frame 1 at t = 0.5, of frames as in `prepare`.

        It is estimated by `network` at `_SMALL_AREA` pixels at most, in those pixels, in a fraction of the time of a
        frame.
        """
        assert self.network is not None
        seen = over_plain_background(*_split(frame0, frame1)) if frame0.shape[1] == 4 else [frame0, frame1]
        seen0, seen1 = (flows.reduced(frame, _SMALL_AREA) for frame in seen)
        return self.network.displacement(self.network.prepare(Pair(seen0, seen1, seen0, seen1), None))

    def takes_maps(self, prepared: PreparedPair) -> bool:
        """Whether `frames` accepts a map of the time of each pixel."""
        return self.synthesiser.takes_maps(prepared.synthesis)


def create(choice: Choice, context: Context, with_matching: bool = False) -> Pipeline:
    """Create the pipeline of the methods selected by `choice.choose`.

    Args:
        with_matching: whether strokes of line drawings and pieces of flat drawings are matched even if no flow was
            selected, where the synthesis finds motion itself, accepts paths, and loses them (`lost_motion.LostMotion`).

    Raises:
        InputError: weights are missing or do not fit.
    """
    method, synthesiser = SYNTHESES[choice.synthesis], syntheses.create(choice.synthesis, context)
    if not method.finds_motion:
        assert choice.flow is not None
        estimator = flows.create(choice.flow, context)
        return Pipeline(flows.with_paths(estimator) if method.along_paths else estimator, synthesiser)
    network = cast(Intermediate | ReplayedSynthesis, synthesiser)
    if choice.flow is None and not (with_matching and method.along_paths):
        return Pipeline(None, synthesiser, network)
    from _train.frame_interpolation.lost_motion import LostMotion
    from _train.frame_interpolation.rotation import AlongArcs

    if isinstance(synthesiser, Intermediate):  # on a GPU it is a graph, which is replayed
        synthesiser = syntheses.CachedIntermediate(synthesiser)
    lost_motion = LostMotion(context, synthesiser, of_all=choice.flow is not None)
    return Pipeline(lost_motion, AlongArcs(synthesiser), network)


def _check_times(t: float | Tensor, size: tuple[int, int]) -> None:
    """Raise InputError unless `t` is as `Pipeline.frames` takes it. Values on a GPU are not waited for."""
    first = last = t
    if isinstance(t, Tensor):
        if not t.numel() or (t.ndim > 1 and t.shape[1:] != (1, *size)):
            shape = f"(n, 1, {size[0]}, {size[1]})"
            raise InputError(f"Times are a number, (n,), or maps {shape}, not of shape {tuple(t.shape)}.")
        if t.device.type != "cpu":
            return
        first, last = t.min(), t.max()
    if not 0 <= first <= last <= 1:
        raise InputError("A time is not between the frames; times lie in [0, 1].")


def _split(frame0: Tensor, frame1: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The colours and alphas of two frames (1, 4, h, w)."""
    (colours0, alpha0), (colours1, alpha1) = (frame.split([3, 1], 1) for frame in (frame0, frame1))
    return (colours0, colours1), (alpha0, alpha1)


def over_plain_background(colours: tuple[Tensor, ...], alphas: tuple[Tensor, ...]) -> list[Tensor]:
    """Composite both frames over white or black, whichever contrasts more with the visible colours.

    If one frame alone is opaque, the other is composited over the mean colour that is seen where it is transparent.
    """
    for i, (alpha, other) in enumerate(zip(alphas, alphas[::-1], strict=True)):
        if other.min() == 1 and alpha.min() < 1:
            ground = (colours[1 - i] * (1 - alpha)).sum((2, 3), keepdim=True) / (1 - alpha).sum()
            return [ground + (colour - ground) * alpha for colour, alpha in zip(colours, alphas, strict=True)]
    weight = torch.stack([alpha.sum() for alpha in alphas]).sum().clamp(min=1e-6)
    totals = [(colour * alpha).sum() for colour, alpha in zip(colours, alphas, strict=True)]
    mean = torch.stack(totals).sum() / (3 * weight)
    ground = (mean < 0.5).float()
    return [ground + (colour - ground) * alpha for colour, alpha in zip(colours, alphas, strict=True)]


def _extend(colours: tuple[Tensor, ...], alphas: tuple[Tensor, ...]) -> list[Tensor]:
    """Give each pixel of zero alpha the colour of the nearest visible pixel, so that hidden colours have no effect.

    A frame without a visible pixel takes the colours of the other.
    """
    hidden = [(alpha[0, 0] == 0).cpu().numpy() for alpha in alphas]
    sources = [1 - i if hidden[i].all() else i for i in range(2)]
    return [_nearest_visible(colours[i], hidden[i]) for i in sources]


def _weighted_by_alpha(frames: Tensor, alpha: Tensor, colours: Tensor) -> Tensor:
    """Frames (n, 3, h, w), in which both keys count alike, with each key counting by its alpha.

    Args:
        alpha, colours: of `PreparedPair`, moved to the times of the frames.
    """
    weighted, plain = colours.split(3, 1)
    return (frames + torch.where(alpha > 0, weighted / alpha, plain) - plain).clamp(0, 1)


def _nearest_visible(colour: Tensor, hidden: np.ndarray) -> Tensor:
    if hidden.all():
        return torch.zeros_like(colour)
    from scipy.ndimage import distance_transform_edt  # rarely needed and slow to import

    y, x = cast(np.ndarray, distance_transform_edt(hidden, return_distances=False, return_indices=True))
    return colour[:, :, torch.from_numpy(y), torch.from_numpy(x)]
