"""Time and memory of each stage of interpolating two frames, beside those of the published computation.

--matching adds segment-guided matching, --video what decoding, encoding and finding drawings add to interpolation.

With --device cuda, what a GPU has to show, within seven minutes: kernels beside the published design of them and beside
the card's memory, agreement with the CPU, frames, memory, video, training, LPIPS of --keyframes.
"""

import argparse
import json
from pathlib import Path

from _util import command

REPORT = Path("supplementary/gpu_benchmark.md")


def parse() -> argparse.Namespace:
    demo = Path("supplementary/demo")
    parser = command.Parser(
        prog="python -m _scripts.benchmark",
        description="Measure rfr + ssldtm with seeded weights against a literal reading of the specification in fp32, "
        "on the same device. A first frame is read, flow, prepare and one time; a further time is that alone. On a GPU "
        "also kernels, agreement with the CPU, video, training and LPIPS, as a report.",
    )
    parser.add_argument("--frames", type=Path, nargs=2, default=[demo / "frame0.png", demo / "frame1.png"], metavar="F")
    parser.add_argument("--sizes", nargs="+", choices=["540p", "1080p", "2160p"], default=["540p", "1080p"])
    parser.add_argument("--repeats", type=int, help="rounds after those that are not counted (default: 3, on a GPU 20)")
    parser.add_argument("--precision", default="auto", help="of the project: auto, fp32, bf16 or fp16 (default: auto)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument(
        "--out", type=Path, default=Path("_data/benchmark.json"), help="(default: _data/benchmark.json)"
    )
    parser.add_argument("--matching", action="store_true", help="also measure segment-guided matching (CPU)")
    parser.add_argument("--video", action="store_true", help="also measure what a video takes beside its frames (CPU)")
    on_gpu = parser.add_argument_group("on a GPU")
    on_gpu.add_argument("--keyframes", type=Path, metavar="FOLDER", help="of which LPIPS is measured")
    on_gpu.add_argument("--sections", nargs="+", metavar="NAME", help="that are measured (default: all)")
    on_gpu.add_argument("--report", type=Path, default=REPORT, metavar="FILE", help=f"(default: {REPORT})")
    arguments = parser.parse_args()
    if arguments.repeats is None:
        arguments.repeats = 3 if arguments.device == "cpu" else 20
    if arguments.repeats < 1:
        parser.error(f"--repeats is {arguments.repeats}; it must be 1 or more")
    return arguments


def table(report: dict) -> str:
    """The report as a table in Markdown."""
    machine = report["machine"]
    where = f"{machine['cpu']}, {machine['threads']} threads, bf16 {'yes' if machine['bf16'] else 'no'}"
    lines = [f"{where}{', ' + machine['gpu'] if machine['gpu'] else ''}, PyTorch {machine['torch']}"]
    for size, result in report["sizes"].items():
        baseline, project = result["baseline"], result["project"]
        lines += ["", f"| {size} | baseline s | MB | project s | MB |", "|---|---|---|---|---|"]
        for stage in baseline["seconds"]:
            cells = [f"{which['seconds'][stage]:.3f} | {which['peak_mb'][stage]:.0f}" for which in (baseline, project)]
            lines.append(f"| {stage} | {' | '.join(cells)} |")
        precision = ", ".join(f"{stage} {dtype}" for stage, dtype in project["precision"].items())
        lines += [
            "",
            f"first frame {result['first_frame_ratio']:.2f}×, each further time {result['further_time_ratio']:.2f}× as "
            f"fast; mean |Δ| {result['mean_difference']:.3f}/255; precision of the project: {precision}",
        ]
    return "\n".join(lines)


def table_of_matching(rows: list[dict]) -> str:
    """Times of segment-guided matching as a table in Markdown."""
    lines = ["| pieces | segmentation s | matching s | flow s | all s | literal matching and flow s | ratio |"]
    lines.append(f"|{'---|' * 7}")
    for row in rows:
        times = " | ".join(f"{row[stage]:.3f}" for stage in ("segmentation", "matching", "flow", "all", "literal"))
        lines.append(f"| {row['pieces']} | {times} | {row['ratio']:.1f}× |")
    return "\n".join(lines)


def table_of_video(rows: list[dict]) -> str:
    """Times of videos and of their frames as a table in Markdown."""
    lines = ["| method | frames drawn | video s | frames alone s | ratio |", f"|{'---|' * 5}"]
    for row in rows:
        times = " | ".join(f"{row[which]:.2f}" for which in ("video", "interpolator", "ratio"))
        lines.append(f"| {row['method']} | {row['drawn']} of {row['frames']} | {times} |")
    return "\n".join(lines)


def main() -> None:
    arguments = parse()
    from _util.files import replacing

    report = measure_on_gpu(arguments) if arguments.device.startswith("cuda") else measure(arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(arguments.out) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n")
    print(f"\nWritten to {arguments.out}.")


def measure_on_gpu(arguments: argparse.Namespace) -> dict:
    from _train.frame_interpolation.benchmarks import gpu
    from _util.device import choose
    from _util.errors import InputError

    unknown = [name for name in arguments.sections or [] if name not in gpu.SECTIONS]
    if unknown:
        raise InputError(f"There is no section {unknown[0]!r}; it is {', '.join(gpu.SECTIONS)}.")
    settings = gpu.Settings(
        device=str(choose(arguments.device)),
        frames=tuple(map(str, arguments.frames)),
        keyframes=str(arguments.keyframes) if arguments.keyframes else None,
        precision=arguments.precision,
        repeats=arguments.repeats,
    )
    return gpu.run(settings, arguments.report, sections=arguments.sections or list(gpu.SECTIONS))


def measure(arguments: argparse.Namespace) -> dict:
    from _train.frame_interpolation.benchmarks import matching, stages, video

    report = stages.compare(
        *arguments.frames, arguments.sizes, arguments.repeats, arguments.precision, arguments.device
    )
    print(table(report))
    if arguments.matching:
        report["matching"] = matching.compare(arguments.repeats)
        print("\nSegment-guided matching at 540×960, on the CPU, both ways, features of AlexNet:\n")
        print(table_of_matching(report["matching"]))
    if arguments.video:
        report["video"] = video.compare(arguments.frames[0], arguments.repeats)
        print("\nA second of video, 640×480 on twos, to 48 frames a second:\n")
        print(table_of_video(report["video"]))
    return report


if __name__ == "__main__":
    command.run(main)
