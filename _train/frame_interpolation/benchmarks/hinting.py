"""The gain of hints on figures with large rotations: `python -m _train.frame_interpolation.benchmarks.hinting`.

From figures of many seeds, those are selected whose automatic in-between at ½ has the highest LPIPS. Each gets up to
three hints from the true motion, at the middles of the bones around which the automatic in-between differs most from
the truth, among those that are not covered in either key. A hint is a point, or a stroke along the bone.
"""

import statistics
from typing import NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from _train.frame_interpolation.benchmarks.articulated import SIZE, Figure
from _train.frame_interpolation.guides.hinted import distance_to
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.interpolator import Interpolator
from _util import command, image, tables
from _util.metrics import LPIPS

HINTS = 3
_AROUND = 33  # pixels, the side of the square in which errors are averaged
_MARGIN = 8  # minimum distance of hints from the border, pixels
_STROKE = (0.2, 0.8)  # the part of the bone that a stroke covers
_FAR = 0.25  # of the width


class HintedPair(NamedTuple):
    """One pair of keys."""

    seed: int
    automatic: float  # LPIPS
    hinted: float
    hints: int
    far: int  # the largest change, of 255, of a pixel further from all hints than a quarter of the width


def compare(seeds: int, worst: int, is_stroke: bool = False, **options: str) -> list[HintedPair]:
    """The pairs with the worst automatic in-betweens, worst first."""
    interpolator, lpips = Interpolator(**options), LPIPS()
    automatic = {
        seed: _lpips(lpips, seed, _between(interpolator, seed, [])) for seed in tqdm(range(seeds), "automatic")
    }
    chosen = sorted(automatic, key=lambda seed: automatic[seed], reverse=True)[:worst]
    return [_row(interpolator, lpips, seed, is_stroke) for seed in tqdm(chosen, "hinted")]


def _row(interpolator: Interpolator, lpips: LPIPS, seed: int, is_stroke: bool) -> HintedPair:
    automatic = _between(interpolator, seed, [])
    hints = choose(Figure(seed), automatic, is_stroke)
    hinted = _between(interpolator, seed, hints)
    change = abs(hinted.astype(int) - automatic).max(2)
    far = int(change[distance_to(hints, SIZE) > _FAR * SIZE[1]].max(initial=0))
    return HintedPair(seed, _lpips(lpips, seed, automatic), _lpips(lpips, seed, hinted), len(hints), far)


def choose(figure: Figure, automatic: np.ndarray, is_stroke: bool = False) -> list[Hint]:
    """Hints where an in-between at ½ is worst."""
    difference = abs(figure.draw(0.5).astype(np.float32) - automatic).mean(2)
    error = cv2.blur(difference, (_AROUND, _AROUND))
    start, middle, end = (figure.bones(t) for t in (0, 0.5, 1))
    found = []
    for bone in range(len(start)):
        places = [ends[bone].mean(0) for ends in (start, middle, end)]
        if all(map(_is_inside, places)) and figure.shows(bone, 0) and figure.shows(bone, 1):
            x, y = places[1].round().astype(int)
            found.append((error[y, x], bone))
    worst = [bone for _, bone in sorted(found, reverse=True)[:HINTS]]
    shares = _STROKE if is_stroke else (0.5,)
    return [Hint(*(_along(ends[bone], shares) for ends in (start, end))) for bone in worst]


def _along(ends: np.ndarray, shares: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    points = [(1 - share) * ends[0] + share * ends[1] for share in shares]
    return tuple((float(x), float(y)) for x, y in points)


def _is_inside(point: np.ndarray) -> bool:
    h, w = SIZE
    return bool(_MARGIN <= point[0] < w - _MARGIN and _MARGIN <= point[1] < h - _MARGIN)


def _between(interpolator: Interpolator, seed: int, hints: list[Hint]) -> np.ndarray:
    figure = Figure(seed)
    (frame,) = interpolator(figure.draw(0), figure.draw(1), 0.5, hints)
    return frame


@torch.inference_mode()
def _lpips(lpips: LPIPS, seed: int, frame: np.ndarray) -> float:
    pair = (image.to_tensor(x)[None] for x in (frame, Figure(seed).draw(0.5)))
    return lpips.measure(*pair).item()


def main() -> None:
    parser = command.Parser(
        prog="python -m _train.frame_interpolation.benchmarks.hinting",
        description="LPIPS of in-betweens of articulated figures, automatic and with hints.",
    )
    parser.add_argument("--seeds", type=int, default=90, help="figures that are drawn (default: 90)")
    parser.add_argument("--worst", type=int, default=30, help="of them, those that are given hints (default: 30)")
    parser.add_argument("--strokes", action="store_true", help="strokes along bones rather than points")
    parser.add_argument("--synthesis", default="auto")
    arguments = parser.parse_args()
    rows = compare(arguments.seeds, arguments.worst, arguments.strokes, synthesis=arguments.synthesis)
    columns = {
        "seed": "{seed}",
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
