"""Processes that `torchrun` starts, and starts again when one was lost, possibly with others beside them.

A run of training resumes from the last checkpoint after every start, so all that a start needs is that the processes
find each other, and nothing but each other: torchrun keeps one store for all starts, and an address that a process of
an earlier start left there leads nowhere.
"""

import atexit
import os
import time
import uuid
from datetime import timedelta

import torch
import torch.distributed as dist

from _util import torchrun
from _util.errors import InputError

_PATIENCE = timedelta(minutes=30)  # until a process that does not answer counts as lost
_PAUSE = 0.02  # seconds


def join(device: torch.device) -> None:
    """Make the process group of this start: NCCL between GPUs, Gloo else, none of a process alone."""
    rank, count = torchrun.rank(), torchrun.count()
    if count == 1 or dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, *_ = next(dist.rendezvous("env://", timeout=_PATIENCE))
    store = dist.PrefixStore(agree(store, rank, count), store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=_PATIENCE)
    atexit.register(dist.destroy_process_group)


def agree(store: dist.Store, rank: int, count: int) -> str:
    """A word that the processes of this start have in common, and those of no earlier one.

    Each writes a word of its own. The first gathers them until all others have seen their own among what it gathered;
    the words of an earlier start are there until new ones replace them.
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


def share(batches_a_step: int, processes: int) -> int:
    """Batches of each process in a step, where a run resumes with another number of processes than it had.

    Raises:
        InputError: they cannot share a step's batches equally.
    """
    if batches_a_step % processes:
        raise InputError(
            f"{batches_a_step} batches a step cannot be shared by {processes} processes; resume with a number of "
            "processes that divides them."
        )
    return batches_a_step // processes


def require_one_state(step: int, path: os.PathLike) -> None:
    """Raise InputError in all processes if they do not resume from one step."""
    if not dist.is_initialized():
        return
    steps = [step] * dist.get_world_size()
    dist.all_gather_object(steps, step)
    if len(set(steps)) > 1:
        raise InputError(
            f"Processes find {path} at different steps, {min(steps)} to {max(steps)}; OUT must be in a folder that all "
            "machines share."
        )
