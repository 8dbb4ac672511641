"""Files of every kind come in as what they show, and results carry what they said of themselves."""

import io
import struct
import zlib
from collections import Counter
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, features

from _train.frame_interpolation import pairs
from _util import exr, formats, icc, image, png
from _util.drawings import Drawings
from _util.errors import InputError
from _util.pixels import PixelType, encoded, upright
from _util.video import Reader

OpenEXR = pytest.importorskip("OpenEXR")

H, W = 40, 48
NOISE = np.random.default_rng(0).random((8, 10, 4))
SMOOTH = cv2.resize(NOISE, (W, H), interpolation=cv2.INTER_LINEAR)
RGBA = (255 * SMOOTH).round().astype(np.uint8)
RGB, GREY = RGBA[:, :, :3], RGBA[:, :, 0]
SIMPLE = {"flow": "dis", "synthesis": "splat", "device": "cpu"}
OLD_PILLOW = pytest.mark.skipif(features.version("pil") < "12.1", reason="Pillow reads it as black")
PROFILE = icc.of_gamma(1.8, (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06))


def shifted(pixels: np.ndarray) -> np.ndarray:
    return np.roll(pixels, 2, 1)


def draw_between(paths, out, **options):
    return pairs.interpolate_files(*paths, out, **{"fps": 2, **SIMPLE, **options})


def save_exr(path, pixels: np.ndarray, **header) -> None:
    name = "Y" if pixels.ndim == 2 else "RGBA"[: pixels.shape[2]]
    with OpenEXR.File({"type": OpenEXR.scanlineimage, **header}, {name: np.ascontiguousarray(pixels)}) as file:
        file.write(str(path))


@pytest.mark.parametrize("suffix", [".bmp", ".tga", ".webp", ".avif", ".jp2", ".jpg", ".gif", ".ppm", ".tif"])
def test_kinds_of_pillow(tmp_path, suffix):
    options = {
        ".webp": {"lossless": True},
        ".jpg": {"quality": 98, "subsampling": 0},
        ".avif": {"quality": 98, "subsampling": "4:4:4"},
    }
    Image.fromarray(RGB).save(tmp_path / f"a{suffix}", **options.get(suffix, {}))
    read = formats.read(tmp_path / f"a{suffix}")
    assert read.suffix == ".png"
    assert np.abs(read.pixels.astype(int) - RGB).mean() < (8 if suffix == ".gif" else 2)
    assert image.read(tmp_path / f"a{suffix}").dtype == np.uint8


@pytest.mark.parametrize("bits", [pytest.param(1, marks=OLD_PILLOW), 2, 4, 8, 16])
def test_a_grey_that_png_declares_transparent(tmp_path, bits):
    levels = np.random.default_rng(0).integers(0, 2**bits, (16, 16))
    binary = (levels[:, :, None] >> np.arange(bits)[::-1] & 1).astype(np.uint8)
    rows = np.packbits(binary.reshape(16, -1), axis=1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 16, 16, bits, 0, 0, 0, 0)),
        (b"tRNS", struct.pack(">H", levels[0, 0])),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))),
        (b"IEND", b""),
    )
    written = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    (tmp_path / "a.png").write_bytes(png.SIGNATURE + b"".join(written))
    pixels = formats.read(tmp_path / "a.png").pixels
    top = 65535 if bits == 16 else 255
    np.testing.assert_array_equal(pixels[:, :, :3], np.dstack([levels * (top // (2**bits - 1))] * 3))
    np.testing.assert_array_equal(pixels[:, :, 3], np.where(levels == levels[0, 0], 0, top))


@pytest.mark.parametrize("suffix", [".tga", ".avif", ".webp", ".jp2"])
def test_alpha_of_kinds_of_pillow(tmp_path, suffix):
    Image.fromarray(RGBA).save(tmp_path / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    assert np.abs(formats.read(tmp_path / f"a{suffix}").pixels[:, :, 3].astype(int) - RGBA[:, :, 3]).mean() < 3


@pytest.mark.parametrize(("bits", "alpha", "channels"), [(0, 0, 3), (0, 9, 4), (8, 0, 4)])
def test_a_byte_of_tga_that_is_unused_is_no_alpha(tmp_path, bits, alpha, channels):
    pixels = np.dstack([RGB, np.full(RGB.shape[:2], alpha, np.uint8)])
    Image.fromarray(pixels).save(tmp_path / "a.tga")
    data = bytearray((tmp_path / "a.tga").read_bytes())
    data[17] = data[17] & ~15 | bits
    (tmp_path / "a.tga").write_bytes(data)
    np.testing.assert_array_equal(formats.read(tmp_path / "a.tga").pixels, pixels[:, :, :channels])
    assert Drawings(tmp_path, Fraction(24)).metadata.alpha == (channels == 4)


@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_jpeg_2000_of_16_bits(tmp_path, pixels):
    deep = pixels * np.uint16(257) + np.uint16(1)
    cv2.imwrite(
        str(tmp_path / "a.jp2"),
        deep[..., ::-1] if deep.ndim == 3 else deep,
        [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000],
    )
    read = formats.read(tmp_path / "a.jp2").pixels
    assert read.dtype == np.uint16
    assert np.abs(read.astype(int) - deep).mean() < 300


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [None, 3, 4])
def test_floating_tiff_stays_floating(tmp_path, dtype, channels):
    pixels = (SMOOTH[:, :, :channels] if channels else SMOOTH[:, :, 0]).astype(dtype)
    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for path, frame in zip(paths, (pixels, shifted(pixels)), strict=True):
        options = {"photometric": "rgb", "extrasamples": ["unassalpha"] if channels == 4 else []} if channels else {}
        tifffile.imwrite(path, frame, iccprofile=PROFILE, resolution=(72, 36), resolutionunit="INCH", **options)
    written = draw_between(paths, tmp_path / "out")
    assert [path.name for path in written] == ["02_00.tif", "02_01.tif", "02_02.tif"]
    kept = np.float32 if dtype == np.float16 else dtype
    for path, frame in zip(written, (pixels, None, shifted(pixels)), strict=True):
        read = formats.read(path)
        assert (read.pixels.dtype, read.pixels.shape) == (kept, pixels.shape)
        if frame is not None:
            np.testing.assert_array_equal(read.pixels, frame)
        assert png.dots_per_inch(read.tags) == pytest.approx((72, 36), rel=1e-3)
        assert png.icc_profile(read.tags) == (PROFILE if channels else None)
    assert image.read(written[0]).dtype == np.uint16


DEEP = RGBA * np.uint16(257)
PREMULTIPLIED = np.dstack([(DEEP[:, :, :3] * (DEEP[:, :, 3:] / 65535)).round().astype(np.uint16), DEEP[:, :, 3]])
_RGBA_OF_TIFF = {"photometric": "rgb", "extrasamples": ["unassalpha"]}


@pytest.mark.parametrize(
    ("stored", "options", "shown"),
    [
        (np.moveaxis(DEEP, 2, 0), {**_RGBA_OF_TIFF, "planarconfig": "separate", "compression": "zlib"}, DEEP),
        (np.moveaxis(DEEP, 2, 0), {**_RGBA_OF_TIFF, "planarconfig": "separate"}, DEEP),
        (PREMULTIPLIED, {"photometric": "rgb", "extrasamples": ["assocalpha"]}, DEEP),
        (65535 - DEEP[:, :, 0], {"photometric": "miniswhite"}, DEEP[:, :, 0]),
        (DEEP[:, :, [0, 3]], {"photometric": "minisblack", "extrasamples": ["unassalpha"]}, DEEP[:, :, [0, 0, 0, 3]]),
        (RGBA, {"photometric": "rgb", "extrasamples": ["unspecified"]}, RGBA),
        (
            np.moveaxis(SMOOTH[:, :, :3].astype(np.float32), 2, 0),
            {"photometric": "rgb", "planarconfig": "separate"},
            SMOOTH[:, :, :3].astype(np.float32),
        ),
    ],
    ids=[
        *("compressed planes", "planes", "premultiplied", "white is 0", "grey with alpha"),
        *("unspecified alpha", "floating planes"),
    ],
)
def test_tiff_of_every_layout(tmp_path, stored, options, shown):
    tifffile.imwrite(tmp_path / "a.tif", np.ascontiguousarray(stored), **options)
    read = formats.read(tmp_path / "a.tif")
    assert (read.pixels.dtype, read.pixels.shape) == (shown.dtype, shown.shape)
    opaque_enough = SMOOTH[:, :, 3] > 0.1
    difference = np.abs(read.pixels.astype(float) - shown)[opaque_enough].max()
    assert difference <= (10 if options.get("extrasamples") == ["assocalpha"] else 0)
    assert read.suffix == (".tif" if shown.dtype == np.float32 else ".png")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_tiff_of_10_to_14_bits(tmp_path, bits, channels):
    largest = 2**bits - 1
    values = (SMOOTH[:, :, :channels] * largest).round().astype(np.uint16)
    values[0, 0] = largest
    rows = (values.reshape(H, -1, 1) >> np.arange(bits)[::-1]) & 1
    data = np.packbits(rows.reshape(H, -1).astype(np.uint8), axis=1).tobytes()
    tags = [(256, W), (257, H), (258, bits), (259, 1), (262, 1 if channels == 1 else 2), (273, 0), (277, channels)]
    tags += [(278, H), (279, len(data)), *([(338, 2)] if channels == 4 else [])]
    end = 8 + 2 + 12 * len(tags) + 4
    with (tmp_path / "a.tif").open("wb") as file:
        file.write(struct.pack("<4sIH", b"II*\0", 8, len(tags)))
        for tag, value in tags:
            if tag == 258 and channels > 1:
                file.write(struct.pack("<HHII", tag, 3, channels, end))
            else:
                file.write(struct.pack("<HHII", tag, 4, 1, value if tag != 273 else end + 2 * channels))
        file.write(struct.pack(f"<I{channels}H", 0, *[bits] * channels) + data)
    read = formats.read(tmp_path / "a.tif").pixels
    np.testing.assert_array_equal(read, (values * (65535 / largest)).round().reshape(read.shape))
    assert (read.dtype, read.max()) == (np.uint16, 65535)


@pytest.mark.parametrize("damage", ["cut short", "odd tag", "other bytes"])
def test_nothing_but_the_error_is_printed_of_a_damaged_tiff(tmp_path, recwarn, capfd, damage):
    Image.fromarray(RGB).save(tmp_path / "a.tif", compression="tiff_adobe_deflate")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    if damage == "cut short":
        del data[-60:]
    elif damage == "odd tag":
        at = data.index(struct.pack("<HHI", 258, 3, 3))
        data[at + 4 : at + 8] = struct.pack("<I", 2**20)
    else:
        data[8 : len(data) - 400] = bytes(len(data) - 408)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.tif"):
        formats.read(tmp_path / "a.tif")
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("pixels", [DEEP[:, :, 0], SMOOTH[:, :, 0].astype(np.float32)], ids=["16 bits", "floating"])
def test_deep_tiff_is_upright(tmp_path, orientation, compression, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression=compression, tiffinfo={274: orientation})
    np.testing.assert_array_equal(formats.read(tmp_path / "a.tif").pixels, upright(pixels, orientation))


def test_tiff_that_is_not_grey_or_rgb_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="separated")
    with pytest.raises(InputError, match="TIFF file of SEPARATED, uint16 values; export it as grey or RGB"):
        formats.read(tmp_path / "a.tif")


@pytest.mark.parametrize(("kind", "colour"), [(b"P5", GREY), (b"P6", RGB)])
@pytest.mark.parametrize("largest", [255, 1023, 65535])
def test_pnm_of_every_depth(tmp_path, kind, colour, largest):
    values = (colour.astype(np.uint32) * largest // 255).astype(">u2" if largest > 255 else "u1")
    (tmp_path / "a.ppm").write_bytes(b"%s %d %d %d\n" % (kind, W, H, largest) + values.tobytes())
    read = formats.read(tmp_path / "a.ppm").pixels
    full = 65535 if largest > 255 else 255
    np.testing.assert_array_equal(read, (values * (full / largest)).round().astype(np.uint16))
    assert read.dtype == (np.uint16 if largest > 255 else np.uint8)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_jpeg_2000_of_every_depth(tmp_path, bits):
    largest = 2**bits - 1
    values = (SMOOTH[:, :, 0] * largest).round().astype(np.uint8 if bits == 8 else np.uint16)
    name = {8: "gray", 10: "gray10le", 12: "gray12le", 16: "gray16le"}[bits]
    with av.open(tmp_path / "a.j2k", "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("jpeg2000", rate=1, options={"pred": "1", "format": "j2k"})
        stream.width, stream.height, stream.pix_fmt = W, H, name
        container.mux(stream.encode(av.VideoFrame.from_ndarray(values, name)))
        container.mux(stream.encode(None))
    read = formats.read(tmp_path / "a.j2k").pixels
    np.testing.assert_array_equal(read, (values * ((255 if bits == 8 else 65535) / largest)).round())


def test_grey_exr_keeps_alpha(tmp_path):
    grey, alpha = (SMOOTH[:, :, i].astype(np.float16) for i in (0, 3))
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Y": grey, "A": alpha}) as file:
        file.write(str(tmp_path / "a.exr"))
    np.testing.assert_array_equal(formats.read(tmp_path / "a.exr").pixels, np.dstack([grey, grey, grey, alpha]))
    assert exr.survey(tmp_path / "a.exr") == ((H, W), True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("channels", [None, 3, 4])
def test_exr_gives_exr(tmp_path, dtype, channels):
    light = 8 * SMOOTH**3
    light[:, :, :3] -= 0.1
    light[:, :, 3] = SMOOTH[:, :, 3]
    light[:, :, :3] *= light[:, :, 3:] if channels == 4 else 1
    pixels = (light[:, :, :channels] if channels else light[:, :, 0]).astype(dtype)
    paths = [tmp_path / "a.exr", tmp_path / "b.exr"]
    for path, frame in zip(paths, (pixels, shifted(pixels)), strict=True):
        save_exr(path, frame, owner="studio", compression=OpenEXR.PIZ_COMPRESSION)
    written = draw_between(paths, tmp_path / "out", preview=tmp_path / "p.webp")
    for path, frame in zip(written, (pixels, None, shifted(pixels)), strict=True):
        read = formats.read(path)
        assert (path.suffix, read.pixels.dtype, read.pixels.shape) == (".exr", dtype, pixels.shape)
        assert read.header["owner"] == "studio"
        if frame is not None:
            np.testing.assert_array_equal(read.pixels, frame)
    middle = formats.read(written[1]).pixels.astype(float)
    assert np.abs(middle - np.roll(pixels, 1, 1))[4:-4, 4:-4].mean() < 0.15
    assert middle.max() > 2  # brighter than white


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("channels", [None, 3, 4])
def test_the_curve_of_exr_is_undone_bit_by_bit(dtype, channels):
    pixels = np.random.default_rng(0).normal(0, 20, (50, 60, channels or 1)).astype(dtype)
    if channels == 4:
        pixels[:, :, 3] = np.random.default_rng(1).random((50, 60)).round(1)
    pixels = pixels if channels else pixels[:, :, 0]
    np.testing.assert_array_equal(exr.from_display(exr.to_display(pixels), dtype), pixels)


def test_windows_of_exr(tmp_path):
    """What lies in the display window is read; beyond the data it is black."""
    save_exr(
        tmp_path / "a.exr",
        np.ones((10, 20, 3), np.float32),
        dataWindow=(np.int32([-5, 30]), np.int32([14, 39])),
        displayWindow=(np.int32([0, 0]), np.int32([W - 1, H - 1])),
    )
    pixels = formats.read(tmp_path / "a.exr").pixels
    assert pixels.shape == (H, W, 3)
    assert pixels.sum() == 3 * 15 * 10
    assert pixels[30:, :15].all()


def test_what_is_lost_of_exr_is_said_once(tmp_path, capsys):
    channels = {name: np.ones((H, W), np.float16) for name in ("R", "G", "B", "Z", "diffuse.R")} | {
        "A": np.zeros((H, W), np.float16)
    }
    header = {"type": OpenEXR.scanlineimage, "displayWindow": (np.int32([1, 0]), np.int32([W - 1, H - 1]))}
    for name in ("a.exr", "b.exr"):
        with OpenEXR.File(header, channels) as file:
            file.write(str(tmp_path / name))
        formats.read(tmp_path / name)
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path / 'a.exr'} has channels that are left out, Z, diffuse.R.",
        f"{tmp_path / 'a.exr'} has light where its alpha is 0, as of a glow, which frames between lose.",
        f"{tmp_path / 'a.exr'} has pixels outside its display window, which are left out.",
    ]


@pytest.mark.parametrize("compression", ["DWAA", "B44A", "PXR24", "PIZ"])
def test_exr_is_written_without_loss(tmp_path, compression):
    compression = getattr(OpenEXR, f"{compression}_COMPRESSION")
    save_exr(tmp_path / "a.exr", SMOOTH[:, :, :3].astype(np.float32), compression=compression)
    picture = formats.read(tmp_path / "a.exr")
    picture.write(tmp_path / "b.exr")
    np.testing.assert_array_equal(formats.read(tmp_path / "b.exr").pixels, picture.pixels)


def test_exr_as_a_screen_shows_it(tmp_path):
    save_exr(tmp_path / "a.exr", np.float32([[0, 0.2140, 1, 9, -1]]).repeat(20, 0))
    assert (image.read(tmp_path / "a.exr")[0] / 65535).tolist() == pytest.approx([0, 0.5, 1, 1, 0], abs=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_named(tmp_path, value):
    pixels = SMOOTH[:, :, :3].astype(np.float32)
    pixels[7, 9] = value
    save_exr(tmp_path / "a.exr", pixels)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    for name in ("a.exr", "a.tif"):
        with pytest.raises(InputError, match=rf"{name} holds values that are not finite, one at x 9, y 7"):
            formats.read(tmp_path / name)


@pytest.mark.parametrize("channels", [3, 4])
def test_pixels_of_exr_drawings_are_read_once(tmp_path, monkeypatch, channels):
    for i in range(3):
        save_exr(tmp_path / f"{i}.exr", np.full((16, 24, channels), 0.2 * (i + 1), np.float16))
    times, read = Counter(), exr.read
    monkeypatch.setattr(exr, "read", lambda path, most: times.update([path.name]) or read(path, most))
    reader = Reader(tmp_path, keep_alpha=True)
    assert (reader.deep, reader.alpha) == (True, channels == 4)
    assert [frame.pixels.shape for frame in reader] == [(16, 24, channels)] * 3
    assert times == {"0.exr": 2, "1.exr": 1, "2.exr": 1}  # the first, for what all are like, too


def test_other_channels_of_exr_are_named(tmp_path):
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, {"Z": np.ones((H, W), np.float32)}) as file:
        file.write(str(tmp_path / "a.exr"))
    with pytest.raises(InputError, match="holds the channels Z; R, G, B and A, or Y"):
        formats.read(tmp_path / "a.exr")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_animations_are_named(tmp_path, suffix):
    frames = [Image.fromarray(np.roll(RGB, i, 1)) for i in range(3)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="TIFF file of 3 pages" if suffix == ".tif" else "animation of 3 frames"):
        formats.read(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(
    ("beginning", "says"),
    [
        (b"%PDF-1.7\n", "is a PDF file"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "XML or SVG"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypisom", "video, which _scripts.interpolate_video takes"),
        (b"\x1aE\xdf\xa3", "video"),
        (b"\xff\x0a", "JPEG XL"),
        (b"hello", "not an image that can be read"),
        (b"", "is empty; export it again"),
    ],
)
def test_what_is_no_picture_is_named_for_what_it_is(tmp_path, beginning, says):
    (tmp_path / "a.png").write_bytes(beginning)
    with pytest.raises(InputError, match=says):
        formats.read(tmp_path / "a.png")


def test_avif_of_ten_bits_is_named(tmp_path):
    with av.open(tmp_path / "a.avif", "w") as container:
        stream = container.add_stream(av.Codec("av1", "w").name, rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="AVIF file of more than 8 bits"):
        formats.read(tmp_path / "a.avif")


def test_too_many_pixels_are_named(tmp_path):
    header = struct.pack(">IIBBBBB", 2**20, 2**20, 8, 2, 0, 0, 0)
    chunks = [png.Chunk(b"IHDR", header), png.Chunk(b"IDAT", b""), png.Chunk(b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(png.insert(png.SIGNATURE, chunks))
    with pytest.raises(InputError, match="pixels"):
        formats.read(tmp_path / "a.png")


def test_cmyk_goes_by_its_profile_and_leaves_it_behind(tmp_path):
    """A profile of RGB in a file of CMYK is none that works, so colours are converted as if there were none."""
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.tif", icc_profile=PROFILE)
    read = formats.read(tmp_path / "a.tif")
    assert np.abs(read.pixels.astype(int) - RGB).max() <= 1
    assert png.icc_profile(read.tags) in (None, PROFILE)


TAGS = {
    "gAMA": struct.pack(">I", 100_000),
    "cHRM": struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000),
    "sRGB": b"\1",
    "cICP": bytes([9, 16, 0, 1]),
    "pHYs": struct.pack(">IIB", 11811, 5905, 1),
    "iCCP": png.icc_chunk(PROFILE).content,
}


def with_tags(path, pixels: np.ndarray, *names: str) -> None:
    image.write(path, pixels)
    path.write_bytes(png.insert(path.read_bytes(), [png.Chunk(name.encode(), TAGS[name]) for name in names]))


@pytest.mark.parametrize("pixels", [RGB, RGBA, RGB * np.uint16(257)], ids=["rgb", "rgba", "16 bits"])
@pytest.mark.parametrize("names", [["iCCP", "pHYs"], ["gAMA", "cHRM", "pHYs"], ["sRGB", "gAMA"], ["cICP"], []])
def test_tags_go_into_all_frames(tmp_path, pixels, names):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, frame in zip(paths, (pixels, shifted(pixels)), strict=True):
        with_tags(path, frame, *names)
    written = draw_between(paths, tmp_path / "out")
    for path in written:
        assert {chunk.name.decode(): chunk.content for chunk in png.read(path.read_bytes())} == {
            name: TAGS[name] for name in names
        }
        with Image.open(path) as opened:  # another reader
            assert opened.info.get("icc_profile") == (PROFILE if "iCCP" in names else None)
            assert opened.info.get("gamma") == (1 if "gAMA" in names else None)
            opened.load()


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif"])
def test_profiles_and_resolution_of_other_kinds(tmp_path, suffix):
    paths = [tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"]
    for path, frame in zip(paths, (RGB, shifted(RGB)), strict=True):
        Image.fromarray(frame).save(path, icc_profile=PROFILE, dpi=(300, 150))
    for path in draw_between(paths, tmp_path / "out"):
        with Image.open(path) as opened:
            assert opened.info["icc_profile"] == PROFILE
            if suffix != ".webp":  # which has none
                assert opened.info["dpi"] == pytest.approx((300, 150), abs=0.1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("kind", ["rgb in grey", "lab", "garbage"])
def test_a_profile_of_other_colours_is_left_out_with_a_message(tmp_path, capsys, kind, suffix):
    profile = {"rgb in grey": PROFILE, "garbage": 40 * b"none"}.get(kind)
    profile = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    pixels = GREY if kind == "rgb in grey" else RGB
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path, icc_profile=profile)
    assert png.icc_profile(formats.read(path).tags) is None
    colours = "grey" if kind == "rgb in grey" else "RGB"
    assert capsys.readouterr().err == f"{path} has a colour profile that is not one of {colours}: left out.\n"


def test_frames_of_different_colours_are_reported(tmp_path, capsys):
    with_tags(tmp_path / "a.png", RGB, "iCCP")
    with_tags(tmp_path / "b.png", shifted(RGB))
    written = draw_between((tmp_path / "a.png", tmp_path / "b.png"), tmp_path / "out")
    assert "b.png has another colour profile than" in capsys.readouterr().err
    assert [png.icc_profile(formats.read(path).tags) for path in written] == [PROFILE, PROFILE, None]


GREY_PROFILE = icc._assembled(
    PROFILE[:16] + b"GRAY" + PROFILE[20:128],
    {b"wtpt": icc._xyz(icc._D50), b"kTRC": struct.pack(">4s4xIH2x", b"curv", 1, round(256 * 1.8))},
)


def in_srgb(path) -> np.ndarray:
    """The colours of a PNG file as (h, w, 3) in sRGB, by its ICC profile."""
    with Image.open(path) as opened:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(opened.info["icc_profile"]))
        colours = opened.convert("RGB") if opened.mode == "RGBA" else opened
        shown = ImageCms.profileToProfile(colours, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.asarray(shown).astype(int)


@pytest.mark.parametrize("pixels", [RGB, RGBA], ids=["rgb", "rgba"])
def test_a_profile_of_grey_becomes_one_of_rgb(tmp_path, capsys, pixels):
    image.write(tmp_path / "a.png", GREY)
    (tmp_path / "a.png").write_bytes(png.insert((tmp_path / "a.png").read_bytes(), [png.icc_chunk(GREY_PROFILE)]))
    picture = formats.read(tmp_path / "a.png")
    picture.converted(PixelType.of(pixels)).write(tmp_path / "converted.png")
    expected = in_srgb(tmp_path / "a.png")
    assert np.abs(expected - GREY[:, :, None].astype(int)).mean() > 10
    assert np.abs(in_srgb(tmp_path / "converted.png") - expected).max() <= 1
    image.write(tmp_path / "b.png", pixels)
    written = draw_between((tmp_path / "a.png", tmp_path / "b.png"), tmp_path / "out")
    assert "b.png has another colour profile than" in capsys.readouterr().err
    converted = icc.of_grey(GREY_PROFILE)
    assert [png.icc_profile(formats.read(path).tags) for path in written] == [converted, converted, None]


@pytest.mark.parametrize("profile", [b"", GREY_PROFILE[:130], GREY_PROFILE[:140], PROFILE, GREY_PROFILE[:20] * 40])
def test_what_is_no_profile_of_grey_makes_none_of_rgb(profile):
    assert icc.of_grey(profile) is None


def test_turned_pictures_take_their_resolution_with_them(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif, dpi=(300, 150))
    turned = formats.read(tmp_path / "a.jpg")
    assert turned.pixels.shape == (W, H, 3)
    assert png.dots_per_inch(turned.tags) == pytest.approx((150, 300), abs=0.1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_are_upright_as_others_are(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    with_exif = bytes(io.BytesIO((tmp_path / "a.png").read_bytes()).getbuffer())
    at = with_exif.index(b"eXIf") - 4
    length = struct.unpack_from(">I", with_exif, at)[0]
    chunk = png.Chunk(b"eXIf", with_exif[at + 8 : at + 8 + length])
    image.write(tmp_path / "b.png", RGB * np.uint16(257))
    (tmp_path / "b.png").write_bytes(png.insert((tmp_path / "b.png").read_bytes(), [chunk]))
    np.testing.assert_array_equal(image.read(tmp_path / "b.png"), image.read(tmp_path / "a.png") * np.uint16(257))


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("place", [b"IDAT", b"IEND"])
def test_sizes_are_upright_wherever_a_png_states_it(tmp_path, orientation, place):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data, content = encoded(RGB), exif.tobytes().removeprefix(b"Exif\0\0")
    at = data.index(place) - 4
    chunk = struct.pack(">I", len(content)) + b"eXIf" + content + struct.pack(">I", zlib.crc32(b"eXIf" + content))
    (tmp_path / "a.png").write_bytes(data[:at] + chunk + data[at:])
    with formats.opened(tmp_path / "a.png") as opened:
        assert formats.upright_size(opened) == formats.read(tmp_path / "a.png").pixels.shape[:2]
    assert (formats.read(tmp_path / "a.png").pixels.shape == RGB.shape) == (orientation != 6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_with_two_extra_channels_is_refused(tmp_path, dtype):
    values = np.ones((20, 24, 5), dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["UNASSALPHA", "UNSPECIFIED"])
    with pytest.raises(InputError, match="grey and RGB are read, each with alpha or not"):
        formats.read(tmp_path / "a.tif")


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize(("kind", "channels"), [("P2", 1), ("P3", 3)])
def test_pnm_in_text_may_be_one_line(tmp_path, kind, channels, end):
    values = np.arange(20 * 24 * channels).reshape(20, 24, channels).squeeze() % 1024
    (tmp_path / "a.pnm").write_text(f"{kind} 24 20 1023 {' '.join(map(str, values.flat))}{end}")
    np.testing.assert_array_equal(formats.read(tmp_path / "a.pnm").pixels, (values * (65535 / 1023)).round())


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".mp4"])
@pytest.mark.parametrize("names", [["iCCP", "pHYs"], ["gAMA", "cHRM"], []])
def test_previews_show_the_colours(tmp_path, suffix, names):
    """Kept as a profile, or converted: a grey of 55 of linear light is one of 128 in sRGB."""
    grey = np.full((H, W, 3), 55, np.uint8)
    for name in "ab":
        with_tags(tmp_path / f"{name}.png", grey, *names)
    paths = tmp_path / "a.png", tmp_path / "b.png"
    draw_between(paths, tmp_path / "out", preview=tmp_path / f"p{suffix}")
    if suffix == ".mp4":
        with av.open(tmp_path / "p.mp4") as container:
            shown, profile = next(container.decode(video=0)).to_ndarray(format="rgb24").mean(), None
    else:
        with Image.open(tmp_path / f"p{suffix}") as opened:
            profile, shown = opened.info.get("icc_profile"), np.asarray(opened.convert("RGB")).mean()
            if suffix == ".webp" and "pHYs" in names:
                assert opened.getexif()[0x011A] == pytest.approx(300, abs=0.1)
    if suffix == ".webp":
        assert bool(profile) == bool(names)
        assert shown == pytest.approx(55, abs=2)
        if "iCCP" in names:
            assert profile == PROFILE
        elif names:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            picture = Image.fromarray(grey)
            shown = np.asarray(ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"))).mean()
            assert shown == pytest.approx(128, abs=2)
    elif names:
        assert shown == pytest.approx(128 if "gAMA" in names else 69, abs=6)
    else:
        assert shown == pytest.approx(55, abs=4)


def test_a_made_profile_of_srgb_is_near_srgb():
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc.of_gamma(2.2)))
    shown = ImageCms.profileToProfile(Image.fromarray(RGB), source, ImageCms.createProfile("sRGB"))
    assert np.abs(np.asarray(shown).astype(int) - RGB).mean() < 3


def test_primaries_that_span_nothing_make_no_profile():
    line = (0.3127, 0.329, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3)
    with pytest.raises(ValueError, match="line"):
        icc.of_gamma(2.2, line)


@pytest.mark.parametrize(("first", "second"), [("a.png", "b.exr"), ("a.tif", "b.exr"), ("a.png", "b.tif")])
def test_kinds_that_do_not_meet(tmp_path, first, second):
    pixels = SMOOTH[:, :, :3].astype(np.float32)
    image.write(tmp_path / "a.png", RGB)
    save_exr(tmp_path / "b.exr", pixels)
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, pixels, photometric="rgb")
    with pytest.raises(InputError, match="bring them to one kind"):
        draw_between((tmp_path / first, tmp_path / second), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_rates_do_not_mix(tmp_path):
    paths = tmp_path / "a.png", tmp_path / "b.png"
    image.write(paths[0], RGB)
    image.write(paths[1], shifted(RGB))
    draw_between(paths, tmp_path / "out", fps=2)
    draw_between(paths, tmp_path / "out", fps=2)
    before = sorted((tmp_path / "out").iterdir())
    with pytest.raises(InputError, match=r"02_00\.png is of another --fps or kind"):
        draw_between(paths, tmp_path / "out", fps=3)
    assert sorted((tmp_path / "out").iterdir()) == before
