"""How well methods draw articulated figures whose true middle and motion are known."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from _databacks.figures import Figures
from _databacks.triplet import Triplet
from _train.frame_interpolation.interpolator import Interpolator
from _util import image, metrics

METHODS = ("sgm+splat", "sgm+dis+splat")


class FigureScore(NamedTuple):
    method: str
    name: str
    turn: float  # degrees, the largest of a bone to its parent
    lpips: float  # of the middle
    chamfer: float  # of the middle's lines
    error: float  # of the flow, both ways, where the figure is: pixels


def measure(words: Sequence[str], figures: Figures) -> list[FigureScore]:
    """Results of methods, FLOW+SYNTHESIS or a synthesis that finds motion, on all figures; with a bar on stderr.

    Raises:
        InputError: there is no such method, or its weights are missing.
    """
    methods = [Interpolator(*_names(word), device="cpu") for word in words]
    lpips, chamfer = metrics.LPIPS(), metrics.Chamfer()
    results = []
    for i in tqdm(range(len(figures)), unit="pair", leave=False):
        triplet, figure = figures[i], figures.figure(i)
        turn = float(np.degrees(figure.rig.turn))
        masks = [torch.from_numpy(figure.parts(t) >= 0) for t in (0, 1)]
        for method in methods:
            frame, error = _draw(method, triplet, masks)
            scores = (metric.measure(frame[None], triplet.frames[1:2]).item() for metric in (lpips, chamfer))
            results.append(FigureScore(method.method, triplet.name, turn, *scores, error))
    return results


def _names(word: str) -> tuple[str, str]:
    flow, _, synthesis = word.rpartition("+")
    return flow or "auto", synthesis


@torch.inference_mode()
def _draw(method: Interpolator, triplet: Triplet, masks: list[Tensor]) -> tuple[Tensor, float]:
    """The middle as 8 bits hold it, and the end-point error."""
    assert triplet.flows is not None
    prepared = method.pipeline.prepare(triplet.frames[:1], triplet.frames[2:])
    frame = method.pipeline.frames(prepared, triplet.time)[0].float().clamp(0, 1)
    errors = [
        (flow[0] - truth).norm(dim=0)[mask]
        for flow, truth, mask in zip(method.pipeline.flow(prepared), triplet.flows, masks, strict=True)
    ]
    return image.to_tensor(image.to_array(frame, "uint8")), torch.cat(errors).mean().item()
