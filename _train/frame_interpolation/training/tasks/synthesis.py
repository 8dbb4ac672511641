"""SoftsplatLite with DTM, and Fusion, on the flow of a frozen estimator."""

from argparse import Namespace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.fusion import Fusion
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _train.frame_interpolation.training.batches import Batch
from _train.frame_interpolation.training.tasks.task import Figures, SynthesisTask, drawing_loss, full_precision
from _util import checkpoints
from _util.errors import InputError
from _util.lines import nedt
from _util.losses import LPIPSLoss, gaussian_pyramid_l1


class FusionTask(SynthesisTask):
    """Fusion, trained with LPIPS plus the mean difference of colours and of line responses, equally weighted."""

    lr, schedule, weight_decay = 6e-4, "cosine", 1e-4

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.lpips = LPIPSLoss(protocol="paper")
        self.networks["fusion"] = Fusion()

    def training_loss(self, batch: Batch) -> tuple[Tensor, Figures]:
        frame0, truth, frame1 = batch.frames.unbind(1)
        return self.judge(self.networks["fusion"](frame0, frame1, *self.flows_of(batch), batch.times).frame, truth)

    def judge(self, frame: Tensor, truth: Tensor) -> tuple[Tensor, Figures]:
        return drawing_loss(self.lpips, frame, truth)

    def interpolate(self, frame0: Tensor, frame1: Tensor, t: float) -> Tensor:
        return self.networks["fusion"](frame0, frame1, *self.estimate(frame0, frame1), t).frame


class SoftsplatLiteTask(SynthesisTask):
    """SoftsplatLite and DTM, trained with the published loss (Chen and Zwicker, ECCV 2022)."""

    features = True

    def __init__(self, options: Namespace, device: torch.device):
        super().__init__(options, device)
        self.lpips = LPIPSLoss(protocol="paper")
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
        """As the base class; without `--from`, the ResNet-50 takes the weights of `--features`."""
        super().begin()
        wanted, network = self.options.features, cast(SoftsplatLite, self.networks["ssl"]).feature_extractor
        if self.options.start or wanted == "random":
            return
        state = imagenet() if wanted == "imagenet" else checkpoints.read(Path(wanted))
        names = network.state_dict().keys()
        missing = [name for name in names if name not in state]
        if missing:
            raise InputError(f"{wanted} is no ResNet-50: {missing[0]} is missing; give weights of torchvision's.")
        network.load_state_dict({name: state[name] for name in names})


def imagenet() -> dict[str, Tensor]:
    """The weights of torchvision's ResNet-50, downloaded by torchvision."""
    from torchvision.models import ResNet50_Weights

    try:
        return ResNet50_Weights.IMAGENET1K_V1.get_state_dict(progress=True)
    except OSError as error:
        raise InputError(
            f"ImageNet's ResNet-50 cannot be downloaded ({error}); give its file or random by --features."
        ) from error
