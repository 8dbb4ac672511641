"""Packing a data set by the command line: what comes out, what interrupts it, how quickly it is read."""

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import h5py
import numpy as np
import pytest
import torch
from tqdm import tqdm

from _databacks.folders import Folders
from _databacks.hdf5 import index, packing, speed
from _databacks.hdf5.reading import HDF5
from _databacks.sources import open_source
from _databacks.triplet import Source
from _scripts import dataset_to_hdf5
from _train.frame_interpolation.evaluation.items import Items
from _util import image
from _util.locks import holding
from tests import miniature
from tests.toys.source import Greys

COUNT = 6
ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path) -> Path:
    """Triplets of noise in folders."""
    for i in range(COUNT):
        folder = tmp_path / "data" / f"shot {i}"
        folder.mkdir(parents=True)
        for k in range(3):
            image.write(folder / f"{k}.png", np.random.default_rng(3 * i + k).integers(0, 256, (24, 32, 3), np.uint8))
    return tmp_path / "data"


@pytest.fixture
def run(call):
    """Packs, checks or measures in this process."""
    return lambda *arguments: call(dataset_to_hdf5.main, *arguments)


@pytest.fixture
def packed(monkeypatch) -> list[str]:
    """The names of the items that are packed, in order."""
    right, names = packing._write, []

    def write(path, triplet, *rest):
        names.append(triplet.name)
        right(path, triplet, *rest)

    monkeypatch.setattr(packing, "_write", write)
    return names


def pack_two(source: Source, out: Path, monkeypatch) -> None:
    """Pack items until an interruption while the third is written."""
    right, left = packing._write, [1, 1]

    def write(*arguments):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        right(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(packing, "_write", write)
        with pytest.raises(KeyboardInterrupt):
            packing.pack(source, out)
    assert not out.exists()


def invert(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    image.write(to, 255 - image.read(path))


def assert_same(ours: Source, theirs: Source) -> None:
    assert ours.names == theirs.names
    for i in range(len(theirs)):
        assert torch.equal(ours[i].frames, theirs[i].frames)


def test_packs_what_evaluation_and_training_read(run, data, tmp_path):
    code, _, written = run(data, tmp_path / "a.h5")
    assert code == 0
    assert re.fullmatch(rf".*a.h5: {COUNT} triplets of {data.name}, [\d.]+ MiB\n", written)
    assert_same(open_source(tmp_path / "a.h5"), Folders(data))
    assert {path.name for path in tmp_path.iterdir()} == {"data", "a.h5"}
    for words in ([str(tmp_path / "a.h5")], ["hdf5", str(tmp_path / "a.h5")]):
        items = Items(words)
        assert_same(items.source, Folders(data))
        assert (items.source.title, items.has_flows) == ("a", False)
        assert items.source.files(0) == [tmp_path / "a.h5"]


def test_atd12k_keeps_what_is_known_of_it(run, tmp_path):
    miniature.build(tmp_path / "atd12k")
    assert run("atd12k", tmp_path / "atd12k", tmp_path / "a.h5", "--frames", "bytes").code == 0
    ours, theirs = (Items([str(tmp_path / name)], annotated=True) for name in ("a.h5", "atd12k"))
    assert ours.has_flows
    for i in range(len(theirs)):
        assert ours[i].metadata == theirs[i].metadata
        assert ours[i].roi == theirs[i].roi
        for packed, exact in zip(ours[i].triplet.flows, theirs[i].triplet.flows, strict=True):
            torch.testing.assert_close(packed, exact, rtol=2**-10, atol=0)


def test_goes_on_where_it_was_interrupted(run, data, tmp_path, monkeypatch):
    run(data, tmp_path / "whole.h5")
    right, written = packing._write, []

    def write(path, triplet, *rest):
        if len(written) == 2:
            written.append("")
            path.write_bytes(b"half of it")
            raise KeyboardInterrupt
        written.append(triplet.name)
        right(path, triplet, *rest)

    monkeypatch.setattr(packing, "_write", write)
    assert run(data, tmp_path / "a.h5").code == 130
    assert not (tmp_path / "a.h5").exists()
    assert run(data, tmp_path / "a.h5").code == 0
    assert sorted(filter(None, written)) == Folders(data).names
    assert_same(HDF5(tmp_path / "a.h5"), Folders(data))
    assert {path.name for path in tmp_path.iterdir()} == {"data", "a.h5", "whole.h5"}


def test_goes_on_after_an_interrupted_assembly(run, data, tmp_path, monkeypatch):
    right = index.write

    def write(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(index, "write", write)
    assert run(data, tmp_path / "a.h5").code == 130
    assert not (tmp_path / "a.h5").exists()
    monkeypatch.setattr(index, "write", right)
    monkeypatch.setattr(packing, "_write", None)  # nothing is packed twice
    assert run(data, tmp_path / "a.h5").code == 0
    assert_same(HDF5(tmp_path / "a.h5"), Folders(data))


def test_parts_of_other_data_with_the_same_names_are_not_used(run, data, packed, tmp_path, monkeypatch):
    for path in data.glob("*/*.png"):
        invert(path, tmp_path / "other" / path.relative_to(data))
    pack_two(Folders(tmp_path / "other"), tmp_path / "a.h5", monkeypatch)
    packed.clear()
    code, said, _ = run(data, tmp_path / "a.h5")
    assert code == 0
    assert "a.h5.parts held 2 items whose files have changed since; they are packed again." in said
    assert packed == Folders(data).names
    assert_same(HDF5(tmp_path / "a.h5"), Folders(data))


def test_an_item_that_has_changed_is_packed_again(run, data, packed, tmp_path, monkeypatch):
    pack_two(Folders(data), tmp_path / "a.h5", monkeypatch)
    picture = data / "shot 1" / "2.png"
    invert(picture, picture)
    packed.clear()
    code, said, _ = run(data, tmp_path / "a.h5")
    assert (code, "held 1 item whose files have changed" in said) == (0, True)
    assert packed == [f"shot {i}" for i in range(1, COUNT)]
    assert_same(HDF5(tmp_path / "a.h5"), Folders(data))


def test_an_item_that_is_gone_is_left_out(data, tmp_path, monkeypatch):
    source = Folders(data)
    pack_two(source, tmp_path / "a.h5", monkeypatch)
    shutil.rmtree(data / "shot 1")
    assert list(packing.pack(source, tmp_path / "a.h5")) == ["shot 1"]
    assert_same(HDF5(tmp_path / "a.h5"), Folders(data))


@pytest.mark.parametrize("content", [None, "{", "null", '["one"]'])
def test_parts_without_what_tells_their_files_are_not_used(data, packed, tmp_path, monkeypatch, content):
    """Earlier versions left such parts."""
    stamps = tmp_path / "a.h5.parts" / "stamps.json"
    pack_two(Folders(data), tmp_path / "a.h5", monkeypatch)
    stamps.unlink() if content is None else stamps.write_text(content)
    packed.clear()
    assert packing.pack(Folders(data), tmp_path / "a.h5") == {}
    assert packed == Folders(data).names


@pytest.mark.parametrize(("change", "again"), [(None, ["c"]), ("0.75", ["a", "b", "c"])])
def test_items_without_files_of_their_own_change_with_their_data(packed, tmp_path, monkeypatch, change, again):
    data = tmp_path / "greys"
    data.mkdir()
    for name in "abc":
        (data / f"{name}.grey").write_text("0.25")
    pack_two(Greys(data), tmp_path / "a.h5", monkeypatch)
    if change:
        (data / "a.grey").write_text(change)
    packed.clear()
    packing.pack(Greys(data), tmp_path / "a.h5")
    assert packed == again
    assert_same(HDF5(tmp_path / "a.h5"), Greys(data))


def test_run_again_it_has_nothing_to_do(run, data, tmp_path):
    run(data, tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    code, said, written = run(data, tmp_path / "a.h5")
    assert (code, "nothing to do" in said, written.startswith(f"{tmp_path}/a.h5: {COUNT} triplets")) == (0, True, True)
    assert run(data, tmp_path / "a.h5", "--frames", "bytes").code == 2
    shutil.copytree(data, tmp_path / "others", copy_function=shutil.copyfile)  # of another time
    code, said, _ = run(tmp_path / "others", tmp_path / "a.h5")
    assert (code, "already exists, packed from other files" in said) == (2, True)
    shutil.rmtree(data / "shot 3")
    code, said, _ = run(data, tmp_path / "a.h5")
    assert (code, "already exists; remove it" in said) == (2, True)
    assert (tmp_path / "a.h5").read_bytes() == before


@pytest.fixture
def hazy(tmp_path) -> Path:
    """Triplets of half transparent noise, which no picture file without alpha holds exactly."""
    for i in range(2):
        for k in range(3):
            (tmp_path / "hazy" / f"{i}").mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(3 * i + k).integers(0, 256, (24, 32, 4), np.uint8)
            image.write(tmp_path / "hazy" / f"{i}" / f"{k}.png", noise)
    return tmp_path / "hazy"


def test_run_again_on_pictures_that_cannot_stay_files_it_has_nothing_to_do(run, hazy, tmp_path):
    assert run(hazy, tmp_path / "a.h5", "--frames", "bytes").code == 0
    assert {name for item in index.read(tmp_path / "a.h5") for name in item.arrays} == {"frames"}
    code, said, _ = run(hazy, tmp_path / "a.h5", "--frames", "bytes")
    assert (code, "nothing to do" in said) == (0, True)
    code, said, _ = run(hazy, tmp_path / "a.h5")
    assert (code, "already exists; remove it" in said) == (2, True)


@pytest.mark.parametrize(("packed_as", "other"), [("arrays", "bytes"), ("bytes", "arrays")])
def test_files_of_earlier_versions_are_known_by_their_items(run, data, tmp_path, monkeypatch, packed_as, other):
    right = index.write

    def write_without(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file.attrs["frames"], file.attrs["stamps"]
        right(path)

    monkeypatch.setattr(index, "write", write_without)
    assert run(data, tmp_path / "a.h5", "--frames", packed_as).code == 0
    assert "nothing to do" in run(data, tmp_path / "a.h5", "--frames", packed_as).said
    assert run(data, tmp_path / "a.h5", "--frames", other).code == 2


def test_killed_right_after_the_file_appeared(run, data, tmp_path, monkeypatch):
    (data / "shot 1" / "0.png").write_bytes(b"no picture")
    monkeypatch.setattr(packing.shutil, "rmtree", lambda path, **_: None)
    run(data, tmp_path / "a.h5")
    monkeypatch.undo()
    assert (tmp_path / "a.h5.parts").is_dir()
    code, said, _ = run(data, tmp_path / "a.h5")
    assert code == 1
    assert "shot 1: " in said
    assert {path.name for path in tmp_path.iterdir()} == {"data", "a.h5"}


def test_items_that_cannot_be_read_are_left_out(run, data, tmp_path):
    (data / "shot 1" / "0.png").write_bytes(b"no picture")
    for again in (False, True):
        code, said, _ = run(data, tmp_path / "a.h5")
        assert code == 1
        assert f"1 of {COUNT} items are left out" in said
        assert "shot 1: " in said
        assert ("nothing to do" in said) == again
    assert HDF5(tmp_path / "a.h5").names == [f"shot {i}" for i in range(COUNT) if i != 1]
    shutil.copy(data / "shot 2" / "0.png", data / "shot 1" / "0.png")
    code, said, _ = run(data, tmp_path / "a.h5")
    assert (code, "already exists; remove it" in said) == (2, True)


def test_data_without_end_is_refused(run, data, tmp_path, monkeypatch):
    monkeypatch.setattr(Folders, "is_unlimited", True)
    code, said, _ = run(data, tmp_path / "a.h5")
    assert (code, said) == (
        2,
        f"Triplets are composed of {data} practically without end; give data that has one.\n",
    )
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing", "a.h5"], "There is no folder nothing|nothing is not a folder"),
        (["data", "data"], "data does not end in .h5"),
        (["a.h5"], "DATA or OUT.h5 is missing"),
        (["--check", "data", "a.h5"], "takes no DATA"),
        (["data", "none/a.h5"], "no folder none"),
        (["data", "there.h5"], "there.h5 already exists"),
        (["--check", "there.h5"], "damaged in its first 512 bytes or was not packed"),
        (["--check", "nothing.h5"], "no file nothing.h5"),
        (["unreadable", "there.h5"], "there.h5 already exists"),
        (["data", "begun.h5", "--frames", "bytes"], "begun with other data or --frames"),
        (["--check", "there.h5", "--frames", "bytes"], "--frames is of packing"),
        (["--measure", "data", "there.h5", "--frames", "arrays"], "--frames is of packing"),
        (["--check", "there.h5", "--split", "train"], "--split is of DATA"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(run, data, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    Path("there.h5").write_bytes(b"kept")
    Path("begun.h5.parts").mkdir()
    Path("begun.h5.parts/settings.json").write_text('{"frames": "arrays"}')
    Path("unreadable/shot").mkdir(parents=True)
    for name in "abc":
        Path(f"unreadable/shot/{name}.png").write_bytes(b"no picture")
    code, said, written = run(*arguments)
    assert (code, written) == (2, "")
    assert re.search(sentence, said)
    assert said.count("\n") == 1
    assert Path("there.h5").read_bytes() == b"kept"
    assert {path.name for path in Path().iterdir()} == {"data", "unreadable", "there.h5", "begun.h5.parts"}


def test_a_full_disk_is_one_sentence_and_packing_resumes(data, tmp_path):
    """Files may not grow beyond a limit in a process of its own; what is said is what a full disk makes it say."""
    program = (
        "import resource, sys; from _scripts import dataset_to_hdf5; from _util import command\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))\n"
        f"sys.argv = ['', {str(data)!r}, {str(tmp_path / 'a.h5')!r}]\n"
        "command.run(dataset_to_hdf5.main)"
    )
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 2, finished.stderr
    assert "000000.h5 cannot be written (File too large); make room or choose another place." in finished.stderr
    assert "Traceback" not in finished.stderr


def test_an_assembly_for_which_there_is_no_room_is_not_begun(run, data, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(packing.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        code, said, _ = run(data, tmp_path / "a.h5")
    assert code == 2
    assert re.search(r"a\.h5 cannot be assembled: it takes .* MB are free; .* make room, and run again\.\n$", said)
    assert not (tmp_path / "a.h5.parts/whole.h5").exists()
    assert run(data, tmp_path / "a.h5")[0] == 0
    assert len(HDF5(tmp_path / "a.h5")) == COUNT


def test_a_second_packing_is_refused(run, data, tmp_path):
    with holding(tmp_path / "a.h5"):
        code, said, _ = run(data, tmp_path / "a.h5")
        assert (code, "a.h5 is in use by another run" in said) == (2, True)
        assert not (tmp_path / "a.h5.parts").exists()


def test_names_that_are_not_utf8(run, data, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    shutil.copytree(data, tmp_path / "odd" / name)
    code, said, _ = run(tmp_path / "odd", tmp_path / "a.h5")
    assert code == 0, said
    packed, source = HDF5(tmp_path / "a.h5"), Folders(tmp_path / "odd")
    assert packed.names == source.names
    assert packed.names[0].startswith(f"{name}/")
    assert [packed.subset(i) for i in range(len(packed))] == [source.subset(i) for i in range(len(source))]


def test_a_name_as_long_as_names_can_be(run, data, tmp_path):
    out = tmp_path / ("x" * 252 + ".h5")
    assert run(data, out)[0] == 0
    assert len(HDF5(out)) == COUNT


def test_no_item_that_can_be_read(run, data, tmp_path):
    for path in data.glob("*/0.png"):
        path.write_bytes(b"no picture")
    code, said, _ = run(data, tmp_path / "a.h5")
    assert code == 2
    assert f"None of {COUNT} items can be read" in said
    assert not (tmp_path / "a.h5").exists()


def test_a_check_names_what_is_damaged(run, data, tmp_path):
    path = tmp_path / "a.h5"
    run(data, path)
    code, said, written = run("--check", path)
    assert (code, written) == (0, f"{path}: {COUNT} items, none damaged\n")
    extent = index.read(path)[3].arrays["frames"].checked.extents[1]
    with path.open("rb+") as file:
        file.seek(extent.start + 5)
        byte = file.read(1)[0]
        file.seek(extent.start + 5)
        file.write(bytes([byte ^ 16]))
    code, said, written = run("--check", path)
    assert (code, written) == (1, "")
    assert f"1 of {COUNT} items are damaged" in said
    assert "shot 3: " in said


@pytest.mark.parametrize("wanted", ["000002.h5", "000029.h5", "whole.h5"])
def test_killed_at_any_moment_it_goes_on(data, tmp_path, monkeypatch, wanted):
    monkeypatch.setattr(tqdm, "_lock", threading.RLock())  # by default shared with the process that is killed
    for i in range(30 - COUNT):
        shutil.copytree(data / "shot 0", data / f"shot {COUNT + i}")
    parts, out = tmp_path / "a.h5.parts", tmp_path / "a.h5"
    process = multiprocessing.get_context("fork").Process(target=packing.pack, args=(Folders(data), out))
    process.start()
    while not (parts / wanted).exists():
        assert process.is_alive()
        time.sleep(0.0005)
    process.kill()
    process.join()
    assert not out.exists()
    assert packing.pack(Folders(data), out) == {}
    assert_same(HDF5(out), Folders(data))
    assert not parts.exists()


@pytest.mark.slow
@pytest.mark.alone
def test_random_reads_are_several_times_as_quick_as_from_png(tmp_path):
    """In one process: with workers, handing frames from one process to another takes longer than reading them."""
    for i in range(4):
        folder = tmp_path / "data" / f"{i}"
        folder.mkdir(parents=True)
        rough = np.random.default_rng(i).integers(0, 256, (30, 50, 3), np.uint8)
        frame = cv2.resize(rough, (960, 540), interpolation=cv2.INTER_CUBIC)
        for k in range(3):
            image.write(folder / f"{k}.png", np.roll(frame, 4 * k, 1))
    source = Folders(tmp_path / "data")
    packing.pack(source, tmp_path / "a.h5")
    rates = speed.compare({"png": source, "hdf5": HDF5(tmp_path / "a.h5")}, workers=0, count=16)
    assert rates["hdf5"] >= 4 * rates["png"], rates


def test_a_measurement_leaves_out_what_cannot_be_read(run, data, tmp_path):
    run(data, tmp_path / "a.h5")
    (data / "shot 2" / "1.png").unlink()
    code, said, written = run(data, tmp_path / "a.h5", "--measure")
    assert code == 0, said
    assert re.fullmatch(
        rf"(\d+ triplets of 100 cannot be read; the first: {data}/shot 2 holds 2 pictures.*\n){{2}}", said
    )
    assert "ratio" in written
    for path in data.glob("*/0.png"):
        path.write_bytes(b"")
    code, said, _ = run(data, tmp_path / "a.h5", "--measure")
    assert (code, said.count("\n")) == (2, 1)
    assert "0.png is " in said


def test_a_measurement_tells_the_ratio(run, data, tmp_path, monkeypatch):
    run(data, tmp_path / "a.h5")
    monkeypatch.setattr(speed, "random_reads", lambda source, *_: 30.0 if isinstance(source, HDF5) else 12.0)
    code, _, written = run(data, tmp_path / "a.h5", "--measure")
    assert code == 0
    assert written.splitlines()[-1] == "ratio   2.50"
