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
        f'case "$*" in *" install "*) exit 3;; *"-m pip"*) exit 0;; esac\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    checksum = subprocess.check_output(["cksum"], stdin=(ROOT / "pyproject.toml").open(), text=True)
    version = f"Python {sys.version.split()[0]}\n"
    (tmp_path / "setup.stamp").write_text(f"{version}{checksum}extras: dev,train\n")
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
    assert f".[{extras}]" in (environment / "asked").read_text()
    assert not stamp.exists()


def test_setup_knows_its_extras(environment):
    finished = run(environment, ROOT / "make" / "setup", "turbo")
    assert finished.returncode == 2
    assert finished.stderr == "make/setup: pyproject.toml has no extra 'turbo'.\n"
    assert "install" not in (environment / "asked").read_text()


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
