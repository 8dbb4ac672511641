"""What is common to all tasks, and to those whose synthesis learns on the flow of a frozen estimator."""

import math
from abc import ABC, abstractmethod
from argparse import Namespace

import torch
from torch import Tensor, nn

from _train.frame_interpolation import flows
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.training.batches import Batch
from _util import checkpoints
from _util.errors import InputError
from _util.flow import Flows
from _util.lines import difference_of_gaussians
from _util.losses import LPIPSLoss

Figures = dict[str, Tensor]  # what is logged beside the loss


class Task(nn.Module, ABC):
    """What is common to all tasks.

    Attributes:
        networks: what is trained and exported, by the names that `_util.checkpoints` knows. What stays frozen lives
            beside it.
        lr, schedule, weight_decay, gradient_norm, crop: defaults of the optimisation.
        flow: the name of the frozen estimator whose flows, by `estimate`, are cached for files, and in the class the
            default of it; None if the task needs none.
        style_features: default backbone of the perceptual loss; None if the loss has no such choice.
        stages: default of `--stages`; None if the task has none.
        blocks: default of `--blocks`; None if the network has none that may be left as they are.
        finds_motion: it learns motion from the middle frame, not flow between the ends.
        uses_all_weights: every step gives every weight a gradient.
    """

    lr, schedule, weight_decay, gradient_norm = 1e-3, "plateau", 0.0, 1.0
    crop = (256, 256)
    flow: str | None = None
    style_features: str | None = None
    stages: tuple[str, ...] | None = None
    blocks: int | None = None
    finds_motion = False
    uses_all_weights = True

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__()
        self.options, self.device = options, device
        self.networks = nn.ModuleDict()

    def forward(self, batch: Batch) -> tuple[Tensor, Figures]:
        return self.training_loss(batch)

    @abstractmethod
    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        """The mean loss over a batch, and figures to log."""

    @abstractmethod
    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        """(1, 3, h, w) RGB in [0, 1], twice, to the frame at time t, (1, 3, h, w)."""

    def judge(self, frame: Tensor, truth: Tensor) -> tuple[Tensor, Figures] | None:
        """The loss of drawn frames, (b, 3, h, w), and figures to log; None if the loss depends on more than these."""
        return None

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        trained = [parameter for parameter in self.networks.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(trained, lr, weight_decay=self.weight_decay)

    def begin(self) -> None:
        """Load what a new run starts from: `--from`, a folder of `NAME.safetensors` or the file of a single network."""
        paths = self.options.start or []
        if len(paths) > 1:
            raise InputError(f"--from names {len(paths)} places; {self.options.model} starts from one.")
        for path in paths:
            for name, network in self.networks.items():
                checkpoints.load(network, path / f"{name}.safetensors" if path.is_dir() else path)

    def plan(self, steps_in_epoch: int | None) -> None:
        """Told once, before training: how many steps go through all triplets once, None if these have no end."""

    def begin_step(self, step: int) -> None:
        """Called before every step; what the step does may depend on its number alone."""

    def rate(self, step: int) -> float:
        """The share of the learning rate that a step takes."""
        return 1.0


class SynthesisTask(Task):
    """Synthesis on the flow of a frozen estimator, or on exact flow."""

    flow = "dis"

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.flow = None if options.flow == "exact" else options.flow
        available = "rfr" if checkpoints.find("rfr") else "dis"
        self.estimator = flows.create(self.flow or available, Context(device))

    @torch.no_grad()
    def flows_of(self, batch: Batch) -> Flows:
        """flow01 and flow10 as the options say: those of the batch, exact or cached, or estimated now."""
        if batch.flows is not None and batch.exact == (self.flow is None):
            return Flows(*batch.flows)
        if self.flow is None:
            raise InputError(f"{batch.names[0]} comes without exact flow; choose another --flow or leave its data out.")
        pairs = zip(batch.frames[:, 0].split(1), batch.frames[:, 2].split(1), strict=True)
        return Flows(*(torch.cat(flow) for flow in zip(*(self.estimate(*pair) for pair in pairs), strict=True)))

    def estimate(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        """flow01 and flow10, (1, 2, h, w) each."""
        return flows.at_moderate_size(self.estimator, frame0, frame1)


def full_precision(tensor: Tensor) -> torch.autocast:
    """Losses stay fp32 where networks run in bf16."""
    return torch.autocast(tensor.device.type, enabled=False)


def drawing_loss(lpips: LPIPSLoss, frame: Tensor, truth: Tensor) -> tuple[Tensor, Figures]:
    """LPIPS, and the mean difference of colours and of line responses, equally, of frames (b, 3, h, w)."""
    distance, colour = lpips(frame, truth).mean(), (frame - truth).abs().mean()
    with full_precision(frame):
        lines = (difference_of_gaussians(frame) - difference_of_gaussians(truth)).abs().mean()
    return distance + colour + lines, {"lpips": distance, "colour": colour, "lines": lines}


def warm_cosine(step: int, steps: int, warm: float = 0.05) -> float:
    """Share of the learning rate: up over the first 5 % of the steps, then down along a cosine to 0."""
    return min(1, (step + 1) / (warm * steps)) * (1 + math.cos(math.pi * step / steps)) / 2
