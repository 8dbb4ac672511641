"""Timing from time sheets, in closed form, and the sheets of results."""

from fractions import Fraction
from pathlib import Path

import pytest

from _train.frame_interpolation.keys import exposure_sheets, key_names, timing
from _util import xdts
from _util.errors import InputError

KEYS = ["A_0001", "A_0002", "A_0003"]
EVEN = timing.EASES["none"]


def layer(cells: str, **marks: list[int]) -> exposure_sheets.SheetLayer:
    """A layer of a character for each frame: a cell, or . for nothing."""
    track = xdts.Track("A", [None if cell == "." else cell for cell in cells], **marks)
    table = xdts.TimeTable("s", len(cells), [track])
    return exposure_sheets.SheetLayer(Path("in.xdts"), xdts.TimeSheet([table]), table, track)


def plan(cells: str, is_loop: bool = False, on: int | None = 1, keys=KEYS, **marks: list[int]) -> list[timing.Gap]:
    return exposure_sheets.plan(layer(cells, **marks), keys, is_loop, EVEN, on)


def gap(ticks: str, *exposures: int, blank: int = 0) -> timing.Gap:
    return timing.Gap(tuple(map(Fraction, ticks.split())), exposures, blank)


def test_where_nothing_is_marked_every_frame_or_every_second_is_drawn():
    assert plan("1111233") == [gap("1/4 1/2 3/4", 1, 1, 1, 1), gap("", 1), gap("", 2)]
    assert plan("1111233", on=2) == [gap("1/2", 2, 2), gap("", 1), gap("", 2)]
    assert plan("1111123", on=2)[0] == gap("2/5 4/5", 2, 2, 1)


def test_marks_and_other_cells_are_in_betweens():
    assert plan("1111111123", in_betweens=[2], reverse_sheets=[6])[0] == gap("1/4 3/4", 2, 4, 2)
    assert plan("11778823")[0] == gap("1/3 2/3", 2, 2, 2)


def test_where_nothing_shows_nothing_is_drawn():
    assert plan("..11..2223...") == [gap("", 2, blank=2), gap("1/3 2/3", 1, 1, 1), gap("", 1, blank=3)]
    assert plan("1177..23")[0] == gap("1/3", 2, 2, blank=2)


def test_a_loop_leads_back_to_the_first_key():
    assert plan("1233", is_loop=True)[2] == gap("1/2", 1, 1)
    assert plan("123311", is_loop=True)[2] == gap("1/2", 1, 1)


def test_cells_mean_keys_by_name_or_number():
    found = layer("xxxxx")
    found.track.cells[:] = ["1", "0012A", "fixed", "key_3+fixed", "B"]
    keys = ["k_01", "k_012a", "fixed", "key_3+fixed", "B"]
    assert exposure_sheets.plan(found, keys, False, EVEN, 1) == [gap("", 1)] * 5


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ("1113", "A_0003 is exposed at frame 4 and A_0002 not before"),
        ("1122", "A_0003 is not exposed"),
        ("....", "A_0001 is not exposed"),
        ("1213", "A_0001 is exposed again at frame 3"),
        ("7123", "before the first key, A_0001"),
        ("1237", "after the last key, A_0003"),
        ("1.7723", "frame 2 is empty between drawings"),
    ],
)
def test_sheets_that_cannot_be_drawn(cells, says):
    with pytest.raises(InputError, match=says):
        plan(cells)


def test_a_layer_is_chosen_by_name(tmp_path):
    tracks = [xdts.Track("A", ["1", "2"], 0), xdts.Track("B", [None, "1"], 1), xdts.Track("C", [None, None], 2)]
    path = tmp_path / "in.xdts"
    xdts.write(path, xdts.TimeSheet([xdts.TimeTable("s", 2, tracks)]))
    assert exposure_sheets.read_layer(path, "B").track.cells == [None, "1"]
    for name, says in ((None, "2 layers that could be meant: 'A', 'B'"), ("D", "no layer 'D' with cells; .* 'A', 'B'")):
        with pytest.raises(InputError, match=says):
            exposure_sheets.read_layer(path, name)


def test_the_sheet_of_a_result(tmp_path):
    path = tmp_path / "out.xdts"
    exposure_sheets.write(path, timing.plan(KEYS, between="1,0", on="2"), "cut")
    (table,) = xdts.read(path).tables
    assert table.tracks == [xdts.Track("cut", list("11223344"))]


def test_the_sheet_of_a_result_keeps_what_else_is_in_its_source(tmp_path):
    source = layer("..111123..", in_betweens=[4], keys=[2])
    other = xdts.Track("B", ["5"] * 10, 1)
    source.table.tracks.append(other)
    path = tmp_path / "out.xdts"
    exposure_sheets.write(path, exposure_sheets.plan(source, KEYS, False, EVEN, 1), "cut", source)
    (table,) = xdts.read(path).tables
    cells = [None, None, *"112234", None, None]
    assert table.tracks == [xdts.Track("A", cells, keys=[2]), other]


def test_a_loop_is_repeated_to_the_end_of_its_sheet(tmp_path):
    source = layer("11222333111")
    path = tmp_path / "out.xdts"
    exposure_sheets.write(path, exposure_sheets.plan(source, KEYS, True, EVEN, 2), "cut", source)
    assert xdts.read(path).tables[0].tracks[0].cells == list("11223445112")


@pytest.mark.parametrize(
    ("cells", "written"),
    [
        ("11222333....", "11223444...."),
        ("1122233311222333...", "1122344511223445..."),
        ("11222333112...", "11223445112..."),
        (".11222333111111111111.", ".11223445112234451122."),
    ],
)
def test_empty_frames_after_a_loop_stay_empty(tmp_path, cells, written):
    path = tmp_path / "out.xdts"
    source = layer(cells)
    exposure_sheets.write(path, exposure_sheets.plan(source, KEYS, True, EVEN, 2), "cut", source)
    assert xdts.read(path).tables[0].tracks[0].cells == layer(written).track.cells


@pytest.mark.parametrize(
    ("cells", "marks", "says"),
    [
        ("123312779", [], "frame 7 shows 7, and the loop 3 there; repeat the loop as it is"),
        ("1233133", [], "frame 6 shows 3, and the loop 2 there"),
        ("1233112", [], "frame 6 shows 1, and the loop 2 there"),
        ("12331.33", [], "frame 6 shows nothing, and the loop 2 there"),
        ("12331233", [7], "frame 8 is marked, and frame 4 of the loop is not; mark the loop alone"),
    ],
)
def test_what_does_not_repeat_a_loop_is_refused(cells, marks, says):
    with pytest.raises(InputError, match=says):
        plan(cells, is_loop=True, in_betweens=marks)


@pytest.mark.parametrize("cells", ["111122333", "..11..2223...", "1177..23"])
@pytest.mark.parametrize("is_loop", [False, True])
def test_the_sheet_of_a_result_gives_its_exposures_to_its_drawings(tmp_path, cells, is_loop):
    first, second = tmp_path / "1.xdts", tmp_path / "2.xdts"
    source = layer(cells * (1 + is_loop)) if cells[0] != "." else layer(cells)
    gaps = exposure_sheets.plan(source, KEYS, is_loop, EVEN, 2)
    exposure_sheets.write(first, gaps, "cut", source)
    drawings = [
        key_names.drawing(key, number, len(gap.ticks), "")
        for key, gap in zip(KEYS, gaps, strict=True)
        for number in range(1 + len(gap.ticks))
    ]
    read = exposure_sheets.read_layer(first)
    again = exposure_sheets.plan(read, drawings, is_loop, EVEN)
    assert not any(gap.ticks for gap in again)
    assert [count for gap in again for count in gap.exposures] == [count for gap in gaps for count in gap.exposures]
    exposure_sheets.write(second, again, "cut", read)
    assert second.read_bytes() == first.read_bytes()


def test_between_drawings_of_a_result_more_are_drawn_on_request():
    drawings = ["a+0of1", "a+1of1", "b+0of0"]
    assert plan("1122223", keys=drawings, on=None) == [gap("", 2), gap("", 4), gap("", 1)]
    assert plan("1122223", keys=drawings, on=2) == [gap("", 2), gap("1/2", 2, 2), gap("", 1)]


def test_a_sheet_that_begins_anew_asks_for_a_loop():
    with pytest.raises(InputError, match="exposed again at frame 4; add --loop"):
        plan("1231")
