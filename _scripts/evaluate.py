"""Judge interpolation on a folder of keyframes: each one but the ends is drawn anew from its neighbours and compared.

keys/
    key_1.png  key_2.png  key_3.png  …      →   a table on stdout: LPIPS, chamfer, PSNR, SSIM of key_2, key_3, …

toons, cartoons with exact flow             →   errors of the flow in pixels: all, near rims, of the ground there
"""

import argparse
from pathlib import Path

from _util import command

UNSEEN, BATCHES = 2**20, 16  # a seed that training does not use, and how much of it


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.evaluate",
        description="Draw each keyframe of a folder anew from the one before and the one after, and compare.",
        epilog="LPIPS, chamfer and SSIM follow the papers on 2D animation; LPIPS std. scales its images to [-1, 1].",
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="keyframes of one cut, 3 or more images of one size; or toons, to judge --flow where it is known",
    )
    parser.add_argument("--flow", default="auto", help="auto, rfr or dis (default: auto, the best that has weights)")
    parser.add_argument(
        "--synthesis",
        default="auto",
        help="auto, ssldtm, fusion, ssl or splat (default: auto, the best that has weights)",
    )
    parser.add_argument(
        "--baseline", choices=["mean"], help="judge this instead of an interpolation: the mean of both neighbours"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--precision", default="auto", help="of the networks: auto, fp32, bf16 or fp16 (default: auto)")
    parser.add_argument("--checkpoints", type=Path, metavar="DIR", help="folder of weights (default: checkpoints)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table as CSV, with all digits")
    arguments = parser.parse_args()
    if arguments.out and not arguments.out.parent.is_dir():
        parser.error(f"--out: there is no folder {arguments.out.parent}")
    return arguments


def table(scores: list) -> str:
    """Scores as a table in Markdown."""
    width = max(len(score.name) for score in scores)
    lines = [
        f"| {'':{width}} |  LPIPS | LPIPS std. | chamfer ×1e-4 |  PSNR | SSIM % |",
        f"|{'-' * (width + 2)}|-------:|-----------:|--------------:|------:|-------:|",
    ]
    for score in scores:
        lines.append(
            f"| {score.name:{width}} | {score.lpips:.4f} | {score.lpips_standard:10.4f} | {1e4 * score.chamfer:13.3f} "
            f"| {score.psnr:5.2f} | {100 * score.ssim:6.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    arguments = parse()
    from _train.frame_interpolation import evaluation
    from _train.frame_interpolation.interpolator import Interpolator
    from _util import checkpoints

    if arguments.data == Path("toons"):
        judge_flow(arguments)
        return
    paths = evaluation.keyframes(arguments.data)
    if arguments.baseline:
        interpolate, device = evaluation.mean_of_frames, "cpu"
    else:
        interpolator = Interpolator(
            flow=arguments.flow,
            synthesis=arguments.synthesis,
            device=arguments.device,
            precision=arguments.precision,
            folder=arguments.checkpoints or checkpoints.FOLDER,
        )

        def interpolate(frame0, frame1):
            return interpolator(frame0, frame1)[0]

        device = interpolator.device
    scores = evaluation.score_keyframes(interpolate, paths, device, show_progress=True)
    print(table([*scores, evaluation.mean(scores)]))
    if arguments.out:
        evaluation.write_csv(arguments.out, scores)


def judge_flow(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from _databacks.toons.scenes import Toons
    from _train.frame_interpolation import evaluation
    from _train.frame_interpolation.interpolator import Interpolator
    from _util import checkpoints

    interpolator = Interpolator(
        arguments.flow, "splat", arguments.device, arguments.precision, arguments.checkpoints or checkpoints.FOLDER
    )
    toons = Toons((256, 448), batch_size=4, seed=UNSEEN, device=interpolator.device)
    scenes = (toons.batch(i) for i in tqdm(range(BATCHES), unit="batch", leave=False))
    errors = evaluation.score_flow(interpolator.estimator, scenes, interpolator.device)
    print("|        |   all | near rims | ground there |\n|--------|------:|----------:|-------------:|")
    everywhere, rim, ground = errors.values()
    print(f"| {interpolator.flow:6} | {everywhere:5.2f} | {rim:9.2f} | {ground:12.2f} |")


if __name__ == "__main__":
    command.run(main)
