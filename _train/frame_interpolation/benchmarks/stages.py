"""Time and memory of each stage of interpolating two frames, against the reference implementation.

Each runs in its own process, on the same device: the baseline in exact fp32, without TF32, the project as its scripts
run it. Both use the same seeded weights of RFR, SoftsplatLite and DTM, and the same frames.
"""

import contextlib
import multiprocessing
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from _train.frame_interpolation import flows
from _train.frame_interpolation.benchmarks import reference
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _train.frame_interpolation.syntheses import Pair
from _util import checkpoints, image, memory, pixels
from _util.device import choose as choose_device
from _util.device import multiplies_bf16

SIZES = {"540p": (540, 960), "1080p": (1080, 1920), "2160p": (2160, 3840)}
STAGES = ("read", "flow", "prepare", "time", "write")
WARM_UP = {"cpu": 1, "cuda": 3}  # rounds that compile kernels, touch memory and capture graphs


def write_checkpoints(folder: Path) -> None:
    """Write checkpoints with the published names and wrappers, with seeded weights."""
    for name, network in (("ssl", SoftsplatLite()), ("dtm", DTM()), ("rfr", RFR())):
        state = checkpoints.seeded(network.state_dict())
        if name == "rfr":
            state = {"model_state_dict": {f"module.flownet.{key}": tensor for key, tensor in state.items()}}
        torch.save(state, folder / checkpoints.PUBLISHED[name])


def compare(frame0: Path, frame1: Path, sizes: list[str], repeats: int, precision: str, device: str) -> dict:
    """Measure both at each size, in processes of their own.

    Returns:
        Machine, precisions, and by size: seconds and peak MB by stage of both, ratios, mean |Δ| of the frames in /255.

    Raises:
        InputError: as `Interpolator`, of the precision and the device.
    """
    report: dict = {"machine": machine(), "frames": [str(frame0), str(frame1)], "repeats": repeats, "sizes": {}}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            resize(frame0, frame1, SIZES[size], Path(folder))
            write_checkpoints(Path(folder))
            results = {
                which: _in_process(which, Path(folder), repeats, precision, device) for which in ("baseline", "project")
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
    place = choose_device(device)
    if which == "project":
        way = _ProjectStages(Interpolator("rfr", "ssldtm", str(place), precision, folder))
    else:
        way = PublishedStages(load_networks(folder, place))

    def read() -> None:
        arrays = [image.read(folder / f"frame{i}.png") for i in range(2)]
        way.frames = [image.to_tensor(array)[None].to(place) for array in arrays]

    def draw() -> None:
        nonlocal frame
        frame = way.frame(0.5)

    def write() -> None:
        image.write(folder / f"{which}.png", image.to_array(frame[0], np.uint8))

    frame = torch.empty(0)
    stages = dict(zip(STAGES, (read, way.flow, way.prepare, draw, write), strict=True))
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    peaks: dict[str, float] = {}
    with torch.inference_mode(), contextlib.nullcontext() if which == "project" else convolution_precision(tf32=False):
        for round_ in range(WARM_UP[place.type] + repeats):
            for stage, work in stages.items():
                reset_peak(place)
                taken = timed(work, place)
                if round_ >= WARM_UP[place.type]:
                    seconds[stage].append(taken)
                peaks[stage] = max(peaks.get(stage, 0), peak(place))
    return {
        "seconds": {stage: statistics.median(times) for stage, times in seconds.items()},
        "peak_mb": peaks,
        "precision": way.precision,
    }


def timed(work: Callable[[], object], device: torch.device) -> float:
    """The seconds that `work` takes, including its work on the device; measured with events on CUDA."""
    if device.type != "cuda":
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    with torch.cuda.device(device):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1000


def median_seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The median of `repeats` times, after `WARM_UP` rounds."""
    times = [timed(work, device) for _ in range(WARM_UP[device.type] + repeats)]
    return statistics.median(times[-repeats:])


def reset_peak(device: torch.device) -> None:
    """Begin a new measurement of `peak`."""
    if device.type == "cpu":
        memory.reset_peak()
    else:
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> float:
    """The peak memory of this process since `reset_peak`, in MB; on a GPU, that of its tensors."""
    return memory.peak() if device.type == "cpu" else torch.cuda.max_memory_allocated(device) / 2**20


def convolution_precision(tf32: bool) -> contextlib.AbstractContextManager:
    """Allow TF32 in fp32 convolutions on GPUs, which is PyTorch's default, or disable it."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=tf32)


def load_networks(folder: Path, device: torch.device) -> tuple[RFR, SoftsplatLite, DTM]:
    """Load the checkpoints of `write_checkpoints` for the published computation."""
    networks = RFR().eval(), SoftsplatLite().eval(), DTM().eval()
    for name, network in zip(("rfr", "ssl", "dtm"), networks, strict=True):
        checkpoints.load(network.requires_grad_(False), name, folder)
        network.to(device)
    return networks


class PublishedStages:
    """The published computation of the frames (1, 3, h, w) between two `frames`.

    Flow is estimated one way after the other, at no more than the project's size limit for it.
    """

    frames: list[Tensor]
    precision: ClassVar = {"flow": "float32", "synthesis": "float32"}

    def __init__(self, networks: tuple[RFR, SoftsplatLite, DTM]):
        self.rfr, self.ssl, self.dtm = networks

    def flow(self) -> None:
        def both(frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
            return reference.estimate_flow(self.rfr, frame0, frame1), reference.estimate_flow(self.rfr, frame1, frame0)

        self.flows = flows.at_moderate_size(both, *self.frames)

    def prepare(self) -> None:
        """Do nothing; the published computation shares nothing between times."""

    def frame(self, t: float) -> Tensor:
        frame0, frame1 = self.frames
        synthesis = reference.synthesise(self.ssl, frame0, frame1, *self.flows, t)
        return reference.correct(self.dtm, synthesis)[0]


class _ProjectStages:
    """The same, as the project computes it."""

    frames: list[Tensor]

    def __init__(self, interpolator: Interpolator):
        self.precision = dict(zip(("flow", "synthesis"), interpolator.context.precisions, strict=True))
        self.estimator, self.synthesiser = interpolator.pipeline.estimator, interpolator.pipeline.synthesiser

    def flow(self) -> None:
        assert self.estimator is not None
        self.flows = flows.at_moderate_size(self.estimator, *self.frames)

    def prepare(self) -> None:
        self.prepared = self.synthesiser.prepare(Pair(*self.frames, *self.frames), self.flows)

    def frame(self, t: float) -> Tensor:
        return self.synthesiser.synthesise(self.prepared, t)


def _in_process(*arguments: Any) -> dict:
    """The result of `measure` in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def resize(frame0: Path, frame1: Path, size: tuple[int, int], folder: Path) -> None:
    """Write both frames, (h, w) = `size`, into a folder as frame0.png and frame1.png."""
    for i, path in enumerate((frame0, frame1)):
        image.write(folder / f"frame{i}.png", pixels.resize(image.read(path), size))


def read_frame(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a frame, resized to (h, w) = `size` if given, as (h, w, 3) uint8 RGB."""
    frame = np.ascontiguousarray(pixels.as_8_bits(pixels.with_channels(image.read(path), 3))[:, :, :3])
    return pixels.resize(frame, size) if size else frame


def machine() -> dict:
    """The machine that figures depend on: cpu, threads, bf16 (whether the CPU multiplies in it), gpu, torch."""
    info = Path("/proc/cpuinfo")
    name = re.search(r"^model name\s*:(.*)", info.read_text() if info.exists() else "", re.MULTILINE)
    return {
        "cpu": name[1].strip() if name else platform.processor(),
        "threads": torch.get_num_threads(),
        "bf16": multiplies_bf16(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }
