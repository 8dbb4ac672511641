"""The scripts in make/, the tasks that they do, and the demo drawings."""

import functools
import hashlib
import http.server
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from _util import image
from make import tasks

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "supplementary" / "demo"
MADE = sorted(path for path in (ROOT / "make").iterdir() if path.is_file() and not path.suffix)
SCRIPTS = [*MADE, ROOT / ".ci" / "run"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_executable_bash(script):
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", script], check=True)


@pytest.fixture
def environment(tmp_path):
    """An environment whose Python notes what it is asked, installs nothing, and is up to date."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n'
        f'case "$*" in *"-m pip --version"*) exit 0;; *"-m pip"*) exit 3;; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    made_from = f"Python {sys.version.split()[0]}\npyproject.toml {digest}\nextras: dev,train\ntorch: cuda\n"
    (tmp_path / "setup.stamp").write_text(made_from)
    return tmp_path


def run(environment, *command) -> subprocess.CompletedProcess:
    variables = {**os.environ, "INBETWEEN_VENV": str(environment), "INBETWEEN_CPU_INDEX": "http://127.0.0.1:9"}
    return subprocess.run(command, cwd="/", env=variables, capture_output=True, text=True)


@pytest.mark.alone
@pytest.mark.parametrize("extras", [[], ["train"], ["dev"]])
def test_setup_is_instant_when_up_to_date(environment, extras):
    start = time.perf_counter()
    finished = run(environment, ROOT / "make" / "setup", *extras)
    assert time.perf_counter() - start < 1
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert (environment / "asked").read_text() == "-V\n"


@pytest.mark.parametrize("change", ["another extra", "other dependencies", "never finished"])
def test_setup_installs_what_has_changed(environment, change):
    stamp = environment / "setup.stamp"
    if change == "other dependencies":
        stamp.write_text(stamp.read_text().replace("\n", "\n1", 1))
    elif change == "never finished":
        stamp.unlink()
    finished = run(environment, ROOT / "make" / "setup", *(["cluster"] if change == "another extra" else []))
    assert finished.returncode == 3
    assert f"installing into {environment}" in finished.stderr
    extras = {"another extra": "cluster,dev,train", "other dependencies": "dev,train", "never finished": "dev"}[change]
    assert f"with the extras {extras} " in finished.stderr
    asked = (environment / "asked").read_text()
    assert "-m pip install" in asked
    assert ("lightning" in asked) == ("train" in extras)
    assert "torch>=" in asked
    assert "inbetween[" not in asked
    known, torch = ("dev", "cpu|cuda") if change == "never finished" else ("dev,train", "cuda")
    assert re.fullmatch(rf"extras: {known}\ntorch: ({torch})\n", stamp.read_text())  # without what was never there
    assert f"with the extras {known} " in run(environment, ROOT / "make" / "setup").stderr


def test_setup_knows_its_extras(environment):
    finished = run(environment, ROOT / "make" / "setup", "turbo")
    assert finished.returncode == 2
    assert finished.stderr == "make/setup: pyproject.toml has no extra 'turbo'.\n"
    assert "install" not in (environment / "asked").read_text()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """The address of a package index that has a torch."""
    folder = tmp_path_factory.mktemp("index")
    (folder / "torch").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def pip(environment, index):
    """Runs make/setup in a new environment that installs nothing; returns what it said and what pip was asked."""

    def pip(torch=None, has_driver=False, has_index=True, before=None, compiles=True):
        python, bin_folder = environment / "bin/python", environment / "elsewhere"
        python.write_text(
            f'#!/bin/sh\necho "$@" >>{environment}/asked\n'
            f'case "$*" in *"-m pip"* | *"import torch"*) exit 0;; esac\n'
            f'case "$*" in *_scripts.compile*) exit {int(not compiles)};; esac\n'
            f'exec {sys.executable} "$@"\n'
        )
        bin_folder.mkdir(exist_ok=True)
        (bin_folder / "nvidia-smi").write_text(f"#!/bin/sh\nexit {0 if has_driver else 1}\n")
        (bin_folder / "nvidia-smi").chmod(0o755)
        (environment / "asked").unlink(missing_ok=True)
        (environment / "setup.stamp").unlink(missing_ok=True)
        if before:
            (environment / "setup.stamp").write_text(f"Python 3\nextras: dev\ntorch: {before}\n")
        variables = {"INBETWEEN_TORCH": torch} if torch else {}
        finished = subprocess.run(
            [ROOT / "make/setup"],
            env={
                **os.environ,
                "INBETWEEN_VENV": str(environment),
                "INBETWEEN_CPU_INDEX": index if has_index else "http://127.0.0.1:9",
                "PATH": f"{bin_folder}:{os.environ['PATH']}",
                **variables,
            },
            capture_output=True,
            text=True,
        )
        asked = (environment / "asked").read_text().splitlines() if (environment / "asked").exists() else []
        return finished, [line for line in asked if line.startswith("-m pip") and "--version" not in line]

    return pip


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="a driver of NVIDIA is there")
@pytest.mark.parametrize(
    ("torch", "has_driver", "has_index", "chosen"),
    [
        (None, False, True, "cpu"),
        (None, True, True, "cuda"),
        (None, False, False, "none"),
        ("cpu", True, True, "cpu"),
        ("cuda", False, True, "cuda"),
    ],
)
def test_setup_chooses_pytorch_and_says_so(pip, torch, has_driver, has_index, chosen):
    finished, asked = pip(torch, has_driver, has_index)
    assert finished.returncode == 0, finished.stderr
    install, command = asked
    assert ("--extra-index-url http://127.0.0.1:" in install) == (chosen == "cpu")
    said = {"cpu": "without CUDA, as", "cuda": "with CUDA, as", "none": "cannot be reached"}[chosen]
    assert f"taking {'the ' if chosen == 'none' else ''}PyTorch" in finished.stderr
    assert said in finished.stderr
    assert "install --no-deps --editable ." in command


@pytest.mark.parametrize("compiles", [True, False])
def test_setup_compiles_what_matching_needs(pip, environment, compiles):
    finished, _ = pip(compiles=compiles)
    assert finished.returncode == 0
    assert (environment / "asked").read_text().endswith("-m _scripts.compile\n")
    assert finished.stderr.endswith("which takes about a minute.\n") == compiles
    assert finished.stderr.endswith("so they are compiled when they are first used.\n") != compiles


def test_setup_remembers_its_pytorch_and_replaces_it(pip, environment):
    _, asked = pip(has_driver=False, before="cuda")
    assert not any("extra-index-url" in line for line in asked)
    _, asked = pip("cpu", before="cuda")
    assert asked[0].startswith("-m pip uninstall --yes torch torchvision")
    assert "torch: cpu\n" in (environment / "setup.stamp").read_text()
    finished, asked = pip("gpu")
    assert finished.returncode == 2
    assert finished.stderr == "make/setup: INBETWEEN_TORCH is 'gpu'; it is cpu or cuda.\n"
    assert not asked


@pytest.fixture
def pythons(tmp_path):
    """Returns a function that runs make/setup where these Pythons are installed, and says which one was used.

    Nothing can be installed there.
    """

    def pythons(**versions):
        folder = tmp_path / "pythons"
        folder.mkdir()
        for name in ("bash", "dirname", "realpath"):
            (folder / name).symlink_to(shutil.which(name))
        for name, version in versions.items():
            python = folder / name.replace("_", ".")
            python.write_text(
                f'#!/bin/sh\ncase "$*" in *"-m make"*) echo {version} >>{tmp_path}/used;; esac\n'
                f'case "$*" in *"<"*"(3, 15)"*) exit {int(version < 15)};; esac\n'
                f'exec {sys.executable} "$@"\n'
            )
            python.chmod(0o755)
        created = tmp_path / "created"
        (created / "bin").mkdir(parents=True)
        (created / "bin" / "python").write_text(
            f'#!/bin/sh\ncase "$*" in *"-m pip --version"*) exit 0;; *"-m pip"*) exit 1;; esac\n'
            f'case "$*" in *">="*"(3, 15)"*) exit {int(max(versions.values()) >= 15)};; esac\n'
            f'exec {sys.executable} "$@"\n'
        )
        (created / "bin" / "python").chmod(0o755)
        variables = {**os.environ, "INBETWEEN_VENV": str(created), "INBETWEEN_CPU_INDEX": "http://127.0.0.1:9"}
        variables.pop("PYTHON", None)
        finished = subprocess.run(
            [ROOT / "make" / "setup"], env={**variables, "PATH": str(folder)}, capture_output=True, text=True
        )
        return (tmp_path / "used").read_text().split(), finished

    return pythons


def test_setup_prefers_a_python_that_all_packages_support(pythons):
    used, _ = pythons(python3=15, python3_14=14, python3_13=13)
    assert used == ["14"]


def test_setup_by_a_later_python_says_what_may_be_wrong(pythons):
    used, finished = pythons(python3=15)
    assert used == ["15"]
    assert finished.returncode == 1
    assert "may have no wheels for this Python yet: delete " in finished.stderr
    assert finished.stderr.endswith("install Python 3.14, and run make/setup again.\n")


def test_python_runs_from_the_root(environment):
    finished = run(environment, ROOT / "make" / "python", "-c", "import os; print(os.getcwd())")
    assert finished.stdout == f"{ROOT}\n"


def test_every_script_of_a_task_does_that_task():
    on_linux_alone = {"run", "gpu", "docker_build", "shell_docker"}
    names = {path.name for path in MADE} - on_linux_alone
    assert names == set(tasks.TASKS)
    for name in names:
        last = (ROOT / "make" / name).read_text().splitlines()[-1]
        assert last == f'exec "$(dirname "$(realpath "$0")")/run" {name} "$@"'


def test_tasks_need_no_bash(environment):
    """As on Windows: any Python does a task in the environment's."""
    finished = run(environment, sys.executable, "-c", AS_ELSEWHERE, "python", "-c", "print(6 * 7); exit(5)")
    assert (finished.returncode, finished.stdout) == (5, "42\n")
    asked = (environment / "asked").read_text()
    assert asked == "-V\n-c print(6 * 7); exit(5)\n"


COMPILE = "-m _scripts.compile"  # may fail, as without Numba
AS_ELSEWHERE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from make import __main__, tasks
tasks.is_posix = False
sys.exit(__main__.main())
"""


@pytest.mark.parametrize(
    ("task", "codes", "asked"),
    [
        (["test"], [2, 0, 0], [COMPILE, "-m pytest --numprocesses [234] .* -m not alone", "-m pytest -m alone"]),
        (["test"], [0, 1], [COMPILE, "-m pytest --numprocesses [234] .* -m not alone"]),
        (["test", "-m", "slow"], [4], ["-m pytest -m slow"]),
        (["lint"], [0, 1], ["-m ruff check", "-m ruff format --check"]),
        (["demo", "--fps", "24"], [2], ["-m _scripts.demo --fps 24"]),
        (["bench", "--repeats", "1"], [0], ["-m _scripts.benchmark --matching --video --repeats 1"]),
    ],
)
def test_what_tasks_run(monkeypatch, task, codes, asked):
    ran, left = [], iter(codes)
    monkeypatch.setattr(tasks, "set_up", lambda *extras: 0)
    monkeypatch.setattr(tasks, "is_posix", False)
    monkeypatch.setattr(tasks, "_python", lambda *arguments, **_: ran.append(" ".join(arguments)) or next(left))
    name, *arguments = task
    assert tasks.TASKS[name].do(*arguments) == codes[-1]
    assert len(ran) == len(asked)
    assert all(re.fullmatch(pattern, command) for pattern, command in zip(asked, ran, strict=True))


def test_a_task_that_is_not_there(environment):
    finished = run(environment, ROOT / "make" / "run", "tests")
    assert finished.returncode == 2
    assert finished.stderr.startswith("make: there is no task 'tests'; it is setup, python, ")
    finished = run(environment, ROOT / "make" / "run", "lint", "_util")
    assert (finished.returncode, finished.stderr) == (2, "make: lint takes no arguments.\n")
    shown = run(environment, ROOT / "make" / "run", "--help").stdout.splitlines()
    assert {line.split()[0] for line in shown[2:]} == set(tasks.TASKS)


@pytest.fixture(scope="module")
def drawing():
    spec = importlib.util.spec_from_file_location("draw", DEMO / "draw.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw"] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    yield module
    del sys.modules["draw"]


@pytest.mark.parametrize("t", [0, 1])
def test_the_demo_is_drawn_as_committed(drawing, t):
    difference = np.abs(drawing.draw(t).astype(int) - image.read(DEMO / f"frame{t}.png"))
    assert difference.mean() < 0.5
    assert np.percentile(difference, 99.9) <= 10  # OpenCV 4 and 5 smooth edges differently


def test_a_drawing_is_always_the_same(drawing):
    np.testing.assert_array_equal(drawing.draw(0.5, 320, 180), drawing.draw(0.5, 320, 180))
    assert (drawing.draw(0.4, 320, 180) != drawing.draw(0.5, 320, 180)).any()
