"""Process groups under elastic `torchrun`, which restarts all processes if one is lost, possibly in other numbers.

Training resumes from the last checkpoint after every restart. So a restart only requires that its processes find each
other, and none of an earlier start: torchrun keeps one store for all restarts, and addresses that earlier processes
left there are stale.
"""

import atexit
import os
import time
import uuid
from argparse import Namespace
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist

from _util import torchrun
from _util.counts import counted
from _util.device import choose
from _util.errors import InputError

T = TypeVar("T")
_TIMEOUT = timedelta(minutes=30)  # timeout after which a process counts as lost
_TIMEOUT_ALONE = timedelta(days=1)  # while the first process works alone, as for validation
_PAUSE = 0.02  # seconds


def choose_device(name: str) -> torch.device:
    """The device of this process, by its name as of `device.choose`; of "cuda", the GPU of its local rank.

    Raises:
        InputError: there is no such device, or it would have to be shared with another process.
    """
    device = choose(name)
    if device.type != "cuda":
        return device
    count, here, gpus = torchrun.count(), torchrun.local_count(), torch.cuda.device_count()
    if device.index is not None and count > 1:
        raise InputError(f"{name} is one GPU, for {count} processes; choose --device cuda, and each takes its own.")
    if here > gpus:
        raise InputError(
            f"{here} processes share {counted(gpus, 'GPU')} on this machine; start one for each (--nproc-per-node)."
        )
    return device if device.index is not None else torch.device("cuda", torchrun.local_rank())


def join(device: torch.device) -> None:
    """Create the process group of this start: NCCL between GPUs, otherwise Gloo; none for a single process."""
    rank, count = torchrun.rank(), torchrun.count()
    if count == 1 or dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, *_ = next(dist.rendezvous("env://", timeout=_TIMEOUT))
    store = dist.PrefixStore(agree(store, rank, count), store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=_TIMEOUT)
    atexit.register(dist.destroy_process_group)


def create_fabric(options: Namespace, uses_all_weights: bool, processes: int):
    """Create the Fabric, which handles devices and processes for the loop."""
    from lightning.fabric import Fabric
    from lightning.fabric.strategies import DDPStrategy

    here = torchrun.local_count()
    on_gpu = options.device.type == "cuda"
    return Fabric(
        accelerator="gpu" if on_gpu else "cpu",
        devices=[options.device.index] if on_gpu and processes == 1 else here,
        num_nodes=processes // here,
        strategy=DDPStrategy(find_unused_parameters=not uses_all_weights) if processes > 1 else "auto",
    )


def gather(part: T) -> list[T]:
    """Gather the parts of all processes, in order of rank; blocks until all have called it."""
    if not dist.is_initialized():
        return [part]
    parts = [part] * dist.get_world_size()
    dist.all_gather_object(parts, part)
    return parts


def create_patient_group() -> dist.ProcessGroup | None:
    """Create a group of all processes for `from_first`; None for a single process."""
    if not dist.is_initialized():
        return None
    return cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=_TIMEOUT_ALONE))


def from_first(value: Any, group: dist.ProcessGroup | None) -> Any:
    """The value of the first process, for which the others may wait for a day."""
    values = [value]
    if group is not None:
        dist.broadcast_object_list(values, src=0, group=group)
    return values[0]


def agree(store: dist.Store, rank: int, count: int) -> str:
    """Agree on a key shared by the processes of this start, and by none of an earlier start.

    Each process writes a random word. Rank 0 collects the words until every other process has seen its own among
    them; until then, some may be left over from an earlier start.
    """
    word, others = uuid.uuid4().hex, range(1, count)
    if rank:
        store.set(f"word/{rank}", word)
        while word not in (gathered := store.get("words").decode().split()):
            time.sleep(_PAUSE)
        store.set(f"seen/{rank}", gathered[0])
        return gathered[0]
    for other in others:
        store.set(f"seen/{other}", "")
    while any(store.get(f"seen/{other}").decode() != word for other in others):
        words = [store.get(f"word/{other}").decode() for other in others]
        store.set("words", " ".join([word, *words]))
        time.sleep(_PAUSE)
    return word


def batches_per_process(batches_a_step: int, processes: int) -> int:
    """Batches per process and step, when a run resumes with another number of processes.

    Raises:
        InputError: the batches of a step cannot be divided equally.
    """
    if batches_a_step % processes:
        raise InputError(
            f"{batches_a_step} batches a step cannot be shared by {processes} processes; resume with a number of "
            "processes that divides them."
        )
    return batches_a_step // processes


def require_one_state(step: int, path: os.PathLike) -> None:
    """Raise InputError in all processes unless they resume from the same step."""
    steps = gather(step)
    if len(set(steps)) > 1:
        raise InputError(
            f"Processes find {path} at different steps, {min(steps)} to {max(steps)}; OUT must be in a folder that all "
            "machines share."
        )
