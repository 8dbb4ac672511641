"""make/gpu runs everything, whatever fails, and keeps what it said."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    """Calls make/gpu with a Python that notes what it is asked and can do what `body`, in shell, says."""

    def run(body: str, *arguments) -> tuple[subprocess.CompletedProcess, list[str]]:
        python, asked = tmp_path / "python", tmp_path / "asked"
        python.write_text(f'#!/bin/sh\necho "$@" | head -n 1 >>{asked}\n{body}\n')
        python.chmod(0o755)
        variables = {**os.environ, "PYTHON": str(python), "INBETWEEN_VENV": str(tmp_path / "none")}
        command = [ROOT / "make" / "gpu", *arguments]
        finished = subprocess.run(command, cwd="/", env=variables, capture_output=True, text=True)
        return finished, asked.read_text().splitlines()

    return run


def test_the_benchmark_runs_though_tests_fail(run, tmp_path):
    finished, asked = run('echo ran; case "$*" in *pytest*) exit 1;; esac', tmp_path / "out", "--repeats", "3")
    assert finished.returncode == 1
    tested = [line.split()[-1] for line in asked if "-m pytest" in line]
    assert "tests/util/test_cuda.py" in tested
    assert asked[-1].startswith("-m _scripts.benchmark --device cuda")
    assert asked[-1].endswith("gpu_benchmark.json --repeats 3")
    assert (tmp_path / "out/gpu.log").read_text() == finished.stdout == "ran\n" * (len(tested) + 1)


def test_success(run, tmp_path):
    finished, _ = run("exit 0", tmp_path / "out")
    assert (finished.returncode, finished.stderr) == (0, "")


def test_nothing_runs_without_a_gpu(run, tmp_path):
    finished, asked = run('case "$*" in *cuda.init*) exit 1;; esac', tmp_path / "out")
    assert finished.returncode == 2
    assert "no GPU" in finished.stderr
    assert not any("-m pytest" in line or "_scripts" in line for line in asked)


def test_the_benchmark_runs_without_cupy(run, tmp_path):
    finished, asked = run('case "$*" in *cupy*) exit 1;; esac', tmp_path / "out")
    assert finished.returncode == 0
    assert "without CuPy" in finished.stderr
    assert "_scripts.benchmark" in asked[-1]
