"""ComfyUI's nodes: IMAGE tensors (b, h, w, c) float32 in [0, 1] in, the same with frames between out."""

import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from _train.frame_interpolation import easing, methods
from _train.frame_interpolation.interpolator import Interpolator
from _util.pixels import with_channels

_BETWEEN = ("INT", {"default": 1, "min": 1, "max": 63, "tooltip": "frames drawn in each gap"})
_SYNTHESIS = (["auto", *methods.SYNTHESES], {"default": "auto"})
_EASE = (["none", "auto"], {"default": "none", "tooltip": "auto: estimated from the neighbouring images"})


@functools.lru_cache(maxsize=1)
def _interpolator(synthesis: str) -> Interpolator:
    return Interpolator(synthesis=synthesis, device=_device())


def _device() -> str | torch.device:
    """The device that ComfyUI computes on, as by its `--cpu` and `--cuda-device`; without ComfyUI, "auto"."""
    try:
        from comfy.model_management import get_torch_device
    except ImportError:
        return "auto"
    device = get_torch_device()
    return device if device.type in ("cpu", "cuda", "mps", "xpu") else "auto"  # not on DirectML


def interpolate(images: Sequence[Tensor], between: int, synthesis: str, ease: str = "none") -> Tensor:
    """All images (h, w, c) with `between` frames in each gap: ((n − 1) · (between + 1) + 1, h, w, c).

    If some images have fewer channels than others, grey becomes RGB, and added alpha is opaque.

    Args:
        ease: "none", or "auto": easing is estimated from the neighbouring gaps.

    Raises:
        ValueError: there are no images, they differ in size, or there is no such ease.
        InputError: the ease is "auto", and the synthesis does not find motion itself.
    """
    arrays = _alike([image.detach().float().cpu().numpy() for image in _checked(images)])
    if ease not in _EASE[0]:
        raise ValueError(f"There is no ease {ease!r}; there are {' and '.join(_EASE[0])}.")
    draw, times = _interpolator(synthesis), [(i + 1) / (between + 1) for i in range(between)]
    advance = _progress((len(arrays) - 1) * between)
    if ease == "auto":
        draw.check_eases()

    @functools.lru_cache(maxsize=4)
    def motion(gap: int) -> easing.GapMotion:
        return easing.GapMotion(draw.displacement(arrays[gap], arrays[gap + 1]), 1)

    frames = arrays[:1]
    for gap, (one, other) in enumerate(itertools.pairwise(arrays)):
        eased = None
        if ease == "auto" and 0 < gap < len(arrays) - 2:
            eased = easing.estimate(motion(gap - 1), motion(gap), motion(gap + 1))
        for frame in draw.draw(draw.prepare(one, other), times, easing=eased):
            frames.append(frame().clip(0, 1))
            advance(1)
        frames.append(other)
    return torch.from_numpy(np.stack(frames))


def _checked(images: Sequence[Tensor] | Tensor) -> Sequence[Tensor] | Tensor:
    if not len(images):
        raise ValueError("The batch holds no images; at least one is needed.")
    return images


def _only(images: Tensor) -> Tensor:
    if len(_checked(images)) > 1:
        raise ValueError(
            f"A batch of {len(images)} images is no end of a pair; select one of them, or use the node for a sequence."
        )
    return images[0]


def _alike(images: list[np.ndarray]) -> list[np.ndarray]:
    sizes = {f"{image.shape[1]}×{image.shape[0]}" for image in images}
    if len(sizes) > 1:
        raise ValueError(f"Images have different sizes, {' and '.join(sorted(sizes))} pixels; scale them to one.")
    channels = max(image.shape[2] for image in images)
    return [with_channels(image, channels) if channels > 1 else image for image in images]


def _progress(total: int) -> Callable[[int], None]:
    """ComfyUI's progress bar, which also ends the work when the user cancels it; without ComfyUI, nothing."""
    try:
        from comfy.utils import ProgressBar
    except ImportError:
        return lambda done: None
    return ProgressBar(total).update


class _Node:
    """Base class with what ComfyUI requires of a node besides its inputs; `run` returns a batch of images."""

    CATEGORY = "inbetween"
    FUNCTION = "run"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)


class InbetweenPair(_Node):
    """The frames from one image to another, both included."""

    @classmethod
    def INPUT_TYPES(cls) -> dict:  # noqa: N802 - ComfyUI's name
        return {"required": {"first": ("IMAGE",), "last": ("IMAGE",), "between": _BETWEEN, "synthesis": _SYNTHESIS}}

    def run(self, first: Tensor, last: Tensor, between: int, synthesis: str) -> tuple[Tensor]:
        return (interpolate([_only(first), _only(last)], between, synthesis),)


class InbetweenSequence(_Node):
    """A batch of images in order, with frames drawn in each gap."""

    @classmethod
    def INPUT_TYPES(cls) -> dict:  # noqa: N802 - ComfyUI's name
        return {
            "required": {"images": ("IMAGE",), "between": _BETWEEN, "synthesis": _SYNTHESIS},
            "optional": {"ease": _EASE},  # workflows saved before it was there have none
        }

    def run(self, images: Tensor, between: int, synthesis: str, ease: str = "none") -> tuple[Tensor]:
        return (interpolate(list(images), between, synthesis, ease),)


NODE_CLASS_MAPPINGS = {"InbetweenPair": InbetweenPair, "InbetweenSequence": InbetweenSequence}
NODE_DISPLAY_NAME_MAPPINGS = {
    "InbetweenPair": "In-betweens of a pair",
    "InbetweenSequence": "In-betweens of a sequence",
}
