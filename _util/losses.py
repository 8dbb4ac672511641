"""Training losses. The metrics of evaluation are in `_util.metrics`, from the same definitions.

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
from _util.features import SHIPPED, Backbone, open_backbone

Protocol = Literal["paper", "standard"]
_LPIPS_MEAN, _LPIPS_DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of images in [-1, 1]
_SMALLEST_SIDE = 31  # at which AlexNet's last pooling still has a window
_CENSUS_REACH = 3
STYLE_LAYERS = {
    **dict.fromkeys(("vgg19", "vgg16"), ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_2")),
    "alexnet": ("relu1", "relu2", "relu3", "relu4", "relu5"),
}
STYLE_LAYER_WEIGHTS = (1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5)


class LPIPSLoss(nn.Module):
    """Learned perceptual distance (Zhang et al., CVPR 2018): version 0.1 over AlexNet.

    Its weights are non-persistent: they get no gradient and do not enlarge checkpoints. They are shipped with the
    project and the `lpips` package; nothing is downloaded.

    Args:
        protocol: "paper" uses images in [0, 1] unchanged, as EISAI does, in training too; "standard" scales them to
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
        alexnet = checkpoints.read(checkpoints.FOLDER / SHIPPED)
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
        """Like `forward`, but from the `features` of the truth, which several predictions can share."""
        distances = []
        for i, (ours, theirs) in enumerate(zip(self._activations(predicted), expected, strict=True)):
            difference = (_unit(ours) - theirs).square()
            distances.append((difference * getattr(self, f"linear{i}")).sum(1).mean((1, 2)))
        return reduce(operator.add, distances)

    def features(self, image: Tensor) -> list[Tensor]:
        """The features that are compared: per layer, activations with a vector of length 1 or 0 at every pixel."""
        return [_unit(x) for x in self._activations(image)]

    def _activations(self, image: Tensor) -> list[Tensor]:
        if min(image.shape[2:]) < _SMALLEST_SIDE:
            raise ValueError(f"LPIPS needs sides of {_SMALLEST_SIDE} pixels or more, not {tuple(image.shape[2:])}")
        if self.linear0.device != image.device:
            self.to(image.device)
        image = image.float() if self.protocol == "paper" else 2 * image.float() - 1
        return self.backbone(image.contiguous(memory_format=torch.channels_last))


def check_protocol(protocol: str) -> None:
    """Raise ValueError unless the protocol is "paper" or "standard"."""
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
    return open_backbone(name_or_path, STYLE_LAYERS)


class StyleWeights(NamedTuple):
    l1: float
    vgg: float
    gram: float


class Style(nn.Module):
    """`weights.l1 · L1 + weights.vgg · L_vgg + weights.gram · L_gram`: FILM's style loss (Reda et al., ECCV 2022).

    L1 is the mean absolute difference of colours, L_vgg is `feature_l1` and L_gram is `gram_distance`, both of
    activations of VGG-19. Terms of weight 0 are not computed.

    Args:
        features: maps (b, 3, h, w) RGB in [0, 1] to five activations, such as a backbone of `style_features`.
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


def feature_l1(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """`Σ weight · mean |ours - theirs|` over the layers, the mean over images, channels and places.

    Args:
        ours, theirs: activations (b, c, h, w), one for each weight.
    """
    layers = zip(ours, theirs, STYLE_LAYER_WEIGHTS, strict=True)
    return reduce(operator.add, (weight * (a.float() - b.float()).abs().mean() for a, b, weight in layers))


def gram_distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """`Σ weight · ‖gram(ours) - gram(theirs)‖²` over the layers: the squared Frobenius norm, a sum over the c × c
    entries, and its mean over the images (Johnson et al., ECCV 2016). Arguments as of `feature_l1`."""
    layers = zip(ours, theirs, STYLE_LAYER_WEIGHTS, strict=True)
    return reduce(operator.add, (weight * (gram(a) - gram(b)).square().sum((1, 2)).mean() for a, b, weight in layers))


def gram(features: Tensor) -> Tensor:
    """Gram matrices F Fᵀ / (c · h · w) of activations (b, c, h, w), as (b, c, c) float32."""
    b, c, h, w = features.shape
    flat = features.float().reshape(b, c, h * w)
    with torch.autocast(features.device.type, enabled=False):
        return flat @ flat.transpose(1, 2) / (c * h * w)


def perceptual(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """LPIPS without its learned weights (Zhang et al., CVPR 2018), for the activations of any backbone: each pixel's
    vector is normalized to length 1; squared differences are summed over channels, averaged over images and places, and
    averaged over the layers. In [0, 2] for non-negative activations.

    Args:
        ours, theirs: activations (b, c, h, w).
    """
    distances = [(_unit(a) - _unit(b)).square().sum(1).mean() for a, b in zip(ours, theirs, strict=True)]
    return torch.stack(distances).mean()


def gaussian_pyramid_l1(predicted: Tensor, truth: Tensor, levels: int = 3) -> Tensor:
    """Mean absolute difference at each level of a Gaussian pyramid (Burt and Adelson, 1983), summed over the levels.

    Applied to NEDTs, this is EISAI's loss for the DTM's line drawing: thin differences count at several scales.

    Args:
        predicted, truth: (b, c, h, w).
        levels: number of levels, including full size; each further one is blurred by (1 4 6 4 1) / 16 and halved.

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
    """Soft census loss: the distance between smooth ternary census transforms of two images.

    It is invariant to brightness changes shared by a neighbourhood. As in UnFlow (Meister et al., AAAI 2018), with 7×7
    neighbourhoods: a difference d in grey levels from the centre becomes d / √(0.81 + d²), and a difference s between
    the two images' transforms becomes s² / (0.1 + s²).

    Args:
        a, b: (b, 3, h, w) RGB in [0, 1], sides of at least 7 pixels; differentiable in both.
        mask: (b, 1, h, w), the weight of each pixel; by default 1. The 3 pixels along the border never count.

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


def sequence_loss(flows: list[Tensor], truth: Tensor, gamma: float = 0.8) -> Tensor:
    """RAFT's loss over the flows of all iterations (Teed and Deng, ECCV 2020): `Σ gammaⁿ⁻¹⁻ⁱ · mean |flowᵢ - truth|`.

    Args:
        flows: n flows (b, 2, h, w) in order of iteration; the last one has weight 1.
        truth: (b, 2, h, w).

    Returns:
        A number, in pixels.
    """
    errors = (gamma ** (len(flows) - 1 - i) * (flow.float() - truth).abs().mean() for i, flow in enumerate(flows))
    return reduce(operator.add, errors)
