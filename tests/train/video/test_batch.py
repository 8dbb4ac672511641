"""Several videos: the others follow where one cannot be made, and a second run does nothing."""

import shutil
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from _scripts import interpolate_video as script
from _train.frame_interpolation.video import batch, interpolate
from _util import image
from _util.errors import InputError
from _util.video import Encoding, Reader, Writer

SIMPLE = ("--flow", "dis", "--synthesis", "splat", "--device", "cpu")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_clip(path: str, frames: int = 2) -> None:
    noise = np.random.default_rng(len(path)).integers(0, 256, (32, 48, 3), np.uint8)
    with Writer(path, Encoding((32, 48), Fraction(24))) as writer:
        for i in range(frames):
            writer.write(np.roll(noise, i, 1))


def test_a_queue_goes_on_after_a_failure_and_does_nothing_twice(call, monkeypatch):
    for name in ("a.mp4", "b.mkv", "d.mov", "e.avi"):
        write_clip(name)
    Path("c.mp4").write_bytes(b"damaged" * 100)
    arguments = "a.mp4", "b.mkv", "c.mp4", "d.mov", "e.avi", "out", *SIMPLE
    finished = call(script.main, *arguments)
    assert finished.code == 1
    assert finished.written.splitlines()[-1] == "4 made, 0 made before, 1 failed."
    assert finished.said.splitlines()[-1].startswith("c.mp4: c.mp4 is not a supported video")
    made = [f"out/{name}" for name in ("a.mp4", "b.mkv", "d.mov", "e.avi")]
    assert [Reader(path).rate for path in made] == [48] * 4

    monkeypatch.setattr(interpolate, "Interpolator", None)
    before = {path: path.stat().st_mtime_ns for path in map(Path, made)}
    write_clip("c.mp4", 1)
    Path("c.mp4").unlink()
    finished = call(script.main, *arguments)
    assert finished.code == 1
    assert finished.written == "0 made, 4 made before, 1 failed.\n"
    assert {path: path.stat().st_mtime_ns for path in map(Path, made)} == before


def test_of_many_failures_only_the_first_are_explained_again(call):
    names = [f"{i:02d}.mp4" for i in range(22)]
    for name in names:
        Path(name).write_bytes(b"damaged")
    *before, last, rest = call(script.main, *names, "out", "--dry-run", *SIMPLE).said.splitlines()
    assert last.startswith("19.mp4: 19.mp4 is not a supported video")
    assert rest == "and 2 more: 20.mp4, 21.mp4"
    assert len(before) == 2 * 22 + 19  # each as it fails


def test_a_dry_run_of_a_queue_goes_on_after_a_failure_and_says_what_is_lost(call):
    for name in ("a.mp4", "c.mp4"):
        write_clip(name)
    Path("b.mp4").write_bytes(b"damaged" * 100)
    finished = call(script.main, "a.mp4", "b.mp4", "c.mp4", "out", "--suffix", ".gif", "--dry-run", *SIMPLE)
    assert finished.code == 1
    assert [line.split(":")[0] for line in finished.written.splitlines()] == ["a.mp4", "c.mp4"]
    assert finished.said.count(".gif has 256 colours a frame; .webp and .apng keep all.\n") == 2
    assert finished.said.splitlines()[-1].startswith("b.mp4: b.mp4 is not a supported video")
    assert not Path("out").exists()


def test_what_has_changed_is_made_anew_only_if_asked(call):
    write_clip("a.mp4")
    write_clip("b.mp4")
    arguments = "a.mp4", "b.mp4", "out", *SIMPLE
    assert call(script.main, *arguments).code == 0
    write_clip("b.mp4", 3)
    finished = call(script.main, *arguments)
    assert finished.code == 1
    assert "1 made before, 1 failed" in finished.written
    assert "b.mp4: out/b.mp4 exists, made of another source or with other options; replace it" in finished.said
    finished = call(script.main, *arguments, "--overwrite")
    assert finished.code == 0
    assert "2 made, 0 made before" in finished.written
    for others in (["--times-fps", 3], ["--codec", "ffv1"]):
        finished = call(script.main, *arguments, *others)
        assert "0 made, 0 made before, 2 failed" in finished.written


def test_a_folder_of_videos_and_one_of_drawings(call):
    Path("show/drawings").mkdir(parents=True)
    for name in ("ep10.mp4", "ep2.ts", ".hidden.mp4"):
        write_clip(f"show/{name}")
    Path("show/notes.txt").touch()
    assert [path.name for path in batch.find([Path("show")])] == ["ep2.ts", "ep10.mp4"]
    assert batch.find([Path("show/*.mp4"), Path("show")]) == [Path("show/ep10.mp4"), Path("show/ep2.ts")]
    for i in range(2):
        image.write(f"show/drawings/{i}.png", np.full((32, 32, 3), 100 * i, np.uint8))
    shutil.copytree("show/drawings", "shot.v2")
    for made in (4, 0):
        finished = call(script.main, "show", "show/drawings", "shot.v2", "out", *SIMPLE)
        assert finished.code == 0, finished.said
        assert finished.written.splitlines()[-1] == f"{made} made, {4 - made} made before, 0 failed."
    assert sorted(path.name for path in Path("out").glob("[!.]*")) == ["drawings", "ep10.mp4", "ep2.mkv", "shot.v2"]
    assert len(list(Path("out/drawings").iterdir())) == len(list(Path("out/shot.v2").iterdir())) == 4


def test_of_a_folder_of_videos_and_pictures_a_glob_chooses(call):
    Path("show").mkdir()
    write_clip("show/ep1.mp4")
    for name in ("fanart", "poster"):
        image.write(f"show/{name}.png", np.full((32, 32, 3), 100, np.uint8))
    for arguments in (("show", "out"), ("show", "show/ep1.mp4", "out")):
        finished = call(script.main, *arguments, *SIMPLE)
        assert finished.code == 2
        choices = "choose by a glob in quotes: 'show/*.mp4' or 'show/*.png'."
        assert finished.said == f"show holds videos and pictures; {choices}\n"
    assert not Path("out").exists()
    assert call(script.main, "show/*.mp4", "out", *SIMPLE).code == 0
    assert Path("out/ep1.mp4").exists()


def test_numbered_drawings_beside_a_video_are_the_source(call):
    Path("shot").mkdir()
    for i in range(2):
        image.write(f"shot/{i}.png", np.full((32, 32, 3), 100, np.uint8))
    write_clip("shot/preview.mp4")
    finished = call(script.main, "shot", "out", *SIMPLE)
    assert finished.code == 0, finished.said
    assert "preview.mp4: left out" in finished.said
    assert len(list(Path("out").iterdir())) == 4


def test_one_container_for_all(call):
    write_clip("a.mp4")
    finished = call(script.main, "a.mp4", "--fps", "48", "out", "--suffix", "mkv", *SIMPLE)
    assert finished.code == 0, finished.said
    assert Path("out/a.mkv").exists()


@pytest.mark.parametrize("words", [("a.mp4", "OUT/"), ("*.mp4", "OUT"), ("a**", "OUT")])
def test_a_folder_with_a_slash_or_a_glob_makes_a_queue_of_a_single_video(call, words):
    write_clip("a.mp4")
    for made in ("1 made, 0 made before", "0 made, 1 made before"):
        finished = call(script.main, *words, *SIMPLE)
        assert finished.code == 0, finished.said
        assert made in finished.written
    assert [path.name for path in Path("OUT").glob("[!.]*")] == ["a.mp4"]
    assert Reader("OUT/a.mp4").rate == 48


def test_several_videos_are_not_written_to_standard_output(call):
    for name in ("a.mp4", "b.mp4"):
        write_clip(name)
    finished = call(script.main, "a.mp4", "b.mp4", "-", *SIMPLE)
    assert finished.code == 2
    assert "cannot go to standard output" in finished.said
    assert sorted(path.name for path in Path().iterdir()) == ["a.mp4", "b.mp4"]


def test_a_single_video_becomes_drawings_in_a_folder_without_a_slash(call):
    write_clip("a.mp4")
    assert call(script.main, "a.mp4", "PNG", *SIMPLE).code == 0
    assert [path.name for path in sorted(Path("PNG").iterdir())] == [f"{i:06d}.png" for i in range(4)]


def test_a_single_folder_of_drawings_becomes_drawings_in_the_folder_itself(call):
    Path("drawings").mkdir()
    for i in range(2):
        image.write(f"drawings/{i}.png", np.full((32, 32, 3), 100 * i, np.uint8))
    finished = call(script.main, "drawings", "OUT/", *SIMPLE)
    assert finished.code == 0
    assert finished.written == "2 drawings in 2 frames, 0 cuts; OUT has 4 frames, 48 a second.\n"
    assert len(list(Path("OUT").glob("*.png"))) == 4


@pytest.mark.parametrize("source", ["a.png", "a.gif", "a.webp", "a.apng", "folder", "folder/%02d.png"])
@pytest.mark.parametrize("out", ["out.mp4", "OUT/", "OUT"])
def test_one_picture_is_refused(call, source, out):
    Path("folder").mkdir()
    picture = Image.fromarray(np.zeros((32, 32, 3), np.uint8))
    picture.save("folder/01.png")
    for suffix in ("png", "gif", "webp"):
        picture.save(f"a.{suffix}")
    picture.save("a.apng", format="PNG")
    before = sorted(Path().rglob("*"))
    finished = call(script.main, source, out, *SIMPLE)
    assert (finished.code, finished.said.count("\n")) == (2, 1)
    assert "one picture" in finished.said
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_still_pictures_of_kinds_that_may_move_are_drawings(call, suffix):
    Path("keys").mkdir()
    for i in range(3):
        Image.new("RGB", (48, 32), (0, 80 * i, 0)).save(f"keys/{i}{suffix}")
    finished = call(script.main, "keys", "out.mkv", "--in-fps", 12, *SIMPLE)
    assert finished.code == 0, finished.said
    assert len(list(Reader("out.mkv"))) == 6
    moving = [Image.new("RGB", (48, 32), (0, 80 * i, 0)) for i in range(3)]
    moving[0].save(f"keys/0{suffix}", save_all=True, append_images=moving[1:], duration=40)
    assert batch.videos_of(Path("keys")) is None
    for i in (1, 2):
        Path(f"keys/{i}{suffix}").unlink()
    assert batch.videos_of(Path("keys")) == [Path(f"keys/0{suffix}")]


def test_names_that_differ_in_case_are_one_where_disks_ignore_case(monkeypatch):
    sources = [Path("a/x.mp4"), Path("b/X.mp4")]
    assert len(batch.plan(sources, Path("out"))) == 2
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(InputError, match=r"a/x.mp4 and b/X.mp4 would both become out/X.mp4"):
        batch.plan(sources, Path("out"))


@pytest.mark.parametrize("fps", ["59.94005994", "29.97002997", "23.976023976", "47.123456789"])
def test_any_rate_can_be_written(call, fps):
    write_clip("a.mp4", 24)
    finished = call(script.main, "a.mp4", "part.nut", "--codec", "ffv1", "--fps", fps, *SIMPLE)
    assert finished.code == 0, finished.said
    rate = Reader("part.nut").rate
    assert float(rate) == pytest.approx(float(fps), rel=1e-8 if rate.denominator == 1001 else 0.01)
    assert (rate.denominator == 1001) != fps.startswith("47")


def test_a_source_is_not_overwritten_under_another_name(call):
    write_clip("a.mp4")
    Path("b.mp4").hardlink_to("a.mp4")  # as `A.mp4` is on disks that ignore case
    before = Path("a.mp4").read_bytes()
    finished = call(script.main, "a.mp4", "b.mp4", "--overwrite", *SIMPLE)
    assert (finished.code, "is the source" in finished.said) == (2, True)
    assert Path("a.mp4").read_bytes() == before


def test_a_queue_into_the_folder_of_its_sources_does_nothing_twice(call):
    Path("show").mkdir()
    for name in ("a.avi", "b.mp4", "z.mov"):
        write_clip(f"show/{name}")
    for written in ("3 made, 0 made before, 0 failed.", "0 made, 3 made before, 0 failed."):
        finished = call(script.main, "show", "show", "--suffix", "mkv", *SIMPLE)
        assert finished.code == 0, finished.said
        assert finished.written.splitlines()[-1] == written
    assert len(list(Path("show").glob("[!.]*"))) == 6


def test_places():
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(name, "x.mp4").touch()
    with pytest.raises(InputError, match=r"a/x.mp4 and b/x.mp4 would both become out/x.mp4; rename one of them"):
        batch.plan([Path("a/x.mp4"), Path("b/x.mp4")], Path("out"))
    with pytest.raises(InputError, match="is a file; a queue needs a folder"):
        batch.plan([Path("a/x.mp4")], Path("b/x.mp4"))
    with pytest.raises(InputError, match=r"out\.mp4 names one video; a queue needs a folder to go to, as out\."):
        batch.plan([Path("a/x.mp4")], Path("out.mp4"))
    with pytest.raises(InputError, match="Standard input"):
        batch.find([Path("-"), Path("a")])
    with pytest.raises(InputError, match="is a pattern of drawings"):
        batch.find([Path("shot.%04d.png"), Path("a")])


def test_quality_chooses_the_synthesis(call):
    write_clip("a.mp4")
    finished = call(script.main, "a.mp4", "fast.mp4", "--quality", "fast", "--device", "cpu")
    assert finished.code == 0, finished.said
    finished = call(script.main, "a.mp4", "b.mp4", "--quality", "fast", "--synthesis", "splat")
    assert finished.code == 2
    assert finished.said == "--quality fast chooses --synthesis itself; leave one of the two out.\n"
