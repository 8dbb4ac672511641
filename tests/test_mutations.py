"""Damaged inputs are used or refused in a sentence; `python -m tests.mutations` does more of them."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from _util.errors import InputError
from tests import mutations

WHOLE = bytes(range(256))
pytest.importorskip("rlottie_python", reason="animations need what make/setup train installs")
pytest.importorskip("tensorboard", reason="journals need what make/setup train installs")


@pytest.mark.slow
def test_damaged_inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(mutations, "KEPT", tmp_path)
    outcomes = list(mutations.run(12 * len(mutations.kinds())))
    assert [outcome for outcome in outcomes if outcome.is_fault] == []
    assert {outcome.kind for outcome in outcomes} == set(mutations.kinds())
    for said in ("used", "refused"):
        assert len({outcome.kind for outcome in outcomes if outcome.said.startswith(said)}) > 15


def test_damages_are_the_same_for_the_same_seed():
    data = bytes(range(256)) * 4
    first, again, other = (mutations.mutated(data, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert len({data, first, other}) == 3
    assert all(len(mutations.mutated(b"", np.random.default_rng(seed))) < 40 for seed in range(50))


def faulty_kinds() -> dict[str, mutations.Kind]:
    """Users of inputs that do what they must not with a damaged one."""

    def write(folder: Path) -> Path:
        (folder / "input").write_bytes(WHOLE)
        return folder / "input"

    def leave(folder: Path) -> None:
        (folder / "half").touch()
        raise InputError("It is damaged.")

    def refuse(folder: Path) -> None:
        raise InputError("It is damaged.")

    faults = {
        "raises": lambda folder: 1 / 0,
        "hangs": lambda folder: time.sleep(60),
        "dies": lambda folder: os._exit(1),
        "takes memory": lambda folder: np.ones(9 * 2**25),
        "leaves something": leave,
        "refuses": refuse,
    }

    def with_damaged(fault):
        return lambda folder: None if (folder / "input").read_bytes() == WHOLE else fault(folder)

    return {name: mutations.Kind(write, with_damaged(fault)) for name, fault in faults.items()}


@pytest.mark.slow
def test_faults_are_found_and_the_next_input_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(mutations, "KEPT", tmp_path)
    outcomes = {outcome.kind: outcome for outcome in mutations.run(6, make_kinds=faulty_kinds, longest=15)}
    says = {
        "raises": "ZeroDivisionError",
        "hangs": "takes longer than 15 s",
        "dies": "ends the process",
        "takes memory": "MB; used",
        "leaves something": "leaves half; refused: It is damaged.",
        "refuses": "refused: It is damaged.",
    }
    assert [kind for kind, said in says.items() if said not in outcomes[kind].said] == []
    assert [kind for kind, outcome in outcomes.items() if not outcome.is_fault] == ["refuses"]
