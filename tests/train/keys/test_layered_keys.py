"""Keys in layers: each layer is drawn by itself, and all lie over one another."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from _train.frame_interpolation.keys import key_drawings, layered_keys, timing
from _util import formats, icc, image, layers, png
from _util.errors import InputError
from _util.layers import Layer

SIMPLE = {"flow": "dis", "synthesis": "splat", "device": "cpu"}
TEXTURE = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8).repeat(4, 0).repeat(4, 1)


def cel(x: int, y: int) -> np.ndarray:
    """RGBA: a textured square on transparency."""
    pixels = np.zeros((40, 56, 4), np.uint8)
    pixels[y : y + 16, x : x + 16] = np.dstack([TEXTURE, np.full((16, 16), 255, np.uint8)])
    return pixels


GROUND = np.full((40, 56, 4), (90, 120, 200, 255), np.uint8)


@pytest.fixture
def documents(tmp_path) -> Path:
    """Three OpenRaster files: a ground, a cel that moves and fades, and one that the last lacks."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for i in range(3):
        stack = [Layer("ground", GROUND), Layer("fades", cel(4 + 6 * i, 4), 1 - 0.4 * i)]
        stack += [Layer("leaves", cel(30, 20 - 4 * i))] if i < 2 else []
        layers.write_ora(folder / f"k{i}.ora", stack)
    return folder


def interpolate(source: Path, out: Path, suffix: str = ".png", preview: Path | None = None, overwrite=False, **timed):
    assert layered_keys.is_layered([source])
    with layered_keys.opened([source]) as cut:
        gaps = timing.plan(cut.keys, **timed)
        return layered_keys.interpolate(cut, out, gaps, suffix=suffix, preview=preview, overwrite=overwrite, **SIMPLE)


def test_layers_are_drawn_by_themselves(tmp_path, documents, capsys):
    out = tmp_path / "out"
    result = interpolate(documents, out, between="3,1", preview=tmp_path / "all.webp")
    names = [*(f"k0+{i}of3.png" for i in range(4)), "k1+0of1.png", "k1+1of1.png", "k2+0of0.png"]
    assert [path.name for path in result.paths] == names
    assert result.drawn == 4 + 4 + 3  # the cel that the last key lacks is held in the second gap
    assert "leaves" in capsys.readouterr().err
    assert (tmp_path / "all.webp").exists()
    # as a sequence of that layer alone
    for i in range(3):
        image.write(tmp_path / f"k{i}.png", cel(4 + 6 * i, 4))
    keys = [tmp_path / f"k{i}.png" for i in range(3)]
    alone = key_drawings.interpolate_keys(
        keys, tmp_path / "alone", timing.plan(["k0", "k1", "k2"], between="3,1"), **SIMPLE
    )
    by_layer = [out / "layers" / "fades" / path.name for path in alone.paths]
    assert [path.read_bytes() for path in by_layer] == [path.read_bytes() for path in alone.paths]
    # and over one another, opacity on its way
    stack = [
        Layer("", GROUND),
        Layer("", image.read(out / "layers/fades/k1+1of1.png"), 0.4),
        Layer("", cel(30, 16)),
    ]
    np.testing.assert_allclose(image.read(out / "k1+1of1.png").astype(int), layers.composite(stack), atol=1)
    assert (image.read(out / "k2+0of0.png")[36, 40] == GROUND[0, 0]).all()  # gone


def test_names_sort_and_are_those_of_all_layers(tmp_path):
    for layer, keys in (("A", ("K1", "K2", "K10")), ("B", ("K1", "K2"))):
        (tmp_path / "cut" / layer).mkdir(parents=True)
        for i, key in enumerate(keys):
            image.write(tmp_path / "cut" / layer / f"{key}.png", cel(4 + 8 * i, 8))
    out = tmp_path / "out"
    names = [path.name for path in interpolate(tmp_path / "cut", out).paths]
    assert names == ["K01+0of1.png", "K01+1of1.png", "K02+0of1.png", "K02+1of1.png", "K10+0of0.png"]
    assert sorted(path.name for path in (out / "layers" / "A").glob("*.png")) == names
    assert sorted(path.name for path in (out / "layers" / "B").glob("*.png")) == [*names[:2], "K02+0of0.png"]
    image.write(out / "K01+1of1.png", GROUND)
    with pytest.raises(InputError, match=r"K01\+1of1\.png was changed since .* --overwrite"):
        interpolate(tmp_path / "cut", out)
    interpolate(tmp_path / "cut", out, overwrite=True)
    assert (image.read(out / "K01+1of1.png") != GROUND).any()


def test_nothing_is_drawn_again_and_changes_are(tmp_path, documents):
    out = tmp_path / "out"
    assert interpolate(documents, out, between="2").drawn == 4 + 4 + 2
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert interpolate(documents, out, between="2").drawn == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before
    layers.write_ora(documents / "k2.ora", [Layer("ground", GROUND), Layer("fades", cel(30, 4), 0.2)])
    assert interpolate(documents, out, between="2").drawn == 2


def test_a_layer_may_be_added_or_changed_in_all_keys(tmp_path, documents):
    out = tmp_path / "out"
    interpolate(documents, out)
    for fog in (GROUND // 2, GROUND // 3):
        before = (out / "k0+1of1.png").read_bytes()
        for i in range(3):
            fades = Layer("fades", cel(4 + 6 * i, 4), 1 - 0.4 * i)
            layers.write_ora(documents / f"k{i}.ora", [Layer("ground", GROUND), fades, Layer("fog", fog)])
        assert interpolate(documents, out).drawn == 2  # of the new layer, or the changed one
        assert (out / "k0+1of1.png").read_bytes() != before


def test_nothing_is_drawn_where_a_drawing_must_not_be_replaced(tmp_path, documents):
    out, others = tmp_path / "out", tmp_path / "others"
    interpolate(documents, out)
    others.mkdir()
    for i in range(2):
        layers.write_ora(others / f"k{i}.ora", [Layer("other", cel(6 + i, 9))])
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="drawings between other keys"):
        interpolate(others, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    layers.write_ora(documents / "k2.ora", [Layer("ground", GROUND // 2)])
    for changed in (out / "k1+1of1.png", out / "layers" / "leaves" / "k0+1of1.png"):
        drawn = changed.read_bytes()
        image.write(changed, GROUND)
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        with pytest.raises(InputError, match="was changed since it was drawn"):
            interpolate(documents, out)
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
        changed.write_bytes(drawn)


def test_folders_and_groups_are_the_same(tmp_path):
    """Folders of folders, and one document of groups."""
    folder = tmp_path / "cut"
    for name, x in (("A", 4), ("B", 20)):
        (folder / name).mkdir(parents=True)
        for i in range(2):
            image.write(folder / name / f"k{i}.png", cel(x + 8 * i, 8))
    out = tmp_path / "out"
    result = interpolate(folder, out, suffix=".ora")
    drawn = layers.read(out / "k0+1of1.ora")
    assert [layer.name for layer in drawn.layers] == ["A", "B"]
    for layer in drawn.layers:
        np.testing.assert_array_equal(layer.pixels, image.read(out / "layers" / layer.name / "k0+1of1.png"))
    assert len(result.paths) == 3


@pytest.mark.parametrize("names", ["{}{:04d}", "c12_{}_{:04d}", "{}.{:04d}"])
def test_keys_may_bear_the_name_of_their_layer(tmp_path, capsys, names):
    cut = tmp_path / "cut"
    for name, x in (("A", 4), ("Face", 20)):
        (cut / name).mkdir(parents=True)
        for i in range(2):
            image.write(cut / name / f"{names.format(name, i)}.png", cel(x + 8 * i, 8))
    hint = {"key": names.format("A", 0), "from": [8, 12], "to": [16, 12]}
    (cut / "A/hints.json").write_text(json.dumps({"hints": [hint]}))
    drawn = [path.name for path in interpolate(cut, tmp_path / "out").paths]
    rest = "c12_0000" if "c12" in names else "0000"
    assert drawn == [f"{rest}+0of1.png", f"{rest}+1of1.png", f"{rest[:-1]}1+0of0.png"]
    said = capsys.readouterr().err
    assert f"without the name of their layer: {names.format('A', 0)} of the layer 'A' is of key {rest}." in said
    assert "is held" not in said


def test_folders_that_are_no_layers_are_reported(tmp_path, capsys):
    cut = tmp_path / "cut"
    for folder in ("A", "C/deeper", ".hidden"):
        (cut / folder).mkdir(parents=True)
        for i in range(2):
            image.write(cut / folder / f"k{i}.png", cel(4 + 8 * i, 8))
    (cut / "B").mkdir()
    (cut / "B" / "k0.psd").touch()
    with layered_keys.opened([cut]) as opened:
        assert [cel.name for cel in opened.cels] == ["A"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{cut} holds 2 folders with no pictures")
    assert line.endswith("directly within, B, C: no layers.")


def test_layers_beside_keys_are_reported(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "A", tmp_path / "out"):
        folder.mkdir(exist_ok=True)
        for i in range(2):
            image.write(folder / f"k{i}.png", cel(4 + 8 * i, 8))
    (tmp_path / "out" / ".drawn.jsonl").touch()  # a result
    keys = key_drawings.find_keys([tmp_path])
    key_drawings.warn_left_out(tmp_path, keys)
    said = f"{tmp_path} holds 1 folder of pictures beside its keys, A: left out; if they are layers, move the keys"
    assert capsys.readouterr().err.startswith(said)


def test_temporary_files_of_a_killed_run_are_removed(tmp_path, documents, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    script = (
        "import os, sys; from pathlib import Path; from _train.frame_interpolation.keys import layered_keys\n"
        "with layered_keys.opened([Path(sys.argv[1])]): print(os.getpid(), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, documents]
    environment = os.environ | {"TMPDIR": tempfile.gettempdir()}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as killed:
        killed.stdout.readline()
        (left,) = (tmp_path / "temporary").glob("[!.]*")
        with layered_keys.opened([documents]):
            assert left in (tmp_path / "temporary").iterdir()
        killed.kill()
    with layered_keys.opened([documents]):
        assert not left.exists()
    assert not list((tmp_path / "temporary").iterdir())


def test_a_full_disk_for_temporary_files_is_told_with_what_chooses_it(tmp_path, documents, monkeypatch):
    def write(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(formats.png, "insert", write)
    said = r"ground/k0\.png cannot be written \(No space left .*\); make room or choose another place for temporary"
    with pytest.raises(InputError, match=f"{said} files by the variable TMPDIR"), layered_keys.opened([documents]):
        pass
    assert not list((tmp_path / "temporary").iterdir())


def test_a_layer_named_as_keys_are_is_no_prefix_where_keys_match(tmp_path, capsys):
    for layer in ("k", "ground"):
        (tmp_path / "cut" / layer).mkdir(parents=True)
        for i in range(2):
            image.write(tmp_path / "cut" / layer / f"k{i}.png", cel(4 + 8 * i, 8))
    names = [path.name for path in interpolate(tmp_path / "cut", tmp_path / "out").paths]
    assert names == ["k0+0of1.png", "k0+1of1.png", "k1+0of0.png"]


def test_layers_and_keys_of_mixed_kinds(tmp_path):
    ground, moving = tmp_path / "cut" / "A", tmp_path / "cut" / "B"
    for folder in (ground, moving):
        folder.mkdir(parents=True)
    for i, pixels in enumerate((GROUND[:, :, 0], GROUND[:, :, :3])):
        image.write(ground / f"k{i}.png", pixels)
        image.write(moving / f"k{i}.png", cel(4 + 8 * i, 8) * np.uint16(257) if i else cel(4, 8))
    out = tmp_path / "out"
    drawings = [image.read(path) for path in interpolate(tmp_path / "cut", out).paths]
    assert {(drawing.shape, drawing.dtype) for drawing in drawings} == {((40, 56, 4), np.dtype(np.uint16))}
    assert drawings[0][0, 0].tolist() == [257 * 90] * 3 + [65535]
    assert drawings[2][0, 0].tolist() == (257 * GROUND[0, 0].astype(int)).tolist()
    np.testing.assert_array_equal(drawings[2][8:24, 12:28, :3], TEXTURE * np.uint16(257))
    assert image.read(out / "layers" / "A" / "k0+1of1.png").shape == (40, 56, 3)
    image.write(moving / "k1.png", GROUND[:20])
    with pytest.raises(InputError, match=r"k1\.png is 56×20 pixels and .*k0\.png 56×40; bring all layers to one size"):
        interpolate(tmp_path / "cut", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_one_document_of_groups(tmp_path):
    psd_tools = pytest.importorskip("psd_tools")
    from PIL import Image

    psd = psd_tools.PSDImage.new("RGB", (56, 40))
    for name, x in (("A", 4), ("B", 30)):
        group = psd.create_group(name=name)
        for i in range(2):
            group.append(psd.create_pixel_layer(Image.fromarray(cel(x, 4 + 8 * i)), name=f"{i + 1}/2"))
    psd.save(tmp_path / "cut.psd")
    with layered_keys.opened([tmp_path / "cut.psd"]) as cut:
        assert cut.keys == ["1/2", "2/2"]
        assert [one.name for one in cut.cels] == ["A", "B"]
        np.testing.assert_array_equal(image.read(cut.cels[1].paths["2/2"]), cel(30, 12))
    names = [path.name for path in interpolate(tmp_path / "cut.psd", tmp_path / "out").paths]
    assert names == ["1_2+0of1.png", "1_2+1of1.png", "2_2+0of0.png"]


def test_keys_of_groups_may_bear_the_name_of_their_group(tmp_path, capsys):
    psd_tools = pytest.importorskip("psd_tools")
    psd = psd_tools.PSDImage.new("RGB", (56, 40))
    for name, opacity in (("A", 255), ("B", 51)):
        group = psd.create_group(name=name)
        for i in range(2):
            group.append(psd.create_pixel_layer(Image.fromarray(cel(4, 4)), name=f"{name}{i + 1}", opacity=opacity))
    psd.save(tmp_path / "cut.psd")
    with layered_keys.opened([tmp_path / "cut.psd"]) as cut:
        assert cut.keys == ["1", "2"]
        assert [(one.name, one.opacities) for one in cut.cels] == [("A", {"1": 1, "2": 1}), ("B", {"1": 0.2, "2": 0.2})]
    assert "without the name of their layer: A1 of the layer 'A' is of key 1." in capsys.readouterr().err


def test_what_is_refused(tmp_path, documents):
    with pytest.raises(InputError, match="in no group"), layered_keys.opened([documents / "k0.ora"]):
        pass
    layers.write_ora(documents / "k3.ora", [Layer("fades", cel(0, 0)), Layer("ground", GROUND)])
    with pytest.raises(InputError, match="another order"), layered_keys.opened([documents]):
        pass
    layers.write_ora(documents / "k3.ora", [Layer("ground", GROUND[:20])])
    with pytest.raises(InputError, match="one size"), layered_keys.opened([documents]):
        pass
    layers.write_ora(tmp_path / "small.ora", [Layer("ground", GROUND[:15])])
    with pytest.raises(InputError, match=r"small\.ora is 56×15 pixels"), layered_keys.opened([tmp_path / "small.ora"]):
        pass
    image.write(tmp_path / "k4.png", GROUND)
    with pytest.raises(InputError, match="no layers"), layered_keys.opened([documents / "k0.ora", tmp_path / "k4.png"]):
        pass
    assert not layered_keys.is_layered([tmp_path / "k4.png", tmp_path / "k4.png"])


def test_documents_beside_a_picture_are_named(tmp_path, documents):
    image.write(documents / "a.png", GROUND)
    assert not layered_keys.is_layered([documents])
    with pytest.raises(InputError, match=r"or documents \(k0\.ora, k1\.ora, k2\.ora\) and no picture beside them"):
        key_drawings.find_keys([documents])


@pytest.mark.parametrize(
    ("kind", "says"), [("folders", "move it to the folder of a layer"), ("documents", "documents take no hints")]
)
def test_hints_beside_layers_are_reported(tmp_path, documents, capsys, kind, says):
    source = documents if kind == "documents" else write_cut(tmp_path / "cut", {"A": ()})
    (source / "hints.json").write_text("{}")
    with layered_keys.opened([source]):
        assert f"{source / 'hints.json'} is not read: {says}" in capsys.readouterr().err


def write_cut(folder: Path, tags: dict[str, tuple[png.Chunk, ...]], keys: int = 2) -> Path:
    """A folder of layers that move, with the tags of each."""
    for i, (name, of_layer) in enumerate(tags.items()):
        (folder / name).mkdir(parents=True)
        for k in range(keys):
            formats.write(folder / name / f"k{k}.png", cel(4 + 16 * i, 4 + 6 * k), of_layer)
    return folder


@pytest.mark.parametrize("suffix", [".png", ".ora"])
def test_composites_and_preview_have_the_colours_of_the_rearmost_layer(tmp_path, capsys, suffix):
    resolution = png.resolution_chunk(5000, 5000)
    assert resolution
    tags = (png.icc_chunk(icc.of_gamma(1.8)), resolution)
    cut = write_cut(tmp_path / "cut", {"A": tags, "B": ()})
    result = interpolate(cut, tmp_path / "out", suffix, preview=tmp_path / "all.webp")
    assert "in the colours of k0 of the layer 'A'; layers have others: B." in capsys.readouterr().err
    for path in result.paths:
        if suffix == ".png":
            assert formats.read(path).tags == tags
        else:
            assert [layer.tags for layer in layers.read(path).layers] == [tags, ()]
    with Image.open(tmp_path / "all.webp") as animation:
        assert animation.info["icc_profile"] == icc.of_gamma(1.8)


def test_composites_are_written_anew_in_other_colours(tmp_path, capsys):
    cut, out = write_cut(tmp_path / "cut", {"A": ()}), tmp_path / "out"
    (drawn, *_) = interpolate(cut, out).paths
    gamma = (png.icc_chunk(icc.of_gamma(1.8)),)
    for path in cut.rglob("k0.png"):
        formats.write(path, image.read(path), gamma)
    interpolate(cut, out)
    assert formats.read(drawn).tags == gamma


def test_colours_of_documents_are_kept(tmp_path, capsys):
    gamma = (png.icc_chunk(icc.of_gamma(1.8)),)
    (tmp_path / "keys").mkdir()
    for i in range(2):
        layers.write_ora(tmp_path / "keys" / f"k{i}.ora", [Layer("A", cel(4 + 8 * i, 4), tags=gamma)])
    interpolate(tmp_path / "keys", tmp_path / "out")
    assert all(formats.read(path).tags == gamma for path in (tmp_path / "out").rglob("*.png"))
    assert "colours" not in capsys.readouterr().err


def test_drawings_of_a_layer_that_is_gone_are_removed(tmp_path, capsys):
    cut, out = write_cut(tmp_path / "cut", {"A": (), "B": (), "C": ()}), tmp_path / "out"
    interpolate(cut, out)
    (out / "layers" / "mine").mkdir()
    image.write(out / "layers" / "mine" / "k0.png", GROUND)
    changed = out / "layers" / "C" / "k0+1of1.png"
    image.write(changed, GROUND)
    for layer in "BC":
        shutil.rmtree(cut / layer)
    interpolate(cut, out)
    assert sorted(path.name for path in (out / "layers").iterdir()) == ["A", "C", "mine"]
    assert [path.name for path in (out / "layers" / "C").glob("*.png")] == [changed.name]
    assert f"{changed} is no longer requested; kept" in capsys.readouterr().err


def test_hints_before_a_key_that_lacks_the_layer_are_reported(tmp_path, capsys):
    cut = write_cut(tmp_path / "cut", {"A": (), "B": ()}, keys=4)
    (cut / "B" / "k2.png").unlink()
    hints = [{"key": key, "from": [28, 12], "to": [28, 18]} for key in ("k0", "k1")]
    (cut / "B" / "hints.json").write_text(json.dumps({"hints": hints}))
    interpolate(cut, tmp_path / "out")
    said = capsys.readouterr().err
    assert f"{cut}/B/hints.json: the next key lacks the layer, so hints of k1 are not used." in said


def test_hints_of_a_layer_that_are_refused_are_named_by_their_file(tmp_path):
    cut = write_cut(tmp_path / "cut", {"A": (), "B": ()})
    (cut / "B" / "hints.json").write_text('{"hints": [{"from": [99, 10], "to": [10, 10]}]}')
    with pytest.raises(InputError, match=r"B/hints\.json, hints of k0: Hint 1 begins at 99,10, outside"):
        interpolate(cut, tmp_path / "out")


def drawings_of(out: Path, layer: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "layers" / layer).glob("*.png"))}


def correct(out: Path, cut: Path, layer: str, name: str) -> None:
    shutil.copy(out / "layers" / layer / name, cut / layer)


@pytest.mark.parametrize("ease", ["none", "in"])
def test_a_correction_concerns_its_own_layer_alone(tmp_path, capsys, ease):
    cut, out = write_cut(tmp_path / "cut", {"A": (), "B": ()}), tmp_path / "out"
    interpolate(cut, out, between="3", ease=ease)
    before = drawings_of(out, "B")
    correct(out, cut, "A", "k0+2of3.png")
    capsys.readouterr()
    result = interpolate(cut, out, between="3", ease=ease)
    said = capsys.readouterr().err
    assert "The layer 'B'" not in said
    names = [*(f"k0+0of3+{i}of3.png" for i in range(4)), *(f"k0+2of3+{i}of3.png" for i in range(4)), "k1+0of0.png"]
    assert [path.name for path in result.paths] == names
    after = drawings_of(out, "B")
    assert list(after) == names
    assert len({*after.values()}) == len(names)  # it moves all the time
    assert after["k0+2of3+0of3.png"] == before["k0+2of3.png"]
    if ease == "none":
        assert "layers/B" not in said  # none is removed
        assert set(before.values()) < set(after.values())
        assert result.drawn == 6 + 4
    for path in result.paths:
        alone = image.read(out / "layers" / "B" / path.name)
        np.testing.assert_array_equal(image.read(path)[:, 26:, 3], alone[:, 26:, 3])  # where A is not
    assert interpolate(cut, out, between="3", ease=ease).drawn == 0


def test_layers_may_be_corrected_one_after_another(tmp_path):
    cut, out = write_cut(tmp_path / "cut", {"A": (), "B": (), "C": ()}), tmp_path / "out"
    interpolate(cut, out, between="3")
    whole = drawings_of(out, "B")
    correct(out, cut, "A", "k0+2of3.png")
    interpolate(cut, out, between="3")
    correct(out, cut, "C", "k0+2of3+2of3.png")
    names = [path.name for path in interpolate(cut, out, between="3").paths]
    assert len(names) == 13
    for layer in "ABC":
        drawn = drawings_of(out, layer)
        assert list(drawn) == names
        assert len({*drawn.values()}) == len(names)
    assert drawings_of(out, "B")["k0+2of3+0of3+0of3.png"] == whole["k0+2of3.png"]
    correct(out, cut, "B", "k0+2of3+0of3+0of3.png")  # at the correction of A
    assert [path.name for path in interpolate(cut, out, between="3").paths] == names


def test_a_layer_is_held_through_corrections_of_others(tmp_path, capsys):
    cut, out = write_cut(tmp_path / "cut", {"A": (), "B": ()}, keys=3), tmp_path / "out"
    (cut / "B" / "k1.png").unlink()
    interpolate(cut, out)
    for key in ("k0", "k1"):
        correct(out, cut, "A", f"{key}+1of1.png")
    correct(out, cut, "A", "k2+0of0.png")
    (cut / "A" / "k2+0of0.png").rename(cut / "A" / "k2+fixed.png")  # after the last key
    capsys.readouterr()
    result = interpolate(cut, out)
    assert "The layer 'B' is not in k1, k1+1of1; it is not shown there" in capsys.readouterr().err
    shown = [path.name for path in result.paths if image.read(path)[:, 26:, 3].any()]
    first = ["k0+0of1+0of1.png", "k0+0of1+1of1.png", "k0+1of1+0of1.png", "k0+1of1+1of1.png"]
    assert shown == [*first, "k2+0of1.png", "k2+1of1.png", "k2+fixed+0of0.png"]
    assert sorted(drawings_of(out, "B")) == ["k0+0of1+0of0.png", "k2+0of0.png"]


def test_a_correction_in_the_gap_that_closes_a_loop(tmp_path):
    cut, out = write_cut(tmp_path / "cut", {"A": (), "B": ()}), tmp_path / "out"
    interpolate(cut, out, is_loop=True)
    before = drawings_of(out, "B")
    correct(out, cut, "A", "k1+1of1.png")
    names = [path.name for path in interpolate(cut, out, is_loop=True).paths]
    after = drawings_of(out, "B")
    assert list(after) == names
    assert after["k1+1of1+0of1.png"] == before["k1+1of1.png"]


def test_opacity_changes_evenly_through_a_correction_of_another_layer(tmp_path):
    keys, ground = tmp_path / "keys", Layer("ground", GROUND)
    keys.mkdir()
    for i in range(2):
        layers.write_ora(keys / f"k{i}.ora", [ground, Layer("fades", cel(4, 4), 1 - 0.8 * i)])
    layers.write_ora(keys / "k0+1of3.ora", [ground])
    result = interpolate(keys, tmp_path / "out", suffix=".ora", between="1")
    drawn = {path.stem: layers.read(path).layers[1].opacity for path in result.paths}
    assert drawn == pytest.approx(
        {"k0+0of3+0of1": 1, "k0+0of3+1of1": 0.9, "k0+1of3+0of1": 0.8, "k0+1of3+1of1": 0.5, "k1+0of0": 0.2}
    )


def test_keys_that_bear_the_name_of_their_layer_match_beside_corrections(tmp_path, capsys):
    cut, out = write_cut(tmp_path / "cut", {"A": (), "B": ()}), tmp_path / "out"
    for path in cut.rglob("k*.png"):
        path.rename(path.with_name(path.parent.name + path.name[1:]))
    interpolate(cut, out)
    for layer in "AB":
        correct(out, cut, layer, "0+1of1.png")
    capsys.readouterr()
    names = ["0+0of1+0of1.png", "0+0of1+1of1.png", "0+1of1+0of1.png", "0+1of1+1of1.png", "1+0of0.png"]
    assert [path.name for path in interpolate(cut, out).paths] == names
    assert "without the name of their layer: A0 of the layer 'A' is of key 0." in capsys.readouterr().err
