"""Metrics of evaluation, averaged over the images, or the pixels of flow, of all processes.

Metrics of images take batches (b, 3, h, w) RGB in [0, 1], measure each image in fp32, and average:

>>> import torch
>>> psnr = PSNR()
>>> psnr.update(torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.6))
>>> round(psnr.compute().item(), 3)
20.0

Papers on 2D animation since EISAI compute some metrics in another way than the rest of the field. `protocol` selects
one: "paper" is comparable with their tables, "standard" with those of other papers.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchvision.models import VGG16_Weights

from _util import losses, threads
from _util.compiled import njit
from _util.device import lacks_float64
from _util.distance_transform import edt
from _util.errors import InputError
from _util.lines import difference_of_gaussians

_NEAR = 8  # pixels from the edge of an occlusion
_SAME_MOTION = 1  # pixel


class ImageMetric(Metric):
    """The mean over images of a measure that a subclass defines; NaN before the first image."""

    full_state_update = False
    is_differentiable = False
    total: Tensor
    count: Tensor

    def __init__(self):
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def measure(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """The measure (b,) of each image; `predicted`, `truth`: (b, 3, h, w) float32 in [0, 1]."""
        return self.compare(predicted, self.prepare(truth))

    def prepare(self, truth: Tensor) -> Any:
        """Precompute what `compare` needs of the truth, for any number of predictions."""
        return truth

    @abstractmethod
    def compare(self, predicted: Tensor, prepared: Any) -> Tensor:
        """The measure (b,) of predictions (b, 3, h, w), float32 in [0, 1], and the result of `prepare`."""

    @torch.no_grad()
    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Add the images of a batch.

        Args:
            predicted, truth: (b, 3, h, w) RGB in [0, 1].

        Raises:
            ValueError: the shapes differ, or are not (b, 3, h, w).
        """
        if predicted.shape != truth.shape or predicted.dim() != 4 or predicted.shape[1] != 3:
            raise ValueError(f"images are (b, 3, h, w), not {tuple(predicted.shape)} and {tuple(truth.shape)}")
        with torch.autocast(predicted.device.type, enabled=False):
            values = self.measure(predicted.float(), truth.float())
        self.total += values.double().sum()
        self.count += len(values)

    def compute(self) -> Tensor:
        """The mean over the images so far, a float32 scalar."""
        return (self.total / self.count).float()


class LPIPS(ImageMetric):
    """`_util.losses.LPIPSLoss`: 0 for equal images, the lower the better. Protocols as there."""

    higher_is_better = False

    def __init__(self, protocol: losses.Protocol = "paper"):
        super().__init__()
        self.distance = losses.LPIPSLoss(protocol)

    def prepare(self, truth: Tensor) -> list[Tensor]:
        return self.distance.features(truth)

    def compare(self, predicted: Tensor, prepared: list[Tensor]) -> Tensor:
        return self.distance.distance(predicted, prepared)


class PSNR(ImageMetric):
    """Peak signal-to-noise ratio in dB, of values in [0, 1]; at most 100, so that equal images keep the mean finite."""

    higher_is_better = True

    def compare(self, predicted: Tensor, prepared: Tensor) -> Tensor:
        return -10 * (predicted - prepared).double().square().mean((1, 2, 3)).clamp(min=1e-10).log10()


class SSIM(ImageMetric):
    """Structural similarity (Wang et al., TIP 2004), as scikit-image computes it: 1 for equal images, else lower.

    Args:
        protocol: "paper" has a uniform window of 7×7 pixels and a data range of 2, "standard" a Gaussian window of
            11×11 pixels, σ = 1.5, and a data range of 1. Images smaller than the window raise ValueError.
    """

    higher_is_better = True
    window: Tensor

    def __init__(self, protocol: losses.Protocol = "paper"):
        super().__init__()
        losses.check_protocol(protocol)
        gaussian = torch.exp(-torch.arange(-5.0, 6.0, dtype=torch.float64).square() / (2 * 1.5**2))
        weights, self.data_range = (torch.ones(7).double(), 2) if protocol == "paper" else (gaussian, 1)
        self.register_buffer("window", weights / weights.sum(), persistent=False)

    def compare(self, predicted: Tensor, prepared: Tensor) -> Tensor:
        truth, size = prepared, len(self.window)
        if min(truth.shape[2:]) < size:
            raise ValueError(f"SSIM needs sides of {size} pixels or more, not {tuple(truth.shape[2:])}")
        if truth.device.type == "cpu":
            return self._compiled(predicted, truth)
        a, b = predicted.double(), truth.double()
        mean_a, mean_b = self._mean(a), self._mean(b)
        unbiased = size**2 / (size**2 - 1)
        variances = unbiased * (self._mean(a * a) - mean_a.square() + self._mean(b * b) - mean_b.square())
        covariance = unbiased * (self._mean(a * b) - mean_a * mean_b)
        c1, c2 = self._constants()
        luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
        structure = (2 * covariance + c2) / (variances + c2)
        return (luminance * structure).mean((1, 2, 3))

    def _constants(self) -> tuple[float, float]:
        return (0.01 * self.data_range) ** 2, (0.03 * self.data_range) ** 2

    def _mean(self, image: Tensor) -> Tensor:
        """The weighted mean over each window that lies within the image."""
        rows = F.conv2d(image.flatten(0, 1).unsqueeze(1), self.window.view(1, 1, 1, -1))
        return F.conv2d(rows, self.window.view(1, 1, -1, 1)).squeeze(1).unflatten(0, image.shape[:2])

    def _compiled(self, predicted: Tensor, truth: Tensor) -> Tensor:
        planes = [image.flatten(0, 1).contiguous().numpy() for image in (predicted, truth)]
        rows = np.empty((len(planes[0]), truth.shape[2] - len(self.window) + 1))
        threads.run(_ssim_rows, rows.size, *planes, self.window.cpu().numpy(), *self._constants(), rows)
        return torch.from_numpy(rows).view(len(truth), -1).mean(1)


@njit(fastmath={"contract", "nsz", "reassoc"})
def _ssim_rows(a, b, window, c1, c2, rows, start, stop):
    # One task: the mean over one row of one channel. First down the columns, then along the row.
    size, w = window.size, a.shape[2]
    width = w - size + 1
    unbiased = size**2 / (size**2 - 1)
    columns = np.empty((5, w))
    means = np.empty((5, width))
    for task in range(start, stop):
        n, y = task // rows.shape[1], task % rows.shape[1]
        columns[:] = 0
        for i in range(size):
            share, line_a, line_b = window[i], a[n, y + i], b[n, y + i]
            for x in range(w):
                value_a, value_b = np.float64(line_a[x]), np.float64(line_b[x])
                columns[0, x] += share * value_a
                columns[1, x] += share * value_b
                columns[2, x] += share * value_a * value_a
                columns[3, x] += share * value_b * value_b
                columns[4, x] += share * value_a * value_b
        for k in range(5):
            means[k] = 0
            for i in range(size):
                share = window[i]
                for x in range(width):
                    means[k, x] += share * columns[k, x + i]
        total = 0.0
        for x in range(width):
            mean_a, mean_b = means[0, x], means[1, x]
            variances = unbiased * (means[2, x] - mean_a * mean_a + means[3, x] - mean_b * mean_b)
            covariance = unbiased * (means[4, x] - mean_a * mean_b)
            luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
            total += luminance * (2 * covariance + c2) / (variances + c2)
        rows[n, y] = total / width


class Chamfer(ImageMetric):
    """Chamfer distance of line drawings (EISAI, ECCV 2022): 0 for equal lines, the lower the better.

    `½ · (mean(L · EDT(L')) + mean(L' · EDT(L))) / diagonal` of the lines L, L' by difference of Gaussians at σ = 1.
    Distances to an image without lines are the diagonal.
    """

    higher_is_better = False

    def prepare(self, truth: Tensor) -> tuple[Tensor, Tensor]:
        """The mask of line pixels, and the distance to the nearest one in pixels, (b, 1, h, w) each."""
        lines = difference_of_gaussians(truth, sigma=1.0) > 0.5
        return lines, edt(lines)

    def compare(self, predicted: Tensor, prepared: tuple[Tensor, Tensor]) -> Tensor:
        there, back = self.distances(predicted, prepared)
        return (there.mean((1, 2, 3)) + back.mean((1, 2, 3))) / 2

    def distances(self, predicted: Tensor, prepared: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Distances from true lines to predicted ones, and the reverse, relative to the diagonal; 0 off the lines."""
        lines, distances = self.prepare(predicted)
        true_lines, true_distances = prepared
        h, w = predicted.shape[2:]
        diagonal = (h**2 + w**2) ** 0.5
        return true_lines.double() * distances / diagonal, lines.double() * true_distances / diagonal


class Hausdorff(Chamfer):
    """Hausdorff distance of line drawings, relative to the diagonal; lines as in `Chamfer`."""

    def compare(self, predicted: Tensor, prepared: tuple[Tensor, Tensor]) -> Tensor:
        there, back = self.distances(predicted, prepared)
        return torch.maximum(there.amax((1, 2, 3)), back.amax((1, 2, 3)))


class DISTS(ImageMetric):
    """Deep image structure and texture similarity (Ding et al., TPAMI 2020), by torchmetrics, of images in [0, 1].

    0 for equal images, the lower the better.

    Raises:
        InputError: torchvision's weights of VGG-16 are not on this machine; nothing is downloaded here.
    """

    higher_is_better = False

    def __init__(self):
        super().__init__()
        weights = Path(torch.hub.get_dir()) / "checkpoints" / VGG16_Weights.DEFAULT.url.rpartition("/")[2]
        if not weights.exists():
            raise InputError(f"DISTS needs VGG-16: download {VGG16_Weights.DEFAULT.url} into {weights.parent}.")
        from torchmetrics.functional.image.dists import DISTSNetwork

        self.network = DISTSNetwork().eval()

    def compare(self, predicted: Tensor, prepared: Tensor) -> Tensor:
        return self.network(predicted, prepared).view(len(prepared))


class InterpolationError(ImageMetric):
    """Mean over pixels of the Euclidean distance in RGB, of values in [0, 255]: what AnimeInterp (Li et al., CVPR 2021)
    reports as IE. That of Baker et al. (IJCV 2011) is the root of the mean of the squared distance, never smaller.
    """

    higher_is_better = False

    def compare(self, predicted: Tensor, prepared: Tensor) -> Tensor:
        return 255 * torch.linalg.vector_norm(predicted - prepared, dim=1).mean((1, 2))


def device_for(device: torch.device | str) -> torch.device:
    """Where metrics of tensors on a device are computed: there, or on the CPU if it lacks float64."""
    device = torch.device(device)
    return torch.device("cpu") if lacks_float64(device) else device


class EndPointError(Metric):
    """End-point error of flow in pixels: over all pixels, near occlusions, and over the ground near occlusions.

    "Near" is within 8 pixels of the edge of an occlusion. Ground is what is occluded, and what moves like it to within
    a pixel: wrong flow there drags the ground along as a halo.
    """

    full_state_update = False
    is_differentiable = False
    total: Tensor
    count: Tensor
    higher_is_better = False
    regions = ("epe", "epe_rim", "epe_rim_ground")

    def __init__(self):
        super().__init__()
        self.add_state("total", torch.zeros(3, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(self, predicted: Tensor, truth: Tensor, occlusion: Tensor) -> None:
        """Add the pixels of a batch, of one direction of flow.

        Args:
            predicted, truth: (b, 2, h, w), x y in pixels.
            occlusion: (b, 1, h, w), 1 on pixels that the other frame does not show.

        Raises:
            ValueError: shapes that do not fit.
        """
        if predicted.shape != truth.shape or truth[:, :1].shape != occlusion.shape:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (predicted, truth, occlusion))
            raise ValueError(f"flows are (b, 2, h, w) and their occlusion (b, 1, h, w), not {shapes}")
        error = torch.linalg.vector_norm(predicted.double() - truth.double(), dim=1, keepdim=True)
        occluded = (occlusion > 0.5).float()
        rim = edt(_edges(occluded)) <= _NEAR
        for i, region in enumerate((torch.ones_like(rim), rim, rim & _is_ground(truth.float(), occluded))):
            self.total[i] += error[region].sum()
            self.count[i] += region.sum()

    def compute(self) -> dict[str, Tensor]:
        """Mean error in pixels by region: `epe`, `epe_rim`, `epe_rim_ground`; NaN for a region without a pixel."""
        return dict(zip(self.regions, (self.total / self.count).float(), strict=True))


def _edges(mask: Tensor) -> Tensor:
    return F.max_pool2d(mask, 3, 1, 1) + F.max_pool2d(-mask, 3, 1, 1) > 0.5


def _is_ground(flow: Tensor, occluded: Tensor) -> Tensor:
    reach = _NEAR + 1  # an edge has a pixel on either side of it
    share = F.avg_pool2d(occluded, 2 * reach + 1, 1, reach)
    hidden_motion = F.avg_pool2d(flow * occluded, 2 * reach + 1, 1, reach) / share.clamp(min=1e-6)
    moves_alike = torch.linalg.vector_norm(flow - hidden_motion, dim=1, keepdim=True) < _SAME_MOTION
    return (occluded > 0.5) | (moves_alike & (share > 0))
