"""Judge interpolation while it is developed: on the keyframes of a cut, and by its flow where that is known.

Each keyframe but the ends is drawn anew from its neighbours, at t = ½, and compared with the original, as 8-bit images
like those that scripts write. Tables to compare with others' come from `judging`.
"""

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from _databacks.keyframes import keyframes, read
from _databacks.toons.scenes import Scenes
from _train.frame_interpolation.flows import FlowEstimator
from _util import image, metrics

Interpolate = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Score(NamedTuple):
    """How close a drawn frame comes to the true one. As in the papers on 2D animation, unless named `standard`."""

    name: str
    lpips: float
    lpips_standard: float
    chamfer: float  # of the diagonal
    psnr: float  # dB
    ssim: float


def evaluate_keyframes(interpolate: Interpolate, folder: Path, device: str | torch.device = "cpu") -> dict[str, float]:
    """The mean scores over a folder of keyframes by name: lpips, lpips_standard, chamfer, psnr, ssim.

    Args:
        interpolate: from two frames, (h, w, 3) uint8 RGB, the one in the middle, of the same kind.
        device: where the metrics are computed.

    Raises:
        InputError: as `keyframes`.
    """
    figures = mean(score_keyframes(interpolate, keyframes(folder), device))._asdict()
    del figures["name"]
    return figures


def score_keyframes(
    interpolate: Interpolate, paths: list[Path], device: str | torch.device = "cpu", show_progress: bool = False
) -> list[Score]:
    """The scores of all triplets among `keyframes`, with a bar on stderr if wanted; else as `evaluate_keyframes`."""
    measures = {
        "lpips": metrics.LPIPS("paper"),
        "lpips_standard": metrics.LPIPS("standard"),
        "chamfer": metrics.Chamfer(),
        "psnr": metrics.PSNR(),
        "ssim": metrics.SSIM("paper"),
    }
    measures = {name: measure.to(device) for name, measure in measures.items()}
    scores, frames = [], [_read(path) for path in paths[:2]]
    for i in tqdm(range(1, len(paths) - 1), unit="triplet", disable=not show_progress, leave=False):
        frames.append(_read(paths[i + 1]))
        frame0, truth, frame1 = frames
        drawn, true = (image.to_tensor(frame)[None].to(device) for frame in (interpolate(frame0, frame1), truth))
        figures = {name: measure(drawn, true).item() for name, measure in measures.items()}
        scores.append(Score(paths[i].name, **figures))
        del frames[0]
    return scores


def score_flow(
    estimator: FlowEstimator, scenes: Iterable[Scenes], device: str | torch.device = "cpu"
) -> dict[str, float]:
    """Mean errors of estimated flow, both ways, in pixels, by region: see `metrics.EndPointError`.

    Args:
        scenes: with exact flow and occlusion, as toons have.
    """
    measure = metrics.EndPointError().to(device)
    for scene in scenes:
        pairs = zip(scene.frames[:, 0].split(1), scene.frames[:, 2].split(1), strict=True)
        for estimated, *truth in zip(
            map(torch.cat, zip(*(estimator(*pair) for pair in pairs), strict=True)),
            scene.flows,
            scene.occlusions,
            strict=True,
        ):
            measure.update(estimated, *truth)
    return {region: error.item() for region, error in measure.compute().items()}


def mean(scores: list[Score]) -> Score:
    """Each figure's mean, under the name `mean`."""
    return Score("mean", *map(fmean, zip(*(score[1:] for score in scores), strict=True)))


def write_csv(path: Path, scores: list[Score]) -> None:
    """Write a line of names, one for each score, and one of the means; the file appears whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with image.replacing(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows([Score._fields, *scores, mean(scores)])


def mean_of_frames(frame0: np.ndarray, frame1: np.ndarray) -> np.ndarray:
    """What there is without any interpolation: both frames, each at half strength."""
    return ((frame0.astype(np.uint16) + frame1 + 1) // 2).astype(np.uint8)


def _read(path: Path) -> np.ndarray:
    return image.to_array(read(path), np.uint8)
