"""The scripts in make/ and the demo drawings."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from _util import image

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "supplementary" / "demo"
SCRIPTS = sorted([*(ROOT / "make").iterdir(), ROOT / ".ci" / "run"])


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
        f'case "$*" in *"-m pip --version"*) exit 0;; *"-m pip"*) exit 3;; *urllib*) exit 1;; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    checksum = subprocess.check_output(["cksum"], stdin=(ROOT / "pyproject.toml").open(), text=True)
    version = f"Python {sys.version.split()[0]}\n"
    (tmp_path / "setup.stamp").write_text(f"{version}{checksum}extras: dev,train\ntorch: cuda\n")
    return tmp_path


def run(environment, *command) -> subprocess.CompletedProcess:
    variables = {**os.environ, "INBETWEEN_VENV": str(environment)}
    return subprocess.run(command, cwd="/", env=variables, capture_output=True, text=True)


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
    assert not stamp.exists()


def test_setup_knows_its_extras(environment):
    finished = run(environment, ROOT / "make" / "setup", "turbo")
    assert finished.returncode == 2
    assert finished.stderr == "make/setup: pyproject.toml has no extra 'turbo'.\n"
    assert "install" not in (environment / "asked").read_text()


@pytest.fixture
def pip(environment):
    """Runs make/setup in a new environment that installs nothing; returns what it said and what pip was asked."""

    def pip(torch=None, has_driver=False, has_index=True, before=None):
        python, bin_folder = environment / "bin/python", environment / "elsewhere"
        answer = "0" if has_index else "1"
        python.write_text(
            f'#!/bin/sh\necho "$@" >>{environment}/asked\n'
            f'case "$*" in *"-m pip"* | *"import torch"*) exit 0;; *urllib*) exit {answer};; esac\n'
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
    assert ("--extra-index-url https://download.pytorch.org/whl/cpu" in install) == (chosen == "cpu")
    said = {"cpu": "without CUDA, as", "cuda": "with CUDA, as", "none": "cannot be reached"}[chosen]
    assert f"taking {'the ' if chosen == 'none' else ''}PyTorch" in finished.stderr
    assert said in finished.stderr
    assert "install --no-deps --editable ." in command


def test_setup_remembers_its_pytorch_and_replaces_it(pip, environment):
    _, asked = pip(has_driver=False, before="cuda")
    assert not any("whl/cpu" in line for line in asked)
    _, asked = pip("cpu", before="cuda")
    assert asked[0].startswith("-m pip uninstall --yes torch torchvision")
    assert "torch: cpu\n" in (environment / "setup.stamp").read_text()
    finished, asked = pip("gpu")
    assert finished.returncode == 2
    assert finished.stderr == "make/setup: INBETWEEN_TORCH is 'gpu'; it is cpu or cuda.\n"
    assert not asked


def test_python_runs_from_the_root(environment):
    finished = run(environment, ROOT / "make" / "python", "-c", "import os; print(os.getcwd())")
    assert finished.stdout == f"{ROOT}\n"


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
    assert np.percentile(difference, 99.9) <= 4


def test_a_drawing_is_always_the_same(drawing):
    np.testing.assert_array_equal(drawing.draw(0.5, 320, 180), drawing.draw(0.5, 320, 180))
    assert (drawing.draw(0.4, 320, 180) != drawing.draw(0.5, 320, 180)).any()
