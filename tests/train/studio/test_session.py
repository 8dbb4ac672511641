"""A project that is open: keys that change meanwhile, edits, what is drawn next, drawings and exports."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from _train.frame_interpolation import Interpolator
from _train.frame_interpolation.keys import exposure_sheets, key_drawings, timing
from _train.frame_interpolation.studio import exports
from _train.frame_interpolation.studio.session import Session, StaleError
from _train.frame_interpolation.studio.worker import Worker
from _util import files, formats, icc, image, png, video
from _util.errors import InputError
from _util.formats import Picture
from _util.runs import digest
from tests.train.studio.drawings import SIMPLE, SIZE, draw_all, key, until, write_keys


class Opened:
    """A session and its events."""

    def __init__(self, folder: Path, out: Path, **defaults: Any):
        self.events: list[tuple[str, object]] = []
        self.session = Session(folder, {"between": "1", **defaults}, lambda *event: self.events.append(event))
        self.worker = Worker(self.session, out, **SIMPLE)

    def edit(self, action: str, key: str | None, value: object) -> None:
        self.session.edit(self.session.project.version, action, key, value)

    def notices(self) -> list[object]:
        return [value for name, value in self.events if name == "notice"]

    def row(self, name: str) -> dict:
        return next(row for row in self.session.snapshot()["rows"] if row["key"] == name)

    def ticks(self) -> dict[str, list[str]]:
        """The ticks of each gap, by the key that begins it."""
        return {row["key"]: [one["tick"] for one in row["drawings"]] for row in self.session.snapshot()["rows"]}

    def export(self, format: str) -> dict:
        until(lambda: self.worker._export is None)
        self.worker.export(format)
        until(lambda: self.session.export["phase"] in ("done", "failed", "cancelled"))
        return dict(self.session.export)


@pytest.fixture
def opened(tmp_path) -> Iterator[Opened]:
    one = Opened(write_keys(tmp_path / "keys"), tmp_path / "out")
    yield one
    one.worker.stop()
    if one.worker.is_alive():
        one.worker.join()


def test_in_betweens_are_those_of_the_interpolator(opened):
    opened.edit("timing", "k1", {"ticks": ["1/4", "2/3"], "on": 1})
    draw_all(opened.session, opened.worker)
    ids = [one["id"] for one in opened.row("k1")["drawings"]]
    drawn = [image.read(opened.session.cache.path(id)) for id in ids]
    for one, expected in zip(drawn, Interpolator(**SIMPLE)(key(0), key(8), [1 / 4, 2 / 3]), strict=True):
        np.testing.assert_array_equal(one, expected)


def test_nothing_of_the_keys_is_written_to(opened):
    before = {path: path.read_bytes() for path in opened.session.folder.glob("*.png")}
    opened.edit("timing", "k1", {"ticks": ["1/3"], "on": 2})
    opened.edit("hints", "k2", [{"from": [20, 24], "to": [28, 24]}])
    draw_all(opened.session, opened.worker)
    assert {path: path.read_bytes() for path in opened.session.folder.glob("*.png")} == before
    names = {path.name for path in opened.session.folder.iterdir()} - {path.name for path in before}
    assert names == {"studio.json", "hints.json", ".studio"}


def test_only_what_an_edit_concerns_is_drawn_anew(opened):
    draw_all(opened.session, opened.worker)
    before = {row["key"]: [one["id"] for one in row["drawings"]] for row in opened.session.snapshot()["rows"]}
    opened.events.clear()
    opened.edit("timing", "k1", {"ticks": ["1/4", "1/2"], "on": 2})
    until(lambda: opened.session.wanted() is None and not opened.session.drawing)
    quarter, half = (one["id"] for one in opened.row("k1")["drawings"])
    assert [value["id"] for name, value in opened.events if name == "drawn"] == [quarter]
    assert [half] == before["k1"]
    assert [one["id"] for one in opened.row("k2")["drawings"]] == before["k2"]


def test_drawings_are_kept_from_one_opening_to_the_next(opened, tmp_path):
    draw_all(opened.session, opened.worker)
    stray = opened.session.folder / ".studio" / f"{'0' * 32}.png"
    image.write(stray, key(0))
    again = Opened(opened.session.folder, tmp_path / "out")
    draw_all(again.session, again.worker)
    again.worker.stop()
    assert not [name for name, _ in again.events if name == "drawn"]
    assert all(one["drawn"] for row in again.session.snapshot()["rows"] for one in row["drawings"])
    assert not stray.exists()


def test_what_is_looked_at_is_drawn_first(opened):
    session = opened.session
    session.begin_drawing("method", "settings")
    opened.edit("spacing", "k2", {"count": 3})
    session.look_at("k2", 3)
    order = []
    while wanted := session.wanted():
        row, one = wanted
        order.append((row.key.name, one.tick))
        session.finished(one, "no")
    assert order == [("k2", Fraction(3, 4)), ("k2", Fraction(1, 2)), ("k2", Fraction(1, 4)), ("k1", Fraction(1, 2))]


def test_only_what_is_in_the_cache_is_said_to_be_drawn(opened):
    """A key that changed while its in-between was drawn ends the drawing without one."""
    session = opened.session
    session.begin_drawing("method", "settings")
    one = opened.session.rows()[0].drawings[0]
    opened.events.clear()
    session.began(one)
    session.finished(one)
    assert [name for name, _ in opened.events] == ["drawing", "state"]
    session.cache.keep(one.id, Picture(key(0)))
    session.finished(one)
    assert opened.events[-1][0] == "drawn"


def test_an_edit_of_an_older_version_is_refused(opened):
    version = opened.session.project.version
    opened.session.edit(version, "loop", None, True)
    with pytest.raises(StaleError, match="repeat the last edit"):
        opened.session.edit(version, "rate", None, 12)
    assert opened.session.snapshot()["rate"] == 24


@pytest.mark.parametrize(
    ("action", "name", "value", "match"),
    [
        ("timing", "k9", {"ticks": []}, "no key k9"),
        ("timing", "k1", {"ticks": ["1/2", "1/2"]}, "ticks must rise"),
        ("timing", "k1", {"ticks": ["1"]}, "below 1"),
        ("timing", "k1", {"ticks": [None]}, "not a number"),
        ("timing", "k1", {"ticks": "1/2"}, "of the form"),
        ("on", "k1", 0, "from 1"),
        ("timing", "k1", {"ticks": ["1/4:1/2"]}, "'1/4:1/2', which is not a number"),
        ("spacing", "k1", {"count": -1}, "from 0"),
        ("spacing", "k1", {"count": "1,2"}, "'1,2', which is not a number"),
        ("spacing", "k1", {"count": 2, "ease": "odd"}, "no ease"),
        ("hints", "k1", [{"from": [64, 0], "to": [1, 1]}], "outside the keys"),
        ("hints", "k1", [{"from": [1, 1], "to": [1, 1]}, {"from": [1, 1], "to": [30, 30]}], "contradict"),
        ("hints", "k1", [1], "not of the form"),
        ("hints", "k3", [{"from": [1, 1], "to": [2, 2]}], "No gap begins at k3"),
        ("hints", "k1", {}, "a list"),
        ("rate", None, "fast", "not a number"),
        ("rate", None, 1000, "from 1 to 240"),
        ("loop", None, "yes", "on or off"),
        ("erase", "k1", None, "no edit"),
    ],
)
def test_what_cannot_be_edited_is_a_sentence(opened, action, name, value, match):
    with pytest.raises(InputError, match=match):
        opened.edit(action, name, value)
    assert not (opened.session.folder / "studio.json").exists()
    assert not opened.session.project.can_undo


def test_spacing_follows_the_curve(opened):
    opened.edit("spacing", "k1", {"count": 3, "ease": "in"})
    expected = timing.eased(timing.even(3), timing.parse_ease("in"))
    assert [Fraction(one["tick"]) for one in opened.row("k1")["drawings"]] == list(expected)


def test_the_same_timing_everywhere(opened):
    opened.edit("timing", "k1", {"ticks": ["1/5", "1/2"], "on": 1})
    opened.edit("on", "k1", 2)
    opened.edit("everywhere", "k1", None)
    assert [one["tick"] for one in opened.row("k2")["drawings"]] == ["1/5", "1/2"]
    assert opened.row("k3")["on"] == 2


def test_a_key_that_is_gone_keeps_its_timing_and_hints(opened):
    opened.edit("timing", "k2", {"ticks": ["1/3"], "on": 2})
    opened.edit("hints", "k2", [{"from": [20, 24], "to": [28, 24]}])
    kept, path = opened.row("k2"), opened.session.folder / "k2.png"
    content = path.read_bytes()
    path.unlink()
    opened.session.check_disk()
    assert [row["key"] for row in opened.session.snapshot()["rows"]] == ["k1", "k3"]
    assert "k2 is gone" in str(opened.notices()[-1])
    opened.edit("rate", None, 12)
    path.write_bytes(content)
    opened.session.check_disk()
    assert opened.row("k2") == kept


def test_keys_that_do_not_fit_the_chart_are_reported_until_they_do(tmp_path):
    """Meanwhile, what fits has the timing that it had."""
    keys, chart = write_keys(tmp_path / "keys", 4), tmp_path / "chart.csv"
    chart.write_text("key,between\nk1,3\nk2,2\n")
    one = Opened(keys, tmp_path / "out", chart=chart)
    before = one.ticks()
    assert before == {"k1": ["1/4", "1/2", "3/4"], "k2": ["1/3", "2/3"], "k3": ["1/2"], "k4": []}
    (keys / "k2.png").rename(keys / "k2b.png")
    (keys / "k4.png").rename(keys / "k3+fixed.png")
    one.session.check_disk()
    assert one.events[-1][0] == "state"
    assert "chart.csv, line 3: there is no key 'k2'; the keys are k1, k2b" in one.events[-1][1]["problem"]
    assert one.ticks() == {"k1": before["k1"], "k2b": ["1/2"], "k3": ["1/2"], "k3+fixed": []}
    one.edit("on", "k1", 2)
    assert one.row("k1")["on"] == 2
    one.session.undo()
    (keys / "k2b.png").rename(keys / "k2.png")
    (keys / "k3+fixed.png").rename(keys / "k4.png")
    one.session.check_disk()
    assert one.events[-1][1]["problem"] == one.session.snapshot()["problem"] == ""
    assert one.ticks() == before


def test_a_chart_that_is_mended_is_read_again(tmp_path):
    keys, chart = write_keys(tmp_path / "keys"), tmp_path / "chart.csv"
    chart.write_text("key,between\nk2,2\n")
    one = Opened(keys, tmp_path / "out", chart=chart)
    chart.write_text("key,between\nk9,2\n")
    one.session.check_disk()
    assert "there is no key 'k9'" in one.session.snapshot()["problem"]
    assert one.ticks()["k2"] == ["1/3", "2/3"]
    chart.write_text("key,ease\nk2,auto\n")
    one.session.check_disk()
    assert "The ease auto is not shown on the page" in one.session.snapshot()["problem"]
    chart.write_text("key,between\nk1,0\n")
    one.session.check_disk()
    assert one.events[-1][1]["problem"] == ""
    assert one.ticks() == {"k1": [], "k2": ["1/2"], "k3": []}


def test_counts_for_other_keys_are_reported_until_they_fit(tmp_path):
    keys = write_keys(tmp_path / "keys")
    one = Opened(keys, tmp_path / "out", between="3,2")
    before = one.ticks()
    shutil.copy(keys / "k1.png", keys / "k4.png")
    one.session.check_disk()
    assert "--between has 2 counts for 4 gaps" in one.session.snapshot()["problem"]
    assert one.ticks() == {**before, "k3": ["1/3", "2/3"], "k4": []}  # k3: as it would close a loop
    (keys / "k4.png").unlink()
    one.session.check_disk()
    assert one.session.snapshot()["problem"] == ""
    assert one.ticks() == before


def test_a_key_that_changes_has_other_in_betweens(opened):
    draw_all(opened.session, opened.worker)
    before = [one["id"] for name in ("k1", "k2") for one in opened.row(name)["drawings"]]
    image.write(opened.session.folder / "k3.png", key(20))
    opened.session.check_disk()
    after = [one["id"] for name in ("k1", "k2") for one in opened.row(name)["drawings"]]
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert "k3 was changed" in str(opened.notices()[-1])
    until(lambda: after[1] in opened.session.cache)


def test_a_key_that_changes_unseen_is_read_again(opened):
    """Its size, time and inode are those of before."""
    path, draw = opened.session.folder / "k2.png", opened.worker._drawn
    before, status = path.read_bytes(), path.stat()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    attempts = []
    opened.worker._drawn = lambda *wanted: attempts.append(wanted) or draw(*wanted)
    draw_all(opened.session, opened.worker)
    assert opened.row("k2")["id"] == digest(path)[:32]
    assert all(one["drawn"] for name in ("k1", "k2") for one in opened.row(name)["drawings"])
    assert len(attempts) == 3


def test_a_damaged_key_and_one_of_another_size_are_reported_where_they_are(opened):
    (opened.session.folder / "k3.png").write_bytes(b"no picture")
    image.write(opened.session.folder / "k4.png", np.zeros((32, 32, 3), np.uint8))
    image.write(opened.session.folder / "k5.png", key(0))
    opened.session.check_disk()
    assert "k3.png" in opened.row("k3")["keyProblem"]
    assert "k3.png" in opened.row("k2")["problem"]
    assert "k4.png is 32×32 pixels and k5.png 64×48" in opened.row("k4")["problem"]
    assert opened.row("k1")["problem"] == ""
    draw_all(opened.session, opened.worker)
    assert [one["drawn"] for one in opened.row("k1")["drawings"]] == [True]
    with pytest.raises(InputError, match="a problem to fix before an export"):
        opened.worker.export("mp4")


@pytest.mark.parametrize("between", ["0", "1"])
def test_a_key_damaged_beyond_its_header_is_reported_once_it_is_read(tmp_path, between):
    keys = write_keys(tmp_path / "keys", 4)
    path = keys / "k3.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    one = Opened(keys, tmp_path / "out", between=between)
    if between == "0":  # the page asks for the picture
        with pytest.raises(InputError, match=r"k3\.png is damaged or truncated"):
            one.session.picture(one.row("k3")["id"])()
    draw_all(one.session, one.worker)
    assert "k3.png is damaged or truncated" in one.row("k3")["keyProblem"]
    assert [one.row(name)["problem"] for name in ("k1", "k2", "k3")] == ["", *[one.row("k3")["keyProblem"]] * 2]
    assert all(drawing["drawn"] for drawing in one.row("k1")["drawings"])
    assert one.events[-1][1] == {**one.session.snapshot(), "serial": one.events[-1][1]["serial"]}
    with pytest.raises(InputError, match="a problem to fix before an export"):
        one.worker.export("png")

    path.write_bytes(whole)
    one.session.check_disk()
    until(lambda: one.session.wanted() is None and not one.session.drawing)
    assert [row["keyProblem"] + row["problem"] for row in one.session.snapshot()["rows"]] == [""] * 4
    assert one.export("png")["phase"] == "done"
    one.worker.stop()
    one.worker.join()


@pytest.mark.parametrize("fails", ["when listed", "when drawn from"])
def test_a_key_that_could_not_be_read_for_a_while_is_read_again(tmp_path, monkeypatch, fails):
    """Its file stays as it is, as if another program had locked it or memory had been short."""
    folder = write_keys(tmp_path / "keys", 4)

    def but_for_k3(read, error):
        def locked(path):
            if path.name == "k3.png":
                raise error
            return read(path)

        return locked

    with monkeypatch.context() as meanwhile:
        error = InputError("k3.png cannot be read (Permission denied).")
        meanwhile.setattr(formats, "read", but_for_k3(formats.read, error))
        if fails == "when listed":
            error = PermissionError(errno.EACCES, "Permission denied")
            meanwhile.setattr("_train.frame_interpolation.studio.keys.digest", but_for_k3(digest, error))
        one = Opened(folder, tmp_path / "out")
        draw_all(one.session, one.worker)
        version, one.session.keys._next_try = one.session.keys.version, 0.0
        one.session.check_disk()
    one.session.check_disk()  # too soon to try again
    assert "Permission denied" in one.row("k3")["keyProblem"]
    assert one.session.keys.version == version
    one.session.keys._next_try = 0.0
    one.session.check_disk()
    until(lambda: one.session.wanted() is None and not one.session.drawing)
    assert [row["keyProblem"] + row["problem"] for row in one.session.snapshot()["rows"]] == [""] * 4
    assert all(drawing["drawn"] for drawing in one.row("k3")["drawings"])
    one.worker.stop()
    one.worker.join()


def test_a_key_that_is_being_written_is_not_taken_for_damaged(opened, monkeypatch):
    path, read = opened.session.folder / "k2.png", formats.read
    before, id = path.read_bytes(), opened.row("k2")["id"]

    def read_half(place):
        path.write_bytes(before[:-100])
        try:
            return read(place)
        finally:
            path.write_bytes(before + b"written")

    with monkeypatch.context() as writing:
        writing.setattr(formats, "read", read_half)
        with pytest.raises(InputError, match=r"^k2\.png was changed"):
            opened.session.picture(id)()
    opened.session.check_disk()
    assert opened.row("k2")["keyProblem"] == ""
    np.testing.assert_array_equal(opened.session.picture(opened.row("k2")["id"])().pixels, key(8))


def test_a_folder_that_is_gone_comes_back(opened, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    opened.session.folder.rename(elsewhere)
    opened.session.check_disk()
    assert "cannot be read" in opened.session.snapshot()["problem"]
    elsewhere.rename(opened.session.folder)
    opened.session.check_disk()
    assert opened.session.snapshot()["problem"] == ""
    assert len(opened.session.snapshot()["rows"]) == 3


def test_a_drawing_finished_after_the_folder_is_gone_leaves_its_place_free(opened, tmp_path):
    draw_all(opened.session, opened.worker)
    folder, elsewhere = opened.session.folder, tmp_path / "elsewhere"
    folder.rename(elsewhere)
    with pytest.raises(InputError, match="cannot be written"):
        opened.session.cache.keep("0" * 32, Picture(key(4), ".png"))
    assert not folder.exists()
    opened.session.check_disk()
    opened.session.finished(opened.session.rows()[0].drawings[0], "It cannot be written.")
    assert opened.row("k1")["problem"]
    elsewhere.rename(folder)
    opened.session.check_disk()
    assert opened.row("k1")["problem"] == ""


def test_drawings_that_are_deleted_are_drawn_again(opened):
    draw_all(opened.session, opened.worker)
    shutil.rmtree(opened.session.folder / ".studio")
    assert opened.export("png")["phase"] == "done"
    shutil.rmtree(opened.session.folder / ".studio")
    opened.session.check_disk()
    until(lambda: opened.session.wanted() is None)
    assert len(list((opened.session.folder / ".studio").iterdir())) == 2


def test_a_project_damaged_meanwhile_is_reported_and_kept(opened):
    opened.edit("loop", None, True)
    path = opened.session.folder / "studio.json"
    path.write_text("{")
    opened.session.check_disk()
    assert "damaged" in opened.session.snapshot()["problem"]
    with pytest.raises(InputError, match="changed by another program"):
        opened.edit("rate", None, 12)
    assert path.read_text() == "{"


def test_a_key_that_changes_while_the_project_is_damaged_is_announced(opened):
    path = opened.session.folder / "studio.json"
    path.write_text("{")
    opened.session.check_disk()
    (opened.session.folder / "k3.png").unlink()
    opened.session.check_disk()
    name, state = opened.events[-1]
    assert (name, [row["key"] for row in state["rows"]]) == ("state", ["k1", "k2"])


def test_redrawing_draws_a_gap_once_more(opened):
    draw_all(opened.session, opened.worker)
    (id,) = (one["id"] for one in opened.row("k1")["drawings"])
    path = opened.session.cache.path(id)
    before = path.read_bytes()
    path.write_bytes(b"damaged")
    opened.session.redraw("k1")
    until(lambda: id in opened.session.cache)
    assert path.read_bytes() == before


def test_a_gap_that_cannot_be_drawn_leaves_the_others(opened, monkeypatch):
    draw = Interpolator.prepare

    def fail_on_the_first(self, frame0, frame1, *others):
        if np.array_equal(frame0, key(0)):
            raise MemoryError
        return draw(self, frame0, frame1, *others)

    monkeypatch.setattr(Interpolator, "prepare", fail_on_the_first)
    draw_all(opened.session, opened.worker)
    assert "not enough memory" in opened.row("k1")["problem"]
    states = [(one["drawn"], one["failed"]) for name in ("k1", "k2") for one in opened.row(name)["drawings"]]
    assert states == [(False, True), (True, False)]


def test_drawing_goes_on_after_an_unexpected_failure(opened, monkeypatch):
    monkeypatch.setattr("_train.frame_interpolation.studio.worker._PAUSE", 0.01)
    find = opened.session.wanted
    failures = iter([RuntimeError("one that nobody expected")])

    def fail_once():
        for failure in failures:
            raise failure
        return find()

    monkeypatch.setattr(opened.session, "wanted", fail_once)
    opened.worker.start()
    until(lambda: all(one["drawn"] for one in opened.row("k1")["drawings"]))
    assert any("RuntimeError: one that nobody expected" in str(notice) for notice in opened.notices())


def test_weights_that_are_missing_are_reported(tmp_path):
    session = Session(write_keys(tmp_path / "keys"), {})
    worker = Worker(session, tmp_path, synthesis="rife", device="cpu", folder=tmp_path)
    worker.run()
    assert "rife" in session.snapshot()["problem"]


# ---- Exports ---------------------------------------------------------------------------------------------------------


def test_every_format_has_every_frame(opened, tmp_path):
    opened.edit("timing", "k1", {"ticks": ["1/2"], "on": 2})
    opened.edit("rate", None, 12)
    draw_all(opened.session, opened.worker)
    for format, name in {"png": "keys", "mp4": "keys.mp4", "prores": "keys.mov", "apng": "keys.apng"}.items():
        made = opened.export(format)
        assert (made["phase"], made["path"]) == ("done", str(tmp_path / "out" / name))
    frames = [image.read(path) for path in sorted((tmp_path / "out" / "keys").iterdir())]
    assert len(frames) == 7
    np.testing.assert_array_equal(frames[0], key(0))
    np.testing.assert_array_equal(frames[2], frames[3])
    np.testing.assert_array_equal(frames[4], key(8))
    for name in ("keys.mp4", "keys.mov", "keys.apng"):
        reader = video.Reader(tmp_path / "out" / name)
        assert (reader.rate, reader.size) == (12, SIZE)
        shown = [frame.pixels * (255 / np.iinfo(frame.pixels.dtype).max) for frame in reader]
        assert len(shown) == 7
        assert max(np.abs(one - frame).mean() for one, frame in zip(shown, frames, strict=True)) < 4


@pytest.mark.parametrize(("format", "name"), [("prores", "keys.mov"), ("webp", "keys.webp"), ("apng", "keys.apng")])
def test_transparency_is_kept(tmp_path, format, name):
    opened = Opened(write_keys(tmp_path / "keys", 2, channels=4), tmp_path / "out")
    draw_all(opened.session, opened.worker)
    assert opened.export(format)["phase"] == "done"
    opened.worker.stop()
    first = next(iter(video.Reader(tmp_path / "out" / name, keep_alpha=True))).pixels
    alpha = first[:, :, 3].astype(float) / np.iinfo(first.dtype).max
    assert np.abs(alpha - key(0, 4)[:, :, 3] / 255).max() < 0.02


@pytest.fixture
def exported(tmp_path) -> Iterator[Callable[..., Path]]:
    """Exports a picture with a profile, which moves, in a format; returns the path of the export."""
    opened = []

    def export(pixels: np.ndarray, profile: bytes, format: str) -> Path:
        keys = tmp_path / "keys"
        keys.mkdir()
        for name, shift in (("k1.png", 0), ("k2.png", 8)):
            formats.write(keys / name, np.roll(pixels, shift, 1), (png.icc_chunk(profile),))
        opened.append(Opened(keys, tmp_path / "out"))
        draw_all(opened[0].session, opened[0].worker)
        return Path(opened[0].export(format)["path"])

    yield export
    opened[0].worker.stop()
    opened[0].worker.join()


@pytest.mark.parametrize("unit", [np.uint8(1), np.uint16(257)])
@pytest.mark.parametrize("format", ["mp4", "prores"])
def test_video_is_in_srgb(exported, format, unit):
    path = exported(key(0) // 2 * unit, icc.of_gamma(1.0), format)
    first = next(iter(video.Reader(path))).pixels
    assert first[2, 2] / np.iinfo(first.dtype).max == pytest.approx(np.full(3, 187 / 255), abs=0.01)  # half the light


def test_video_of_deep_keys_in_srgb_keeps_their_depth(exported):
    ramp = np.broadcast_to(np.arange(20000, 21024, 16, np.uint16)[:, None], (*SIZE, 3)).copy()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    first = next(iter(video.Reader(exported(ramp, profile, "prores")))).pixels
    assert len(np.unique(first[24, :, 1] // 64)) > 10  # 4 with 8 bits


@pytest.mark.parametrize("unit", [np.uint8(1), np.uint16(257)])
@pytest.mark.parametrize("format", ["webp", "apng"])
def test_animations_have_the_profile_of_the_keys(exported, format, unit):
    profile, pixels = icc.of_gamma(1.0), key(0, 4) // 2 * unit
    path = exported(pixels, profile, format)
    with Image.open(path) as animation:
        assert animation.info["icc_profile"] == profile
        assert animation.n_frames == 3
    first = next(iter(video.Reader(path, keep_alpha=True))).pixels
    expected = pixels if first.dtype == pixels.dtype else key(0, 4) // 2
    np.testing.assert_array_equal(first[pixels[:, :, 3] > 0], expected[pixels[:, :, 3] > 0])


def test_drawings_come_with_a_sheet_and_a_chart(opened, tmp_path):
    opened.edit("timing", "k1", {"ticks": ["1/4", "1/2"], "on": 2})
    opened.edit("spacing", "k2", {"count": 0})
    draw_all(opened.session, opened.worker)
    folder = Path(opened.export("drawings")["path"])
    names = ["k1+0of2.png", "k1+1of2.png", "k1+2of2.png", "k2+0of0.png", "k3+0of0.png"]
    assert sorted(path.name for path in folder.glob("*.png")) == names
    planned = timing.plan(["k1", "k2", "k3"], chart=folder / "keys.csv")
    assert [gap.ticks for gap in planned] == [(Fraction(1, 4), Fraction(1, 2)), (), ()]
    assert planned[0].exposures == (2, 2, 2)
    assert exposure_sheets.read_layer(folder / "keys.xdts").track.cells == list("11223345")


def test_keys_of_mixed_kinds_are_exported_as_interpolate_draws_them(tmp_path):
    keys, out = tmp_path / "keys", tmp_path / "out"
    keys.mkdir()
    for i, pixels in enumerate((key(0)[:, :, 0], key(8), key(16, 4) * np.uint16(257))):
        image.write(keys / f"k{i + 1}.png", pixels)
    opened = Opened(keys, out)
    draw_all(opened.session, opened.worker)
    exported = [Path(opened.export(format)["path"]) for format in ("drawings", "png")]
    opened.worker.stop()
    opened.worker.join()
    paths, gaps = key_drawings.find_keys([keys]), timing.plan(["k1", "k2", "k3"])
    drawn = key_drawings.interpolate_keys(paths, tmp_path / "drawn", gaps, **SIMPLE).paths
    for folder in exported:
        pictures = sorted(folder.glob("*.png"))
        assert [path.read_bytes() for path in pictures] == [path.read_bytes() for path in drawn]


def test_an_export_is_never_written_over(opened, tmp_path):
    draw_all(opened.session, opened.worker)
    assert [Path(opened.export("mp4")["path"]).name for _ in range(3)] == ["keys.mp4", "keys-2.mp4", "keys-3.mp4"]


def test_exports_of_a_folder_with_a_long_name_are_numbered(tmp_path):
    one = Opened(write_keys(tmp_path / ("k" * 254)), tmp_path / "out")
    draw_all(one.session, one.worker)
    names = {Path(one.export(format)["path"]).name for format in ("png", "png", "drawings", "drawings")}
    one.worker.stop()
    one.worker.join()
    assert names == {path.name for path in (tmp_path / "out").iterdir()}
    assert len(names) == 4


def test_a_cancelled_export_leaves_nothing(opened, tmp_path, monkeypatch):
    draw_all(opened.session, opened.worker)
    show = opened.session.show_export

    def cancel_at_the_second(progress):
        if progress and progress["phase"] == "writing" and progress["done"] == 2:
            opened.worker.cancel()
        show(progress)

    monkeypatch.setattr(opened.session, "show_export", cancel_at_the_second)
    assert opened.export("webp")["phase"] == "cancelled"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["png", "drawings", "apng"])
def test_a_key_saved_after_the_export_began_is_not_exported(opened, tmp_path, format):
    draw_all(opened.session, opened.worker)
    path, saved = opened.session.folder / "k2.png", tmp_path / "saved.png"
    image.write(saved, key(20))
    shutil.copystat(path, saved)
    made = exports.Export(format, opened.session, tmp_path / "out")
    saved.replace(path)
    with pytest.raises(InputError, match=r"^k2\.png was changed; export again\.$"):
        made.write()
    assert not (tmp_path / "out").exists()
    assert opened.export(format)["phase"] == "done"


def test_an_export_that_cannot_be_written_is_a_sentence(opened, tmp_path):
    draw_all(opened.session, opened.worker)
    (tmp_path / "out").write_text("a file")
    made = opened.export("png")
    assert made["phase"] == "failed"
    assert str(tmp_path / "out") in made["sentence"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("format", "place"),
    [("png", "keys/keys_0001.png"), ("drawings", "keys-drawings/k1+0of1.png"), ("webp", "keys.webp")],
)
def test_a_full_disk_is_reported_with_the_place_of_the_export(opened, tmp_path, monkeypatch, format, place):
    def write_on_a_full_disk(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    draw_all(opened.session, opened.worker)
    out = tmp_path / "out"
    out.mkdir()
    files.temporary_beside(out / "keys.webp").symlink_to("/dev/full")
    monkeypatch.setattr(formats, "encoded", write_on_a_full_disk)
    said = f"{out / place} cannot be written (No space left on device); make room or choose another place."
    assert opened.export(format)["sentence"] == said


def test_snapshots_are_json_and_in_order(opened):
    first, second = (json.loads(json.dumps(opened.session.snapshot())) for _ in range(2))
    assert first["name"] == "keys"
    assert first["serial"] < second["serial"]
    assert {**first, "serial": 0} == {**second, "serial": 0}
