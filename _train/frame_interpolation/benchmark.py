"""Time and memory of each stage of interpolating two frames, against the published computation read literally.

Each of the two runs in a process of its own: the baseline as plain PyTorch is found, the project as its scripts run it.
Both use the same seeded weights of RFR, SoftsplatLite and DTM, the same frames, and fp32 for the baseline.
"""

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from _train.frame_interpolation import flows, literal
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _util import checkpoints, cpu, image, memory

SIZES = {"540p": (540, 960), "1080p": (1080, 1920), "2160p": (2160, 3840)}
STAGES = ("read", "flow", "prepare", "time", "write")


def write_checkpoints(folder: Path) -> None:
    """Files of the published names and wrappers, with seeded weights."""
    for name, network in (("ssl", SoftsplatLite()), ("dtm", DTM()), ("rfr", RFR())):
        state = checkpoints.seeded(network.state_dict())
        if name == "rfr":
            state = {"model_state_dict": {f"module.flownet.{key}": tensor for key, tensor in state.items()}}
        torch.save(state, folder / checkpoints.PUBLISHED[name])


def compare(frame0: Path, frame1: Path, sizes: list[str], repeats: int, precision: str, device: str) -> dict:
    """Measure both at each size, in processes of their own.

    Returns:
        Machine, precisions, and by size: seconds and peak MB by stage of both, ratios, mean |Δ| of the frames in /255.
    """
    report: dict = {"machine": _machine(), "frames": [str(frame0), str(frame1)], "repeats": repeats, "sizes": {}}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            _resize(frame0, frame1, SIZES[size], Path(folder))
            write_checkpoints(Path(folder))
            results = {
                which: _in_process(which, folder, repeats, precision, device) for which in ("baseline", "project")
            }
            middles = [image.read(Path(folder) / f"{which}.png").astype(float) for which in results]
        first, later = (
            [sum(results[which]["seconds"][stage] for stage in stages) for which in ("baseline", "project")]
            for stages in (STAGES[:-1], ("time",))
        )
        report["sizes"][size] = {
            **results,
            "first_frame_ratio": first[0] / first[1],
            "further_time_ratio": later[0] / later[1],
            "mean_difference": float(np.abs(middles[0] - middles[1]).mean()),
        }
    return report


def measure(which: str, folder: Path, repeats: int, precision: str, device: str) -> dict:
    """Measure the "baseline" or the "project" in this process, on the frames and checkpoints in a folder."""
    stages = {"baseline": _baseline_stages, "project": _project_stages}[which](folder, precision, device)
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    peaks: dict[str, float] = {}
    for round_ in range(repeats + 1):
        for stage in STAGES:
            memory.reset_peak()
            start = time.perf_counter()
            stages[stage]()
            if round_ > 0:  # the first round compiles kernels and touches memory for the first time
                seconds[stage].append(time.perf_counter() - start)
            peaks[stage] = max(peaks.get(stage, 0), memory.peak())
    return {
        "seconds": {stage: statistics.median(times) for stage, times in seconds.items()},
        "peak_mb": peaks,
        "precision": stages["precision"],
    }


def _project_stages(folder: Path, precision: str, device: str) -> dict:
    interpolator = Interpolator("rfr", "ssldtm", device, precision, folder)
    state: dict = {}

    def synchronised(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            with torch.inference_mode():
                work()
            if interpolator.device.type == "cuda":
                torch.cuda.synchronize()

        return run

    def read() -> None:
        arrays = [image.read(folder / f"frame{i}.png") for i in range(2)]
        state["frames"] = [image.to_tensor(array)[None].to(interpolator.device) for array in arrays]

    def flow() -> None:
        state["flows"] = flows.at_moderate_size(interpolator.estimator, *state["frames"])

    def prepare() -> None:
        state["prepared"] = interpolator.synthesiser.prepare(*state["frames"], *state["flows"])

    def at() -> None:
        state["frame"] = interpolator.synthesiser.synthesise(state["prepared"], 0.5)

    def write() -> None:
        image.write(folder / "project.png", image.to_array(state["frame"][0], np.uint8))

    stages = {"read": read, "flow": flow, "prepare": prepare, "time": at, "write": write}
    precisions = {k: str(v).removeprefix("torch.") for k, v in interpolator.precisions._asdict().items()}
    return {**{name: synchronised(work) for name, work in stages.items()}, "precision": precisions}


def _baseline_stages(folder: Path, _precision: str, _device: str) -> dict:
    networks: list[nn.Module] = [RFR().eval(), SoftsplatLite().eval(), DTM().eval()]
    for name, network in zip(("rfr", "ssl", "dtm"), networks, strict=True):
        checkpoints.load(network.requires_grad_(False), name, folder)
    rfr, ssl, dtm = networks
    state: dict = {}

    def read() -> None:
        state["frames"] = [image.to_tensor(image.read(folder / f"frame{i}.png"))[None] for i in range(2)]

    def flow() -> None:
        def both(frame0, frame1):
            return literal.estimate_flow(rfr, frame0, frame1), literal.estimate_flow(rfr, frame1, frame0)

        state["flows"] = flows.at_moderate_size(both, *state["frames"])

    def at() -> None:
        synthesis = literal.synthesise(ssl, *state["frames"], *state["flows"], 0.5)
        state["frame"] = literal.correct(dtm, synthesis)[0]

    def write() -> None:
        image.write(folder / "baseline.png", image.to_array(state["frame"][0], np.uint8))

    stages = {"read": read, "flow": flow, "prepare": lambda: None, "time": at, "write": write}
    return {**stages, "precision": {"flow": "float32", "synthesis": "float32"}}


def _in_process(which: str, folder: str, repeats: int, precision: str, device: str) -> dict:
    program = "import sys; from _train.frame_interpolation import benchmark; benchmark.main(*sys.argv[1:])"
    command = [sys.executable, "-c", program, which, folder, str(repeats), precision, device]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(finished.stdout.splitlines()[-1])


def main(which: str, folder: str, repeats: str, precision: str, device: str) -> None:
    """What the processes run: print the measurement as one line of JSON."""
    print(json.dumps(measure(which, Path(folder), int(repeats), precision, device)))


def _resize(frame0: Path, frame1: Path, size: tuple[int, int], folder: Path) -> None:
    for i, path in enumerate((frame0, frame1)):
        pixels = image.read(path)
        if pixels.shape[:2] != size:
            shrinks = pixels.shape[0] > size[0]
            pixels = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        image.write(folder / f"frame{i}.png", pixels)


def _machine() -> dict:
    names = [line.split(":", 1)[1].strip() for line in _cpu_info() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "bf16": cpu.multiplies_bf16(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def _cpu_info() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
