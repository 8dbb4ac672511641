"""Conversion between video frames and RGB pixels, according to the colour tags of the video.

A decoded frame comes in with its tags (H.273: matrix, range, primaries, transfer) and goes out as (h, w, 3) RGB, and
back. The matrix and the range are computed with; primaries and transfer are carried, since the picture stays in its
own colour space. Conversion and back leaves every level of Y'CbCr in limited range as it was.
"""

import os
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

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
    """The tags of a video, as numbers of H.273."""

    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED


def tags(frame: av.VideoFrame) -> Colour:
    """The tags of a decoded frame; those of RGB are the matrix and the range that it is best written with."""
    if holds_rgb(frame.format):
        return Colour(usual_matrix(frame.height), LIMITED, frame.color_primaries, frame.color_trc)
    is_full = frame.format.name.startswith("yuvj")
    return Colour(
        frame.colorspace, FULL if is_full else frame.color_range, int(frame.color_primaries), int(frame.color_trc)
    )


def is_deep(frame_format: av.VideoFormat) -> bool:
    """Whether a component has more than 8 bits."""
    return max(component.bits for component in frame_format.components) > 8


def holds_rgb(frame_format: av.VideoFormat) -> bool:
    """Whether pixels of a format are RGB, by themselves or in a palette."""
    return frame_format.is_rgb or frame_format.has_palette


def has_alpha(frame_format: av.VideoFormat) -> bool:
    """Whether pixels of a format can be transparent."""
    return frame_format.has_palette or any(component.is_alpha for component in frame_format.components)


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
        green, blue, red, *alpha = (_scale(_pixels(plane, True), 65535 / _largest(frame)) for plane in frame.planes)
        colours = red, green, blue
    else:
        planar = f"gbr{'a' if has_alpha(frame.format) else ''}p{'16le' if deep else ''}"
        converted = _converted(frame, width=w, height=h, format=planar)
        green, blue, red, *alpha = (_pixels(plane, deep) for plane in converted.planes)
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
    else:
        frame = _reformatted(pixels, target, colour)
    frame.color_primaries, frame.color_trc = colour.primaries, colour.transfer
    return frame


def _reformatted(pixels: np.ndarray, target: av.VideoFormat, colour: Colour) -> av.VideoFrame:
    deep, is_rgba = pixels.dtype == np.uint16, pixels.shape[2] == 4
    if deep and not target.is_rgb:
        colours = _scale(pixels[:, :, :3], _WHITE / 65535)
        pixels = np.dstack([colours, pixels[:, :, 3]]) if is_rgba else colours
    frame = _packed(pixels)
    if target.is_rgb:
        return frame if target.name == frame.format.name else _converted(frame, format=target.name)
    frame = _converted(
        frame,
        format=target.name,
        dst_colorspace=_matrix(colour.matrix, frame.height),
        dst_color_range=FULL if colour.range == FULL else LIMITED,
    )
    frame.colorspace, frame.color_range = colour.matrix, colour.range
    return frame


def _packed(pixels: np.ndarray) -> av.VideoFrame:
    """A copy of (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16, as a frame of `packed_rgb`."""
    h, w, channels = pixels.shape
    frame = av.VideoFrame(w, h, packed_rgb(pixels.dtype == np.uint16, channels == 4))
    rows = np.ascontiguousarray(pixels).reshape(h, w * channels).view(np.uint8)
    _rows(frame.planes[0])[:, : rows.shape[1]] = rows
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
    for plane, source in zip(same.planes, frame.planes, strict=True):
        length = min(plane.line_size, source.line_size)  # a raw frame's rows are not padded
        _rows(plane)[:, :length] = _rows(source)[:, :length]
    if not frame.format.is_rgb:
        same.colorspace, same.color_range = tags(frame)[:2]
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
    _pixels(frame.planes[0], largest > 255)[:] = (share * largest).round().astype(dtype)
    frame.color_range = colour.range
    return frame


def _planar_rgb(pixels: np.ndarray, pixel_format: str) -> av.VideoFrame:
    """(h, w, 3 or 4) uint16 as a frame of planes of green, blue, red and, if it has it, alpha."""
    frame = av.VideoFrame(pixels.shape[1], pixels.shape[0], pixel_format)
    scaled = _scale(pixels, _largest(frame) / 65535)
    for plane, channel in zip(frame.planes, (1, 2, 0, 3), strict=False):
        _pixels(plane, True)[:] = scaled[:, :, channel] if channel < pixels.shape[2] else _largest(frame)
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


def _rows(plane: VideoPlane) -> np.ndarray:
    """The bytes of a plane, (h, bytes of a row)."""
    return np.frombuffer(memoryview(plane), np.uint8)[: plane.height * plane.line_size].reshape(
        plane.height, plane.line_size
    )


def _pixels(plane: VideoPlane, deep: bool) -> np.ndarray:
    return _rows(plane).view(np.uint16 if deep else np.uint8)[:, : plane.width]
