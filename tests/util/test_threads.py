import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from _train.frame_interpolation import Interpolator
from _util import threads
from _util.distance_transform import edt

ROOT = Path(__file__).parents[2]


def needs_fork(test: Callable) -> Callable:
    warns = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    return pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")(warns(test))


def count(counts: np.ndarray, start: int, stop: int) -> None:
    for task in range(start, stop):
        counts[task] += 1


@pytest.mark.parametrize("number", [1, 2, 3, 7, 16])
def test_every_task_runs_once(number, with_threads):
    with_threads(number)
    for tasks in (0, 1, 2, 3, 5, 15, 16, 17, 100):
        counts, ranges = np.zeros(tasks, int), []

        def kernel(counts, ranges, start, stop):
            ranges.append((start, stop))
            count(counts, start, stop)

        threads.run(kernel, tasks, counts, ranges)
        assert (counts == 1).all()
        assert 1 <= len(ranges) <= max(1, min(tasks, 4 * number))


@pytest.mark.parametrize("failing", [0, 4, 9])
def test_exceptions_reach_the_caller(failing, with_threads):
    def kernel(start: int, stop: int) -> None:
        if start <= failing < stop:
            raise ZeroDivisionError

    with_threads(3)
    with pytest.raises(ZeroDivisionError):
        threads.run(kernel, 10)
    counts = np.zeros(10, int)
    threads.run(count, 10, counts)
    assert (counts == 1).all()


def test_from_several_threads_at_once(with_threads):
    with_threads(4)
    lines = [(torch.rand(1, 1, 40, 60) < 0.05) for _ in range(4)]
    expected = [edt(drawing) for drawing in lines]

    def repeatedly(i: int) -> bool:
        torch.set_num_threads(4)  # PyTorch keeps this per thread
        return all(torch.equal(edt(lines[i]), expected[i]) for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(repeatedly, range(4)))


@pytest.mark.parametrize("number", [1, 3])
def test_a_few_calls_return_in_order_and_may_run_kernels(number, with_threads):
    with_threads(number)

    def call(tasks: int, seconds: float) -> tuple[int, int, bool]:
        time.sleep(seconds)
        counts = np.zeros(tasks, int)
        threads.run(count, tasks, counts)
        return int(counts.sum()), torch.get_num_threads(), torch.is_inference_mode_enabled()

    for mode in (False, True):
        with torch.inference_mode(mode):
            assert threads.each(call, (20, 30, 40), (0.02, 0.01, 0)) == [(n, number, mode) for n in (20, 30, 40)]
    for failing in ((1, 0), (0, 1)):
        with pytest.raises(ZeroDivisionError):
            threads.each(lambda x: 1 / (1 - x), failing)


def in_a_fork(works: Callable[[], bool]) -> bool:
    """Whether `works` returns true in a forked process."""
    child = os.fork()
    if child == 0:
        succeeds = False
        try:
            succeeds = works()
        finally:
            os._exit(0 if succeeds else 1)
    deadline = time.monotonic() + 30
    while (finished := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.02)
    if finished == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    return os.waitstatus_to_exitcode(finished[1]) == 0


@needs_fork
def test_in_a_forked_child(with_threads):
    with_threads(4)
    counts, lines = np.zeros(100, int), torch.rand(1, 1, 40, 60) < 0.05
    threads.run(count, 100, counts)  # the pool exists before the fork
    expected = edt(lines)

    def works() -> bool:
        torch.set_num_threads(4)
        threads.run(count, 100, counts)
        return bool((counts == 2).all() and torch.equal(edt(lines), expected))

    assert in_a_fork(works)


CREATED = """
import os, sys, time
import numpy as np, torch
from _train.frame_interpolation import Interpolator
from _util.metrics import LPIPS
torch.set_num_threads(2)
pair = np.random.default_rng(0).integers(0, 256, (2, 240, 320, 3), np.uint8)
interpolate = Interpolator(synthesis="ifnet", device="cpu", precision="fp32")
if sys.argv[1] == "measured":
    LPIPS().update(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))
child = os.fork()
if child == 0:
    interpolate(*pair)
    os._exit(0)
for _ in range(1500):
    if (status := os.waitpid(child, os.WNOHANG)) != (0, 0):
        sys.exit(status[1])
    time.sleep(0.02)
os.kill(child, 9)
sys.exit("the child hangs")
"""


@needs_fork
@pytest.mark.parametrize("parent", ["created", "measured"])
def test_a_fork_draws_where_its_parent_has_not_drawn(parent):
    program = [sys.executable, "-W", "ignore", "-c", CREATED, parent]
    finished = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr


@needs_fork
def test_a_fork_draws_what_its_parent_has_drawn(with_threads):
    with_threads(4)
    interpolate = Interpolator("dis", "splat", "cpu")
    pair = np.random.default_rng(0).integers(0, 256, (2, 240, 320, 3), np.uint8)
    (expected,) = interpolate(*pair)
    assert in_a_fork(lambda: bool(np.abs(interpolate(*pair)[0].astype(int) - expected).max() <= 2))
