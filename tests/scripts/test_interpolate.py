"""The command line: what it writes, and what it says when something is wrong."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from _scripts import interpolate
from _train.frame_interpolation.benchmarks.stages import write_checkpoints
from _util import files, image, layers, xdts
from _util.layers import Layer
from _util.pixels import with_channels

ROOT = Path(__file__).parents[2]
SIMPLE = ("--flow", "dis", "--synthesis", "splat", "--device", "cpu")


@pytest.fixture(autouse=True)
def frames(tmp_path, monkeypatch):
    """A folder with a.png and b.png to run in."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    scene = np.array(Image.fromarray(noise).resize((52, 40), Image.Resampling.BICUBIC))
    Image.fromarray(scene[:, :48]).save("a.png")
    Image.fromarray(scene[:, 4:]).save("b.png")


@pytest.fixture
def run(call):
    """Runs the command line; returns its exit code and what it said on stderr."""
    return lambda *arguments: call(interpolate.main, *arguments)[:2]


def written(folder: str | Path) -> list[str]:
    """Names of what is in a folder, records left out."""
    return sorted(path.name for path in Path(folder).iterdir() if path.suffix != ".jsonl")


def test_twelve_frames_a_second(run):
    code, _ = run("a.png", "b.png", "--fps", 12, "--out", "out", *SIMPLE)
    assert code == 0
    assert written("out") == [f"12_{i:02d}.png" for i in range(13)]
    for source, copy in (("a.png", "12_00.png"), ("b.png", "12_12.png")):
        np.testing.assert_array_equal(image.read(source), image.read(Path("out") / copy))


def test_defaults(run):
    code, _ = run("a.png", "b.png", *SIMPLE)
    assert code == 0
    assert len(written("_data/interpolated/a-b")) == 13


def test_a_limb_that_turns_far_is_matched_unless_told_not_to(run, tmp_path):
    for name, angle in (("a", -35), ("b", 35)):
        picture = np.full((180, 240, 3), (236, 228, 210), np.uint8)
        end = round(100 + 100 * np.cos(np.radians(angle))), round(90 + 100 * np.sin(np.radians(angle)))
        cv2.line(picture, (100, 90), end, (40, 90, 160), 14, cv2.LINE_AA)
        image.write(tmp_path / f"{name}.png", picture)
    is_drawn = []
    for matching in ("auto", "off"):
        code, _ = run("a.png", "b.png", "--times", 0.5, "--matching", matching, "--out", matching, "--device", "cpu")
        assert code == 0
        frame = image.read(next(Path(matching).glob("*.png")))
        is_drawn.append((np.abs(frame[86:95, 110:190].astype(int) - (40, 90, 160)).max(2) < 30).mean())
    assert is_drawn[0] > 0.95 > 0.8 > is_drawn[1]


@pytest.mark.parametrize("suffix", ["webp", "gif", "mp4"])
def test_every_option_together(run, suffix):
    code, _ = run(
        "a.png", "b.png", "--times", 0.25, 0.5, "--out", "out", "--preview", f"p/p.{suffix}", "--show-flow", *SIMPLE
    )
    assert code == 0
    assert written("out") == ["flow01.png", "flow10.png", "t0.25.png", "t0.50.png"]
    assert written("p") == [f"p.{suffix}"]


def test_a_folder_of_keys(run):
    Path("keys").mkdir()
    for name in ("a.png", "b.png"):
        Path(name).rename(Path("keys") / name)
    code, _ = run("keys", "--loop", "--between", "2,1", "--ease", "in-out", "--on", 2, "--preview", "p.webp", *SIMPLE)
    assert code == 0
    names = ["a+0of2.png", "a+1of2.png", "a+2of2.png", "b+0of1.png", "b+1of1.png"]
    assert written("_data/interpolated/keys") == names
    assert Path("p.webp").exists()


def test_keys_that_are_not_read_are_reported(run):
    Path("keys").mkdir()
    for name in ("a.png", "b.png"):
        Path(name).rename(Path("keys") / name)
    for name in ("c.psd", "d.qoi", "e.mp4"):
        (Path("keys") / name).touch()
    code, said = run("keys", *SIMPLE)
    assert code == 0
    assert "3 files in formats that are not read there, c.psd, d.qoi, e.mp4: left out" in said


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".j2c", ".jpc", ".jpf", ".jpx"])
def test_keys_have_any_suffix_of_their_format(run, suffix):
    Path("keys").mkdir()
    for path, name in (("a.png", "K1.png"), ("b.png", f"K2{suffix}"), ("b.png", "K3.png")):
        Image.open(path).save(Path("keys") / name)
    code, _ = run("keys", "--between", 0, *SIMPLE)
    assert code == 0
    assert written("_data/interpolated/keys") == [f"K{i}+0of0.png" for i in (1, 2, 3)]


@pytest.mark.parametrize("options", [[], ["--between", 3], ["--as", "ora"]])
@pytest.mark.parametrize("name", ["nope", "keys/*.png"])
def test_a_source_that_does_not_exist(run, name, options):
    code, said = run(name, *options, *SIMPLE)
    assert code == 2
    assert said == f"There is no file or folder {name}; give two files or more, or one folder of keys alone.\n"


def test_three_files_are_keys(run):
    Image.open("b.png").transpose(Image.Transpose.FLIP_TOP_BOTTOM).save("c.png")
    code, _ = run("a.png", "b.png", "c.png", *SIMPLE)
    assert code == 0
    names = ["a+0of1.png", "a+1of1.png", "b+0of1.png", "b+1of1.png", "c+0of0.png"]
    assert written("_data/interpolated/a-c") == names


def test_options_of_timing_make_keys_of_two_frames(run):
    code, _ = run("a.png", "b.png", "--ticks", "0.25,1/2", "--out", "out", *SIMPLE)
    assert code == 0
    assert written("out") == [f"a+{i}of2.png" for i in range(3)] + ["b+0of0.png"]
    run("a.png", "b.png", "--times", 0.25, 0.5, "--out", "pair", *SIMPLE)
    for name, same in (("a+1of2.png", "t0.25.png"), ("a+2of2.png", "t0.50.png")):
        np.testing.assert_array_equal(image.read(Path("out") / name), image.read(Path("pair") / same))


def test_a_sheet_times_keys_and_another_is_written(run):
    table = xdts.TimeTable("cut", 6, [xdts.Track("A", ["a", "a", "a", "a", "b", "b"])])
    xdts.write("in.xdts", xdts.TimeSheet([table]))
    arguments = "--sheet", "in.xdts", "--on", 2, "--write-sheet", "sheets/out.xdts", "--out", "out"
    code, _ = run("a.png", "b.png", *arguments, *SIMPLE)
    assert code == 0
    assert written("out") == ["a+0of1.png", "a+1of1.png", "b+0of0.png"]
    assert xdts.read("sheets/out.xdts").tables[0].tracks[0].cells == ["1", "1", "2", "2", "3", "3"]
    run("a.png", "b.png", "--times", 0.5, "--out", "pair", *SIMPLE)
    np.testing.assert_array_equal(image.read("out/a+1of1.png"), image.read("pair/t0.50.png"))
    sheets = "--sheet", "sheets/out.xdts", "--write-sheet", "sheets/again.xdts"
    assert run("out", *sheets, "--out", "again", *SIMPLE)[0] == 0
    assert Path("sheets/again.xdts").read_bytes() == Path("sheets/out.xdts").read_bytes()
    assert [image.read(path).tobytes() for path in sorted(Path("again").glob("*.png"))] == [
        image.read(path).tobytes() for path in sorted(Path("out").glob("*.png"))
    ]


def stop_before_publishing(monkeypatch, name: str) -> None:
    """Interrupt the next run where the file of a name is complete and not published."""

    def publish(temporary: Path, path: Path) -> None:
        if path.name == name:
            raise KeyboardInterrupt
        published(temporary, path)

    published = files.publish
    monkeypatch.setattr(files, "publish", publish)


@pytest.mark.parametrize("is_interrupted", [False, True])
@pytest.mark.parametrize("kind", ["pair", "keys", "layers"])
def test_previews_and_sheets_of_others_are_replaced_only_on_request(run, monkeypatch, kind, is_interrupted):
    if kind == "layers":
        for name in ("a.png", "b.png"):
            Path("cut/A").mkdir(parents=True, exist_ok=True)
            shutil.copy(name, Path("cut/A") / name)
    arguments = {"pair": ["a.png", "b.png", "--fps", 2], "keys": ["a.png", "b.png", "--between", 1], "layers": ["cut"]}
    files_of = {"--preview": "p.gif"} | ({"--write-sheet": "s.xdts"} if kind == "keys" else {})
    for option, name in files_of.items():
        command = [*arguments[kind], option, name, "--out", "out", *SIMPLE]
        Path(name).write_text("of another")
        code, said = run(*command)
        assert code == 2
        assert f"{name} was not written by an earlier run to out, or was changed since; choose" in said
        assert Path(name).read_text() == "of another"
        assert not Path("out").exists()
        Path(name).unlink()
        if is_interrupted:
            with monkeypatch.context() as patch:
                stop_before_publishing(patch, name)
                assert run(*command)[0] == 130
            assert not Path(name).exists()
        assert run(*command)[0] == 0
        assert run(*command)[0] == 0
        Path(name).write_text("of another")
        assert run(*command)[0] == 2
        assert run(*command, "--overwrite")[0] == 0
        assert run(*command)[0] == 0
        shutil.rmtree("out")


def test_nothing_that_is_read_is_overwritten_and_nothing_gets_among_the_keys(run):
    table = xdts.TimeTable("cut", 2, [xdts.Track("A", ["a", "b"])])
    xdts.write("in.xdts", xdts.TimeSheet([table]))
    before = Path("in.xdts").read_bytes()
    for arguments, says in (
        ((".", "--preview", "p.webp"), "lies among the keys"),
        (("a.png", "b.png", "--sheet", "in.xdts", "--write-sheet", "in.xdts"), "is the sheet that is read"),
        (("a.png", "b.png", "--write-sheet", "b.png"), "b.png does not end in .xdts"),
    ):
        code, said = run(*arguments, "--out", "out", *SIMPLE)
        assert code == 2
        assert says in said
        assert written(".") == ["a.png", "b.png", "in.xdts"]
    assert Path("in.xdts").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.png", "b.png", "--loop", "--fps", "2"], "--fps is only for two frames, which --loop makes a sequence"),
        (["a.png", "b.png", "--part", "m.png=in", "--times", "0.5"], "--times is only for two frames, which --part"),
        (["a.png", "b.png", "a.png", "--show-flow"], "--show-flow is only for two frames; "),
        (["a.png", "b.png", "--between", "2", "--ticks", "0.5"], "not allowed with"),
        (["a.png", "b.png", "a.png"], "Two keys are named a"),
        (["a.png", "b.png", "--between", "1,2"], "--between has 2 counts for 1 gap;"),
        (["a.png", "b.png", "--ease", "bounce"], "There is no ease 'bounce'"),
        (["a.png", "b.png", "--chart", "none.csv"], "none.csv cannot be read"),
        (["a.png", "b.png", "--sheet", "none.xdts"], "none.xdts cannot be read"),
        (["a.png", "b.png", "--sheet", "a.png"], "a.png is not a t"),
        (["a.png", "b.png", "--sheet", "none.xdts", "--between", "1"], "--between is not allowed with --sheet"),
        (["a.png", "b.png", "--layer", "A"], "add --sheet"),
        (["a.png", "b.png", "--between", "1", "--as", "ora"], "--as ora is of keys in layers, and these have none"),
        (["a.png", "b.png", "c.png", "--write-sheet", "a.png/x.xdts"], "cannot be created"),
        (["a.png"], "Two frames are interpolated, not 1"),
        (["a.png", "--loop"], "a.png is one picture"),
        (["a.png", "b.png", "c.png"], "There is no image c.png"),
        (["."], "holds the keys"),
        ([".", "a.png", "b.png"], "is a folder"),
        (["a.png", "b.psd"], "a.png has no layers, but other keys have; give only .ora, .psd or .psb"),
    ],
)
def test_sequences_that_cannot_be_drawn_are_one_sentence(run, arguments, says):
    code, said = run(*arguments, "--out", ".", *SIMPLE)
    assert code == 2
    assert says in said
    assert said.count("\n") == 1
    assert written(".") == ["a.png", "b.png"]


@pytest.mark.slow
def test_published_checkpoints(run):
    Path("weights").mkdir()
    write_checkpoints(Path("weights"))
    arguments = "a.png", "b.png", "--times", 0.5, "--device", "cpu", "--checkpoints", "weights", "--out"
    code, said = run(*arguments, "chosen", "--flow", "rfr", "--synthesis", "ssldtm")
    assert code == 0
    assert "flow:" not in said
    code, said = run(*arguments, "auto")
    assert code == 0
    assert "rfr+ssldtm" in said
    assert "better" not in said
    first, second = (image.read(Path(folder) / "t0.50.png") for folder in ("chosen", "auto"))
    np.testing.assert_array_equal(first, second)


def spoil(kind: str) -> tuple:
    """Arguments that cannot be used, and their files."""
    if kind == "cut":
        Path("cut.png").write_bytes(Path("a.png").read_bytes()[:-100])
    elif kind == "text":
        Path("text.png").write_text("text")
    elif kind == "sizes":
        Image.new("RGB", (47, 40)).save("sizes.png")
    elif kind == "thin":
        Image.new("RGB", (1, 40)).save("thin.png")
    elif kind == "checkpoint":
        torch.save({"module.flownet.a": torch.zeros(1)}, "anime_interp_full.ckpt")
    return {
        "missing": ("none.png", "b.png"),
        "folder": (".", "b.png"),
        "cut": ("cut.png", "b.png"),
        "text": ("a.png", "text.png"),
        "sizes": ("a.png", "sizes.png"),
        "thin": ("thin.png", "thin.png"),
        "checkpoint": ("a.png", "b.png", "--flow", "rfr", "--checkpoints", "."),
    }[kind]


@pytest.mark.parametrize("kind", ["missing", "folder", "cut", "text", "sizes", "thin", "checkpoint"])
def test_bad_files_are_one_sentence(run, kind):
    arguments = spoil(kind)
    before = written(".")
    code, said = run("--out", "out", *arguments)
    assert code == 2
    assert said.count("\n") == 1
    assert said.endswith(".\n")
    assert written(".") == before


def test_keys_are_drawn_where_no_extra_is_installed():
    program = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('av', 'kornia', 'numba', 'torchvision'))\n"
        "from _scripts import interpolate\n"
        "from _util import command\n"
        "command.run(interpolate.main)\n"
    )
    arguments = ("a.png", "b.png", "--between", "1", "--out", "out", "--synthesis", "ifnet-fast", "--device", "cpu")
    finished = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert written("out") == ["a+0of1.png", "a+1of1.png", "b+0of0.png"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--fps", "0"], "--fps: 0 is out of range"),
        (["--fps", "x"], "--fps: 'x' is not a whole number"),
        (["--fps", "1.5"], "--fps: '1.5' is not a whole number"),
        (["--fps", ""], "--fps: '' is not a whole number"),
        (["--times", "1.5"], "--times: 1.5 is out of range"),
        (["--times", "0.5", "nan"], "--times: nan is out of range"),
        (["--times", "0"], "--times: 0 is out of range"),
        (["--times"], "--times: expected at least one"),
        (["--times", "0.5", "--fps", "2"], "not allowed with"),
        (["--flow", "raft"], "no flow 'raft'"),
        (["--synthesis", "film"], "no synthesis 'film'"),
        (["--device", "abacus"], "device 'abacus'"),
        (["--precision", "int8"], "invalid choice: 'int8'"),
        (["--flow", "rfr"], "put anime_interp_full.ckpt into ."),
        (["--checkpoints", "none"], "no folder of weights none"),
        (["--preview", "p.avi"], "must end in"),
        (["--colour", "blue"], "unrecognized arguments"),
    ],
)
def test_bad_options_are_one_sentence(run, arguments, says):
    code, said = run("a.png", "b.png", "--out", "out", "--checkpoints", ".", *arguments)
    assert code == 2
    assert says in said
    assert said.count("\n") == 1
    assert written(".") == ["a.png", "b.png"]


@pytest.mark.parametrize("option", ["--precision fp16", "--device cpu"])
def test_options_without_effect_on_a_backend_are_told(run, option):
    _, said = run("a.png", "b.png", "--backend", "onnxruntime", *option.split(), "--checkpoints", "none")
    assert f"{option.split()[0]} has no effect with --backend onnxruntime" in said
    _, said = run("a.png", "b.png", *option.split(), "--checkpoints", "none")
    assert "no effect" not in said
    _, said = run("a.png", "b.png", "--backend", "onnxruntime", "--quality", "best", "--checkpoints", "none")
    assert "The precision of --quality best has no effect with --backend onnxruntime" in said


def test_a_folder_that_existed_is_unchanged(run):
    Path("out").mkdir()
    Path("out/12_03.png").write_bytes(Path("a.png").read_bytes())
    before = Path("out/12_03.png").stat()
    code, said = run("out/12_03.png", "b.png", "--out", "out")
    assert code == 2
    assert "would be overwritten" in said
    assert written("out") == ["12_03.png"]
    assert Path("out/12_03.png").stat().st_mtime_ns == before.st_mtime_ns


def test_an_edited_frame_is_replaced_only_on_request(run):
    arguments = "a.png", "b.png", "--times", 0.5, "--out", "out", *SIMPLE
    run(*arguments)
    Path("out/t0.50.png").write_bytes(Path("a.png").read_bytes())
    code, said = run(*arguments)
    assert (code, said.count("\n")) == (2, 1)
    assert "out/t0.50.png was changed since it was drawn" in said
    assert "--overwrite" in said
    assert Path("out/t0.50.png").read_bytes() == Path("a.png").read_bytes()
    code, _ = run(*arguments, "--overwrite")
    assert code == 0
    assert Path("out/t0.50.png").read_bytes() != Path("a.png").read_bytes()


def test_bad_input_from_the_shell(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-m", "_scripts.interpolate", tmp_path / "none.png", tmp_path / "b.png"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 2
    assert finished.stderr == f"There is no image {tmp_path / 'none.png'}.\n"


@pytest.mark.slow
def test_an_interrupted_run_leaves_whole_files(tmp_path):
    demo, out = ROOT / "supplementary" / "demo", tmp_path / "out"
    frames = demo / "frame0.png", demo / "frame1.png"
    running = subprocess.Popen(
        [sys.executable, "-m", "_scripts.interpolate", *frames, "--fps", "99", "--out", out, *SIMPLE],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (out / "99_05.png").exists() and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert said.splitlines()[-1] == "Interrupted; files written so far are complete."
    assert "Traceback" not in said
    names = written(out)
    assert names == [f"99_{i:02d}.png" for i in range(len(names))]
    assert 5 < len(names) < 100
    assert all(image.read(out / name).shape == (540, 960, 3) for name in names)


def test_hints(run):
    """Of a pair, of keys, and beside keys; only what they concern is redrawn."""
    code, _ = run("a.png", "b.png", "--times", 0.5, "--hint", "10,10:6,10", "--out", "pair", *SIMPLE)
    assert code == 0
    assert written("pair") == ["t0.50.png"]
    Path("keys").mkdir()
    for i, source in enumerate(("a.png", "b.png", "a.png")):
        image.write(f"keys/k{i}.png", image.read(source))
    assert run("keys", "--out", "out", *SIMPLE)[0] == 0
    before = {name: Path("out", name).read_bytes() for name in written("out") if name.endswith("png")}
    Path("keys/hints.json").write_text('{"hints": [{"key": "k1", "from": [10, 10], "to": [30, 12]}]}')
    assert run("keys", "--out", "out", *SIMPLE)[0] == 0
    changed = [name for name, content in before.items() if Path("out", name).read_bytes() != content]
    assert changed == ["k1+1of1.png"]
    Path("keys/hints.json").write_text('{"hints": [{"key": "k0", "from": [10, 10], "to": [6, 10]}]}')
    assert run("keys", "--out", "out", *SIMPLE)[0] == 0
    changed = [name for name, content in before.items() if Path("out", name).read_bytes() != content]
    assert changed == ["k0+1of1.png"]
    assert run("a.png", "b.png", "--between", 3, "--hint", "10,10:6,10", "--out", "three", *SIMPLE)[0] == 0
    assert len([name for name in written("three") if name.endswith("png")]) == 5
    Path("others.json").write_text('{"hints": [{"key": "k1", "from": [10, 10], "to": [6, 10]}]}')
    Path("keys/hints.json").write_bytes(Path("others.json").read_bytes())
    Path("keys/k2.png").unlink()
    code, said = run("keys", "--out", "less", *SIMPLE)  # as the studio keeps those of a key that is gone
    assert (code, "hints of k1 are not used" in said) == (0, True)
    code, said = run("keys", "--hints", "others.json", "--out", "less", *SIMPLE)
    assert (code, "'k1' is the last key, and begins no gap" in said) == (2, True)
    code, said = run("keys", "--hint", "10,10:6,10", "--out", "two", *SIMPLE)
    assert (code, "keys/hints.json is not read, as --hint is given" in said) == (0, True)


def test_hints_and_parts_go_together(run):
    mask = np.zeros((40, 48), np.uint8)
    mask[4:20, 4:24] = 255
    image.write("mask.png", mask)
    results = []
    for options in (
        (),
        ("--hint", "10,10:2,10"),
        ("--part", "mask.png=0.9"),
        ("--hint", "10,10:2,10", "--part", "mask.png=0.9"),
    ):
        assert run("a.png", "b.png", "--ticks", "0.2", *options, "--out", "out", *SIMPLE)[0] == 0
        results.append(Path("out/a+1of1.png").read_bytes())
    assert len({*results}) == 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--hint", "10,10:99,10"], "Hint 1 ends at 99,10, outside"),
        (["--hint", "10,10:20,10", "--hint", "10,10:40,30"], "Hints 1 and 2 contradict"),
        (["--hints", "far.json"], "far.json, hints of a: Hint 2 begins at 99,10, outside"),
        (["--hint", "10,10"], "x0,y0:x1,y1"),
        (["--hints", "none.json"], "none.json"),
        (["--hint", "1,1:2,2", "--hints", "none.json"], "keep one"),
        (["--part", "none.png=in"], "none.png"),
        (["--part", "mask.png=0.1,0.2"], "has 2 ticks, and its gap has 1 in-between; give as many"),
        (["--parts", "none.csv"], "none.csv"),
    ],
)
def test_hints_and_parts_that_are_refused(run, options, says):
    image.write("mask.png", np.full((40, 48), 255, np.uint8))
    Path("far.json").write_text('{"hints": [{"from": [1, 1], "to": [2, 2]}, {"from": [99, 10], "to": [10, 10]}]}')
    code, message = run("a.png", "b.png", *options, "--out", "out", *SIMPLE)
    assert code == 2
    assert says in message
    assert "Traceback" not in message
    assert not list(Path("out").glob("*.png"))


def test_keys_in_layers(run):
    for layer in "AB":
        for i, source in enumerate(("a.png", "b.png")):
            Path("cut", layer).mkdir(parents=True, exist_ok=True)
            image.write(f"cut/{layer}/k{i}.png", image.read(source))
    code, _ = run("cut", "--out", "out", "--as", "ora", *SIMPLE)
    assert code == 0
    drawn = ["k0+0of1.ora", "k0+1of1.ora", "k1+0of0.ora"]
    assert written("out") == [*drawn, "layers"]
    assert written("out/layers") == ["A", "B"]
    code, message = run("cut", "--hint", "1,1:2,2", *SIMPLE)
    assert code == 2
    assert "--hint" in message


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("cut", "--out", "cut"), "holds the keys"),
        (("cut", "--out", "cut/drawn"), "cut/drawn lies among the layers"),
        (("cut", "--out", "cut/A"), "cut/A lies among the layers"),
        (("cut", "--out", "out", "--preview", "cut/A/k2.webp"), "k2.webp lies among the layers"),
        (("cut", "--out", "out", "--preview", "cut/new/all.webp"), "all.webp lies among the layers"),
        (("cut", "--out", "out", "--preview", "link.webp"), "link.webp is one of the keys"),
        (("k0.ora", "k1.ora", "--as", "ora", "--out", "."), "holds the keys"),
    ],
)
def test_places_among_keys_in_layers_are_refused(run, tmp_path, options, says):
    for i, pixels in enumerate((image.read("a.png"), image.read("b.png"))):
        for layer in "AB":
            Path("cut", layer).mkdir(parents=True, exist_ok=True)
            image.write(f"cut/{layer}/k{i}.png", pixels)
        layers.write_ora(Path(f"k{i}.ora"), [Layer("A", with_channels(pixels, 4))])
    Path("link.webp").symlink_to("cut/A/k0.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, message = run(*options, *SIMPLE)
    assert code == 2
    assert says in message
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
