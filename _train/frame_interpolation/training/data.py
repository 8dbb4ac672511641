"""The training data of a run: the DATA of the command line, with the flow that the task needs."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from _databacks.sources import KINDS, TEST, TRAIN, find_kind, open_source
from _train.frame_interpolation.flows import at_moderate_size, weights_of
from _train.frame_interpolation.training.cached_flows import CachedFlows
from _train.frame_interpolation.training.tasks import Task
from _util import runs
from _util.errors import InputError


def open_all(options: argparse.Namespace, task: Task) -> list:
    """The sources of all DATA, in order: triplets by index, or `Toons`.

    Raises:
        InputError: data is missing, cannot be read, or lacks the exact flow that the task needs.
    """
    inexact = next((data for data in options.data if data != "toons"), None)
    if task.needs_exact_flow and inexact:
        open_data(inexact, options, task.finds_motion)  # which says if it is missing
        remedy = "add --self-supervise" if task.self_supervise else "choose another --flow"
        raise InputError(f"{inexact} comes without exact flow; {remedy}, or leave it out.")
    late = sorted(options.data, key=lambda data: data == "toons")  # toons last, since drawing them may take minutes
    opened = {data: open_data(data, options, task.finds_motion) for data in late}
    sources = [opened[data] for data in options.data]
    return [with_flow(source, options.out / f"flows/{i}", options, task) for i, source in enumerate(sources)]


def steps_in_epoch(sources: Sequence, options: argparse.Namespace, processes: int) -> int | None:
    """The number of steps that process as many triplets as there are; None if a source is endless."""
    if any(hasattr(source, "batch") or source.is_unlimited for source in sources):
        return None
    return -(-sum(map(len, sources)) // (options.batch_size * options.accumulate * processes))


def open_data(data: str, options: argparse.Namespace, finds_motion: bool):
    """Open toons, or the triplets of a folder or file; of data with splits, those for training."""
    if data == "toons":
        from _databacks.toons.scenes import Toons  # lazy: only toons need resvg

        return Toons(
            tuple(options.crop),
            options.batch_size,
            options.seed,
            options.device,
            between_ends=not finds_motion,
            from_middle=finds_motion,
        )
    kind, _ = find_kind(data)
    split = TRAIN if kind and KINDS[kind].has_splits else TEST
    source = open_source(data, split).for_crops(tuple(options.crop), options.seed)
    source.reads_flows = False  # a task takes exact flow or that of its own estimator
    return source


def with_flow(source, cache: Path, options: argparse.Namespace, task):
    """Add the flow that the task trains on to a source; toons have their own, and that of other sources without end is
    estimated by the task as it trains."""
    if task.flow is None or hasattr(source, "batch") or source.is_unlimited:
        return source
    weights = {name: runs.digest(path) for name, path in weights_of(task.flow).items()}
    # Of the task, a loader's workers get the estimator alone, which can be pickled.
    estimate = partial(at_moderate_size, task.estimator)
    source = CachedFlows(source, estimate, cache, runs.digest_of([task.flow, weights]), options.device)
    if options.workers and options.device.type == "cuda":  # a loader's workers cannot use the GPU
        source.compute_all()
    return source
