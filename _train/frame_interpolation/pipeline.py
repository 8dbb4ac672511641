"""From two frames to the frames between them, as tensors: the flow if it is needed, then the synthesis.

    frame0, frame1 (1, 3 or 4, h, w)  ─prepare─▶  Prepared  ─frames(t)─▶  (n, 3 or 4, h, w)

What draws frames anywhere in the project, for arrays, judging or validation, stands on `Pipeline`.
"""

from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from _train.frame_interpolation import flows, methods, syntheses
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.flows import FlowEstimator, Flows
from _train.frame_interpolation.methods import FLOWS, SYNTHESES, Method
from _train.frame_interpolation.syntheses import FrameSynthesis, Pair
from _util import checkpoints
from _util.errors import InputError

COARSE_FLOW = "sgm-released"


class Prepared(NamedTuple):
    """What does not depend on the time."""

    synthesis: Any
    alpha: Tensor | None  # (2, 1, h, w)


class Pipeline:
    """A flow estimator, or None where the synthesis finds motion by itself, and a synthesis."""

    def __init__(self, estimator: FlowEstimator | None, synthesiser: FrameSynthesis):
        self.estimator, self.synthesiser = estimator, synthesiser

    @torch.inference_mode()
    def prepare(self, frame0: Tensor, frame1: Tensor, flow: Flows | None = None) -> Prepared:
        """What does not depend on the time.

        Args:
            frame0, frame1: (1, 3, h, w) RGB or (1, 4, h, w) RGBA in [0, 1].
            flow: flow01 and flow10, (1, 2, h, w); by default the estimator's.
        """
        pair, alpha = Pair(frame0, frame1, frame0, frame1), None
        if frame0.shape[1] == 4:
            colours, alphas = zip(*(frame.split([3, 1], 1) for frame in (frame0, frame1)), strict=True)
            pair, alpha = Pair(*_extend(colours, alphas), *_over_plain_ground(colours, alphas)), torch.cat(alphas)
        if flow is None and self.estimator is not None:
            flow = flows.at_moderate_size(self.estimator, pair.seen0, pair.seen1)
        return Prepared(self.synthesiser.prepare(pair, flow), alpha)

    @torch.inference_mode()
    def frames(self, prepared: Prepared, t: float | Tensor) -> Tensor:
        """The frame (1, c, h, w) at time t in (0, 1), or the frames (n, c, h, w) at times (n,), c as of the frames.

        Colours under zero alpha are 0.
        """
        frames = self.synthesiser.synthesise(prepared.synthesis, t, prepared.alpha)
        if prepared.alpha is None:
            return frames
        colours, alpha = frames.split([3, 1], 1)
        return torch.cat([colours * (alpha > 0), alpha], 1)

    @torch.inference_mode()
    def flow(self, prepared: Prepared) -> Flows:
        """The flow (1, 2, h, w) that is drawn along, both ways."""
        return self.synthesiser.flow(prepared.synthesis)


class Choice(NamedTuple):
    """The names of a flow, None where none is needed, and of a synthesis, and notes for the user about them."""

    flow: str | None
    synthesis: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.synthesis if self.flow is None else f"{self.flow}+{self.synthesis}"


def choose(flow: str, synthesis: str, folder: Path) -> Choice:
    """The names that "auto" stands for: of the methods that rank, the first that has its weights.

    Raises:
        InputError: an unknown name, or a flow and a synthesis that do not go together.
    """
    flow_method = methods.find("flow", FLOWS, flow)
    methods.find("synthesis", SYNTHESES, synthesis)
    candidates = SYNTHESES
    if flow_method is not None:  # wanted by name, so it must be used
        candidates = {name: method for name, method in SYNTHESES.items() if not method.finds_motion}
    synthesis, note = _first("synthesis", synthesis, candidates, folder)
    method = SYNTHESES[synthesis]
    if method.finds_motion:
        if flow_method is not None:
            raise InputError(
                f"The synthesis {synthesis} finds motion by itself and takes no flow; leave --flow {flow} out, or "
                "choose another --synthesis."
            )
        return Choice(None, synthesis, note)
    if method.refines:
        if flow_method is not None and "rfr" in flow_method.weights:
            raise InputError(
                f"The synthesis {synthesis} refines a coarse flow by its own RFR and gains nothing from {flow}, which "
                f"RFR has refined already; take --flow {COARSE_FLOW}."
            )
        return Choice(COARSE_FLOW if flow == "auto" else flow, synthesis, note)
    flow, flow_note = _first("flow", flow, FLOWS, folder)
    return Choice(flow, synthesis, (*flow_note, *note))


def _first(kind: str, wanted: str, table: dict[str, Method], folder: Path) -> tuple[str, tuple[str, ...]]:
    if wanted != "auto":
        return wanted, ()
    ranked = [name for name, method in table.items() if method.ranks]
    missing = {
        name: [checkpoints.expected(part) for part in table[name].weights if not checkpoints.find(part, folder)]
        for name in ranked
    }
    taken = next(name for name in ranked if not missing[name])
    note = f"{kind}: {taken}"
    if taken != ranked[0]:
        place = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        note += f" (for {ranked[0]}, put {' and '.join(missing[ranked[0]])} into {place})"
    return taken, (note,)


def create(choice: Choice, settings: Context) -> Pipeline:
    """The pipeline of names that `choose` gave.

    Raises:
        InputError: weights are missing or do not fit.
    """
    estimator = None if choice.flow is None else flows.create(choice.flow, settings)
    if estimator is not None and SYNTHESES[choice.synthesis].along_paths:
        estimator = flows.with_paths(estimator)
    return Pipeline(estimator, syntheses.create(choice.synthesis, settings))


def _over_plain_ground(colours: tuple[Tensor, ...], alphas: tuple[Tensor, ...]) -> list[Tensor]:
    """Both frames over white or black, whichever the visible colours stand out from."""
    weight = torch.stack([alpha.sum() for alpha in alphas]).sum().clamp(min=1e-6)
    totals = [(colour * alpha).sum() for colour, alpha in zip(colours, alphas, strict=True)]
    mean = torch.stack(totals).sum() / (3 * weight)
    ground = (mean < 0.5).float()
    return [ground + (colour - ground) * alpha for colour, alpha in zip(colours, alphas, strict=True)]


def _extend(colours: tuple[Tensor, ...], alphas: tuple[Tensor, ...]) -> list[Tensor]:
    """Give every pixel of zero alpha the colour of the nearest visible one, so that hidden colours play no part.

    A frame without a visible pixel takes the colours of the other.
    """
    hidden = [(alpha[0, 0] == 0).cpu().numpy() for alpha in alphas]
    sources = [1 - i if hidden[i].all() else i for i in range(2)]
    return [_nearest_visible(colours[i], hidden[i]) for i in sources]


def _nearest_visible(colour: Tensor, hidden: np.ndarray) -> Tensor:
    if hidden.all():
        return torch.zeros_like(colour)
    y, x = cast(np.ndarray, distance_transform_edt(hidden, return_distances=False, return_indices=True))
    return colour[:, :, torch.from_numpy(y), torch.from_numpy(x)]
