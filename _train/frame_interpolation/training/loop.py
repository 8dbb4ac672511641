"""One step of training, and what goes with it: averaged weights, validation, checkpoints, curves.

`TrainModel` is a LightningModule with manual optimisation: Lightning brings devices, processes and precision, and what
a step does stands here. The state after a step is a function of the state before it, the seed and the number of the
step, so a run that is killed and resumed ends in the same bits as one that never was.
"""

import contextlib
import math
import signal
import time
from argparse import Namespace
from collections.abc import Iterator

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from _train.frame_interpolation.evaluation.measures import Measures
from _train.frame_interpolation.evaluation.validation import validate
from _train.frame_interpolation.training.batches import Batch, ToonOrder, TripletBatches, from_toons
from _train.frame_interpolation.training.journal import Journal
from _train.frame_interpolation.training.tasks import Task
from _util import image
from _util.errors import InputError

SKIPS_ALLOWED = 2  # in a row
SAMPLES = 4


class TrainModel(lightning.LightningModule):
    """Trains a task.

    Args:
        options: of the command line, see `train.py`.
        sources: what is trained on, as `batches.TripletBatches` takes it.
        facts: plain values to keep in checkpoints: what was trained, on what, by what.
        state: of a checkpoint, to resume from.
    """

    def __init__(self, task: Task, options: Namespace, sources: list[tuple], facts: dict, state: dict | None = None):
        super().__init__()
        self.automatic_optimization = False
        self.task, self.options, self.sources, self.facts = task, options, sources, facts
        self.step, self.seconds, self.best, self.skipped, self.skipped_in_a_row = 0, 0.0, math.inf, 0, 0
        self.resumed = state
        if state:
            self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
            self.skipped, self.skipped_in_a_row = state["skipped"], state["skipped_in_a_row"]
            task.networks.load_state_dict(state["networks"])
        self.wants_to_stop = False
        self.journal = Journal(options.out, self.step)

    def train_dataloader(self) -> Iterator[list[Batch | ToonOrder]]:
        """For every step to come, the batches of this process; batches are numbered through steps and processes."""
        options, processes = self.options, self.trainer.world_size
        in_a_step = options.accumulate * processes
        numbers = range(self.step * in_a_step + self.trainer.global_rank, options.steps * in_a_step, processes)
        loader = DataLoader(
            TripletBatches(self.sources, options.batch_size, tuple(options.crop), options.seed),
            batch_size=None,
            sampler=numbers,
            num_workers=options.workers,
            worker_init_fn=_leave_interrupts_to_the_main_process,
            pin_memory=self.device.type == "cuda",
        )
        return zip(*[iter(loader)] * options.accumulate, strict=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        self.optimizer = self.task.optimizer(self.options.lr)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, factor=0.5, patience=10)
        self.live = self.task.networks.state_dict()
        self.average = {name: tensor.clone() for name, tensor in self.live.items()}
        if self.resumed:
            self.optimizer.load_state_dict(self.resumed["optimizer"])
            self.plateau.load_state_dict(self.resumed["plateau"])
            _copy(self.average, self.resumed["average"])
            self.resumed = None
        return self.optimizer

    def on_train_start(self) -> None:
        self.set_training_mode()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.ask_to_stop)
        hidden = None if self.trainer.is_global_zero else True  # None: where no one watches
        self.bar = tqdm(total=self.options.steps, initial=self.step, unit="step", disable=hidden)
        self.started = time.monotonic() - self.seconds
        self.deadline = time.monotonic() + 60 * self.options.budget

    def ask_to_stop(self, number: int, _) -> None:
        """Ctrl-C and SIGTERM end the leg after the present step; a second one at once."""
        self.wants_to_stop = True
        signal.signal(number, signal.SIG_DFL)

    def set_training_mode(self) -> None:
        self.task.networks.train()
        if self.options.freeze_batch_norm:
            for module in self.task.networks.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def training_step(self, batches: list[Batch | ToonOrder], _) -> None:
        """One step of the optimiser on the batches' mean loss; skipped if that, or its gradient, is not finite."""
        torch.manual_seed(hash((self.options.seed, self.step, self.global_rank)))
        self.task.enter(self.step)
        self.set_lr()
        buffers = [buffer.clone() for buffer in self.task.networks.buffers()]
        self.optimizer.zero_grad()
        losses, logged = [], []
        for i, batch in enumerate(batches):
            if isinstance(batch, ToonOrder):
                batch = from_toons(self.sources[batch.source][0].batch(batch.index))
            loss, figures = self.task.training_loss(batch)
            with self.gradients_stay_here(i < len(batches) - 1):
                self.manual_backward(loss / len(batches))
            losses.append(loss.detach())
            logged.append({name: figure.detach() for name, figure in figures.items()})
        trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(trained, self.task.gradient_norm)
        figures = {"loss": torch.stack(losses).mean(), "gradient_norm": norm, **_mean(logged)}
        figures = self.mean_over_processes({**figures, "stop": self.must_stop()})
        self.trainer.should_stop = figures.pop("stop") > 0
        if math.isfinite(figures["loss"] + figures["gradient_norm"]):
            self.optimizer.step()
            self.follow()
            self.skipped_in_a_row = 0
            self.journal.gather(figures)
        else:
            for buffer, before in zip(self.task.networks.buffers(), buffers, strict=True):
                buffer.copy_(before)
            self.skipped += 1
            self.skipped_in_a_row += 1
            if self.skipped_in_a_row > SKIPS_ALLOWED:
                raise InputError(
                    f"The loss or its gradient was not finite {SKIPS_ALLOWED + 1} steps in a row, up to step "
                    f"{self.step + 1}; start from the last checkpoint, which is good, with a lower --lr."
                )
        self.step += 1

    def gradients_stay_here(self, stay: bool) -> contextlib.AbstractContextManager:
        """While gradients accumulate, processes do not exchange them."""
        model = self.trainer.strategy.model
        return model.no_sync() if stay and isinstance(model, DistributedDataParallel) else contextlib.nullcontext()

    def must_stop(self) -> bool:
        return self.wants_to_stop or time.monotonic() > self.deadline

    def mean_over_processes(self, figures: dict[str, Tensor | float]) -> dict[str, float]:
        """All processes get the same numbers, and so decide alike."""
        values = [torch.as_tensor(value, dtype=torch.float32, device=self.device) for value in figures.values()]
        means = self.trainer.strategy.reduce(torch.stack(values), reduce_op="mean")
        return dict(zip(figures, means.tolist(), strict=True))

    def set_lr(self) -> None:
        """The learning rate of this step. How often a plateau halved it is kept in the optimiser's own alone."""
        rate, before = self.task.rate(self.step), self.task.rate(self.step - 1) if self.step else 1
        for group in self.optimizer.param_groups:
            if self.options.schedule == "cosine":
                scale = group.get("scale", 1)
                group["lr"] = scale * self.options.lr * warm_cosine(self.step, self.options.steps) * rate
            else:
                group["lr"] *= rate / before

    @torch.no_grad()
    def follow(self) -> None:
        """Move the averaged weights toward the trained ones; at first faster, as these come from far away."""
        share = 1 - min(self.options.ema, (1 + self.step) / (10 + self.step))
        for average, live in zip(self.average.values(), self.live.values(), strict=True):
            if live.is_floating_point():
                average.lerp_(live, share)
            else:
                average.copy_(live)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The networks have the averaged weights and are in evaluation mode."""
        trained = {name: tensor.clone() for name, tensor in self.live.items()}
        _copy(self.live, self.average)
        self.task.networks.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            _copy(self.live, trained)
            self.set_training_mode()

    def on_train_batch_end(self, *_) -> None:
        options, ends = self.options, self.trainer.should_stop or self.step == self.options.steps
        self.seconds = time.monotonic() - self.started
        validates = options.validate and (self.step % options.validate_every == 0 or self.step == options.steps)
        lpips = self.validate() if validates else math.inf
        self.bar.update()
        if not self.trainer.is_global_zero:
            return
        if ends or validates or self.step % options.log_every == 0:
            lr = self.optimizer.param_groups[0]["lr"]
            row = self.journal.write(self.step, minutes=self.seconds / 60, lr=lr, skipped=self.skipped)
            self.bar.set_postfix({name: row[name] for name in ("loss", "validation_lpips") if name in row})
        if ends or validates or self.step % options.save_every == 0:
            is_best, self.best = lpips < self.best, min(lpips, self.best)
            self.save(["last.ckpt", "best.ckpt"] if is_best else ["last.ckpt"])
            self.journal.draw()

    def validate(self) -> float:
        """Mean LPIPS on the held-out keyframes, by the averaged weights. The first process measures, all are told."""
        figures = None
        if self.trainer.is_global_zero:
            shown: list[np.ndarray] = []
            names = ("lpips", "chamfer", "psnr", "ssim")
            measures = Measures(names, device=self.device, aligned=self.options.align, registered=self.options.align)

            def draw(frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
                frame = self.task.interpolate(frame0, frame1, t)
                if len(shown) < SAMPLES:
                    pictures = [image.to_array(x[0], np.uint8) for x in (frame0, frame, frame1)]
                    shown.append(np.concatenate(pictures, 1))
                return frame

            def loss(frame: Tensor, truth: Tensor) -> dict[str, float]:
                judged = self.task.judge(frame, truth)
                return {"loss": judged[0].item()} if judged else {}

            with self.averaged():
                figures = validate(draw, self.options.validate, measures, loss)
            self.journal.show(self.step, shown)
            self.journal.gather({f"validation_{name}": value for name, value in figures.items()})
        figures = self.trainer.strategy.broadcast(figures)
        if self.options.schedule == "plateau":
            self.plateau.step(figures["lpips"])
        return figures["lpips"]

    def save(self, names: list[str]) -> None:
        """Write checkpoints of tensors and plain values; a failure leaves those there were as they were."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "networks": self.live,
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(),
            "facts": self.facts,
        }
        self.journal.save(state, names)


def warm_cosine(step: int, steps: int, warm: float = 0.05) -> float:
    """Share of the learning rate: up over the first 5 % of the steps, then down along a cosine to 0."""
    return min(1, (step + 1) / (warm * steps)) * (1 + math.cos(math.pi * step / steps)) / 2


def _leave_interrupts_to_the_main_process(_) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _copy(into: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in tensors.items():
            into[name].copy_(tensor)


def _mean(logged: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    names = {name: None for figures in logged for name in figures}
    return {name: torch.stack([figures[name] for figures in logged if name in figures]).mean() for name in names}
