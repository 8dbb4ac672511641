"""A flow, a synthesis, a source and a metric are each one file and one entry; all command lines then know them.

The files are those of `tests/toys/`.
"""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from _databacks.sources import KINDS, SourceKind, open_source
from _scripts import dataset_to_hdf5, evaluate, interpolate, interpolate_video, make_dataset
from _scripts import methods as listing
from _train.frame_interpolation import methods
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.methods import FLOWS, METRICS, SYNTHESES, Method, Metric
from _util.errors import InputError
from tests.toys.source import recognises


@pytest.fixture
def toys() -> Iterator[None]:
    flow = {"rightward": Method("a toy that moves", "tests.toys.flow:create")}
    synthesis = {"grey": Method("a toy that is grey", "tests.toys.synthesis:Grey")}
    metric = {"brightness": Metric("tests.toys.metric:Brightness")}
    source = {"greys": SourceKind("a toy that lists greys", "tests.toys.source:Greys", recognises)}
    with (
        mock.patch.dict(FLOWS, flow | FLOWS, clear=True),
        mock.patch.dict(SYNTHESES, synthesis | SYNTHESES, clear=True),
        mock.patch.dict(METRICS, metric),
        mock.patch.dict(KINDS, source | KINDS, clear=True),
    ):
        yield


@pytest.fixture
def greys(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("greys").mkdir()
    for name, level in {"dark": 0.2, "light": 0.8, "middle": 0.5}.items():
        Path(f"greys/{name}.grey").write_text(f"{level}\n")
    return Path("greys")


@pytest.mark.usefixtures("toys")
class TestOneEntry:
    @pytest.mark.parametrize("script", [interpolate, interpolate_video, evaluate])
    def test_is_in_help(self, call, script):
        words = " ".join(call(script.main, "--help").written.split())
        assert "rightward" in words
        assert "grey" in words
        assert script is evaluate or "grey: a toy that is grey" in words
        assert script is not evaluate or "brightness" in words

    @pytest.mark.parametrize("script", [evaluate, dataset_to_hdf5])
    def test_of_a_source_is_in_help(self, call, script):
        assert "greys: a toy that lists greys" in " ".join(call(script.main, "--help").written.split())

    def test_is_what_auto_takes_if_it_is_the_first(self, tmp_path):
        interpolator = Interpolator(device="cpu", folder=tmp_path)
        assert interpolator.method == "rightward+grey"
        frame = np.zeros((16, 20, 3), np.uint8)
        (drawn,) = interpolator(frame, frame + 1, [0.2])
        assert (drawn == 51).all()

    def test_is_compared(self, call, greys):
        options = ("--compare", "grey", "blend", "--metrics", "brightness", "psnr", "--out", "out.csv")
        finished = call(evaluate.main, "--data", greys, *options, "--device", "cpu")
        assert finished.code == 0, finished.said
        rows = [line.split() for line in finished.written.split("\n\n")[0].splitlines()]
        assert rows[0] == ["subset", "metric", "rightward+grey", "blend"]
        assert rows[1][:3] == ["all", "brightness", "5.0196e-1"]  # 128 of 255
        assert Path("out.csv").read_text().count("\n") == 1 + 2 * 3

    def test_of_a_source_opens_what_it_recognises_or_is_named_for(self, greys):
        for words in (greys, ["greys", str(greys)]):
            assert open_source(words)[1].frames.mean((1, 2, 3)).tolist() == pytest.approx([0, 0.8, 1])

    def test_of_a_source_without_files_is_judged_again_if_its_data_has_changed(self, call, greys):
        """A run that lacks an item keeps the scores of the others, of the data as it was."""

        def judge() -> tuple[int, list[str]]:
            options = ("--compare", "grey", "--metrics", "psnr", "--out", "out.csv", "--device", "cpu")
            code = call(evaluate.main, "--data", greys, *options).code
            return code, [line.split(",")[-1] for line in Path("out.csv").read_text().splitlines()[1:]]

        (greys / "light.grey").write_text("?")
        code, before = judge()
        assert (code, len(before)) == (1, 2)
        assert judge() == (1, before)
        (greys / "dark.grey").write_text("0.4\n")  # in place, and as long as before
        (greys / "light.grey").write_text("0.8\n")
        code, after = judge()
        assert (code, len(after)) == (0, 3)
        assert after[0] != before[0]
        assert after[2] == before[1]

    def test_is_a_row_of_the_readme(self, call, tmp_path):
        page = tmp_path / "README.md"
        page.write_text("<!-- methods -->\n<!-- /methods -->\n")
        assert call(listing.main, "--write", page).code == 0
        assert "| `--flow rightward` | a toy that moves |  |" in page.read_text()
        assert "| `--synthesis grey` | a toy that is grey |  |" in page.read_text()

    def test_is_among_what_there_is(self):
        with pytest.raises(InputError, match="it is auto, rightward, rfr"):
            methods.find("flow", FLOWS, "raft")
        with pytest.raises(InputError, match=r"no kind of data 'film'; it is greys, .*folders"):
            open_source(["film", "reel"])


@pytest.mark.parametrize("table", [FLOWS, SYNTHESES, METRICS], ids=["flows", "syntheses", "metrics"])
def test_every_entry_leads_somewhere(table):
    assert all(callable(entry.creator()) for entry in table.values())


def test_every_source_leads_somewhere():
    assert all(callable(kind.creator()) for kind in KINDS.values())


def test_scripts_take_flows_from_the_table(toys, call):
    finished = call(make_dataset.main, "shows", "out", "--flow", "raft", "--device", "cpu")
    assert finished.code == 2
    assert "no flow 'raft'; it is auto, rightward, rfr" in finished.said
