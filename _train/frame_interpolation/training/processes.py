"""The processes of `torchrun`, which share work and exchange results."""

from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from _util import torchrun

T = TypeVar("T")
_TIMEOUT = timedelta(days=7)  # processes may finish at very different times


class Processes:
    """This process among those of one `torchrun`; a single process without it.

    Attributes:
        rank: from 0 to count - 1.
    """

    def __init__(self):
        self.rank, self.count = torchrun.rank(), torchrun.count()
        if self.count > 1:
            dist.init_process_group("gloo", timeout=_TIMEOUT)

    def device(self, name: str) -> str:
        """The device of this name; for "auto" and "cuda" with several processes, GPUs are assigned by local rank."""
        if self.count == 1 or name not in ("auto", "cuda") or not torch.cuda.is_available():
            return name
        return f"cuda:{torchrun.local_rank() % torch.cuda.device_count()}"

    def gather(self, part: T) -> list[T]:
        """Gather the parts of all processes, in order of rank; blocks until all have called it."""
        if self.count == 1:
            return [part]
        parts = [part] * self.count
        dist.all_gather_object(parts, part)
        return parts

    def leave(self) -> None:
        """Leave the process group."""
        if self.count > 1:
            dist.destroy_process_group()
