"""Interpolate between two image files, into a folder.

Files of an earlier run are replaced if they are unchanged. Other or modified files are an error unless `overwrite` is
set (see `drawn`). Files, destinations and options are validated before PyTorch is imported.
"""

import errno
import itertools
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from _train.frame_interpolation.frames import check_frames, check_times
from _train.frame_interpolation.guides import hints as hinting
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.keys.drawn import Drawn, Recipe
from _util import exr, files, formats, png
from _util.errors import InputError
from _util.formats import Picture
from _util.locks import holding
from _util.pixels import PixelType
from _util.preview import check_format, write_preview
from _util.runs import digest

_RECORD = ".frames.jsonl"


def even_times(fps: int) -> list[float]:
    """The `fps - 1` times that divide the interval between two frames into `fps` equal parts."""
    return [i / fps for i in range(1, fps)]


def even_names(fps: int, suffix: str = ".png") -> list[str]:
    """Names of the frames at even times and of both ends, as the published script gives them: `NN_II.png`."""
    digits = max(2, len(str(fps)))
    return [f"{fps:0{digits}d}_{i:0{digits}d}{suffix}" for i in range(fps + 1)]


def names_by_time(times: list[float], suffix: str = ".png") -> list[str]:
    """Names of frames at arbitrary times, `t0.25.png`, with as many digits as make them unique, at least two."""
    decimals = next((d for d in range(2, 17) if all(round(t, d) == t for t in times)), 17)
    return [f"t{t:.{decimals}f}{suffix}" for t in times]


def interpolate_files(
    path0: Path,
    path1: Path,
    out: Path,
    *,
    fps: int | None = None,
    times: list[float] | None = None,
    preview: Path | None = None,
    show_flow: bool = False,
    hints: Sequence[Hint] = (),
    overwrite: bool = False,
    **options: Any,
) -> list[Path]:
    """Draw the frames between two image files and write them as PNG, or as TIFF or EXR if their values are floating.

    If images are of different pixel types, all frames, both ends included, are of the type that holds both without
    loss: grey becomes RGB, RGB becomes RGBA, 8 bits become 16. The new frames take the colour and resolution metadata
    of the first image.

    Args:
        out: destination folder, created if missing.
        fps: write frames at even times, and both ends, named by `even_names`.
        times: alternatively, write the frames at these times only, named by `names_by_time`.
        preview: also write all frames, both ends included, as an animation of 2 seconds there and back.
        show_flow: also write flow01.png and flow10.png.
        hints: correspondences between the frames.
        overwrite: replace files in `out` that an earlier run did not write, or that were modified since.
        options: of `Interpolator`.

    Returns:
        The frames written, in order of time, without flow and preview.

    Raises:
        InputError: an invalid image, size or time, unusable weights or destination, or a file in `out` that must not be
            replaced; nothing is written.
    """
    ends = formats.read(path0), formats.read(path1)
    frame0, frame1 = common_kind((path0, path1), ends)
    try:
        check_frames(frame0, frame1)
    except InputError as error:
        raise InputError(f"{path0} and {path1} cannot be interpolated: {error}") from error
    hinting.check(hints, frame0.shape[:2])
    suffix = ends[0].suffix
    if times is None:
        assert fps is not None  # exactly one of `fps` and `times` is given
        wanted, names = check_times(even_times(fps)), even_names(fps, suffix)
    else:
        wanted = check_times(sorted(set(times)))
        names = names_by_time(wanted, suffix)
    paths = [out / name for name in names]
    flow_paths = [out / "flow01.png", out / "flow10.png"] if show_flow else []
    if preview:
        check_format(preview)
    with holding(out, *([preview] if preview else [])):
        _check_places([*paths, *flow_paths, *([preview] if preview else [])], (path0, path1))
        if times is None:
            _refuse_another_fps(out, paths)
        drawn = Drawn(out, _RECORD)
        if not overwrite:
            drawn.check([path.name for path in (*paths, *flow_paths)])
        results = _Results(paths, flow_paths, drawn, {"key": digest(path0), "next": digest(path1)})
        tell_other_colours((path0, path1), ends)
        shown = _draw((frame0, frame1), ends, wanted, results, hints, options)
        if preview:
            write_preview(preview, list(map(formats.for_display, shown)), fps or len(shown) - 1, tags=ends[0].tags)
    return paths


class _Results(NamedTuple):
    """The files to write: frames in order of time and flow, and the recipe recorded with them."""

    paths: list[Path]
    flow_paths: list[Path]
    drawn: Drawn
    recipe: Recipe

    def write_flow(self, flows: Any) -> None:
        from _util import flow, image

        largest = max(f.norm(dim=1).max().item() for f in flows)
        for path, f in zip(self.flow_paths, flows, strict=True):
            colours = flow.to_colours(f[0], largest)
            self.drawn.write(path.name, lambda place, colours=colours: image.write(place, colours), self.recipe)


def _draw(
    frames: tuple[np.ndarray, np.ndarray],
    ends: tuple[Picture, Picture],
    times: list[float],
    results: _Results,
    hints: Sequence[Hint],
    options: dict[str, Any],
) -> list[Picture]:
    """Write the frames at `times`, and both ends if they have paths; returns all, ends included, as one kind."""
    from _train.frame_interpolation.interpolator import Interpolator

    interpolator = Interpolator(**options)
    pair = interpolator.prepare(*frames, hints)
    results.drawn.begin()
    if results.flow_paths:
        results.write_flow(interpolator.flow_of(pair))
    has_ends = len(results.paths) > len(times)
    pixel_type = PixelType.common(end.type for end in ends)
    first, last = (end.converted(pixel_type) for end in ends)
    written = []
    with tqdm(
        interpolator.draw(pair, times), interpolator.method, len(times), unit="frame", disable=not times
    ) as waiting:
        pictures = (of_kind(wait(), ends) for wait in waiting)
        if has_ends:
            pictures = itertools.chain([first], pictures, [last])
        for path, picture in zip(results.paths, pictures, strict=True):
            results.drawn.write(path.name, picture.write, results.recipe)
            written.append(picture)
    return written if has_ends else [first, *written, last]


def tell_other_colours(paths: tuple[Path, Path], ends: tuple[Picture, Picture]) -> None:
    """Print a warning if two frames have different colour profiles."""
    if png.shown_profile(ends[0].tags) != png.shown_profile(ends[1].tags):
        path0, path1 = paths
        print(f"{path1} has other colours than {path0}; frames between are in those of {path0}.", file=sys.stderr)


def common_kind(paths: tuple[Path, Path], ends: tuple[Picture, Picture]) -> tuple[np.ndarray, np.ndarray]:
    """Convert both frames to the same channels and type for drawing; EXR is mapped from linear light to display."""
    if ends[0].suffix != ends[1].suffix:
        kinds = {".png": "8 or 16 bits", ".tif": "floating values", ".exr": "linear light"}
        message = " and ".join(f"{path} holds {kinds[end.suffix]}" for path, end in zip(paths, ends, strict=True))
        raise InputError(f"{message}; bring them to one kind.")
    frames = [exr.to_display(end.pixels) if end.header is not None else end.pixels for end in ends]
    frame0, frame1 = map(PixelType.common(map(PixelType.of, frames)).convert, frames)
    return frame0, frame1


def of_kind(frame: np.ndarray, ends: tuple[Picture, Picture]) -> Picture:
    """A drawn frame as a picture of the same format as both ends."""
    first = ends[0]
    if first.header is not None:
        frame = exr.from_display(frame, np.promote_types(*(end.pixels.dtype for end in ends)))
    return Picture(frame, first.suffix, first.tags, first.header)


def _refuse_another_fps(out: Path, paths: list[Path]) -> None:
    """Raise InputError if a folder holds evenly timed frames of another rate or file type."""
    ours = {path.name for path in paths}
    for path in files.pictures(out) if out.is_dir() else []:
        if re.fullmatch(r"(\d\d+)_\d\d+", path.stem) and path.name not in ours:
            raise InputError(f"{path} is of another --fps or kind; choose another --out, or move those frames away.")


def _check_places(paths: list[Path], inputs: tuple[Path, Path]) -> None:
    for path in paths:
        try_to_write(path)
        if any(path.exists() and path.samefile(source) for source in inputs):
            raise InputError(f"{path} is one of the two frames and would be overwritten; choose another place.")


def try_to_write(path: Path) -> None:
    """Check that `path` can be written: create its folders and a temporary file, as permission bits are not enough."""
    with files.writing(path), files.making_folder(path.parent):
        tempfile.TemporaryFile(dir=path.parent).close()
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
