"""Mastering display and content light level of HDR video (SMPTE ST 2086, CEA-861.3).

They are read from the side data of decoded frames, wherever the file stores them. Encoders that support them take them
as parameters, each in its own units.
"""

import ctypes
from fractions import Fraction
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.sidedata.sidedata import SideData, Type

_CHROMATICITY, _LUMINANCE = 50_000, 10_000  # units of H.265: 0.00002, and 0.0001 cd/m²


class Mastering(NamedTuple):
    """The display on which a video was mastered."""

    chromaticities: tuple[tuple[Fraction, Fraction], ...]  # x, y of red, green, blue and white; empty: unknown
    luminances: tuple[Fraction, ...]  # darkest and brightest, cd/m²; empty: unknown


class Light(NamedTuple):
    """The HDR metadata of a video."""

    mastering: Mastering | None = None
    content: tuple[int, int] | None = None  # MaxCLL and MaxFALL, cd/m²


def read(frame: av.VideoFrame) -> Light | None:
    """The HDR metadata of a decoded frame; None if there is none."""
    mastering = content = None
    for data in side_data(frame):
        if data.type == Type.MASTERING_DISPLAY_METADATA:
            mastering = _mastering(np.frombuffer(memoryview(data), np.int32))
        elif data.type == Type.CONTENT_LIGHT_LEVEL:
            most, mean = np.frombuffer(memoryview(data), np.uint32)[:2].tolist()
            content = most, mean
    return Light(mastering, content) if mastering or content else None


def _unnamed(kind: type[Type], value: int) -> Type:
    """A type of side data that FFmpeg has but PyAV does not name, such as EXIF."""
    one = object.__new__(kind)
    one._name_, one._value_ = f"UNNAMED_{value}", value
    return one


# Otherwise one such type makes all side data of a frame unreadable.
cast(Any, Type)._missing_ = classmethod(_unnamed)


def side_data(frame: av.VideoFrame) -> list[SideData]:
    """The side data of a frame. PyAV's iterator returns it before version 19, a slice since."""
    beside = cast(Any, frame.side_data)
    found = list(beside)
    found = beside[:] if found and isinstance(found[0], Type) else found
    for data in found:
        if data.type == Type.ICC_PROFILE:  # of APNG, both PyAV and FFmpeg free its name, so PyAV's object has to stay
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(data))
    return found


def changing(frame: av.VideoFrame) -> list[str]:
    """The names of per-frame metadata, which interpolated frames cannot have."""
    names = {
        Type.DOVI_METADATA: "Dolby Vision",
        Type.DOVI_RPU_BUFFER: "Dolby Vision",
        Type.DYNAMIC_HDR_PLUS: "HDR10+",
        Type.DYNAMIC_HDR_VIVID: "HDR Vivid",
        Type.A53_CC: "closed captions",
    }
    return sorted({names[data.type] for data in side_data(frame) if data.type in names})


def options(encoder: str, light: Light) -> dict[str, str] | None:
    """The options that make an encoder write `light`, with `key=value` parameters; None if it cannot."""
    if encoder == "libx265":
        return {"x265-params": ":".join(["hdr10=1", *_parameters(light, "master-display", "max-cll")])}
    if encoder == "libx264":
        return {"x264-params": ":".join(_parameters(light, "mastering-display", "cll"))}
    if encoder == "libsvtav1":
        return {"svtav1-params": ":".join(_parameters(light, "mastering-display", "content-light", in_units=False))}
    return None


def _mastering(values: np.ndarray) -> Mastering:
    rationals = [Fraction(int(a), int(b) or 1) for a, b in values[:20].reshape(10, 2)]
    points = tuple((rationals[i], rationals[i + 1]) for i in range(0, 8, 2))
    return Mastering(points if values[20] else (), tuple(rationals[8:]) if values[21] else ())


def _parameters(light: Light, display: str, level: str, in_units: bool = True) -> list[str]:
    """Parameters of an encoder, by its names: numbers in units of H.26x, or else decimal."""

    def written(value: Fraction, unit: int, decimals: int) -> str:
        return str(round(value * unit)) if in_units else f"{float(value):.{decimals}f}"

    parameters = []
    if light.mastering and light.mastering.chromaticities and light.mastering.luminances:
        points = [[written(value, _CHROMATICITY, 5) for value in point] for point in light.mastering.chromaticities]
        red, green, blue, white = (f"({x},{y})" for x, y in points)
        darkest, brightest = (written(value, _LUMINANCE, 4) for value in light.mastering.luminances)
        parameters.append(f"{display}=G{green}B{blue}R{red}WP{white}L({brightest},{darkest})")
    if light.content:
        parameters.append(f"{level}={light.content[0]},{light.content[1]}")
    return parameters
