"""Triplets in folders, and which kind of source a folder is opened as."""

import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from _databacks.folders import Folders
from _databacks.keyframes import Keyframes
from _databacks.lottie import Lottie
from _databacks.rrldextr import RRLDExtract
from _databacks.sources import open_source
from _util import image
from _util.errors import InputError


def write(folder: Path, *names: str, shape: tuple[int, ...] = (8, 10, 3)) -> list[np.ndarray]:
    """Pictures of one value each: 0, 10, 20, …"""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [np.full(shape, 10 * k, np.uint8) for k in range(len(names))]
    for name, picture in zip(names, pictures, strict=True):
        cv2.imwrite(str(folder / name), picture)
    return pictures


def levels(source, index: int) -> list[int]:
    """The value of each frame of a triplet."""
    frames = source[index].frames
    assert frames.amax((1, 2, 3)).equal(frames.amin((1, 2, 3)))
    return (frames[:, 0, 0, 0] * 255).round().int().tolist()


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "b.png", "c.png"),
        ("im1.jpg", "im2.jpg", "im3.jpg"),
        ("9.webp", "10.webp", "11.webp"),
        ("A.PNG", "b.jpeg", "c.png"),
    ],
)
def test_three_pictures_are_a_triplet_in_natural_order(tmp_path, names):
    write(tmp_path / "shot", *names)
    source = Folders(tmp_path)
    triplet = source[0]
    assert triplet.name == source.names[0] == "shot"
    assert triplet.frames.shape == (3, 3, 8, 10)
    assert triplet.frames.dtype == torch.float32
    assert (triplet.flows, triplet.time) == (None, 0.5)
    assert levels(source, 0) == pytest.approx([0, 10, 20], abs=2)


def test_any_depth_counts_and_other_files_do_not(tmp_path):
    for name in ("x/cut_10", "x/cut_9", "y"):
        write(tmp_path / name, "a.png", "b.png", "c.png")
    (tmp_path / "y" / "notes.txt").write_text("of the artist")
    write(tmp_path / "y", ".thumbnail.png")
    write(tmp_path / ".cache", "a.png", "b.png", "c.png")
    assert Folders(tmp_path).names == ["x/cut_9", "x/cut_10", "y"]


def test_links_are_followed_each_folder_once(tmp_path, capsys):
    write(tmp_path / "all/shot_1", "a.png", "b.png", "c.png")
    write(tmp_path / "elsewhere/shot_2", "a.png", "b.png", "c.png")
    data = tmp_path / "all"
    (data / "a link").symlink_to(tmp_path / "elsewhere/shot_2")
    (data / "another").symlink_to(tmp_path / "elsewhere")
    (data / "known").symlink_to(data / "shot_1")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path)
    assert len(Folders(data).names) == 2
    assert "shot_1" in Folders(data).names
    assert capsys.readouterr().err == ""


def test_folders_that_cannot_be_read_are_reported(tmp_path, capsys, monkeypatch):
    write(tmp_path / "shot", "a.png", "b.png", "c.png")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert Folders(tmp_path).names == ["shot"]
    assert capsys.readouterr().err == f"{tmp_path / 'locked'} cannot be read (Permission denied): left out.\n"


def test_names_that_differ_in_zeros_have_one_order(tmp_path, monkeypatch):
    for name in ("shot01", "shot1", "shot001"):
        write(tmp_path / name, "a.png", "b.png", "c.png")
    walk = os.walk
    found = []
    for turn in (1, -1):
        monkeypatch.setattr(os, "walk", lambda *args, turn=turn, **options: list(walk(*args, **options))[::turn])
        found.append(Folders(tmp_path).names)
    assert found[0] == found[1] == ["shot001", "shot01", "shot1"]


def test_the_folder_itself_may_be_the_triplet(tmp_path):
    write(tmp_path, "a.png", "b.png", "c.png")
    assert levels(Folders(tmp_path), 0) == [0, 10, 20]


def test_grey_becomes_rgb(tmp_path):
    write(tmp_path / "shot", "a.png", "b.png", "c.png", shape=(8, 10))
    assert Folders(tmp_path)[0].frames.shape == (3, 3, 8, 10)
    assert levels(Folders(tmp_path), 0) == [0, 10, 20]


def test_transparent_shows_white(tmp_path):
    (tmp_path / "shot").mkdir()
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[:2, :, 3] = 255
    for name in "abc":
        image.write(tmp_path / "shot" / f"{name}.png", picture)
    frames = Folders(tmp_path)[0].frames
    assert (frames[:, :, :2] == 0).all()
    assert (frames[:, :, 2:] == 1).all()


class TestWhatCannotBeUsed:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        """A good triplet beside one that tests spoil."""
        write(tmp_path / "bad", "a.png", "b.png", "c.png")
        write(tmp_path / "good", "a.png", "b.png", "c.png")
        return tmp_path

    def refusal(self, folder: Path) -> str:
        source = Folders(folder)
        assert source.names == ["bad", "good"]
        assert levels(source, 1) == [0, 10, 20]
        with pytest.raises(InputError) as caught:
            source[0]
        return str(caught.value)

    def test_a_missing_frame(self, folder):
        (folder / "bad" / "b.png").unlink()
        assert "bad holds 2 pictures; a triplet is three" in self.refusal(folder)

    def test_a_frame_too_many(self, folder):
        write(folder / "bad", "d.png")
        assert "bad holds 4 pictures" in self.refusal(folder)

    def test_a_frame_cut_short(self, folder):
        path = folder / "bad" / "b.png"
        path.write_bytes(path.read_bytes()[:-30])
        assert "bad/b.png is damaged" in self.refusal(folder)

    def test_a_frame_of_another_size(self, folder):
        write(folder / "bad", "b.png", shape=(8, 12, 3))
        assert "bad/b.png is 12×8, but a.png is 10×8" in self.refusal(folder)

    def test_a_folder_that_went_away(self, folder):
        source = Folders(folder)
        for path in (folder / "bad").iterdir():
            path.unlink()
        (folder / "bad").rmdir()
        with pytest.raises(InputError, match="bad cannot be read"):
            source[0]


class TestOpenSource:
    def test_picks_by_what_is_there(self, tmp_path):
        pytest.importorskip("rlottie_python")
        write(tmp_path / "folders/shot", "a.png", "b.png", "c.png")
        write(tmp_path / "rrld/images/1-2-3", "1.png", "2.png", "3.png")
        (tmp_path / "lottie").mkdir()
        (tmp_path / "lottie/dance.json").write_text('{"fr": 24, "layers": []}')
        for name in ("folders", "lottie"):
            (tmp_path / name / "about.json").write_text('{"layers": 4}')
        assert isinstance(open_source(tmp_path / "folders"), Folders)
        assert isinstance(open_source(tmp_path / "rrld"), RRLDExtract)
        assert isinstance(open_source(str(tmp_path / "lottie")), Lottie)

    def test_takes_keyframes_with_a_project_beside_them_for_keyframes(self, tmp_path):
        write(tmp_path, "1.png", "2.png", "3.png", shape=(40, 40, 3))
        (tmp_path / "studio.json").write_text("{}")
        assert isinstance(open_source(tmp_path), Keyframes)

    def test_takes_a_kind_before_its_path(self, tmp_path, monkeypatch):
        write(tmp_path / "cut_1", "1.png", "2.png", "3.png", shape=(40, 40, 3))
        assert isinstance(open_source(tmp_path), Folders)
        assert isinstance(open_source(f"keyframes:{tmp_path}"), Keyframes)
        monkeypatch.chdir(tmp_path)
        write(tmp_path / "keyframes:a", "1.png", "2.png", "3.png", shape=(40, 40, 3))
        assert isinstance(open_source("keyframes:a/"), Keyframes)
        assert isinstance(open_source("folders:keyframes:a"), Folders)

    def test_asks_which_is_meant_of_pictures_beside_triplets(self, tmp_path):
        write(tmp_path, "1.png", "2.png", "3.png", "4.png", shape=(40, 40, 3))
        write(tmp_path / "drawn", "1.png", "2.png", shape=(40, 40, 3))
        assert isinstance(open_source(tmp_path), Keyframes)
        write(tmp_path / "shot", "a.png", "b.png", "c.png", shape=(40, 40, 3))
        with pytest.raises(InputError, match=f"keyframes {tmp_path} or folders {tmp_path}"):
            open_source(tmp_path)
        assert open_source(["keyframes", str(tmp_path)]).names == ["2.png", "3.png"]

    def test_says_what_it_expects_of_an_empty_folder(self, tmp_path):
        write(tmp_path / "single", "a.png")
        for folder in (tmp_path, tmp_path / "single"):
            with pytest.raises(InputError, match=r"holds no triplets; they are NAME/a.png, .* or Lottie") as caught:
                open_source(folder)
            assert str(caught.value).startswith(str(folder))

    def test_wants_a_folder(self, tmp_path):
        (tmp_path / "file").touch()
        for path in (tmp_path / "file", tmp_path / "nowhere"):
            with pytest.raises(InputError, match="There is no folder"):
                open_source(path)
