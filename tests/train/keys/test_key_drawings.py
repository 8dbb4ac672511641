"""Sequences of keys: names, times, what pairs give, what is kept, and what is redrawn."""

import errno
import json
import shutil
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from _train.frame_interpolation import pairs
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.keys import key_drawings, key_names, timing
from _util import files, image
from _util.errors import InputError
from _util.runs import digest

SIMPLE = {"flow": "dis", "synthesis": "splat", "device": "cpu"}
BLOBS = cv2.GaussianBlur(np.random.default_rng(0).random((32, 80, 4)), (0, 0), 2)
SCENE = cv2.normalize(BLOBS, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def write_key(path: Path, shift: int) -> None:
    image.write(path, SCENE[:, 3 * shift : 3 * shift + 40])


@pytest.fixture
def keys(tmp_path) -> Path:
    """A folder of three keys, with alpha."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for i in range(3):
        write_key(folder / f"key_{i + 1:03d}.png", i)
    return folder


def interpolate(
    keys: Path, out: Path, is_loop: bool = False, preview: Path | None = None, overwrite: bool = False, **options
):
    found = key_drawings.find_keys([keys])
    gaps = timing.plan(list(map(key_names.name_of, found)), is_loop, **options)
    return key_drawings.interpolate_keys(found, out, gaps, preview=preview, overwrite=overwrite, **SIMPLE)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".png"}


def test_names_sort_as_drawings_follow(tmp_path, keys):
    result = interpolate(keys, tmp_path / "out", is_loop=True, between="10,0,1")
    names = [path.name for path in result.paths]
    assert names == [
        *(f"key_001+{i:02d}of10.png" for i in range(11)),
        "key_002+0of0.png",
        "key_003+0of1.png",
        "key_003+1of1.png",
    ]
    assert names == sorted(contents(tmp_path / "out"))
    assert result.drawn == 11


def test_keys_are_kept_and_gaps_are_those_of_pairs(tmp_path, keys):
    options = {"between": "3,2,1", "ease": "in", "is_loop": True}
    out = tmp_path / "out"
    interpolate(keys, out, **options)
    paths = sorted(keys.iterdir())
    for i, (first, last) in enumerate(pairwise([*paths, paths[0]])):
        gap = timing.plan(["a", "b", "c"], **options)[i]
        written = pairs.interpolate_files(first, last, tmp_path / f"{i}", times=list(map(float, gap.ticks)), **SIMPLE)
        drawn = [out / f"{first.stem}+{k}of{len(written)}.png" for k in range(len(written) + 1)]
        np.testing.assert_array_equal(image.read(drawn[0]), image.read(first))
        assert [path.read_bytes() for path in drawn[1:]] == [path.read_bytes() for path in written]
        assert image.read(drawn[1]).shape == (32, 40, 4)


GREY, RGB, RGBA, DEEP_GREY, DEEP_RGB = (
    lambda pixels: pixels[:, :, 0],
    lambda pixels: pixels[:, :, :3],
    lambda pixels: pixels,
    lambda pixels: pixels[:, :, 0] * np.uint16(257),
    lambda pixels: pixels[:, :, :3] * np.uint16(257),
)


def as_rgba(pixels: np.ndarray, dtype: type) -> np.ndarray:
    """Grey, RGB or RGBA, 8 or 16 bits, as RGBA of 8 or 16 bits."""
    if pixels.ndim == 2:
        pixels = np.dstack([pixels] * 3)
    if pixels.shape[2] == 3:
        pixels = np.dstack([pixels, np.full(pixels.shape[:2], np.iinfo(pixels.dtype).max, pixels.dtype)])
    return pixels.astype(dtype) * dtype(257 if pixels.dtype == np.uint8 and dtype == np.uint16 else 1)


@pytest.mark.parametrize(
    ("kinds", "dtype"),
    [((GREY, RGB, RGB, RGBA), np.uint8), ((RGBA, GREY, GREY, DEEP_RGB), np.uint16), ((RGBA, DEEP_GREY), np.uint16)],
)
def test_keys_of_mixed_kinds_give_drawings_of_the_common_one(tmp_path, capsys, kinds, dtype):
    keys, out = tmp_path / "keys", tmp_path / "out"
    keys.mkdir()
    originals = [kind(SCENE[:, 3 * i : 3 * i + 40]) for i, kind in enumerate(kinds)]
    paths = [keys / f"k{i}.png" for i in range(len(kinds))]
    for path, original in zip(paths, originals, strict=True):
        image.write(path, original)
    result = interpolate(keys, out, preview=tmp_path / "p.webp")
    depth = 8 * np.dtype(dtype).itemsize
    assert f"all drawings are written as RGBA with {depth} bits." in capsys.readouterr().err
    drawings = [image.read(path) for path in result.paths]
    assert {(drawing.shape, drawing.dtype) for drawing in drawings} == {((32, 40, 4), np.dtype(dtype))}
    for drawing, original in zip(drawings[::2], originals, strict=True):
        np.testing.assert_array_equal(drawing, as_rgba(original, dtype))
    for drawing, ends in zip(drawings[1::2], pairwise(paths), strict=True):
        (alone,) = pairs.interpolate_files(*ends, tmp_path / ends[0].stem, times=[0.5], **SIMPLE)
        np.testing.assert_array_equal(drawing, as_rgba(image.read(alone), dtype))


def test_a_key_of_a_richer_kind_converts_what_was_drawn(tmp_path, keys):
    out = tmp_path / "out"
    for i, path in enumerate(sorted(keys.iterdir())):
        image.write(path, SCENE[:, 3 * i : 3 * i + 40, :3])
    interpolate(keys, out)
    before = contents(out)
    write_key(keys / "key_004.png", 3)
    assert interpolate(keys, out).drawn == 3
    assert {image.read(path).shape for path in out.glob("*.png")} == {(32, 40, 4)}
    assert interpolate(keys, out).drawn == 0
    (keys / "key_004.png").unlink()
    interpolate(keys, out)
    assert contents(out) == before


def test_what_is_drawn_is_not_drawn_again(tmp_path, keys, monkeypatch):
    out = tmp_path / "out"
    interpolate(keys, out, between="2")
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    monkeypatch.setattr(Interpolator, "draw", None)
    assert interpolate(keys, out, between="2").drawn == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.png")} == before


def test_an_interrupted_run_resumes_with_the_same_drawings(tmp_path, keys, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "out"
    interpolate(keys, whole, between="3,2")
    publish, count = files.publish, iter(range(100))

    def failing(temporary: Path, path: Path) -> None:
        if path.name.startswith("key") and next(count) == 3:
            raise KeyboardInterrupt
        publish(temporary, path)

    with monkeypatch.context() as patched:
        patched.setattr(files, "publish", failing)
        with pytest.raises(KeyboardInterrupt):
            interpolate(keys, out, between="3,2")
    with (out / ".drawn.jsonl").open("a") as record:
        record.write('{"name": "key_')  # as a power cut leaves it
    assert len(contents(out)) == 3
    assert interpolate(keys, out, between="3,2").drawn == 3
    assert contents(out) == contents(whole)
    assert interpolate(keys, out, between="3,2").drawn == 0


def test_a_correction_is_a_key_and_divides_its_gap_alone(tmp_path, keys):
    out = tmp_path / "out"
    interpolate(keys, out, between="1,3")
    first_gap = {name: data for name, data in contents(out).items() if name.startswith("key_001")}
    shutil.copy(out / "key_002+2of3.png", keys / "key_002+fixed.png")
    result = interpolate(keys, out, between="1,3")
    assert [path.name for path in result.paths[2:]] == [
        *(f"key_002+{i}of3.png" for i in range(4)),
        *(f"key_002+fixed+{i}of3.png" for i in range(4)),
        "key_003+0of0.png",
    ]
    assert result.drawn == 6
    assert first_gap.items() <= contents(out).items()
    assert sorted(contents(out)) == [path.name for path in result.paths]


def test_a_correction_under_the_name_it_was_drawn_by_is_a_key_at_its_place(tmp_path, keys):
    out = tmp_path / "out"
    interpolate(keys, out, between="3,1")
    before = contents(out)
    write_key(keys / "key_001+2of3.png", 7)
    result = interpolate(keys, out, between="3,1")
    assert [path.name for path in result.paths] == [
        *(f"key_001+0of3+{i}of3.png" for i in range(4)),
        *(f"key_001+2of3+{i}of3.png" for i in range(4)),
        "key_002+0of1.png",
        "key_002+1of1.png",
        "key_003+0of0.png",
    ]
    assert result.drawn == 6
    after = contents(out)
    assert sorted(after) == [path.name for path in result.paths]
    assert after["key_001+0of3+0of3.png"] == before["key_001+0of3.png"]
    assert {name: after[name] for name in before if name in after} == {
        name: before[name] for name in ("key_002+0of1.png", "key_002+1of1.png", "key_003+0of0.png")
    }
    np.testing.assert_array_equal(image.read(out / "key_001+2of3+0of3.png"), SCENE[:, 21:61])


def test_a_tenth_key_renames_what_is_drawn(tmp_path, keys, capsys):
    out = tmp_path / "out"
    for i, path in enumerate(sorted(keys.iterdir())):
        path.rename(keys / f"K{7 + i}.png")
    interpolate(keys, out, between="1")
    before = contents(out)
    stamps = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    write_key(keys / "K10.png", 3)
    result = interpolate(keys, out, between="1")
    assert result.drawn == 1
    after = contents(out)
    assert sorted(after) == [path.name for path in result.paths]
    assert [name.partition("+")[0] for name in sorted(after)] == ["K07", "K07", "K08", "K08", "K09", "K09", "K10"]
    kept = {f"K0{name[1:]}": name for name in before if not name.startswith("K9")}
    assert {new: after[new] for new in kept} == {new: before[old] for new, old in kept.items()}
    assert {new: (out / new).stat().st_mtime_ns for new in kept} == {new: stamps[old] for new, old in kept.items()}
    assert interpolate(keys, out, between="1").drawn == 0
    assert "sort" not in capsys.readouterr().err


def test_names_that_do_not_sort_are_reported(tmp_path, keys, capsys):
    for path, name in zip(sorted(keys.iterdir()), ("a2.png", "B.png", "a10.png"), strict=True):
        path.rename(keys / name)
    gaps = timing.plan(["k"] * 3, between="0")
    for names, says in (
        (["a2.png", "a10.png", "B.png"], "a10+0of0.png follows a2+0of0.png, and does not sort after it"),
        (["B.png", "a10.png", "a2.png"], "a10 follows B, as they are given; give their folder"),
        (["a10.png", "B.png", "a2.png"], ""),
    ):
        result = key_drawings.interpolate_keys([keys / name for name in names], tmp_path / names[0], gaps, **SIMPLE)
        assert says in (said := capsys.readouterr().err)
        assert bool(said) == bool(says)
    assert [path.name for path in result.paths] == ["1_a10+0of0.png", "2_B+0of0.png", "3_a2+0of0.png"]


def test_a_changed_key_concerns_its_gaps(tmp_path, keys):
    write_key(keys / "key_004.png", 3)
    interpolate(keys, tmp_path / "out", between="1")
    write_key(keys / "key_004.png", 5)
    assert interpolate(keys, tmp_path / "out", between="1").drawn == 1
    assert interpolate(keys, tmp_path / "out", between="1", ease="in").drawn == 3


def change_while_drawing(monkeypatch, change) -> None:
    """Call a function each time after the keys of a gap were read."""
    prepare = Interpolator.prepare

    def prepared(*arguments):
        change()
        return prepare(*arguments)

    monkeypatch.setattr(Interpolator, "prepare", prepared)


def test_a_key_that_changes_during_the_run_ends_it(tmp_path, keys, monkeypatch):
    key, out = keys / "key_002.png", tmp_path / "out"
    before = key.read_bytes()
    with monkeypatch.context() as during:
        change_while_drawing(during, lambda: write_key(key, 9))
        with pytest.raises(InputError, match=r"key_002\.png was changed during the run; run again"):
            interpolate(keys, out, between="2")
    assert sorted(contents(out)) == [f"key_001+{i}of2.png" for i in range(3)]
    key.write_bytes(before)
    assert interpolate(keys, out, between="2").drawn == 2
    interpolate(keys, tmp_path / "whole", between="2")
    assert contents(out) == contents(tmp_path / "whole")


def test_a_key_that_changes_before_another_gap_is_eased_by_it_ends_the_run(tmp_path, keys, monkeypatch):
    write_key(keys / "key_004.png", 5)
    monkeypatch.setattr(Interpolator, "check_eases", lambda _: None)
    change_while_drawing(monkeypatch, lambda: write_key(keys / "key_001.png", 9))
    with pytest.raises(InputError, match=r"key_001\.png was changed during the run"):
        interpolate(keys, tmp_path / "out", ease="auto")


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(b""), lambda path: path.unlink(missing_ok=True)])
def test_a_key_that_is_half_written_or_gone_ends_the_run(tmp_path, keys, monkeypatch, change):
    change_while_drawing(monkeypatch, lambda: change(keys / "key_003.png"))
    with pytest.raises(InputError, match=r"key_003\.png was changed during the run; run again"):
        interpolate(keys, tmp_path / "out")


def test_what_was_changed_by_hand_is_never_touched(tmp_path, keys):
    out = tmp_path / "out"
    interpolate(keys, out, between="2")
    shutil.copy(keys / "key_001.png", out / "key_001+1of2.png")
    before = contents(out)
    for between in ("2", "1"):
        with pytest.raises(InputError, match=r"key_001\+1of2\.png was changed since"):
            interpolate(keys, out, between=between)
    assert contents(out) == before
    interpolate(keys, out, between="1", overwrite=True)  # no longer asked for: it stays
    assert contents(out)["key_001+1of2.png"] == before["key_001+1of2.png"]
    interpolate(keys, out, between="2", overwrite=True)
    assert contents(out)["key_001+1of2.png"] != before["key_001+1of2.png"]
    assert interpolate(keys, out, between="2").drawn == 0


def test_what_is_removed_is_told(tmp_path, keys, capsys):
    interpolate(keys, tmp_path / "out", between="2")
    capsys.readouterr()
    interpolate(keys, tmp_path / "out", between="1")
    assert "out, no longer requested: key_001+1of2.png, key_001+2of2.png" in capsys.readouterr().err
    interpolate(keys, tmp_path / "out", between="1")
    assert "no longer" not in capsys.readouterr().err


def test_what_was_not_drawn_here_is_never_touched(tmp_path, keys):
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(keys / "key_003.png", out / "key_001+1of1.png")
    before = contents(out)
    with pytest.raises(InputError, match="was not drawn here"):
        interpolate(keys, out)
    assert contents(out) == before


def test_drawings_between_other_keys_are_not_removed(tmp_path, keys):
    out, others = tmp_path / "out", tmp_path / "others"
    interpolate(keys, out)
    before = contents(out)
    others.mkdir()
    for i in range(2):
        write_key(others / f"shot_{i}.png", 6 + i)
    with pytest.raises(InputError, match="drawings between other keys"):
        interpolate(others, out)
    assert contents(out) == before


@pytest.mark.parametrize("line", ["", "{", "[]", "3", '{"name": "x"}', '{"name": 1, "sha256": 2, "recipe": 3}', "\0"])
def test_a_damaged_record_is_no_obstacle(tmp_path, keys, line):
    out = tmp_path / "out"
    interpolate(keys, out, between="1,0")
    record = out / ".drawn.jsonl"
    record.write_text(f"{line}\n{record.read_text()}{line}")
    assert interpolate(keys, out, between="1,0").drawn == 0


def test_a_record_reaches_no_file_elsewhere(tmp_path, keys):
    out, other = tmp_path / "out", tmp_path / "other.png"
    interpolate(keys, out, between="0")
    write_key(other, 0)
    with (out / ".drawn.jsonl").open("a") as record:
        made = {"name": "../other.png", "sha256": digest(other), "recipe": {"key": "x"}}
        record.write(json.dumps(made) + "\n")
    interpolate(keys, out, between="0")
    assert other.exists()


def test_preview_plays_all_as_long_as_they_are_exposed(tmp_path, keys):
    interpolate(keys, tmp_path / "out", preview=tmp_path / "p" / "p.gif", between="2,0", on="2")
    with Image.open(tmp_path / "p" / "p.gif") as animation:
        durations = []
        for i in range(animation.n_frames):
            animation.seek(i)
            durations.append(animation.info["duration"])
    assert len(durations) == 5
    np.testing.assert_allclose(durations, 2000 / 24, atol=10)


def test_natural_order(tmp_path):
    for name in ("K10.png", "K2+fixed.png", "K2.png", "k3.png", "K2+1of3.png", "notes.txt", ".K1.png"):
        (tmp_path / name).touch()
    found = [path.name for path in key_drawings.find_keys([tmp_path])]
    assert found == ["K2.png", "K2+1of3.png", "K2+fixed.png", "k3.png", "K10.png"]


def test_layers_are_suggested_only_where_there_are_some(tmp_path):
    for folder in (".studio", "notes"):
        (tmp_path / folder).mkdir()
    (tmp_path / ".studio" / "drawn.png").touch()
    (tmp_path / "notes" / "plan.txt").touch()
    (tmp_path / "k1.png").touch()
    with pytest.raises(InputError, match=r"holds one picture; two keys or more are needed\.$"):
        key_drawings.find_keys([tmp_path])
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "k1.png").touch()
    with pytest.raises(InputError, match=r"needed, or folders of layers and no picture beside them\.$"):
        key_drawings.find_keys([tmp_path])


def test_a_cycle_is_suggested_only_for_files_as_given(tmp_path):
    first, second = tmp_path / "k1.png", tmp_path / "k1.tga"
    for path in (first, second):
        path.touch()
    with pytest.raises(InputError, match=r"Two keys are named k1, .*: rename one\.$"):
        key_drawings.find_keys([tmp_path])
    with pytest.raises(InputError, match=r": rename one, or close a cycle with --loop\.$"):
        key_drawings.find_keys([first, second, first])


def test_a_folder_that_cannot_be_read_does_not_hide_what_is_wrong(tmp_path, monkeypatch):
    def refuse_one(path: Path):
        if path.name == "private":
            raise PermissionError(errno.EACCES, "Permission denied")
        return iterdir(path)

    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", refuse_one)  # as root may read any
    (tmp_path / "private").mkdir()
    (tmp_path / "k1.png").touch()
    with pytest.raises(InputError, match="holds one picture; two keys or more are needed"):
        key_drawings.find_keys([tmp_path])


def spoil(kind: str, keys: Path) -> tuple[dict, str]:
    """Spoil the keys, or return options that are spoiled; and what is to be said."""
    second = keys / "key_002.png"
    if kind == "size":
        image.write(second, SCENE[:, :44])
    elif kind == "float":
        cv2.imwrite(str(second.with_suffix(".tif")), SCENE[:, :40, 0] / np.float32(255))
        second.unlink()
    elif kind == "damaged":
        second.write_bytes(second.read_bytes()[:-60])
    elif kind == "name":
        shutil.copy(second, keys / "key_002.bmp")
    elif kind == "alone":
        for path in sorted(keys.iterdir())[1:]:
            path.unlink()
    return {
        "size": ({}, r"key_002\.png is 44×32 pixels of RGBA with 8 bits \(PNG\); .*key_001\.png is 40×32"),
        "float": ({}, r"key_002\.tif is 40×32 pixels of grey with 32 bits \(TIF\); .*key_001\.png is 40×32"),
        "damaged": ({}, r"key_002\.png is damaged"),
        "name": ({}, "Two keys are named key_002"),
        "alone": ({}, "holds one picture;"),
        "preview": ({"preview": keys / "key_001.webm"}, "must end in"),
        "out": ({"out": keys}, "holds the keys"),
        "counts": ({"between": "1,2,3"}, "3 counts for 2 gaps"),
    }[kind]


@pytest.mark.parametrize("kind", ["size", "float", "damaged", "name", "alone", "preview", "out", "counts"])
def test_what_cannot_be_used_is_one_sentence(tmp_path, keys, kind):
    options, says = spoil(kind, keys)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=says) as caught:
        interpolate(keys, **{"out": tmp_path / "out", **options})
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "out").exists()


def test_long_names_fit(tmp_path, keys):
    (keys / "key_002.png").rename(keys / f"key_002{'x' * 240}.png")
    result = interpolate(keys, tmp_path / "out")
    assert len({path.name for path in result.paths}) == 5
    assert all(path.exists() for path in result.paths)


def test_times_are_exact():
    gap = timing.plan(["a", "b"], between="5")[0]
    assert list(map(float, gap.ticks)) == pairs.even_times(6)
    assert sum(gap.ticks) == Fraction(5, 2)
