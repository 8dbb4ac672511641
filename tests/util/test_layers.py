"""Documents of layers: what is read of them, how layers lie over one another, what is refused."""

import contextlib
import functools
import importlib.util
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from _util import icc, image, layers, png
from _util.errors import InputError
from _util.layers import Layer

RANDOM = np.random.default_rng(0)


def noise(dtype=np.uint8) -> np.ndarray:
    return RANDOM.integers(0, np.iinfo(dtype).max, (12, 20, 4), dtype, endpoint=True)


def write_stack(path: Path, stack: str, **pictures: np.ndarray) -> None:
    """An OpenRaster file of 20×12 pixels."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "image/openraster")
        archive.writestr("stack.xml", f'<image w="20" h="12"><stack>{stack}</stack></image>')
        for name, pixels in pictures.items():
            image.write(path.with_name("layer.png"), pixels)
            archive.write(path.with_name("layer.png"), f"data/{name}.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_written_and_read(tmp_path, dtype):
    path = tmp_path / "a.ora"
    stack = [Layer("ground & <sky>", noise(dtype)), Layer('"cel"', noise(dtype), 0.5)]
    layers.write_ora(path, stack)
    document = layers.read(path)
    assert document.size == (12, 20)
    assert [(layer.name, layer.opacity) for layer in document.layers] == [("ground & <sky>", 1), ('"cel"', 0.5)]
    for written, read in zip(stack, document.layers, strict=True):
        np.testing.assert_array_equal(written.pixels, read.pixels)
    with zipfile.ZipFile(path) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert {"stack.xml", "mergedimage.png", "Thumbnails/thumbnail.png"} <= set(archive.namelist())
    before = path.read_bytes()
    layers.write_ora(path, stack)
    assert path.read_bytes() == before


def test_composites_are_pillows():
    stack = [Layer(f"{i}", noise()) for i in range(3)]
    expected = Image.fromarray(stack[0].pixels)
    for layer in stack[1:]:
        expected = Image.alpha_composite(expected, Image.fromarray(layer.pixels))
    drawn, expected = layers.composite(stack).astype(int), np.asarray(expected).astype(int)
    np.testing.assert_allclose(drawn[:, :, 3], expected[:, :, 3], atol=2)
    is_seen = expected[:, :, 3] > 100
    np.testing.assert_allclose(drawn[is_seen], expected[is_seen], atol=3)


def test_offsets_hidden_layers_and_groups(tmp_path):
    pixels = noise()
    write_stack(
        tmp_path / "a.ora",
        '<layer name="top" src="data/a.png" x="-3" y="5"/>'
        '<layer name="hidden" src="data/missing.png" visibility="hidden"/>'
        '<stack name="group" opacity="0.5"><layer src="data/a.png"/><layer src="data/b.png"/></stack>',
        a=pixels,
        b=pixels[::-1],
    )
    group, top = layers.read(tmp_path / "a.ora").layers
    assert (group.name, group.opacity, top.name) == ("group", 0.5, "top")
    np.testing.assert_array_equal(top.pixels[5:, :17], pixels[:7, 3:])
    assert not top.pixels[:5].any()
    assert not top.pixels[:, 17:].any()
    back, front = Layer("", np.ascontiguousarray(pixels[::-1])), Layer("", pixels)
    np.testing.assert_array_equal(group.pixels, layers.composite([back, front]))


@pytest.mark.parametrize(
    ("stack", "says"),
    [
        ('<layer name="shade" src="data/a.png" composite-op="svg:multiply"/>', "multiply"),
        ('<layer name="a" src="data/a.png"/><layer name="a" src="data/a.png"/>', "two layers named"),
        ('<layer name="a" src="data/b.png"/>', "damaged"),
        ('<layer name="a" src="data/a.png" opacity="2"/>', "opacity"),
        ('<text name="a"/>', "<text>"),
        ('<layer name="a" src="data/a.png" visibility="hidden"/>', "no visible layers"),
        ("<layer", "damaged"),
    ],
)
def test_what_is_refused(tmp_path, stack, says):
    write_stack(tmp_path / "a.ora", stack, a=noise())
    with pytest.raises(InputError, match=says):
        layers.read(tmp_path / "a.ora")


def test_a_damaged_layer_is_named_with_its_document(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.ora", "w") as archive:
        archive.writestr("stack.xml", '<image w="20" h="20"><stack><layer name="a" src="data/a.png"/></stack></image>')
        archive.writestr("data/a.png", png.SIGNATURE + b"damaged")
    with pytest.raises(InputError, match=rf"^{re.escape(str(tmp_path))}/a\.ora: data/a\.png is"):
        layers.read(tmp_path / "a.ora")
    with zipfile.ZipFile(tmp_path / "a.ora", "w") as archive:
        archive.writestr("stack.xml", "<foo/>")
    with pytest.raises(InputError, match=r"a\.ora has a stack\.xml that begins with <foo>, not <image>"):
        layers.read(tmp_path / "a.ora")


@pytest.mark.parametrize("suffix", ["ora", "psd"])
def test_files_that_are_none(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(InputError, match="no file"):
        layers.read(path)
    path.write_bytes(b"8BPS" + bytes(40))
    with pytest.raises(InputError, match="damaged"):
        layers.read(path)


def test_without_psd_tools_it_says_how_to_install_them(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "psd_tools" else found(name))
    with pytest.raises(InputError, match="This needs psd_tools, which is not installed: run make/setup layers"):
        layers.read(tmp_path / "drawing.psd")


def test_photoshop_documents(tmp_path):
    psd_tools = pytest.importorskip("psd_tools")
    back, front = noise(), noise()
    back[:, :, 3] = 255
    psd = psd_tools.PSDImage.new("RGB", (20, 12))
    psd.create_pixel_layer(Image.fromarray(back), name="back")
    psd.create_pixel_layer(Image.fromarray(front[:8, :9]), name="front", top=6, left=-2, opacity=128)
    psd.create_pixel_layer(Image.fromarray(front), name="off").visible = False
    psd.save(tmp_path / "a.psd")
    document = layers.read(tmp_path / "a.psd")
    assert document.size == (12, 20)
    assert [(layer.name, layer.opacity) for layer in document.layers] == [("back", 1), ("front", 128 / 255)]
    np.testing.assert_array_equal(document.layers[0].pixels, back)
    np.testing.assert_array_equal(document.layers[1].pixels[6:, :7], front[:6, 2:9])
    psd[0].blend_mode = psd_tools.constants.BlendMode.MULTIPLY
    psd.save(tmp_path / "b.psd")
    with pytest.raises(InputError, match="multiply"):
        layers.read(tmp_path / "b.psd")
    psd_tools.PSDImage.new("CMYK", (20, 12)).save(tmp_path / "c.psd")
    with pytest.raises(InputError, match="CMYK"):
        layers.read(tmp_path / "c.psd")


def photoshop_document(**options) -> Any:
    """A Photoshop document of 20×12 pixels with one layer, and that layer."""
    psd_tools = pytest.importorskip("psd_tools")
    psd = psd_tools.PSDImage.new("RGB", (20, 12))
    return psd, psd.create_pixel_layer(Image.fromarray(noise()), name="cel", **options)


def test_fill_opacity_is_opacity(tmp_path):
    psd, cel = photoshop_document(opacity=128)
    cel.fill_opacity = 64
    psd.save(tmp_path / "a.psd")
    (layer,) = layers.read(tmp_path / "a.psd").layers
    assert layer.opacity == pytest.approx(128 / 255 * 64 / 255)


def add_vector_mask(cel: Any) -> None:
    from psd_tools.constants import Tag
    from psd_tools.psd.vector import Path as VectorPath

    cel.tagged_blocks.set_data(Tag.VECTOR_MASK_SETTING1, 3, 0, VectorPath([]))


def make_shape_without_pixels(cel: Any) -> None:
    add_vector_mask(cel)
    cel._record.flags.pixel_data_irrelevant = True
    for information, channel in zip(cel._record.channel_info, cel._channels, strict=True):
        information.length, channel.data = 2, b""


def soften_mask(cel: Any, **parameters: float) -> None:
    from psd_tools.psd.layer_and_mask import MaskParameters

    cel.mask.data.parameters = MaskParameters(**parameters)
    cel.mask.data.flags.parameters_applied = True


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (add_vector_mask, "'cel' has a vector mask"),
        (make_shape_without_pixels, "'cel' has a shape without pixels"),
        (functools.partial(soften_mask, user_mask_density=100), "'cel' has a mask with density or feather"),
        (functools.partial(soften_mask, user_mask_feather=2.5), "'cel' has a mask with density or feather"),
        (functools.partial(soften_mask, user_mask_density=255, user_mask_feather=0.0), None),
    ],
)
def test_vectors_and_soft_masks_are_refused(tmp_path, change, says):
    psd, cel = photoshop_document()
    change(cel)
    psd.save(tmp_path / "a.psd")
    with pytest.raises(InputError, match=says) if says else contextlib.nullcontext():
        layers.read(tmp_path / "a.psd")


def test_profile_and_resolution_of_a_photoshop_document(tmp_path):
    psd, _ = photoshop_document()
    from psd_tools.constants import Resource
    from psd_tools.psd.image_resources import ImageResource, ResoulutionInfo

    profile, inches = icc.of_gamma(1.8), ResoulutionInfo(300 << 16, 1, 1, 150 << 16, 1, 1)
    for kind, content in ((Resource.ICC_PROFILE, profile), (Resource.RESOLUTION_INFO, inches)):
        psd.image_resources[kind] = ImageResource(key=kind.value, data=content)
    psd.save(tmp_path / "a.psd")
    (layer,) = layers.read(tmp_path / "a.psd").layers
    assert png.icc_profile(layer.tags) == profile
    assert png.dots_per_inch(layer.tags) == pytest.approx((300, 150), abs=0.02)


def test_openraster_keeps_profiles(tmp_path):
    tags = (png.icc_chunk(icc.of_gamma(1.8)),)
    layers.write_ora(tmp_path / "a.ora", [Layer("ground", noise(), tags=tags), Layer("cel", noise())])
    assert [layer.tags for layer in layers.read(tmp_path / "a.ora").layers] == [tags, ()]
    with zipfile.ZipFile(tmp_path / "a.ora") as archive:
        assert png.read(archive.read("mergedimage.png")) == tags
