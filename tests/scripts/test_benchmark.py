"""Options of the benchmark that would have no effect are refused."""

import subprocess
import sys

import pytest


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
