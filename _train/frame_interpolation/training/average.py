"""Exponential moving average of the trained weights, used for validation and export."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


class AveragedWeights:
    """The moving average of tensors that training updates in place.

    Args:
        live: the tensors by name, as from `Module.state_dict`.
        decay: in [0, 1), the share of the average that each step keeps; 0 for no averaging.
    """

    def __init__(self, live: dict[str, Tensor], decay: float):
        self.live, self.decay = live, decay
        self.tensors = {name: tensor.clone() for name, tensor in live.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        _copy(self.tensors, tensors)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average, with a lower decay in the first steps, as the initial weights are far off."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for average, live in zip(self.tensors.values(), self.live.values(), strict=True):
            if live.is_floating_point():
                average.lerp_(live, share)
            else:
                average.copy_(live)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Context manager: inside the block, the networks have the averaged weights."""
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
