"""Scaling of training with the number of processes: measured on the available hardware, extrapolated beyond it.

A short run of the trainer with each number of processes gives the time of a step. As many processes, in a group formed
in the same way, then all-reduce tensors of the size of the gradients, and of nearly no size. The batch per process is
constant, so twice the processes see twice the triplets per step.

The estimate is a step of one process followed by a ring all-reduce, without overlap:

    step(n) = step(1) + 2 (n - 1) · latency + 2 (n - 1) / n · bytes / bandwidth

Latency and bandwidth are fitted by the same formula to the measurement with the most processes. The estimate is rough:
averaging in fact overlaps with the backward pass, and GPUs of one machine exchange data faster than machines do.
"""

import csv
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist

from _train.frame_interpolation.training import elastic
from _train.frame_interpolation.training.journal import read_checkpoint
from _util import tables, torchrun
from _util.errors import InputError

WARM_UP = 2  # steps that are not measured
REPEATS = 10
LITTLE = 4  # bytes, so that the all-reduce is pure latency


class Measurement(NamedTuple):
    processes: int
    hardware: str  # as recorded in checkpoints
    step: float  # seconds, median
    gradients: int  # bytes
    all_reduce: float  # seconds, of the gradients, median
    latency: float  # seconds, of the all-reduce of `LITTLE` bytes, median


class Network(NamedTuple):
    """The parameters of the ring all-reduce."""

    latency: float  # seconds, of each of its 2 (n - 1) turns
    bandwidth: float  # bytes a second


def measure(processes: int, training: Sequence[str], out: Path, steps: int, device: str) -> Measurement:
    """Train for some steps with a number of processes on this machine.

    Args:
        training: arguments of the trainer without OUT, `--steps` and `--device`.
        out: a new folder for the run.
        steps: more than `WARM_UP`.

    Raises:
        InputError: the trainer fails; the message is the last line of its output.
    """
    data, *rest = training
    options = [*rest, "--steps", str(steps), "--device", device, "--log-every", "1", "--save-every", str(steps)]
    _torchrun(processes, "_train.frame_interpolation.train", [data, str(out), *options])
    state = read_checkpoint(out / "checkpoints/last.ckpt")
    gradients, hardware = _gradient_bytes(state), state["metadata"]["runs"][-1]["hardware"]
    if processes == 1:
        return Measurement(1, hardware, _step(out), gradients, 0.0, 0.0)
    said = _torchrun(processes, "_train.frame_interpolation.benchmarks.scaling", [str(gradients), device])
    all_reduce, latency = map(float, said.split()[-2:])
    return Measurement(processes, hardware, _step(out), gradients, all_reduce, latency)


def network(measured: Measurement) -> Network:
    """Fit latency and bandwidth of a ring to a measurement."""
    n = measured.processes
    latency = measured.latency / (2 * (n - 1))
    rest = max(measured.all_reduce - measured.latency, 1e-9)
    return Network(latency, 2 * (n - 1) / n * measured.gradients / rest)


def ring(n: int, gradients: int, network: Network) -> float:
    """The seconds that a ring all-reduce of n processes takes to average `gradients` bytes."""
    return 2 * (n - 1) * network.latency + 2 * (n - 1) / n * gradients / network.bandwidth


def table(measured: Sequence[Measurement], beyond: Sequence[int]) -> str:
    """Measurements and estimates in Markdown. The first must be of one process; the network is fitted to the last."""
    one, known = measured[0].step, network(measured[-1])
    rows = [(m.processes, "measured", m.step, m.all_reduce) for m in measured]
    for n in beyond:
        exchange = ring(n, measured[0].gradients, known)
        rows.append((n, "**estimate**", one + exchange, exchange))
    return tables.markdown(
        [
            {
                "processes": str(n),
                "": what,
                "step, s": f"{step:.3f}",
                "all-reduce, s": f"{exchange:.4f}",
                "throughput": f"{n * one / step:.2f}×",
                "efficiency": f"{100 * one / step:.0f} %",
            }
            for n, what, step, exchange in rows
        ]
    )


def _torchrun(processes: int, module: str, arguments: Sequence[str]) -> str:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", module]
    environment = {"OMP_NUM_THREADS": "1"} | os.environ  # as torchrun sets it for several processes
    finished = subprocess.run([sys.executable, *launcher, *arguments], capture_output=True, text=True, env=environment)
    if finished.returncode:
        said = [line for line in finished.stderr.splitlines() if line.strip()]
        reason = next((line for line in said if "Error" in line or line.endswith(".")), said[-1] if said else "")
        raise InputError(f"On {processes} processes, {module} ended with: {reason}")
    return finished.stdout


def _step(out: Path) -> float:
    """The median time between two rows of `metrics.csv`, in seconds."""
    with (out / "metrics.csv").open(newline="") as file:
        seconds = [60 * float(row["minutes"]) for row in csv.DictReader(file)]
    steps = [after - before for before, after in itertools.pairwise(seconds)]
    return statistics.median(steps[WARM_UP - 1 :])


def _gradient_bytes(state: dict) -> int:
    """The bytes of the gradients: of all weights that have moments in the optimiser."""
    return sum(4 * moments["exp_avg"].numel() for moments in state["optimizer"]["state"].values())


def time_all_reduce(size: int, device: torch.device) -> float:
    """The median time that the process group takes to sum `size` bytes, in seconds."""
    tensor, times = torch.zeros(size // 4, device=device), []
    for _ in range(WARM_UP + REPEATS):
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(tensor)
        tensor[:1].cpu()  # waits for a GPU
        times.append(time.perf_counter() - start)
    return statistics.median(times[WARM_UP:])


def work(size: int, device: str) -> None:
    """Entry point of the processes: rank 0 prints the times of an all-reduce of `size` bytes and of `LITTLE`."""
    from _util.device import choose

    chosen = choose(device)
    if chosen.type == "cuda":
        chosen = torch.device("cuda", torchrun.local_rank())
    elastic.join(chosen)
    times = [time_all_reduce(bytes_, chosen) for bytes_ in (size, LITTLE)]
    if dist.get_rank() == 0:
        print(*times, flush=True)


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2])
