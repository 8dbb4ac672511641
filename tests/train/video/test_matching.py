"""`--matching auto`: a limb that turns far between two drawings of a film is whole in the frames between them."""

import functools
import importlib.util
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from _scripts import interpolate_video as script
from _train.frame_interpolation import lost_motion
from _train.frame_interpolation.video import interpolate
from _util.video import Encoding, Reader, Writer
from tests.train.video.interrupted import interrupted_after_a_part

GROUND, INK = (236, 228, 210), (40, 90, 160)
OPTIONS = ("--codec", "ffv1", "--cut-threshold", "0", "--device", "cpu")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clip() -> None:
    write_clip(2)


def write_clip(count: int) -> None:
    """A limb that turns by 70° to and fro, six times a second."""
    with Writer("clip.mkv", Encoding((180, 240), Fraction(6), "ffv1", source="bgr0")) as writer:
        for i in range(count):
            picture = np.full((180, 240, 3), GROUND, np.uint8)
            angle = np.radians(35 if i % 2 else -35)
            end = round(100 + 100 * np.cos(angle)), round(90 + 100 * np.sin(angle))
            cv2.line(picture, (100, 90), end, INK, 14, cv2.LINE_AA)
            writer.write(picture)


def share_drawn(path: str) -> float:
    """How much of the limb is drawn where it is halfway between the first two drawings."""
    pixels = list(Reader(path))[1].pixels
    return float((np.abs(pixels[86:95, 110:190].astype(int) - INK).max(2) < 30).mean())


@pytest.mark.parametrize("more", [(), ("--ease", "auto")])
def test_a_limb_that_turns_far_is_whole_if_it_is_matched(call, clip, more):
    drawn = []
    for options in (("--matching", "auto"), ("--matching", "off"), ()):
        finished = call(script.main, "clip.mkv", "out.mkv", "--overwrite", *options, *more, *OPTIONS)
        assert finished.code == 0, finished.said
        drawn.append(share_drawn("out.mkv"))
    assert drawn[0] > 0.95 > 0.8 > drawn[1]
    assert drawn[1] == drawn[2]


def test_what_is_made_with_matching_is_not_resumed_without(call, monkeypatch):
    write_clip(3)
    monkeypatch.setattr(interpolate, "_PART_SECONDS", Fraction(1, 4))
    with interrupted_after_a_part(monkeypatch):
        assert call(script.main, "clip.mkv", "out.mkv", "--matching", "auto", *OPTIONS).code == 130
    finished = call(script.main, "clip.mkv", "out.mkv", "--resume", *OPTIONS)
    assert finished.code == 2
    assert "is of another run: " in finished.said
    assert "matching auto instead of None" in finished.said
    assert finished.said.count("\n") == 1


def test_a_queue_made_without_matching_is_not_that_with_it(call, clip):
    for options, code, says in (
        ((), 0, "1 made, 0 made before, 0 failed."),
        ((), 0, "0 made, 1 made before, 0 failed."),
        (("--matching", "off"), 0, "0 made, 1 made before, 0 failed."),
        (("--matching", "auto"), 1, "made of another source or with other options"),
    ):
        finished = call(script.main, "clip.mkv", "out/", *options, *OPTIONS)
        assert (finished.code, says in finished.written + finished.said) == (code, True), finished


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_without_numba_it_says_once_that_nothing_is_matched(call, monkeypatch, flags):
    write_clip(4)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *of: None if name == "numba" else found(name, *of))
    monkeypatch.setattr(lost_motion, "_has_numba", functools.cache(lost_motion._has_numba.__wrapped__))
    finished = call(script.main, "clip.mkv", "out.mkv", "--matching", "auto", *flags, *OPTIONS)
    assert finished.code == 0
    assert finished.said.count("are not matched, which needs numba") == 1
    assert flags or share_drawn("out.mkv") < 0.8


def test_where_it_has_no_effect_it_says_so(call, clip):
    simple = ("--flow", "dis", "--synthesis", "splat")
    for matching in ("auto", "off"):
        finished = call(script.main, "clip.mkv", f"{matching}.mkv", "--matching", matching, *simple, *OPTIONS)
        assert finished.code == 0
        assert ("--matching auto has no effect with dis+splat" in finished.said) == (matching == "auto")
