"""How well flows and syntheses draw articulated figures whose true middle and motion are known.

python -m _train.frame_interpolation.figures_benchmark                           200 pairs by sgm and sgm+dis, splatted
python -m _train.frame_interpolation.figures_benchmark --line-art --count 60     line drawings
python -m _train.frame_interpolation.figures_benchmark --csv pairs.csv           also every pair
"""

import csv
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from tqdm import tqdm

from _databacks.figures import SIZE, Figures
from _databacks.triplet import Triplet
from _train.frame_interpolation.methods import Interpolation
from _util import command, image, metrics
from _util.errors import InputError

TURNED = 20  # degrees, from which a figure counts as turning


class Result(NamedTuple):
    method: str
    name: str
    turn: float  # degrees, the largest of a bone to its parent
    lpips: float  # of the middle
    chamfer: float  # of the middle's lines
    error: float  # of the flow, both ways, where the figure is: pixels


def measure(words: list[str], figures: Figures) -> list[Result]:
    """Results of methods FLOW+SYNTHESIS on all figures, with a bar on stderr."""
    methods = [Interpolation(*word.rsplit("+", 1), device="cpu") for word in words]
    lpips, chamfer = metrics.LPIPS(), metrics.Chamfer()
    results = []
    for i in tqdm(range(len(figures)), unit="pair", leave=False):
        triplet, figure = figures[i], figures.figure(i)
        turn = torch.rad2deg(torch.tensor(figure.rig.turn)).item()
        masks = [torch.from_numpy(figure.parts(t) >= 0) for t in (0, 1)]
        for method in methods:
            frame, error = _draw(method, triplet, masks)
            scores = (metric.measure(frame[None], triplet.frames[1:2]).item() for metric in (lpips, chamfer))
            results.append(Result(method.name, triplet.name, turn, *scores, error))
    return results


@torch.inference_mode()
def _draw(method: Interpolation, triplet: Triplet, masks: list[torch.Tensor]) -> tuple[torch.Tensor, float]:
    """The middle as 8 bits hold it, and the end-point error."""
    drawn = method.draw(triplet)
    errors = [
        (flow - truth).norm(dim=0)[mask]
        for flow, truth, mask in zip((drawn.flow01, drawn.flow10), triplet.flows, masks, strict=True)
    ]
    return image.to_tensor(image.to_array(drawn.frame, "uint8")), torch.cat(errors).mean().item()


def table(results: list[Result]) -> str:
    """Means in Markdown, of all pairs and of those that turn less and more than 20°."""
    groups = {
        "all": lambda turn: True,
        f"< {TURNED}°": lambda turn: turn < TURNED,
        f"≥ {TURNED}°": lambda turn: turn >= TURNED,
    }
    lines = ["| method | turn | pairs | LPIPS | chamfer | error px |", "|---|---|---|---|---|---|"]
    for method in dict.fromkeys(result.method for result in results):
        for group, belongs in groups.items():
            found = [result for result in results if result.method == method and belongs(result.turn)]
            if found:
                means = [fmean(values) for values in zip(*(result[3:] for result in found), strict=True)]
                lines.append(
                    f"| {method} | {group} | {len(found)} | {means[0]:.4f} | {means[1]:.3e} | {means[2]:.2f} |"
                )
    return "\n".join(lines)


def main() -> None:
    parser = command.Parser(
        prog="python -m _train.frame_interpolation.figures_benchmark",
        description="Draw the middle of articulated figures and compare it with the truth.",
    )
    parser.add_argument("--methods", nargs="+", default=["sgm+splat", "sgm+dis+splat"], metavar="FLOW+SYNTHESIS")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="pairs (default: 200)")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("H", "W"), help="of the frames")
    parser.add_argument("--seed", type=int, default=0, help="other figures")
    parser.add_argument("--line-art", action="store_true", help="black lines on white")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also the results of each pair")
    arguments = parser.parse_args()
    if arguments.count < 1 or min(arguments.size) < 64:
        raise InputError("--count must be 1 or more, and both sides of --size 64 or more.")
    results = measure(
        arguments.methods, Figures(arguments.count, tuple(arguments.size), arguments.seed, arguments.line_art)
    )
    print(table(results))
    if arguments.csv:
        with image.replacing(arguments.csv) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([Result._fields, *results])


if __name__ == "__main__":
    command.run(main)
