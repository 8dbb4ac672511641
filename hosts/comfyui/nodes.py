"""ComfyUI's nodes: IMAGE tensors (b, h, w, c) float32 in [0, 1] in, the same with frames between out."""

import functools
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from _train.frame_interpolation import methods
from _train.frame_interpolation.interpolator import Interpolator

_BETWEEN = ("INT", {"default": 1, "min": 1, "max": 63, "tooltip": "frames drawn in each gap, evenly spaced"})
_SYNTHESIS = (["auto", *methods.SYNTHESES], {"default": "auto"})


@functools.lru_cache(maxsize=1)
def _interpolator(synthesis: str) -> Interpolator:
    return Interpolator(synthesis=synthesis)


def interpolate(images: Sequence[Tensor], between: int, synthesis: str) -> Tensor:
    """All images (h, w, c) with `between` frames in each gap: ((n − 1) · (between + 1) + 1, h, w, c)."""
    images = [image.detach().float().cpu() for image in images]
    sizes = {tuple(image.shape) for image in images}
    if len(sizes) > 1:
        raise ValueError(f"Images have different sizes, {' and '.join(map(str, sorted(sizes)))}; scale them to one.")
    draw, times = _interpolator(synthesis), [(i + 1) / (between + 1) for i in range(between)]
    frames = images[:1]
    for one, other in itertools.pairwise(images):
        frames += [torch.from_numpy(frame).clamp(0, 1) for frame in draw(one.numpy(), other.numpy(), times)]
        frames.append(other)
    return torch.stack(frames)


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
        return (interpolate([first[-1], last[0]], between, synthesis),)


class InbetweenSequence(_Node):
    """A batch of images in order, with frames drawn in each gap."""

    @classmethod
    def INPUT_TYPES(cls) -> dict:  # noqa: N802 - ComfyUI's name
        return {"required": {"images": ("IMAGE",), "between": _BETWEEN, "synthesis": _SYNTHESIS}}

    def run(self, images: Tensor, between: int, synthesis: str) -> tuple[Tensor]:
        return (interpolate(list(images), between, synthesis),)


NODE_CLASS_MAPPINGS = {"InbetweenPair": InbetweenPair, "InbetweenSequence": InbetweenSequence}
NODE_DISPLAY_NAME_MAPPINGS = {
    "InbetweenPair": "In-betweens of a pair",
    "InbetweenSequence": "In-betweens of a sequence",
}
