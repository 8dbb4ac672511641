"""Animated pictures: GIF, WebP and APNG.

FFmpeg writes them frame by frame: WebP and APNG losslessly, GIF with palettes of 256 colours. Animated WebP, which
FFmpeg does not decode, is read by libwebp through Pillow.
"""

import contextlib
import itertools
import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
from PIL import Image

from _util import clock, colour, files, interlacing, png
from _util.alpha import opaque
from _util.colour import Colour
from _util.decoding import Damage, Decoded, Metadata
from _util.errors import InputError
from _util.pixels import as_8_bits

SUFFIXES = tuple(clock.LARGEST_RATES)
_CONTAINERS = {"gif": "gif", "apng": "apng", "libwebp_anim": "webp"}
_OPTIONS = {"libwebp_anim": {"lossless": "1", "compression_level": "2"}}
_HAS_PROFILE, _HAS_ALPHA = 0x20, 0x10  # flags of WebP
_USUAL_RATE = Fraction(24)
_PALETTE = "stats_mode=single:reserve_transparent=1"
_WORSE, _NEGLIGIBLE = 1.1, 0.25  # error of a palette that is kept, relative to that of a frame's own, and levels more
_VISIBLE = 48  # levels by which no pixel of a palette that is kept may be worse


def limitations(path: Path, alpha: bool, deep: bool) -> list[str]:
    """Sentences about what the format of `path` does not support."""
    notes = []
    if path.suffix.lower() == ".gif":
        binary = ", and pixels are either transparent or opaque" if alpha else ""
        notes.append(f".gif has 256 colours a frame{binary}; .webp and .apng keep all.")
    elif deep and path.suffix.lower() == ".webp":
        notes.append(".webp has 8 bits a value; .apng keeps 16.")
    return notes


def write(path: Path, frames: Iterable[np.ndarray], rate: Fraction, tags: tuple[png.Chunk, ...] = ()) -> None:
    """Write an animation that plays forever.

    Args:
        path: written in place; its suffix is one of `SUFFIXES`.
        frames: (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16, all alike.
        tags: PNG chunks of colour and resolution of RGB: APNG keeps them all, WebP an ICC profile, GIF none.

    Raises:
        InputError: the file cannot be written.
    """
    frames = iter(frames)
    first = next(frames)
    frames = itertools.chain([first], frames)
    suffix = path.suffix.lower()
    try:
        if suffix == ".webp":
            pictures = (colour.from_rgb(as_8_bits(frame), "bgra", Colour()) for frame in frames)
            _encode(path, pictures, "libwebp_anim", "bgra", rate)
            if profile := png.shown_profile(tags):
                path.write_bytes(_with_profile(path.read_bytes(), profile, first.shape[:2]))
        elif suffix == ".gif":
            _encode(path, _paletted(map(as_8_bits, frames), rate), "gif", "pal8", rate)
        else:
            has_alpha = first.shape[2] == 4
            names = ("rgba64be", "rgb48be") if first.dtype == np.uint16 else ("rgba", "rgb24")
            name = names[0] if has_alpha else names[1]
            _encode(path, (colour.from_rgb(frame, name, Colour()) for frame in frames), "apng", name, rate)
            if tags:
                path.write_bytes(png.insert(path.read_bytes(), tags))
    except (OSError, av.FFmpegError) as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); {files.remedy_for(error.errno)}.") from error


def _encode(path: Path, frames: Iterator[av.VideoFrame], codec: str, pixel_format: str, rate: Fraction) -> None:
    options = {"plays": "0"} if codec == "apng" else {"loop": "0"}
    with av.open(path.absolute(), "w", format=_CONTAINERS[codec], container_options=options) as container:
        stream = None
        for i, frame in enumerate(frames):
            if stream is None:
                stream = container.add_stream(codec, rate=rate, options=_OPTIONS.get(codec, {}))
                assert isinstance(stream, av.VideoStream)
                stream.height, stream.width, stream.pix_fmt = frame.height, frame.width, pixel_format
                stream.codec_context.time_base = 1 / rate
            frame.pts, frame.time_base = i, 1 / rate
            container.mux(stream.encode(frame))
        assert stream is not None  # there is a first frame
        container.mux(stream.encode(None))


def _with_profile(data: bytes, profile: bytes, size: tuple[int, int]) -> bytes:
    """A WebP file without an ICC profile, of (h, w) = `size`, with one."""
    if data[12:16] == b"VP8X":
        flags, canvas, rest = data[20], data[21:30], data[30:]
    else:  # a still picture, which libwebp makes of frames that are all alike
        h, w = size
        flags, canvas, rest = _HAS_ALPHA, struct.pack("<3xI", w - 1)[:6] + struct.pack("<I", h - 1)[:3], data[12:]
    chunk = b"ICCP" + struct.pack("<I", len(profile)) + profile + bytes(len(profile) % 2)
    body = b"WEBPVP8X" + struct.pack("<IB", 10, flags | _HAS_PROFILE) + canvas + chunk + rest
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _paletted(frames: Iterator[np.ndarray], rate: Fraction) -> Iterator[av.VideoFrame]:
    """Reduce frames to at most 256 colours.

    A palette is kept while it fits about as well as one of each frame's own, so that what rests keeps its colours.
    """
    palette = None
    for i, pixels in enumerate(frames):
        packed = colour.packed_rgb(False, pixels.shape[2] == 4)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), packed)
        (own,) = _filtered(("palettegen", _PALETTE), frame)
        reduced = _with_palette(frame, own)
        again = None if palette is None else _with_palette(frame, palette)
        if again is not None and _fits_about_as_well(pixels, again, reduced):
            reduced = again
        else:
            palette = own
        reduced.pts, reduced.time_base = i, 1 / rate
        yield reduced


def _with_palette(frame: av.VideoFrame, palette: av.VideoFrame) -> av.VideoFrame:
    (reduced,) = _filtered(("paletteuse", "dither=none:alpha_threshold=128"), frame, palette)
    return reduced


def _filtered(frame_filter: tuple[str, str], *frames: av.VideoFrame) -> list[av.VideoFrame]:
    """What a filter of FFmpeg, with its options, makes of one frame on each of its inputs."""
    graph = av.filter.Graph()
    last = graph.add(*frame_filter)
    sources = []
    for i, frame in enumerate(frames):
        sources.append(
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1))
        )
        sources[-1].link_to(last, 0, i)
    last.link_to(graph.add("buffersink"))
    graph.configure()
    for source, frame in zip(sources, frames, strict=True):
        frame.pts, frame.time_base = 0, Fraction(1)
        source.push(frame)
        source.push(None)
    return list(interlacing.pull(graph))


def _fits_about_as_well(pixels: np.ndarray, reduced: av.VideoFrame, own: av.VideoFrame) -> bool:
    """Whether one reduced frame is about as near to the pixels as another, everywhere and on average."""
    errors, least = (_errors(pixels, of) for of in (reduced, own))
    return errors.mean() <= _WORSE * least.mean() + _NEGLIGIBLE and (errors - least).max() <= _VISIBLE


def _errors(pixels: np.ndarray, reduced: av.VideoFrame) -> np.ndarray:
    """(h, w) the largest difference of a channel, in levels; 0 where pixels are transparent."""
    drawn = reduced.reformat(format="rgba").to_ndarray()
    found = np.abs(pixels[..., :3].astype(np.int16) - drawn[..., :3]).max(2)
    return found if pixels.shape[2] == 3 else np.where(drawn[..., 3] > 0, found, 0)


class WebP:
    """The frames of an animated WebP, with the interface of `decoding.File`."""

    def __init__(self, path: Path, keep_alpha: bool = False):
        self.path = path
        with _open_webp(path) as picture:
            times, alpha = _survey(picture)
            size = picture.height, picture.width
        self.keep_alpha = keep_alpha and alpha
        self.declared = times[-1]
        self._count = len(times) - 1
        self.metadata = Metadata(
            size=size,
            rate=(self._count / times[-1]).limit_denominator(1001),
            duration=times[-1],
            deep=False,
            colour=colour.usual(size[0]),
            pixel_format=colour.packed_rgb(False, alpha),
            alpha=alpha,
        )

    def decode(self, start: Fraction, damage: Damage) -> Iterator[Decoded]:
        """All frames from the first, whatever `start` is, since each is drawn over the previous ones."""
        with _open_webp(self.path) as picture:
            time = Fraction(0)
            for i in range(self._count):
                try:
                    picture.seek(i)
                    picture.load()
                except (OSError, EOFError, ValueError) as error:
                    damage.stopped = str(error)
                    return
                duration = _duration(picture)
                pixels = np.array(picture.convert("RGBA" if self.metadata.alpha else "RGB"))
                yield Decoded(time, duration, pixels if self.keep_alpha else opaque(pixels), None)
                time += duration


def is_animated_webp(path: Path) -> bool:
    """Whether a file is an animated WebP."""
    try:
        head = files.beginning(path, 21)
    except OSError:
        return False
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


@contextlib.contextmanager
def _open_webp(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=["WEBP"]) as picture:
            yield picture
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} is damaged or truncated ({error}); export it again.") from error


def _survey(picture: Image.Image) -> tuple[list[Fraction], bool]:
    """The start of each frame and the end of the last, in seconds; and whether any pixel is not opaque."""
    times, has_alpha = [Fraction(0)], False
    for i in range(picture.n_frames):  # pyright: ignore[reportAttributeAccessIssue]
        picture.seek(i)
        picture.load()
        times.append(times[-1] + _duration(picture))
        has_alpha = has_alpha or (picture.mode == "RGBA" and np.asarray(picture)[:, :, 3].min() < 255)
    return times, has_alpha


def _duration(picture: Image.Image) -> Fraction:
    """How long the current frame is shown, in seconds."""
    return Fraction(picture.info.get("duration") or 0, 1000) or 1 / _USUAL_RATE
