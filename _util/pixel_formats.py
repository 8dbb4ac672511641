"""Choice of the pixel format of an encoder: of those it supports, the one that preserves most of the source.

Formats are named as in FFmpeg. The losses between formats are computed by FFmpeg, in this order: alpha, bit depth,
chroma resolution. Lossy encoders get RGB only for RGB sources and without Y'CbCr 4:4:4, as few players support it.
"""

from collections.abc import Callable

import av
import av.video.format
from av.codec.codec import find_best_pix_fmt_of_list

from _util import chroma, colour
from _util.errors import InputError

_FEW_COLOURS = ("rgb8", "bgr8", "rgb4", "bgr4", "rgb4_byte", "bgr4_byte", "pal8", "monob", "monow")
_SURFACES = ("cuda", "qsv", "vaapi", "vulkan", "d3d11", "d3d11va_vld", "d3d12", "dxva2_vld", "videotoolbox_vld")
_OF_SCREENS = ("444", "555", "565", "x2rgb", "x2bgr")  # in names of packed RGB
_UNNAMED = ("yuv420p", "yuv422p", "yuv444p", "gbrp", "bgra", "yuva420p", "yuva444p", "yuv420p10le", "yuv422p10le")
_UNNAMED += ("yuv444p10le", "gbrp10le", "gbrap10le", "yuva444p10le", "gray", "rgb48le", "rgba64le")
_Y4M = ("yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le")
_Y4M += ("yuv422p12le", "yuv444p12le", "gray10le", "gray12le", "yuv411p")


def choose(codec: av.Codec, source: str, opens: Callable[[str], bool]) -> str:
    """The format of `codec` that keeps most of frames in the format `source`.

    Args:
        opens: whether the encoder accepts frames of their size in a format; called with the best formats first.
    """
    left, compared = _candidates(codec, _plain(source))
    best = None
    while left:
        best_of_them, _ = find_best_pix_fmt_of_list(left, compared, colour.has_alpha(av.VideoFormat(compared)))
        assert best_of_them is not None  # of a list that is not empty
        found = best_of_them.name
        best = best or found
        if opens(found):
            return found
        left.remove(found)
    return best or "yuv420p"


def check(codec: av.Codec, name: str) -> str:
    """Check the name of a requested format, and return it.

    Raises:
        InputError: the codec does not support it.
    """
    known = _names(codec)
    usable = [one for one in known if _is_usable(one)]
    every = av.video.format.names  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
    if name not in known and not (known == list(_UNNAMED) and name in every):
        raise InputError(f"The codec {codec.name} has no pixel format {name}; it has {', '.join(usable)}.")
    if not _is_usable(name):
        raise InputError(f"Frames cannot be written as {name}; choose of {', '.join(usable)}.")
    return name


def lost(source: str, chosen: str) -> list[str]:
    """What is lost by converting from one format to another, in words, most important first."""
    before, after = av.VideoFormat(_plain(source)), av.VideoFormat(chosen)
    losses = []
    if colour.has_alpha(before) and not colour.has_alpha(after):
        losses.append("alpha (composited over white)")
    bits = [min(component.bits for component in one.components if not component.is_alpha) for one in (before, after)]
    if bits[1] < bits[0]:
        losses.append(f"{bits[0]} bits a value (it holds {bits[1]})")
    if len(after.components) <= 2 < len(before.components):
        losses.append("colour")
    elif len(before.components) > 2:
        coarse = [chroma.subsampling(one) for one in (before, after)]
        if any(one < other for one, other in zip(*coarse, strict=True)):
            names = [":".join(chroma.name(one)) for one in (before, after)]
            losses.append(f"resolution of colour ({names[0]} becomes {names[1]})")
    return losses


def _plain(name: str) -> str:
    """The format that represents another one in comparisons: without range, palette, or grey with alpha."""
    if av.VideoFormat(name).has_palette or name == "ya8":
        return "bgra"
    if name.startswith("ya16"):
        return "rgba64le"
    return colour.plain(name)


def _candidates(codec: av.Codec, source: str) -> tuple[list[str], str]:
    """Formats to choose from, and the format with which they are compared to represent the source."""
    names = [name for name in _names(codec) if _is_usable(name)]
    names = [name for name in names if not name.startswith("yuvj")] or names
    greys = [name for name in names if len(av.VideoFormat(name).components) == 1]
    if len(av.VideoFormat(source).components) == 1:
        bits = av.VideoFormat(source).components[0].bits
        fitting = [name for name in greys if av.VideoFormat(name).components[0].bits >= bits]
        if fitting and not codec.lossy:
            return fitting, source
        source = source.replace("gray", "yuv420p") if source != "gray" else "yuv420p"
    colours = [name for name in names if name not in greys] or names
    planar = [one for one in map(av.VideoFormat, colours) if not one.is_rgb]
    full = [one.name for one in planar if chroma.subsampling(one) == (1, 1)]
    if codec.lossy and (full or not av.VideoFormat(source).is_rgb):
        colours = [name for name in colours if not av.VideoFormat(name).is_rgb] or colours
    return colours, source


def _names(codec: av.Codec) -> list[str]:
    if codec.name == "wrapped_avframe":
        return list(_Y4M)
    return [one.name for one in codec.video_formats or ()] or list(_UNNAMED)


def _is_usable(name: str) -> bool:
    """Whether RGB can be converted to a format: not GPU surfaces, floats, or formats of few colours."""
    is_packed_rgb = av.VideoFormat(name).is_rgb and not name.startswith("gbr")
    return not (
        name in _FEW_COLOURS
        or name.startswith("ya")
        or (name.startswith("gray") and name.endswith("be"))
        or not av.VideoFormat(name).components
        or "f16" in name
        or "f32" in name
        or "msb" in name
        or (is_packed_rgb and any(part in name for part in _OF_SCREENS))
        or name in _SURFACES
    )


def opaque(name: str) -> str:
    """The corresponding format without alpha."""
    one = av.VideoFormat(_plain(name))
    if not colour.has_alpha(one):
        return name
    if one.is_rgb:
        is_planar = one.name.startswith("gbr")
        return one.name.replace("gbrap", "gbrp") if is_planar else colour.packed_rgb(colour.is_deep(one), False)
    return one.name.replace("yuva", "yuv")
