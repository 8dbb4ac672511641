"""AnimeInterp, with and without global motion aggregation, in stages: flow frozen first, style loss last."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from _train.frame_interpolation.models.animeinterp import AnimeInterp
from _train.frame_interpolation.training.batches import Batch
from _train.frame_interpolation.training.tasks.stages import StagePlan
from _train.frame_interpolation.training.tasks.task import Figures, SynthesisTask
from _util import checkpoints, losses, places, torchrun
from _util.errors import InputError

GMA = "gma-*.pth"  # as published, in the folder of checkpoints


class AnimeInterpTask(SynthesisTask):
    """`--model animeinterp`, or `animeinterp-gma`, whose flow network aggregates motion.

    Fine-tuned as published: Adam with 3e-6, a third of that while the loss is L1 alone, crops of 380×380.
    """

    lr, schedule, crop = 3e-6, "plateau", (380, 380)
    flow = "sgm"
    style_features = "vgg19"
    stages = ("frozen", "vgg@10000", "style@30000")
    uses_all_weights = False

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.network = AnimeInterp(aggregate=options.model == "animeinterp-gma")
        self.networks[options.model] = self.network
        self.style = losses.Style(losses.style_features(options.style_features))

    def begin(self) -> None:
        """Load the files of `--from`, or published ones by default, and print what each contributes.

        AnimeInterp with GMA starts, as in the thesis, from AnimeInterp's weights where names and shapes match; the
        others come from the next file, GMA's own.
        """
        name, paths = self.options.model, self.options.start
        if paths is None:
            paths = published(name)
        paths = [path / f"{name}.safetensors" if path.is_dir() else path for path in paths]
        counts = combine(self.network, paths)
        origins = [f"{count} tensors from {path}" for path, count in zip(paths, counts, strict=True)]
        fresh = len(self.network.state_dict()) - sum(counts)
        if torchrun.rank() == 0:
            print(f"{name} starts with {', '.join([*origins, f'{fresh} tensors that are new'])}.", file=sys.stderr)

    def plan(self, steps_in_epoch: int | None) -> None:
        self.planned = StagePlan(self.options.stages, steps_in_epoch)

    def begin_step(self, step: int) -> None:
        self.stage = self.planned.stage(step)
        self.network.flownet.requires_grad_(self.stage.trains_flow)

    def rate(self, step: int) -> float:
        return self.planned.stage(step).rate

    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        frame0, truth, frame1 = batch.frames.unbind(1)
        return self.judge(self.network(frame0, frame1, batch.times, *self.flows_of(batch)).frame, truth)

    def judge(self, frame: Tensor, truth: Tensor) -> tuple[Tensor, Figures]:
        return self.style(frame, truth, self.stage.weights)

    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        return self.network(frame0, frame1, t, *self.estimate(frame0, frame1)).frame


def published(name: str) -> list[Path]:
    """The files that a network starts from: its own; if missing, AnimeInterp's and then GMA's for the GMA variant."""
    own = checkpoints.find(name)
    if own or name == "animeinterp":
        return [own] if own else []
    animeinterp = checkpoints.find("animeinterp")
    found = [path for place in places.weights() for path in sorted(place.glob(GMA))]
    return [animeinterp, *found[:1]] if animeinterp else []


def combine(network: nn.Module, paths: Sequence[Path]) -> list[int]:
    """Load into `network`, in place, each tensor from the first file that has one of the same name and shape.

    A file may hold all of AnimeInterp or, as GMA's, its flow network alone.

    Returns:
        The number of tensors taken from each file.

    Raises:
        InputError: a file is missing, is not a checkpoint, or contains nothing that fits.
    """
    wanted, taken, counts = network.state_dict(), {}, []
    for path in paths:
        state = {name.removeprefix("module."): tensor for name, tensor in checkpoints.read(path).items()}
        if not any(name.startswith("flownet.") for name in state):
            state = {f"flownet.{name}": tensor for name, tensor in state.items()}
        fitting = {name: state[name] for name, like in wanted.items() if _fits(state.get(name), like)}
        if not fitting:
            raise InputError(f"Nothing in {path} fits AnimeInterp; give its checkpoint, or GMA's.")
        new = {name: tensor for name, tensor in fitting.items() if name not in taken}
        taken |= new
        counts.append(len(new))
    network.load_state_dict(taken, strict=False)
    return counts


def _fits(tensor: Tensor | None, like: Tensor) -> bool:
    return tensor is not None and tensor.shape == like.shape and bool(tensor.to(like.dtype).isfinite().all())
