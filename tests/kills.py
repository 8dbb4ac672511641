"""Long commands, killed at random moments and run again: the result is that of a run never killed, bit by bit.

    python -m tests.kills video training --kills 20 --seed 1

Each command does a small work, whose inputs are made here: once to its end, and then as many times killed (SIGKILL) and
run again. Half of the moments are times between the first output and the end, the others changes of the folder: right
before the n-th time that a file is opened for writing, renamed or removed. Every second run is killed once more while
it resumes. What differs in the end is printed, and the folder is kept in `_data/kills`.
"""

import argparse
import csv
import functools
import hashlib
import itertools
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

LONGEST = 600  # seconds that a run may take
KEPT = Path("_data/kills")
SPLAT = ("--flow", "dis", "--synthesis", "splat", "--device", "cpu")
_PRELOADED = (
    *("_databacks.dataset.making", "_databacks.hdf5.packing", "_train.frame_interpolation.evaluation.judging", "h5py"),
    *("_train.frame_interpolation.training.loop", "_train.frame_interpolation.video.interpolate", "matplotlib.figure"),
    *("tests.train_tiny", "torch.utils.tensorboard"),
)
_CHANGES = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir")  # of what Python tells to audit hooks


class Work(NamedTuple):
    """What a command does in a folder.

    Args:
        write: makes the inputs in an empty folder.
        run: does the work; the current folder is that one. It is given whether an earlier run was killed.
        ignored: names of results that tell the time, and so differ from run to run.
    """

    write: Callable[[], object]
    run: Callable[[bool], object]
    ignored: tuple[str, ...] = ()


class Outcome(NamedTuple):
    command: str
    number: int
    moments: list[str]  # at which it was killed
    differences: list[str]


def call(module: str, *arguments: str) -> None:
    """Run a command line in this process."""
    import importlib

    sys.argv = [module, *arguments]
    importlib.import_module(module).main()


def pan(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """A ground that moves evenly, and another one after each fifty frames: (h, w, 3) uint8."""
    import cv2

    h, w = size
    noise = np.random.default_rng(0).integers(0, 256, (count // 50 + 1, 8, 24, 3), np.uint8)
    grounds = [cv2.resize(one, (4 * w, h), interpolation=cv2.INTER_CUBIC) for one in noise]
    return [np.ascontiguousarray(grounds[i // 50][:, (at := 2 * (i % 50)) : at + w]) for i in range(count)]


def write_video(path: str, frames: list[np.ndarray]) -> None:
    from _util.video import Encoding, Writer

    with Writer(Path(path), Encoding(frames[0].shape[:2], Fraction(24))) as writer:
        for frame in frames:
            writer.write(frame)


def write_triplets(count: int) -> None:
    from _util import image

    frames = pan(count + 2)
    for i in range(count):
        Path(f"data/{i:03d}").mkdir(parents=True)
        for k in range(3):
            image.write(Path(f"data/{i:03d}/{k}.png"), frames[i + k])


def works() -> dict[str, Work]:
    def video(out: str, *options: str, frame_by_frame: bool = False) -> Callable[[bool], None]:
        def run(again: bool) -> None:
            from _train.frame_interpolation.video import part_writer

            if frame_by_frame:
                part_writer.KEPT_SECONDS = 0
            call("_scripts.interpolate_video", "in.mkv", out, *SPLAT, *options, *(["--resume"] if again else []))

        return run

    def keys() -> None:
        from _util import image

        Path("keys").mkdir()
        for i, frame in enumerate(pan(40, (64, 96))):
            image.write(Path(f"keys/{i:03d}.png"), frame)

    def pipeline(_: bool) -> None:
        from _databacks.extraction import encoding

        encoding._PART = 12  # frames, of a minute's 1440
        call("_scripts.encode_video", "in.mkv", "out")
        for stage in ("duplicate_frame_features", "rrld_filter", "extract_triplet_images", "extract_triplet_flows"):
            call(f"_scripts.{stage}", "out", "--flow", "dis", "--device", "cpu")

    def shows() -> None:
        Path("shows").mkdir()
        for i in range(3):
            write_video(f"shows/{i}.mkv", pan(24, (64, 96))[3 * i :])

    def dataset(_: bool) -> None:
        from _databacks.dataset import workers

        def here(work, jobs, tick, workers):
            """In this process, whose changes are known, rather than in others."""
            for job in jobs:
                yield job, work(job, functools.partial(tick, job))

        workers.processes = here
        call("_scripts.make_dataset", "shows", "out", "--flow", "dis", "--device", "cpu")

    def triplets_and_keyframes() -> None:
        write_triplets(6)
        shutil.copytree("data/000", "keyframes")

    def training(_: bool) -> None:
        from tests import train_tiny

        tiny = ("--model", "tiny", "--batch-size", "2", "--crop", "48", "48", "--device", "cpu", "--workers", "1")
        due = ("--steps", "30", "--save-every", "4", "--log-every", "2", "--validate-every", "15")
        call(train_tiny.train.__name__, "data", "out", *tiny, *due, "--validate", "keyframes")

    return {
        "video": Work(lambda: write_video("in.mkv", pan(200)), video("out.mkv")),
        "frames": Work(lambda: write_video("in.mkv", pan(60)), video("out.mp4", frame_by_frame=True)),
        "folder": Work(lambda: write_video("in.mkv", pan(60)), video("out", "--fps", "30")),
        "animation": Work(lambda: write_video("in.mkv", pan(100)), video("out.webp", "--fps", "30")),
        "keys": Work(keys, lambda _: call("_scripts.interpolate", "keys", "--between", "3", "--out", "out", *SPLAT)),
        "pipeline": Work(lambda: write_video("in.mkv", pan(50)), pipeline),
        "dataset": Work(shows, dataset),
        "hdf5": Work(lambda: write_triplets(80), lambda _: call("_scripts.dataset_to_hdf5", "data", "out.h5")),
        "flows": Work(
            lambda: write_triplets(12),
            lambda _: call("_scripts.sgm_flows", "data", "out", "--half", "--compress", "--device", "cpu"),
        ),
        "training": Work(
            triplets_and_keyframes,
            training,
            ignored=("tensorboard",),
        ),
        "evaluation": Work(
            lambda: write_triplets(20),
            lambda _: call(
                *("_scripts.evaluate", "--data", "data", "--compare", "blend", "dis+splat", "--device", "cpu"),
                *("--out", "out.csv", "--table", "table.md", "--report", "report"),
            ),
        ),
    }


def contents(folder: Path, ignored: tuple[str, ...]) -> dict[str, str]:
    """Digests of all files below a folder, by name."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = ((str(path.relative_to(folder)), path) for path in paths)
    return {name: _digest(path) for name, path in named if not any(part in ignored for part in Path(name).parts)}


def _digest(path: Path) -> str:
    """Of a file, its digest; of what tells the time as well, of the rest."""
    if path.name == "metrics.csv":
        with path.open(newline="") as file:
            return str([{**row, "minutes": ""} for row in csv.DictReader(file)])
    if path.suffix == ".ckpt":
        from _train.frame_interpolation.training.journal import read_checkpoint

        state = read_checkpoint(path)
        return _digest_of({name: value for name, value in state.items() if name not in ("seconds", "metadata")})
    if path.name == "curves.png":  # of minutes, too
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest_of(value: object) -> str:
    import torch

    if isinstance(value, dict):
        return hashlib.sha256(repr([(name, _digest_of(one)) for name, one in value.items()]).encode()).hexdigest()
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
    return repr(value)


def run(
    names: list[str],
    kills: int,
    seed: int = 0,
    make_works: Callable[[], dict[str, Work]] = works,
    preloaded: Sequence[str] = _PRELOADED,
) -> Iterator[Outcome]:
    """Kill each command as many times; modules that are `preloaded` are imported once for all."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(list(preloaded))
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            trial = _Trial(name, make_works, Path(place), processes)
            for number in range(kills):
                yield trial.outcome(number, random.Random(f"{seed} {name} {number}"))


class _Trial:
    """One command, its inputs, and what it makes of them when it is not disturbed."""

    def __init__(self, name: str, make_works: Callable[[], dict[str, Work]], place: Path, processes):
        self._name, self._make_works, self._processes = name, make_works, processes
        self._ignored = make_works()[name].ignored
        self._inputs, self._now = place / f"{name} inputs", place / "now"
        self._said, self._counted = place / "said", place / "counted"
        self._inputs.mkdir()
        self._call("write", self._inputs)
        self._start()
        self._before = self._paths()
        process = self._process(False)
        while not (self._has_begun() or process.exitcode is not None):
            time.sleep(0.002)
        begun = time.monotonic()
        self._finish(process)
        self._seconds = time.monotonic() - begun  # from the first output to the end
        self._changes = int(self._counted.read_text())
        self._right = contents(self._now, self._ignored)

    def outcome(self, number: int, moments: random.Random) -> Outcome:
        """Kill it at a moment, or two, and compare what it comes to."""
        at: list[str] = []
        while not at:
            self._start()
            at += self._killed(False, number % 2 == 0, moments)
        if number % 4 > 1:
            at += self._killed(True, number % 2 == 0, moments)
        differences = []
        try:
            self._finish(self._process(True))
        except RuntimeError as error:
            differences = [str(error)]
        found = contents(self._now, self._ignored)
        for name in sorted({*found, *self._right}):
            if found.get(name) != self._right.get(name):
                what = "is missing" if name not in found else "is left" if name not in self._right else "differs"
                differences.append(f"{name} {what}")
        if differences:
            _keep(self._now, f"{self._name} {number}")
        return Outcome(self._name, number, at, differences)

    def _start(self) -> None:
        shutil.rmtree(self._now, ignore_errors=True)
        shutil.copytree(self._inputs, self._now)

    def _paths(self) -> set[Path]:
        """Of all files and folders but locks; some may come and go meanwhile."""
        found = (Path(folder) / name for folder, *names in os.walk(self._now) for name in itertools.chain(*names))
        return {path for path in found if path.suffix != ".lock"}

    def _has_begun(self) -> bool:
        return self._paths() != self._before

    def _killed(self, again: bool, by_time: bool, moments: random.Random) -> list[str]:
        """Kill a run at a moment, which is returned; nothing if it has ended before."""
        share, change = moments.random(), moments.randint(1, self._changes)
        process = self._process(again, None if by_time else change)
        while by_time and not again and not self._has_begun() and process.exitcode is None:
            time.sleep(0.002)
        begun = time.monotonic()
        process.join(share * self._seconds if by_time else LONGEST)
        process.kill()
        process.join()
        if process.exitcode == 0:
            self._seconds = min(self._seconds, time.monotonic() - begun)  # the machine may have been busy before
            return []
        return [f"{share:.3f} of its time" if by_time else f"change {change} of {self._changes}"]

    def _call(self, what: str, folder: Path) -> None:
        process = self._processes.Process(target=_do, args=(self._make_works, self._name, what, folder, self._said))
        process.start()
        self._finish(process)

    def _process(self, again: bool, dies_at: int | None = None):
        arguments = (self._said, self._counted, dies_at, again)
        process = self._processes.Process(target=_do, args=(self._make_works, self._name, "run", self._now, *arguments))
        process.start()
        return process

    def _finish(self, process) -> None:
        process.join(LONGEST)
        if process.exitcode is None:
            process.kill()
            raise RuntimeError(f"takes longer than {LONGEST} s")
        if process.exitcode:
            raise RuntimeError(f"exit code {process.exitcode}: {self._said.read_text()[-2000:]}")


def _do(
    make_works: Callable[[], dict[str, Work]],
    name: str,
    what: str,
    folder: Path,
    said: Path,
    counted: Path | None = None,
    dies_at: int | None = None,
    *arguments: bool,
) -> None:
    """In a process of its own: make the inputs, or do the work, up to a change of the folder."""
    import torch

    from _util import command

    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1) for stream in (1, 2))
    torch.set_num_threads(1)
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)  # as elsewhere
    os.chdir(folder)
    changes = _count_changes(dies_at)
    try:
        command.run(lambda: getattr(make_works()[name], what)(*arguments))
    finally:
        if counted:
            counted.write_text(str(len(changes)))


def _count_changes(dies_at: int | None) -> list[str]:
    """From now on gathers the changes that this process makes below the current folder; it dies right before one."""
    folder, process, changes = str(Path.cwd()), os.getpid(), []

    def gather(event: str, arguments: tuple) -> None:
        if event not in _CHANGES or os.getpid() != process or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        if not os.path.abspath(os.fsdecode(arguments[0])).startswith(folder):  # noqa: PTH100 - of bytes, too
            return
        changes.append(event)
        if len(changes) == dies_at:
            os.kill(process, signal.SIGKILL)

    sys.addaudithook(gather)
    return changes


def _keep(folder: Path, name: str) -> None:
    shutil.rmtree(KEPT / name, ignore_errors=True)
    shutil.copytree(folder, KEPT / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(works())} (default: all)")
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="of each command (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    arguments = parser.parse_args()
    if unknown := set(arguments.commands) - works().keys():
        parser.error(f"there is no command {', '.join(sorted(unknown))}; there are {', '.join(works())}")
    faults = 0
    for name in arguments.commands or works():
        outcomes = []
        for outcome in run([name], arguments.kills, arguments.seed):
            outcomes.append(outcome)
            if outcome.differences:
                moments = " and ".join(outcome.moments)
                print(f"{name} {outcome.number}, killed at {moments}: {'; '.join(outcome.differences)}", flush=True)
        different = sum(bool(outcome.differences) for outcome in outcomes)
        killed = sum(len(outcome.moments) for outcome in outcomes)
        print(f"{name:10} {len(outcomes)} runs, {killed} kills, {different} differ", flush=True)
        faults += different
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
