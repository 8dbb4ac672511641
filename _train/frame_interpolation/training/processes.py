"""The processes that `torchrun` starts, which share a work and tell each other their parts of it."""

from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from _util import torchrun

T = TypeVar("T")
_PATIENCE = timedelta(days=7)  # shares may take very different times


class Processes:
    """This process among those of one `torchrun`; alone without it.

    Attributes:
        rank: from 0 to count - 1.
    """

    def __init__(self):
        self.rank, self.count = torchrun.rank(), torchrun.count()
        if self.count > 1:
            dist.init_process_group("gloo", timeout=_PATIENCE)

    def device(self, name: str) -> str:
        """The device of that name; of "auto" and "cuda", this process's share of the GPUs."""
        if self.count == 1 or name not in ("auto", "cuda") or not torch.cuda.is_available():
            return name
        return f"cuda:{torchrun.local_rank() % torch.cuda.device_count()}"

    def gather(self, part: T) -> list[T]:
        """The parts of all processes in their order, once all have come here."""
        if self.count == 1:
            return [part]
        parts: list[T | None] = [None] * self.count
        dist.all_gather_object(parts, part)
        return parts

    def leave(self) -> None:
        """Part from the others."""
        if self.count > 1:
            dist.destroy_process_group()
