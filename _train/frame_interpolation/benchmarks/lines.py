"""Quality of lines in line drawings: `python -m _train.frame_interpolation.benchmarks.lines`.

Curves, each of one width, move, rotate and bend; the keys, and the truth at ½, are rendered exactly. Two figures of the
in-between are compared with those of the truth: the number of pixels between the two tones that are more than two
pixels from a line, and the width of the lines.
"""

import statistics
from typing import NamedTuple

import cv2
import numpy as np
from skimage.morphology import skeletonize
from tqdm import tqdm

from _train.frame_interpolation.interpolator import Interpolator
from _util import command

SIZE = (240, 320)
_FINER = 4
_CURVES = 6
_TONES = (0.02, 0.98)
_NEAR = 2.0  # pixels


class DrawnLines(NamedTuple):
    """The figures of one drawing."""

    seed: int
    grey: int  # pixels between the tones far from lines
    width: float  # the median width of its lines
    true_width: float


def draw(seed: int, t: float) -> np.ndarray:
    """(h, w, 3) uint8: black curves on white at time t."""
    random = np.random.default_rng(seed)
    width = random.uniform(1.6, 4)
    canvas = np.full((SIZE[0] * _FINER, SIZE[1] * _FINER), 255, np.uint8)
    turn, shift = random.uniform(-0.25, 0.25), random.uniform(-16, 16, 2)
    for _ in range(_CURVES):
        points = _curve(random, t)
        angle = t * turn
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.array(SIZE[::-1]) / 2
        points = (points - middle) @ rotation.T + middle + t * shift
        fixed = (((points + 0.5) * _FINER - 0.5) * 16).round().astype(np.int32)
        cv2.polylines(canvas, [fixed], False, 0, round(width * _FINER), cv2.LINE_8, 4)
    return np.repeat(cv2.resize(canvas, SIZE[::-1], interpolation=cv2.INTER_AREA)[:, :, None], 3, 2)


def _curve(random: np.random.Generator, t: float) -> np.ndarray:
    """(n, 2) points of a smooth curve: circles and open waves, which bend with time."""
    centre = random.uniform((50, 40), (270, 200))
    s = np.linspace(0, 1, 200)
    size, bend = random.uniform(18, 50), random.uniform(-0.35, 0.35)
    if random.random() < 0.5:
        radius = size * (1 + (0.1 + bend * t) * np.sin(4 * np.pi * s))
        return centre + radius[:, None] * np.stack([np.cos(2 * np.pi * s), np.sin(2 * np.pi * s)], 1)
    slope = random.uniform(0, np.pi)
    along, across = 2 * size * (s - 0.5), size * (0.3 + bend * t) * np.sin(2 * np.pi * s)
    axes = np.array([[np.cos(slope), np.sin(slope)], [-np.sin(slope), np.cos(slope)]])
    return centre + np.stack([along, across], 1) @ axes


def measure(seed: int, frame: np.ndarray) -> DrawnLines:
    """Measure an in-between at ½, (h, w, 3) uint8."""
    ink = 1 - frame.mean(2).astype(np.float32) / 255
    between = (ink > _TONES[0]) & (ink < _TONES[1])
    distance = cv2.distanceTransform((ink < 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    truth = 1 - draw(seed, 0.5).mean(2).astype(np.float32) / 255
    return DrawnLines(seed, int((between & (distance > _NEAR)).sum()), _width(ink), _width(truth))


def _width(ink: np.ndarray) -> float:
    """The median line width in pixels: twice the distance from centre lines to edges."""
    lines = cv2.resize(ink, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_CUBIC) > 0.5
    distance = cv2.distanceTransform(lines.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    middles = skeletonize(lines)
    return float(np.median(2 * distance[middles] - 1)) / _FINER if middles.any() else 0.0


def compare(count: int, line_art: str, **options: str) -> list[DrawnLines]:
    interpolator = Interpolator(line_art=line_art, **options)
    rows = []
    for seed in tqdm(range(count), f"line art {line_art}"):
        (frame,) = interpolator(draw(seed, 0), draw(seed, 1))
        rows.append(measure(seed, frame))
    return rows


def main() -> None:
    parser = command.Parser(
        prog="python -m _train.frame_interpolation.benchmarks.lines",
        description="Greys far from lines and widths of lines, of in-betweens of drawings of lines.",
    )
    parser.add_argument("--count", type=command.whole(1), default=20, help="drawings (default: 20)")
    parser.add_argument("--synthesis", default="auto")
    arguments = parser.parse_args()
    tables = {how: compare(arguments.count, how, synthesis=arguments.synthesis) for how in ("off", "auto")}
    print("\n| drawing | grey far from lines: off | auto | width: off | auto | true |\n|---|---|---|---|---|---|")
    for off, auto in zip(*tables.values(), strict=True):
        print(f"| {off.seed} | {off.grey} | {auto.grey} | {off.width:.2f} | {auto.width:.2f} | {auto.true_width:.2f} |")
    for how, rows in tables.items():
        errors = [abs(row.width / row.true_width - 1) for row in rows]
        print(
            f"\nLine art {how}: {sum(row.grey for row in rows)} grey pixels far from lines in {len(rows)} drawings; "
            f"widths off by {statistics.mean(errors):.1%} on average, {max(errors):.1%} at most"
        )


if __name__ == "__main__":
    command.run(main)
