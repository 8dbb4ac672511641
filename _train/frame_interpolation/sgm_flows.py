"""Computes the flow of segment-guided matching for a whole data set and stores it in files.

In: triplets from any source. Out: files as described in `_databacks.sgm_flows`, and pictures of segments and matches.
A second run resumes: it skips triplets whose files all exist, unless their pictures have changed since. Settings cannot
be mixed; `sgm.json` holds them, and what the flows are of.
"""

import functools
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from _databacks import sgm_flows
from _databacks.dataset import workers
from _databacks.sources import open_source
from _databacks.triplet import Source
from _train.frame_interpolation.flows import at_moderate_size
from _util import checkpoints, files, image, runs, segmentation
from _util.errors import InputError
from _util.segmentation import Style
from _util.sgm import SGM, Matching
from _util.sgm.matching import Penalty

PICTURES = ("pieces1.png", "pieces3.png", "matches.png")
SETTINGS = "sgm.json"
_DIED = "its process died, perhaps from want of memory; run again with fewer --workers"
_UNMATCHED = 0.25  # brightness of an unmatched segment in the pictures, relative to its own


class SGMFlowOptions(NamedTuple):
    """What flows are computed from, and the settings; those without a comment are as of `SGM`."""

    data: Path
    out: Path
    split: str = "test"  # of ATD-12K
    features: str = "auto"
    penalty: Penalty = "released"
    style: Style = "japanese"
    half: bool = False
    compress: bool = False
    show: bool = False
    device: str = "cpu"
    checkpoints: Path = checkpoints.FOLDER


def compute(options: SGMFlowOptions, processes: int = 1) -> dict[str, str]:
    """Write the flows of all triplets that have none yet, with a progress bar on stderr.

    Returns:
        The error messages of the triplets that failed, by name.

    Raises:
        InputError: there are no triplets or no end of them, weights are missing, the folder holds flows of other
            settings or data, or pictures would get into the data.
    """
    source = _source(options.data, options.split)
    source.require_end()
    if options.show:
        files.require_outside(options.out, source.path)
    _agree_on_settings(options, source)
    waiting = [i for i in range(len(source)) if not _is_done(options, source.names[i])]
    if len(waiting) < len(source):
        print(f"{len(source) - len(waiting)} of {len(source)} triplets are done.", file=sys.stderr)
    work, failed = functools.partial(_work, options), {}
    if processes > 1:
        done = workers.processes(work, waiting, lambda *_: None, processes)
    else:
        done = ((i, work(i, lambda _: None)) for i in waiting)
    for i, answer in tqdm(done, total=len(waiting), unit="triplet", leave=False):
        is_written, reason = answer or (False, _DIED)
        if not is_written:
            failed[source.names[i]] = reason
    return failed


def show_matches(frames: tuple[np.ndarray, np.ndarray], matching: Matching) -> np.ndarray:
    """Both frames above their segments: matched segments share a colour, the others are dark.

    Args:
        frames: (h, w, 3) uint8 RGB.

    Returns:
        (2h, 2w, 3) uint8 RGB.
    """
    colours = (255 * np.random.default_rng(0).uniform(0.3, 1, (len(matching.pairs), 3))).astype(np.uint8)
    shown = []
    for frame, segments, pieces in zip(frames, matching[2:], matching.pairs.T, strict=True):
        palette = (_UNMATCHED * 255 * segments.colours).astype(np.uint8)
        palette[pieces] = colours
        shown.append(np.concatenate([frame, palette[segments.labels]]))
    return np.concatenate(shown, 1)


def _is_done(options: SGMFlowOptions, name: str) -> bool:
    folder = options.out / name
    is_shown = not options.show or all((folder / picture).exists() for picture in PICTURES)
    return is_shown and all((folder / file).exists() for file in _files(options))


def _files(options: SGMFlowOptions) -> list[str]:
    return [f"{name}{sgm_flows.SUFFIXES[options.compress]}" for name in sgm_flows.NAMES]


def _agree_on_settings(options: SGMFlowOptions, source: Source) -> None:
    """Record the settings and what the flows are of, and remove flows of triplets that have changed since."""
    backbone = _estimator(options).backbone
    settings = {
        "features": backbone.architecture,
        "weights": backbone.digest()[:16],
        **{name: getattr(options, name) for name in ("penalty", "style", "half")},
    }
    path, remedy = options.out / SETTINGS, "choose another folder"
    files.make_folder(options.out, remedy)
    data, now = str(options.data.resolve()), dict(zip(source.names, map(source.stamp, range(len(source))), strict=True))
    before = runs.read(path, remedy) if path.exists() else settings | {"data": data, "stamps": {}}
    if "stamps" not in before:
        raise InputError(f"{options.out} is of an earlier version, which did not record of what data; {remedy}.")
    of_data, stamps = before.pop("data"), before.pop("stamps")
    if changes := runs.changes(before, settings):
        raise InputError(f"{options.out} holds flows of {changes}; {remedy}.")
    changed = [name for name in now if stamps.get(name, now[name]) != now[name]]
    if changed and of_data != data:
        raise InputError(f"{options.out} holds flows of {of_data}, where {changed[0]} is another triplet; {remedy}.")
    for name in changed:
        sgm_flows.remove(options.out / name)
    runs.write(path, settings | {"data": data, "stamps": stamps | now})


@functools.cache
def _source(path: Path, split: str) -> Source:
    return open_source(path, split)


@functools.cache
def _estimator(options: SGMFlowOptions) -> SGM:
    name = options.features
    return SGM(name, options.penalty, options.style, device=options.device, folder=options.checkpoints)


@torch.inference_mode()
def _work(options: SGMFlowOptions, index: int, _tick: workers.Tick) -> tuple[bool, str]:
    """Compute the flow of a triplet; returns whether its files were written, and the error message if not."""
    matchings = []

    def estimate(frame0: torch.Tensor, frame1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        matchings.append(((frame0, frame1), sgm.match(frame0, frame1)))
        return sgm.flow(frame0, frame1, matchings[-1][1])

    sgm = _estimator(options)
    try:
        triplet = _source(options.data, options.split)[index]
        flows = at_moderate_size(estimate, triplet.frames[:1], triplet.frames[2:])
        folder = options.out / triplet.name
        sgm_flows.write(folder, flows, options.half, options.compress)
        if options.show:
            _show(folder, *matchings[0])
    except InputError as error:
        return False, str(error)
    return True, ""


def _show(folder: Path, frames: tuple[torch.Tensor, torch.Tensor], matching: Matching) -> None:
    seen = image.pictures_of(*frames)
    shown = [*(segmentation.show(segments) for segments in matching[2:]), show_matches(seen, matching)]
    for name, picture in zip(PICTURES, shown, strict=True):
        image.write(folder / name, picture)
