"""Image files of every kind come in as what they show, and go out whole or not at all."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from _util import image
from _util.errors import InputError

H, W = 24, 20
RGB = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
SMOOTH = cv2.resize(RGB[:4, :4], (W, H), interpolation=cv2.INTER_CUBIC)
ALPHA = np.arange(H * W, dtype=np.uint8).reshape(H, W)
GREY, RGBA = RGB[:, :, 0], np.dstack([RGB, ALPHA])
KINDS = {
    "grey": GREY,
    "rgb": RGB,
    "rgba": RGBA,
    "grey 16": GREY * np.uint16(257) + np.uint16(3),
    "rgb 16": RGB * np.uint16(257) - np.uint16(3) * (RGB > 0),
    "rgba 16": RGBA * np.uint16(257),
}


def png(bits: int, colour_type: int, rows: bytes, width: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file from raw rows, for kinds that libraries do not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, H, bits, colour_type, 0, 0, 0)
    stride = len(rows) // H
    data = b"".join(b"\0" + rows[i * stride : (i + 1) * stride] for i in range(H))
    body = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in body)


@pytest.mark.parametrize("kind", KINDS)
def test_a_written_image_is_read_as_it_was(tmp_path, kind):
    image.write(tmp_path / "a.png", KINDS[kind])
    back = image.read(tmp_path / "a.png")
    assert back.dtype == KINDS[kind].dtype
    np.testing.assert_array_equal(back, KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_keep_every_level(kind):
    tensor = image.to_tensor(KINDS[kind])
    assert tensor.dtype == torch.float32
    assert tensor.shape[1:] == (H, W)
    np.testing.assert_array_equal(image.to_array(tensor, KINDS[kind].dtype), KINDS[kind])


def test_values_are_rounded_and_clamped():
    tensor = torch.tensor([-1, 0.4 / 255, 0.6 / 255, 2]).view(1, 1, 4)
    assert image.to_array(tensor, np.uint8).tolist() == [[0, 0, 1, 255]]


def test_palette(tmp_path):
    picture = Image.fromarray(RGB).quantize(16)
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(image.read(tmp_path / "a.png"), np.array(picture.convert("RGB")))


def test_palette_with_a_transparent_entry(tmp_path):
    picture = Image.fromarray(RGB).quantize(16)
    picture.save(tmp_path / "a.png", transparency=5)
    read = image.read(tmp_path / "a.png")
    np.testing.assert_array_equal(read[:, :, 3] == 0, np.array(picture) == 5)


@pytest.mark.parametrize("hidden", [GREY[2, 3], RGB[2, 3]], ids=["grey", "rgb"])
def test_a_colour_can_stand_for_transparent(tmp_path, hidden):
    pixels = GREY if hidden.ndim == 0 else RGB
    chunk = b"tRNS", struct.pack(f">{hidden.size}H", *np.atleast_1d(hidden).tolist())
    (tmp_path / "a.png").write_bytes(png(8, 0 if hidden.ndim == 0 else 2, pixels.tobytes(), W, chunk))
    read = image.read(tmp_path / "a.png")
    np.testing.assert_array_equal(read[:, :, :3], np.broadcast_to(pixels.reshape(H, W, -1), RGB.shape))
    np.testing.assert_array_equal(read[:, :, 3] == 0, (pixels.reshape(H, W, -1) == hidden).all(2))


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_with_alpha_becomes_rgba(tmp_path, bits):
    dtype, scale = (np.uint8, 1) if bits == 8 else (np.uint16, 257)
    both = np.dstack([GREY, ALPHA]).astype(dtype) * dtype(scale)
    (tmp_path / "a.png").write_bytes(png(bits, 4, both.astype(f">u{bits // 8}").tobytes(), W))
    read = image.read(tmp_path / "a.png")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, both[:, :, [0, 0, 0, 1]])


def test_one_bit_becomes_black_and_white(tmp_path):
    Image.fromarray(GREY > 127).save(tmp_path / "a.png")
    np.testing.assert_array_equal(image.read(tmp_path / "a.png"), np.where(GREY > 127, 255, 0))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_upright(tmp_path, orientation):
    stored = {  # how a camera stores what its user sees
        1: SMOOTH,
        2: SMOOTH[:, ::-1],
        3: SMOOTH[::-1, ::-1],
        4: SMOOTH[::-1],
        5: SMOOTH.swapaxes(0, 1),
        6: np.rot90(SMOOTH),
        7: np.rot90(SMOOTH, 2).swapaxes(0, 1),
        8: np.rot90(SMOOTH, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.jpg", exif=exif, quality=98, subsampling=0)
    read = image.read(tmp_path / "a.jpg")
    assert read.shape == SMOOTH.shape
    assert np.abs(read.astype(int) - SMOOTH).mean() < 4


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_becomes_rgb(tmp_path, suffix):
    Image.fromarray(SMOOTH).convert("CMYK").save(tmp_path / f"a{suffix}")
    read = image.read(tmp_path / f"a{suffix}")
    assert read.shape == SMOOTH.shape
    assert np.abs(read.astype(int) - SMOOTH).mean() < 4


def damage(kind: str, folder):
    path = folder / "a.png"
    if kind == "a folder":
        path.mkdir()
    elif kind == "below a file":
        path.write_bytes(b"")
        path = path / "b.png"
    elif kind == "integers of 32 bits":
        path = folder / "a.tif"
        Image.fromarray(GREY.astype(np.int32)).save(path)
    elif kind != "missing":
        suffix, start, stop = {
            "empty": (".png", 0, 0),
            "text": (".txt", 0, None),
            "cut PNG": (".png", 0, 0.5),
            "cut JPEG": (".jpg", 0, 0.5),
            "cut 16 bits": (".16.png", 0, 0.5),
            "headless": (".png", 8, None),
        }[kind]
        whole = folder / f"whole{suffix}"
        if suffix == ".txt":
            whole.write_text("not an image")
        else:
            cv2.imwrite(str(whole), KINDS["rgb 16"] if ".16" in suffix else RGB)
        data = whole.read_bytes()
        path.write_bytes(data[start : len(data) if stop is None else int(stop * len(data))])
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no image"),
        ("a folder", "is a folder"),
        ("below a file", "cannot be read"),
        ("empty", "is empty; export it again"),
        ("text", "not an image"),
        ("headless", "not an image"),
        ("cut PNG", "truncated"),
        ("cut JPEG", "truncated"),
        ("cut 16 bits", "truncated"),
        ("integers of 32 bits", "int32 values"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, kind, says):
    path = damage(kind, tmp_path)
    with pytest.raises(InputError, match=says) as caught:
        image.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("place", ["none/a.png", "file/a.png", "folder"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=f"{place} cannot be written"):
        image.write(tmp_path / place, GREY)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


@pytest.mark.parametrize("rows", [(0, 1), (0, 0.25), (0.4, 0.7), (0.9, 1)])
@pytest.mark.parametrize("size", [(30, 40), (17, 23), (96, 11)])
def test_rows_of_a_resized_image(size, rows):
    start, stop = (round(row * size[0]) for row in rows)
    values = torch.randn(2, 3, 17, 23)
    whole = torch.nn.functional.interpolate(values, size, mode="bilinear")
    torch.testing.assert_close(image.resize_rows(values, size, start, stop), whole[:, :, start:stop])


def test_logit_is_finite_and_undone():
    values = torch.linspace(0, 1, 256)
    assert image.logit(values).isfinite().all()
    torch.testing.assert_close(image.inverse_logit(image.logit(values)), values, rtol=0, atol=1e-5)
    assert image.inverse_logit(torch.tensor([-9.0, 9.0])).tolist() == [0, 1]
