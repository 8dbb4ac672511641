"""Image files: reading of all supported formats with their metadata, and writing.

    PNG JPEG WebP TIFF BMP TGA GIF AVIF JPEG 2000 …    uint8 or uint16    results are PNG
    TIFF of floating values                            float32, float64   results are TIFF
    EXR                                                float16, float32   results are EXR, in linear light as stored

Files that are written carry the ICC profile, other colour tags and the resolution of what was read.
"""

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from _util import exr, icc, notes, png, tiff
from _util.errors import InputError
from _util.files import beginning, replacing
from _util.pixels import TRANSPOSED, PixelType, decoded, encoded, upright
from _util.quiet import without_messages

MOST_PIXELS = 2**27
_ORIENTATION = 0x0112  # tag of EXIF
_BITS_PER_SAMPLE, _EXTRA_SAMPLES = 258, 338  # tags of TIFF
_SEQUENCES = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")  # formats in which further frames are not variants of the first
_UNSUPPORTED = (  # offset, bytes, description
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
    """The content of an image file.

    Attributes:
        pixels: (h, w) grey, (h, w, 3) RGB or (h, w, 4) RGBA, upright; uint8, uint16, float32 or float64,
            display-referred with straight alpha; those of EXR as stored.
        suffix: of files that hold pixels like these: .png, .tif or .exr.
        tags: of colour and resolution.
        header: of an EXR file, else None.
    """

    pixels: np.ndarray
    suffix: str = ".png"
    tags: tuple[png.Chunk, ...] = ()
    header: dict[str, Any] | None = None

    @property
    def type(self) -> PixelType:
        return PixelType.of(self.pixels)

    def converted(self, pixel_type: PixelType) -> "Picture":
        """The picture with pixels of a type that holds them without loss."""
        pixels = pixel_type.convert(self.pixels)
        return self._replace(pixels=pixels, tags=_fitting(self.tags, pixels))

    def write(self, path: Path) -> None:
        """Write the picture; see the function `write`."""
        write(path, self.pixels, self.tags, self.header)


def read(path: str | Path) -> Picture:
    """Read an image file.

    Palettes are expanded, grey with alpha becomes RGBA, CMYK becomes RGB.

    Raises:
        InputError: the file does not exist, is damaged, or is not a single picture in a supported format.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(f"{path} is a pipe or a device; an image file is needed.")
    try:
        return _read(path)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"There is no image {path}.") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; an image file is needed.") from error
    except UnidentifiedImageError as error:
        raise InputError(_describe_unsupported(path)) from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} has too many pixels; up to {MOST_PIXELS:,} are read.") from error
    except Exception as error:  # a damaged file can fail in any way
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path} cannot be read ({error.strerror}).") from error
        raise InputError(f"{path} is damaged or truncated ({error}); export it again.") from error


def _read(path: Path) -> Picture:
    start = beginning(path, 4)
    if start == exr.MAGIC:
        pixels, header = exr.read(path, MOST_PIXELS)
        return Picture(_finite(path, pixels), ".exr", header=header)
    with without_messages() if start in tiff.MAGIC else contextlib.nullcontext():
        return _read_by_pillow(path, start)


def _read_by_pillow(path: Path, start: bytes) -> Picture:
    try:
        image = opened(path)
    except UnidentifiedImageError:
        if start in tiff.MAGIC:  # some variants Pillow does not read, such as three floating-point channels
            return _read_tiff(path)
        raise
    with image:
        refuse(path, image)
        deep = is_deep(path, image)  # before anything decodes it
        if has_unspecified_alpha(image) or (image.format == "TIFF" and deep):
            return _read_tiff(path)
        largest = _largest_value(path, image) or 65535
        tags, of_grey = _tags(path, image), image.mode[0] in "1ILF"
        clear = _clear_grey(image)
        orientation = image.getexif().get(_ORIENTATION, 1)
        image.load()
        pixels = upright(_decode_deep(path, largest), orientation) if deep else _decode_plain(image)
        if _has_unused_byte(path, image, pixels):
            pixels = pixels[:, :, :3].copy()
    if clear is not None and pixels.ndim == 2:
        opaque = np.iinfo(pixels.dtype).max
        pixels = np.dstack([pixels, pixels, pixels, np.where(pixels == clear, 0, opaque).astype(pixels.dtype)])
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{path} holds {pixels.dtype} values; export it with 8 or 16 bits, or as floating TIFF or EXR."
        )
    if orientation in TRANSPOSED:
        tags = png.transposed(tags)
    return Picture(pixels, tags=_read_tags(path, tags, pixels, of_grey))


def opened(path: Path) -> Image.Image:
    """Open a file by Pillow, without its warnings: damage is an error, and `refuse` limits the size."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    return Image.open(path)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """The size (h, w) of the upright picture in a file that `opened` returned, from its header."""
    w, h = image.size
    # Pillow decodes a whole PNG file to find EXIF that is not in its header, and turns the size of TIFF itself.
    is_known = image.format == "TIFF" or (image.format == "PNG" and not _may_be_turned(image))
    return (w, h) if not is_known and image.getexif().get(_ORIENTATION, 1) in TRANSPOSED else (h, w)


def _may_be_turned(image: Image.Image) -> bool:
    """Whether a PNG file that `opened` returned has metadata that can state an orientation."""
    is_in_header = {"exif", "Raw profile type exif"} & image.info.keys() or b"Orientation" in image.info.get("xmp", b"")
    return bool(is_in_header) or png.has_exif(Path(cast(Any, image).filename))


def refuse(path: Path, image: Image.Image) -> None:
    """Raise InputError unless a file that `opened` returned holds one picture in a format that is read correctly."""
    if image.width * image.height > MOST_PIXELS:
        raise InputError(f"{path} is {image.width}×{image.height} pixels; up to {MOST_PIXELS:,} are read.")
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format in _SEQUENCES:
        what = "a TIFF file of {} pages" if image.format == "TIFF" else "an animation of {} frames"
        raise InputError(f"{path} is {what.format(count)}; give two files of one picture each.")
    if image.format == "TIFF" and (extra := len(cast(Any, image).tag_v2.get(_EXTRA_SAMPLES, ()))) > 1:
        raise InputError(
            f"{path} is a TIFF file with {extra} extra channels; grey and RGB are read, each with alpha or not."
        )
    if image.mode == "LAB":
        raise InputError(f"{path} is in CIELAB; convert it to RGB.")
    if image.format == "AVIF" and _is_deep_avif(path):
        raise InputError(f"{path} is an AVIF file of more than 8 bits; convert it to PNG of 16 bits.")


def is_deep(path: Path, image: Image.Image) -> bool:
    """Whether a file that Pillow has opened, and not decoded yet, holds more than 8 bits."""
    largest = _largest_value(path, image)
    if largest is not None:
        return largest > 255
    if image.format == "TIFF":
        return max(cast(Any, image).tag_v2.get(_BITS_PER_SAMPLE, (1,))) > 8
    # Pillow keeps more than 8 bits of grey, but drops them of colours; only the raw mode of the decoder shows that.
    return image.mode[0] in "IF" or any(";16" in str(tile[3]) for tile in image.tile)  # pyright: ignore[reportAttributeAccessIssue]


def has_unspecified_alpha(image: Image.Image) -> bool:
    """Whether it is a TIFF file with an extra sample of unspecified meaning, which Pillow drops."""
    return (
        image.format == "TIFF"
        and image.mode in ("L", "LA", "RGB")
        and cast(Any, image).tag_v2.get(_EXTRA_SAMPLES, (1,))[0] == 0
    )


def states_alpha(path: Path, image: Image.Image) -> bool:
    """False for a TGA file of 32 bits whose header states none; only its pixels tell if the fourth byte is alpha."""
    return image.format != "TGA" or image.mode != "RGBA" or beginning(path, 18)[17] & 15 > 0


def _largest_value(path: Path, image: Image.Image) -> int | None:
    """The value of white in formats in which it may be any; None in others."""
    if image.format == "JPEG2000":
        return 2 ** _bits_of_jpeg_2000(path) - 1
    if image.format != "PPM":
        return None
    arguments = image.tile[0][3]  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(arguments, tuple):
        return arguments[1]
    return 65535 if "16" in str(arguments) else 255


def _bits_of_jpeg_2000(path: Path) -> int:
    """Bits of the first component, from the SIZ marker."""
    data = beginning(path, 2**16)
    at = data.find(b"\xff\x4f\xff\x51")
    return (data[at + 42] & 127) + 1 if 0 <= at < len(data) - 42 else 8


def _is_deep_avif(path: Path) -> bool:
    data = beginning(path, 2**16)
    at = data.find(b"av1C")
    return 0 <= at < len(data) - 6 and bool(data[at + 6] & 0x40)  # high_bitdepth


def _clear_grey(image: Image.Image) -> int | None:
    """Remove the grey that a file declares transparent, which Pillow applies wrongly below 8 bits and OpenCV ignores.

    Returns:
        Its value as decoded; None if there is none.
    """
    if image.mode not in ("L", "I;16") or not isinstance(image.info.get("transparency"), int):
        return None
    scale = {"L;2": 85, "L;4": 17}.get(str(image.tile[0][3]), 1)  # pyright: ignore[reportAttributeAccessIssue]
    return scale * image.info.pop("transparency")


def _decode_plain(image: Image.Image) -> np.ndarray:
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode == "CMYK":
        image = _from_cmyk(image)
    elif image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.array(image)


def _has_unused_byte(path: Path, image: Image.Image, pixels: np.ndarray) -> bool:
    """Whether the fourth channel, of which the header states no bits of alpha, is zero throughout."""
    return pixels.shape[2:] == (4,) and not states_alpha(path, image) and not pixels[:, :, 3].any()


def _from_cmyk(image: Image.Image) -> Image.Image:
    """To RGB, by the ICC profile if there is a valid one."""
    profile = image.info.get("icc_profile")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        return cast(
            Image.Image, ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        )
    except (TypeError, OSError, ValueError, ImageCms.PyCMSError):
        return image.convert("RGB")


def _decode_deep(path: Path, largest: int) -> np.ndarray:
    with without_messages():
        pixels = decoded(path.read_bytes() + b"\n")  # which OpenCV needs at the end of PNM in text
    return pixels if largest == 65535 else (pixels * (65535 / largest)).round().astype(np.uint16)


def _read_tiff(path: Path) -> Picture:
    pixels, tags = tiff.read(path, MOST_PIXELS)
    is_floating = np.issubdtype(pixels.dtype, np.floating)
    return Picture(_finite(path, pixels), ".tif" if is_floating else ".png", _read_tags(path, tags, pixels))


def _finite(path: Path, pixels: np.ndarray) -> np.ndarray:
    finite = np.isfinite(pixels)
    if not finite.all():
        y, x = np.argwhere(~finite)[0][:2]
        raise InputError(f"{path} holds values that are not finite, one at x {x}, y {y}; replace them.")
    return pixels


def _tags(path: Path, image: Image.Image) -> tuple[png.Chunk, ...]:
    if image.format == "PNG":
        return png.read(path.read_bytes())
    chunks: list[png.Chunk | None] = [png.icc_chunk(image.info["icc_profile"])] if image.info.get("icc_profile") else []
    unit, density = image.info.get("jfif_unit"), image.info.get("jfif_density")
    if "dpi" in image.info:
        x, y = (png.dots_per_metre(float(value)) for value in image.info["dpi"])
        chunks.append(png.resolution_chunk(x, y))
    elif unit == 0 and density and density[0] != density[1]:
        chunks.append(png.resolution_chunk(*density, per_metre=False))
    return tuple(filter(None, chunks))


def _read_tags(
    path: Path, tags: tuple[png.Chunk, ...], pixels: np.ndarray, of_grey: bool = True
) -> tuple[png.Chunk, ...]:
    """The tags of a file that fit its pixels, as `_fitting`; prints a notice if its ICC profile is left out."""
    fitting, profile = _fitting(tags, pixels, of_grey), png.icc_profile(tags)
    if profile and not png.icc_profile(fitting) and profile[16:20] != b"CMYK":  # by which colours were converted
        colours = "grey" if pixels.ndim == 2 else "RGB"
        notes.print_once(path, f"has a colour profile that is not one of {colours}: left out")
    return fitting


def _fitting(tags: tuple[png.Chunk, ...], pixels: np.ndarray, of_grey: bool = True) -> tuple[png.Chunk, ...]:
    """The tags with the ICC profile that fits the pixels; without one for another colour space, such as CMYK.

    Args:
        of_grey: whether RGB pixels may have been grey, so that a profile of grey is converted to one of RGB.
    """
    profile = png.icc_profile(tags)
    if profile is None or profile[16:20] == (b"GRAY" if pixels.ndim == 2 else b"RGB "):
        return tags
    converted = icc.of_grey(profile) if of_grey and pixels.ndim == 3 else None
    others = tuple(chunk for chunk in tags if chunk.name != b"iCCP")
    return (png.icc_chunk(converted), *others) if converted else others


def _describe_unsupported(path: Path) -> str:
    """The error message for a file that is not a supported picture."""
    if not path.stat().st_size:
        return f"{path} is empty; export it again."
    start = beginning(path, 64).lstrip(b"\xef\xbb\xbf \r\n\t")
    known = next((what for at, magic, what in _UNSUPPORTED if start[at:].startswith(magic)), None)
    if known:
        return f"{path} is {known}; export it as PNG."
    return f"{path} is not an image that can be read; PNG, JPEG, WebP, TIFF, EXR and others are."


def for_display(picture: Picture) -> np.ndarray:
    """The pixels as uint8 or uint16; floating values are converted for display, clipped to [0, 1], to 16 bits."""
    pixels = picture.pixels
    if picture.header is not None:
        pixels = exr.to_display(pixels)
    if np.issubdtype(pixels.dtype, np.floating):
        pixels = (65535 * pixels.clip(0, 1)).round().astype(np.uint16)
    return pixels


def write(path: str | Path, pixels: np.ndarray, tags: tuple[png.Chunk, ...] = (), header: Any = None) -> None:
    """Write a picture; the file appears complete or not at all.

    Args:
        path: ends in .png, for uint8 and uint16; in .tif, for float32 and float64; or in .exr, for float16 and float32.
        pixels: (h, w), (h, w, 3) RGB or (h, w, 4) RGBA.
        tags, header: as `read` returns them; an ICC profile for another colour space is left out.

    Raises:
        InputError: the file cannot be written.
    """
    tags = _fitting(tags, pixels)
    with replacing(path) as temporary:
        if temporary.suffix == ".exr":
            exr.write(temporary, pixels, header or {})
        elif temporary.suffix == ".tif":
            tiff.write(temporary, pixels, tags)
        else:
            temporary.write_bytes(png.insert(encoded(pixels), tags))
