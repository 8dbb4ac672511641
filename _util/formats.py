"""Files of pictures, of every kind that can be read, with what they say about themselves.

    PNG JPEG WebP TIFF BMP TGA GIF AVIF JPEG 2000 …    uint8 or uint16    results are PNG
    TIFF of floating values                            float32, float64   results are TIFF
    EXR                                                float16, float32   results are EXR, in linear light as stored

Results carry the ICC profile, other tags of colour, and the resolution.
"""

import io
import warnings
from pathlib import Path
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from _util import exr, png
from _util.errors import InputError
from _util.files import replacing
from _util.quiet import without_messages

MOST_PIXELS = 2**27
_ORIENTATION = 0x0112  # tag of EXIF
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SEQUENCES = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")  # formats whose further frames are no variants of the first
_STRANGERS = (  # at, bytes there, what it is
    (0, b"%PDF", "a PDF file"),
    (0, b"<svg", "an SVG file"),
    (0, b"<?xml", "an XML or SVG file"),
    (0, b"#?RADIANCE", "a Radiance HDR file"),
    (0, b"SDPX", "a DPX file"),
    (0, b"XPDS", "a DPX file"),
    (0, b"\xff\x0a", "a JPEG XL file"),
    (4, b"JXL ", "a JPEG XL file"),
    (0, b"CSFCHUNK", "a Clip Studio file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"PK\3\4", "a zip file or a document of a painting program"),
    (4, b"ftypheic", "a HEIC file"),
    (4, b"ftypheix", "a HEIC file"),
    (4, b"ftypmif1", "a HEIF file"),
    (4, b"ftypavif", "an AVIF file that is damaged or of an unknown kind"),
    (4, b"ftyp", "a video, which _scripts.interpolate_video takes"),
    (0, b"\x1aE\xdf\xa3", "a video, which _scripts.interpolate_video takes"),
)


class Picture(NamedTuple):
    """What a file holds.

    Attributes:
        pixels: (h, w) grey, (h, w, 3) RGB or (h, w, 4) RGBA, upright; uint8, uint16, float32 or float64 along a curve
            for display, alpha straight; of EXR as stored.
        suffix: of the files that pictures like this one are written to: .png, .tif or .exr.
        tags: of colour and resolution.
        header: of an EXR file.
    """

    pixels: np.ndarray
    suffix: str = ".png"
    tags: tuple[png.Chunk, ...] = ()
    header: dict[str, Any] | None = None

    def write(self, path: Path) -> None:
        """Write it as the module's `write` does."""
        write(path, self.pixels, self.tags, self.header)


def read(path: str | Path) -> Picture:
    """Read the picture in a file.

    Palettes become the colours they stand for, grey with alpha becomes RGBA, CMYK becomes RGB.

    Raises:
        InputError: no such file, not a picture, an animation, a kind that is not read, or a damaged one.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{path} is no file but a pipe or a device; an image file is needed.")
    try:
        return _read(path)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"There is no image {path}.") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; an image file is needed.") from error
    except UnidentifiedImageError as error:
        raise InputError(_stranger(path)) from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} has too many pixels; up to {MOST_PIXELS:,} are read.") from error
    except Exception as error:  # a damaged file can fail in any way
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path} cannot be read ({error.strerror}).") from error
        raise InputError(f"{path} is damaged or cut short ({error}); export it again.") from error


def _read(path: Path) -> Picture:
    with path.open("rb") as file:
        beginning = file.read(4)
    if beginning == exr.MAGIC:
        pixels, header = exr.read(path, MOST_PIXELS)
        return Picture(_finite(path, pixels), ".exr", header=header)
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
        image = Image.open(path)
    except UnidentifiedImageError:
        if beginning in _TIFF:  # of a kind that Pillow does not know, as of three floating channels
            return _read_tiff(path)
        raise
    with image:
        _refuse(path, image)
        if image.mode == "F" and image.format == "TIFF":
            return _read_tiff(path)
        is_deep = _is_deep(path, image)  # before anything decodes it
        tags = _tags(path, image)
        orientation = image.getexif().get(_ORIENTATION, 1)
        image.load()
        pixels = _upright(_decode_deep(path), orientation) if is_deep else _decode_plain(image)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{path} holds {pixels.dtype} values; export it with 8 or 16 bits, or as floating TIFF or EXR."
        )
    if orientation in (5, 6, 7, 8):
        tags = png.transposed(tags)
    return Picture(pixels, tags=_fitting(tags, pixels))


def _refuse(path: Path, image: Image.Image) -> None:
    """Raise InputError if it is something else than one picture of a kind that is read right."""
    if image.width * image.height > MOST_PIXELS:
        raise InputError(f"{path} is {image.width}×{image.height} pixels; up to {MOST_PIXELS:,} are read.")
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format in _SEQUENCES:
        what = "a TIFF file of {} pages" if image.format == "TIFF" else "an animation of {} frames"
        raise InputError(f"{path} is {what.format(count)}; give two files of one picture each.")
    if image.mode == "LAB":
        raise InputError(f"{path} is in colours of CIELAB; convert it to RGB.")
    if image.format == "AVIF" and _is_deep_avif(path):
        raise InputError(f"{path} is an AVIF file of more than 8 bits; convert it to PNG of 16 bits.")


def _is_deep(path: Path, image: Image.Image) -> bool:
    # Of grey, Pillow keeps more than 8 bits; of colours it would drop the rest, and only the decoder's raw mode tells.
    if image.format == "JPEG2000":
        return _bits_of_jpeg_2000(path) > 8
    return image.mode[0] in "IF" or any(";16" in str(tile[3]) for tile in image.tile)  # pyright: ignore[reportAttributeAccessIssue]


def _bits_of_jpeg_2000(path: Path) -> int:
    """Of the first component, from the marker SIZ."""
    with path.open("rb") as file:
        data = file.read(2**16)
    at = data.find(b"\xff\x4f\xff\x51")
    return (data[at + 42] & 127) + 1 if 0 <= at < len(data) - 42 else 8


def _is_deep_avif(path: Path) -> bool:
    with path.open("rb") as file:
        data = file.read(2**16)
    at = data.find(b"av1C")
    return 0 <= at < len(data) - 6 and bool(data[at + 6] & 0x40)  # high_bitdepth


def _decode_plain(image: Image.Image) -> np.ndarray:
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode == "CMYK":
        image = _from_cmyk(image)
    elif image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.array(image)


def _from_cmyk(image: Image.Image) -> Image.Image:
    """By its ICC profile if it has one that works."""
    profile = image.info.get("icc_profile")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        return cast(
            Image.Image, ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        )
    except (TypeError, OSError, ValueError, ImageCms.PyCMSError):
        return image.convert("RGB")


def _decode_deep(path: Path) -> np.ndarray:
    with without_messages():
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("it cannot be decoded")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return pixels


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """As EXIF says that stored pixels are meant."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _read_tiff(path: Path) -> Picture:
    """A TIFF file of floating values."""
    from tifffile import TiffFile

    with TiffFile(path) as file:
        page = file.pages.first
        if page.size > 4 * MOST_PIXELS:
            raise InputError(f"{path} has {page.shape} values; up to {MOST_PIXELS:,} pixels are read.")
        if len(file.pages) > 1:
            raise InputError(f"{path} is a TIFF file of {len(file.pages)} pages; give two files of one picture each.")
        if page.dtype is None or page.dtype.kind != "f":
            raise InputError(f"{path} is a TIFF file of {page.dtype} values; export it with 8 or 16 bits, or floating.")
        pixels = page.asarray()
        tags = {name: tag.value for name in (34675, 282, 283, 296, 274) if (tag := page.tags.get(name))}
        if "C" in page.axes and page.axes.index("C") == 0:
            pixels = np.moveaxis(pixels, 0, -1)
    pixels = _upright(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels, tags.get(274, 1))
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise InputError(f"{path} is a TIFF file of {pixels.shape} values; grey, RGB and RGBA are read.")
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    scale = {2: png.inches_to_metres(1), 3: 100}.get(int(tags.get(296, 2)))
    chunks = [png.icc_chunk(tags[34675])] if 34675 in tags else []
    if scale and 282 in tags and 283 in tags:
        x, y = (tags[tag][0] / tags[tag][1] * scale if tags[tag][1] else 0 for tag in (282, 283))
        chunks += filter(None, [png.resolution_chunk(x, y)])
    return Picture(_finite(path, pixels), ".tif", _fitting(tuple(chunks), pixels))


def _finite(path: Path, pixels: np.ndarray) -> np.ndarray:
    finite = np.isfinite(pixels)
    if not finite.all():
        y, x = np.argwhere(~finite)[0][:2]
        raise InputError(f"{path} holds values that are no finite numbers, one at x {x}, y {y}; replace them.")
    return pixels


def _tags(path: Path, image: Image.Image) -> tuple[png.Chunk, ...]:
    if image.format == "PNG":
        with path.open("rb") as file:
            return png.read(file.read())
    chunks: list[png.Chunk | None] = [png.icc_chunk(image.info["icc_profile"])] if image.info.get("icc_profile") else []
    unit, density = image.info.get("jfif_unit"), image.info.get("jfif_density")
    if "dpi" in image.info:
        x, y = (png.inches_to_metres(float(value)) for value in image.info["dpi"])
        chunks.append(png.resolution_chunk(x, y))
    elif unit == 0 and density and density[0] != density[1]:
        chunks.append(png.resolution_chunk(*density, per_metre=False))
    return tuple(filter(None, chunks))


def _fitting(tags: tuple[png.Chunk, ...], pixels: np.ndarray) -> tuple[png.Chunk, ...]:
    """Without an ICC profile of other colours than the pixels have, as of CMYK."""
    profile = png.icc_profile(tags)
    if profile is None or profile[16:20] == (b"GRAY" if pixels.ndim == 2 else b"RGB "):
        return tags
    return tuple(chunk for chunk in tags if chunk.name != b"iCCP")


def _stranger(path: Path) -> str:
    """What a file is that is no picture."""
    with path.open("rb") as file:
        beginning = file.read(64).lstrip(b"\xef\xbb\xbf \r\n\t")
    known = next((what for at, magic, what in _STRANGERS if beginning[at:].startswith(magic)), None)
    if known:
        return f"{path} is {known}; export it as PNG."
    return f"{path} is not an image that can be read; PNG, JPEG, WebP, TIFF, EXR and others are."


def for_display(picture: Picture) -> np.ndarray:
    """The pixels as uint8 or uint16: of floating values what a screen shows, from 0 to 1, in 16 bits."""
    pixels = picture.pixels
    if picture.header is not None:
        pixels = exr.to_display(pixels)
    if np.issubdtype(pixels.dtype, np.floating):
        pixels = (65535 * pixels.clip(0, 1)).round().astype(np.uint16)
    return pixels


def write(path: str | Path, pixels: np.ndarray, tags: tuple[png.Chunk, ...] = (), header: Any = None) -> None:
    """Write a picture; the file appears whole or not at all.

    Args:
        path: ends in .png, for uint8 and uint16; in .tif, for float32 and float64; or in .exr, for float16 and float32.
        pixels: (h, w), (h, w, 3) RGB or (h, w, 4) RGBA.
        tags, header: as `read` gives them; an ICC profile of other colours than the pixels have is left out.

    Raises:
        InputError: the file cannot be written.
    """
    tags = _fitting(tags, pixels)
    with replacing(path) as temporary:
        if temporary.suffix == ".exr":
            exr.write(temporary, pixels, header or {})
        elif temporary.suffix == ".tif":
            _write_tiff(temporary, pixels, tags)
        else:
            temporary.write_bytes(png.insert(_encoded(pixels), tags))


def _encoded(pixels: np.ndarray) -> bytes:
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", pixels)[1].tobytes()


def _write_tiff(path: Path, pixels: np.ndarray, tags: tuple[png.Chunk, ...]) -> None:
    from tifffile import imwrite

    options: dict[str, Any] = {"iccprofile": png.icc_profile(tags)}
    if resolution := png.dots_per_inch(tags):
        options |= {"resolution": resolution, "resolutionunit": "INCH"}
    if pixels.ndim == 3:
        options |= {"photometric": "rgb", "extrasamples": ["UNASSALPHA"] if pixels.shape[2] == 4 else []}
    with path.open("wb") as file:
        imwrite(file, pixels, metadata=None, software=False, **options)
