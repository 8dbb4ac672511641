"""Evaluate a drawing function on folders of keyframes in one process, for validation during training.

The figures are the same as those of `judging`, which writes the tables for comparison with other methods.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from _databacks.toons.scenes import Scenes
from _databacks.triplet import Triplet
from _train.frame_interpolation.evaluation.candidates import JudgedMethod
from _train.frame_interpolation.evaluation.items import Items, JudgedItem
from _train.frame_interpolation.evaluation.judging import draw
from _train.frame_interpolation.evaluation.measures import Measures
from _train.frame_interpolation.flows import FlowEstimator
from _util import metrics, paths

Draw = Callable[[Tensor, Tensor, float], Tensor]
Further = Callable[[Tensor, Tensor], dict[str, float]]


class Function(JudgedMethod):
    """A function of two frames (1, 3, h, w) in [0, 1] and a time that returns the frame (1, 3, h, w) at that time."""

    name = "function"

    def __init__(self, function: Draw, device: torch.device | str = "cpu"):
        self.function, self.device = function, torch.device(device)

    def draw(self, triplet: Triplet, times: Sequence[float]) -> list[Tensor]:
        frame0, frame1 = (triplet.frames[i, None].to(self.device) for i in (0, 2))
        return [self.function(frame0, frame1, t)[0] for t in times]


def validate(
    function: Draw, folders: Sequence[Path], measures: Measures, further: Further | None = None
) -> dict[str, float]:
    """The mean of every column of `measures` over each folder of keyframes, averaged over folders with equal weight.

    Args:
        further: computes more columns from an unrounded frame and the truth, (1, 3, h, w) each; the same for all.

    Raises:
        InputError: as of `Keyframes`, or a frame has values that are not finite.
    """
    method = Function(function, measures.device)
    of_folders = [Items(["keyframes", str(folder)]) for folder in folders]
    means = [_mean([_judge(method, items[i], measures, further) for i in range(len(items))]) for items in of_folders]
    return _mean(means)


def _judge(method: JudgedMethod, item: JudgedItem, measures: Measures, further: Further | None) -> dict[str, float]:
    frames, truth = draw(method, item.triplet, measures), measures.prepare(item)
    more = further(frames[0][None], truth.frame) if further else {}
    return measures.compare(frames, item, truth) | more


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: fmean(row[name] for row in rows) for name in rows[0]}


def flow_errors(
    estimator: FlowEstimator, scenes: Iterable[Scenes], device: str | torch.device = "cpu"
) -> dict[str, float]:
    """Mean errors of the estimated flow, in both directions, in pixels, by region; see `metrics.EndPointError`.

    Args:
        estimator: of flow, or of paths (`_util.paths`).
        scenes: scenes with exact flow and occlusion, such as toons.
    """
    place = metrics.device_for(device)
    measure = metrics.EndPointError().to(place)
    for scene in scenes:
        assert scene.flows is not None
        assert scene.occlusions is not None
        pairs = zip(scene.frames[:, 0].split(1), scene.frames[:, 2].split(1), strict=True)
        for estimated, *truth in zip(
            map(torch.cat, zip(*(estimator(*pair) for pair in pairs), strict=True)),
            scene.flows,
            scene.occlusions,
            strict=True,
        ):
            measure.update(*(x.to(place) for x in (paths.flow(estimated), *truth)))
    return {region: error.item() for region, error in measure.compute().items()}
