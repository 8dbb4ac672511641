"""Memory is measured where the system tells it, and asking does no harm where it does not."""

import builtins
import math
import os
from pathlib import Path

import pytest

from _util import memory


def test_what_is_installed_and_held():
    assert memory.installed() > 2**28
    assert 1 < memory.peak() < memory.installed() / 2**20


def test_systems_that_do_not_tell(monkeypatch):
    def refuse(*_):
        raise FileNotFoundError

    real = builtins.__import__

    def without_resource(name, *arguments, **options):
        if name == "resource":
            raise ModuleNotFoundError("No module named 'resource'", name=name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(builtins, "__import__", without_resource)
    monkeypatch.delattr(os, "sysconf")
    assert math.isnan(memory.peak())
    assert memory.installed() == pytest.approx(4 * 2**30)
