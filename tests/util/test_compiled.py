"""Compiled functions work, are kept where they can be, and are compiled anew when any source changes."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numba
import pytest

from _util import compiled, places

MODULES = {
    "callee": "from _util.compiled import njit\n\n@njit()\ndef step(x):\n    return x + {}\n",
    "caller": "from _util.callee import njit, step\n\n@njit()\ndef twice(x):\n    return 2 * step(x)\n",
}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Iterator[Path]:
    """The folder of the cache, where nothing is known yet."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(places, "cache", lambda name: tmp_path / name)
    compiled._folder.cache_clear()
    yield tmp_path / "numba"
    compiled._folder.cache_clear()


@pytest.fixture
def no_place(place, tmp_path, monkeypatch) -> Path:
    """Nothing of the user's can be written; the folder of temporary files."""
    place.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def twice(x):
    return 2 * x


def test_what_was_compiled_is_kept(place):
    assert compiled.njit()(twice)(21) == 42
    assert list(place.rglob("*.nbi"))
    again = compiled.njit()(twice)
    assert again(4) == 8
    assert again.stats.cache_hits


def test_the_users_own_folder_goes_first(place, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "own"))
    assert compiled.njit()(twice)(21) == 42
    assert list((tmp_path / "own").rglob("*.nbi"))
    assert not place.exists()
    assert str(tmp_path / "own") == numba.config.CACHE_DIR


def test_the_cache_of_other_sources_is_removed_after_a_day(place):
    for name, age in {"sources-old": 2 * 86400, "sources-new": 3600}.items():
        (place / name).mkdir(parents=True)
        os.utime(place / name, (time.time() - age,) * 2)
    compiled.njit()(twice)
    assert not (place / "sources-old").exists()
    assert (place / "sources-new").exists()


def test_a_function_is_compiled_anew_when_one_that_it_calls_changes(tmp_path):
    """As after an update: the file of the caller keeps its contents and its time."""
    shutil.copytree(places.ROOT / "_util", tmp_path / "_util", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pyproject.toml").touch()
    for step, expected in ((1, 8), (2, 10)):
        for name, source in MODULES.items():
            path = tmp_path / "_util" / f"{name}.py"
            path.write_text(source.format(step))
            os.utime(path, (1e9, 1e9) if name == "caller" else None)
        program = "from _util.caller import twice; print(twice(3))"
        finished = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True)
        assert int(finished.stdout) == expected


def test_a_folder_of_temporary_files_keeps_them(no_place):
    assert compiled.njit()(twice)(21) == 42
    (folder,) = no_place.glob("inbetween-numba-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("*.nbi"))


@pytest.mark.parametrize("kind", ["of all", "a link", "a file", "none"])
def test_a_folder_that_others_could_write_to_is_not_used(no_place, kind, monkeypatch):
    (no_place / "elsewhere").mkdir(mode=0o700)
    folder = compiled._private_folder()
    if kind == "of all":
        folder.chmod(0o777)
    elif kind == "none":
        monkeypatch.setattr(tempfile, "tempdir", str(no_place / "elsewhere/missing"))
    else:
        folder.rmdir()
        if kind == "a link":
            folder.symlink_to(no_place / "elsewhere", target_is_directory=True)
        else:
            folder.touch()
    assert compiled.njit()(lambda x: 3 * x)(5) == 15
    assert not list(no_place.rglob("*.nbi"))
