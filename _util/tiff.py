"""TIFF files of 16 bits, of floating-point values, with an extra sample of unspecified meaning, and those that Pillow
refuses; it reads the others."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from _util import png
from _util.errors import InputError
from _util.pixels import decoded, unpremultiply, upright, with_channels
from _util.quiet import without_messages

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF and BigTIFF, little- and big-endian
_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _ICC_PROFILE = 274, 282, 283, 296, 34675
_TAGS = (_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _ICC_PROFILE)
_INCH, _CENTIMETRE = 2, 3  # values of the resolution unit
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2  # of the photometric interpretation
_SEPARATE = 2  # of the planar configuration
_ASSOCIATED = 1  # of the extra samples: premultiplied alpha


def read(path: Path, most_pixels: int) -> tuple[np.ndarray, tuple[png.Chunk, ...]]:
    """The values of a picture, upright, and its tags of colour and resolution.

    An extra sample is alpha, also where the file does not say so. Alpha becomes straight.

    Returns:
        (h, w), (h, w, 3) or (h, w, 4), uint8, uint16, float32 or float64; the tags.

    Raises:
        InputError: the file does not hold a single picture of such a kind.
        Exception: of any kind, if the file is damaged.
    """
    from tifffile import TiffFile

    with without_messages(), TiffFile(path) as file:
        page = file.pages.first
        if page.size > 4 * most_pixels:
            raise InputError(f"{path} has {page.shape} values; up to {most_pixels:,} pixels are read.")
        if len(file.pages) > 1:
            raise InputError(f"{path} is a TIFF file of {len(file.pages)} pages; give two files of one picture each.")
        is_known = page.dtype is not None and (page.dtype.kind == "f" or page.dtype in (np.uint8, np.uint16))
        if not is_known or page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
            kind = getattr(page.photometric, "name", page.photometric)
            raise InputError(
                f"{path} is a TIFF file of {kind}, {page.dtype} values; "
                "export it as grey or RGB, with 8 or 16 bits, or floating."
            )
        tags = {number: tag.value for number in _TAGS if (tag := page.tags.get(number))}
        pixels = _decode(path, page, tags.get(_ORIENTATION, 1))
        colours, extras = (3 if page.photometric == _RGB else 1), page.extrasamples
    if pixels.ndim != 3 or not 0 <= pixels.shape[2] - colours <= 1:
        raise InputError(
            f"{path} is a TIFF file of {pixels.shape} values; grey and RGB are read, each with alpha or not."
        )
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    largest = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}.get(pixels.dtype, 1)
    if page.photometric == _WHITE_IS_ZERO:
        pixels[:, :, 0] = largest - pixels[:, :, 0]
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    elif pixels.shape[2] > colours:
        pixels = np.dstack([with_channels(pixels[:, :, :colours], 3), pixels[:, :, colours:]])
        if extras and extras[0] == _ASSOCIATED:
            pixels = _with_straight_alpha(pixels, largest)
    icc_profile = png.icc_chunk(tags[_ICC_PROFILE]) if _ICC_PROFILE in tags else None
    return pixels, tuple(filter(None, [icc_profile, _resolution(tags)]))


def _decode(path: Path, page: Any, orientation: int) -> np.ndarray:
    """The stored values, upright, (h, w, samples), native and writable."""
    is_planar = page.planarconfig == _SEPARATE and page.samplesperpixel > 1
    if _is_decoded_by_tifffile(page):
        pixels = np.moveaxis(page.asarray(), 0, -1) if is_planar else page.asarray()
        pixels = upright(pixels.astype(pixels.dtype.newbyteorder("="), order="C"), orientation)
    elif is_planar:
        raise InputError(
            f"{path} has its channels in planes of their own, compressed; export it interleaved or as PNG."
        )
    else:
        pixels = decoded(path.read_bytes())  # upright
        if page.bitspersample in (10, 12, 14):  # OpenCV shifts them to 16 bits
            spare = 16 - page.bitspersample
            values = np.right_shift(np.asarray(pixels, np.uint16), spare)
            pixels = (values * (65535 / (65535 >> spare))).round().astype(np.uint16)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _is_decoded_by_tifffile(page: Any) -> bool:
    """Whether tifffile needs no other package, as it does for LZW and for 10, 12 or 14 bits."""
    from tifffile import TIFF

    with contextlib.suppress(KeyError):
        return bool(TIFF.DECOMPRESSORS[page.compression] and TIFF.UNPREDICTORS[page.predictor]) and (
            page.bitspersample % 8 == 0
        )
    return False


def _with_straight_alpha(pixels: np.ndarray, largest: float) -> np.ndarray:
    values = pixels / np.float64(largest)
    unpremultiply(values)
    if largest == 1:
        return values.astype(pixels.dtype)
    return (values.clip(0, 1) * largest).round().astype(pixels.dtype)


def _resolution(tags: dict[int, Any]) -> png.Chunk | None:
    unit = {_INCH: png.dots_per_metre(1), _CENTIMETRE: 100}.get(int(tags.get(_RESOLUTION_UNIT, _INCH)))
    if not unit or _X_RESOLUTION not in tags or _Y_RESOLUTION not in tags:
        return None
    x, y = (tags[tag][0] / tags[tag][1] * unit if tags[tag][1] else 0 for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    return png.resolution_chunk(x, y)


def write(path: Path, pixels: np.ndarray, tags: tuple[png.Chunk, ...]) -> None:
    """Write (h, w), (h, w, 3) or (h, w, 4), float32 or float64, with tags of colour and resolution."""
    from tifffile import imwrite

    options: dict[str, Any] = {"iccprofile": png.icc_profile(tags)}
    if resolution := png.dots_per_inch(tags):
        options |= {"resolution": resolution, "resolutionunit": "INCH"}
    if pixels.ndim == 3:
        options |= {"photometric": "rgb", "extrasamples": ["UNASSALPHA"] if pixels.shape[2] == 4 else []}
    with path.open("wb") as file:
        imwrite(file, pixels, metadata=None, software=False, **options)
