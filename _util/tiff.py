"""TIFF files with floating-point values; Pillow reads those with integers."""

from pathlib import Path
from typing import Any

import numpy as np

from _util import png
from _util.errors import InputError
from _util.pixels import upright

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF and BigTIFF, little- and big-endian
_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _ICC_PROFILE = 274, 282, 283, 296, 34675
_TAGS = (_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _ICC_PROFILE)
_INCH, _CENTIMETRE = 2, 3  # values of the resolution unit


def read(path: Path, most_pixels: int) -> tuple[np.ndarray, tuple[png.Chunk, ...]]:
    """The values of a picture, upright, and its tags of colour and resolution.

    Returns:
        (h, w), (h, w, 3) or (h, w, 4), float32 or float64; the tags.

    Raises:
        InputError: the file does not hold a single picture of such a kind.
        Exception: of any kind, if the file is damaged.
    """
    from tifffile import TiffFile

    with TiffFile(path) as file:
        page = file.pages.first
        if page.size > 4 * most_pixels:
            raise InputError(f"{path} has {page.shape} values; up to {most_pixels:,} pixels are read.")
        if len(file.pages) > 1:
            raise InputError(f"{path} is a TIFF file of {len(file.pages)} pages; give two files of one picture each.")
        if page.dtype is None or page.dtype.kind != "f":
            raise InputError(f"{path} is a TIFF file of {page.dtype} values; export it with 8 or 16 bits, or floating.")
        pixels = page.asarray()
        tags = {number: tag.value for number in _TAGS if (tag := page.tags.get(number))}
        if "C" in page.axes and page.axes.index("C") == 0:
            pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    pixels = upright(pixels, tags.get(_ORIENTATION, 1))
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise InputError(f"{path} is a TIFF file of {pixels.shape} values; grey, RGB and RGBA are read.")
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    icc_profile = png.icc_chunk(tags[_ICC_PROFILE]) if _ICC_PROFILE in tags else None
    return pixels, tuple(filter(None, [icc_profile, _resolution(tags)]))


def _resolution(tags: dict[int, Any]) -> png.Chunk | None:
    unit = {_INCH: png.inches_to_metres(1), _CENTIMETRE: 100}.get(int(tags.get(_RESOLUTION_UNIT, _INCH)))
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
