"""What can be trained, by name. A task holds its networks, the loss on a batch and how the result interpolates.

A new model is one more class here and one more line in `TASKS`; `trainmodel.py` does everything else.
"""

from abc import ABC, abstractmethod
from argparse import Namespace
from pathlib import Path

import torch
from torch import Tensor, nn

from _train.frame_interpolation import flows, syntheses
from _train.frame_interpolation.data import Batch
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.fusion import Fusion
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite, Source, half_warp, splat_metric
from _util import checkpoints
from _util.errors import InputError
from _util.flow import backwarp
from _util.lines import difference_of_gaussians, nedt
from _util.losses import LPIPS, census, gaussian_pyramid_l1, sequence

Figures = dict[str, Tensor]  # what is logged beside the loss


class Task(nn.Module, ABC):
    """What is common to all tasks.

    Attributes:
        networks: what is trained and exported, by the names that `_util.checkpoints` knows. What stays frozen lives
            beside it.
        lr, schedule, weight_decay, gradient_norm: defaults of the optimisation.
        flow: the name of the frozen estimator whose flows, by `estimate`, are cached for files; None if the task needs
            none.
    """

    lr, schedule, weight_decay, gradient_norm = 1e-3, "plateau", 0.0, 1.0
    flow: str | None = None

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__()
        self.options, self.device = options, device
        self.networks = nn.ModuleDict()

    @abstractmethod
    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        """The mean loss over a batch, and figures to log."""

    @abstractmethod
    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        """(1, 3, h, w) RGB in [0, 1], twice, to the frame at time t, (1, 3, h, w)."""

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        trained = [parameter for parameter in self.networks.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(trained, lr, weight_decay=self.weight_decay)

    def begin(self) -> None:
        """Load what a new run starts from: `--from`, a folder of `NAME.safetensors` or the file of a single network."""
        path = self.options.start
        for name, network in self.networks.items() if path else ():
            checkpoints.load(network, path / f"{name}.safetensors" if path.is_dir() else path)


class FlowTask(Task):
    """RFR by RAFT's sequence loss on exact flow in both directions; triplets without it by what they look like."""

    lr, schedule, weight_decay = 2e-4, "cosine", 1e-4
    iterations, gamma = 12, 0.8

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.networks["rfr"] = RFR()
        self.networks["rfr"].attention2.requires_grad_(False)  # weighs an initial flow, and none is given
        self.lpips = LPIPS(protocol="paper") if options.self_supervise else None

    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        supervised = batch.flows is not None and batch.exact
        if not supervised and self.lpips is None:
            raise InputError(f"{batch.names[0]} comes without exact flow; add --self-supervise or leave its data out.")
        frame0, _, frame1 = batch.frames.unbind(1)
        refined = self.networks["rfr"].refinements(frame0, frame1, self.iterations)
        with full_precision(frame0):
            if not supervised:
                return self.self_supervision(batch, *refined[-1].chunk(2))
            truth = torch.cat(batch.flows)
            error = (refined[-1].detach() - truth).norm(dim=1).mean()
            return sequence(refined, truth, self.gamma), {"end_point_error": error}

    def self_supervision(self, batch: Batch, flow01: Tensor, flow10: Tensor) -> tuple[Tensor, Figures]:
        """Census distance of each frame to the other warped back, where it is seen there (UnFlow, Meister et al.,
        AAAI 2018), and LPIPS of the splat of both at the truth's time."""
        frame0, truth, frame1 = batch.frames.unbind(1)
        frames, others = torch.cat([frame0, frame1]), torch.cat([frame1, frame0])
        flow, opposite = torch.cat([flow01, flow10]), torch.cat([flow10, flow01])
        photometric = census(frames, backwarp(others, flow, quirk=False), consistent(flow, opposite))
        warp = half_warp(Source(frames, flow, splat_metric(frame0, frame1, flow01, flow10)), batch.times)
        t = batch.times.view(-1, 1, 1, 1)
        lpips = self.lpips(((1 - t) * warp.bases[0] + t * warp.bases[1]).clamp(0, 1), truth).mean()
        return photometric + lpips, {"census": photometric, "lpips": lpips}

    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        flow01, flow10 = flows.at_moderate_size(self.networks["rfr"].both_ways, frame0, frame1)
        splat = syntheses.Splat()
        return splat.synthesise(splat.prepare(frame0, frame1, flow01, flow10), t)


class SynthesisTask(Task):
    """Synthesis on the flow of a frozen estimator, or on exact flow."""

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.lpips = LPIPS(protocol="paper")
        self.flow = None if options.flow == "exact" else options.flow
        available = "rfr" if checkpoints.find("rfr") else "dis"
        self.estimator = flows.create(self.flow or available, device, torch.float32)

    @torch.no_grad()
    def flows_of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """flow01 and flow10 as the user wants them: those of the batch, exact or cached, or estimated now."""
        if batch.flows is not None and batch.exact == (self.flow is None):
            return batch.flows
        if self.flow is None:
            raise InputError(f"{batch.names[0]} comes without exact flow; choose another --flow or leave its data out.")
        pairs = zip(batch.frames[:, 0].split(1), batch.frames[:, 2].split(1), strict=True)
        return tuple(torch.cat(flow) for flow in zip(*(self.estimate(*pair) for pair in pairs), strict=True))

    def estimate(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        """flow01 and flow10, (1, 2, h, w) each."""
        return flows.at_moderate_size(self.estimator, frame0, frame1)


class FusionTask(SynthesisTask):
    """Fusion by LPIPS, and by the mean difference of colours and of line responses, equally."""

    lr, schedule, weight_decay = 6e-4, "cosine", 1e-4

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.networks["fusion"] = Fusion()

    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        frame0, truth, frame1 = batch.frames.unbind(1)
        frame = self.networks["fusion"](frame0, frame1, *self.flows_of(batch), batch.times).frame
        lpips, colour = self.lpips(frame, truth).mean(), (frame - truth).abs().mean()
        with full_precision(frame):
            lines = (difference_of_gaussians(frame) - difference_of_gaussians(truth)).abs().mean()
        return lpips + colour + lines, {"lpips": lpips, "colour": colour, "lines": lines}

    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        return self.networks["fusion"](frame0, frame1, *self.estimate(frame0, frame1), t).frame


class LineTask(SynthesisTask):
    """SoftsplatLite and DTM by the published loss (Chen and Zwicker, ECCV 2022)."""

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.networks.update({"ssl": SoftsplatLite(), "dtm": DTM()})
        if options.features == "random":
            self.networks["ssl"].feature_extractor.requires_grad_(True)

    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        frame0, truth, frame1 = batch.frames.unbind(1)
        synthesis = self.networks["ssl"](frame0, frame1, *self.flows_of(batch), batch.times)
        frame, predicted = self.networks["dtm"](synthesis)
        with full_precision(frame):
            lpips, lines = self.lpips(frame, truth).mean(), gaussian_pyramid_l1(predicted, nedt(truth))
        return 30 * lpips + 5 * lines, {"lpips": lpips, "nedt": lines}

    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        flow01, flow10 = self.estimate(frame0, frame1)
        return self.networks["dtm"](self.networks["ssl"](frame0, frame1, flow01, flow10, t))[0]

    def begin(self) -> None:
        """Without `--from`, the weights of the ResNet-50 are those of `--features`."""
        super().begin()
        wanted, network = self.options.features, self.networks["ssl"].feature_extractor
        if self.options.start or wanted == "random":
            return
        state = imagenet() if wanted == "imagenet" else checkpoints.read(Path(wanted))
        names = network.state_dict().keys()
        missing = [name for name in names if name not in state]
        if missing:
            raise InputError(f"{wanted} is no ResNet-50: {missing[0]} is missing; give weights of torchvision's.")
        network.load_state_dict({name: state[name] for name in names})


TASKS: dict[str, type[Task]] = {"rfr": FlowTask, "ssldtm": LineTask, "fusion": FusionTask}


def imagenet() -> dict[str, Tensor]:
    """ResNet-50 as torchvision downloads it."""
    from torchvision.models import ResNet50_Weights

    try:
        return ResNet50_Weights.IMAGENET1K_V1.get_state_dict(progress=True)
    except OSError as error:
        raise InputError(
            f"ImageNet's ResNet-50 cannot be downloaded ({error}); give its file or random by --features."
        ) from error


def full_precision(tensor: Tensor) -> torch.autocast:
    """Losses stay fp32 where networks run in bf16."""
    return torch.autocast(tensor.device.type, enabled=False)


@torch.no_grad()
def consistent(flow: Tensor, opposite: Tensor) -> Tensor:
    """(b, 1, h, w) 1 where the opposite flow leads back to within UnFlow's tolerance and the target is in the image."""
    h, w = flow.shape[2:]
    back = backwarp(opposite, flow, quirk=False)
    lengths = flow.square().sum(1, keepdim=True) + back.square().sum(1, keepdim=True)
    returns = (flow + back).square().sum(1, keepdim=True) < 0.01 * lengths + 0.5
    x = torch.arange(w, device=flow.device) + flow[:, :1]
    y = torch.arange(h, device=flow.device).view(-1, 1) + flow[:, 1:]
    return (returns & (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)).float()
