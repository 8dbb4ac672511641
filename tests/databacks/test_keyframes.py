"""Keyframes as triplets: their order, cuts, kinds of pictures."""

import numpy as np
import pytest
from PIL import Image

from _databacks.keyframes import Keyframes
from _util.errors import InputError


def write(folder, numbers, size=(40, 40), shift=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.new("RGB", size, (number + shift, 0, 0)).save(folder / f"key{number}.png")
    return folder


def reds(triplet) -> list[int]:
    return (255 * triplet.frames[:, 0, 0, 0]).round().int().tolist()


def test_triplets_in_the_order_of_their_numbers(tmp_path):
    keys = Keyframes(write(tmp_path, (1, 2, 10, 11)))
    assert keys.names == ["key2.png", "key10.png"]
    assert [reds(keys[i]) for i in range(2)] == [[1, 2, 10], [2, 10, 11]]
    assert keys[0].time == 0.5


def test_an_opaque_alpha_channel_changes_nothing(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 4), np.uint8)
    colours[..., 3] = 255
    for i, picture in enumerate(colours):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    with_alpha = Keyframes(tmp_path)[0].frames
    for i, picture in enumerate(colours):
        Image.fromarray(picture[..., :3]).save(tmp_path / f"{i}.png")
    assert with_alpha.equal(Keyframes(tmp_path)[0].frames)


def test_folders_of_cuts(tmp_path):
    write(tmp_path / "cut 10", (1, 2, 3, 4), (40, 48), shift=100)
    write(tmp_path / "cut 2", (1, 2, 3))
    write(tmp_path / ".thumbnails", (1, 2))
    (tmp_path / "notes").mkdir()
    keys = Keyframes(tmp_path)
    assert keys.names == ["cut 2/key2.png", "cut 10/key2.png", "cut 10/key3.png"]
    assert [reds(keys[i]) for i in range(3)] == [[1, 2, 3], [101, 102, 103], [102, 103, 104]]
    assert keys.pictures(1) == [tmp_path / f"cut 10/key{i}.png" for i in (1, 2, 3)]
    write(tmp_path / "cut 3", (1, 2))
    with pytest.raises(InputError, match="cut 3 holds 2 images"):
        Keyframes(tmp_path)


def test_cuts_at_any_depth(tmp_path):
    write(tmp_path / "episode 10/cut 1", (1, 2, 3))
    write(tmp_path / "episode 2/cut 1", (1, 2, 3))
    write(tmp_path / "episode 2/cut 1/older", (1, 2))
    assert Keyframes(tmp_path).names == ["episode 2/cut 1/key2.png", "episode 10/cut 1/key2.png"]


def test_a_folder_of_nothing(tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(InputError, match="holds 0 images"):
        Keyframes(tmp_path)


def test_pictures_of_any_kind(tmp_path):
    """Grey, 16 bits and transparency become RGB, over white."""
    grey = np.full((40, 40), 100, np.uint8)
    transparent = np.zeros((40, 40, 4), np.uint8)
    transparent[..., 3] = 51
    Image.fromarray(grey).save(tmp_path / "1.png")
    Image.fromarray(transparent).save(tmp_path / "2.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "3.png")
    Image.fromarray(grey).save(tmp_path / "4.PNG")
    keys = Keyframes(tmp_path)
    assert keys[0].frames.shape == (3, 3, 40, 40)
    assert [reds(keys[i]) for i in range(2)] == [[100, 204, 100], [204, 100, 100]]
