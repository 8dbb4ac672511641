"""Flow of a whole data set in files: their format, going on after an end, what cannot be used."""

import re
import shutil

import numpy as np
import pytest
import torch

from _databacks import sgm_flows
from _databacks.atd12k import ATD12K
from _databacks.folders import Folders
from _databacks.sources import open_source
from _scripts import sgm_flows as script
from _train.frame_interpolation import sgm_flows as computing
from _train.frame_interpolation.benchmarks.matching import draw
from _train.frame_interpolation.sgm_flows import PICTURES, SETTINGS
from _util import image, runs
from _util.errors import InputError
from _util.features import Backbone
from _util.sgm import SGM

SIZE = (96, 128)
FILES = ["guide_flo13.npy", "guide_flo31.npy"]


def write_triplet(folder, seed, exist_ok=False):
    frame0, frame1 = draw(12, SIZE, seed, characters=2, shift=0.1).frames
    folder.mkdir(parents=True, exist_ok=exist_ok)
    for i, frame in enumerate((frame0, frame0, frame1)):
        image.write(folder / f"frame{i + 1}.png", image.to_array(frame[0], np.uint8))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("one", "cut/two")):
        write_triplet(folder / name, seed)
    return folder


@pytest.fixture
def flows():
    """Smooth, the second longer than 128 pixels."""
    y, x = torch.meshgrid(torch.linspace(-3, 3, 54), torch.linspace(-3, 3, 96), indexing="ij")
    flow = torch.stack([x.sin() * y, (x + y).cos()])
    return 30 * flow, 71 * flow


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_files_are_read_as_they_were_written(tmp_path, flows, half, compress):
    sgm_flows.write(tmp_path / "a", flows, half, compress)
    read = sgm_flows.read(tmp_path / "a", (54, 96))
    for flow, expected in zip(read, flows, strict=True):
        assert flow.dtype == torch.float32
        error = (flow - expected).abs().max()
        assert error < 0.05 if half else error == 0
    suffix = ".npz" if compress else ".npy"
    stored = [np.load(tmp_path / "a" / f"guide_flo{k}{suffix}") for k in (13, 31)]
    dtypes = [(array["flow"] if compress else array).dtype for array in stored]
    assert dtypes == [np.float16 if half else np.float32, np.float32]


def test_a_file_in_the_other_format_is_replaced(tmp_path, flows):
    sgm_flows.write(tmp_path, flows)
    sgm_flows.write(tmp_path, (flows[1], flows[0]), compress=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["guide_flo13.npz", "guide_flo31.npz"]
    assert torch.equal(sgm_flows.read(tmp_path, (54, 96))[0], flows[1])


def test_files_that_cannot_be_used(tmp_path, flows):
    with pytest.raises(InputError, match="lacks guide_flo13 or guide_flo31"):
        sgm_flows.read(tmp_path, (54, 96))
    sgm_flows.write(tmp_path, flows)
    with pytest.raises(InputError, match="is float32 2×54×96 instead of finite numbers 2×9×9"):
        sgm_flows.read(tmp_path, (9, 9))
    for content in (b"text", (tmp_path / FILES[0]).read_bytes()[:500]):
        (tmp_path / FILES[0]).write_bytes(content)
        with pytest.raises(InputError, match="is damaged"):
            sgm_flows.read(tmp_path, (54, 96))
    sgm_flows.write(tmp_path, flows, compress=True)
    packed = tmp_path / "guide_flo13.npz"
    stored = bytearray(packed.read_bytes())
    for i in range(0, len(stored) // 2, 300):
        packed.write_bytes(stored[:i] + bytes(byte ^ 0x5A for byte in stored[i : i + 8]) + stored[i + 8 :])
        with pytest.raises(InputError, match="is damaged"):
            sgm_flows.read(tmp_path, (54, 96))
    sgm_flows.write(tmp_path, flows)
    np.save(tmp_path / FILES[0], np.array([{"any": "object"}]))
    with pytest.raises(InputError, match="is damaged"):
        sgm_flows.read(tmp_path, (54, 96))


def test_a_real_sized_triplet_is_under_a_megabyte(tmp_path):
    cartoon = draw(200, seed=1)
    x = torch.linspace(0, 9, 960).sin() + torch.linspace(0, 7, 540).cos()[:, None]
    moving = torch.from_numpy(cartoon.labels[0] > 0)
    sgm_flows.write(tmp_path, (torch.stack([40 + x, 9 * x]) * moving,) * 2, half=True, compress=True)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1e6


def test_a_data_set_is_computed_and_left_alone_when_it_is_done(data, tmp_path, call):
    out = tmp_path / "out"
    first = call(script.main, data, out, "--show", "--device", "cpu")
    assert first.code == 0, first.said
    frames = open_source(data, "test")[1].frames
    expected = SGM("alexnet")(frames[:1], frames[2:])
    read = sgm_flows.read(out / "one", SIZE)
    for flow, theirs in zip(read, expected, strict=True):
        assert flow.any()
        torch.testing.assert_close(flow, theirs[0])
    for name in ("one", "cut/two"):
        assert sorted(path.name for path in (out / name).iterdir()) == sorted([*FILES, *PICTURES])
        assert image.read(out / name / "matches.png").shape == (2 * SIZE[0], 2 * SIZE[1], 3)

    (out / "one" / FILES[1]).unlink()
    kept = {path: path.stat().st_mtime_ns for path in (out / "cut" / "two").iterdir()}
    again = call(script.main, data, out, "--device", "cpu")
    assert again.code == 0
    assert "1 of 2 triplets are done." in again.said
    assert (out / "one" / FILES[1]).exists()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_pictures_do_not_get_into_the_data(data, call):
    finished = call(script.main, data, data / "flows", "--show", "--device", "cpu")
    assert finished.code == 2
    assert finished.said == f"{data / 'flows'} would lie in the data {data}; choose another folder.\n"
    assert not (data / "flows").exists()


def test_other_settings_are_not_mixed_in(data, tmp_path, call):
    out = tmp_path / "out"
    assert call(script.main, data, out, "--device", "cpu").code == 0
    finished = call(script.main, data, out, "--device", "cpu", "--penalty", "paper")
    assert finished.code == 2
    assert finished.said == f"{out} holds flows of penalty released instead of paper; choose another folder.\n"


@pytest.fixture
def computed(monkeypatch):
    """The names of triplets whose flows are computed, in order; all flows are 0."""
    names = []

    def work(options, index, _tick):
        name = open_source(options.data, options.split).names[index]
        names.append(name)
        sgm_flows.write(options.out / name, (torch.zeros(2, *SIZE),) * 2)
        return True, ""

    monkeypatch.setattr(computing, "_work", work)
    return names


@pytest.fixture
def own(data, tmp_path):
    """A copy of the data."""
    return shutil.copytree(data, tmp_path / "data")


def test_flows_of_changed_pictures_are_computed_again(own, tmp_path, call, computed):
    call(script.main, own, tmp_path / "out", "--device", "cpu")
    write_triplet(own / "one", 2, exist_ok=True)
    computed.clear()
    assert call(script.main, own, tmp_path / "out", "--device", "cpu").code == 0
    assert computed == ["one"]
    computed.clear()
    assert call(script.main, own.rename(tmp_path / "moved"), tmp_path / "out", "--device", "cpu").code == 0
    assert computed == []


def test_flows_of_other_data_are_not_taken(own, tmp_path, call, computed):
    other, out = tmp_path / "other", tmp_path / "out"
    write_triplet(other / "one", 3)
    call(script.main, own, out, "--device", "cpu")
    finished = call(script.main, other, out, "--device", "cpu")
    assert finished.code == 2
    assert finished.said == f"{out} holds flows of {own}, where one is another triplet; choose another folder.\n"
    assert computed == ["cut/two", "one"]
    assert call(script.main, own, out, "--device", "cpu").code == 0
    assert computed == ["cut/two", "one"]


def test_flows_by_other_weights_or_of_unknown_data_are_not_taken(data, tmp_path, call, computed, monkeypatch):
    out = tmp_path / "out"
    call(script.main, data, out, "--device", "cpu")
    with monkeypatch.context() as patched:
        patched.setattr(Backbone, "digest", lambda _: "others")
        assert re.fullmatch(
            r".*/out holds flows of weights \w{16} instead of others; choose another folder\.\n",
            call(script.main, data, out, "--device", "cpu").said,
        )
    settings = runs.read(out / SETTINGS, "")
    runs.write(out / SETTINGS, {name: settings[name] for name in ("features", "penalty", "style", "half")})
    finished = call(script.main, data, out, "--device", "cpu")
    assert finished.code == 2
    assert finished.said.endswith(
        "out is of an earlier version, which did not record of what data; choose another folder.\n"
    )


def test_data_without_end_is_refused(data, tmp_path, call, monkeypatch):
    monkeypatch.setattr(Folders, "is_unlimited", True)
    finished = call(script.main, data, tmp_path / "out", "--device", "cpu")
    assert finished.code == 2
    assert "practically without end" in finished.said


def test_what_cannot_be_used_is_reported_and_the_rest_computed(data, tmp_path, call):
    folder = tmp_path / "data"
    write_triplet(folder / "good", 0)
    write_triplet(folder / "bad", 1)
    (folder / "bad" / "frame2.png").write_text("text")
    finished = call(script.main, folder, tmp_path / "out", "--device", "cpu")
    assert finished.code == 1
    assert "1 of the triplets cannot be used:\nbad: " in finished.said
    assert "Traceback" not in finished.said
    assert sgm_flows.find(tmp_path / "out" / "good")
    assert not (tmp_path / "out" / "bad").exists()


def test_wrong_words(data, tmp_path, call):
    for arguments, says in (
        ((tmp_path / "none", tmp_path), "There is no folder"),
        ((data, tmp_path, "--features", "resnet"), "There is no backbone resnet"),
        ((data, tmp_path, "--workers", 0), "it must be 1 or more"),
        ((data, tmp_path, "--device", "tpu"), "There is no device"),
    ):
        finished = call(script.main, *arguments)
        assert finished.code == 2
        assert says in finished.said
    assert not (tmp_path / SETTINGS).exists()


def test_atd12k_is_known_by_its_folders(tmp_path):
    write_triplet(tmp_path / "raw" / "test_2k_540p" / "Japan_a", 0)
    assert isinstance(open_source(tmp_path, "test"), ATD12K)
    assert open_source(tmp_path / "raw" / "test_2k_540p", "test").names == ["Japan_a"]


@pytest.mark.slow
def test_two_processes_write_the_same(data, tmp_path, call):
    for name, count in (("a", 1), ("b", 2)):
        assert call(script.main, data, tmp_path / name, "--workers", count, "--device", "cpu").code == 0
    for name in ("one", "cut/two"):
        for file in FILES:
            assert (tmp_path / "a" / name / file).read_bytes() == (tmp_path / "b" / name / file).read_bytes()
