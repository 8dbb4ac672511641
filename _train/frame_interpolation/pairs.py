"""Interpolate between two image files, into a folder.

Files of an earlier run are replaced if they are unchanged. Other or modified files are an error unless `overwrite` is
set (see `drawn`). Files, destinations and options are validated before PyTorch is imported.
"""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from _train.frame_interpolation.ends import Ends
from _train.frame_interpolation.frames import check_frames, check_times
from _train.frame_interpolation.guides import hints as hinting
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.keys.drawn import Drawn, Recipe, check_file, write_file
from _train.frame_interpolation.keys.timing import MOST_BETWEEN
from _util import files, formats
from _util.errors import InputError
from _util.locks import holding
from _util.preview import check_format, reduced, write_preview
from _util.runs import digest

_RECORD = ".frames.jsonl"
_MOST_DECIMALS = 17  # in names of frames


def even_times(fps: int) -> list[float]:
    """The `fps - 1` times that divide the interval between two frames into `fps` equal parts."""
    return [i / fps for i in range(1, fps)]


def even_names(fps: int, suffix: str = ".png") -> list[str]:
    """Names of the frames at even times and of both ends, as the published script gives them: `NN_II.png`."""
    digits = max(2, len(str(fps)))
    return [f"{fps:0{digits}d}_{i:0{digits}d}{suffix}" for i in range(fps + 1)]


def names_by_time(times: list[float], suffix: str = ".png") -> list[str]:
    """Names of frames at arbitrary times, `t0.25.png`, with as many digits as make them unique, at least two.

    Args:
        times: ascending.

    Raises:
        InputError: two times differ by less than names can show.
    """
    decimals = next((d for d in range(2, _MOST_DECIMALS) if all(round(t, d) == t for t in times)), _MOST_DECIMALS)
    names = [f"t{t:.{decimals}f}{suffix}" for t in times]
    for (before, name), (time, next_name) in itertools.pairwise(zip(times, names, strict=True)):
        if name == next_name:
            raise InputError(f"The times {before} and {time} would both be {name}; choose times further apart.")
    return names


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
        overwrite: replace files in `out`, and a preview, that an earlier run did not write, or that were modified
            since.
        options: of `Interpolator`.

    Returns:
        The frames written, in order of time, without flow and preview.

    Raises:
        InputError: an invalid image, size or time, unusable weights or destination, or a file that must not be
            replaced; nothing is written.
    """
    ends, frames, wanted, paths = _planned(path0, path1, out, fps, times)
    hinting.check(hints, frames[0].shape[:2])
    flow_paths = [out / "flow01.png", out / "flow10.png"] if show_flow else []
    if preview:
        check_format(preview)
    with holding(out, *([preview] if preview else [])):
        _check_places([*paths, *flow_paths, *([preview] if preview else [])], (path0, path1))
        if times is None:
            _refuse_another_fps(out, paths)
        drawn = Drawn(out, _RECORD)
        ends_of = [str(path.resolve()) for path in (path0, path1)]
        recipe = {"key": digest(path0), "next": digest(path1), "frames": ends_of}
        if not overwrite:
            drawn.check([path.name for path in (*paths, *flow_paths)])
            _refuse_other_frames(out, drawn, recipe)
            if preview:
                check_file(preview, out)
        ends.warn_other_profiles()
        from _train.frame_interpolation.interpolator import Interpolator

        interpolator = Interpolator(**options)
        pair = interpolator.prepare(*frames, hints)
        drawn.begin()
        if show_flow:
            _write_flow(interpolator.flow_of(pair), flow_paths, drawn, recipe)
        first, last = ends.alike()
        places = paths if times is None else [None, *paths, None]
        shown: list[np.ndarray] = []
        with tqdm(
            interpolator.draw(pair, wanted), interpolator.method, len(wanted), unit="frame", disable=not wanted
        ) as waiting:
            pictures = itertools.chain([first], (ends.picture(wait()) for wait in waiting), [last])
            for path, picture in zip(places, pictures, strict=True):
                if path:
                    drawn.write(path.name, picture.write, recipe)
                if preview:
                    shown.append(reduced(formats.for_display(picture)))
        if preview:
            rate = fps or len(shown) - 1
            write_file(preview, out, lambda place: write_preview(place, shown, rate, tags=ends.pictures[0].tags))
    return paths


def _planned(
    path0: Path, path1: Path, out: Path, fps: int | None, times: list[float] | None
) -> tuple[Ends, tuple[np.ndarray, np.ndarray], list[float], list[Path]]:
    """Read and check both images; also returns the times to draw, and the frames to write."""
    if fps is not None and fps - 1 > MOST_BETWEEN:
        raise InputError(
            f"fps is {fps}; up to {MOST_BETWEEN} frames are drawn between two: at most {MOST_BETWEEN + 1}."
        )
    ends = Ends.read(path0, path1)
    frames = ends.frames()
    try:
        check_frames(*frames)
    except InputError as error:
        raise InputError(f"{path0} and {path1} cannot be interpolated: {error}") from error
    suffix = ends.pictures[0].suffix
    if times is None:
        assert fps is not None  # exactly one of `fps` and `times` is given
        wanted, names = check_times(even_times(fps)), even_names(fps, suffix)
    else:
        wanted = check_times(sorted(set(times)))
        names = names_by_time(wanted, suffix)
    return ends, frames, wanted, [out / name for name in names]


def _write_flow(flows: Sequence[Any], paths: list[Path], drawn: Drawn, recipe: Recipe) -> None:
    """Write flow (1, 2, h, w) both ways in colours, on one scale."""
    from _util import flow, image

    largest = max(f.norm(dim=1).max().item() for f in flows)
    for path, f in zip(paths, flows, strict=True):
        colours = flow.to_colours(f[0], largest)
        drawn.write(path.name, lambda place, colours=colours: image.write(place, colours), recipe)


def _refuse_other_frames(out: Path, drawn: Drawn, recipe: Recipe) -> None:
    """Raise InputError if a folder holds drawings whose first or second frame has another path and other content."""

    def is_of_others(other: Recipe) -> bool:
        paths = zip(other.get("frames", recipe["frames"]), recipe["frames"], strict=True)
        contents = [(other["key"], recipe["key"]), (other["next"], recipe["next"])]
        return any(a != b and c != d for (a, b), (c, d) in zip(paths, contents, strict=True))

    if any(map(is_of_others, drawn.recipes)):
        raise InputError(
            f"{out} holds drawings between other frames; choose another --out, or replace them with --overwrite."
        )


def _refuse_another_fps(out: Path, paths: list[Path]) -> None:
    """Raise InputError if a folder holds evenly timed frames of another rate or file type."""
    ours = {path.name for path in paths}
    for path in files.pictures(out) if out.is_dir() else []:
        if re.fullmatch(r"(\d\d+)_\d\d+", path.stem) and path.name not in ours:
            raise InputError(f"{path} is of another --fps or kind; choose another --out, or move those frames away.")


def _check_places(paths: list[Path], inputs: tuple[Path, Path]) -> None:
    for path in paths:
        files.check_writable(path)
        if any(path.exists() and path.samefile(source) for source in inputs):
            raise InputError(f"{path} is one of the two frames and would be overwritten; choose another place.")
