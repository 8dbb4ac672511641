"""The command line of the page: what it refuses, and how it ends."""

import contextlib
import socket
from types import SimpleNamespace

import pytest

from _scripts import studio
from _util import command
from _util.locks import holding
from tests.train.studio.drawings import write_keys

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
server = pytest.importorskip("_train.frame_interpolation.studio.server")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(call, *arguments) -> str:
    finished = call(studio.main, *arguments, "--no-browser")
    assert finished.code == 2
    assert finished.said.count("\n") == 1
    assert finished.written == ""
    return finished.said


def test_folders_that_are_none(call, tmp_path):
    assert "nothing is not a folder" in refused(call, "nothing")
    keys = write_keys(tmp_path / "keys", 1)
    assert "keys holds one picture; two keys or more are needed" in refused(call, keys)
    assert "is not a folder" in refused(call, keys / "k1.png")


def test_exports_among_the_keys(call, tmp_path):
    keys = write_keys(tmp_path / "keys")
    (tmp_path / "link").symlink_to(keys, target_is_directory=True)
    for out in (keys, "link"):
        assert f"{out} holds the keys; choose another --out" in refused(call, keys, "--out", out)


def test_a_port_in_use(call, tmp_path):
    keys = write_keys(tmp_path / "keys")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"The port {port} is in use" in refused(call, keys, "--port", port)
    assert {path.name for path in keys.iterdir()} == {"k1.png", "k2.png", "k3.png"}


def test_a_second_run_on_one_folder(call, tmp_path):
    keys = write_keys(tmp_path / "keys")
    with holding(keys / "studio.json"):
        assert "in use by another run" in refused(call, keys)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--between", "x"), "not a number"),
        (("--between", "1,2,3,4,5"), "5 counts"),
        (("--ease", "odd"), "no ease"),
        (("--chart", "nothing.csv"), "cannot be read"),
        (("--synthesis", "nothing"), "nothing"),
    ],
)
def test_options_that_cannot_be_used(call, tmp_path, options, match):
    assert match in refused(call, write_keys(tmp_path / "keys"), *options)


def test_a_damaged_project_is_kept(call, tmp_path):
    keys = write_keys(tmp_path / "keys")
    (keys / "studio.json").write_text("{")
    assert "studio.json is damaged" in refused(call, keys)
    assert (keys / "studio.json").read_text() == "{"


@pytest.mark.parametrize(("interrupt", "code"), [(KeyboardInterrupt, 0), (command.Terminated, 143)])
def test_how_it_ends(call, tmp_path, monkeypatch, interrupt, code):
    def sleep(seconds):
        raise interrupt

    monkeypatch.setattr(studio, "time", SimpleNamespace(sleep=sleep))
    options = {}
    serve = lambda *_, **given: options.update(given) or contextlib.nullcontext("http://127.0.0.1:1/")  # noqa: E731
    monkeypatch.setattr(server, "serving", serve)
    finished = call(studio.main, write_keys(tmp_path / "keys"), "--no-browser")
    assert finished.code == code
    assert finished.written.endswith("Closed.\n") == (code == 0)
    assert finished.said == ("" if code == 0 else "Interrupted; files written so far are complete.\n")
    assert options["matching"] == options["line_art"] == "auto"  # the defaults of drawings
