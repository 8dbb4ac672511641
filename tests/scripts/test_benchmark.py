"""Options of the benchmark that would have no effect are refused."""

import subprocess
import sys

import pytest

from _scripts import benchmark


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--quality", "--precision", "fp32"], "--precision"),
        (["--quality", "--sizes", "1080p"], "--sizes"),
        (["--methods", "ifnet", "--keyframes", "keys"], "--keyframes"),
        (["--checkpoints", "weights"], "--checkpoints"),
        (["--device", "cpu", "--sections", "kernels"], "--sections"),
    ],
)
def test_options_without_effect_are_refused(options, name):
    run = subprocess.run([sys.executable, "-m", "_scripts.benchmark", *options], capture_output=True, text=True)
    assert run.returncode == 2
    assert f"{name} has no effect" in run.stderr


@pytest.mark.parametrize("name", ["mps", "xpu:1"])
def test_other_devices_are_refused(call, name):
    code, said, _ = call(benchmark.main, "--device", name)
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith(f"This command does not run on '{name}'")
