"""Video frames and RGB pixels, both ways, as the tags of the video say.

A decoded frame comes in with its tags (H.273: matrix, range, primaries, transfer) and goes out as (h, w, 3) RGB, and
back. The matrix and the range are computed with; primaries and transfer are carried, since the picture stays in its
own colour space. Conversion and back leaves every level of Y'CbCr in limited range as it was.
"""

from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

RGB, BT709, UNSPECIFIED, BT601 = 0, 1, 2, 5  # matrices
LIMITED, FULL = 1, 2  # ranges; 0 is unspecified
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # those with coefficients of their own, by tag
_HD_HEIGHT = 720
_WHITE = 65280  # where swscale has white in 16 bits, coming from limited range and going to any
# swscale's default is a level too dark in 8 bits; these are exact. (FULL_CHR_H_INP, for once, breaks deep RGB.)
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


class Colour(NamedTuple):
    """The tags of a video, as numbers of H.273."""

    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED


def tags(frame: av.VideoFrame) -> Colour:
    """The tags of a decoded frame; those of RGB are the matrix and the range that it is best written with."""
    if frame.format.is_rgb:
        return Colour(usual_matrix(frame.height), LIMITED, frame.color_primaries, frame.color_trc)
    is_full = frame.format.name.startswith("yuvj")
    return Colour(
        frame.colorspace, FULL if is_full else frame.color_range, int(frame.color_primaries), int(frame.color_trc)
    )


def is_deep(frame: av.VideoFrame) -> bool:
    """Whether a component has more than 8 bits."""
    return max(component.bits for component in frame.format.components) > 8


def to_rgb(frame: av.VideoFrame, size: tuple[int, int], deep: bool) -> np.ndarray:
    """A decoded frame as (h, w, 3) RGB; alpha is laid over white.

    An unspecified matrix is BT.709 from 720 lines on and BT.601 below, and an unspecified range is limited, as players
    have it.

    Args:
        size: (h, w) wanted.
        deep: uint16 is wanted rather than uint8.
    """
    if len(frame.format.components) == 1 and not frame.format.is_rgb and frame.color_range == LIMITED:
        frame = _grey_in_limited_range(frame)
    if not frame.format.is_rgb:
        frame.colorspace = _matrix(frame.colorspace, frame.height)
    h, w = size
    has_alpha = frame.format.has_palette or any(component.is_alpha for component in frame.format.components)
    planar = ("gbrap16le" if has_alpha else "gbrp16le") if deep else ("gbrap" if has_alpha else "gbrp")
    converted = VideoReformatter().reformat(frame, w, h, planar, interpolation=_EXACT, threads=1)
    green, blue, red, *alpha = (_pixels(plane, deep) for plane in converted.planes)
    colours = [_scale(plane, 65535 / _white(frame)) if deep else plane for plane in (red, green, blue)]
    rgb = cv2.merge(colours)
    return over_white(rgb, alpha[0]) if alpha else rgb


def from_rgb(pixels: np.ndarray, pixel_format: str, colour: Colour) -> av.VideoFrame:
    """(h, w, 3) RGB, uint8 or uint16, as a frame of the given format with the given tags."""
    is_deep = pixels.dtype == np.uint16
    if is_deep:
        pixels = _scale(pixels, _WHITE / 65535)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb48le" if is_deep else "rgb24")
    if not av.VideoFormat(pixel_format).is_rgb:
        frame = VideoReformatter().reformat(
            frame,
            format=pixel_format,
            dst_colorspace=_matrix(colour.matrix, frame.height),
            dst_color_range=FULL if colour.range == FULL else LIMITED,
            interpolation=_EXACT,
            threads=1,
        )
        frame.colorspace, frame.color_range = colour.matrix, colour.range
    frame.color_primaries, frame.color_trc = colour.primaries, colour.transfer
    return frame


def over_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(h, w, 3) integers over white, by alpha (h, w) of the same type."""
    largest = np.iinfo(rgb.dtype).max
    share = (alpha / np.float32(largest))[:, :, None]
    return (largest + (rgb - np.float32(largest)) * share).round().astype(rgb.dtype)


def _matrix(tag: int, height: int) -> int:
    return _MATRICES.get(tag) or usual_matrix(height)


def usual_matrix(height: int) -> int:
    """The matrix that players take where none is named."""
    return BT709 if height >= _HD_HEIGHT else BT601


def _white(frame: av.VideoFrame) -> int:
    """Where swscale puts the white of `frame` in 16 bits."""
    if frame.format.is_rgb:
        return 65535
    if frame.color_range != FULL:
        return _WHITE
    bits = frame.format.components[0].bits
    return (2**bits - 1) << (16 - bits)


def _grey_in_limited_range(grey: av.VideoFrame) -> av.VideoFrame:
    # swscale takes all grey for full range; as luma of a format that it does not, the levels stay as they are.
    luma = VideoReformatter().reformat(
        grey, format="yuv444p16le" if is_deep(grey) else "yuv444p", src_color_range=FULL, dst_color_range=FULL
    )
    luma.color_range = LIMITED
    return luma


def _scale(values: np.ndarray, factor: float) -> np.ndarray:
    return values if factor == 1 else cv2.addWeighted(values, factor, values, 0, 0)


def _pixels(plane: av.video.plane.VideoPlane, deep: bool) -> np.ndarray:
    values = np.frombuffer(plane, np.uint16 if deep else np.uint8)
    return values.reshape(plane.height, -1)[:, : plane.width]
