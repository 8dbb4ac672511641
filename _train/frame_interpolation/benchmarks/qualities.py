"""Cost and quality of the levels of `--quality`: seconds per frame at 540p, and LPIPS of keyframes."""

from pathlib import Path

import torch
from torch import Tensor

from _databacks.keyframes import Keyframes
from _train.frame_interpolation.benchmarks import against_rife
from _train.frame_interpolation.evaluation.measures import Measures
from _train.frame_interpolation.evaluation.validation import validate
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.pipeline import Pipeline
from _train.frame_interpolation.quality import QUALITIES

_SIZE = "540p"


def compare(frames: tuple[Path, Path], repeats: int, folder: Path, device: str, keyframes: Path | None) -> list[dict]:
    """A row for RIFE's published network in fp32 and one per level, as from `against_rife.compare`, with `quality` and,
    if there are keyframes, their `lpips`; not for RIFE, whose weights are seeded.

    Raises:
        InputError: as of `Keyframes`, before anything is measured.
    """
    if keyframes:
        Keyframes(keyframes)
    words = {name: f"{quality.synthesis}@{quality.precision}" for name, quality in QUALITIES.items()}
    baseline, *rows = against_rife.compare(frames, [_SIZE], list(words.values()), repeats, folder, device)
    levels = [{"quality": name, **row} for name, row in zip(words, rows, strict=True)]
    if keyframes:
        for level, quality in zip(levels, QUALITIES.values(), strict=True):
            way = Interpolator("auto", quality.synthesis, device, quality.precision, folder)
            level["lpips"] = lpips(way.pipeline, keyframes, way.device)
    return [{"quality": "", **baseline}, *levels]


def lpips(pipeline: Pipeline, keyframes: Path, device: torch.device) -> float:
    """The mean LPIPS of a folder of keyframes, each drawn from its neighbours."""

    def draw(frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        return pipeline.frames(pipeline.prepare(frame0, frame1), t)

    return validate(draw, [keyframes], Measures(["lpips"], device=device))["lpips"]
