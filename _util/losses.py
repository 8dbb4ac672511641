"""Losses: what training minimises. What evaluation reports is in `_util.metrics`, from the same definitions.

Images are (b, 3, h, w) RGB in [0, 1]; flows are (b, 2, h, w), x then y, in pixels. Every loss is differentiable in its
first argument and computed in fp32; only the convolutions of LPIPS follow autocast.
"""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from importlib import resources
from typing import Literal, NamedTuple

import kornia
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _util import checkpoints
from _util.features import Backbone, open_backbone

Protocol = Literal["paper", "standard"]
ALEXNET = "default/alexnet_features.safetensors"
_LPIPS_MEAN, _LPIPS_DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of images in [-1, 1]
_SMALLEST_SIDE = 31  # at which AlexNet's last pooling still has a window
_CENSUS_REACH = 3
STYLE_LAYERS = {
    "vgg": ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_2"),
    "alexnet": ("relu1", "relu2", "relu3", "relu4", "relu5"),
}
STYLE_LAYER_WEIGHTS = (1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5)


class LPIPSLoss(nn.Module):
    """Learned perceptual distance (Zhang et al., CVPR 2018): version 0.1 over AlexNet.

    Its weights are buffers outside the state dict: they need no gradient and do not swell checkpoints. They are shipped
    with the project and the `lpips` package; nothing is downloaded.

    Args:
        protocol: "paper" takes images in [0, 1] as they are, as EISAI does, in training too; "standard" scales them to
            [-1, 1], as LPIPS was calibrated.

    Raises:
        ValueError: no such protocol.
        InputError: the shipped weights are missing or damaged.
    """

    linear0: Tensor

    def __init__(self, protocol: Protocol = "paper"):
        super().__init__()
        check_protocol(protocol)
        self.protocol = protocol
        alexnet = checkpoints.read(checkpoints.FOLDER / ALEXNET)
        backbone = Backbone("alexnet", alexnet, STYLE_LAYERS["alexnet"], _LPIPS_MEAN, _LPIPS_DEVIATION)
        self.backbone = backbone.to(memory_format=torch.channels_last)
        with resources.as_file(resources.files("lpips") / "weights/v0.1/alex.pth") as path:
            linear = checkpoints.read(path)
        for i in range(len(self.backbone.layers)):
            self.register_buffer(f"linear{i}", linear[f"lin{i}.model.1.weight"], persistent=False)

    def forward(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Distance of each image from its truth; the weights follow the images to their device.

        Args:
            predicted, truth: (b, 3, h, w) RGB in [0, 1], sides of at least 31 pixels. No gradient goes to `truth`.

        Returns:
            (b,) float32, 0 where the images are equal.

        Raises:
            ValueError: images smaller than that.
        """
        with torch.no_grad():
            expected = self.features(truth)
        return self.distance(predicted, expected)

    def distance(self, predicted: Tensor, expected: list[Tensor]) -> Tensor:
        """The same from the truth's `features`, which so are computed once for several predictions."""
        distances = []
        for i, (ours, theirs) in enumerate(zip(self._activations(predicted), expected, strict=True)):
            difference = (_unit(ours) - theirs).square()
            distances.append((difference * getattr(self, f"linear{i}")).sum(1).mean((1, 2)))
        return reduce(operator.add, distances)

    def features(self, image: Tensor) -> list[Tensor]:
        """What images are compared by: after each convolution, at every pixel, a vector of length 1 or 0."""
        return [_unit(x) for x in self._activations(image)]

    def _activations(self, image: Tensor) -> list[Tensor]:
        if min(image.shape[2:]) < _SMALLEST_SIDE:
            raise ValueError(f"LPIPS needs sides of {_SMALLEST_SIDE} pixels or more, not {tuple(image.shape[2:])}")
        if self.linear0.device != image.device:
            self.to(image.device)
        image = image.float() if self.protocol == "paper" else 2 * image.float() - 1
        return self.backbone(image.contiguous(memory_format=torch.channels_last))


def check_protocol(protocol: str) -> None:
    if protocol not in ("paper", "standard"):
        raise ValueError(f"There is no protocol {protocol!r}; it is paper or standard.")


def _unit(features: Tensor) -> Tensor:
    # Unlike the root of a sum of squares, the norm has a finite gradient, 0, where every channel is 0.
    features = features.float()
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + 1e-10)


def style_features(name_or_path: str) -> Backbone:
    """The backbone whose activations `Style` and `perceptual` compare, five layers of it.

    Raises:
        InputError: as `features.open_backbone`.
    """
    if name_or_path == "alexnet":
        return open_backbone(name_or_path, STYLE_LAYERS["alexnet"])
    try:
        return open_backbone(name_or_path, STYLE_LAYERS["vgg"])
    except ValueError:  # a file that turned out to hold AlexNet
        return open_backbone(name_or_path, STYLE_LAYERS["alexnet"])


class StyleWeights(NamedTuple):
    l1: float
    vgg: float
    gram: float


class Style(nn.Module):
    """`weights.l1 · L1 + weights.vgg · L_vgg + weights.gram · L_gram`, as FILM (Reda et al., ECCV 2022) weighs them.

    L1 is the mean absolute difference of colours, L_vgg is `feature_l1` and L_gram is `gram_distance`, both of
    activations of VGG-19. Terms of weight 0 are not computed.

    Args:
        features: (b, 3, h, w) RGB in [0, 1] to five activations, such as `style_features` makes them.
    """

    def __init__(self, features: Callable[[Tensor], list[Tensor]]):
        super().__init__()
        self.features = features

    def forward(self, predicted: Tensor, truth: Tensor, weights: StyleWeights) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its terms by name, unweighted: `l1`, `vgg`, `gram`. No gradient goes to `truth`."""
        terms = {"l1": (predicted.float() - truth.float()).abs().mean()}
        if weights.vgg or weights.gram:
            with torch.no_grad():
                theirs = self.features(truth)
            ours = self.features(predicted)
            if weights.vgg:
                terms["vgg"] = feature_l1(ours, theirs)
            if weights.gram:
                terms["gram"] = gram_distance(ours, theirs)
        return reduce(operator.add, (getattr(weights, name) * term for name, term in terms.items())), terms


def feature_l1(
    ours: Sequence[Tensor], theirs: Sequence[Tensor], layer_weights: Sequence[float] = STYLE_LAYER_WEIGHTS
) -> Tensor:
    """`Σ weight · mean |ours - theirs|` over the layers, the mean over images, channels and places.

    Args:
        ours, theirs: activations (b, c, h, w), one for each weight.
    """
    layers = zip(ours, theirs, layer_weights, strict=True)
    return reduce(operator.add, (weight * (a.float() - b.float()).abs().mean() for a, b, weight in layers))


def gram_distance(
    ours: Sequence[Tensor], theirs: Sequence[Tensor], layer_weights: Sequence[float] = STYLE_LAYER_WEIGHTS
) -> Tensor:
    """`Σ weight · ‖gram(ours) - gram(theirs)‖²` over the layers: the squared Frobenius norm, a sum over the c × c
    entries, and its mean over the images (Johnson et al., ECCV 2016). Arguments as of `feature_l1`."""
    layers = zip(ours, theirs, layer_weights, strict=True)
    return reduce(operator.add, (weight * (gram(a) - gram(b)).square().sum((1, 2)).mean() for a, b, weight in layers))


def gram(features: Tensor) -> Tensor:
    """Which channels appear together: F Fᵀ / (c · h · w) of activations (b, c, h, w), as (b, c, c) float32."""
    b, c, h, w = features.shape
    flat = features.float().reshape(b, c, h * w)
    with torch.autocast(features.device.type, enabled=False):
        return flat @ flat.transpose(1, 2) / (c * h * w)


def perceptual(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """LPIPS without its learned weights (Zhang et al., CVPR 2018), of the activations of any backbone: each pixel's
    vector is brought to length 1; squared differences are summed over channels, averaged over images and places, and
    averaged over the layers. In [0, 2] for activations that are never negative.

    Args:
        ours, theirs: activations (b, c, h, w).
    """
    distances = [(_unit(a) - _unit(b)).square().sum(1).mean() for a, b in zip(ours, theirs, strict=True)]
    return torch.stack(distances).mean()


def gaussian_pyramid_l1(predicted: Tensor, truth: Tensor, levels: int = 3) -> Tensor:
    """Mean absolute difference at each level of a Gaussian pyramid (Burt and Adelson, 1983), summed over the levels.

    With NEDTs, this is EISAI's loss of the DTM's line drawing: thin differences count at several widths.

    Args:
        predicted, truth: (b, c, h, w).
        levels: the full size included; each further one is blurred by 1 4 6 4 1 and halved.

    Returns:
        A number.
    """
    difference = predicted.float() - truth.float()
    loss = difference.abs().mean()
    for _ in range(levels - 1):
        difference = _halve(difference)
        loss = loss + difference.abs().mean()
    return loss


def _halve(image: Tensor) -> Tensor:
    b, c, h, w = image.shape
    kernel = torch.tensor([1, 4, 6, 4, 1], device=image.device) / 16
    padded = F.pad(image.reshape(b * c, 1, h, w), (2, 2, 2, 2), mode="replicate")
    with torch.autocast(image.device.type, enabled=False):
        rows = F.conv2d(padded, kernel.view(1, 1, 1, 5), stride=(1, 2))
        return F.conv2d(rows, kernel.view(1, 1, 5, 1), stride=(2, 1)).squeeze(1).unflatten(0, (b, c))


def census(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """How differently the pixels of two images stand to their neighbours: a ternary census transform, made smooth.

    Changes of brightness that a neighbourhood shares do not count. As in UnFlow (Meister et al., AAAI 2018): neighbours
    in 7×7 pixels, d grey levels above the centre, become d / √(0.81 + d²), and differences s of those s² / (0.1 + s²).

    Args:
        a, b: (b, 3, h, w) RGB in [0, 1], sides of at least 7 pixels; differentiable in both.
        mask: (b, 1, h, w), the weight of each pixel; by default all count. The 3 pixels along the border never do.

    Returns:
        A number in [0, 1): the mean over neighbours and pixels; 0 where the mask is empty.
    """
    signature = _signature(a) - _signature(b)
    distance = (signature.square() / (0.1 + signature.square())).mean(1, keepdim=True)
    if mask is None:
        return distance.mean()
    reach = _CENSUS_REACH
    weight = mask[..., reach:-reach, reach:-reach].to(distance)
    return (distance * weight).sum() / weight.sum().clamp(min=1e-6)


def _signature(image: Tensor) -> Tensor:
    grey = 255 * kornia.color.rgb_to_grayscale(image.float())
    width, (h, w) = 2 * _CENSUS_REACH + 1, grey.shape[2:]
    neighbours = F.unfold(grey, width).unflatten(2, (h - width + 1, w - width + 1))
    centre = neighbours[:, width * width // 2, None]
    difference = neighbours - centre
    return difference / (0.81 + difference.square()).sqrt()


def sequence(flows: list[Tensor], truth: Tensor, gamma: float = 0.8, valid: Tensor | None = None) -> Tensor:
    """RAFT's loss over the flows of all iterations (Teed and Deng, ECCV 2020): `Σ gammaⁿ⁻¹⁻ⁱ · mean |flowᵢ - truth|`.

    Args:
        flows: n flows (b, 2, h, w), the last one the best.
        truth: (b, 2, h, w); where it is not valid it may hold anything.
        valid: (b, 1, h, w), 1 where the truth is known; the mean is over these pixels. By default it is everywhere.

    Returns:
        A number, in pixels; 0 where nothing is valid.
    """
    valid = torch.ones_like(truth[:, :1]) if valid is None else valid
    truth = torch.where(valid > 0.5, truth, 0)
    weight = (valid > 0.5).expand_as(truth).float()
    count = weight.sum().clamp(min=1)
    errors = (
        gamma ** (len(flows) - 1 - i) * ((flow.float() - truth).abs() * weight).sum() / count
        for i, flow in enumerate(flows)
    )
    return reduce(operator.add, errors)
