"""The training loop: batches → losses → clipped gradients → step → averaged weights → validation → checkpoint.

The state after a step depends on the state before it, the seed and the step number alone, so a run that was killed and
resumed gives bit-exact results. Fabric handles devices and processes.
"""

import contextlib
import math
import signal
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import chain
from statistics import fmean
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from _train.frame_interpolation.evaluation.measures import Measures
from _train.frame_interpolation.evaluation.validation import validate
from _train.frame_interpolation.training import elastic
from _train.frame_interpolation.training.average import AveragedWeights
from _train.frame_interpolation.training.batches import Batch, ToonRequest, TripletBatches, from_toons, load
from _train.frame_interpolation.training.journal import Journal
from _train.frame_interpolation.training.progress import Progress
from _train.frame_interpolation.training.tasks import Task
from _train.frame_interpolation.training.tasks.task import warm_cosine
from _util import command, image
from _util.errors import InputError

SKIPS_ALLOWED = 2  # consecutive steps
SAMPLES = 4
COUNTERS = ("step", "seconds", "best", "skipped", "skipped_in_a_row")


class Loop:
    """Trains a task.

    Args:
        options: of the command line, see `options.py`.
        sources: of triplets, or `Toons`; `options.weights` gives their weights.
        metadata: plain values to store in checkpoints: model, data and environment of the training.
        state: the checkpoint to resume from.
    """

    def __init__(
        self,
        fabric: Fabric,
        task: Task,
        options: Namespace,
        sources: Sequence,
        metadata: dict,
        state: dict | None = None,
    ):
        self.fabric, self.task, self.options, self.metadata = fabric, task, options, metadata
        self.sources = list(zip(sources, options.weights, strict=True))
        self.step, self.seconds, self.best, self.skipped, self.skipped_in_a_row = 0, 0.0, math.inf, 0, 0
        fabric.launch()
        self.patient_group = elastic.create_patient_group() if options.validate else None
        if state:
            task.networks.load_state_dict(state["networks"])
        self.model, self.optimizer = fabric.setup(task, task.optimizer(options.lr))
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer.optimizer, factor=0.5, patience=10)
        self.average = AveragedWeights(task.networks.state_dict(), options.ema)
        if state:
            self.optimizer.load_state_dict(state["optimizer"])
            self.plateau.load_state_dict(state["plateau"])
            self.average.load(state["average"])
            for name in COUNTERS:
                setattr(self, name, state[name])
        self.signal, self.interrupted_by = 0, 0  # the signals that this process, any process received
        self.deadline = math.inf
        if fabric.is_global_zero:  # others write nothing
            self.journal = Journal(options.out, self.step, state.get("gathered") if state else None)

    def run(self) -> None:
        """Train until the last step, the end of the budget, or Ctrl-C, SIGTERM or SIGHUP in any process.

        Raises:
            KeyboardInterrupt: the run was interrupted before its last step, by SIGTERM or SIGHUP if it is
                `command.Terminated`; the state after the current step is saved.
        """
        command.handle_interrupts(self._ask_to_stop)
        started = time.monotonic() - self.seconds
        self.deadline = time.monotonic() + 60 * self.options.budget
        self._set_training_mode()
        with Progress(self.step, self.options.steps, self.fabric.is_global_zero) as progress:
            for batches in self._batches():
                stop = self._train_step(batches)
                self.seconds = time.monotonic() - started
                progress.update(self._keep(stop or self.step == self.options.steps))
                if stop:
                    break
        if self.interrupted_by and self.step < self.options.steps:
            self.fabric.barrier()  # a process that ends makes torchrun end the first, which may still be saving
            step = f"step {self.step} of {self.options.steps}, which is saved"
            raise command.interrupt(self.interrupted_by, f"Interrupted after {step}; the same command resumes.")

    def _ask_to_stop(self, number: int, _) -> None:
        """Stop after the current step; the second signal stops immediately."""
        self.signal = number
        signal.signal(number, signal.SIG_DFL)

    def _set_training_mode(self) -> None:
        self.task.networks.train()
        if self.options.freeze_batch_norm:
            for module in self.task.networks.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _batches(self) -> Iterator[list[Batch | ToonRequest]]:
        """The batches of this process for each remaining step; batches are numbered over steps and processes."""
        options, processes = self.options, self.fabric.world_size
        in_a_step = options.accumulate * processes
        numbers = range(self.step * in_a_step + self.fabric.global_rank, options.steps * in_a_step, processes)
        batches = TripletBatches(self.sources, options.batch_size, tuple(options.crop), options.seed)
        loaded = load(batches, numbers, options.workers, pinned=self.fabric.device.type == "cuda")
        return map(list, zip(*[loaded] * options.accumulate, strict=True))

    def _train_step(self, batches: list[Batch | ToonRequest]) -> bool:
        """One optimiser step on the mean loss of the batches; skipped if the loss or its gradient is not finite.

        Returns:
            Whether any process wants to stop.
        """
        torch.manual_seed(hash((self.options.seed, self.step, self.fabric.global_rank)))
        self.task.begin_step(self.step)
        self._set_lr()
        buffers = [buffer.clone() for buffer in self.task.networks.buffers()]
        self.optimizer.zero_grad()
        losses, logged = [], []
        for i, batch in enumerate(batches):
            if isinstance(batch, ToonRequest):
                batch = from_toons(self.sources[batch.source][0].batch(batch.index))
            # Synchronise gradients only after the last accumulated batch.
            with self.fabric.no_backward_sync(self.model, enabled=i < len(batches) - 1):
                loss, figures = self.model(self.fabric.to_device(batch))
                self.fabric.backward(loss / len(batches))
            losses.append(loss.detach())
            logged.append({name: figure.detach() for name, figure in figures.items()})
        trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(trained, self.task.gradient_norm)
        figures = {"loss": torch.stack(losses).mean(), "gradient_norm": norm, **_mean(logged)}
        stops = {"stop": float(time.monotonic() > self.deadline)}
        if self.signal:
            stops["signal"] = float(self.signal)
        figures = self._mean_over_processes({**figures, **stops})
        self.interrupted_by = round(figures.pop("signal", 0))
        stop = figures.pop("stop") > 0 or self.interrupted_by > 0
        if math.isfinite(figures["loss"] + figures["gradient_norm"]):
            self.optimizer.step()
            self.average.update(self.step)
            self.skipped_in_a_row = 0
            if self.fabric.is_global_zero:
                self.journal.gather(figures)
        else:
            self._skip(buffers)
        self.step += 1
        return stop

    def _skip(self, buffers: list[Tensor]) -> None:
        for buffer, before in zip(self.task.networks.buffers(), buffers, strict=True):
            buffer.copy_(before)
        self.skipped += 1
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row > SKIPS_ALLOWED:
            remedy = "choose another OUT and a lower --lr"
            if (self.options.out / "checkpoints/last.ckpt").exists():
                remedy += ", --from the weights that export_weights makes of this one's last checkpoint, which is good"
            raise InputError(
                f"The loss or its gradient was not finite {SKIPS_ALLOWED + 1} steps in a row, up to step "
                f"{self.step + 1}; {remedy}."
            )

    def _mean_over_processes(self, figures: dict[str, Tensor | float]) -> dict[str, float]:
        """Average each figure over the processes that have it, so that all of them make the same decisions."""
        values = [torch.as_tensor(x, dtype=torch.float32, device=self.fabric.device) for x in figures.values()]
        own = dict(zip(figures, torch.stack(values).tolist(), strict=True))
        of_all = elastic.gather(own)
        return {name: fmean(one[name] for one in of_all if name in one) for name in dict.fromkeys(chain(*of_all))}

    def _set_lr(self) -> None:
        """Set the learning rate of this step. Reductions by the plateau schedule are stored in the optimiser alone."""
        rate, before = self.task.rate(self.step), self.task.rate(self.step - 1) if self.step else 1
        for group in self.optimizer.param_groups:
            if self.options.schedule == "cosine":
                group["lr"] = self.options.lr * warm_cosine(self.step, self.options.steps) * rate
            else:
                group["lr"] *= rate / before

    def _keep(self, ends: bool) -> dict[str, float]:
        """Validate and write figures and checkpoints if due at this step; returns the row of figures."""
        options, row = self.options, {}
        validates = options.validate and (self.step % options.validate_every == 0 or self.step == options.steps)
        lpips = self._validate() if validates else math.inf
        if not self.fabric.is_global_zero:
            return row
        if ends or validates or self.step % options.log_every == 0:
            lr = self.optimizer.param_groups[0]["lr"]
            row = self.journal.write(self.step, minutes=self.seconds / 60, lr=lr, skipped=self.skipped)
        if ends or validates or self.step % options.save_every == 0:
            is_best, self.best = lpips < self.best, min(lpips, self.best)
            self.journal.draw()
            # last.ckpt is written last: if interrupted before, a resumed run repeats this step with all its output.
            self._save(["best.ckpt", "last.ckpt"] if is_best else ["last.ckpt"])
        return row

    def _validate(self) -> float:
        """The mean LPIPS of the averaged weights on the held-out keyframes, measured by rank 0 for all processes."""
        figures: Any = None
        if self.fabric.is_global_zero:
            shown: list[np.ndarray] = []
            align = self.options.align
            measures = Measures(device=self.fabric.device, aligned=align, registered=align)

            def draw(frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
                frame = self.task.interpolate(frame0, frame1, t)
                if len(shown) < SAMPLES:
                    pictures = [image.to_array(x[0], np.uint8) for x in (frame0, frame, frame1)]
                    shown.append(np.concatenate(pictures, 1))
                return frame

            def loss(frame: Tensor, truth: Tensor) -> dict[str, float]:
                judged = self.task.judge(frame, truth)
                return {"loss": judged[0].item()} if judged else {}

            with self._averaged(), self.task.autocast():
                figures = validate(draw, self.options.validate, measures, loss)
            self.journal.show(self.step, shown)
            self.journal.gather({f"validation_{name}": value for name, value in figures.items()})
        figures = elastic.from_first(figures, self.patient_group)
        if self.options.schedule == "plateau":
            self.plateau.step(figures["lpips"])
        return figures["lpips"]

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Context manager: the networks have the averaged weights and are in evaluation mode."""
        with torch.no_grad(), self.average.in_place():
            self.task.networks.eval()
            yield
        self._set_training_mode()

    def _save(self, names: list[str]) -> None:
        """Write checkpoints of tensors and plain values; existing ones are kept if writing fails."""
        state = {name: getattr(self, name) for name in COUNTERS}
        state |= {"networks": self.average.live, "average": self.average.tensors, "metadata": self.metadata}
        state |= {"optimizer": self.optimizer.state_dict(), "plateau": self.plateau.state_dict()}
        state["gathered"] = self.journal.gathered
        self.journal.save(state, names)


def _mean(logged: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    names = {name: None for figures in logged for name in figures}
    return {name: torch.stack([figures[name] for figures in logged if name in figures]).mean() for name in names}
