"""Triplets in one HDF5 file: bit by bit what they were, and every byte of the file under a checksum."""

import json
import pickle
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from _databacks.atd12k import Annotation
from _databacks.folders import Folders
from _databacks.hdf5 import frames, half, index
from _databacks.hdf5.packing import pack
from _databacks.hdf5.reading import HDF5
from _databacks.keyframes import Keyframes
from _databacks.sources import open_source
from _databacks.triplet import Source, Triplet
from _train.frame_interpolation.training.batches import Triplets
from _util import image
from _util.errors import InputError

SIZE = 20, 30


def noise(seed: int, *shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.fixture(scope="module")
def rrld(tmp_path_factory) -> Path:
    """Four triplets, the even ones with flows of all magnitudes."""
    folder = tmp_path_factory.mktemp("rrld")
    (folder / "flows").mkdir()
    for i in range(4):
        name = f"{i}-{i + 1}-{i + 2}"
        (folder / "images" / name).mkdir(parents=True)
        for k in range(3):
            image.write(folder / "images" / name / f"{i + k}.png", noise(3 * i + k, *SIZE, 3))
        if i % 2 == 0:
            magnitudes = 10.0 ** torch.randint(-12, 9, (2, 2, *SIZE), generator=torch.Generator().manual_seed(i))
            torch.save(torch.randn(2, 2, *SIZE) * magnitudes, folder / "flows" / f"{name}.pt")
    return folder


@pytest.fixture(scope="module", params=["arrays", "bytes"])
def packed(request, rrld, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "data.h5"
    assert pack(open_source(rrld), out, request.param == "arrays") == {}
    return out


@pytest.fixture
def flip(packed, tmp_path):
    """Makes a copy of the file with a bit flipped in the byte at a place."""
    content = packed.read_bytes()

    def flip(place: int, bit: int = 0) -> Path:
        path = tmp_path / "flipped.h5"
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
        return path

    return flip


def assert_same(ours: Triplet, theirs: Triplet) -> None:
    assert (ours.name, ours.time) == (theirs.name, theirs.time)
    assert torch.equal(ours.frames, theirs.frames)
    assert (ours.flows is None) == (theirs.flows is None)
    for packed, exact in zip(ours.flows or (), theirs.flows or (), strict=True):
        assert ((packed - exact).abs() <= 2**-10 * exact.abs()).all()


def damage(path: Path) -> list[str]:
    """What is said of a file, or of its items."""
    try:
        source = HDF5(path)
    except InputError as error:
        return [str(error)]
    return [said for i in range(len(source)) if (said := source.damage(i))]


class TestHalf:
    def test_every_value_is_within_its_bound(self):
        exponents = np.random.default_rng(0).uniform(-45, 38, 20_000)
        flow = (np.random.default_rng(1).choice([-1, 1], 20_000) * 10.0**exponents).astype(np.float32).reshape(2, -1)
        found = half.from_arrays(half.to_arrays(flow))
        assert found.dtype == np.float32
        assert (np.abs(found.astype(float) - flow) <= 2.0**-10 * np.abs(flow.astype(float))).all()

    def test_common_flow_is_kept_in_half_precision_alone(self):
        flow = np.random.default_rng(0).normal(0, 20, (2, 2, 64, 64)).astype(np.float32)
        kept = half.to_arrays(flow)
        assert kept["flows"].dtype == np.float16
        assert len(kept.get("flows_beyond_half", ())) < 1e-4 * flow.size

    def test_extremes(self):
        flow = np.array([0, -0.0, 65504, 65536, 1e38, 6e-8, 1e-40, np.inf, -np.inf], np.float32)
        found = half.from_arrays(half.to_arrays(flow))
        assert found[[0, 1, 2, 3, 4, 6, 7, 8]].tolist() == flow[[0, 1, 2, 3, 4, 6, 7, 8]].tolist()
        assert np.signbit(found[1])
        assert np.isnan(half.from_arrays(half.to_arrays(np.array([np.nan], np.float32)))).all()


class TestFrames:
    @pytest.mark.parametrize(
        ("suffix", "options"),
        [(".png", []), (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 80]), (".webp", [cv2.IMWRITE_WEBP_QUALITY, 80])],
    )
    def test_files_stay_what_they_are(self, tmp_path, suffix, options):
        paths = [tmp_path / f"{k}{suffix}" for k in range(3)]
        for k, path in enumerate(paths):
            cv2.imwrite(str(path), cv2.resize(noise(k, 4, 4, 3), SIZE[::-1]), options)
        exact = torch.stack([image.to_tensor(image.read(path)) for path in paths])
        kept = frames.to_files(exact, paths)
        assert [kept[name].tobytes() for name in frames.FILES] == [path.read_bytes() for path in paths]
        assert torch.equal(frames.from_arrays(kept), exact)

    @pytest.mark.parametrize("shape", [SIZE, (*SIZE, 3), (*SIZE, 4)])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("as_arrays", [True, False])
    def test_pictures_of_every_kind_are_exact(self, tmp_path, shape, dtype, as_arrays):
        paths = [tmp_path / "a" / f"{k}.png" for k in range(3)]
        paths[0].parent.mkdir()
        for k, path in enumerate(paths):
            image.write(path, noise(k, *shape, dtype=dtype))
        exact = Folders(tmp_path)[0].frames
        kept = frames.to_array(exact) if as_arrays else frames.to_files(exact, paths)
        assert torch.equal(frames.from_arrays(kept), exact)
        if len(shape) == 2 or shape[2] == 3:
            assert all(array.dtype == (dtype if as_arrays else np.uint8) for array in kept.values())

    def test_what_no_picture_can_hold_is_exact_too(self):
        exact = torch.rand(3, 3, *SIZE)
        for kept in (frames.to_array(exact), frames.to_files(exact, [])):
            assert torch.equal(frames.from_arrays(kept), exact)

    def test_a_turned_photograph_stands_upright(self, tmp_path):
        from PIL import Image

        upright = Image.fromarray(noise(0, *SIZE, 3))
        exif = Image.Exif()
        exif[0x0112] = 6
        paths = [tmp_path / "a" / f"{k}.jpg" for k in range(3)]
        paths[0].parent.mkdir()
        for path in paths:
            upright.save(path, exif=exif)
        exact = Folders(tmp_path)[0].frames
        assert exact.shape[2:] == SIZE[::-1]
        assert torch.equal(frames.from_arrays(frames.to_files(exact, paths)), exact)


class TestReading:
    def test_is_what_was_packed(self, rrld, packed):
        source = open_source(packed)
        assert isinstance(source, HDF5)
        assert source.names == open_source(rrld).names
        for ours, theirs in zip(source, open_source(rrld), strict=True):
            assert_same(ours, theirs)

    def test_keyframes_and_floats_with_their_times(self, tmp_path):
        for k in range(4):
            image.write(tmp_path / f"{k}.png", noise(k, 40, 40, 3))

        class Drawn(Source):
            names, path = ("a/b", "ü"), tmp_path

            def __getitem__(self, i):
                if i > 1:
                    raise IndexError
                return Triplet(self.names[i], torch.rand(3, 3, 8, 9, generator=torch.manual_seed(i)), time=0.1 + i / 3)

        for number, source in enumerate([Keyframes(tmp_path), Drawn()]):
            for as_arrays in (True, False):
                out = tmp_path / f"{number}-{as_arrays}.h5"
                pack(source, out, as_arrays)
                for ours, theirs in zip(HDF5(out), source, strict=True):
                    assert_same(ours, theirs)

    def test_any_program_can_read_it(self, rrld, packed):
        exact = open_source(rrld)[2]
        with h5py.File(packed) as file:
            item = file["items/000002"]
            assert (item.attrs["name"], item.attrs["time"]) == (exact.name, 0.5)
            assert item["flows"].dtype == np.float16
            if "frames" in item:
                assert item["frames"].chunks == (1, 3, *SIZE)
                assert (item["frames"][:] == (exact.frames * 255).round().numpy()).all()
            else:
                path = rrld / "images" / exact.name / "3.png"
                assert item["middle"][:].tobytes() == path.read_bytes()

    def test_facts_of_atd12k(self, tmp_path, rrld):
        noted = Annotation("hard", (1, 2, 3, 4), "pan", "run")

        class Annotated(Source):
            is_annotated = True

            def __init__(self):
                self.source = open_source(rrld)
                self.names, self.path = self.source.names, self.source.path

            def __len__(self):
                return len(self.names)

            def __getitem__(self, i):
                return self.source[i]

            def subset(self, i):
                return "east" if i else "west"

            def annotation(self, i, size):
                assert size == SIZE
                if i == 2:
                    raise InputError("damaged")
                return noted

        pack(Annotated(), tmp_path / "a.h5")
        source = HDF5(tmp_path / "a.h5")
        assert [source.subset(i) for i in range(4)] == ["west", "east", "east", "east"]
        assert source.annotation(0, SIZE) == noted
        with pytest.raises(InputError, match="without an annotation of 2-3-4"):
            source.annotation(2, SIZE)

    def test_from_many_workers(self, packed):
        source = HDF5(packed)
        first = source[0]  # opens the file before workers are forked
        loaded = DataLoader(source, batch_size=None, sampler=[0, 1, 2, 3] * 4, num_workers=3)
        for i, triplet in enumerate(loaded):
            assert_same(triplet, source[i % 4])
        assert_same(pickle.loads(pickle.dumps(source))[0], first)


class TestDamage:
    def test_of_an_item_is_reported_with_its_name_and_costs_that_item_alone(self, packed, flip):
        items = index.read(packed)
        for number, item in enumerate(items):
            places = {"header": item.headers.extents[0], **{k: a.checked.extents[-1] for k, a in item.arrays.items()}}
            for what, extent in places.items():
                source = HDF5(flip(extent.start + extent.size // 2, bit=3))
                with pytest.raises(InputError, match=rf"flipped.h5 is damaged in {item.name}, in its {what};"):
                    source[number]
                assert [bool(source.damage(i)) for i in range(4)] == [i == number for i in range(4)]

    def test_of_any_byte_is_noticed(self, packed, flip):
        size = packed.stat().st_size
        places = np.random.default_rng(0).choice(size, 400, replace=False).tolist()
        for place in [*range(0, 1200, 16), *places, size - 1]:
            path = flip(place, bit=place % 8)
            assert len(damage(path)) == 1, place

    def test_of_length(self, packed, tmp_path):
        content, path = packed.read_bytes(), tmp_path / "data.h5"
        for length, message in ((len(content) - 1, "instead of"), (100, "first 512 bytes"), (0, "first 512 bytes")):
            path.write_bytes(content[:length])
            with pytest.raises(InputError, match=message):
                HDF5(path)
        path.write_bytes(content + b"\0")
        with pytest.raises(InputError, match="instead of"):
            HDF5(path)

    def test_of_another_kind(self, tmp_path):
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["x"] = np.zeros(1000)
        with pytest.raises(InputError, match=r"was not packed by _scripts.dataset_to_hdf5"):
            open_source(tmp_path / "other.h5")
        with pytest.raises(InputError, match="There is no file"):
            open_source(tmp_path / "nothing.h5")

    def test_is_skipped_in_training(self, packed, flip, capfd):
        item = index.read(packed)[1]
        extent = next(iter(item.arrays.values())).checked.extents[0]
        triplets = Triplets(HDF5(flip(extent.start)), (16, 16))
        assert [triplets[i, 0].name for i in range(4)] == ["0-1-2", "2-3-4", "2-3-4", "3-4-5"]
        assert capfd.readouterr().err.count(f"damaged in {item.name}") == 1

    def test_of_flows_that_are_not_read(self, rrld, packed, flip):
        for what, array in index.read(packed)[0].arrays.items():
            if what.startswith("flows"):
                source = HDF5(flip(array.checked.extents[0].start))
                source.reads_flows = False
                assert_same(source[0], open_source(rrld)[0]._replace(flows=None))

    def test_between_packing_and_assembly_is_found(self, rrld, tmp_path, monkeypatch):
        from _databacks.hdf5 import packing

        right = packing._assemble

        def spoil(parts: Path, *rest) -> None:
            monkeypatch.setattr(packing, "_assemble", right)
            with h5py.File(parts / "000001.h5", "r+") as file:
                next(iter(file["item"].values()))[0] ^= 1
            right(parts, *rest)

        monkeypatch.setattr(packing, "_assemble", spoil)
        with pytest.raises(InputError, match=r"000001.h5 was damaged"):
            pack(open_source(rrld), tmp_path / "a.h5")
        assert not (tmp_path / "a.h5").exists()
        pack(open_source(rrld), tmp_path / "a.h5")
        assert_same(HDF5(tmp_path / "a.h5")[1], open_source(rrld)[1])
        assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_the_index_is_plain(packed):
    """What comes from a file is numbers and text; nothing in it is run."""
    block = json.loads(packed.read_bytes()[: index.USER_BLOCK - 4])
    assert block["format"] == index.FORMAT
    assert json.loads(packed.read_bytes()[block["index"] :])
