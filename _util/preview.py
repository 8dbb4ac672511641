"""Preview animations in WebP, GIF or MP4."""

import io
import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms

from _util import clock, extras, png
from _util.alpha import opaque, resized
from _util.errors import InputError
from _util.files import replacing
from _util.pixels import as_8_bits, with_channels

FORMATS = (".webp", ".gif", ".mp4")
_LARGEST = 960  # pixels of a side


def write_preview(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    tags: tuple[png.Chunk, ...] = (),
    exposures: Sequence[int] | None = None,
    there_and_back: bool = True,
) -> None:
    """Write an animation that plays forward and backward, and loops forever in WebP and GIF.

    Frames of which a side is longer than 960 pixels are scaled down.

    Args:
        path: ends in .webp, .gif or .mp4; written atomically.
        frames: (h, w), (h, w, 3) or (h, w, 4), uint8 or uint16, all alike. Except in WebP, alpha is put over white.
        fps: frames per second.
        tags: PNG chunks of colour and resolution, kept in WebP; for other formats, colours are converted to sRGB.
        exposures: number of times that each frame is repeated; 1 by default.
        there_and_back: False plays the frames forward only.

    Raises:
        InputError: the suffix is another one, or the file cannot be written.
    """
    path = Path(path)
    check_format(path)
    in_webp = path.suffix.lower() == ".webp"
    shown = [reduced(frame) if in_webp else opaque(reduced(frame)) for frame in frames]
    icc_profile = png.shown_profile(tags)
    if icc_profile and not in_webp:
        shown = list(map(to_srgb(icc_profile), shown))
    if exposures is not None:
        shown = [frame for frame, count in zip(shown, exposures, strict=True) for _ in range(count)]
    if there_and_back:
        shown += shown[-2:0:-1]
    step = math.ceil(fps / clock.LARGEST_RATES.get(path.suffix.lower(), fps))
    shown, fps = shown[::step], fps / step
    if path.suffix.lower() == ".mp4":
        _write_mp4(path, shown, fps)
        return
    first, *others = map(Image.fromarray, shown)
    unit = 1 if in_webp else 10  # ms
    ends = [round(n * 1000 / fps / unit) * unit for n in range(len(shown) + 1)]
    options: dict[str, Any] = {"duration": np.diff(ends).tolist(), "loop": 0, "quality": 75}
    if in_webp:
        options |= {"icc_profile": icc_profile or b"", "exif": _exif(tags)}
    with replacing(path) as temporary:
        first.save(temporary, save_all=True, append_images=others, **options)


def check_format(path: str | Path) -> None:
    """Raise an `InputError` unless `path` has the suffix of a format that `write_preview` knows and can write."""
    if Path(path).suffix.lower() not in FORMATS:
        raise InputError(f"The preview {path} must end in one of {', '.join(FORMATS)}.")
    if Path(path).suffix.lower() == ".mp4":
        extras.require("av")


def reduced(frame: np.ndarray) -> np.ndarray:
    """A frame as previews hold it: 8 bits, colours, and sides of at most 960 pixels."""
    frame = with_channels(as_8_bits(frame), 3)
    scale = _LARGEST / max(frame.shape[:2])
    if scale < 1:
        h, w = frame.shape[:2]
        frame = resized(frame, (max(2, round(h * scale)), max(2, round(w * scale))))
    return frame


def _exif(tags: tuple[png.Chunk, ...]) -> Image.Exif:
    exif = Image.Exif()
    if resolution := png.dots_per_inch(tags):
        exif.update(zip((ExifTags.Base.XResolution, ExifTags.Base.YResolution), resolution, strict=True))
        exif[ExifTags.Base.ResolutionUnit] = 2  # inches
    return exif


def to_srgb(icc_profile: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """A function that converts (h, w, 3) RGB or (h, w, 4) RGBA, uint8, to sRGB; unchanged if the profile is damaged."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    except (OSError, ImageCms.PyCMSError):
        return lambda pixels: pixels

    def convert(pixels: np.ndarray) -> np.ndarray:
        colours = Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))
        return np.dstack([np.asarray(ImageCms.applyTransform(colours, transform)), pixels[:, :, 3:]])

    return convert


def _write_mp4(path: Path, frames: list[np.ndarray], fps: float) -> None:
    from _util import video

    h, w = (side // 2 * 2 for side in frames[0].shape[:2])  # H.264 in 4:2:0 needs even sides
    with video.Writer(path, video.Encoding((h, w), Fraction(fps).limit_denominator(1000))) as writer:
        for frame in frames:
            writer.write(frame[:h, :w])
