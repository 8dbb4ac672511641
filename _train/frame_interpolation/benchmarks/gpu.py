"""Benchmark of a CUDA GPU, in sections: kernels, agreement with the CPU, frames, memory, video, LPIPS, training.

Each section runs in its own process with a time limit, because a kernel that fails or hangs takes its process down.
Failures are reported, and the other sections continue. A section is a function of the settings, which may name the CPU,
and returns the rows of a table, as dicts.

In: two frames, and optionally a folder of keyframes. Out: a Markdown report, rewritten after every section. Sections of
an existing report stay until they are measured again; those of another machine than the report's say so.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from _train.frame_interpolation.benchmarks import against_rife, agreement, kernels, pair, qualities, training, video
from _train.frame_interpolation.benchmarks import stages as timing
from _train.frame_interpolation.interpolator import Interpolator
from _util import checkpoints, files, tables

PROGRAM = "import sys; from _train.frame_interpolation.benchmarks import gpu; gpu.main(*sys.argv[1:])"
_HEAD, _UNMEASURED = "# On a GPU", "Not measured:"
Rows = list[dict[str, Any]]


class GpuSettings(NamedTuple):
    """What is measured, and on what."""

    device: torch.device
    frames: tuple[Path, Path]
    keyframes: Path | None
    precision: str
    repeats: int


def table(rows: Rows) -> str:
    """Format rows with the same keys as a Markdown table."""
    return tables.markdown([{name: _written(value) for name, value in row.items()} for row in rows])


def _written(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Section(NamedTuple):
    title: str
    measure: Callable[[GpuSettings], Rows]
    note: str  # what the figures mean
    seconds: int  # time limit
    as_table: Callable[[Rows], str] = table


def _pair(settings: GpuSettings, size: str, published: bool = True) -> Rows:
    frame0, frame1 = (timing.read_frame(path, timing.SIZES[size]) for path in settings.frames)
    return pair.compare(settings.device, (frame0, frame1), settings.precision, settings.repeats, published)


def _default(settings: GpuSettings) -> Rows:
    sizes, methods, device = list(timing.SIZES), ("ifnet", "ifnet-fast"), str(settings.device)
    rows = against_rife.compare(settings.frames, sizes, methods, settings.repeats, checkpoints.FOLDER, device)
    return [
        {
            "size": row["size"],
            "method": row["method"],
            "precision": row["precision"],
            "first ms": 1000 * row["first"],
            "first, of RIFE's": row["first_ratio"],
            "further ms": 1000 * row["further"],
            "further, of RIFE's": row["further_ratio"],
        }
        for row in rows
    ]


def _stages(settings: GpuSettings) -> Rows:
    """Milliseconds and memory of each stage of interpolating two image files, published and in this project."""
    with tempfile.TemporaryDirectory() as folder:
        timing.resize(*settings.frames, timing.SIZES["540p"], Path(folder))
        timing.write_checkpoints(Path(folder))
        published, ours = (
            timing.measure(which, Path(folder), settings.repeats, settings.precision, str(settings.device))
            for which in ("baseline", "project")
        )
    return [
        {
            "stage": stage,
            "published ms": 1000 * published["seconds"][stage],
            "published MB": published["peak_mb"][stage],
            "ours ms": 1000 * ours["seconds"][stage],
            "ours MB": ours["peak_mb"][stage],
        }
        for stage in timing.STAGES
    ]


def _lpips(settings: GpuSettings) -> Rows:
    """LPIPS of keyframes, each drawn from its neighbours by the default method, in exact fp32 and in the default
    precision."""
    if settings.keyframes is None:
        raise RuntimeError("no keyframes were given; --keyframes FOLDER names them")
    rows = []
    for precision in ("fp32", "auto"):
        interpolator = Interpolator(device=str(settings.device), precision=precision)
        measured = qualities.lpips(interpolator.pipeline, settings.keyframes, settings.device)
        dtypes = "/".join(interpolator.context.precisions)
        rows.append(
            {"method": interpolator.method, "precision": precision, "flow/synthesis": dtypes, "lpips": measured}
        )
        rows[-1]["change"] = measured / rows[0]["lpips"] - 1
    return rows


_PAIR = (
    "rfr, 12 iterations, and ssldtm, seeded weights; from arrays in the host's memory to arrays there. Published: both "
    "directions and every time on their own, splatting and distance transform by the published kernels where there is "
    "CuPy. Ratios are to the first row."
)
SECTIONS = {
    "kernels": Section(
        "Kernels",
        lambda settings: kernels.compare(settings.device),
        "Medians of CUDA events, ours beside the published design; the ceiling is what a copy on this card reaches.",
        150,
        kernels.table,
    ),
    "agreement": Section(
        "Agreement with the CPU",
        lambda settings: agreement.compare(settings.device),
        "In exact fp32. Operators: largest difference of the largest value; networks: mean difference of the mean.",
        90,
    ),
    "default": Section(
        "The default beside RIFE",
        _default,
        "RIFE's published network in fp32, seeded weights, in turns with ours; from arrays in the host's memory to "
        "an array there. A further frame is another time of the same pair.",
        90,
    ),
    "540p": Section("A pair at 540p", partial(_pair, size="540p"), _PAIR, 90),
    "2160p": Section("A pair at 2160p, ours alone", partial(_pair, size="2160p", published=False), _PAIR, 60),
    "video": Section(
        "1080p video to twice its rate",
        lambda settings: video.rates(settings.device, settings.frames[0]),
        "A pan, 24 frames a second; decoding, interpolation and encoding (H.264) with start and end. Idle: by NVML, "
        "without the first and last fifth.",
        120,
    ),
    "training": Section(
        "Training",
        lambda settings: training.steps(settings.device, repeats=settings.repeats),
        "Toons, batches of 8 at 256×256; a step with its batch, by events. Published: the published computation.",
        150,
    ),
    "toons": Section(
        "The generator of toons",
        lambda settings: training.generator(settings.device, repeats=settings.repeats),
        "Sequences of three frames at 256×256 with flow, in batches of 32, made alone.",
        60,
    ),
    "lpips": Section("LPIPS of keyframes", _lpips, "With default settings; metrics on the GPU.", 90),
    "1080p": Section("A pair at 1080p", partial(_pair, size="1080p"), _PAIR, 90),
    "stages": Section(
        "Stages of a pair at 540p",
        _stages,
        "From files to a file; published in exact fp32. A first frame is all of them, a further one is time and write.",
        60,
    ),
}


def run(settings: GpuSettings, path: Path, sections: Sequence[str], longest: float = 340) -> dict[str, Any]:
    """Run some of `SECTIONS`, print each when it is done, and write it into the report at `path`.

    Args:
        longest: time limit of the whole run in seconds; sections that do not fit are skipped.

    Returns:
        `machine`, and by section its rows, or a sentence on why there are none.
    """
    end, hardware = time.monotonic() + longest, machine(settings.device)
    found: dict[str, Any] = {"machine": hardware}
    before, measured = _parts_of(path), {}
    head = "\n".join([_HEAD, "", *(f"- {name}: {text}" for name, text in hardware.items())])
    print(head, flush=True)
    for name in sections:
        section = SECTIONS[name]
        rows, text = _measured(name, settings, min(section.seconds, end - time.monotonic()))
        found[name] = text if rows is None else rows
        title = f"## {section.title}"
        part = f"{title}\n\n{section.note}\n\n{text}"
        print(f"\n{part}", flush=True)
        if rows is not None or _UNMEASURED in before.get(title, _UNMEASURED):
            measured[title] = part
        parts = {**before, _HEAD: head, **measured}
        if before.get(_HEAD, head) != head and before.keys() - measured.keys() != {_HEAD}:
            machine_of = "; ".join(f"{name}: {text}" for name, text in hardware.items())
            noted = {title: part.replace("\n\n", f"\n\n{machine_of}. ", 1) for title, part in measured.items()}
            parts = before | noted
        files.write_text(path, "\n\n".join(parts.values()) + "\n")
    return found


def _parts_of(path: Path) -> dict[str, str]:
    """The head and the sections of a report by their first lines; nothing if there is no report."""
    text = path.read_text("utf-8").strip() if path.exists() else ""
    return {part.partition("\n")[0]: part for part in re.split(r"\n\n(?=## )", text) if part}


def _measured(name: str, settings: GpuSettings, seconds: float) -> tuple[Rows | None, str]:
    """The rows of a section and their table; None and the reason if there are none."""
    if seconds <= 0:
        return None, f"{_UNMEASURED} there was no time left."
    command = [sys.executable, "-c", PROGRAM, name, json.dumps(settings._asdict(), default=str)]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=seconds, errors="replace")
    except subprocess.TimeoutExpired:
        return None, f"{_UNMEASURED} it took longer than {seconds:.0f} seconds."
    if finished.returncode:
        last = (finished.stderr.strip().splitlines() or [f"exit code {finished.returncode}"])[-1]
        print(finished.stderr, file=sys.stderr, flush=True)
        return None, f"{_UNMEASURED} {last}"
    return tuple(json.loads(finished.stdout.splitlines()[-1]))


def main(name: str, settings: str) -> None:
    """Entry point of the processes: print the rows of one section, and their table, as one line of JSON."""
    given = json.loads(settings)
    given["device"], given["frames"] = torch.device(given["device"]), tuple(map(Path, given["frames"]))
    given["keyframes"] = Path(given["keyframes"]) if given["keyframes"] else None
    rows = SECTIONS[name].measure(GpuSettings(**given))
    print(json.dumps([rows, SECTIONS[name].as_table(rows)]))


def machine(device: torch.device) -> dict[str, str]:
    """The GPU, its driver, and the versions that the figures depend on."""
    hardware = timing.machine()
    found = {"CPU": f"{hardware['cpu']}, {hardware['threads']} threads", "PyTorch": torch.__version__}
    if device.type != "cuda":
        return found
    properties = torch.cuda.get_device_properties(device)
    card = f"{properties.name}, compute capability {properties.major}.{properties.minor}"
    return {
        "Card": f"{card}, {properties.total_memory / 2**30:.0f} GiB",
        "Driver": _driver(),
        "CUDA": f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
        "CuPy": _cupy(),
        **found,
    }


def _driver() -> str:
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def _cupy() -> str:
    try:
        import cupy
    except ImportError:
        return "not installed"
    return cupy.__version__
