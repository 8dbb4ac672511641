"""What the page edits, on the disk and back."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.keys.timing import Gap, even
from _train.frame_interpolation.studio import project as project_module
from _train.frame_interpolation.studio.project import Project, State, Timing, gaps
from _util.errors import InputError

QUARTER, HALF = Fraction(1, 4), Fraction(1, 2)
HINT = Hint(((3.0, 4.0),), ((5.5, 6.0),))


def changed(project: Project, **timings: Timing) -> State:
    state = project.state
    for key, one in timings.items():
        state = state.with_timing(key, one)
    return state


def test_what_is_edited_is_read_back(tmp_path):
    project = Project(tmp_path)
    state = State().with_rate("23.976").with_loop(True).with_timing("k1", Timing((QUARTER, HALF), 2))
    project.change(state.with_hints("k1", [HINT]))
    assert Project(tmp_path).state == project.state
    assert json.loads((tmp_path / "studio.json").read_text())["gaps"]["k1"] == {"ticks": ["1/4", "1/2"], "on": 2}


def test_undo_and_redo_reach_the_disk(tmp_path):
    project = Project(tmp_path)
    first = changed(project, k1=Timing((HALF,)))
    project.change(first)
    project.change(project.state.with_hints("k1", [HINT]))
    project.undo()
    assert project.state == Project(tmp_path).state == first
    assert json.loads((tmp_path / "hints.json").read_text()) == {"hints": []}
    project.undo()
    assert project.state == State()
    assert not project.can_undo
    project.redo()
    project.redo()
    assert Project(tmp_path).state.hints == {"k1": (HINT,)}
    project.change(changed(project, k1=Timing(())))
    assert not project.can_redo


def test_as_much_as_is_kept_is_undone(tmp_path, monkeypatch):
    monkeypatch.setattr(project_module, "_MOST_UNDONE", 3)
    project = Project(tmp_path)
    for rate in range(10, 15):
        project.change(project.state.with_rate(rate))
    (tmp_path / "studio.json").write_text('{"rate": "15"}')
    assert project.reload()
    undone = []
    while project.can_undo:
        project.undo()
        undone.append(int(project.state.rate))
    assert undone == [14, 13, 12]


def test_what_others_write_is_not_written_over(tmp_path):
    project = Project(tmp_path)
    project.change(changed(project, k1=Timing((HALF,))))
    theirs = '{"rate": "12", "gaps": {}}'
    (tmp_path / "studio.json").write_text(theirs)
    with pytest.raises(InputError, match="changed by another program"):
        project.change(project.state.with_loop(True))
    assert (tmp_path / "studio.json").read_text() == theirs
    assert project.reload()
    assert project.state == State(rate=Fraction(12))
    project.undo()
    assert project.state.timings == {"k1": Timing((HALF,))}


@pytest.mark.parametrize("name", ["studio.json", "hints.json"])
def test_what_others_write_while_it_is_read_is_not_written_over(tmp_path, monkeypatch, name):
    theirs = {"studio.json": '{"rate": "12"}', "hints.json": '{"hints": [{"key": "k9", "from": [1, 2], "to": [3, 4]}]}'}
    for path in (tmp_path / "studio.json", tmp_path / "hints.json"):
        path.write_text("{}")
    read = project_module.read_json

    def read_and_be_overtaken(path, wanted):
        document = read(path, wanted)
        if path.name == name:
            path.write_text(theirs[name])
        return document

    monkeypatch.setattr(project_module, "read_json", read_and_be_overtaken)
    project = Project(tmp_path)
    with pytest.raises(InputError, match="changed by another program"):
        project.change(changed(project, k1=Timing((HALF,))).with_hints("k1", [HINT]))
    assert (tmp_path / name).read_text() == theirs[name]
    assert project.reload()
    assert project.state == Project(tmp_path).state != State()


@pytest.mark.parametrize("name", ["studio.json", "hints.json"])
def test_what_others_write_while_it_is_saved_is_not_written_over(tmp_path, monkeypatch, name):
    project = Project(tmp_path)
    write = project_module.write_text

    def write_and_be_overtaken(path, text):
        write(path, text)
        if path.name == name:
            path.write_text("{}")

    monkeypatch.setattr(project_module, "write_text", write_and_be_overtaken)
    project.change(changed(project, k1=Timing((HALF,))).with_hints("k1", [HINT]))
    with pytest.raises(InputError, match="changed by another program"):
        project.change(State())
    assert (tmp_path / name).read_text() == "{}"
    assert project.reload()
    assert project.state == Project(tmp_path).state


def test_what_is_written_is_not_taken_for_that_of_others(tmp_path):
    project = Project(tmp_path)
    for state in (changed(project, k1=Timing((HALF,))), State().with_hints("k\udcff", [HINT]), State().with_rate(12)):
        project.change(state)
        assert not project.reload()
        assert project.state == state


def test_what_is_not_known_in_the_file_is_kept(tmp_path):
    path = tmp_path / "studio.json"
    path.write_text('{"note": "mine", "gaps": {"gone": {"ticks": ["1/3"]}}}')
    project = Project(tmp_path)
    project.change(project.state.with_rate(12))
    document = json.loads(path.read_text())
    assert document["note"] == "mine"
    assert document["gaps"] == {"gone": {"ticks": ["1/3"], "on": 1}}


def test_hints_of_the_command_line_are_those_of_the_page(tmp_path):
    from _train.frame_interpolation.guides import hints

    (tmp_path / "hints.json").write_text('{"hints": [{"from": [1, 2], "to": [3, 4]}]}')
    project = Project(tmp_path, ["k1", "k2"])
    assert project.state.hints == {"k1": (Hint(((1.0, 2.0),), ((3.0, 4.0),)),)}
    stroke = Hint(((0.0, 0.0), (5.0, 5.0)), ((1.0, 1.0), (6.0, 6.0)))
    project.change(project.state.with_hints("k1", [*project.state.hints["k1"], stroke]))
    assert hints.read(tmp_path / "hints.json", ["k1", "k2", "k3"]) == {0: project.state.hints["k1"]}


def test_hints_without_names_are_of_two_keys(tmp_path):
    (tmp_path / "hints.json").write_text(json.dumps({"hints": [HINT.as_json()]}))
    assert Project(tmp_path, ["k1", "k2"]).state.hints == {"k1": (HINT,)}
    with pytest.raises(InputError, match="names no key; there are 2 gaps"):
        Project(tmp_path, ["k1", "k2", "k3"])


def test_names_of_another_form_are_those_of_the_keys(tmp_path):
    apart, whole = "e\u0301", "\u00e9"
    entries = [{"key": key, **HINT.as_json()} for key in ("k1.png", "k1", whole, "gone.png")]
    (tmp_path / "hints.json").write_text(json.dumps({"note": "mine", "hints": entries}))
    timings = {"k1": {"ticks": ["1/4"]}, "k1.png": {"ticks": ["1/2"]}, whole: {"ticks": []}}
    (tmp_path / "studio.json").write_text(json.dumps({"gaps": timings}))
    project = Project(tmp_path, ["k1", apart, "k3"])
    assert project.state.timings == {"k1": Timing((QUARTER,)), apart: Timing(())}
    assert project.state.hints == {"k1": (HINT, HINT), apart: (HINT,), "gone.png": (HINT,)}
    project.change(project.state.with_hints("k1", []))
    project.know(["gone", "k1"])
    assert project.state.hints == {"gone": (HINT,), apart: (HINT,)}
    project.undo()
    assert project.state.hints == {"gone": (HINT,), "k1": (HINT, HINT), apart: (HINT,)}
    document = json.loads((tmp_path / "hints.json").read_text())
    assert document["note"] == "mine"
    assert [entry["key"] for entry in document["hints"]] == ["k1", "k1", apart, "gone"]


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("studio.json", "{", "damaged"),
        ("studio.json", "[]", "not hold a JSON object"),
        ("studio.json", '{"rate": 0}', "from 1 to 240"),
        ("studio.json", '{"rate": "1/0"}', "not a number of frames"),
        ("studio.json", '{"loop": 1}', "on or off"),
        ("studio.json", '{"gaps": []}', "not an object"),
        ("studio.json", '{"gaps": {"k": {"ticks": ["1/2", "1/4"]}}}', "ticks must rise"),
        ("studio.json", '{"gaps": {"k": {"ticks": ["2"]}}}', "a tick is at 2|A tick is at 2"),
        ("studio.json", '{"gaps": {"k": {"ticks": [], "on": 0}}}', "must be from 1"),
        ("hints.json", '{"hints": 1}', 'no list "hints"'),
        ("hints.json", '{"hints": [{"from": [1, 2], "to": [3, 4]}]}', "names no key"),
        ("hints.json", '{"hints": [{"key": "k", "from": "x", "to": [3, 4]}]}', "neither a point"),
    ],
)
def test_files_that_cannot_be_used_are_named_and_kept(tmp_path, name, text, match):
    path: Path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=match) as caught:
        Project(tmp_path)
    assert str(path) in str(caught.value)
    assert path.read_text() == text


def test_a_correction_has_the_timing_of_the_gap_that_it_divides():
    state = State().with_timing("k1", Timing((QUARTER,), 2))
    keys = ["k1", "k1+fixed", "k2", "k2+fixed", "k3"]
    found = gaps(state, keys, {"k2": Gap.on(even(3), 1)})
    assert [gap.ticks for gap in found] == [(QUARTER,), (QUARTER,), even(3), even(3), ()]
    assert [gap.exposures for gap in found] == [(2, 2), (2, 2), (1,) * 4, (1,) * 4, (1,)]


def test_the_last_key_is_exposed_as_those_before_it():
    state = State().with_timing("k1", Timing((HALF,), 2)).with_timing("k2", Timing((HALF,), 3))
    found = gaps(state, ["k1", "k2", "k3"], {})
    assert [gap.exposures for gap in found] == [(2, 2), (3, 3), (3,)]
    assert [gap.exposures for gap in gaps(state, ["k1"], {})] == [(2,)]


def test_a_loop_has_a_gap_after_the_last_key():
    state = State().with_timing("k2", Timing((HALF,), 2))
    assert [gap.ticks for gap in gaps(state, ["k1", "k2"], {})] == [(HALF,), ()]
    assert [gap.ticks for gap in gaps(state.with_loop(True), ["k1", "k2"], {})] == [(HALF,), (HALF,)]
