"""Conversion between video frames and RGB pixels, according to the colour tags of the video.

A decoded frame comes in with its tags (H.273: matrix, range, primaries, transfer) and goes out as (h, w, 3) RGB, and
back. The matrix and the range are computed with; primaries and transfer are carried, since the picture stays in its
own colour space. Conversion and back leaves every level of Y'CbCr in limited range as it was.
"""

import os
import re
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from _util import chroma, planes
from _util.alpha import opaque
from _util.pixels import with_channels

RGB, BT709, UNSPECIFIED, BT601 = 0, 1, 2, 5  # matrices
LIMITED, FULL = 1, 2  # ranges; 0 is unspecified
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # those with coefficients of their own, by tag
_LUMA = {1: (0.2126, 0.0722), 4: (0.3, 0.11), 5: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}  # Kr, Kb
_HD_HEIGHT = 720
_WHITE = 65280  # where swscale has white in 16 bits, coming from limited range and going to any
# swscale's default is a level too dark in 8 bits; these are exact. (FULL_CHR_H_INP, for once, breaks deep RGB.)
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_THREADS = min(4, os.cpu_count() or 1)  # per conversion; their number does not change the result


class Colour(NamedTuple):
    """The tags of a video, as numbers of H.273, and where in a pixel chroma is sampled, as a number of `chroma`."""

    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    location: int = chroma.UNSPECIFIED


def tags(frame: av.VideoFrame) -> Colour:
    """The tags of a decoded frame; RGB has those that it is best written with."""
    primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
    if holds_rgb(frame.format):
        return usual(frame.height)._replace(primaries=primaries, transfer=transfer)
    return Colour(frame.colorspace, _range(frame), primaries, transfer, chroma.location(frame))


def usual(height: int) -> Colour:
    """The tags that players assume if there are none, for frames of so many rows."""
    return Colour(usual_matrix(height), LIMITED, location=chroma.LEFT)


def has_tags_of(frame: av.VideoFrame, colour: Colour) -> bool:
    """Whether a decoded frame has the given matrix and range."""
    return (frame.colorspace, _range(frame)) == (colour.matrix, colour.range)


def _range(frame: av.VideoFrame) -> int:
    return FULL if frame.format.name.startswith("yuvj") else frame.color_range


def is_deep(frame_format: av.VideoFormat) -> bool:
    """Whether a component has more than 8 bits."""
    return max(component.bits for component in frame_format.components) > 8


def holds_rgb(frame_format: av.VideoFormat) -> bool:
    """Whether pixels of a format are RGB, by themselves or in a palette."""
    return frame_format.is_rgb or frame_format.has_palette


def has_alpha(frame_format: av.VideoFormat) -> bool:
    """Whether pixels of a format can be transparent."""
    return frame_format.has_palette or any(component.is_alpha for component in frame_format.components)


def is_planar_ycbcr(frame_format: av.VideoFormat) -> bool:
    """Whether a format of Y'CbCr has a plane per component, whose values are numbers of this machine."""
    return re.fullmatch(r"yuv[aj]?4\d\dp(\d+le)?", frame_format.name) is not None


def packed_rgb(deep: bool, alpha: bool) -> str:
    """The name of the format of RGB or RGBA arrays, uint16 if `deep`, else uint8."""
    return ("rgba64le" if alpha else "rgb48le") if deep else ("rgba" if alpha else "rgb24")


def to_rgb(frame: av.VideoFrame, size: tuple[int, int], deep: bool, keep_alpha: bool = False) -> np.ndarray:
    """A decoded frame as (h, w, 3) RGB; alpha is composited over white, or kept: (h, w, 4).

    An unspecified matrix counts as BT.709 from 720 lines on and as BT.601 below, and an unspecified range as limited,
    as in players.

    Args:
        size: (h, w) of the result.
        deep: return uint16 rather than uint8.
        keep_alpha: return four channels, whether the frame has alpha or not.
    """
    tag = frame.colorspace
    if not holds_rgb(frame.format):
        frame.colorspace = _matrix(tag, frame.height)
    try:
        return _to_rgb(frame, size, deep, keep_alpha)
    finally:
        frame.colorspace = tag


def _to_rgb(frame: av.VideoFrame, size: tuple[int, int], deep: bool, keep_alpha: bool) -> np.ndarray:
    """`to_rgb` of a frame whose matrix is known."""
    if _is_grey(frame.format) and frame.color_range == LIMITED:
        frame = _grey_in_limited_range(frame)
    h, w = size
    if _is_deep_planar_rgb(frame.format) and deep:
        if (frame.height, frame.width) != size:
            frame = _converted(frame, width=w, height=h)
        green, blue, red, *alpha = (
            _scale(planes.values(plane, True), 65535 / _largest(frame)) for plane in frame.planes
        )
        colours = red, green, blue
    else:
        planar = f"gbr{'a' if has_alpha(frame.format) else ''}p{'16le' if deep else ''}"
        converted = _converted(frame, width=w, height=h, format=planar)
        green, blue, red, *alpha = (planes.values(plane, deep) for plane in converted.planes)
        colours = red, green, blue
        if deep:
            colours = [_scale(plane, 65535 / _white(frame)) for plane in colours]
            alpha = [_scale(plane, 65535 / _shifted(frame)) for plane in alpha]
    pixels = cv2.merge([*colours, *alpha])
    return with_channels(pixels, 4) if keep_alpha else opaque(pixels)


def from_rgb(pixels: np.ndarray, pixel_format: str, colour: Colour) -> av.VideoFrame:
    """(h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16, as a frame of the given format with the given tags.

    Where the format has no alpha, it is composited over white.
    """
    target = av.VideoFormat(pixel_format)
    if not has_alpha(target):
        pixels = opaque(pixels)
    if _is_grey(target):
        frame = _grey(_luma(pixels, _matrix(colour.matrix, pixels.shape[0])), pixel_format, colour)
    elif _is_deep_planar_rgb(target) and pixels.dtype == np.uint16:
        frame = _planar_rgb(pixels, pixel_format)
    elif target.is_rgb:
        packed = _packed(pixels)
        frame = packed if target.name == packed.format.name else _converted(packed, format=target.name)
    else:
        frame = _ycbcr(pixels, target, colour)
    frame.color_primaries, frame.color_trc = colour.primaries, colour.transfer
    return frame


def _ycbcr(pixels: np.ndarray, target: av.VideoFormat, colour: Colour) -> av.VideoFrame:
    """(h, w, 3) RGB or (h, w, 4) RGBA as Y'CbCr; in 16 bits at first, as swscale is inexact in 8 bits of full range."""
    bits, is_full = target.components[0].bits, colour.range == FULL or target.name.startswith("yuvj")
    rgb = pixels[:, :, :3]
    deep = _converted(
        _packed(_scale(rgb, _WHITE / 65535) if rgb.dtype == np.uint16 else rgb),
        format="yuv444p16le",
        dst_colorspace=_matrix(colour.matrix, pixels.shape[0]),
        dst_color_range=FULL if is_full else LIMITED,
    )
    scale = (2**bits - 1) / 65535 if is_full else 2.0 ** (bits - 16)
    luma, *chromas = (planes.values(plane, True) for plane in deep.planes)
    found = [_levels(luma, scale, 0, bits)]
    for values in chromas:
        reduced = chroma.reduced(values, target, colour.location)
        found.append(_levels(reduced, scale, 2 ** (bits - 1) - 32768 * scale, bits))
    if has_alpha(target):
        alpha = with_channels(pixels, 4)[:, :, 3]
        found.append(_levels(alpha, (2**bits - 1) / np.iinfo(alpha.dtype).max, 0, bits))
    frame = av.VideoFrame(deep.width, deep.height, _planar(target))
    for plane, levels in zip(frame.planes, found, strict=True):
        planes.values(plane, bits > 8)[:] = levels
    if frame.format.name != target.name:
        # Values only change places. Several threads would write over each other's rows in packed formats.
        frame = VideoReformatter().reformat(frame, format=target.name, threads=1)
    frame.colorspace, frame.color_range = colour.matrix, colour.range
    return frame


def _levels(values: np.ndarray, scale: float, offset: float, bits: int) -> np.ndarray:
    """Positive values · scale + offset, rounded to levels of so many bits."""
    if bits == 8:
        return cv2.convertScaleAbs(values, alpha=scale, beta=offset)
    return (values * np.float32(scale) + np.float32(offset)).round().clip(0, 2**bits - 1).astype(np.uint16)


def _planar(target: av.VideoFormat) -> str:
    """The planar, little-endian format of the same resolution and depth as a format of Y'CbCr."""
    if is_planar_ycbcr(target):
        return target.name
    bits = target.components[0].bits
    alpha = "a" if has_alpha(target) else ""
    return f"yuv{alpha}{chroma.name(target)}p" + (f"{bits}le" if bits > 8 else "")


def _packed(pixels: np.ndarray) -> av.VideoFrame:
    """A copy of (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16, as a frame of `packed_rgb`."""
    h, w, channels = pixels.shape
    frame = av.VideoFrame(w, h, packed_rgb(pixels.dtype == np.uint16, channels == 4))
    rows = np.ascontiguousarray(pixels).reshape(h, w * channels).view(np.uint8)
    planes.rows(frame.planes[0])[:, : rows.shape[1]] = rows
    return frame


def _converted(frame: av.VideoFrame, **options: Any) -> av.VideoFrame:
    """A frame in another size, format, matrix or range."""
    # A reformatter that is kept would keep its threads, for which a forked process waits forever.
    return VideoReformatter().reformat(frame, interpolation=_EXACT, threads=_THREADS, **options)


def plain(name: str) -> str:
    """The pixel format without a range in its name: yuv420p for yuvj420p."""
    return name.replace("yuvj", "yuv")


def copy(frame: av.VideoFrame) -> av.VideoFrame:
    """The same picture in its `plain` format with the same tags, without what else a decoder leaves on a frame."""
    same = av.VideoFrame(frame.width, frame.height, plain(frame.format.name))
    for source, plane in zip(frame.planes, same.planes, strict=True):
        planes.copy(source, plane)
    if not frame.format.is_rgb:
        same.colorspace, same.color_range = frame.colorspace, _range(frame)
    same.color_primaries, same.color_trc = frame.color_primaries, frame.color_trc
    return same


def _matrix(tag: int, height: int) -> int:
    return _MATRICES.get(tag) or usual_matrix(height)


def usual_matrix(height: int) -> int:
    """The matrix that players assume if none is specified."""
    return BT709 if height >= _HD_HEIGHT else BT601


def _white(frame: av.VideoFrame) -> int:
    """Where swscale puts the white of `frame` in 16 bits."""
    if frame.format.is_rgb:
        return 65535
    return _shifted(frame) if frame.color_range == FULL or _is_grey(frame.format) else _WHITE


def _shifted(frame: av.VideoFrame) -> int:
    """The largest value of a component, shifted to 16 bits."""
    return _largest(frame) << (16 - frame.format.components[0].bits)


def _largest(frame: av.VideoFrame) -> int:
    return 2 ** frame.format.components[0].bits - 1


def _is_grey(pixel_format: av.VideoFormat) -> bool:
    return len(pixel_format.components) == 1 and not pixel_format.is_rgb and not pixel_format.has_palette


def _is_deep_planar_rgb(pixel_format: av.VideoFormat) -> bool:
    return pixel_format.name.startswith("gbr") and pixel_format.name.endswith("le") and "f" not in pixel_format.name


def _luma(pixels: np.ndarray, matrix: int) -> np.ndarray:
    """Map (h, w, 3) RGB to (h, w); grey stays as it is to the bit."""
    red, green, blue = (pixels[:, :, channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return green
    of_red, of_blue = _LUMA[matrix]
    weights = np.array([[of_red, 1 - of_red - of_blue, of_blue]], np.float32)
    return cv2.transform(pixels, weights)


def _grey(levels: np.ndarray, pixel_format: str, colour: Colour) -> av.VideoFrame:
    """(h, w) as a frame of one component."""
    frame = av.VideoFrame(levels.shape[1], levels.shape[0], pixel_format)
    share = levels / np.float32(np.iinfo(levels.dtype).max)
    largest = _largest(frame)
    if colour.range == LIMITED:
        share = (16 + 219 * share) / 256 * (largest + 1) / largest
    dtype = np.uint16 if largest > 255 else np.uint8
    planes.values(frame.planes[0], largest > 255)[:] = (share * largest).round().astype(dtype)
    frame.color_range = colour.range
    return frame


def _planar_rgb(pixels: np.ndarray, pixel_format: str) -> av.VideoFrame:
    """(h, w, 3 or 4) uint16 as a frame of planes of green, blue, red and, if it has it, alpha."""
    frame = av.VideoFrame(pixels.shape[1], pixels.shape[0], pixel_format)
    scaled = _scale(pixels, _largest(frame) / 65535)
    for plane, channel in zip(frame.planes, (1, 2, 0, 3), strict=False):
        planes.values(plane, True)[:] = scaled[:, :, channel] if channel < pixels.shape[2] else _largest(frame)
    return frame


def _grey_in_limited_range(grey: av.VideoFrame) -> av.VideoFrame:
    # swscale treats all grey formats as full range; as luma of another format, the levels are unchanged.
    luma = VideoReformatter().reformat(
        grey, format="yuv444p16le" if is_deep(grey.format) else "yuv444p", src_color_range=FULL, dst_color_range=FULL
    )
    luma.colorspace, luma.color_range = grey.colorspace, LIMITED
    return luma


def _scale(values: np.ndarray, factor: float) -> np.ndarray:
    return values if factor == 1 else cv2.addWeighted(values, factor, values, 0, 0)
