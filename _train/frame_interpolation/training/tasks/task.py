"""Base classes of all tasks, and of those that train synthesis on the flow of a frozen estimator."""

import math
from abc import ABC, abstractmethod
from argparse import Namespace
from functools import partial

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

Figures = dict[str, Tensor]  # what is logged besides the loss


class Task(nn.Module, ABC):
    """Base class of all tasks.

    Attributes:
        networks: the networks to train and export, by their names in `_util.checkpoints`. Frozen networks are stored in
            other attributes.
        lr, schedule, weight_decay, gradient_norm, crop: defaults of the optimisation.
        flow: the name of the frozen estimator whose flows are cached for files; on the class, its default; None if the
            task needs no flow.
        features: whether the network has a feature extractor with weights of its own, `--features`.
        needs_exact_flow: whether every batch must come with exact flow, as toons do.
        self_supervise: whether the task can learn without exact flow, `--self-supervise`.
        style_features: default backbone of the perceptual loss; None if the loss has no such option.
        stages: default of `--stages`; None if the task has none.
        blocks: default of `--blocks`; None if the network has no blocks that can be frozen.
        finds_motion: learns motion from the middle frame, instead of flow between the ends.
        uses_all_weights: every step computes a gradient for every weight.
    """

    lr, schedule, weight_decay, gradient_norm = 1e-3, "plateau", 0.0, 1.0
    crop = (256, 256)
    flow: str | None = None
    features = False
    needs_exact_flow = False
    self_supervise = False
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
        with self.autocast():
            loss, figures = self.training_loss(batch)
        if self.device.type == "cpu" and not loss.isfinite():
            # PyTorch's backward pass of grid_sample crashes on the CPU where coordinates are NaN.
            weights = [weight.sum() for weight in self.networks.parameters() if weight.requires_grad]
            loss = math.nan * torch.stack(weights).sum()
        return loss, figures

    def autocast(self) -> torch.autocast:
        """The context in which networks run in `--precision`; frames and motion stay in fp32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.precision == "bf16")

    @abstractmethod
    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        """The mean loss over a batch, and figures to log."""

    @abstractmethod
    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        """Map two frames (1, 3, h, w) RGB in [0, 1] to the frame at time t, (1, 3, h, w)."""

    def judge(self, frame: Tensor, truth: Tensor) -> tuple[Tensor, Figures] | None:
        """The loss of drawn frames, (b, 3, h, w), and figures to log; None if the loss depends on more than these."""
        return None

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        trained = [parameter for parameter in self.networks.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(trained, lr, weight_decay=self.weight_decay)

    def begin(self) -> None:
        """Load the initial weights of a new run: `--from`, a folder of `NAME.safetensors` or one network's file."""
        paths = self.options.start or []
        if len(paths) > 1:
            raise InputError(f"--from names {len(paths)} places; {self.options.model} starts from one.")
        for path in paths:
            for name, network in self.networks.items():
                checkpoints.load(network, path / f"{name}.safetensors" if path.is_dir() else path)

    def plan(self, steps_in_epoch: int | None) -> None:
        """Called once before training, with the number of steps per epoch, None if the data is endless."""

    def begin_step(self, step: int) -> None:
        """Called before every step. Its effect may depend on the step number alone."""

    def rate(self, step: int) -> float:
        """The factor of the learning rate at a step."""
        return 1.0


class SynthesisTask(Task):
    """Trains synthesis on the flow of a frozen estimator, or on exact flow."""

    flow = "dis"

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.flow = None if options.flow == "exact" else options.flow
        self.needs_exact_flow = self.flow is None
        available = "rfr" if checkpoints.find("rfr") else "dis"
        estimator = flows.create(self.flow or available, Context(device))
        self.estimator = partial(estimator)  # a network as an attribute would be trained with others by DDP

    @torch.no_grad()
    def flows_of(self, batch: Batch) -> Flows:
        """flow01 and flow10 as selected by the options: exact or cached ones of the batch, or estimated now."""
        if batch.flows is not None and batch.exact == (self.flow is None):
            return Flows(*batch.flows)
        pairs = zip(batch.frames[:, 0].split(1), batch.frames[:, 2].split(1), strict=True)
        return Flows(*(torch.cat(flow) for flow in zip(*(self.estimate(*pair) for pair in pairs), strict=True)))

    def estimate(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        """flow01 and flow10, (1, 2, h, w) each, as they are cached for files."""
        with full_precision(frame0):
            return flows.at_moderate_size(self.estimator, frame0, frame1)


def full_precision(tensor: Tensor) -> torch.autocast:
    """Disable autocast, so that losses stay in fp32 when networks run in bf16."""
    return torch.autocast(tensor.device.type, enabled=False)


def drawing_loss(lpips: LPIPSLoss, frame: Tensor, truth: Tensor) -> tuple[Tensor, Figures]:
    """LPIPS plus the mean difference of colours and of line responses, equally weighted, of frames (b, 3, h, w)."""
    distance, colour = lpips(frame, truth).mean(), (frame - truth).abs().mean()
    with full_precision(frame):
        lines = (difference_of_gaussians(frame) - difference_of_gaussians(truth)).abs().mean()
    return distance + colour + lines, {"lpips": distance, "colour": colour, "lines": lines}


def warm_cosine(step: int, steps: int) -> float:
    """The factor of the learning rate: linear warm-up over the first 5 % of the steps, then cosine decay to 0."""
    return min(1, (step + 1) / (0.05 * steps)) * (1 + math.cos(math.pi * step / steps)) / 2
