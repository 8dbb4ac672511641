"""The tasks, each run in the project's environment, which is created first if needed."""

import os
import subprocess
from collections.abc import Callable
from typing import NamedTuple

from make.environment import PYTHON, ROOT, set_up

is_posix = os.name == "posix"


class Task(NamedTuple):
    do: Callable[..., int]  # arguments of the command line → exit code
    summary: str


def python(*arguments: str) -> int:
    """Run the project's Python from the repository root; on POSIX, in place of this process."""
    set_up()
    if is_posix:
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), *arguments])
    return _python(*arguments)


def _python(*arguments: str, **variables: str) -> int:
    return subprocess.run([PYTHON, *arguments], cwd=ROOT, env=os.environ | variables, check=False).returncode


def _each(*commands: tuple[str, ...]) -> int:
    """Run Python once for each command, up to the first that fails."""
    set_up()
    return next((code for command in commands if (code := _python(*command))), 0)


def demo(*arguments: str) -> int:
    return python("-m", "_scripts.demo", *arguments)


def test(*arguments: str) -> int:
    if arguments:
        return python("-m", "pytest", *arguments)
    set_up()
    processes = min(4, (os.cpu_count() or 1) + 1)  # one more than cores, as some tests wait
    parallel = ("--numprocesses", str(processes), "--dist", "worksteal", "--durations", "15")
    _python("-m", "_scripts.compile")  # once, as otherwise each process would
    # One thread per process, as more would compete for the cores.
    code = _python("-m", "pytest", *parallel, "-m", "not alone", OMP_NUM_THREADS="1")
    return code or _python("-m", "pytest", "-m", "alone")


def lint() -> int:
    return _each(
        ("-m", "ruff", "check"),
        ("-m", "ruff", "format", "--check"),
        ("-m", "vulture"),
        ("_env/class_names.py",),
        ("_env/type_errors.py",),
    )


def types() -> int:
    return python("_env/type_errors.py")


def bench(*arguments: str) -> int:
    return python("-m", "_scripts.benchmark", "--matching", "--video", *arguments)


def evaluate(*arguments: str) -> int:
    set_up("train")
    benchmark = ROOT / "_data" / "benchmark"
    if not benchmark.is_dir() and (code := _python("-m", "_databacks.benchmark_set")):
        return code
    methods = ["blend", "dis+splat", "sgm+dis+fusion", "ifnet-fast", "auto"]
    if any((ROOT / "checkpoints" / name).is_file() for name in ("rife.pkl", "flownet.pkl")):
        methods.append("rife")
    table = ("--table", "supplementary/benchmark.md")
    return python(*("-m", "_scripts.evaluate", "--data", "_data/benchmark", "--compare", *methods, *table, *arguments))


TASKS = {
    "setup": Task(set_up, "make the environment, with extras of pyproject.toml: setup train gpu"),
    "python": Task(python, "run its Python: python -m _scripts.interpolate -h"),
    "demo": Task(demo, "interpolate the two demo drawings; arguments go to _scripts.demo: demo --fps 24"),
    "test": Task(test, "run the tests; with arguments, pytest with them: test -m 'not slow'"),
    "lint": Task(lint, "check the style and the types of the code"),
    "types": Task(types, "count pyright's type errors, which must not increase"),
    "bench": Task(bench, "run the benchmarks; arguments go to _scripts.benchmark"),
    "evaluate": Task(evaluate, "evaluate the shipped weights and others on the small benchmark, which is made first"),
}
