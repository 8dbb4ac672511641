"""Time and memory of each stage of interpolating two frames, beside those of the published computation.

--matching adds segment-guided matching, --video what decoding, encoding and finding drawings add to interpolation,
how steady a video is, and how evenly figures and ground move under a camera.

With --device cuda, what a GPU has to show, within seven minutes: kernels beside the published design of them and beside
the card's memory, agreement with the CPU, frames, memory, video, training, LPIPS of --keyframes.
"""

import argparse
import json
from pathlib import Path

from _util import command, device, places, tables
from _util.command import whole

REPORT = Path("supplementary/gpu_benchmark.md") if places.IS_REPOSITORY else Path("gpu_benchmark.md")
OUT = places.results("") / "benchmark.json"

# Columns of the tables, as `tables.of_figures` takes them.
METHODS = {
    "size": "{size}",
    "method": "{method}",
    "precision": "{precision}",
    "first frame s": "{first:.3f}",
    "of RIFE's": "{first_ratio:.2f}×",
    "further frame s": "{further:.3f}",
    "of RIFE's further": "{further_ratio:.2f}×",
    "MB": "{peak_mb:.0f}",
}
QUALITIES = {
    "quality": lambda row: f"`{row['quality']}`" if row["quality"] else "RIFE's network, fp32",
    "method": lambda row: row["method"].partition("@")[0],
    "precision": "{precision}",
    "first frame s": "{first:.3f}",
    "further frame s": "{further:.3f}",
    "LPIPS": lambda row: f"{row['lpips']:.4f}" if "lpips" in row else "",
}
MATCHING = {
    "pieces": "{pieces}",
    "segmentation s": "{segmentation:.3f}",
    "matching s": "{matching:.3f}",
    "flow s": "{flow:.3f}",
    "all s": "{all:.3f}",
    "paths s": "{turning:.3f}",
    "literal matching and flow s": "{literal:.3f}",
    "ratio": "{ratio:.1f}×",
    "paths MB": "{turning_mb:.0f}",
}
VIDEO = {
    "method": "{method}",
    "frames drawn": "{drawn} of {frames}",
    "video s": "{video:.2f}",
    "frames alone s": "{interpolator:.2f}",
    "ratio": "{ratio:.2f}",
}
STEADINESS = {
    "method": "{method}",
    "seconds": "{seconds:.1f}",
    "largest change of static areas, levels": "{flicker}",
    "unevenness of steps": lambda row: f"{100 * row['unevenness']:.1f} %",
}
PANNING = {
    "clip": "{clip}",
    "drawings found": "{drawings} of {drawn}",
    "figure": lambda row: f"{100 * row['figure']:.0f} %",
    "background": lambda row: f"{100 * row['ground']:.0f} %",
    "figure with `--no-camera-holds`": lambda row: f"{100 * row['without']:.0f} %",
}


def parse() -> argparse.Namespace:
    demo = places.ROOT / "supplementary" / "demo"
    parser = command.Parser(
        prog="python -m _scripts.benchmark",
        description="Measure rfr + ssldtm with seeded weights against a plain PyTorch implementation of the published "
        "method in fp32, on the same device. A first frame includes reading, flow and preparation; a further one "
        "is another time of the same pair. On a GPU, also report on kernels, agreement with the CPU, video, training "
        "and LPIPS.",
    )
    parser.add_argument("--frames", type=Path, nargs=2, default=[demo / "frame0.png", demo / "frame1.png"], metavar="F")
    parser.add_argument("--sizes", nargs="+", choices=["540p", "1080p", "2160p"], help="(default: 540p 1080p)")
    parser.add_argument("--repeats", type=whole(1), help="measured rounds, after the warm-up (default: 3, on a GPU 20)")
    parser.add_argument("--precision", choices=device.PRECISIONS, help="of the project (default: auto)")
    parser.add_argument("--device", default="cpu", help=f"{device.CUDA_NAMES} (default: cpu)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help=f"(default: {OUT})")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help="instead, compare these with RIFE's published network in fp32; METHOD@fp32 and METHOD@onnxruntime too",
    )
    instead.add_argument(
        "--quality",
        action="store_true",
        help="instead, measure the --quality levels of the other commands at 540p, and their LPIPS on --keyframes",
    )
    parser.add_argument("--checkpoints", type=Path, metavar="DIR", help="folder of their weights")
    parser.add_argument("--matching", action="store_true", help="also measure segment-guided matching, on the CPU")
    parser.add_argument("--video", action="store_true", help="also measure videos, on the CPU")
    parser.add_argument("--keyframes", type=Path, metavar="FOLDER", help="on which LPIPS is measured")
    on_gpu = parser.add_argument_group("on a GPU")
    on_gpu.add_argument("--sections", nargs="+", metavar="NAME", help="sections to measure (default: all)")
    on_gpu.add_argument("--report", type=Path, metavar="FILE", help=f"(default: {REPORT})")
    arguments = parser.parse_args()
    device.check_cuda_name(arguments.device)
    if idle := [name for name in unused_options(arguments) if getattr(arguments, name) is not None]:
        parser.error(f"--{idle[0]} has no effect on what is measured here; leave it out")
    defaults = {
        "repeats": 3 if arguments.device == "cpu" else 20,
        "precision": "auto",
        "sizes": ["540p", "1080p"],
        "report": REPORT,
    }
    for name, value in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return arguments


def unused_options(arguments: argparse.Namespace) -> list[str]:
    """The options that have no effect on what the others select."""
    if arguments.quality:
        return ["precision", "sizes", "sections", "report"]
    if arguments.methods:
        return ["keyframes", "sections", "report"]
    if arguments.device.startswith("cuda"):
        return ["sizes", "checkpoints"]
    return ["checkpoints", "keyframes", "sections", "report"]


def table(report: dict) -> str:
    """The report as a table in Markdown."""
    machine = report["machine"]
    where = f"{machine['cpu']}, {machine['threads']} threads, bf16 {'yes' if machine['bf16'] else 'no'}"
    lines = [f"{where}{', ' + machine['gpu'] if machine['gpu'] else ''}, PyTorch {machine['torch']}"]
    for size, result in report["sizes"].items():
        baseline, project = result["baseline"], result["project"]
        rows = []
        for stage in baseline["seconds"]:
            row = {size: stage}
            for name, which in (("baseline", baseline), ("project", project)):
                row[f"{name} s"] = f"{which['seconds'][stage]:.3f}"
                row[f"{name} MB"] = f"{which['peak_mb'][stage]:.0f}"
            rows.append(row)
        lines += ["", tables.markdown(rows)]
        precision = ", ".join(f"{stage} {dtype}" for stage, dtype in project["precision"].items())
        lines += [
            "",
            f"first frame {result['first_frame_ratio']:.2f}×, each further time {result['further_time_ratio']:.2f}× as "
            f"fast; mean |Δ| {result['mean_difference']:.3f}/255; precision of the project: {precision}",
        ]
    return "\n".join(lines)


def main() -> None:
    arguments = parse()
    from _util.files import make_folder, write_text

    if arguments.methods:
        report = measure_methods(arguments)
    elif arguments.quality:
        report = measure_qualities(arguments)
    else:
        report = measure_on_gpu(arguments) if arguments.device.startswith("cuda") else measure_stages(arguments)
    report |= measure_more(arguments)
    make_folder(arguments.out.parent)
    write_text(arguments.out, json.dumps(report, indent=2) + "\n")
    print(f"\nWritten to {arguments.out}.")


def measure_on_gpu(arguments: argparse.Namespace) -> dict:
    from _train.frame_interpolation.benchmarks import gpu
    from _util.device import choose
    from _util.errors import InputError

    unknown = [name for name in arguments.sections or [] if name not in gpu.SECTIONS]
    if unknown:
        raise InputError(f"There is no section {unknown[0]!r}; it is {', '.join(gpu.SECTIONS)}.")
    settings = gpu.GpuSettings(
        device=choose(arguments.device),
        frames=tuple(arguments.frames),
        keyframes=arguments.keyframes,
        precision=arguments.precision,
        repeats=arguments.repeats,
    )
    return gpu.run(settings, arguments.report, arguments.sections or list(gpu.SECTIONS))


def measure_methods(arguments: argparse.Namespace) -> dict:
    from _train.frame_interpolation.benchmarks import against_rife, stages
    from _util import checkpoints

    folder = arguments.checkpoints or checkpoints.FOLDER
    rows = against_rife.compare(
        tuple(arguments.frames),
        arguments.sizes,
        arguments.methods,
        arguments.repeats,
        folder,
        arguments.device,
        arguments.precision,
    )
    print(tables.of_figures(rows, METHODS))
    return {"machine": stages.machine(), "methods": rows}


def measure_qualities(arguments: argparse.Namespace) -> dict:
    from _train.frame_interpolation.benchmarks import qualities, stages
    from _util import checkpoints

    folder = arguments.checkpoints or checkpoints.FOLDER
    rows = qualities.compare(tuple(arguments.frames), arguments.repeats, folder, arguments.device, arguments.keyframes)
    print(tables.of_figures(rows, QUALITIES))
    return {"machine": stages.machine(), "qualities": rows}


def measure_stages(arguments: argparse.Namespace) -> dict:
    from _train.frame_interpolation.benchmarks import stages

    frame0, frame1 = arguments.frames
    report = stages.compare(frame0, frame1, arguments.sizes, arguments.repeats, arguments.precision, arguments.device)
    print(table(report))
    return report


def measure_more(arguments: argparse.Namespace) -> dict:
    """What --matching and --video add to a report."""
    report: dict = {}
    if arguments.matching:
        from _train.frame_interpolation.benchmarks import matching

        report["matching"] = matching.compare(arguments.repeats)
        print("\nSegment-guided matching at 540×960, on the CPU, both ways, features of AlexNet:\n")
        print(tables.of_figures(report["matching"], MATCHING))
    if arguments.video:
        from _train.frame_interpolation.benchmarks import panning, steadiness, video
        from _train.frame_interpolation.interpolator import Interpolator

        report["video"] = video.compare(arguments.frames[0], arguments.repeats)
        print("\nA second of video, 640×480 on twos, to 48 frames a second:\n")
        print(tables.of_figures(report["video"], VIDEO))
        report["steadiness"] = steadiness.compare(arguments.frames[0])
        print("\nTen seconds of 540p, on the CPU, to twice the rate:\n")
        print(tables.of_figures(report["steadiness"], STEADINESS))
        interpolator = Interpolator(device="cpu")
        report["panning"] = panning.compare(lambda: (interpolator, {}))
        print(
            "\nA camera on ones, to twice the rate: the largest difference of a step from an even one, of the mean:\n"
        )
        print(tables.of_figures(report["panning"], PANNING))
    return report


if __name__ == "__main__":
    command.run(main)
