"""Lists of scenes are read and written as PySceneDetect has them; a dry run forecasts what a run makes."""

import errno
import json
import re
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from _scripts import interpolate_video as script
from _train.frame_interpolation.video import scenes
from _train.frame_interpolation.video.interpolate import fingerprint
from _util import locks
from _util.errors import InputError
from _util.video import Encoding, Reader, Writer
from tests.train.video.interrupted import interrupted_after_a_part

SIMPLE = ("--flow", "dis", "--synthesis", "splat", "--device", "cpu")
RATE = Fraction(24000, 1001)
LIST = """Timecode List:,00:00:02.002,00:00:03.003\r
Scene Number,Start Frame,Start Timecode,Start Time (seconds),End Frame,End Timecode,End Time (seconds),Length (frames)\r
1,1,00:00:00.000,0.000,48,00:00:02.002,2.002,48\r
2,49,00:00:02.002,2.002,72,00:00:03.003,3.003,24\r
3,73,00:00:03.003,3.003,96,00:00:04.004,4.004,24\r
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_clip(cut: int, frames: int = 12) -> None:
    """A wave that moves over a grey; from frame `cut` on, a picture of noise that moves."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 1), np.uint8).repeat(3, 2)
    wave = (128 + 60 * np.sin(np.arange(64) / 4))[None, :, None].repeat(48, 0).repeat(3, 2).astype(np.uint8)
    with Writer("clip.mkv", Encoding((48, 64), Fraction(24), "ffv1", source="bgr0")) as writer:
        for i in range(frames):
            writer.write(np.roll(noise if i >= cut else wave, i, 1))


def test_a_list_is_read_by_any_of_its_columns():
    path = Path("scenes.csv")
    path.write_text(LIST, newline="")
    assert scenes.read(path, RATE) == [0, Fraction("2.002"), Fraction("3.003")]
    header, *rows = [row.split(",") for row in LIST.splitlines()[1:]]
    for name in ("Start Timecode", "Start Frame"):
        kept = [0, header.index(name)]
        path.write_text("\n".join(",".join(row[i] for i in kept) for row in (header, *rows)), encoding="utf-8-sig")
        assert [float(start) for start in scenes.read(path, RATE)] == pytest.approx([0, 2.002, 3.003])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b\n1,2\n", "has no column 'Start Time (seconds)'"),
        ("Start Frame\n1\nx\n", "Row 3 of scenes.csv says no time"),
        ("\nTimecode List:\n\nStart Frame\n1\n\n\nx\n", "Row 8 of scenes.csv says no time"),
        ("Start Time (seconds)\n0\n1/0\n", "Row 3 of scenes.csv says no time"),
        ("Start Time (seconds)\n0\n1e999999999\n", "Row 3 of scenes.csv says no time"),
        ("", "has no column"),
    ],
)
def test_a_list_that_is_none(content, says):
    Path("scenes.csv").write_text(content)
    with pytest.raises(InputError, match=re.escape(says)):
        scenes.read(Path("scenes.csv"), RATE)
    with pytest.raises(InputError, match="cannot be read"):
        scenes.read(Path("none.csv"), RATE)


def test_what_is_written_is_read_again():
    starts = [Fraction(0), 49 / RATE, 100 / RATE]
    scenes.write(Path("out.csv"), starts, 144 / RATE, RATE)
    assert [float(start) for start in scenes.read(Path("out.csv"), RATE)] == pytest.approx(
        list(map(float, starts)), abs=6e-4
    )
    second = Path("out.csv").read_text().splitlines()[2].split(",")
    assert second[:3] == ["2", "50", "00:00:02.044"]
    assert second[4] == "100"


def test_cuts_are_those_of_the_list(call):
    write_clip(cut=5)
    assert call(script.main, "clip.mkv", "found.mkv", "--write-scene-list", "found.csv", *SIMPLE).code == 0
    assert scenes.read(Path("found.csv"), Fraction(24)) == [0, Fraction("0.208")]
    Path("other.csv").write_text("Start Frame\n1\n9\n")
    finished = call(
        script.main,
        "clip.mkv",
        "out.mkv",
        "--codec",
        "ffv1",
        "--scene-list",
        "other.csv",
        "--write-scene-list",
        "o.csv",
        *SIMPLE,
    )
    assert finished.code == 0, finished.said
    assert "12 frames, 1 cut" in finished.written
    assert scenes.read(Path("o.csv"), Fraction(24)) == [0, Fraction("0.333")]
    made, source = ([frame.pixels for frame in Reader(path)] for path in ("out.mkv", "clip.mkv"))
    np.testing.assert_array_equal(made[15], source[7])  # held up to the cut that was listed
    assert (made[9] != source[4]).any()  # and drawn over the one that was not


def test_a_list_of_a_part_counts_from_the_start_of_the_source(call):
    write_clip(cut=5)
    Path("list.csv").write_text("Start Frame\n1\n9\n")
    options = "--from", "0.16", "--scene-list", "list.csv", "--write-scene-list", "part.csv"
    finished = call(script.main, "clip.mkv", "out.mkv", *options, *SIMPLE)
    assert finished.code == 0, finished.said
    assert scenes.read(Path("part.csv"), Fraction(24)) == [Fraction("0.167"), Fraction("0.333")]


def test_a_dry_run_forecasts_a_run_and_writes_nothing(call):
    write_clip(cut=5)
    before = sorted(Path().iterdir())
    finished = call(script.main, "clip.mkv", "out.mkv", "--dry-run", *SIMPLE)
    assert finished.code == 0, finished.said
    assert sorted(Path().iterdir()) == before
    forecast = re.fullmatch(
        r"clip.mkv: (\d+) drawings in 12 frames, 1 cut; out.mkv would have 24 frames, 48 a second, "
        r"(\d+) of them drawn: about \d+ s and (\d+\.\d) MB\.\n",
        finished.written,
    )
    assert forecast
    run = call(script.main, "clip.mkv", "out.mkv", *SIMPLE)
    assert run.written.startswith(f"{forecast[1]} drawings in 12 frames, 1 cut; out.mkv has 24 frames")
    assert int(forecast[2]) == 10  # one between any two drawings of a shot
    assert abs(float(forecast[3]) - Path("out.mkv").stat().st_size / 1e6) < 0.1


def test_a_dry_run_of_a_stream_writes_its_sample_elsewhere(call):
    write_clip(cut=5)
    finished = call(script.main, "clip.mkv", "-", "--dry-run", *SIMPLE)
    assert finished.code == 0, finished.said
    size = re.search(r"- would have 24 frames, .* and (\d+\.\d) MB\.\n$", finished.written)
    assert size
    assert float(size[1]) > 0


def test_a_dry_run_writes_the_scene_list_that_a_run_would(call):
    write_clip(cut=5)
    before = set(Path().iterdir())
    dry = call(script.main, "clip.mkv", "out.mkv", "--dry-run", "--write-scene-list", "lists/dry.csv", *SIMPLE)
    assert dry.code == 0, dry.said
    assert set(Path().iterdir()) - before == {Path("lists")}
    assert [path.name for path in Path("lists").iterdir()] == ["dry.csv"]
    assert call(script.main, "clip.mkv", "out.mkv", "--write-scene-list", "run.csv", *SIMPLE).code == 0
    assert Path("lists/dry.csv").read_bytes() == Path("run.csv").read_bytes()


def obstruct(state: str) -> tuple[str, ...]:
    """Put something in the way of a run from clip.mkv; returns the arguments after it."""
    if state in ("a result", "a resumed result of something else"):
        write_clip(cut=5, frames=3)
        Path("clip.mkv").rename("out.mkv")
        write_clip(cut=5)
    elif state == "a folder that is not empty":
        Path("out").mkdir()
        Path("out/0001.png").touch()
        return ("out",)
    elif state == "parts":
        Path(".out.mkv.parts").mkdir()
        Path(".out.mkv.parts/finished.jsonl").write_text('{"part": 0, "frames": 48, "sha256": ""}\n')
    elif state == "no folder":
        return ("nowhere/out.mkv",)
    elif state == "the source":
        return ("clip.mkv", "--overwrite")
    elif state in ("resumed parts of another IN", "resumed parts of another run"):
        Path(".out.mkv.parts/drawn").mkdir(parents=True)
        Path(".out.mkv.parts/drawn/000003.npz").touch()
        source = fingerprint(Path("clip.mkv")) if state.endswith("run") else "of another"
        Path(".out.mkv.parts/run.json").write_text(json.dumps({"crf": "30", "source": source}))
    elif state == "a lock of the list of scenes":
        return "out.mkv", "--write-scene-list", "list.csv"
    return ("out.mkv", "--resume") if "resumed" in state else ("out.mkv",)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("a result", "out.mkv exists; replace it with --overwrite"),
        ("a resumed result of something else", "out.mkv exists; replace it with --overwrite"),
        ("a folder that is not empty", "out is a folder and not empty"),
        ("parts", "holds what an earlier run finished"),
        ("resumed parts of another IN", "is of another IN"),
        ("resumed parts of another run", "is of another run: "),
        ("no folder", "There is no folder nowhere"),
        ("the source", "clip.mkv is the source"),
        ("a lock", "out.mkv is in use by another run"),
        ("a lock of the list of scenes", "list.csv is in use by another run"),
    ],
)
def test_a_dry_run_is_refused_as_the_run_is(call, state, says):
    write_clip(cut=5)
    arguments = "clip.mkv", *obstruct(state), *SIMPLE
    locked = {"a lock": ["out.mkv"], "a lock of the list of scenes": ["list.csv"]}.get(state, [])
    with locks.holding(*locked):
        before = contents()
        dry = call(script.main, *arguments, "--dry-run")
        assert contents() == before
        run = call(script.main, *arguments)
    assert (dry.code, dry.written) == (run.code, run.written) == (2, "")
    assert says in dry.said
    assert dry.said == run.said


def contents() -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


def test_a_dry_run_says_what_needs_no_work_or_is_replaced(call):
    write_clip(cut=5)
    for out, options, says in (("out.mkv", ("--resume",), "out.mkv"), ("queue/", (), "queue/clip.mkv")):
        assert call(script.main, "clip.mkv", out, *SIMPLE).code == 0
        before = contents()
        dry = call(script.main, "clip.mkv", out, *options, "--dry-run", *SIMPLE)
        assert (dry.code, dry.written) == (0, "")
        assert f"{says} already exists; nothing to do" in dry.said
        dry = call(script.main, "clip.mkv", out, "--overwrite", "--dry-run", *SIMPLE)
        assert (dry.code, f"{says} would have 24 frames" in dry.written) == (0, True)
        assert contents() == before


def test_a_dry_run_of_a_resumed_run_counts_what_is_left_to_draw(call, monkeypatch):
    write_clip(cut=60, frames=60)
    with interrupted_after_a_part(monkeypatch):
        assert call(script.main, "clip.mkv", "out.mkv", *SIMPLE).code == 130
    before = contents()
    dry = call(script.main, "clip.mkv", "out.mkv", "--resume", "--dry-run", *SIMPLE)
    assert "would have 120 frames, 48 a second, 11 of them drawn" in dry.written  # 96 are in the part that is kept
    assert contents() == before


@pytest.mark.parametrize("words", [("clip.mkv", "again.mkv"), ("*.mkv",), (".",)])
@pytest.mark.parametrize("option", ["--scene-list", "--write-scene-list"])
def test_lists_are_of_one_video(call, words, option):
    write_clip(6)
    shutil.copy("clip.mkv", "again.mkv")
    Path("x.csv").write_text(LIST, newline="")
    finished = call(script.main, *words, "out", option, "x.csv", *SIMPLE)
    assert finished.code == 2
    assert "A list of scenes belongs to one video" in finished.said
    assert Path("x.csv").read_bytes() == LIST.encode()


def test_a_list_is_read_for_a_folder_of_one_video(call):
    Path("show").mkdir()
    write_clip(6)
    Path("clip.mkv").rename("show/clip.mkv")
    Path("list.csv").write_text("Start Frame\n1\n4\n")
    finished = call(script.main, "show", "out", "--scene-list", "list.csv", *SIMPLE)
    assert (finished.code, "1 cut" in finished.written) == (0, True), finished.said


def test_lists_are_not_read_for_standard_input(call):
    finished = call(script.main, "-", "out.mkv", "--scene-list", "x.csv", *SIMPLE)
    assert finished.code == 2
    assert "--scene-list needs a file as IN" in finished.said


def test_a_list_is_neither_replaced_by_its_own_nor_written_among_frames(call):
    write_clip(6)
    Path("list.csv").write_text("0\n")
    finished = call(script.main, "clip.mkv", "out.mkv", "--scene-list", "list.csv", "--write-scene-list", "list.csv")
    assert (finished.code, "list.csv is the list of scenes that is read" in finished.said) == (2, True)
    finished = call(script.main, "clip.mkv", "out", "--write-scene-list", "out/list.csv", *SIMPLE)
    assert (finished.code, "out/list.csv lies in out" in finished.said) == (2, True)
    assert not Path("out").exists()
    assert Path("list.csv").read_text() == "0\n"


@pytest.mark.parametrize("flags", [(), ("--dry-run",), ("--resume",)])
def test_a_list_replaces_another_file_only_if_told_to(call, flags):
    write_clip(6)
    Path("list.csv").write_text("of somebody")
    before = contents()
    arguments = "clip.mkv", "out.mkv", "--write-scene-list", "list.csv", *flags, *SIMPLE
    finished = call(script.main, *arguments)
    assert (finished.code, "list.csv exists; replace it with --overwrite" in finished.said) == (2, True)
    assert contents() == before
    assert call(script.main, *arguments, "--overwrite").code == 0
    assert len(scenes.read(Path("list.csv"), Fraction(24))) == 2


def test_a_run_that_could_not_be_joined_resumes_with_its_list(call, monkeypatch):
    write_clip(6)
    arguments = "clip.mkv", "out.y4m", "--write-scene-list", "list.csv", *SIMPLE

    def copyfileobj(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", copyfileobj)  # parts of Y4M are joined by it
        finished = call(script.main, *arguments)
        assert (finished.code, "--resume continues" in finished.said) == (2, True)
    assert call(script.main, *arguments, "--resume").code == 0
    assert Path("list.csv").exists()


def test_a_list_that_a_finished_run_does_not_write_is_reported(call):
    write_clip(6)
    assert call(script.main, "clip.mkv", "out.mkv", *SIMPLE).code == 0
    finished = call(script.main, "clip.mkv", "out.mkv", "--resume", "--write-scene-list", "list.csv", *SIMPLE)
    assert finished.code == 0
    assert "list.csv is not written, as out.mkv is finished" in finished.said


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
@pytest.mark.parametrize("scene_list", ["clip.mkv", "out.mkv", "other.mkv", "key.png"])
def test_lists_replace_no_video_and_no_picture(call, scene_list, flags):
    write_clip(6)
    for name in ("other.mkv", "key.png"):
        Path(name).write_bytes(b"of somebody")
    before = contents()
    finished = call(script.main, "clip.mkv", "out.mkv", "--write-scene-list", scene_list, *flags, *SIMPLE)
    assert finished.code == 2
    assert f"{scene_list} cannot be a list of scenes" in finished.said
    assert contents() == before
