"""Interpolate between two image files, into a folder."""

import contextlib
import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from _train.frame_interpolation.flows import Flows
from _train.frame_interpolation.interpolator import Interpolator, check_frames, check_times
from _util import flow, image
from _util.errors import InputError
from _util.preview import check_format, write_preview


def even_times(fps: int) -> list[float]:
    """The `fps - 1` times that cut the way between two frames into `fps` even parts."""
    return [i / fps for i in range(1, fps)]


def even_names(fps: int) -> list[str]:
    """Names of the frames at even times and of both ends, as the published script gives them: `NN_II.png`."""
    digits = max(2, len(str(fps)))
    return [f"{fps:0{digits}d}_{i:0{digits}d}.png" for i in range(fps + 1)]


def names_by_time(times: list[float]) -> list[str]:
    """Names of frames at any times, `t0.25.png`, with as many digits as tell them apart and no fewer than two."""
    decimals = next((d for d in range(2, 17) if all(round(t, d) == t for t in times)), 17)
    return [f"t{t:.{decimals}f}.png" for t in times]


def interpolate_files(
    path0: Path,
    path1: Path,
    out: Path,
    *,
    fps: int | None = None,
    times: list[float] | None = None,
    preview: Path | None = None,
    show_flow: bool = False,
    **options: str | Path,
) -> list[Path]:
    """Draw the frames between two image files and write them as PNG.

    Images of different kinds meet in the richer one: grey in RGB, RGB in RGBA, 8 bits in 16.

    Args:
        out: folder, made where missing.
        fps: write the frames at even times, and both ends as they were read, as `even_names` names them.
        times: or write the frames at these times alone, as `names_by_time` names them.
        preview: also write all frames in order, both ends included, as an animation of 2 seconds there and back.
        show_flow: also write flow01.png and flow10.png.
        options: of `Interpolator`.

    Returns:
        The files written, in order of time, flow and preview not among them.

    Raises:
        InputError: an image, a size, a time, weights or a place to write that cannot be used; nothing is written.
    """
    originals = image.read(path0), image.read(path1)
    frame0, frame1 = _common_kind(*originals)
    check_frames(frame0, frame1)
    wanted = check_times(even_times(fps) if times is None else sorted(set(times)))
    names = even_names(fps) if times is None else names_by_time(wanted)
    paths = [out / name for name in names]
    flow_paths = [out / "flow01.png", out / "flow10.png"] if show_flow else []
    if preview:
        check_format(preview)
    _check_places([*paths, *flow_paths, *([preview] if preview else [])], (path0, path1))
    interpolator = Interpolator(**options)

    pair = interpolator.prepare(frame0, frame1)
    for folder in (out, preview.parent) if preview else (out,):
        folder.mkdir(parents=True, exist_ok=True)
    if show_flow:
        _write_flow(interpolator.flow_of(pair), flow_paths)
    drawn, shown = interpolator.draw(pair, wanted), []
    progress = {"total": len(wanted), "unit": "frame", "disable": not wanted}
    with tqdm(drawn, interpolator.method, **progress) as waiting:
        frames = (wait() for wait in waiting)
        if times is None:
            frames = _between(originals[0], frames, originals[1])
        for path, frame in zip(paths, frames, strict=True):
            image.write(path, frame)
            if preview:
                shown.append(frame)
    if preview:
        shown = shown[1:-1] if times is None else shown
        write_preview(preview, [frame0, *shown, frame1], fps=fps or len(shown) + 1)
    return paths


def _between(first: np.ndarray, frames: Iterator[np.ndarray], last: np.ndarray) -> Iterator[np.ndarray]:
    yield first
    yield from frames
    yield last


def _common_kind(frame0: np.ndarray, frame1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    channels = max(frame.shape[2] if frame.ndim == 3 else 1 for frame in (frame0, frame1))
    dtype = np.promote_types(frame0.dtype, frame1.dtype)
    return _as_kind(frame0, channels, dtype), _as_kind(frame1, channels, dtype)


def _as_kind(frame: np.ndarray, channels: int, dtype: np.dtype) -> np.ndarray:
    if frame.dtype != dtype:
        frame = frame.astype(dtype) * 257
    if frame.ndim == 2 and channels > 1:
        frame = np.repeat(frame[:, :, None], 3, 2)
    if frame.ndim == 3 and frame.shape[2] < channels:
        opaque = np.full_like(frame[:, :, :1], np.iinfo(dtype).max)
        frame = np.concatenate([frame, opaque], 2)
    return frame


def _check_places(paths: list[Path], inputs: tuple[Path, Path]) -> None:
    for path in paths:
        _try_to_write(path)
        if any(path.exists() and path.samefile(source) for source in inputs):
            raise InputError(f"{path} is one of the two frames and would be overwritten; choose another place.")


def _try_to_write(path: Path) -> None:
    """Make the folders of `path` and a file in them, and remove both; permissions alone do not tell what is allowed."""
    missing = []
    try:
        missing = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another place.") from error
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _write_flow(flows: Flows, paths: list[Path]) -> None:
    largest = max(f.norm(dim=1).max().item() for f in flows)
    for path, f in zip(paths, flows, strict=True):
        image.write(path, flow.to_colours(f[0], largest))
