"""ICC profiles of RGB, built from the gamma and chromaticities that a PNG file states, or from a profile of grey."""

import struct

import numpy as np

_SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)  # white, red, green, blue, x and y
_D50 = np.array([0.9642, 1, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def of_gamma(exponent: float, white_and_primaries: tuple[float, ...] = _SRGB) -> bytes:
    """An RGB profile with a power-law transfer curve.

    Args:
        exponent: of the curve from values to light, for example 2.2.
        white_and_primaries: chromaticities x and y of white, red, green and blue.

    Raises:
        ValueError: the chromaticities are degenerate: collinear primaries, y of 0, or unbounded colorants.
    """
    colorants = _colorants(np.reshape(white_and_primaries, (4, 2)))
    text = b"RGB of gamma and primaries\0"
    tags = {
        b"desc": struct.pack(">4s4xI", b"desc", len(text)) + text + bytes(-len(text) % 4 + 80),
        b"cprt": b"text\0\0\0\0" + b"No copyright\0".ljust(16, b"\0"),
        b"wtpt": _xyz(_D50),
        **_matrix_and_curve(colorants, struct.pack(">4s4xIH2x", b"curv", 1, round(256 * exponent))),
    }
    header = struct.pack(
        ">8xI4s4s4s6H4s28x3i", 0x02400000, b"mntr", b"RGB ", b"XYZ ", 2000, 1, 1, 0, 0, 0, b"acsp", *_fixed(_D50)
    )
    return _assembled(header.ljust(128, b"\0"), tags)


def of_grey(profile: bytes) -> bytes | None:
    """The profile with which grey values, as RGB, have the colours that they have as grey with `profile`.

    Returns:
        The profile; None if `profile` is damaged, or does not define grey by a curve to XYZ.
    """
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        entries = [struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(min(count, len(profile) // 12))]
    except struct.error:
        return None
    tags = {name: profile[at : at + size] for name, at, size in entries}
    if profile[16:24] != b"GRAYXYZ " or b"kTRC" not in tags:
        return None
    described = {name: tags[name] for name in (b"desc", b"cprt", b"wtpt", b"chad") if name in tags}
    colorants = _colorants(np.reshape(_SRGB, (4, 2)))
    header = profile[:16] + b"RGB " + profile[20:84] + bytes(16) + profile[100:128]  # without the digest of its content
    return _assembled(header, {**described, **_matrix_and_curve(colorants, tags[b"kTRC"])})


def _matrix_and_curve(colorants: np.ndarray, curve: bytes) -> dict[bytes, bytes]:
    places = {name: _xyz(colorants[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    return places | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)


def _assembled(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of a header, 128 bytes, whose first 4, the size, are set, and tags."""
    table, content = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(content), len(data))
        content += data.ljust(-(-len(data) // 4) * 4, b"\0")
    return struct.pack(">I", len(header + table + content)) + header[4:] + table + content


def _colorants(xy: np.ndarray) -> np.ndarray:
    """XYZ of red, green and blue as columns, adapted to the illuminant D50 (Bradford)."""
    if (xy[:, 1] <= 0).any():
        raise ValueError("A chromaticity has no y.")
    xyz = np.stack([xy[:, 0] / xy[:, 1], np.ones(4), (1 - xy.sum(1)) / xy[:, 1]])
    try:
        primaries = xyz[:, 1:] * np.linalg.solve(xyz[:, 1:], xyz[:, 0])
        adapted = np.linalg.solve(_BRADFORD, np.diag(_BRADFORD @ _D50 / (_BRADFORD @ xyz[:, 0])) @ _BRADFORD)
    except np.linalg.LinAlgError as error:
        raise ValueError("The primaries lie in one line.") from error
    colorants = adapted @ primaries
    if not np.abs(colorants).max() < 100:
        raise ValueError("The primaries span no colours.")
    return colorants


def _xyz(values: np.ndarray) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *_fixed(values))


def _fixed(values: np.ndarray) -> list[int]:
    return [round(65536 * value) for value in values]
