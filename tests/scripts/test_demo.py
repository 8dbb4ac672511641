import pytest

from _scripts import demo
from _util import command


@pytest.fixture
def run(call, monkeypatch, tmp_path):
    """Runs the demo with OUT in a folder of its own; the name that it takes as a command ends with the test."""
    monkeypatch.setattr(demo, "OUT", tmp_path)
    monkeypatch.setattr(command, "_name", None)
    return lambda *arguments: call(demo.main, *arguments)


def test_a_refused_option_leaves_the_earlier_demo(run, tmp_path):
    (tmp_path / "12_00.png").touch()
    code, said, _ = run("--between-all", 3)
    assert code == 2
    assert "--between-all" in said
    assert (tmp_path / "12_00.png").exists()


def test_the_preview_of_an_earlier_demo_is_replaced(run, tmp_path):
    (tmp_path / demo.PREVIEW).touch()
    (tmp_path / "12_00.png").touch()
    for _ in range(2):
        assert run("--fps", 2, "--synthesis", "splat", "--flow", "dis", "--device", "cpu").code == 0
        assert (tmp_path / demo.PREVIEW).stat().st_size > 0
        assert sorted(path.name for path in tmp_path.glob("*.png")) == [f"02_0{i}.png" for i in range(3)]


def test_help_states_what_the_demo_does(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    _, _, shown = run("--help")
    assert f"(default: {tmp_path})" in shown
    assert "FRAME [FRAME" not in shown
