"""Stage 4: the frames of each triplet as pictures.

rrld.txt and the video → images/000012-000013-000015/000012.png  000013.png  000015.png
"""

import collections
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from _databacks.extraction import records
from _databacks.extraction.frames import at_constant_rate, fit, open_original
from _databacks.extraction.options import ExtractionOptions
from _databacks.extraction.reports import CONSOLE, StageReport
from _databacks.extraction.triplets import ExtractedTriplet, read_triplets
from _util.errors import InputError
from _util.files import make_folder, writing
from _util.prefetch import ahead
from _util.video import Reader

_PARTIAL = ".partial-"
_IS_TRIPLET = re.compile(r"\d+-\d+-\d+").fullmatch
_FULL_COLOUR = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444


def extract_triplet_images(out: Path, options: ExtractionOptions, report: StageReport = CONSOLE) -> None:
    """Write the missing pictures of the triplets listed in rrld.txt in the folder `out`.

    A triplet's folder is created atomically; folders of triplets that are not listed are deleted.

    Raises:
        InputError: the list or the video is missing or cannot be read, or something cannot be written.
    """
    folder = out / "images"
    triplets = read_triplets(out)
    listed = {triplet.name for triplet in triplets}
    video, identity = _video(out, options.origin)
    quality = {"quality": options.quality} if options.format == "jpg" else {}
    record = records.Record(folder, video=identity, size=options.image_size, format=options.format, **quality)
    if _names(folder) == listed and record.is_finished(report):
        return
    record.begin(report)
    make_folder(folder)
    for name in _names(folder) - listed:
        records.remove(folder / name)
    for partial in folder.glob(f"{_PARTIAL}*"):
        records.remove(partial)
    there = _names(folder)
    missing = [triplet for triplet in triplets if triplet.name not in there]
    done = len(triplets) - len(missing)
    with report.bar(total=len(triplets), initial=done, unit="triplet", desc="extract_triplet_images") as bar:
        for name, pictures in ahead(_pictures(video, missing, options)):
            _write(folder, name, pictures)
            bar.update()
    record.finish()


def _video(out: Path, origin: str) -> tuple[Path, str]:
    """The video that frames are taken from, and its fingerprint."""
    encoded = out / "video.mp4"
    if origin == "encoded":
        return encoded, records.fingerprint(encoded)
    was = records.read(encoded)
    path = Path(was["found"]["source"])
    if not path.exists() or records.fingerprint(path) != was["made_from"]["video"]:
        raise InputError(f"{path} is gone or has changed; take the frames of {encoded}, or encode the video again.")
    return path, was["made_from"]["video"]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if _IS_TRIPLET(path.name)} if folder.exists() else set()


def _pictures(
    video: Path, triplets: list[ExtractedTriplet], options: ExtractionOptions
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the name of each triplet, and the contents of its three files."""
    waiting = collections.deque(sorted(triplets, key=lambda triplet: triplet.frames))
    needed = {number for triplet in triplets for number in triplet.frames}
    encoded: dict[int, bytes] = {}
    if not waiting:
        return
    reader = Reader(video) if options.origin == "encoded" else open_original(video)
    for number, pixels in at_constant_rate(reader, min(needed)):
        if number in needed:
            encoded[number] = _encode(fit(pixels, options.image_size, reader.aspect), options)
        while waiting[0].frames[-1] <= number:
            triplet = waiting.popleft()
            yield triplet.name, {f"{n:06d}.{options.format}": encoded[n] for n in triplet.frames}
            if not waiting:
                return
        encoded = {n: content for n, content in encoded.items() if n >= waiting[0].frames[0]}
    raise InputError(f"{video} ends before the frames of {waiting[0].name}; the list is of another video.")


def _encode(pixels: np.ndarray, options: ExtractionOptions) -> bytes:
    parameters = []
    if options.format == "jpg":
        parameters = [cv2.IMWRITE_JPEG_QUALITY, options.quality, *_FULL_COLOUR]
    return cv2.imencode(f".{options.format}", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), parameters)[1].tobytes()


def _write(folder: Path, name: str, pictures: dict[str, bytes]) -> None:
    partial = folder / f"{_PARTIAL}{name}"
    with writing(folder / name):
        partial.mkdir()
        for file, content in pictures.items():
            (partial / file).write_bytes(content)
        partial.rename(folder / name)
