"""Runs jobs in parallel: in processes of this machine, or on a Ray cluster.

In: `work`, a function of a module, of a job and of `tick`, which reports progress; jobs. Out: each job with its
result as it is done, in any order; with None if its process died, for lack of memory, say. `processes` and `cluster`
are called alike. Work ends with the process that asked for it, however that one ends.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from typing import Any, cast

from _util import extras
from _util.errors import InputError

Job = Any
Tick = Callable[[str], None]
Work = Callable[[Job, Tick], Any]
_RETRIES = 3  # of a job whose node died
_TIMEOUT = 20  # seconds


def processes(
    work: Work, jobs: Iterable[Job], tick: Callable[[Job, str], None], workers: int
) -> Generator[tuple[Job, Any], None, None]:
    """Run jobs in up to `workers` processes, which share the cores evenly.

    Args:
        tick: called here with a job and its progress.
    """
    waiting = list(jobs)[::-1]
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // workers)
    idle = [_Process(context, work, threads) for _ in range(min(workers, len(waiting)))]
    busy: dict[Connection, tuple[_Process, Job]] = {}
    try:
        while waiting or busy:
            while waiting and idle:
                process = idle.pop()
                busy[process.connection] = process, waiting.pop()
                process.give(busy[process.connection][1])
            for connection in cast(list[Connection], wait(list(busy))):
                process, job = busy[connection]
                try:
                    is_done, message = connection.recv()
                except (EOFError, OSError):
                    del busy[connection]
                    process.stop()
                    idle += [_Process(context, work, threads)] if waiting else []
                    yield job, None
                    continue
                if is_done:
                    del busy[connection]
                    idle.append(process)
                    yield job, message
                else:
                    tick(job, message)
    finally:
        for process, _ in busy.values():
            process.stop()
        for process in idle:
            process.stop(is_idle=True)


class _Process:
    def __init__(self, context: SpawnContext, work: Work, threads: int):
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
        with _environment("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", str(threads))):
            self._process.start()
        theirs.close()

    def give(self, job: Job) -> None:
        with contextlib.suppress(OSError):  # the process died; reading from it reports that
            self.connection.send(job)

    def stop(self, is_idle: bool = False) -> None:
        self.connection.close()
        if not is_idle:
            self._process.terminate()
        self._process.join()


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _serve(connection: Connection, work: Work, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first stops the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit_threads(threads)
    while True:
        try:
            job = connection.recv()
        except (EOFError, ConnectionResetError):  # the owner stopped, or was killed
            return
        _send(connection, (True, work(job, lambda text: _send(connection, (False, text)))))


def _send(connection: Connection, message: tuple[bool, Any]) -> None:
    try:
        connection.send(message)
    except (BrokenPipeError, ConnectionResetError):  # the owner was killed
        os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _limit_threads(threads: int) -> None:
    import cv2

    cv2.setNumThreads(threads)  # OpenCV ignores OMP_NUM_THREADS


def cluster(
    work: Work, jobs: Iterable[Job], tick: Callable[[Job, str], None], address: str, gpus: float = 0
) -> Generator[tuple[Job, Any], None, None]:
    """Run jobs as one-core tasks on the Ray cluster at `address`; "auto" is the cluster running on this machine.

    A task whose node dies is retried on another. `tick` is not called.

    Args:
        gpus: number of GPUs per task.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    ray = _connect(address)
    try:
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)(_work_on_one_core)
        pending = {task.remote(work, job): job for job in jobs}
        while pending:
            (done,), _ = ray.wait(list(pending))
            job = pending.pop(done)
            try:
                result = ray.get(done)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError):
                result = None
            yield job, result
    finally:
        ray.shutdown()


def _connect(address: str) -> Any:
    extras.require("ray")
    import ray

    try:
        _require_reachable(address)
        level: Any = "ERROR"  # a name too, which Ray's annotations leave out
        ray.init(address=address, logging_level=level, log_to_driver=False)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        raise InputError(
            f"There is no Ray cluster at {address!r} that can be reached; `ray start --head` starts one."
        ) from error
    return ray


def _require_reachable(address: str) -> None:
    """Raise `OSError` if nothing answers at HOST:PORT, as Ray itself would wait forever."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_TIMEOUT).close()


def _work_on_one_core(work: Work, job: Job) -> Any:
    _limit_threads(1)
    return work(job, lambda text: None)
