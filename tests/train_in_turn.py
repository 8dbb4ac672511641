"""Several trainings one after the other, each a list of the trainer's arguments in JSON, by plain gradient descent.

As a script, it is torchrun with two processes and one restart; the second process is killed in the middle of the first
training. They are forked, so that libraries are imported once.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence

import lightning  # noqa: F401
import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from _train.frame_interpolation import train
from _train.frame_interpolation.training.journal import Journal
from _train.frame_interpolation.training.tasks.ifnet import IFNetTask
from _train.frame_interpolation.training.tasks.task import Task
from _util import command
from tests import train_tiny

DIES_AT = 6  # step, counted from 0
DYING = "The second process dies."


def by_descent(task: Task, lr: float) -> torch.optim.Optimizer:
    """An optimiser with which the change of a weight is its gradient."""
    return torch.optim.SGD([parameter for parameter in task.networks.parameters() if parameter.requires_grad], lr)


def draw_nothing(journal: Journal) -> None:
    """In the place of curves, which take longer than the steps."""


def die_once() -> None:
    right, calls = train_tiny.Tiny.training_loss, iter(range(1000))

    def deadly(self, batch):
        if next(calls) == DIES_AT:
            print(DYING, file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return right(self, batch)

    if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        train_tiny.Tiny.training_loss = deadly


def name_losses() -> None:
    """Have the loss of each triplet as a figure of its own, so that processes have different figures."""
    right = train_tiny.Tiny.training_loss

    def named(self, batch):
        loss, figures = right(self, batch)
        return loss, {f"loss of {batch.names[0]}": loss, **figures}

    train_tiny.Tiny.training_loss = named


def work(trainings: Sequence[str]) -> None:
    """What each process does at each start."""
    torch.set_num_threads(1)
    Task.optimizer = IFNetTask.optimizer = by_descent
    Journal.draw = draw_nothing
    name_losses()
    die_once()
    for arguments in trainings:
        sys.argv = ["train", *json.loads(arguments)]
        train.main()


def main() -> None:
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id="in_turn",
        max_restarts=1,
        monitor_interval=0.1,
        start_method="fork",
    )
    elastic_launch(config, work)(sys.argv[1:])


if __name__ == "__main__":
    command.run(main)
