"""Draw the in-betweens of a sequence of key drawings, into a folder.

    keys/  key_001.png                  out/  key_001+0of3.png   the key, pixel for pixel
           key_002.png                        key_001+1of3.png   the first of three in-betweens
           key_002+fixed.png                  …
           key_003.png                        key_002+0of3.png
                                              …
                                              key_003+0of0.png   the last key
                                              .drawn.jsonl       how each drawing was made

Keys are in the order of `key_names`, so that `key_002+fixed.png` lies between `key_002.png` and `key_003.png`. An
existing drawing that was made from the same two keys with the same settings is kept.

Keys, paths and options are checked before PyTorch is imported.
"""

import collections
import contextlib
import functools
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Self

from tqdm import tqdm

from _train.frame_interpolation.ends import Ends
from _train.frame_interpolation.frames import check_frames
from _train.frame_interpolation.guides import hints as hinting
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.keys import key_motion, key_names, parts
from _train.frame_interpolation.keys.drawn import RECORD, Drawn, check_file, check_keys, write_file
from _train.frame_interpolation.keys.key_motion import KeyMotion
from _train.frame_interpolation.keys.key_names import name_of
from _train.frame_interpolation.keys.parts import TimedPart
from _train.frame_interpolation.keys.timing import Gap
from _util import files, formats, layers
from _util.counts import counted, listed
from _util.errors import InputError
from _util.formats import Picture
from _util.locks import holding
from _util.pixels import PixelType
from _util.preview import check_format, write_preview
from _util.runs import digest, digest_of

RATE = 24  # frames per second of previews, by convention


class DrawnSequence(NamedTuple):
    """The result of `interpolate_keys`."""

    paths: list[Path]  # of all drawings, in order
    drawn: int  # number of in-betweens drawn by this call


class Guides(NamedTuple):
    """Hints and parts that override the estimated motion, by the number of the gap.

    Attributes:
        source: file of the hints, for messages.
    """

    hints: Mapping[int, tuple[Hint, ...]] = {}
    parts: Mapping[int, tuple[TimedPart, ...]] = {}
    source: Path | None = None

    def settings(self, gap: int, number: int) -> dict[str, Any]:
        """All settings that determine in-between `number` of a gap, counted from 0; empty without guides."""
        settings: dict[str, Any] = {}
        if self.hints.get(gap):
            settings["hints"] = digest_of(self.hints[gap])
        if self.parts.get(gap):
            settings["parts"] = [[part.digest, str(part.ticks[number])] for part in self.parts[gap]]
        return settings


NO_GUIDES = Guides()


@dataclass(frozen=True)
class _Key:
    path: Path
    digest: str  # of the file
    suffix: str  # of its drawings
    size: tuple[int, int]  # (h, w)
    type: PixelType

    def __str__(self) -> str:
        h, w = self.size
        return f"{self.path} is {w}×{h} pixels of {self.type} ({self.suffix[1:].upper()})"

    @classmethod
    def of(cls, path: Path, picture: Picture) -> Self:
        """The key that was just read from a file."""
        h, w = picture.pixels.shape[:2]
        return cls(path, digest(path), picture.suffix, (h, w), picture.type)

    def read(self) -> Picture:
        """Read the file again.

        Raises:
            InputError: it is no longer what it was.
        """
        with contextlib.suppress(InputError, OSError):  # it is being written, or gone
            picture = formats.read(self.path)
            if _Key.of(self.path, picture) == self:
                return picture
        raise InputError(f"{self.path} was changed during the run; run again.")


@dataclass(frozen=True)
class _Drawing:
    """A file to write: a key, at tick 0, or an in-between."""

    path: Path
    gap: int
    tick: Fraction
    number: int  # in its gap


def find_keys(sources: Sequence[Path]) -> list[Path]:
    """The key drawings in order: those of one folder sorted by name, or two or more files as given.

    Raises:
        InputError: there are fewer than two, or two have the same name.
    """
    folder = next((source for source in sources if source.is_dir()), None)
    if folder and len(sources) > 1:
        raise InputError(f"{folder} is a folder; give one folder of keys alone, or two files or more.")
    keys = files.pictures(folder) if folder else list(sources)
    if folder:
        keys.sort(key=lambda path: (key_names.order(name_of(path)), path.name))
    if len(keys) < 2:
        pictures = "one picture" if keys else f"no pictures ({files.PICTURE_FORMATS})"
        held = f"{folder} holds {pictures}" if folder else f"{sources[0]} is one picture"
        instead = ", or folders of layers and no picture beside them" if folder and _folders_beside(folder) else ""
        if folder and (documents := [path.name for path in folder.iterdir() if path.suffix.lower() in layers.SUFFIXES]):
            instead += f", or documents ({listed(sorted(documents))}) and no picture beside them"
        raise InputError(f"{held}; two keys or more are needed{instead}.")
    for name, same in itertools.groupby(sorted(keys, key=name_of), name_of):
        first, *others = same
        if others:
            cycle = "" if folder else ", or close a cycle with --loop"
            raise InputError(
                f"Two keys are named {name}, {first} and {others[0]}; drawings are named after keys: rename one{cycle}."
            )
    return keys


def _folders_beside(folder: Path) -> list[Path]:
    """The folders of pictures within a folder of keys, without those of results."""
    with contextlib.suppress(InputError):  # one of them cannot be read
        return [path for path in folders_of_pictures(folder) if not (path / RECORD).exists()]
    return []


def folders_of_pictures(folder: Path) -> list[Path]:
    """The folders within one that hold pictures, in natural order, without hidden ones.

    Raises:
        InputError: one of them cannot be read.
    """
    return [path for path in folders_within(folder) if files.pictures(path)]


def folders_within(folder: Path) -> list[Path]:
    """The folders within one, in natural order, without hidden ones."""
    found = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    return sorted(found, key=lambda path: (files.natural(path.name), path.name))


def warn_left_out(folder: Path, keys: Iterable[Path]) -> None:
    """Print a warning if a folder holds files in formats that are not read, or folders of pictures, among its keys."""
    if sentence := files.left_out(folder, keys):
        print(sentence, file=sys.stderr)
    if beside := [path.name for path in _folders_beside(folder)]:
        folders = counted(len(beside), "folder")
        print(
            f"{folder} holds {folders} of pictures beside its keys, {listed(beside, len(beside))}: left out; if they "
            "are layers, move the keys elsewhere.",
            file=sys.stderr,
        )


def interpolate_keys(
    keys: Sequence[Path],
    out: Path,
    gaps: Sequence[Gap],
    *,
    names: Sequence[Sequence[str]] | None = None,
    preview: Path | None = None,
    guides: Guides = NO_GUIDES,
    overwrite: bool = False,
    replaces_others: bool = False,
    **options: Any,
) -> DrawnSequence:
    """Draw the in-betweens of all gaps and write them with the keys: as PNG, or floating-point values as TIFF or EXR.

    In-betweens of a gap equal those of `pairs.interpolate_files` at the same times, unless it is eased. After an
    interruption, the same call resumes. After a change of keys or timing, the affected gaps are redrawn, and drawings
    that are no longer wanted are removed. A drawing that was changed by hand is never touched unless `overwrite` is
    set.

    Args:
        keys: files of pictures of one size, in order. If their pixels are of different types, all drawings, keys
            included, are of the smallest type that holds them all without loss.
        out: folder, created if missing.
        gaps: the timing of the gap that each key begins, as `timing.plan` returns it. The last leads to the first key.
        names: of the files of each gap, its key first (default: see `key_names.of_drawings`).
        preview: also write all drawings in order as an animation of 24 frames per second, each for its exposure.
        guides: hints and parts of gaps.
        overwrite: replace files with the names of drawings, and a preview, that were not drawn here or were changed
            since.
        replaces_others: also where all existing drawings in `out` are of other keys, which is an error otherwise.
        options: of `Interpolator`.

    Raises:
        InputError: keys, guides, weights or paths that cannot be used, or a file in `out` or a preview that was changed
            or not drawn here; nothing is written. Or a key or a mask that was changed after the start; no
            drawing of it is written.
    """
    surveyed = _survey(keys)
    drawings = _drawings(surveyed, out, gaps, names)
    _check_guides(guides, keys, surveyed[0].size)
    if preview:
        check_format(preview)
    _check_places(keys, out, preview)
    with holding(out, *([preview] if preview else [])):
        for path in (out / "drawing", *([preview] if preview else [])):
            files.check_writable(path)
        drawn, wanted = Drawn(out), {drawing.path.name for drawing in drawings}
        if not overwrite:
            drawn.check(wanted | drawn.names)
            if preview:
                check_file(preview, out)
        if not replaces_others:
            check_keys(out, [drawn], {key.digest for key in surveyed})
        _warn_order(keys, [drawing.path for drawing in drawings])
        common = _common_type(surveyed)
        from _train.frame_interpolation.interpolator import Interpolator

        interpolator = Interpolator(**options)
        if any(gap.is_eased for gap in gaps):
            interpolator.check_eases()
        if any(gap.ticks for gap in gaps):
            interpolator.check_size(surveyed[0].size)
        settings = digest_of(interpolator.settings())
        recipes = [_recipe(drawing, surveyed, gaps, settings, guides, common) for drawing in drawings]
        drawn.begin()
        drawn.rename({drawing.path.name: recipe for drawing, recipe in zip(drawings, recipes, strict=True)})
        missing = [i for i, drawing in enumerate(drawings) if drawn.recipe_of(drawing.path.name) != recipes[i]]
        motion = KeyMotion(functools.partial(_ends, surveyed), gaps, interpolator)
        for i, picture in _drawn_now(drawings, missing, surveyed, guides, motion, interpolator):
            drawn.write(drawings[i].path.name, picture.converted(common).write, recipes[i])
        drawn.remove_others(wanted)
        if preview:
            exposures = [count for gap in gaps for count in gap.exposures]
            write_file(preview, out, lambda place: _write_preview(place, drawings, exposures))
    return DrawnSequence([drawing.path for drawing in drawings], sum(drawings[i].tick > 0 for i in missing))


def _warn_order(keys: Sequence[Path], drawings: Sequence[Path]) -> None:
    """Print a warning if keys are in a shell's order rather than natural order, or names of drawings are not sorted."""
    names = list(map(name_of, keys))
    if names == sorted(names) and not key_names.are_in_order(names):
        before, after = next(two for two in itertools.pairwise(names) if not key_names.are_in_order(two))
        print(
            f"{after} follows {before}, as they are given; give their folder for their natural order.", file=sys.stderr
        )
    for before, after in itertools.pairwise(drawings):
        if not key_names.are_sorted([before.stem, after.stem]):
            print(f"{after} follows {before.name}, and does not sort after it; number the keys alike.", file=sys.stderr)
            return


def _common_type(keys: Sequence[_Key]) -> PixelType:
    """The pixel type of all drawings; prints a notice if some keys are of another one."""
    types = list(dict.fromkeys(key.type for key in keys))
    common = PixelType.common(types)
    if len(types) > 1:
        print(f"Keys are {listed(list(map(str, types)))}; all drawings are written as {common}.", file=sys.stderr)
    return common


def _drawn_now(
    drawings: Sequence[_Drawing],
    missing: Sequence[int],
    keys: Sequence[_Key],
    guides: Guides,
    motion: KeyMotion,
    interpolator: Any,
) -> Iterator[tuple[int, Picture]]:
    """Draw the drawings with the numbers `missing`, gap by gap."""
    count = sum(drawing.tick > 0 for drawing in drawings)
    kept = count - sum(drawings[i].tick > 0 for i in missing)
    with tqdm(None, interpolator.method, count, initial=kept, unit="frame", disable=kept == count) as bar:
        for gap, numbers in itertools.groupby(missing, lambda i: drawings[i].gap):
            numbers = list(numbers)
            if drawings[numbers[0]].tick == 0:
                yield numbers.pop(0), keys[gap].read()
            if numbers:
                pictures = _between(keys, [drawings[i] for i in numbers], guides, motion, interpolator)
                for i, picture in zip(numbers, pictures, strict=True):
                    yield i, picture
                    bar.update()


def _between(
    keys: Sequence[_Key], drawings: Sequence[_Drawing], guides: Guides, motion: KeyMotion, interpolator: Any
) -> Iterator[Picture]:
    """In-betweens of one gap."""
    gap = drawings[0].gap
    ends = _ends(keys, gap)
    ends.warn_other_profiles()
    frames = ends.frames()
    hints, moved = guides.hints.get(gap, ()), guides.parts.get(gap, ())
    masks = [parts.read_mask(part, frames[0].shape[:2]) for part in moved]
    pair = interpolator.prepare(*frames, hints, masks)
    own = [[float(part.ticks[drawing.number - 1]) for drawing in drawings] for part in moved]
    times = [float(drawing.tick) for drawing in drawings]
    for wait in interpolator.draw(pair, times, own, motion.easing(gap)):
        yield ends.picture(wait())


def _ends(keys: Sequence[_Key], gap: int) -> Ends:
    first, last = keys[gap], keys[(gap + 1) % len(keys)]
    return Ends((first.path, last.path), (first.read(), last.read()))


def _check_guides(guides: Guides, keys: Sequence[Path], size: tuple[int, int]) -> None:
    for gap, hints in guides.hints.items():
        try:
            hinting.check(hints, size)
        except InputError as error:
            where = f"{guides.source}, hints" if guides.source else "Hints"
            raise InputError(f"{where} of {name_of(keys[gap])}: {error}") from error
    for part in itertools.chain.from_iterable(guides.parts.values()):
        parts.read_mask(part, size)


def _write_preview(preview: Path, drawings: Sequence[_Drawing], exposures: Sequence[int]) -> None:
    pictures = (formats.for_display(formats.read(drawing.path)) for drawing in drawings)
    tags = formats.read(drawings[0].path).tags
    write_preview(preview, pictures, RATE, tags=tags, exposures=exposures, there_and_back=False)


def _survey(keys: Sequence[Path]) -> list[_Key]:
    """Read all keys and check that they are of one size and file type."""
    surveyed = [_surveyed(path) for path in keys]
    (common, _), *others = collections.Counter((key.size, key.suffix) for key in surveyed).most_common()
    if others:
        model = next(key for key in surveyed if (key.size, key.suffix) == common)
        message = listed([str(key) for key in surveyed if (key.size, key.suffix) != common])
        raise InputError(f"{message}; {model}: bring all keys to one size and kind.")
    return surveyed


def _surveyed(path: Path) -> _Key:
    picture = formats.read(path)
    frame, _ = Ends((path, path), (picture, picture)).frames()
    try:
        check_frames(frame, frame)
    except InputError as error:
        raise InputError(f"{path} cannot be interpolated: {error}") from error
    return _Key.of(path, picture)


def _drawings(
    keys: Sequence[_Key], out: Path, gaps: Sequence[Gap], names: Sequence[Sequence[str]] | None
) -> list[_Drawing]:
    return [
        _Drawing(out / name, i, tick, number)
        for i, (of_gap, gap) in enumerate(zip(names or _names(keys, gaps), gaps, strict=True))
        for number, (name, tick) in enumerate(zip(of_gap, (Fraction(0), *gap.ticks), strict=True))
    ]


def _names(keys: Sequence[_Key], gaps: Sequence[Gap]) -> list[list[str]]:
    counts = [len(gap.ticks) for gap in gaps]
    named = key_names.of_drawings([name_of(key.path) for key in keys], counts)
    return [
        [key_names.drawing(name, number, count, key.suffix) for number in range(1 + count)]
        for key, name, count in zip(keys, named, counts, strict=True)
    ]


def _recipe(
    drawing: _Drawing, keys: Sequence[_Key], gaps: Sequence[Gap], settings: str, guides: Guides, common: PixelType
) -> dict[str, Any]:
    """All that determines a drawing; `settings` is a digest of those of the interpolator."""
    first, last = keys[drawing.gap], keys[(drawing.gap + 1) % len(keys)]
    if drawing.tick == 0:
        return {"key": first.digest} | _conversion(first.type, common)
    guided = guides.settings(drawing.gap, drawing.number - 1)
    guided |= key_motion.settings(gaps, [key.digest for key in keys], drawing.gap)
    made = {"key": first.digest, "next": last.digest, "tick": str(drawing.tick), "settings": settings}
    return made | guided | _conversion(PixelType.common((first.type, last.type)), common)


def _conversion(drawn: PixelType, written: PixelType) -> dict[str, str]:
    """The setting for a drawing that is written with another pixel type than it is drawn with."""
    return {} if drawn == written else {"pixels": str(written)}


def check_out(out: Path, folder: Path) -> None:
    """Raise InputError if results would be written to the folder of the keys."""
    if out.is_dir() and out.samefile(folder):
        raise InputError(f"{out} holds the keys; choose another --out, so that in-betweens are not taken for keys.")


def _check_places(keys: Sequence[Path], out: Path, preview: Path | None) -> None:
    for key in keys:
        check_out(out, key.parent)
        if preview and preview.exists() and preview.samefile(key):
            raise InputError(f"{preview} is one of the keys and would be overwritten; choose another place.")
