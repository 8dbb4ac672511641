"""Files of flow by segment-guided matching, named as ATD-12K names them.

    FOLDER/
        NAME/guide_flo13.npy  guide_flo31.npy    (2, h, w), x then y, pixels: first to last frame, and back
        NAME/guide_flo13.npz  guide_flo31.npz    the same, compressed, under the name `flow`

They hold 32-bit floats, as published. In half as many bytes vectors are rounded to 1/16 of a pixel, which 16-bit floats
hold exactly up to 128 pixels; where a vector is longer the file keeps 32 bits, which then compress as well.
"""

import itertools
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from _util import command
from _util.errors import InputError
from _util.files import make_folder, replacing
from _util.flow import Flows

NAMES = ("guide_flo13", "guide_flo31")
SUFFIXES = (".npy", ".npz")
_STEPS_PER_PIXEL, _LARGEST_HALF = 16, 128.0  # to a pixel; the length up to which 16-bit floats are as fine


def write(folder: Path, flows: tuple[Tensor, Tensor], half: bool = False, compress: bool = False) -> None:
    """Write flow01 and flow10 into a folder, created if missing; each file is written atomically.

    Args:
        flows: (2, h, w) or (1, 2, h, w), x then y, pixels.
        half: round to 1/16 of a pixel, and store 16 bits where they suffice; no vector is off by more than 0.05 pixels.
        compress: write `.npz`, else `.npy`.

    Raises:
        InputError: the folder cannot be written.
    """
    make_folder(folder)
    for name, flow in zip(NAMES, flows, strict=True):
        array = flow.detach().float().cpu().reshape(2, *flow.shape[-2:]).numpy()
        if half:
            array = np.round(array * _STEPS_PER_PIXEL) / np.float32(_STEPS_PER_PIXEL)
            array = array.astype(np.float16) if np.abs(array).max() <= _LARGEST_HALF else array
        with replacing(folder / f"{name}{SUFFIXES[compress]}") as temporary:
            if compress:
                np.savez_compressed(temporary, flow=array)
            else:
                np.save(temporary, array)
        (folder / f"{name}{SUFFIXES[not compress]}").unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Delete the files of both flows in a folder."""
    for name, suffix in itertools.product(NAMES, SUFFIXES):
        (folder / f"{name}{suffix}").unlink(missing_ok=True)


def find(folder: Path) -> tuple[Path, Path] | None:
    """The files of both flows in a folder; None if one is missing."""
    candidates = ([folder / f"{name}{suffix}" for suffix in SUFFIXES] for name in NAMES)
    found01, found10 = (next((path for path in paths if path.exists()), None) for paths in candidates)
    return (found01, found10) if found01 and found10 else None


def read(folder: Path, size: Sequence[int]) -> Flows:
    """flow01 and flow10, (2, h, w) float32, x then y, pixels, of frames of (h, w) = `size`.

    Raises:
        InputError: a file is missing, damaged or of another size.
    """
    paths = find(folder)
    if paths is None:
        way = command.line("_scripts.sgm_flows")
        raise InputError(f"{folder} lacks {NAMES[0]} or {NAMES[1]}; compute them by {way}.")
    return Flows(*(_read(path, size) for path in paths))


def _read(path: Path, size: Sequence[int]) -> Tensor:
    try:
        stored = np.load(path, allow_pickle=False)
        flow = stored if path.suffix == ".npy" else stored["flow"]
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged or holds more than an array; compute it again.") from error
    if flow.shape != (2, *size) or flow.dtype.kind != "f" or not np.isfinite(flow).all():
        shape = "×".join(map(str, flow.shape))
        raise InputError(
            f"{path} is {flow.dtype} {shape} instead of finite numbers 2×{size[0]}×{size[1]}; compute it again."
        )
    return torch.from_numpy(flow.astype(np.float32))
