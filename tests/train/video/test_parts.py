"""Finished parts are on the disk and known to be whole, whatever ends a run."""

import json
from pathlib import Path

import numpy as np
import pytest

from _train.frame_interpolation.video.parts import Parts
from _util.errors import InputError

RUN = {"source": "that", "fps": "48"}


def begun(tmp_path: Path, name: str = "out.mp4", **flags: bool) -> Parts:
    parts = Parts(tmp_path / name, RUN, ".nut")
    parts.begin(**{"resume": False, "overwrite": False, **flags})
    return parts


def add(parts: Parts, i: int, content: bytes = b"frames" * 100) -> None:
    parts.path(i).write_bytes(content)
    parts.keep(i, range(10 * i, 10 * i + 10))


def test_finished_parts_are_taken_over(tmp_path):
    parts = begun(tmp_path)
    for i in range(3):
        add(parts, i)
    again = begun(tmp_path, resume=True)
    assert again.finished == {0: 10, 1: 10, 2: 10}
    assert again.paths == [again.path(i) for i in range(3)]
    assert again.damaged == []


@pytest.mark.parametrize(
    "damage", [lambda b: b[:50], lambda b: b"", lambda b: bytes([b[0] ^ 1]) + b[1:], lambda b: b + b"x"]
)
def test_a_damaged_part_is_made_again_and_the_others_kept(tmp_path, damage):
    parts = begun(tmp_path)
    for i in range(3):
        add(parts, i)
    parts.path(1).write_bytes(damage(parts.path(1).read_bytes()))
    again = begun(tmp_path, resume=True)
    assert again.finished == {0: 10, 2: 10}
    assert again.damaged == [parts.path(1)]
    assert not parts.path(1).exists()


def test_a_part_that_was_never_recorded_as_finished_is_not(tmp_path):
    parts = begun(tmp_path)
    add(parts, 0)
    parts.path(1).write_bytes(b"renamed before the power went")
    (parts.folder / ".000002.nut").write_bytes(b"half")
    log = parts.folder / "finished.jsonl"
    log.write_text(log.read_text() + '{"part": 1, "fra')
    again = begun(tmp_path, resume=True)
    assert again.finished == {0: 10}
    assert not parts.path(1).exists()
    assert not list(parts.folder.glob(".*"))


def test_parts_of_another_run_are_not_mixed(tmp_path):
    add(begun(tmp_path), 0)
    other = Parts(tmp_path / "out.mp4", {**RUN, "fps": "60"}, ".nut")
    with pytest.raises(InputError, match="fps 48 instead of 60"):
        other.begin(resume=True, overwrite=False)
    with pytest.raises(InputError, match="add --resume to keep it"):
        other.begin(resume=False, overwrite=False)
    other.begin(resume=True, overwrite=True)
    assert other.finished == {}
    add(other, 0)
    again = Parts(tmp_path / "out.mp4", {**RUN, "fps": "60"}, ".nut")
    again.begin(resume=True, overwrite=True)
    assert again.finished == {0: 10}


def test_frames_of_a_slow_part_are_kept_one_by_one(tmp_path):
    parts = begun(tmp_path)
    random = np.random.default_rng(0)
    frames = {k: random.integers(0, 65536, (20, 30, 4), np.uint16) for k in (3, 4, 12)}
    for k, pixels in frames.items():
        parts.store(k, pixels)
    stored = parts.folder / "drawn" / "000004.npz"
    stored.write_bytes(stored.read_bytes()[:-200])
    again = begun(tmp_path, resume=True)
    assert again.drawn == {3, 12}
    np.testing.assert_array_equal(again.stored(3), frames[3])
    add(again, 0)
    assert again.drawn == {12}


def test_a_result_that_has_appeared_is_known_after_a_kill(tmp_path):
    parts = begun(tmp_path)
    add(parts, 0)
    whole = parts.folder / ".whole.mp4"
    whole.write_bytes(b"result")
    assert parts.joined_summary() is None
    parts.record_joined(whole, {"frames": 10})
    assert parts.joined_summary() is None
    whole.rename(tmp_path / "out.mp4")
    assert Parts(tmp_path / "out.mp4", RUN, ".nut").joined_summary() == {"frames": 10}
    assert Parts(tmp_path / "out.mp4", {**RUN, "fps": "1"}, ".nut").joined_summary() is None
    (tmp_path / "out.mp4").write_bytes(b"another file")
    assert json.loads((parts.folder / "joined.json").read_text())
    (tmp_path / "other").write_bytes(b"x")
    (tmp_path / "other").replace(tmp_path / "out.mp4")
    assert parts.joined_summary() is None


def test_the_longest_name_leaves_room(tmp_path):
    name = "x" * 247 + ".mp4"
    add(begun(tmp_path, name), 0)
    assert begun(tmp_path, name, resume=True).finished == {0: 10}
    assert Parts(tmp_path / ("x" * 246 + "y.mp4"), RUN, ".nut").folder != Parts(tmp_path / name, RUN, ".nut").folder
