"""Numbered drawings: folders, patterns and globs; gaps keep their time."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from _util import image, sequences
from _util.errors import InputError
from _util.video import Reader


def make(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        image.write(folder / name, np.full((16, 16, 3), 10 * i, np.uint8))
    return folder


def found(source: Path) -> dict[str, int]:
    sequence = sequences.find(source)
    return dict(zip([path.name for path in sequence.paths], sequence.places, strict=True))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("%04d.png", ["0001.png", "0002.png"]),
        ("%d.png", ["7.png", "10.png"]),
        ("shot.%03d.png", ["shot.001.png", "shot.004.png", "shot.1000.png"]),
        ("a_%02d_b.png", ["a_-1_b.png", "a_00_b.png", "a_01_b.png"]),
        ("100%%_%d.png", ["100%_1.png"]),
        ("clip%3d.png", ["clip100.png"]),
    ],
)
def test_a_pattern_takes_what_it_would_write(tmp_path, pattern, names):
    make(tmp_path, *names, "000.png", "0.jpg.png", "shot.01.png", "a_001_b.png", "x0001.png", "clip1.png", "007.png")
    assert sequences.is_pattern(tmp_path / pattern)
    assert list(found(tmp_path / pattern)) == names


def test_a_glob_takes_what_matches_in_natural_order(tmp_path):
    make(tmp_path, "a10.png", "a2.png", "b1.png", ".a3.png")
    assert found(tmp_path / "a*.png") == {"a2.png": 0, "a10.png": 8}
    assert list(found(tmp_path / "?[12]*.png")) == ["a2.png", "a10.png", "b1.png"]
    assert list(found(tmp_path / "a**.png")) == ["a2.png", "a10.png"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("%04d.png", "No file matches"),
        ("%d_%d.png", "has 2 numbers; a pattern has one"),
        ("z*.png", "No file matches"),
        ("none/%04d.png", "There is no folder"),
    ],
)
def test_what_names_no_drawings_is_one_sentence(tmp_path, name, says):
    make(tmp_path, "1.png")
    with pytest.raises(InputError, match=says):
        Reader(tmp_path / name)


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path):
    make(tmp_path, "%04d.png")
    assert not sequences.is_pattern(tmp_path / "%04d.png")


def test_a_gap_keeps_its_time_and_is_reported(tmp_path):
    make(tmp_path, "0008.png", "0009.png", "0013.png")
    reader = Reader(tmp_path, Fraction(12))
    assert [frame.time * 12 for frame in reader] == [0, 1, 5]
    assert reader.end == reader.duration == Fraction(6, 12)
    (note,) = reader.notes
    assert "lacks 10–12: the drawing before each gap is held; --close-gaps" in note


def test_gaps_are_closed_on_demand(tmp_path):
    make(tmp_path, "0008.png", "0009.png", "0013.png")
    reader = Reader(tmp_path, Fraction(12), close_gaps=True)
    assert [frame.time * 12 for frame in reader] == [0, 1, 2]
    assert "closed up" in reader.notes[0]


def test_one_drawing_in_two_files_is_an_error(tmp_path):
    make(tmp_path, "000.png", "001.png")
    (tmp_path / "000.jpg").write_bytes((tmp_path / "000.png").read_bytes())
    with pytest.raises(InputError, match=r"000\.(png|jpg)"):
        Reader(tmp_path)


def test_drawings_that_are_not_read_are_reported(tmp_path):
    make(tmp_path, "a1.png", "a2.png")
    for name in (
        "a2.psd",
        "a3.PSD",
        "a4.heic",
        "a10.kra",
        "._a5.psd",
        "a6.json",
        "a7.txt",
        "a1.xmp",
        "a.xdts",
        ".DS_Store",
    ):
        (tmp_path / name).touch()
    (note,) = Reader(tmp_path).notes
    assert "holds 3 files in formats that are not read there, a3.PSD, a4.heic, a10.kra: left out" in note


def test_negative_numbers_come_first(tmp_path):
    make(tmp_path, "-2.png", "-10.png", "0.png", "1.png")
    assert found(tmp_path) == {"-10.png": 0, "-2.png": 8, "0.png": 10, "1.png": 11}
