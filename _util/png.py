"""PNG chunks of colour space and resolution.

The project keeps this metadata of all image formats in the form of these chunks, since results are PNG.
"""

import contextlib
import itertools
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from _util import icc

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"mDCV", b"cLLI")
RESOLUTION = b"pHYs"
_HEADER_END = len(SIGNATURE) + 25  # of the chunk IHDR, which is always the first
_INCH = 0.0254  # m
_HDR, _WIDE = (16, 18), (9, 11, 12)  # numbers of H.273: PQ and HLG; BT.2020 and P3


class Chunk(NamedTuple):
    name: bytes
    content: bytes


def read(data: bytes) -> tuple[Chunk, ...]:
    """The chunks of a PNG file that state colour and resolution."""
    return tuple(chunk for chunk in _before_pixels(data) if chunk.name in (*COLOUR, RESOLUTION))


def has_exif(path: Path) -> bool:
    """Whether a PNG file has a chunk of EXIF, which may also follow its pixels."""
    with path.open("rb") as file:
        file.seek(len(SIGNATURE))
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", head)
            if name == b"eXIf":
                return True
            file.seek(length + 4, os.SEEK_CUR)
    return False


def _before_pixels(data: bytes) -> Iterator[Chunk]:
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            return
        content = data[at + 8 : at + 8 + length]
        if data[at + 8 + length : at + 12 + length] == struct.pack(">I", zlib.crc32(name + content)):
            yield Chunk(name, content)
        at += 12 + length


def insert(data: bytes, chunks: Iterable[Chunk]) -> bytes:
    """Insert chunks after the header of a PNG file, a valid position for all that `read` returns.

    Chunks of the same names before its pixels are replaced.
    """
    inserted = dict(chunks)
    for chunk in _before_pixels(data):
        if chunk.name in inserted:
            data = data.replace(_encoded(*chunk), b"", 1)
    return data[:_HEADER_END] + b"".join(itertools.starmap(_encoded, inserted.items())) + data[_HEADER_END:]


def _encoded(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def icc_chunk(profile: bytes) -> Chunk:
    """The iCCP chunk of an ICC profile."""
    return Chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))


def coding_chunk(primaries: int, transfer: int) -> Chunk | None:
    """The cICP chunk for RGB with primaries and transfer as numbered in H.273; None if viewers assume them anyway."""
    if transfer not in _HDR and primaries not in _WIDE:
        return None
    return Chunk(b"cICP", bytes([primaries, transfer, 0, 1]))


def icc_profile(chunks: Iterable[Chunk]) -> bytes | None:
    """The ICC profile in chunks, truncated to 16 MiB; None if there is none."""
    content = dict(chunks).get(b"iCCP", b"")
    with contextlib.suppress(zlib.error):
        profile = zlib.decompressobj().decompress(content.partition(b"\0")[2][1:], 2**24)
        return profile or None
    return None


def shown_profile(chunks: Iterable[Chunk]) -> bytes | None:
    """The ICC profile of RGB, or one built from its gamma and primaries, or from the profile of grey; None for sRGB."""
    contents = dict(chunks)
    if b"iCCP" in contents:
        profile = icc_profile(chunks)
        return profile and (icc.of_grey(profile) or profile)
    if b"sRGB" in contents or b"cICP" in contents or len(contents.get(b"gAMA", b"")) != 4:
        return None
    (gamma,) = struct.unpack(">I", contents[b"gAMA"])
    primaries = contents.get(b"cHRM", b"")
    places = [tuple(value / 100_000 for value in struct.unpack(">8I", primaries))] if len(primaries) == 32 else []
    if not 1000 <= gamma <= 1_000_000 or (abs(gamma - 45455) < 300 and not places):
        return None
    with contextlib.suppress(ValueError):
        return icc.of_gamma(100_000 / gamma, *places)
    return None


def resolution_chunk(x: float, y: float, per_metre: bool = True) -> Chunk | None:
    """The pHYs chunk: pixels per metre, or just their ratio if there is no unit; None if PNG cannot represent it."""
    if not (0.5 <= x < 2**31 and 0.5 <= y < 2**31):
        return None
    return Chunk(RESOLUTION, struct.pack(">IIB", round(x), round(y), per_metre))


def dots_per_metre(per_inch: float) -> float:
    """Convert a resolution from dots per inch to dots per metre."""
    return per_inch / _INCH


def dots_per_inch(chunks: Iterable[Chunk]) -> tuple[float, float] | None:
    """The resolution in chunks, x then y; None if they state none with a unit."""
    content = dict(chunks).get(RESOLUTION, b"")
    if len(content) != 9 or content[8] != 1:
        return None
    x, y = struct.unpack_from(">II", content)
    return x * _INCH, y * _INCH


def transposed(chunks: Iterable[Chunk]) -> tuple[Chunk, ...]:
    """The chunks of a transposed picture."""
    return tuple(
        Chunk(name, content[4:8] + content[:4] + content[8:])
        if name == RESOLUTION and len(content) == 9
        else Chunk(name, content)
        for name, content in chunks
    )
