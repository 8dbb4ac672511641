"""Training speed, and the share of it spent waiting for data: steps of the trainer on toons.

The toons' pictures are noise, as their content does not affect speed. All functions take a device and sizes, so that
they can also run on the CPU.
"""

import contextlib
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from _databacks.toons import atlas
from _databacks.toons.drawings import BACKGROUND_SIDE, DRAWING_SIDE
from _databacks.toons.rigs import RIGS
from _databacks.toons.scenes import Toons
from _train.frame_interpolation.benchmarks import reference, stages
from _train.frame_interpolation.benchmarks.stages import median_seconds
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _train.frame_interpolation.training import tasks
from _train.frame_interpolation.training.batches import Batch, from_toons
from _train.frame_interpolation.training.tasks.flow import RFRTask
from _train.frame_interpolation.training.tasks.synthesis import SoftsplatLiteTask
from _train.frame_interpolation.training.tasks.task import Task
from _util import checkpoints
from _util.lines import nedt
from _util.losses import gaussian_pyramid_l1, sequence_loss


def steps(
    device: torch.device, size: tuple[int, int] = (256, 256), batch_size: int = 8, repeats: int = 5
) -> list[dict[str, Any]]:
    """Steps per second of both networks: the published computation in exact fp32, then the trainer's in fp32 and in
    bf16; the share of a step that its batch takes; and the memory of a step."""
    rows, toons = [], noise(device, size, batch_size)
    for model, published in _PUBLISHED.items():
        slowest = None
        for way, loss_of, rounding, dtype in (
            ("published, fp32", published, partial(stages.convolution_precision, tf32=False), torch.float32),
            ("ours, fp32", _ours, _rounding_of_the_trainer, torch.float32),
            ("ours, bf16", _ours, _rounding_of_the_trainer, torch.bfloat16),
        ):
            step = _Step(_task(model, device), loss_of, dtype, toons)
            stages.reset_peak(device)
            with rounding():
                seconds = median_seconds(step, device, repeats)
            megabytes = stages.peak(device)
            slowest = slowest or seconds
            rows.append(
                {
                    "model": model,
                    "implementation": way,
                    "steps a second": 1 / seconds,
                    "times as fast": slowest / seconds,
                    "share of data": median_seconds(step.fetch, device, repeats) / seconds,
                    "peak MB": megabytes,
                }
            )
    return rows


@contextlib.contextmanager
def _rounding_of_the_trainer() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def generator(
    device: torch.device, size: tuple[int, int] = (256, 256), batch_size: int = 32, repeats: int = 5
) -> list[dict[str, Any]]:
    """The number of three-frame sequences, with flow, composed per second."""
    toons, numbers = noise(device, size, batch_size), iter(range(10**6))
    seconds = median_seconds(lambda: toons.batch(next(numbers)), device, repeats)
    return [{"sequences a second": batch_size / seconds, "batches a second": 1 / seconds}]


def noise(device: torch.device, size: tuple[int, int], batch_size: int) -> Toons:
    """Toons with noise as pictures, of realistic sizes."""
    random = np.random.default_rng(0)
    sides = {"background": BACKGROUND_SIDE}
    parts = {kind: (len(rig.parts),) for kind, rig in RIGS.items()}
    pictures = {
        kind: random.integers(0, 256, (4, *parts.get(kind, ()), 4, *2 * [sides.get(kind, DRAWING_SIDE)]), np.uint8)
        for kind in atlas.KINDS
    }
    return Toons(size, batch_size, 0, device, pictures={kind: torch.from_numpy(p) for kind, p in pictures.items()})


class _Step:
    """One step of the optimiser on a new batch."""

    def __init__(self, task: Task, loss_of: Callable[[Task, Batch], Tensor], dtype: torch.dtype, toons: Toons):
        self.task, self.loss_of, self.dtype, self.toons = task, loss_of, dtype, toons
        self.optimizer, self.number = task.optimizer(1e-6), 0

    def fetch(self) -> Batch:
        self.number += 1
        return from_toons(self.toons.batch(self.number))

    def __call__(self) -> None:
        batch = self.fetch()
        self.optimizer.zero_grad()
        with torch.autocast(self.task.device.type, self.dtype, enabled=self.dtype != torch.float32):
            loss = self.loss_of(self.task, batch)
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in self.task.networks.parameters() if p.requires_grad], 1.0)
        self.optimizer.step()


def _task(model: str, device: torch.device) -> Task:
    options = Namespace(model=model, flow="exact", features="random", style_features=None, stages=None)
    options.self_supervise, options.start = False, None
    task = tasks.choose(model, None)(options, device)
    for network in task.networks.values():
        network.load_state_dict(checkpoints.seeded(network.state_dict()))
    task.plan(None)
    task.begin_step(0)
    task.networks.train()
    return task.to(device)


def _ours(task: Task, batch: Batch) -> Tensor:
    return task.training_loss(batch)[0]


def _published_rfr(task: Task, batch: Batch) -> Tensor:
    frame0, _, frame1 = batch.frames.unbind(1)
    assert isinstance(task, RFRTask)
    assert batch.flows is not None
    rfr = task.networks["rfr"]
    assert isinstance(rfr, RFR)
    losses = [
        sequence_loss(reference.refinements(rfr, *frames, task.iterations), flow, task.gamma)
        for frames, flow in zip(((frame0, frame1), (frame1, frame0)), batch.flows, strict=True)
    ]
    return (losses[0] + losses[1]) / 2


def _published_ssldtm(task: Task, batch: Batch) -> Tensor:
    assert isinstance(task, SoftsplatLiteTask)
    assert batch.flows is not None
    frame0, truth, frame1 = batch.frames.unbind(1)
    ssl, dtm, (flow01, flow10) = task.networks["ssl"], task.networks["dtm"], batch.flows
    assert isinstance(ssl, SoftsplatLite)
    assert isinstance(dtm, DTM)
    synthesis = reference.synthesise(ssl, frame0, frame1, flow01, flow10, batch.times.view(-1, 1, 1, 1))
    frame, predicted = reference.correct(dtm, synthesis)
    return 30 * task.lpips(frame, truth).mean() + 5 * gaussian_pyramid_l1(predicted, nedt(truth))


_PUBLISHED = {"rfr": _published_rfr, "ssldtm": _published_ssldtm}
