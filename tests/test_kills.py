"""Killed and run again, long commands come to the same; `python -m tests.kills` kills them more often."""

import time
from pathlib import Path

import pytest

from tests import kills

pytest.importorskip("lightning", reason="training needs what make/setup train installs")

COMMANDS = ["video", "pipeline", "hdf5", "training", "evaluation"]


@pytest.mark.slow
def test_killed_commands_come_to_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "KEPT", tmp_path)
    outcomes = list(kills.run(COMMANDS, 1))
    assert [outcome for outcome in outcomes if outcome.differences] == []
    assert {outcome.command for outcome in outcomes if outcome.moments} == set(COMMANDS)


def faulty_works() -> dict[str, kills.Work]:
    """Works that come to something else when they are killed."""

    def count(again: bool) -> None:
        """Leaves how often it was begun."""
        with Path("begun").open("a") as file:
            file.write("x")
        time.sleep(1)

    def leave(again: bool) -> None:
        Path("temporary").touch()
        time.sleep(1)
        Path("temporary").rename("result" if not again else "other")

    def right(again: bool) -> None:
        for i in range(20):
            Path(f"{i}").write_text("whole")
            time.sleep(0.05)

    return {
        name: kills.Work(lambda: None, run) for name, run in {"count": count, "leave": leave, "right": right}.items()
    }


@pytest.mark.slow
def test_differences_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "KEPT", tmp_path)
    found = kills.run(["count", "leave", "right"], 1, make_works=faulty_works, preloaded=["torch"])
    outcomes = {outcome.command: outcome.differences for outcome in found}
    assert outcomes == {"count": ["begun differs"], "leave": ["other is left", "result is missing"], "right": []}
