"""Three frames of an animation, the middle one being the truth that training and evaluation compare with.

A source of triplets has a length, `names`, known before anything is decoded, and items, of which one that cannot be
used raises `InputError` and leaves the others usable.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from _util import files, image
from _util.errors import InputError


class Triplet(NamedTuple):
    """Frames at the times 0, `time` and 1, and the flow between the first and the last if it is known."""

    name: str
    frames: Tensor  # (3, 3, h, w) float32 RGB in [0, 1]: frame 0, the truth at `time`, frame 1
    flows: tuple[Tensor, Tensor] | None = None  # flow01, flow10, (2, h, w), x then y, pixels
    time: float = 0.5


class Source(Protocol):
    """Triplets by index."""

    names: list[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Triplet: ...


def read_frames(folder: Path) -> Tensor:
    """The three pictures of a folder, in natural order, as (3, 3, h, w) RGB in [0, 1].

    Grey becomes RGB; what is transparent shows white, the paper of a drawing.

    Raises:
        InputError: there are not three, one cannot be read, or their sizes differ.
    """
    paths = files.pictures(folder)
    if len(paths) != 3:
        raise InputError(f"{folder} holds {len(paths)} pictures; a triplet is three.")
    frames = [_over_white(image.to_tensor(image.read(path))) for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise InputError(
                f"{path} is {_size(frame)}, but {paths[0].name} is {_size(frames[0])}; make both one size."
            )
    return torch.stack(frames)


def _over_white(picture: Tensor) -> Tensor:
    if len(picture) == 4:
        colours, alpha = picture.split([3, 1])
        return 1 - alpha + alpha * colours
    return picture.expand(3, -1, -1)


def _size(frame: Tensor) -> str:
    return f"{frame.shape[2]}×{frame.shape[1]}"
