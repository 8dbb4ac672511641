"""Training on several processes: the results of one, whoever dies on the way."""

import csv
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.distributed as dist

from _train.frame_interpolation import train
from _train.frame_interpolation.training import elastic
from _train.frame_interpolation.training.journal import Journal, read_checkpoint
from _train.frame_interpolation.training.tasks.ifnet import IFNetTask
from _train.frame_interpolation.training.tasks.task import Task
from _util.errors import InputError

pytest.importorskip("lightning", reason="training needs what make/setup train installs")
train_in_turn = pytest.importorskip("tests.train_in_turn")  # imports it too

ROOT = Path(__file__).parents[3]
COMMON = ["--batch-size", "1", "--crop", "64", "64", "--log-every", "1", "--device", "cpu", "--freeze-batch-norm"]
STEPS = 9
TRAININGS = {  # the first is the one in which a process dies
    "tiny": ["--model", "tiny", "--steps", str(STEPS), "--save-every", "4"],
    "rfr": ["--model", "rfr", "--self-supervise", "--steps", "1"],
    "ssldtm": ["--model", "ssldtm", "--features", "random", "--steps", "1"],
    "fusion": ["--model", "fusion", "--steps", "1"],
    "ifnet": ["--model", "ifnet", "--steps", "1", "--lr", "1e-2"],
    "resunet": ["--model", "resunet", "--style-features", "alexnet", "--steps", "1"],
    "unet": ["--model", "unet", "--style-features", "alexnet", "--steps", "1"],
    "transunet": ["--model", "transunet", "--style-features", "alexnet", "--steps", "1"],
    "optflow": [
        "--model", "resunet", "--task", "optflow", "--self-supervise", "--style-features", "alexnet", "--steps", "1",
    ],
    "animeinterp": [
        "--model", "animeinterp", "--style-features", "alexnet", "--flow", "dis", "--stages", "frozen", "vgg@1",
        "--steps", "2", "--lr", "1e-3",
    ],
    "animeinterp-gma": [
        "--model", "animeinterp-gma", "--style-features", "alexnet", "--flow", "dis", "--stages", "l1", "--steps", "1",
        "--lr", "1e-3", "--freeze-batch-norm",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """`data/`, four triplets of a disc that moves over a painted ground."""
    folder = tmp_path_factory.mktemp("machines")
    for i in range(4):
        noise = np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8)
        ground = cv2.resize(noise, (64, 64), interpolation=cv2.INTER_CUBIC)
        (folder / "data" / f"{i}").mkdir(parents=True)
        for k in range(3):
            frame = ground.copy()
            cv2.circle(frame, (26 + 4 * k, 28 + 2 * i), 12, (40 * i, 200 - 40 * i, 90), -1, cv2.LINE_AA)
            cv2.imwrite(str(folder / "data" / f"{i}" / f"{k}.png"), frame)
    return folder


def arguments(folder: Path, name: str, processes: int) -> list[str]:
    out = folder / f"{name}-{processes}"
    return [str(folder / "data"), str(out), *COMMON, *TRAININGS[name], "--accumulate", str(2 // processes)]


@pytest.fixture(scope="module")
def two(folder) -> Path:
    """All trainings on two processes, of which one is killed once."""
    trainings = [json.dumps(arguments(folder, name, 2)) for name in TRAININGS]
    finished = subprocess.run(
        [sys.executable, "-m", "tests.train_in_turn", *trainings],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    # torchrun names whichever process it finds ended first: this one, or the one that waited for it in vain.
    assert finished.stderr.count(train_in_turn.DYING) == 1
    return folder


@pytest.fixture
def one(folder, call, monkeypatch):
    """Trains in this process, as two would."""

    def one(name: str) -> dict:
        for task in (Task, IFNetTask):
            monkeypatch.setattr(task, "optimizer", train_in_turn.by_descent)
        monkeypatch.setattr(Journal, "draw", train_in_turn.draw_nothing)
        assert call(train.main, *arguments(folder, name, 1)).code == 0
        return state(folder, name, 1)

    return one


def state(folder: Path, name: str, processes: int) -> dict:
    return read_checkpoint(folder / f"{name}-{processes}" / "checkpoints/last.ckpt")


def rows(folder: Path, name: str, processes: int) -> list[dict[str, str]]:
    with (folder / f"{name}-{processes}" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same_networks(ours: dict, theirs: dict) -> None:
    for name, tensor in theirs["networks"].items():
        torch.testing.assert_close(
            ours["networks"][name], tensor, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.slow
class TestTwoProcesses:
    def test_go_on_from_the_last_checkpoint_after_one_was_killed(self, two, one):
        ended = state(two, "tiny", 2)
        assert ended["step"] == STEPS
        assert len(ended["metadata"]["runs"]) == 2
        assert [int(row["step"]) for row in rows(two, "tiny", 2)] == list(range(1, STEPS + 1))
        assert_same_networks(ended, one("tiny"))

    @pytest.mark.parametrize("name", [name for name in TRAININGS if name != "tiny"])
    def test_have_the_gradients_of_one(self, two, one, name):
        ours, theirs = state(two, name, 2), one(name)
        assert_same_networks(ours, theirs)
        losses = [float(rows(two, name, processes)[-1]["loss"]) for processes in (1, 2)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)

    def test_each_figure_is_of_the_processes_that_have_it(self, two):
        for row in rows(two, "tiny", 2):
            of_triplets = [float(value) for name, value in row.items() if name.startswith("loss of") and value]
            assert len(of_triplets) == 2
            assert of_triplets[0] != of_triplets[1]
            assert float(row["loss"]) == pytest.approx(np.mean(of_triplets), rel=1e-5)

    def test_one_goes_on_where_two_ended(self, two, call):
        more = arguments(two, "tiny", 2)
        more[more.index("--steps") + 1] = str(STEPS + 1)
        assert call(train.main, *more).code == 0
        ended = state(two, "tiny", 2)
        assert ended["step"] == STEPS + 1
        assert ended["metadata"]["options"]["batches_a_step"] == 2


@pytest.mark.slow
def test_an_interrupt_of_torchrun_saves_the_step_of_all(folder):
    out = folder / "interrupted"
    elastic_run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = [*elastic_run, str(ROOT / "tests/train_tiny.py"), str(folder / "data"), str(out), *COMMON]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    options = ("--model", "tiny", "--steps", "100000", "--save-every", "100000")
    process = subprocess.Popen([*program, *options], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    while not (out / "metrics.csv").exists() and process.poll() is None:
        time.sleep(0.1)
    process.terminate()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    step = read_checkpoint(out / "checkpoints/last.ckpt")["step"]
    assert said.count(f"Interrupted after step {step} of 100000, which is saved") == 2


def wait_for_the_first(rank: int, port: int, received) -> None:
    """Be one of two processes, of which the first works alone for longer than a process may be silent."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    elastic._TIMEOUT = timedelta(seconds=2)
    elastic.join(torch.device("cpu"))
    group = elastic.create_patient_group()
    time.sleep(0 if rank else 3)
    received.put(elastic.from_first(rank, group))


def test_the_first_process_may_work_alone_for_long():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    forking = multiprocessing.get_context("fork")
    received = forking.SimpleQueue()
    processes = [forking.Process(target=wait_for_the_first, args=(rank, port, received)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [received.get() for _ in processes] == [0, 0]


class TestAgreement:
    def test_ignores_what_an_earlier_start_left(self):
        store, earlier = dist.HashStore(), None
        for start in range(3):
            words: list[str | None] = [None] * 4

            def agree(rank, words=words):
                words[rank] = elastic.agree(store, rank, 4)

            # In every start others come first.
            threads = [threading.Thread(target=agree, args=[(rank + start) % 4]) for rank in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            assert len(set(words)) == 1
            assert words[0] not in (None, earlier)
            earlier = words[0]

    def test_batches_are_shared_equally_or_not_at_all(self):
        assert elastic.batches_per_process(8, 2) == 4
        with pytest.raises(InputError, match="8 batches a step cannot be shared by 3 processes"):
            elastic.batches_per_process(8, 3)
