"""Time and memory of methods against RIFE's published network in fp32, as its players run it, in the same run.

A first frame is measured from two 8-bit arrays to one; a further frame is another time of the same pair. The methods
take turns, so that drifts of the machine's speed cancel out in the ratios.
"""

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from _train.frame_interpolation.benchmarks.stages import SIZES, peak, read_frame, reset_peak, timed
from _train.frame_interpolation.interpolator import Interpolator, PreparedFrames
from _train.frame_interpolation.methods import BACKENDS, split
from _train.frame_interpolation.models.ifnet import IFNet
from _util import checkpoints

BASELINE = "rife"
_WARM_UP = 1


def compare(
    frames: tuple[Path, Path],
    sizes: Sequence[str],
    methods: Sequence[str],
    repeats: int,
    folder: Path,
    device: str,
    precision: str = "auto",
) -> list[dict]:
    """A row per size and method: `first` and `further` in seconds, medians of `repeats`; their ratios to the baseline,
    medians over turns; and `peak_mb`, the peak memory as of `stages.peak`.

    Args:
        methods: names of syntheses, "FLOW+SYNTHESIS" or "auto", optionally with a precision or a backend, as in
            "ifnet@fp32" or "ifnet@onnxruntime". RIFE is added, with seeded weights, which do not affect its time.
        folder: of the methods' weights.
        precision: of methods that name none.
    """
    with tempfile.TemporaryDirectory() as seeded:
        torch.save(checkpoints.seeded(IFNet().state_dict()), Path(seeded) / checkpoints.PUBLISHED[BASELINE])
        baseline = Interpolator("auto", BASELINE, device, "fp32", Path(seeded))
    ways = {BASELINE: baseline} | {word: _create(word, device, folder, precision) for word in methods}
    rows = []
    for size in sizes:
        pictures = [read_frame(path, SIZES[size]) for path in frames]
        rows += [{"size": size, **row} for row in _in_turns(ways, pictures, repeats)]
    return rows


def _create(word: str, device: str, folder: Path, precision: str) -> Interpolator:
    method, _, variant = word.partition("@")
    flow, synthesis = split(method)
    if variant in BACKENDS:
        return Interpolator(flow, synthesis, device, "fp32", folder, variant)
    return Interpolator(flow, synthesis, device, variant or precision, folder)


def _in_turns(ways: dict[str, Interpolator], pictures: Sequence[np.ndarray], repeats: int) -> list[dict]:
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    peaks = dict.fromkeys(ways, 0.0)
    for turn in range(_WARM_UP + repeats):
        for name, way in ways.items():
            reset_peak(way.device)
            taken = _measure(way, pictures)
            if turn >= _WARM_UP:
                seconds[name].append(taken)
                peaks[name] = max(peaks[name], peak(way.device))
    rows = []
    for name, taken in seconds.items():
        pairs = list(zip(taken, seconds[BASELINE], strict=True))
        rows.append(
            {
                "method": name,
                "precision": ways[name].context.precisions[1],
                "first": statistics.median(first for first, _ in taken),
                "further": statistics.median(further for _, further in taken),
                "first_ratio": statistics.median(ours[0] / theirs[0] for ours, theirs in pairs),
                "further_ratio": statistics.median(ours[1] / theirs[1] for ours, theirs in pairs),
                "peak_mb": peaks[name],
            }
        )
    return rows


def _measure(way: Interpolator, pictures: Sequence[np.ndarray]) -> tuple[float, float]:
    prepared: list[PreparedFrames] = []
    preparing = timed(lambda: prepared.append(way.prepare(pictures[0], pictures[1])), way.device)
    first, further = (timed(lambda t=t: way.at(prepared[0], t), way.device) for t in (0.5, 0.25))
    return preparing + first, further
