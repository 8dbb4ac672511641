"""OpenEXR files: scene-linear values of any range, in half or single precision, with premultiplied alpha.

Interpolation works on display-referred values: `to_display` divides by alpha and applies the sRGB curve, extended
beyond 1 and below 0, and `from_display` is its inverse. Both work in double precision, so that values survive the round
trip bit by bit.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from _util import notes
from _util.counts import listed
from _util.errors import InputError
from _util.pixels import colours_of, placed, unpremultiply
from _util.quiet import without_messages

MAGIC = b"\x76\x2f\x31\x01"
_OURS = ("channels", "dataWindow", "displayWindow", "type", "tiles", "chunkCount", "version", "maxSamplesPerPixel")
_LOSSY = ("PXR24", "B44", "B44A", "DWAA", "DWAB", "LJ2K")  # compressions


def read(path: Path, most_pixels: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The values of the first part as they are stored, over its display window, and its header.

    What is left out of it, or is lost in frames between, is printed once to stderr.

    Returns:
        (h, w), (h, w, 3) or (h, w, 4), float16 or float32; the header.

    Raises:
        InputError: the file does not hold such a picture.
        Exception: of any kind, if it is damaged.
    """
    import OpenEXR

    with _readable_name(path) as name, without_messages():
        with OpenEXR.File(name, header_only=True) as file:
            header, parts = dict(file.header()), len(file.parts)
        names = [channel.name for channel in header["channels"]]
        if "deep" in str(header.get("type", "")):
            raise InputError(f"{path} is a deep EXR file; flatten it first.")
        colours = next((found for found in (["R", "G", "B"], ["Y"]) if set(found) <= set(names)), None)
        if colours is None or {"RY", "BY"} & set(names):
            raise InputError(f"{path} holds the channels {', '.join(names)}; R, G, B and A, or Y, are needed.")
        for window in (header["displayWindow"], header["dataWindow"]):
            h, w = _size(window)
            if not (w > 0 and h > 0 and w * h <= most_pixels):
                raise InputError(f"{path} is an EXR file of {w}×{h} pixels; up to {most_pixels:,} are read.")
        with OpenEXR.File(name, separate_channels=True) as file:
            channels = file.channels()
            if "A" in names:
                colours = [*(3 * colours)[:3], "A"]  # grey with alpha becomes RGBA
            kept = [channels[name] for name in colours]
            if any(channel.xSampling != 1 or channel.ySampling != 1 for channel in kept):
                raise InputError(f"{path} holds channels of different sizes; export it with all at full size.")
            pixels = np.stack([np.array(channel.pixels) for channel in kept], 2)
    if pixels.dtype not in (np.float16, np.float32):
        raise InputError(f"{path} holds {pixels.dtype} values; export it with half or single precision.")
    if others := sorted(set(names) - set(colours)):
        notes.print_once(path, f"has channels that are left out, {listed(others)}")
    if parts > 1:
        notes.print_once(path, f"has {parts} parts; all but the first are left out")
    if pixels.shape[2] == 4 and pixels[pixels[:, :, 3] <= 0, :3].any():
        notes.print_once(path, "has light where its alpha is 0, as of a glow, which frames between lose")
    origins = header["dataWindow"][0], header["displayWindow"][0]
    left, top = np.subtract(*origins, dtype=np.int64).tolist()
    (rows, columns), size = pixels.shape[:2], _size(header["displayWindow"])
    if min(left, top) < 0 or top + rows > size[0] or left + columns > size[1]:
        notes.print_once(path, "has pixels outside its display window, which are left out")
    pixels = placed(pixels, (top, left), size)
    header = {name: value for name, value in header.items() if name not in _OURS}
    return (pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), header


def survey(path: Path) -> tuple[tuple[int, int], bool]:
    """The size (h, w) of a picture and whether it has RGBA channels, according to its header.

    Raises:
        Exception: of any kind, if the file is damaged.
    """
    import OpenEXR

    with _readable_name(path) as name, without_messages(), OpenEXR.File(name, header_only=True) as file:
        names = {channel.name for channel in file.header()["channels"]}
        return _size(file.header()["displayWindow"]), "A" in names and bool({"R", "Y"} & names)


def _size(window: Any) -> tuple[int, int]:
    """(h, w) of a window, both of whose corners belong to it."""
    (x0, y0), (x1, y1) = window
    return int(y1) - int(y0) + 1, int(x1) - int(x0) + 1


def write(path: Path, pixels: np.ndarray, header: dict[str, Any]) -> None:
    """Write (h, w), (h, w, 3) or (h, w, 4), float16 or float32, as one part of scan lines, with the rest of a header.

    Lossy compression is replaced by ZIP.

    Raises:
        Exception: of any kind, if the file cannot be written.
    """
    import OpenEXR

    name = "Y" if pixels.ndim == 2 else "RGBA"[: pixels.shape[2]]
    header = {**header, "type": OpenEXR.scanlineimage}
    compression = header.get("compression")
    if compression is None or compression.name.removesuffix("_COMPRESSION") in _LOSSY:
        header["compression"] = OpenEXR.ZIP_COMPRESSION
    with tempfile.TemporaryDirectory() as folder, OpenEXR.File(header, {name: np.ascontiguousarray(pixels)}) as file:
        whole = Path(folder) / "whole.exr"
        file.write(str(whole))
        shutil.copyfile(whole, path)


@contextlib.contextmanager
def _readable_name(path: Path) -> Iterator[str]:
    """A name of the file that OpenEXR, which needs UTF-8, can open."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy.exr"
            shutil.copyfile(path, copy)
            yield str(copy)
        return
    yield str(path)


def to_display(pixels: np.ndarray) -> np.ndarray:
    """Convert stored values to display-referred ones: straight colours on sRGB's curve, float64; alpha in [0, 1]."""
    values = pixels.astype(np.float64, order="C")
    colours = colours_of(values)
    if values.ndim == 3 and values.shape[2] == 4:
        values[..., 3:] = values[..., 3:].clip(0, 1)
        unpremultiply(values)
    light = np.abs(colours)
    curved = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    colours[...] = np.copysign(curved, colours)
    return values


def from_display(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The inverse of `to_display`."""
    pixels = values.astype(np.float64, order="C")
    colours = colours_of(pixels)
    shown = np.abs(colours)
    light = np.where(shown <= 12.92 * 0.0031308, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    colours[...] = np.copysign(light, colours)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        np.multiply(colours, pixels[..., 3:], out=colours, where=pixels[..., 3:] > 0)
    return pixels.astype(dtype)
