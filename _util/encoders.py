"""FFmpeg's video encoders: their options of quality and presets, and their limits."""

import os
from fractions import Fraction

import av
import cv2
from av.codec.context import CodecOption

from _util import hdr
from _util.errors import InputError

CRF = 18
CRFS = {"libx264": 16}  # exceptions by codec: its fast preset needs a finer quantizer for the same quality

_EXAMPLES = "libx264, libx265, libvpx-vp9 or libsvtav1"
_OPTIONS = {
    "libx264": {"preset": "veryfast"},
    "libx265": {"x265-params": "log-level=none"},
    "libvpx-vp9": {"cpu-used": "4", "row-mt": "1"},
    "mjpeg": {"strict": "unofficial"},
    "libwebp_anim": {"lossless": "1"},
}
# With AVX-512, libx264 reads beyond its rows unless their width is a multiple of 128, and no two runs are alike.
_AVX512 = 13  # CV_CPU_AVX_512F, which OpenCV does not name in Python
_WITHOUT_AVX512 = "asm=MMX2,SSE2,SSE3,SSSE3,SSE4.1,SSE4.2,AVX,AVX2,FMA3,BMI1,BMI2"
_HARDWARE = {
    "nvenc": "NVENC device",
    "qsv": "Quick Sync device",
    "vaapi": "VA-API device that its frames can be handed to",
    "amf": "AMF device",
    "videotoolbox": "VideoToolbox",
    "v4l2m2m": "V4L2 encoder",
    "vulkan": "Vulkan encoder that its frames can be handed to",
    "mf": "Media Foundation",
    "d3d12va": "Direct3D 12 encoder",
    "mediacodec": "MediaCodec",
    "omx": "OpenMAX encoder",
}
_LARGEST_CRF = {"libx264": 51, "libx264rgb": 51, "libx265": 51, "libvpx-vp9": 63, "libvpx": 63, "libsvtav1": 63}
_BY_QSCALE = ("mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "msmpeg4", "msmpeg4v2", "h263p", "flv", "wmv1", "wmv2")
_QSCALE, _QSCALE_UNIT, _LARGEST_QSCALE = 2, 118, 31  # by default; FF_QP2LAMBDA
_X26X = ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"]
_PRESETS = {"libx264": _X26X, "libx264rgb": _X26X, "libx265": _X26X}


def find(name: str) -> av.Codec:
    """A video encoder, by FFmpeg's name for it or for its format.

    Raises:
        InputError: there is no such encoder.
    """
    try:
        codec = av.Codec(name, "w")
    except ValueError as error:
        if hardware(name):
            raise InputError(_lacks_hardware(name)) from error
        raise InputError(f"There is no codec {name!r}; try {_EXAMPLES}.") from error
    if codec.type != "video":
        raise InputError(f"The codec {name} is for {codec.type}; use a video codec, such as {_EXAMPLES}.")
    return codec


def hardware(name: str) -> str | None:
    """The hardware that an encoder needs; None for encoders on the CPU."""
    return _HARDWARE.get(name.rpartition("_")[2]) if "_" in name else None


def options(codec: av.Codec, crf: float | None, preset: str | None, light: hdr.Light | None) -> dict[str, str]:
    """The options that FFmpeg gives an encoder.

    Raises:
        InputError: it has no such quality or preset.
    """
    os.environ.setdefault("SVT_LOG", "1")  # of libsvtav1: errors alone
    chosen = {**_OPTIONS.get(codec.name, {}), **_quality(codec, crf)}
    if codec.name in ("libx264", "libx264rgb") and cv2.checkHardwareSupport(_AVX512):
        chosen["x264-params"] = _WITHOUT_AVX512
    if preset is not None:
        chosen["preset"] = _checked_preset(codec, preset)
    for name, value in (hdr.options(codec.name, light) or {}).items() if light else ():
        chosen[name] = ":".join(filter(None, [chosen.get(name), value]))
    return chosen


def open_error(codec: av.Codec, size: tuple[int, int], rate: Fraction, pixel_format: str, error: av.FFmpegError) -> str:
    """The error message for an encoder that cannot be opened."""
    if hardware(codec.name):
        return _lacks_hardware(codec.name)
    h, w = size
    frames = f"{w}×{h} in {pixel_format}, {float(rate):.6g} a second"
    halved = av.VideoFormat(pixel_format)
    is_odd = (w % 2 and halved.chroma_width(2) == 1) or (h % 2 and halved.chroma_height(2) == 1)
    remedy = (
        "make both sides even with --crop or --scale, or leave out --pix-fmt"
        if is_odd
        else "choose another --codec or --fps"
    )
    return f"The codec {codec.name} cannot encode {frames} ({error.strerror}); {remedy}."


def _lacks_hardware(name: str) -> str:
    return f"{name} needs hardware, and this machine has no {hardware(name)}; libx265 works everywhere."


def _quality(codec: av.Codec, crf: float | None) -> dict[str, str]:
    if crf is not None and not 0 <= crf <= _LARGEST_CRF.get(codec.name, 255):
        raise InputError(
            f"--crf is {crf:g}; for {codec.name} it is from 0, the best, to {_LARGEST_CRF.get(codec.name, 255)}."
        )
    value = f"{CRFS.get(codec.name, CRF) if crf is None else crf:g}"
    whole = str(round(float(value)))
    if _has(codec, "crf"):
        return {"crf": value}
    kind = codec.name.rpartition("_")[2]
    if kind == "nvenc":
        return {"rc": "vbr", "cq": value, "b": "0"}
    if kind == "qsv":
        return {"global_quality": whole}
    if kind == "vaapi":
        return {"rc_mode": "CQP", "qp": whole}
    if kind == "amf":
        return {"rc": "cqp", "qp_i": whole, "qp_p": whole}
    if kind == "videotoolbox":
        best_is_100 = max(1, round(100 - float(value) * 100 / 51))
        return {"flags": "+qscale", "global_quality": str(best_is_100 * _QSCALE_UNIT)}
    if codec.name in _BY_QSCALE:
        qscale = str(round(min(max(_QSCALE if crf is None else crf, 1), _LARGEST_QSCALE)))
        return {"qmin": qscale, "qmax": qscale}
    if crf is not None:
        raise InputError(f"The codec {codec.name} has no constant rate factor; leave --crf out.")
    return {}


def _checked_preset(codec: av.Codec, preset: str) -> str:
    option = _has(codec, "preset")
    if not option:
        raise InputError(f"The codec {codec.name} has no presets; leave --preset out.")
    names = _PRESETS.get(codec.name) or [choice.name for choice in option.choices]
    if names:
        if preset not in names:
            raise InputError(f"The codec {codec.name} has no preset {preset}; it has {', '.join(names)}.")
    elif not preset.removeprefix("-").isdecimal() or not option.min <= int(preset) <= option.max:
        raise InputError(
            f"The codec {codec.name} has no preset {preset}; it has numbers from {option.min:g} to {option.max:g}."
        )
    return preset


def _has(codec: av.Codec, name: str) -> CodecOption | None:
    supported = av.CodecContext.create(codec.name, "w").supported_options.private
    return next((option for option in supported if option.name == name), None)
