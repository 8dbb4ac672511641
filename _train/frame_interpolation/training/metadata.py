"""The state and metadata that a run begins with: how each run was called, on what, which options it keeps."""

import argparse
import math
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from _util import command, places, runs, torchrun
from _util.errors import InputError

# Options that are fixed for a run; the others may change when it is resumed.
FIXED = (
    "model", "data", "weights", "batch_size", "crop", "lr", "schedule", "precision", "ema", "seed",
    "task", "flow", "features", "style_features", "stages", "blocks", "self_supervise", "freeze_batch_norm",
)  # fmt: skip


def describe(options: argparse.Namespace, processes: int) -> dict:
    """The metadata of a checkpoint's training, as plain values."""
    import torch

    cuda = options.device.type == "cuda"
    name = torch.cuda.get_device_name(options.device) if cuda else platform.processor() or platform.machine()
    run = {
        "command": command.as_typed("_train.frame_interpolation.train"),
        "commit": _commit(),
        "hardware": f"{processes} × {name}",
        "processes": processes,
        "validated_on": runs.digest_of(list(map(runs.digest, options.validate))) if options.validate else "",
    }
    chosen = {name: getattr(options, name) for name in FIXED} | {"batches_a_step": options.accumulate * processes}
    chosen["from"] = [str(path) for path in options.start or []]
    if options.schedule == "cosine":
        chosen["steps"] = options.steps
    return {"options": {name: list(v) if isinstance(v, tuple) else v for name, v in chosen.items()}, "runs": [run]}


def _commit() -> str:
    """The project's commit, if it is a clone and git is installed."""
    git = shutil.which("git") if places.IS_REPOSITORY else None
    if git is None:
        return "unknown"
    words = [git, "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(words, capture_output=True, text=True, cwd=places.ROOT).stdout.strip() or "unknown"


def refuse_changes(before: dict, now: dict, last: Path) -> None:
    """Raise InputError if a fixed option differs from that of the run to resume; --from may be left out."""
    before = {"from": now["from"]} | before  # earlier versions did not record it
    now["from"] = now["from"] or before["from"]
    if changes := runs.changes(before, now):
        raise InputError(f"{last} was begun with {changes}; give the same options, or choose another OUT.")


def continue_runs(state: dict, metadata: dict) -> None:
    """Put the runs of a checkpoint before this one. If the last was validated on other pictures, its best loss is
    forgotten, as it is no measure of these."""
    before, now = state["metadata"]["runs"], metadata["runs"]
    earlier = before[-1].get("validated_on", "")
    now[-1]["validated_on"] = now[-1]["validated_on"] or earlier
    if earlier not in ("", now[-1]["validated_on"]):
        state["best"] = state["plateau"]["best"] = math.inf
    metadata["runs"] = [*before, *now]


def read_state(last: Path, options: argparse.Namespace, processes: int) -> dict[str, Any] | None:
    """The state of the last checkpoint, the same in all processes; None if training begins.

    If the number of processes has changed, `options.accumulate` is set so that steps hold as many batches as before.
    """
    from _train.frame_interpolation.training import elastic
    from _train.frame_interpolation.training.journal import read_checkpoint

    state = read_checkpoint(last) if last.exists() else None
    elastic.require_one_state(state["step"] if state else 0, last)
    if state and state["metadata"]["runs"][-1].get("processes", processes) != processes:
        options.accumulate = elastic.batches_per_process(state["metadata"]["options"]["batches_a_step"], processes)
    return state


def is_finished(step: int, last: Path, options: argparse.Namespace) -> bool:
    """Whether the checkpoint `last`, of a step, is the one that was asked for; prints a sentence if it is.

    Raises:
        InputError: it is of a later step.
    """
    if step > options.steps:
        raise InputError(f"{last} is at step {step} already; ask for more --steps.")
    if step == options.steps and not torchrun.rank():
        further = "its schedule ends there" if options.schedule == "cosine" else "more --steps train further"
        print(f"{last} is at step {step} already; nothing to do ({further}).")
    return step == options.steps
