"""Time sheets, as OpenToonz and Clip Studio write them, and as an independent reading of their JSON finds ours."""

import json
from pathlib import Path

import pytest

from _util import xdts
from _util.errors import InputError

FIRST_LINE = "exchangeDigitalTimeSheet Save Data\n"


def entry(frame: int, *values: str, options: list[str] | None = None) -> dict:
    return {"data": [{"id": 0, "values": list(values)} | ({"options": options} if options else {})], "frame": frame}


def sheet(*tracks: dict, duration: int = 8, names: tuple[str, ...] = ("A", "B"), **more) -> dict:
    cells = {"fieldId": 0, "tracks": list(tracks)}
    headers = [{"fieldId": 0, "names": list(names)}]
    return {
        "timeTables": [{"duration": duration, "name": "s1", "fields": [cells], "timeTableHeaders": headers}],
        "version": 5,
    } | more


def read(folder: Path, json_sheet: object, beginning: str = FIRST_LINE) -> xdts.TimeSheet:
    path = folder / "in.xdts"
    path.write_text(beginning + json.dumps(json_sheet), "utf-8")
    return xdts.read(path)


def exposures(track: dict, duration: int) -> list[str | None]:
    """Another reading: for each frame, back to the last entry that is a cell or an empty one."""
    cells = {e["frame"]: e["data"][0]["values"][0] for e in track["frames"]}
    shown = []
    for frame in range(duration):
        ruling = [f for f in cells if f <= frame and "TICK" not in cells[f] and "HYPHEN" not in cells[f]]
        value = cells[max(ruling)] if ruling else "SYMBOL_NULL_CELL"
        shown.append(None if value == "SYMBOL_NULL_CELL" else value)
    return shown


def test_a_sheet_of_opentoonz(tmp_path):
    track = {
        "trackNo": 1,
        "frames": [
            entry(0, "SYMBOL_NULL_CELL"),
            entry(1, "1", options=["OPTION_KEYFRAME"]),
            entry(2, "SYMBOL_TICK_1"),
            entry(3, "SYMBOL_TICK_2"),
            entry(4, "12a", options=["OPTION_REFERENCEFRAME"]),
            entry(5, "SYMBOL_HYPHEN"),
            entry(7, "SYMBOL_NULL_CELL"),
        ],
    }
    found = read(tmp_path, sheet(track, header={"cut": "12", "scene": "0003"}, subversion="p1"))
    assert (found.cut, found.scene) == ("12", "0003")
    (table,) = found.tables
    (layer,) = table.tracks
    assert (table.name, table.duration, layer.name, layer.number) == ("s1", 8, "B", 1)
    assert layer.cells == [None, "1", "1", "1", "12a", "12a", "12a", None]
    assert (layer.in_betweens, layer.reverse_sheets, layer.keys, layer.references) == ([2], [3], [1], [4])


def test_a_sheet_of_clip_studio(tmp_path):
    frames = [entry(6, "3"), entry(-12, "7"), entry(-2, "2"), entry(3, "SYMBOL_TICK_1"), entry(8, "SYMBOL_NULL_CELL")]
    (layer,) = (
        read(tmp_path, sheet({"trackNo": 0, "frames": frames}), FIRST_LINE.replace("\n", "\r\n")).tables[0].tracks
    )
    assert layer.cells == ["2"] * 6 + ["3"] * 2
    assert layer.in_betweens == [3]


def test_what_is_missing_shows_nothing(tmp_path):
    tracks = {"trackNo": 5, "frames": [entry(2)]}, {"trackNo": 0, "frames": []}
    found = read(tmp_path, sheet(*tracks)).tables[0].tracks
    assert [(track.number, track.name) for track in found] == [(0, "A"), (5, "")]
    assert all(track.cells == [None] * 8 for track in found)


def test_a_cell_goes_on_to_the_end(tmp_path):
    (layer,) = read(tmp_path, sheet({"trackNo": 0, "frames": [entry(6, "1"), entry(20, "2")]})).tables[0].tracks
    assert layer.cells == [None] * 6 + ["1"] * 2


@pytest.fixture
def ours() -> xdts.TimeSheet:
    first = xdts.Track("線画", ["1", "1", "2", None, None, "2", "2", "12a"], 0, [1], [], [0, 2], [7])
    second = xdts.Track("B", [None, None, "1", "1", "1", "1", "1", "1"], 2, [], [4], [], [])
    dialogue = {"fieldId": 3, "tracks": [{"trackNo": 0, "frames": [entry(1, "Ann", "Hello")]}]}
    header = {"fieldId": 3, "names": ["talk"]}
    return xdts.TimeSheet([xdts.TimeTable("sheet", 8, [first, second], [dialogue], [header])], cut="7", scene="1")


def test_ours_is_read_independently(tmp_path, ours):
    path = tmp_path / "out.xdts"
    xdts.write(path, ours)
    first_line, _, text = path.read_bytes().decode("utf-8").partition("\n")
    assert first_line == "exchangeDigitalTimeSheet Save Data"
    whole = json.loads(text)
    assert whole["version"] == 5
    assert whole["header"] == {"cut": "7", "scene": "1"}
    (table,) = whole["timeTables"]
    cells = table["fields"][0]
    assert table["timeTableHeaders"][0] == {"fieldId": 0, "names": ["線画", "", "B"]}
    assert [track["trackNo"] for track in cells["tracks"]] == [0, 2]
    for track, written in zip(ours.tables[0].tracks, cells["tracks"], strict=True):
        assert exposures(written, 8) == track.cells
        assert written["frames"][-1] == entry(8, "SYMBOL_NULL_CELL")
        assert all(e["frame"] >= 0 for e in written["frames"])
    frames = {e["frame"]: e["data"][0] for e in cells["tracks"][0]["frames"]}
    assert [frames[frame].get("options") for frame in (0, 2, 7)] == [
        ["OPTION_KEYFRAME"],
        ["OPTION_KEYFRAME"],
        ["OPTION_REFERENCEFRAME"],
    ]
    assert frames[1]["values"] == ["SYMBOL_TICK_1"]
    assert table["fields"][1]["tracks"][0]["frames"][0]["data"][0]["values"] == ["Ann", "Hello"]


def test_ours_comes_back(tmp_path, ours):
    path = tmp_path / "out.xdts"
    xdts.write(path, ours)
    assert xdts.read(path) == ours


def test_names_of_layers_without_a_track_come_back(tmp_path):
    tracks = [{"frames": [entry(0, "1")], "trackNo": number} for number in (0, 2)]
    read_sheet = read(tmp_path, sheet(*tracks, names=("A", "B", "C", "D")))
    read_sheet.tables[0].tracks[1].name = "C of ours"
    xdts.write(tmp_path / "out.xdts", read_sheet)
    (table,) = json.loads((tmp_path / "out.xdts").read_text().removeprefix(FIRST_LINE))["timeTables"]
    assert table["timeTableHeaders"] == [{"fieldId": 0, "names": ["A", "B", "C of ours", "D"]}]


def test_what_is_not_known_comes_back(tmp_path):
    frames = [entry(0, "1") | {"memo": "smear"}, entry(3, "SYMBOL_HYPHEN") | {"memo": [1]}, entry(4, "2")]
    whole = sheet({"trackNo": 0, "frames": frames, "note": "on twos"}, header={"cut": "1", "extra": {"a": 1}}, tool="x")
    whole["timeTables"][0]["color"] = "red"
    found = read(tmp_path, whole)
    xdts.write(tmp_path / "out.xdts", found)
    assert xdts.read(tmp_path / "out.xdts") == found
    again = json.loads((tmp_path / "out.xdts").read_text().removeprefix(FIRST_LINE))
    assert (again["tool"], again["header"]) == ("x", {"cut": "1", "extra": {"a": 1}})
    (table,) = again["timeTables"]
    (track,) = table["fields"][0]["tracks"]
    assert (table["color"], track["note"]) == ("red", "on twos")
    assert {e["frame"]: e["memo"] for e in track["frames"] if "memo" in e} == {0: "smear", 3: [1]}
    assert exposures(track, 8) == ["1"] * 4 + ["2"] * 4


def test_an_in_between_that_is_also_a_reference_comes_back(tmp_path, ours):
    ours.tables[0].tracks[0].references.insert(0, 1)
    assert 1 in ours.tables[0].tracks[0].in_betweens
    xdts.write(tmp_path / "out.xdts", ours)
    assert xdts.read(tmp_path / "out.xdts") == ours


@pytest.mark.parametrize(
    ("json_sheet", "says"),
    [
        ([], r"the sheet is \[\]; it must be an object"),
        ({"version": 5}, "no time table"),
        ({"timeTables": []}, "version is None"),
        (sheet(version=4), "version is 4"),
        (sheet(duration=0), "lasts 0 frames"),
        (sheet(duration=10**9), "lasts 1000000000 frames"),
        (sheet(*({"trackNo": i} for i in range(11)), duration=10**6), "11 tracks of 1000000 frames are too many"),
        (sheet(header=3), "header is 3"),
        (sheet({"frames": []}), "trackNo is None"),
        (sheet({"trackNo": -1}), "trackNo -1"),
        (sheet({"trackNo": 10**9}), "trackNo 1000000000"),
        (sheet({"trackNo": 0}, {"trackNo": 0}), "2 tracks have trackNo 0"),
        (sheet({"trackNo": 0, "frames": [{"frame": 1.5}]}), "frame is 1.5"),
        (sheet({"trackNo": 0, "frames": [{"frame": float("nan")}]}), "frame is nan"),
        (sheet({"trackNo": 0, "frames": [{"frame": 0, "data": [{"id": 0, "values": [1]}]}]}), "a value is 1"),
        (sheet({"trackNo": 0, "frames": {}}), "frames is {}"),
        (sheet(names=(1,)), "a name is 1"),
    ],
)
def test_sheets_that_cannot_be_understood(tmp_path, json_sheet, says):
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, json_sheet)
    assert "in.xdts" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a time sheet"),
        (b"{}", "not a time sheet"),
        (b"\xff\xfe", "UTF-8"),
        (FIRST_LINE.encode() + b'{"timeTables": [', "damaged or truncated"),
        (FIRST_LINE.encode() + b"[" * 100_000, "damaged or truncated"),
    ],
)
def test_files_that_are_no_sheets(tmp_path, content, says):
    path = tmp_path / "in.xdts"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        xdts.read(path)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        xdts.read(tmp_path / "none.xdts")


def test_a_track_of_another_length_is_not_written(tmp_path, ours):
    ours.tables[0].tracks[0].cells.pop()
    with pytest.raises(InputError, match="has 7 cells"):
        xdts.write(tmp_path / "out.xdts", ours)
    assert not list(tmp_path.iterdir())
