"""The scaling table: the formula of its estimates, and what the command writes."""

import pytest

from _scripts import scaling as script
from _train.frame_interpolation.benchmarks import scaling
from _train.frame_interpolation.benchmarks.scaling import Measurement, Network
from _util.errors import InputError

ONE = Measurement(1, "1 × GPU", 0.5, 8_000_000, 0.0, 0.0)
TWO = Measurement(2, "2 × GPU", 0.6, 8_000_000, 0.09, 0.01)


def test_a_ring_sends_each_byte_nearly_twice():
    assert scaling.ring(2, 1000, Network(0, 100)) == pytest.approx(10)
    assert scaling.ring(4, 1000, Network(0, 100)) == pytest.approx(15)
    assert scaling.ring(10**6, 1000, Network(0, 100)) == pytest.approx(20, rel=1e-5)
    assert scaling.ring(4, 0, Network(0.1, 100)) == pytest.approx(0.6)


@pytest.mark.parametrize("processes", [2, 3, 8])
def test_the_network_is_what_was_measured(processes):
    measured = TWO._replace(processes=processes)
    found = scaling.network(measured)
    assert scaling.ring(processes, measured.gradients, found) == pytest.approx(measured.all_reduce)
    assert scaling.ring(processes, 0, found) == pytest.approx(measured.latency)


def test_estimates_are_marked_and_measurements_are_not():
    first, second, eighth = scaling.table([ONE, TWO], [8]).splitlines()[2:]
    assert first == "| 1 | measured | 0.500 | 0.0000 | 1.00× | 100 % |"
    assert second == "| 2 | measured | 0.600 | 0.0900 | 1.67× | 83 % |"
    exchange = 14 * 0.005 + 14 / 8 * 0.08
    assert (
        eighth == f"| 8 | **estimate** | {0.5 + exchange:.3f} | {exchange:.4f} | {4 / (0.5 + exchange):.2f}× | 70 % |"
    )


def test_the_command_writes_its_table(call, tmp_path, monkeypatch):
    asked = []

    def measure(processes, training, out, steps, device):
        asked.append((processes, training, steps))
        assert out.parent.is_dir()
        assert not out.exists()
        return (ONE, TWO)[processes - 1]

    monkeypatch.setattr(scaling, "measure", measure)
    out = tmp_path / "scaling.md"
    code, _, written = call(script.main, "data", "--model", "fusion", "--out", out)
    assert code == 0
    assert [processes for processes, *_ in asked] == [1, 2]
    assert asked[0][1] == ["data", "--model", "fusion", "--batch-size", "1", "--crop", "128", "128"]
    text = out.read_text(encoding="utf-8")
    assert text in written
    assert text.count("**estimate**") == 2
    assert "2 × GPU" in text


def test_a_failed_run_leaves_the_table_as_it_was(call, tmp_path, monkeypatch):
    def measure(*_):
        raise InputError("On 1 processes, it ended.")

    monkeypatch.setattr(scaling, "measure", measure)
    (tmp_path / "scaling.md").write_text("before")
    code, said, _ = call(script.main, "--out", tmp_path / "scaling.md")
    assert (code, said.splitlines()[-1]) == (2, "On 1 processes, it ended.")
    assert (tmp_path / "scaling.md").read_text() == "before"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--processes", "2", "4"], "must rise from 1"),
        (["--processes", "1"], "a number above 1"),
        (["--steps", "3"], "must be 4 or more"),
        (["--out", "nowhere/scaling.md"], "no folder nowhere"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(call, arguments, sentence):
    code, said, _ = call(script.main, *arguments)
    assert code == 2
    assert sentence in said
    assert said.count("\n") == 1
