"""Exports of the page: all frames, as pictures, animation or video, or each drawing once.

out/  cut.mp4  cut.mov  cut.apng  cut.webp  cut-2.mp4    existing files are not overwritten
      cut/cut_0001.png  …                                one picture for each frame
      cut-drawings/key_001+0of3.png  …                   one for each drawing, with the time sheet cut.xdts
"""

import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from _train.frame_interpolation.keys import exposure_sheets, key_names
from _train.frame_interpolation.studio.keys import Key
from _train.frame_interpolation.studio.session import Session
from _train.frame_interpolation.studio.sheet import SheetRow
from _util import animations, clock, colour, files, formats, png, video
from _util.errors import InputError
from _util.formats import Picture
from _util.pixels import PixelType, as_8_bits
from _util.preview import to_srgb


class Format(NamedTuple):
    """A format of exports.

    Attributes:
        label: shown to users.
        ending: of the name of the file or folder.
        write: writes an export to a path.
    """

    label: str
    ending: str
    write: Callable[[Path, "Export"], None]


class CancelledError(Exception):
    """An export was cancelled."""


class ExportedDrawing(NamedTuple):
    """A drawing as it is exported."""

    id: str  # of the cache; empty of a key
    key: Key
    exposure: int
    name: str  # of a drawing, without suffix


class Export:
    """An export of the state of a session at the time of the request; later edits are not included.

    Args:
        out: folder.

    Attributes:
        rows: the keys and gaps.
        session: its own.
        is_cancelled: set to end it soon.

    Raises:
        InputError: there is no such format, or there are no keys.
    """

    def __init__(self, format: str, session: Session, out: Path):
        rows, rate = session.rows(), session.project.state.rate
        if format not in FORMATS:
            raise InputError(f"There is no format {format!r}; there are {', '.join(FORMATS)}.")
        if len(rows) < 2:
            raise InputError("Two keys or more are needed for an export.")
        if problem := next((row.key.problem or row.problem for row in rows if row.key.problem or row.problem), ""):
            raise InputError(f"There is a problem to fix before an export: {problem}")
        if any(not one.id for row in rows for one in row.drawings):
            raise InputError("The method is still being loaded; export in a moment.")
        largest = clock.LARGEST_RATES.get(FORMATS[format].ending)
        if largest is not None and rate > largest:
            raise InputError(f"Browsers show {format} at {largest} frames a second at most; choose a smaller rate.")
        self.rows, self.rate = rows, rate
        self.drawings = list(_exported_drawings(rows))
        self.is_cancelled = False
        self.session, self._format, self._out = session, format, out
        self._name = session.folder.resolve().name or "keys"
        self._phase, self._sentence, self._path = "drawing", "", ""
        self._total = sum(len(row.drawings) for row in rows)
        self._done = 0

    def show(self) -> None:
        """Show the progress on the page."""
        progress = {
            "label": FORMATS[self._format].label,
            "phase": self._phase,
            "done": self._done,
            "total": self._total,
            "sentence": self._sentence,
            "path": self._path,
        }
        self.session.show_export(progress)

    def drew(self) -> None:
        """Count the drawings in the cache, and show the progress."""
        self._done = sum(one.id in self.session.cache for row in self.rows for one in row.drawings)
        self.show()

    def check(self) -> None:
        """Raise CancelledError if the export was cancelled."""
        if self.is_cancelled:
            raise CancelledError

    def end(self, phase: str, sentence: str = "") -> None:
        self._phase, self._sentence = phase, sentence

    def counted(self, items: Iterator[Any]) -> Iterator[Any]:
        """Pass on the items to write, with the progress shown."""
        for self._done, item in enumerate(items):
            self.check()
            self.show()
            yield item

    def write(self) -> None:
        """Write the export, once all in-betweens are drawn.

        Raises:
            CancelledError: the export was cancelled; nothing is written.
            InputError: a key was changed, a drawing cannot be read, or nothing can be written.
        """
        with files.making_folder(self._out):
            path = _unused(self._out, self._name, FORMATS[self._format].ending)
            count = len(self.drawings) if self._format == "drawings" else sum(shot.exposure for shot in self.drawings)
            self._phase, self._done, self._total = "writing", 0, count
            FORMATS[self._format].write(path, self)
        self._done, self._path = count, str(path)
        self.end("done")


def _unused(folder: Path, name: str, ending: str) -> Path:
    """A path that does not exist, numbered from the second on."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    paths = (folder / files.fitting(numbered, ending) for numbered in names)
    return next(path for path in paths if not path.exists())


def _exported_drawings(rows: Sequence[SheetRow]) -> Iterator[ExportedDrawing]:
    counts = [len(row.drawings) for row in rows]
    named = key_names.of_drawings([row.key.name for row in rows], counts)
    for row, after, count in zip(rows, named, counts, strict=True):
        ids = ["", *(one.id for one in row.drawings)]
        for number, (id, exposure) in enumerate(zip(ids, row.gap.exposures, strict=True)):
            name = key_names.drawing(after, number, count, "")
            yield ExportedDrawing(id, row.key, exposure, name)


def _picture(shot: ExportedDrawing, export: Export) -> Picture:
    if not shot.id:
        return export.session.read_key(shot.key)
    path = export.session.cache.path(shot.id)
    if path is None:
        raise InputError(f"An in-between after {shot.key.path.name} is gone; export again.")
    try:
        return formats.read(path)
    except InputError:
        export.session.cache.forget(shot.id)  # so that it is drawn again
        raise


def _pictures(export: Export) -> Iterator[tuple[ExportedDrawing, Picture]]:
    """The picture of each drawing, with the pixel type that holds all keys of its file type without loss."""
    types: dict[str, list[PixelType]] = {}
    for key in (_picture(shot, export) for shot in export.drawings if not shot.id):
        types.setdefault(key.suffix, []).append(key.type)
    common = {suffix: PixelType.common(of_suffix) for suffix, of_suffix in types.items()}
    for shot in export.drawings:
        picture = _picture(shot, export)
        yield shot, picture.converted(common[picture.suffix])


def _frames(
    export: Export, convert: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels
) -> Iterator[np.ndarray]:
    """The picture of each frame: (h, w, 3) or (h, w, 4), uint8 or uint16, the same for all frames.

    Args:
        convert: a conversion of colours.
    """
    keys = (formats.for_display(_picture(shot, export)) for shot in export.drawings if not shot.id)
    common = PixelType.common([PixelType(3, np.dtype(np.uint8)), *map(PixelType.of, keys)])
    for shot in export.drawings:
        pixels = convert(common.convert(formats.for_display(_picture(shot, export))))
        for _ in range(shot.exposure):
            yield pixels


def _tags(export: Export) -> tuple[png.Chunk, ...]:
    """The tags of colour and resolution of the first key, for RGB."""
    key = _picture(export.drawings[0], export)
    pixels = formats.for_display(key)
    return Picture(pixels, tags=key.tags).converted(PixelType(3, pixels.dtype)).tags


def _in_srgb(export: Export) -> Iterator[np.ndarray]:
    """`_frames` for video, which holds no profile: in sRGB, with 8 bits where the first key has other colours."""
    profile = png.shown_profile(_tags(export))
    if not profile:
        return _frames(export)
    convert = to_srgb(profile)
    samples = np.stack(np.meshgrid(*[np.arange(0, 256, 17, dtype=np.uint8)] * 3), 3).reshape(64, 64, 3)
    if np.abs(convert(samples).astype(int) - samples).max() <= 1:  # it is sRGB
        return _frames(export)
    return _frames(export, lambda pixels: convert(as_8_bits(pixels)))


def _write_png(path: Path, export: Export) -> None:
    exposed = (picture for shot, picture in _pictures(export) for _ in range(shot.exposure))
    digits = max(4, len(str(sum(shot.exposure for shot in export.drawings))))
    with files.replacing(path) as temporary:
        temporary.mkdir()
        for i, picture in enumerate(export.counted(exposed), 1):
            picture.write(temporary / files.fitting(path.name, f"_{i:0{digits}d}{picture.suffix}"))


def _write_drawings(path: Path, export: Export) -> None:
    name = path.name.removesuffix(FORMATS["drawings"].ending)
    with files.replacing(path) as temporary:
        temporary.mkdir()
        for shot, picture in export.counted(_pictures(export)):
            picture.write(temporary / f"{shot.name}{picture.suffix}")
        exposure_sheets.write(temporary / files.fitting(name, ".xdts"), [row.gap for row in export.rows], name)
        _write_chart(temporary / files.fitting(name, ".csv"), export.rows)


def _write_chart(path: Path, rows: Sequence[SheetRow]) -> None:
    """The timing as `_scripts.interpolate --chart` reads it."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["key", "between", "ticks", "on"])
        for row in rows:
            ticks = " ".join(map(str, row.gap.ticks))
            if row.next:
                table.writerow([row.key.name, "" if ticks else "0", ticks, row.gap.exposures[0]])


def _write_animation(path: Path, export: Export) -> None:
    with files.replacing(path) as temporary:
        animations.write(temporary, export.counted(_frames(export)), export.rate, _tags(export))


def _write_mp4(path: Path, export: Export) -> None:
    _write_video(path, export, map(_even, _in_srgb(export)), "libx264", "yuv420p")


def _write_prores(path: Path, export: Export) -> None:
    _write_video(path, export, _in_srgb(export), "prores_ks", None)


def _write_video(
    path: Path, export: Export, frames: Iterator[np.ndarray], codec: str, pixel_format: str | None
) -> None:
    frames = export.counted(frames)
    first = next(frames)
    h, w = first.shape[:2]
    source = colour.packed_rgb(codec == "prores_ks" or first.dtype == np.uint16, first.shape[2] == 4)
    tags = colour.usual(h)
    encoding = video.Encoding((h, w), export.rate, codec, colour=tags, source=source, pixel_format=pixel_format)
    with video.Writer(path, encoding) as writer:
        writer.write(first)
        for frame in frames:
            writer.write(frame)


def _even(pixels: np.ndarray) -> np.ndarray:
    """The frame with odd sides padded to even ones, as 4:2:0 needs, the format of H.264 that all players show."""
    h, w = pixels.shape[:2]
    return np.pad(pixels, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge")


FORMATS = {
    "png": Format("PNG sequence: a picture for every frame", "", _write_png),
    "drawings": Format("Drawings, each once, with time sheet and chart", "-drawings", _write_drawings),
    "mp4": Format("MP4 (H.264), over white", ".mp4", _write_mp4),
    "prores": Format("MOV (ProRes 4444), with transparency", ".mov", _write_prores),
    "webp": Format("WebP animation, without loss, with transparency", ".webp", _write_animation),
    "apng": Format("APNG animation, without loss, with transparency", ".apng", _write_animation),
}
