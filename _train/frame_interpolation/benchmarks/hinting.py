"""The gain of hints on articulated figures: `python -m _train.frame_interpolation.benchmarks.hinting`.

Of the figures of `_databacks.figures`, those are selected whose automatic in-between at ½ has the highest LPIPS. Each
gets up to three hints from the true motion, at the middles of the parts around which the automatic in-between differs
most from the truth, among those that show there at the times 0, ½ and 1. A hint is a point, or a stroke along the part.
"""

import statistics
from typing import NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from _databacks.figures import SIZE, Figures
from _databacks.figures.drawing import DrawnFigure
from _databacks.figures.rigs import poses
from _train.frame_interpolation.guides.hinted import distance_to
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.interpolator import Interpolator
from _util import command, image, tables
from _util.metrics import LPIPS

HINTS = 3
_AROUND = 33  # pixels, the side of the square in which errors are averaged
_MARGIN = 8  # minimum distance of hints from the border, pixels
_POINT, _STROKE = (0.5,), (0.2, 0.5, 0.8)  # where the points of a hint are along a part
_FAR = 0.25  # of the width


class HintedPair(NamedTuple):
    """One pair of keys."""

    number: int  # of the figure
    automatic: float  # LPIPS
    hinted: float
    hints: int
    far: int  # the largest change, of 255, of a pixel further from all hints than a quarter of the width


def compare(pairs: int, worst: int, is_stroke: bool = False, **options: str) -> list[HintedPair]:
    """The pairs with the worst automatic in-betweens, worst first."""
    interpolator, lpips, figures = Interpolator(**options), LPIPS(), Figures(pairs)
    automatic = []
    for number in tqdm(range(pairs), "automatic"):
        figure = figures.figure(number)
        automatic.append(_lpips(lpips, figure, _between(interpolator, figure, [])))
    chosen = sorted(range(pairs), key=lambda number: automatic[number], reverse=True)[:worst]
    rows = []
    for number in tqdm(chosen, "hinted"):
        figure = figures.figure(number)
        without = _between(interpolator, figure, [])
        hints = choose(figure, without, is_stroke)
        hinted = _between(interpolator, figure, hints)
        change = abs(hinted.astype(int) - without).max(2)
        far = int(change[distance_to(hints, SIZE) > _FAR * SIZE[1]].max(initial=0))
        rows.append(HintedPair(number, automatic[number], _lpips(lpips, figure, hinted), len(hints), far))
    return rows


def choose(figure: DrawnFigure, automatic: np.ndarray, is_stroke: bool = False) -> list[Hint]:
    """Hints where an in-between at ½ is worst."""
    difference = abs(figure.frame(0.5).astype(np.float32) - automatic).mean(2)
    error = cv2.blur(difference, (_AROUND, _AROUND))
    times = (0, 0.5, 1)
    shown, placed = [figure.parts(t) for t in times], [poses(figure.rig, t) for t in times]
    found = []
    for i, part in enumerate(figure.rig.parts):
        low, high = part.outline.min(0), part.outline.max(0)
        line = low + (high - low) * [(share, 0.5) for share in (_STROKE if is_stroke else _POINT)]
        start, between, end = lines = [bones[part.bone].place(line) for bones in placed]
        if all(_shows(parts, i, points) for parts, points in zip(shown, lines, strict=True)):
            x, y = between[len(line) // 2].round().astype(int)
            found.append((error[y, x], Hint(*(tuple(map(tuple, points.tolist())) for points in (start, end)))))
    return [hint for _, hint in sorted(found, reverse=True)[:HINTS]]


def _shows(parts: np.ndarray, number: int, points: np.ndarray) -> bool:
    """Whether all points are inside the margin and on a part."""
    x, y = points.round().astype(int).T
    h, w = parts.shape
    inside = (x >= _MARGIN) & (x < w - _MARGIN) & (y >= _MARGIN) & (y < h - _MARGIN)
    return bool(inside.all() and (parts[y, x] == number).all())


def _between(interpolator: Interpolator, figure: DrawnFigure, hints: list[Hint]) -> np.ndarray:
    (frame,) = interpolator(figure.frame(0), figure.frame(1), 0.5, hints)
    return frame


@torch.inference_mode()
def _lpips(lpips: LPIPS, figure: DrawnFigure, frame: np.ndarray) -> float:
    pair = (image.to_tensor(x)[None] for x in (frame, figure.frame(0.5)))
    return lpips.measure(*pair).item()


def main() -> None:
    parser = command.Parser(
        prog="python -m _train.frame_interpolation.benchmarks.hinting",
        description="LPIPS of in-betweens of articulated figures, automatic and with hints.",
    )
    parser.add_argument("--pairs", type=command.whole(1), default=90, help="figures that are drawn (default: 90)")
    parser.add_argument(
        "--worst", type=command.whole(1), default=30, help="of them, those that are given hints (default: 30)"
    )
    parser.add_argument("--strokes", action="store_true", help="strokes along parts rather than points")
    parser.add_argument("--synthesis", default="auto")
    arguments = parser.parse_args()
    rows = compare(arguments.pairs, arguments.worst, arguments.strokes, synthesis=arguments.synthesis)
    columns = {
        "figure": "{number}",
        "automatic": "{automatic:.4f}",
        "hinted": "{hinted:.4f}",
        "hints": "{hints}",
        "change far off, /255": "{far}",
    }
    print("\n" + tables.of_figures([row._asdict() for row in rows], columns))
    automatic, hinted = (statistics.mean(row[i] for row in rows) for i in (1, 2))
    far = max(row.far for row in rows)
    cuts = statistics.mean(1 - row.hinted / row.automatic for row in rows)
    print(
        f"\nMean LPIPS of {len(rows)} pairs: {automatic:.4f} automatic, {hinted:.4f} with hints, "
        f"{1 - hinted / automatic:.1%} less; mean cut of a pair {cuts:.1%}; largest change far off {far}/255"
    )


if __name__ == "__main__":
    command.run(main)
