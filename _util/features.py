"""Features of networks trained on ImageNet: VGG-19, VGG-16 and AlexNet, truncated after the last requested layer.

In: images, (b, 3, h, w) RGB in [0, 1]. Out: activations after the requested ReLUs. Layers of VGG are named by block and
convolution, `relu1_1` … `relu5_4`, those of AlexNet `relu1` … `relu5`.

AlexNet is shipped with the project. VGG is taken from a file in the folder of checkpoints, else from torchvision, which
downloads it once.

    checkpoints/
        vgg19-….pth  vgg16-….pth                as torchvision publishes them, or .pt, or .safetensors
        default/alexnet_features.safetensors    shipped
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn, tensor

from _util import checkpoints, files
from _util.errors import InputError

BACKBONES = ("vgg19", "vgg16", "alexnet")
SHIPPED = "default/alexnet_features.safetensors"  # of AlexNet
_SUFFIXES = (".pth", ".pt", ".safetensors")
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Convolution:
    """One convolution and its ReLU, with the pooling before it."""

    layer: str
    index: int  # in torchvision's `features`
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    padding: int
    pooling: int  # window of the maximum over every second pixel before it; 0 for none


def _vgg(*depths: int) -> tuple[Convolution, ...]:
    found, index, channels = [], 0, 3
    for block, depth in enumerate(depths):
        width = min(64 * 2**block, 512)
        for i in range(depth):
            pooling = 2 if block and not i else 0
            layer = f"relu{block + 1}_{i + 1}"
            found.append(Convolution(layer, index, channels, width, 3, 1, 1, pooling))
            index, channels = index + 2, width
        index += 1
    return tuple(found)


ARCHITECTURES = {
    "vgg19": _vgg(2, 2, 4, 4, 4),
    "vgg16": _vgg(2, 2, 3, 3, 3),
    "alexnet": (
        Convolution("relu1", 0, 3, 64, 11, 4, 2, 0),
        Convolution("relu2", 3, 64, 192, 5, 1, 2, 3),
        Convolution("relu3", 6, 192, 384, 3, 1, 1, 3),
        Convolution("relu4", 8, 384, 256, 3, 1, 1, 0),
        Convolution("relu5", 10, 256, 256, 3, 1, 1, 0),
    ),
}


class Backbone(nn.Module):
    """A frozen network up to the last of some layers. It follows its input to the device, and adds no state dict.

    Attributes:
        channels: of each layer.
        grids: of each layer (stride, offset): activation i lies at pixel offset + i · stride, from 0, of either axis.

    Args:
        architecture: one of `BACKBONES`.
        weights: `<index>.weight` and `<index>.bias` of each convolution, by torchvision's index in `features`.
        layers: whose activations are returned, in the order of the network.
        mean, deviation: normalization of the channels, by default ImageNet's: `(image - mean) / deviation`.

    Raises:
        ValueError: there are no layers, an unknown one, or they are in another order.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        architecture: str,
        weights: dict[str, Tensor],
        layers: Sequence[str],
        mean: Sequence[float] = IMAGENET_MEAN,
        deviation: Sequence[float] = IMAGENET_DEVIATION,
    ):
        super().__init__()
        convolutions = ARCHITECTURES[architecture]
        places = {convolution.layer: i for i, convolution in enumerate(convolutions)}
        wanted = [places.get(layer, -1) for layer in layers]
        if not wanted or min(wanted) < 0 or wanted != sorted(set(wanted)):
            raise ValueError(f"layers {list(layers)}: {architecture} has {', '.join(places)}, taken in this order")
        self.architecture, self.layers = architecture, tuple(layers)
        self.convolutions = convolutions[: wanted[-1] + 1]
        self.channels = tuple(convolutions[i].out_channels for i in wanted)
        self.grids = _grids(self.convolutions, self.layers)
        self.register_buffer("mean", tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", tensor(deviation).view(1, 3, 1, 1), persistent=False)
        for convolution in self.convolutions:
            for kind in ("weight", "bias"):
                name = f"{convolution.index}.{kind}"
                self.register_buffer(name.replace(".", "_"), weights[name].detach().float(), persistent=False)
        self.eval()

    def train(self, mode: bool = True) -> "Backbone":
        """Stay in evaluation mode."""
        return super().train(False)

    def digest(self) -> str:
        """SHA-256 of the weights."""
        digest = hashlib.sha256()
        for weights in self.buffers():
            digest.update(weights.cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def smallest_side(self) -> int:
        """Least side of images in pixels; smaller ones have no activations."""
        side = 1
        for convolution in reversed(self.convolutions):
            side = max((side - 1) * convolution.stride + convolution.kernel - 2 * convolution.padding, 1)
            if convolution.pooling:
                side = (side - 1) * 2 + convolution.pooling
        return side

    def forward(self, image: Tensor) -> list[Tensor]:
        """Activations of images, differentiable in them.

        Args:
            image: (b, 3, h, w) RGB in [0, 1], sides of at least `smallest_side` pixels.

        Returns:
            For each layer (b, channels, height, width), never negative, at the resolution of the layer.

        Raises:
            ValueError: smaller images.
        """
        if min(image.shape[2:]) < self.smallest_side:
            raise ValueError(f"{self.architecture} needs sides of {self.smallest_side} pixels, not {image.shape[2:]}")
        if self.mean.device != image.device:
            self.to(image.device)
        x, activations = (image - self.mean) / self.deviation, []
        for convolution in self.convolutions:
            if convolution.pooling:
                x = F.max_pool2d(x, convolution.pooling, 2)
            weight, bias = (getattr(self, f"{convolution.index}_{kind}") for kind in ("weight", "bias"))
            x = F.conv2d(x, weight.to(x.dtype), bias.to(x.dtype), convolution.stride, convolution.padding).relu()
            if convolution.layer in self.layers:
                activations.append(x)
        return activations


def open_backbone(
    name_or_path: str | Path, layers: Mapping[str, Sequence[str]], folder: Path = checkpoints.FOLDER
) -> Backbone:
    """A backbone with its weights.

    Args:
        name_or_path: one of `BACKBONES`, or a file with torchvision's state dict, recognised by its shapes.
        layers: of `Backbone`, by architecture.
        folder: of checkpoints, in which files are searched by name.

    Raises:
        InputError: the weights cannot be found or downloaded, or fit none of the architectures.
        ValueError: as of `Backbone`.
    """
    name = str(name_or_path)
    if name not in BACKBONES:
        architecture, weights = _recognised(Path(name))
    elif path := find(name, folder):
        architecture, weights = name, _named(path, name)
    else:
        architecture, weights = name, _convolutions(_download(name, folder))
    return Backbone(architecture, weights, layers[architecture])


def check(name: str, folder: Path = checkpoints.FOLDER) -> None:
    """Raise InputError if the file of one of `BACKBONES` in a folder of checkpoints cannot be used."""
    if path := find(name, folder):
        _named(path, name)


def _grids(convolutions: Sequence[Convolution], layers: Sequence[str]) -> tuple[tuple[int, float], ...]:
    found, stride, offset = [], 1, 0.0
    for convolution in convolutions:
        if convolution.pooling:
            offset, stride = offset + stride * (convolution.pooling - 1) / 2, 2 * stride
        offset += stride * ((convolution.kernel - 1) / 2 - convolution.padding)
        stride *= convolution.stride
        if convolution.layer in layers:
            found.append((stride, offset))
    return tuple(found)


def find(name: str, folder: Path = checkpoints.FOLDER) -> Path | None:
    """The file of one of `BACKBONES` in a folder of checkpoints; None if there is none."""
    if name == "alexnet":
        return folder / SHIPPED if (folder / SHIPPED).exists() else checkpoints.FOLDER / SHIPPED
    files = (path for place in checkpoints.searched(folder) for path in sorted(place.glob(f"{name}[.-]*")))
    return next((path for path in files if path.suffix in _SUFFIXES), None)


def best(folder: Path = checkpoints.FOLDER) -> str:
    """VGG-19 if its file is in a folder of checkpoints, else AlexNet, which is shipped."""
    return "vgg19" if find("vgg19", folder) else "alexnet"


def _named(path: Path, name: str) -> dict[str, Tensor]:
    architecture, weights = _recognised(path)
    if architecture != name:
        raise InputError(f"{path} holds {architecture} instead of {name}; rename it.")
    return weights


def _recognised(path: Path) -> tuple[str, dict[str, Tensor]]:
    if not files.exists(path):
        raise InputError(f"There is no backbone {path}; it is {', '.join(BACKBONES)} or a file.")
    weights = _convolutions(checkpoints.read(path))
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    for architecture, convolutions in ARCHITECTURES.items():
        if shapes == _shapes(convolutions):
            if all(value.isfinite().all() for value in weights.values()):
                return architecture, weights
            raise InputError(f"{path} holds values that are not finite; fetch it again.")
    raise InputError(f"{path} is none of {', '.join(BACKBONES)} as torchvision publishes them; fetch one of those.")


def _convolutions(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights and biases of all convolutions, by their index alone."""
    stems = [name.removesuffix(".weight") for name, value in state.items() if value.dim() == 4]
    names = [f"{stem}.{kind}" for stem in stems for kind in ("weight", "bias")]
    return {".".join(name.split(".")[-2:]): state[name] for name in names if name in state}


def _shapes(convolutions: Sequence[Convolution]) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for convolution in convolutions:
        side, channels = convolution.kernel, convolution.out_channels
        shapes[f"{convolution.index}.weight"] = channels, convolution.in_channels, side, side
        shapes[f"{convolution.index}.bias"] = (channels,)
    return shapes


def _download(name: str, folder: Path) -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights, VGG19_Weights

    weights = {"vgg19": VGG19_Weights, "vgg16": VGG16_Weights}[name].IMAGENET1K_V1
    try:
        with warnings.catch_warnings(action="ignore"):
            return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # a download can fail in any way
        raise InputError(
            f"{name} is not on this machine and could not be downloaded ({' '.join(str(error).split())[:100]}): "
            f"put {weights.url} into {checkpoints.place_for_more(folder)}, or choose alexnet, which is shipped."
        ) from error
