"""Numbered drawings as the frames of a video, at a constant rate."""

import contextlib
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from _util import colour, exr, files, formats, sequences
from _util.alpha import opaque, resized
from _util.counts import listed
from _util.decoding import Damage, Decoded, Metadata
from _util.errors import InputError
from _util.pixels import as_8_bits, as_16_bits, resize, with_channels
from _util.prefetch import PICTURES, in_order

RATE = Fraction(24)
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "PA")


class Drawings:
    """The drawings of a folder, a pattern or a glob.

    Args:
        rate: drawings per second.
        close_gaps: missing numbers take no time.
    """

    def __init__(self, source: Path, rate: Fraction, keep_alpha: bool = False, close_gaps: bool = False):
        if rate <= 0:
            raise InputError(f"The rate is {float(rate):g} frames per second; it must be above 0.")
        self.rate = rate
        sequence = sequences.find(source)
        self.paths = sequence.paths
        self.places = list(range(len(self.paths))) if close_gaps else sequence.places
        first_path, first = _first_readable(self.paths)
        pixels = formats.for_display(first)
        kinds = {path.name: _kind(path) for path in self.paths}
        alpha = any(kind.alpha for kind in kinds.values())
        is_deep = any(kind.deep for kind in kinds.values())
        notes = (
            files.left_out(source, self.paths) if source.is_dir() else None,
            sequences.message(sequence, source, close_gaps),
            _unreadable(kinds),
            _other_sizes(kinds, first_path, pixels.shape[:2]),
            _other_colours(kinds),
        )
        self.keep_alpha = keep_alpha and alpha
        self.declared = (self.places[-1] + 1) / rate
        self.metadata = Metadata(
            size=pixels.shape[:2],
            rate=rate,
            duration=self.declared,
            deep=is_deep,
            colour=colour.usual(pixels.shape[0]),
            pixel_format=colour.packed_rgb(is_deep, alpha),
            alpha=alpha,
            notes=tuple(filter(None, notes)),
            tags=first.tags,
        )

    def decode(self, start: Fraction, damage: Damage) -> Iterator[Decoded]:
        """The drawings whose time is `start` seconds or later."""
        drawings = zip((place / self.rate for place in self.places), self.paths, strict=True)
        shown = (drawing for drawing in drawings if drawing[0] >= start)
        with ThreadPoolExecutor(PICTURES, "drawings") as pool:
            for time, path, pixels in in_order(pool, self._read, shown, PICTURES):
                if pixels is None:
                    damage.unreadable.append(path.name)
                else:
                    yield Decoded(time, 1 / self.rate, pixels, None)

    def _read(self, drawing: tuple[Fraction, Path]) -> tuple[Fraction, Path, np.ndarray | None]:
        """A drawing and its frame, which is None if it cannot be read."""
        try:
            picture = formats.for_display(formats.read(drawing[1]))
        except InputError:
            return *drawing, None
        return *drawing, _as_frame(picture, self.metadata.size, self.metadata.deep, self.keep_alpha)


def _first_readable(paths: list[Path]) -> tuple[Path, formats.Picture]:
    reason = None
    for path in paths:
        try:
            return path, formats.read(path)
        except InputError as error:
            reason = reason or error
    raise InputError(f"{paths[0].parent} holds no picture that can be read: {reason}")


class _Kind(NamedTuple):
    """What a frame must hold to keep a picture, its size and the digest of its ICC profile."""

    size: tuple[int, int] | None  # (h, w); None: it cannot be read
    alpha: bool
    deep: bool  # more than 8 bits
    profile: str | None = None  # "": there is none; None: that is not known


def _unreadable(kinds: dict[str, _Kind]) -> str | None:
    """A sentence about drawings that cannot be read, as far as their headers show; None if there are none."""
    names = [name for name, kind in kinds.items() if kind.size is None]
    return f"{listed(names)} cannot be read: left out; the drawing before is held." if names else None


def _other_sizes(kinds: dict[str, _Kind], first: Path, size: tuple[int, int]) -> str | None:
    """A sentence about drawings of another size than that of the first; None if there are none."""
    sizes = {name: kind.size for name, kind in kinds.items() if kind.size not in (None, size)}
    others = [f"{name} ({w}×{h})" for name, (h, w) in sizes.items()]
    return f"Scaled to the {size[1]}×{size[0]} pixels of {first.name}: {listed(others)}." if others else None


def _other_colours(kinds: dict[str, _Kind]) -> str | None:
    """A sentence about drawings with another ICC profile than the first; None if there are none."""
    known = [(name, kind.profile) for name, kind in kinds.items() if kind.profile is not None]
    others = [name for name, profile in known if profile != known[0][1]]
    if not others:
        return None
    return f"The ICC profile of {listed(others)} is not that of {known[0][0]}, which is used for all drawings."


def _kind(path: Path) -> _Kind:
    """The kind of a picture, from its header where OpenEXR or Pillow reads it."""
    if not path.is_file():
        return _Kind(None, False, False)
    with contextlib.suppress(Exception):  # damage is reported when it is read
        if files.beginning(path, len(exr.MAGIC)) == exr.MAGIC:
            return _Kind(*exr.survey(path), deep=True)
    with contextlib.suppress(Exception), formats.opened(path) as opened:
        formats.refuse(path, opened)
        profile, is_deep = opened.info.get("icc_profile"), formats.is_deep(path, opened)
        has_alpha = (
            opened.mode in _ALPHA_MODES or "transparency" in opened.info or formats.has_unspecified_alpha(opened)
        )
        digest = hashlib.sha256(profile).hexdigest() if profile else ""
        if formats.states_alpha(path, opened):
            return _Kind(formats.upright_size(opened), has_alpha, is_deep, digest)
    with contextlib.suppress(InputError):
        picture = formats.for_display(formats.read(path))
        return _Kind(picture.shape[:2], picture.ndim == 3 and picture.shape[2] == 4, picture.dtype != np.uint8)
    return _Kind(None, False, False)


def _as_frame(picture: np.ndarray, size: tuple[int, int], deep: bool, keep_alpha: bool) -> np.ndarray:
    """A picture as (h, w, 3) RGB, or (h, w, 4) RGBA, of the given size, uint16 if `deep`, else uint8."""
    pixels = with_channels(as_16_bits(picture) if deep else as_8_bits(picture), 4 if keep_alpha else 3)
    return resized(pixels, size) if keep_alpha else resize(opaque(pixels), size)
