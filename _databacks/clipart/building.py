"""Builds the atlas of clip art from folders of SVGs.

Finished drawings are stored beside the atlas until it is complete, so that an interrupted build resumes.
"""

import contextlib
import faulthandler
import json
import shutil
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from _databacks.clipart import atlas, grounds
from _databacks.clipart.atlas import Entry
from _databacks.clipart.cutting import cut
from _databacks.clipart.limbs import find_limbs
from _databacks.clipart.vectors import VectorDrawing
from _databacks.dataset import workers
from _util import extras, quiet, runs
from _util.counts import counted
from _util.errors import InputError
from _util.files import make_folder, natural, replacing

_TIMEOUT = 60  # timeout per drawing, seconds
_MEMORY = 8 * 2**30  # limit per process, bytes


class DrawingJob(NamedTuple):
    """A file to convert to a drawing."""

    number: int
    path: Path
    name: str
    kind: str
    part: Path  # where the drawing is kept as a ZIP archive of its layers, limbs and entry


def build(
    figures: Sequence[Path],
    things: Sequence[Path],
    path: Path,
    ground_count: int,
    processes: int = 1,
) -> tuple[int, dict[str, str]]:
    """Render the SVGs of folders and write the atlas atomically; the same files give the same pictures.

    Args:
        figures: folders of drawings that move in scenes.
        things: folders of drawings that grounds are made of, and that move occasionally; figures are used if empty.

    Returns:
        The number of drawings in the atlas, and for each unusable file, the reason.

    Raises:
        InputError: a folder has no SVGs, none can be used, or the atlas cannot be written.
    """
    extras.require("resvg_py")
    parts = path.with_suffix(".parts")
    jobs = _jobs(figures, things, parts)
    make_folder(parts)
    unused = _draw(jobs, processes)
    with replacing(path) as unfinished, zipfile.ZipFile(unfinished, "w") as file:
        entries = [_append(file, job) for job in jobs if job.part.exists()]
        if not any(entry.kind == "figure" for entry in entries):
            shutil.rmtree(parts)
            reason = " ".join(min(unused.items(), default=("all", "fill their page")))
            searched = counted(len(jobs), "SVG")
            raise InputError(f"None of {searched} is a figure that can be used ({reason}); name other folders.")
        _paint_grounds(file, entries, ground_count)
        index = {"drawings": [entry._asdict() for entry in entries], "grounds": ground_count}
        file.writestr("index.json", json.dumps(index))
    shutil.rmtree(parts)
    return len(entries), {name: unused[name] for name in sorted(unused, key=natural)}


def _draw(jobs: Sequence[DrawingJob], processes: int) -> dict[str, str]:
    """Create the missing parts; returns the reason for each unusable file."""
    unused: dict[str, str] = {}
    waiting = [job for job in jobs if not job.part.exists()]
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(waiting), desc="atlas of clip art", unit="drawing")
    with bar, contextlib.closing(workers.processes(_work, waiting, lambda job, text: None, processes)) as done:
        for job, reason in done:
            bar.update()
            if reason is None:
                reason = f"takes more than {_TIMEOUT} s, or brings down the renderer"
            if reason:
                unused[str(job.path)] = reason
    return unused


def _append(file: zipfile.ZipFile, job: DrawingJob) -> Entry:
    """Add a drawing to the atlas."""
    with zipfile.ZipFile(job.part) as part:
        entry = Entry(job.number, **json.loads(part.read("entry.json")))
        for number in range(len(entry.corners)):
            file.writestr(atlas.layer_name(job.number, number), part.read(f"{number}.webp"))
        file.writestr(atlas.limbs_name(job.number), part.read("limbs.webp"))
    return entry


def _paint_grounds(file: zipfile.ZipFile, entries: Sequence[Entry], count: int) -> None:
    """Add grounds to an atlas that has its drawings; they are made of things (figures if there are none) and scenes."""
    kind = "thing" if any(entry.kind == "thing" for entry in entries) else "figure"
    ingredients = [entry for entry in entries if entry.kind in (kind, "scene")]
    for number in tqdm(range(count), desc="grounds", unit="ground"):
        ground = grounds.paint(file, ingredients, np.random.default_rng(number))
        file.writestr(atlas.ground_name(number), atlas.encode(ground, quality=85))


def _jobs(figures: Sequence[Path], things: Sequence[Path], parts: Path) -> list[DrawingJob]:
    """The SVGs in folders, at any depth, each file once, however many links lead to it; parts are named by content."""
    jobs: dict[Path, DrawingJob] = {}
    for kind, folders in (("figure", figures), ("thing", things)):
        for folder in folders:
            found = sorted(path for path in folder.rglob("*.[sS][vV][gG]") if path.is_file())
            if not found:
                raise InputError(f"{folder} holds no SVGs; name a folder with .svg files in it, at any depth.")
            for path in found:
                name = f"{folder.resolve().name}/{path.relative_to(folder).as_posix()}"
                part = parts / f"{runs.digest_of([name, kind, runs.digest(path)])}.zip"
                jobs.setdefault(path.resolve(), DrawingJob(len(jobs), path, name, kind, part))
    return list(jobs.values())


def _work(job: DrawingJob, _tick: object) -> str:
    """Create a drawing's part; returns why it is unusable, or "". The process ends if it takes too long."""
    _limit_memory()
    faulthandler.dump_traceback_later(_TIMEOUT, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        with quiet.without_messages():
            _write_part(job)
        return ""
    except InputError as error:
        return str(error)
    except BaseException as error:  # a panic of the renderer is not an Exception
        return f"cannot be drawn ({type(error).__name__})"
    finally:
        faulthandler.cancel_dump_traceback_later()


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # the limit is not available on all systems
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _write_part(job: DrawingJob) -> None:
    random = np.random.default_rng(zlib.crc32(job.name.encode(errors="surrogateescape")))
    drawing = cut(VectorDrawing(job.path), random)
    corners, boxes, layers = [], [], []
    for layer, box in zip(drawing.layers, drawing.boxes, strict=True):
        rows, columns = (np.flatnonzero(layer[..., 3].any(axis)) for axis in (1, 0))
        if len(rows):
            shown = layer[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            corners.append((int(columns[0]), int(rows[0])))
            boxes.append(box)
            layers.append(atlas.encode(_divide(shown), quality=80, use_sharp_yuv=True))
    limbs = [] if drawing.fills_page else find_limbs(drawing.alpha, random)
    weights = np.concatenate([limb.weights for limb in limbs]) if limbs else np.zeros((1, 1), np.uint8)
    kind = "scene" if drawing.fills_page else job.kind
    entry = Entry(job.number, job.name, kind, drawing.size, corners, boxes, [limb.joint for limb in limbs])
    values = {name: value for name, value in entry._asdict().items() if name != "number"}  # which may change
    with replacing(job.part) as unfinished, zipfile.ZipFile(unfinished, "w") as part:
        for number, layer in enumerate(layers):
            part.writestr(f"{number}.webp", layer)
        part.writestr("limbs.webp", atlas.encode(weights, lossless=True))
        part.writestr("entry.json", json.dumps(values))


def _divide(picture: np.ndarray) -> np.ndarray:
    """Convert premultiplied alpha to straight alpha, uint8."""
    alpha = picture[..., 3:]
    colours = np.divide(255 * picture[..., :3], alpha, out=np.zeros_like(picture[..., :3]), where=alpha > 0)
    return np.concatenate([colours, alpha], -1).round().clip(0, 255).astype(np.uint8)
