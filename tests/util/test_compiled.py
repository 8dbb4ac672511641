"""Compiled functions work, and are kept where they can be, when nothing of the user's can be written."""

import tempfile
from pathlib import Path

import numba
import pytest
from numba.core import caching

from _util.compiled import njit


@pytest.fixture
def no_place(tmp_path, monkeypatch) -> Path:
    """Neither the sources nor the home can be written; returns the folder of temporary files."""
    locators = [name for name in caching.CacheImpl._locator_classes if "UserProvided" in str(name)]
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", locators)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def twice(x):
    return 2 * x


def test_a_folder_of_temporary_files_keeps_them(no_place):
    assert njit()(twice)(21) == 42
    (folder,) = no_place.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("*.nbi"))
    again = njit()(twice)
    assert again(4) == 8
    assert again.stats.cache_hits


@pytest.mark.parametrize("kind", ["of all", "a link", "a file", "none"])
def test_a_folder_that_others_could_write_to_is_not_used(no_place, kind, monkeypatch):
    (no_place / "elsewhere").mkdir(mode=0o700)
    probe = njit()(twice)  # makes the folder
    (folder,) = (path for path in no_place.iterdir() if "numba" in path.name)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    assert probe(1) == 2
    kept = sorted(no_place.rglob("*.nbi"))
    if kind == "of all":
        folder.chmod(0o777)
    elif kind == "none":
        monkeypatch.setattr(tempfile, "tempdir", str(no_place / "elsewhere/missing"))
    else:
        folder.rename(no_place / "before")
        if kind == "a link":
            folder.symlink_to(no_place / "elsewhere", target_is_directory=True)
        else:
            folder.touch()
        kept = sorted(no_place.rglob("*.nbi"))
    assert njit()(lambda x: 3 * x)(5) == 15
    assert sorted(no_place.rglob("*.nbi")) == kept
