"""Quality on articulated figures: `python -m _train.frame_interpolation.benchmarks.figures`.

The figures are those of `_databacks.figures`, whose middle frames and motion are known. --sheet shows ten pairs drawn
by the last two methods.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from _databacks.figures import Figures
from _databacks.triplet import Triplet
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.methods import split
from _util import command, image, metrics, tables

METHODS = ("sgm+splat", "pieces+splat", "sgm+dis+splat", "pieces+dis+splat")
_TURNED = 20  # degrees
_SHOWN, _WIDTH = 10, 240  # pairs on a sheet, and width of each picture in pixels
RULE = f"of all pairs in order of how far LPIPS falls, {_SHOWN} at even ranks: first the largest fall, last the least"


class FigureScore(NamedTuple):
    """One pair, drawn by one method."""

    method: str
    number: int  # of the figure
    turn: float  # degrees, the largest rotation of a bone relative to its parent
    lpips: float  # of the middle
    chamfer: float  # of the middle's lines
    error: float  # of the flow, both ways, where the figure is: pixels


def measure(words: Sequence[str], figures: Figures) -> list[FigureScore]:
    """Score methods, FLOW+SYNTHESIS or a synthesis that finds motion, on all figures; shows progress on stderr.

    Raises:
        InputError: an unknown method, or its weights are missing.
    """
    methods = [_open(word) for word in words]
    lpips, chamfer = metrics.LPIPS(), metrics.Chamfer()
    scores = []
    for i in tqdm(range(len(figures)), unit="pair", leave=False):
        triplet, figure = figures[i], figures.figure(i)
        masks = [torch.from_numpy(figure.parts(t) >= 0) for t in (0, 1)]
        for word, method in zip(words, methods, strict=True):
            frame, error = _draw(method, triplet, masks)
            distance, of_lines = (
                metric.measure(frame[None], triplet.frames[1:2]).item() for metric in (lpips, chamfer)
            )
            scores.append(FigureScore(word, i, float(np.degrees(figure.rig.turn)), distance, of_lines, error))
    return scores


def table(scores: Sequence[FigureScore]) -> str:
    """A Markdown table of means over all figures, and over those with small and large rotations."""
    groups = {
        "all": scores,
        f"< {_TURNED}°": [score for score in scores if score.turn < _TURNED],
        f"≥ {_TURNED}°": [score for score in scores if score.turn >= _TURNED],
    }
    rows = []
    for group, members in groups.items():
        for method in dict.fromkeys(score.method for score in members):
            own = [score for score in members if score.method == method]
            lpips, chamfer, error = (statistics.fmean(column) for column in list(zip(*own, strict=True))[3:])
            means = {"LPIPS": f"{lpips:.4f}", "chamfer ×1e-4": f"{1e4 * chamfer:.3f}", "error px": f"{error:.2f}"}
            rows.append({"turn": group, "method": method, "pairs": str(len(own))} | means)
    return tables.markdown(rows)


def choose(scores: Sequence[FigureScore]) -> list[tuple[FigureScore, FigureScore]]:
    """Select pairs by `RULE`; returns their scores by the last two methods."""
    words = list(dict.fromkeys(score.method for score in scores))[-2:]
    before, after = ([score for score in scores if score.method == word] for word in words)
    ranked = sorted(zip(before, after, strict=True), key=lambda both: both[1].lpips - both[0].lpips)
    ranks = np.linspace(0, len(ranked) - 1, min(_SHOWN, len(ranked))).round().astype(int)
    return [ranked[rank] for rank in ranks]


def sheet(chosen: Sequence[tuple[FigureScore, FigureScore]], figures: Figures) -> np.ndarray:
    """(h, w, 3) uint8: for each pair a row of both keys, the middle by both methods, and the true one."""
    methods = [_open(score.method) for score in chosen[0]]
    rows = []
    for before, _ in chosen:
        triplet = figures[before.number]
        drawn = [_draw(method, triplet, None)[0] for method in methods]
        frames = (triplet.frames[0], triplet.frames[2], *drawn, triplet.frames[1])
        rows.append(np.concatenate([_small(image.to_array(frame, np.uint8)) for frame in frames], 1))
    return np.concatenate(rows)


def _small(picture: np.ndarray) -> np.ndarray:
    h, w = picture.shape[:2]
    return cv2.resize(picture, (_WIDTH, round(h * _WIDTH / w)), interpolation=cv2.INTER_AREA)


def _open(word: str) -> Interpolator:
    return Interpolator(*split(word), device="cpu", precision="fp32")


@torch.inference_mode()
def _draw(method: Interpolator, triplet: Triplet, masks: list[Tensor] | None) -> tuple[Tensor, float]:
    """The middle frame, rounded to 8 bits, and the end-point error inside the masks."""
    prepared = method.pipeline.prepare(triplet.frames[:1], triplet.frames[2:])
    frame = method.pipeline.frames(prepared, triplet.time)[0].float().clamp(0, 1)
    frame = image.to_tensor(image.to_array(frame, np.uint8))
    if masks is None:
        return frame, 0.0
    assert triplet.flows is not None
    errors = [
        (flow[0] - truth).norm(dim=0)[mask]
        for flow, truth, mask in zip(method.pipeline.flow(prepared), triplet.flows, masks, strict=True)
    ]
    return frame, torch.cat(errors).mean().item()


def main() -> None:
    parser = command.Parser(
        prog="python -m _train.frame_interpolation.benchmarks.figures",
        description="LPIPS and chamfer of the middle of articulated figures, and the error of flow on them.",
    )
    parser.add_argument("--pairs", type=command.whole(1), default=200, help="figures that are drawn (default: 200)")
    parser.add_argument("--seed", type=command.whole(0), default=0, help="other figures (default: 0)")
    parser.add_argument("--line-art", action="store_true", help="black lines on white")
    parser.add_argument("--passing", action="store_true", help="two figures that change places, and do not turn")
    default = " ".join(METHODS)
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="METHOD", help=f"(default: {default})")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="a picture of ten pairs, before and after")
    arguments = parser.parse_args()
    if arguments.sheet and len(arguments.methods) < 2:
        parser.error("--sheet compares two methods; name two")
    figures = Figures(arguments.pairs, seed=arguments.seed, line_art=arguments.line_art, passing=arguments.passing)
    scores = measure(arguments.methods, figures)
    print(table(scores))
    if arguments.sheet:
        chosen = choose(scores)
        image.write(arguments.sheet, sheet(chosen, figures))
        names = ", ".join(score.method for score in chosen[0])
        print(f"\n{arguments.sheet}: {RULE}. Each row: both keys, {names}, truth.\n")
        for row, (before, after) in enumerate(chosen, 1):
            print(f"{row}. figure {before.number}, {before.turn:.0f}°: LPIPS {before.lpips:.4f} → {after.lpips:.4f}")


if __name__ == "__main__":
    command.run(main)
