"""Averaged weights: an exponential moving average of the trained ones, which validation and exports use."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


class AveragedWeights:
    """The average of tensors that training changes in place.

    Args:
        live: the tensors by name, as of `Module.state_dict`.
        decay: from 0, no average, to below 1: the share of the average that each step keeps.
    """

    def __init__(self, live: dict[str, Tensor], decay: float):
        self.live, self.decay = live, decay
        self.tensors = {name: tensor.clone() for name, tensor in live.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        _copy(self.tensors, tensors)

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move toward the trained weights; at first faster, as these come from far away."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for average, live in zip(self.tensors.values(), self.live.values(), strict=True):
            if live.is_floating_point():
                average.lerp_(live, share)
            else:
                average.copy_(live)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block, the networks have the averaged weights."""
        trained = {name: tensor.clone() for name, tensor in self.live.items()}
        _copy(self.live, self.tensors)
        try:
            yield
        finally:
            _copy(self.live, trained)


def _copy(into: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in tensors.items():
            into[name].copy_(tensor)
