"""Names of files that are not UTF-8 or as long as can be, on terminals that show ASCII alone, and links."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from _scripts import dataset_to_hdf5, evaluate, interpolate
from _util import image

ROOT = Path(__file__).parents[2]
SIMPLE = ("--flow", "dis", "--synthesis", "splat", "--device", "cpu")
ODD = os.fsdecode(b"\xe9\xff")  # in Latin-1 or nothing, but no UTF-8


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(shift: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    return np.roll(cv2.resize(noise, (48, 40), interpolation=cv2.INTER_CUBIC), shift, 1)


def write_frames(*names: str) -> None:
    for i, name in enumerate(names):
        image.write(name, picture(2 * i))


def test_frames_of_any_name(call):
    first, second, out = f"a{ODD}.png", f"→{ODD}.png", f"out{ODD}"
    write_frames(first, second)
    finished = call(interpolate.main, first, second, "--fps", 2, "--out", out, "--preview", f"{ODD}.mp4", *SIMPLE)
    assert finished.code == 0
    assert sorted(path.name for path in Path(out).glob("*.png")) == [f"02_0{i}.png" for i in range(3)]
    assert Path(f"{ODD}.mp4").stat().st_size


def test_keys_of_any_name(call):
    names = [f"{ODD}{i}.png" for i in range(2)]
    write_frames(*names)
    arguments = *names, "--between", 1, "--out", f"out{ODD}", "--write-sheet", f"{ODD}.xdts"
    for drawn in (1, 0):
        finished = call(interpolate.main, *arguments, *SIMPLE)
        assert finished.code == 0
        assert f"drawn now: {drawn}" in finished.written
    expected = [f"{ODD}0+0of1.png", f"{ODD}0+1of1.png", f"{ODD}1+0of0.png"]
    assert sorted(path.name for path in Path(f"out{ODD}").glob("*.png")) == expected
    assert Path(f"{ODD}.xdts").stat().st_size


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_messages_reach_any_terminal(encoding):
    """What cannot be shown is escaped: after the work, and in errors before it."""
    write_frames(f"a{ODD}→.png", "b.png")
    program = [sys.executable, "-m", "_scripts.interpolate", f"a{ODD}→.png", "b.png", "--fps", "1", "--out", f"o{ODD}→"]
    environment = {
        **os.environ,
        "PYTHONIOENCODING": f"{encoding}:strict",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    finished = subprocess.run([*program, *SIMPLE], env=environment, capture_output=True)
    assert finished.returncode == 0, finished.stderr
    assert b"Frames: 2 in o" in finished.stdout
    finished = subprocess.run([*program[:3], f"none{ODD}→", "b.png"], env=environment, capture_output=True)
    assert finished.returncode == 2
    assert finished.stderr.startswith(b"There is no image none")
    assert finished.stderr.count(b"\n") == 1


@pytest.mark.parametrize("letters", ["x", "é"])
def test_frames_with_the_longest_names(call, letters):
    length = 255 // len(letters.encode()) - 4
    names = [f"{letters * (length - 1)}{end}.png" for end in "12"]
    write_frames(*names)
    assert call(interpolate.main, *names, "--fps", 1, *SIMPLE).code == 0
    (out,) = Path("_data/interpolated").iterdir()
    assert len(list(out.glob("*.png"))) == 2


def test_digits_are_no_suffix(call):
    write_frames("a.png", "b.png")
    Path("a.png").rename("shot.001")
    Path("b.png").rename("shot.002")
    finished = call(interpolate.main, "shot.001", "shot.002", "--fps", 1, *SIMPLE)
    assert finished.written == "Frames: 2 in _data/interpolated/shot.001-shot.002\n"
    assert len(list(Path("_data/interpolated/shot.001-shot.002").glob("*.png"))) == 2


def test_links_are_followed(call):
    write_frames("a.png", "b.png")
    Path("there").mkdir()
    Path("out").symlink_to("there", target_is_directory=True)
    Path("preview.webp").symlink_to("there/p.webp")
    assert (
        call(interpolate.main, "a.png", "b.png", "--fps", 1, "--out", "out", "--preview", "preview.webp", *SIMPLE).code
        == 0
    )
    assert Path("out").is_symlink()
    assert Path("preview.webp").is_symlink()
    assert sorted(path.name for path in Path("there").glob("[!.]*")) == ["01_00.png", "01_01.png", "p.webp"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.png"], "Two frames are interpolated, not 1"),
        (["a.png", "b.png", "a.png"], "Two keys are named a"),
        (["a.png", "b.png", "small.png"], "bring all keys to one size"),
        (["a.png", "b.png", "--between", "x"], "'x', which is not a number"),
        (["there", "b.png"], "there is a folder; give two files or more, or one folder of keys alone"),
        (["a.png", "none.png"], "There is no image none.png"),
        (["a.png", "b.png", "--flow", "raft"], "There is no flow 'raft'"),
        (["a.png", "b.png", "--device", "abacus"], "There is no device 'abacus'"),
        (["a.png", "b.png", "--out", ""], "argument --out: the path is empty; name a file or folder"),
        (["a.png", "b.png", "--preview", "p.avi"], "must end in"),
        (["a.png", "small.png"], "a.png and small.png cannot be interpolated: The frames differ in size"),
        (["a.png", "b.png", "--out", "a.png"], "cannot be created (it is a file)"),
    ],
)
def test_mistakes_are_found_before_pytorch_is_imported(arguments, says):
    write_frames("a.png", "b.png")
    image.write("small.png", picture(0)[:20])
    Path("there").mkdir()
    before = sorted(Path().iterdir())
    program = f"""import sys
sys.path.insert(0, {str(ROOT)!r})
from _scripts import interpolate
from _util import command
sys.argv[1:] = {arguments!r}
try:
    command.run(interpolate.main)
finally:
    print("torch" in sys.modules)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (finished.returncode, finished.stdout) == (2, "False\n")
    assert says in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert sorted(Path().iterdir()) == before


def test_data_of_any_name(call):
    for i in range(2):
        folder = Path(f"data{ODD}", f"shot{ODD}{i}")
        folder.mkdir(parents=True)
        for k in range(3):
            image.write(folder / f"{k}{ODD}.png", picture(2 * k + i))
    assert call(dataset_to_hdf5.main, f"data{ODD}", f"{ODD}.h5").code == 0
    options = ("--baseline", "mean", "--metrics", "psnr")
    tables = []
    for data, name in ((f"data{ODD}", "a"), (f"{ODD}.h5", "b")):
        finished = call(
            evaluate.main, "--data", data, *options, "--out", f"{name}{ODD}.csv", "--report", f"{name}{ODD}"
        )
        assert finished.code == 0, finished.said
        tables.append(Path(f"{name}{ODD}.csv").read_bytes())
    assert tables[0] == tables[1]
    assert os.fsencode(f"shot{ODD}0") in tables[0]


def test_training_in_a_folder_of_any_name(call):
    pytest.importorskip("lightning", reason="training needs what make/setup train installs")
    from tests import train_tiny

    for k in range(3):
        Path("data/shot").mkdir(parents=True, exist_ok=True)
        image.write(Path(f"data/shot/{k}.png"), picture(k))
    out = Path(f"run{ODD}")
    tiny = ("--model", "tiny", "--batch-size", 1, "--crop", 32, 32, "--device", "cpu", "--workers", 0)
    for steps in (1, 2):
        finished = call(train_tiny.train.main, "data", str(out), *tiny, "--log-every", 1, "--steps", steps)
        assert finished.code == 0, finished.said
    assert len(list((out / "tensorboard").glob("events.*"))) == 2
    assert len((out / "metrics.csv").read_text().splitlines()) == 3
    assert (out / "checkpoints/last.ckpt").exists()
