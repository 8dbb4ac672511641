"""In-betweens of keys in layers: each layer is interpolated separately, and the layers are composited.

    cut/  A/  key_001.png  key_002.png      a folder for each layer, in order of name, from back to front;
          B/  key_001.png  key_002.png      or B/B0001.png …, with the name of the layer in those of the keys
    keys/  key_001.psd  key_002.psd         or OpenRaster and Photoshop documents, whose layers correspond by name
    cut.psd                                 or one document of groups: each group is a layer, and holds its keys

    out/  key_001+0of1.png  key_001+1of1.png  …      all layers composited, or .ora files with the layers
          layers/A/key_001+0of1.png  …               each layer

A layer that is missing in the next key is held until that key. A corrected in-between of one layer, A/key_001+2of3.png,
divides the gap of that layer alone: others continue through it to their next key.
"""

import contextlib
import hashlib
import itertools
import re
import secrets
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from _train.frame_interpolation.frames import SMALLEST_SIDE
from _train.frame_interpolation.guides import hints
from _train.frame_interpolation.keys import key_drawings, key_names
from _train.frame_interpolation.keys.drawn import RECORD, Drawn, check_file, check_keys, write_file
from _train.frame_interpolation.keys.key_drawings import DrawnSequence, Guides
from _train.frame_interpolation.keys.timing import Gap
from _util import files, formats, layers, locks, png
from _util.counts import counted, listed
from _util.errors import InputError
from _util.formats import Picture
from _util.layers import Layer
from _util.locks import holding
from _util.pixels import PixelType
from _util.preview import check_format, write_preview
from _util.runs import digest, digest_of

_LISTED = f"{', '.join(layers.SUFFIXES[:-1])} or {layers.SUFFIXES[-1]}"
_LAYERS = "layers"  # the folder of the single layers
_TEMPORARY = "inbetween-layers-"  # begins the names of temporary folders

_Place = tuple[int, int]  # of a drawing: the number of its gap, and its own in that


@dataclass
class Cel:
    """A layer and its keys."""

    name: str
    paths: dict[str, Path] = field(default_factory=dict)  # by the name of the key
    opacities: dict[str, float] = field(default_factory=dict)
    hints: Path | None = None


class Cut(NamedTuple):
    """The keys of a cut, in layers."""

    keys: list[str]  # names, in order
    cels: list[Cel]  # from back to front


class _Stretch(NamedTuple):
    """The drawings from one key of a layer up to its next one."""

    key: str
    next: str | None  # None if the key is held
    ticks: dict[_Place, Fraction]  # of each drawing, between the two; 0 if the key is held
    gap: Gap

    @property
    def is_held(self) -> bool:
        return self.next is None

    @property
    def drawn(self) -> list[_Place]:
        """The drawings for which the layer is drawn: the first alone if the key is held."""
        return list(self.ticks)[: 1 if self.is_held else None]


class _Shown(NamedTuple):
    """The picture of one layer in a drawing."""

    name: str
    path: Path
    opacity: float


def is_layered(sources: Sequence[Path]) -> bool:
    """Whether keys are in layers: documents, a folder of them, or a folder of folders of pictures alone."""
    if any(source.suffix.lower() in layers.SUFFIXES for source in sources):
        return True
    if len(sources) != 1 or not sources[0].is_dir() or files.pictures(sources[0]):
        return False
    return bool(_documents(sources[0]) or key_drawings.folders_of_pictures(sources[0]))


@contextlib.contextmanager
def opened(sources: Sequence[Path]) -> Iterator[Cut]:
    """The keys of sources for which `is_layered`; layers of documents are kept in temporary files within the block.

    Raises:
        InputError: they cannot be used together.
    """
    with _temporary_folder() as folder:
        cut = _of_sources(sources, folder)
        if len(cut.keys) < 2:
            raise InputError(f"{sources[0]} holds one key; two keys or more are needed.")
        _check_names(cut)
        yield cut


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end of the block; those that killed processes have left are removed before."""
    place = Path(tempfile.gettempdir())
    for left in filter(locks.is_abandoned, place.glob(f"{_TEMPORARY}*")):
        with contextlib.suppress(InputError), holding(left):  # another run may be removing it just now
            files.remove(left)
    folder = place / f"{_TEMPORARY}{secrets.token_hex(8)}"
    with holding(folder):
        try:
            with _writing_temporary(folder):
                folder.mkdir(mode=0o700)
            yield folder
        finally:
            files.remove(folder)


@contextlib.contextmanager
def _writing_temporary(path: Path) -> Iterator[None]:
    """Convert errors of writing a temporary file into InputErrors that say what chooses its place."""
    try:
        with files.writing(path):
            yield
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')} for temporary files by the variable TMPDIR.") from error


def interpolate(
    cut: Cut,
    out: Path,
    gaps: Sequence[Gap],
    *,
    suffix: str = ".png",
    preview: Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> DrawnSequence:
    """Draw the in-betweens of all layers and gaps, and write the single layers and the composites.

    After an interruption, the same call resumes; drawings of unchanged keys are kept.

    Args:
        out: folder, created if missing.
        gaps: the timing of each gap, as `timing.plan` returns it.
        suffix: ".png", or ".ora".
        preview: also write all drawings in order as an animation.
        overwrite: replace files with the names of drawings, and a preview, that were not drawn here or were changed
            since.
        options: of `Interpolator`.

    Raises:
        InputError: keys or paths that cannot be used.
    """
    if preview:
        check_format(preview)
    _check_places(cut, out, preview)
    if preview:
        files.check_writable(preview)
    blank = _blank(cut)
    stretches = [_stretches(cut, cel, gaps) for cel in cut.cels]
    _report_missing(cut, stretches)
    counts = [len(gap.ticks) for gap in gaps]
    named = key_names.of_drawings(list(map(_folder_name, cut.keys)), counts)
    names = {
        (i, number): key_names.drawing(named[i], number, count, suffix)
        for i, count in enumerate(counts)
        for number in range(1 + count)
    }
    stacks: dict[_Place, list[_Shown]] = {place: [] for place in names}
    options |= {"overwrite": overwrite, "replaces_others": True}
    drawn_now = 0
    with holding(out, *([preview] if preview else [])):
        drawn = Drawn(out)
        _check_drawn(cut, out, drawn, set(names.values()), overwrite)
        if preview and not overwrite:
            check_file(preview, out)
        for cel, of_cel in zip(cut.cels, stretches, strict=True):
            print(f"Layer {cel.name}", file=sys.stderr)
            result = _interpolate_cel(cel, of_cel, _folder_of(cel, out), named, counts, options)
            for place, one in _shown(cel, of_cel, result.paths):
                stacks[place].append(one)
            drawn_now += result.drawn
        _compose(cut, drawn, names, stacks, blank)
        _remove_other_layers(cut, out)
        if preview:
            write_file(preview, out, lambda place: _write_preview(place, stacks.values(), blank, gaps))
    return DrawnSequence([out / name for name in names.values()], drawn_now)


def _interpolate_cel(
    cel: Cel,
    stretches: Sequence[_Stretch],
    out: Path,
    named: Sequence[str],
    counts: Sequence[int],
    options: dict[str, Any],
) -> DrawnSequence:
    paths, gaps = [cel.paths[one.key] for one in stretches], [one.gap for one in stretches]
    names = [
        [key_names.drawing(named[i], number, 0 if one.is_held else counts[i], ".png") for i, number in one.drawn]
        for one in stretches
    ]
    guides = key_drawings.NO_GUIDES
    if cel.hints:
        as_named = list(map(key_names.name_of, paths))
        guides = Guides(hints.read(cel.hints, as_named, bool(gaps[-1].ticks), is_found=True), source=cel.hints)
        if unused := [as_named[i] for i in sorted(guides.hints) if stretches[i].is_held]:
            print(
                f"{cel.hints}: the next key lacks the layer, so hints of {listed(unused)} are not used.",
                file=sys.stderr,
            )
    return key_drawings.interpolate_keys(paths, out, gaps, names=names, guides=guides, **options)


def _stretches(cut: Cut, cel: Cel, gaps: Sequence[Gap]) -> list[_Stretch]:
    """All drawings that show a layer, by its keys."""
    positions = key_names.positions(cut.keys, [gap.ticks for gap in gaps])
    return [_stretch(cut, cel, gaps, positions, i) for i, key in enumerate(cut.keys) if key in cel.paths]


def _stretch(cut: Cut, cel: Cel, gaps: Sequence[Gap], positions: Sequence[Fraction], begin: int) -> _Stretch:
    """The drawings from key `begin`, through corrections of other layers in its gap."""
    count, wholes = len(cut.keys), key_names.divided(cut.keys)
    others = itertools.takewhile(
        lambda i: cut.keys[i] not in cel.paths and wholes[i] == wholes[begin], range(begin + 1, count)
    )
    end = begin + 1 + len(list(others))

    def place(i: int, tick: Fraction) -> Fraction:
        """A tick of gap `i`, in the gap that corrections divide."""
        is_within = i + 1 < count and wholes[i + 1] == wholes[begin]
        return positions[i] + tick * ((positions[i + 1] if is_within else 1) - positions[i])

    first, length = positions[begin], place(end - 1, Fraction(1)) - positions[begin]
    ticks = {
        (i, number): (place(i, tick) - first) / length
        for i in range(begin, end)
        for number, tick in enumerate((Fraction(0), *gaps[i].ticks))
    }
    key, after = cut.keys[begin], cut.keys[end % count]
    is_last = end == count and not (gaps[-1].ticks or gaps[-1].is_eased)
    if after not in cel.paths or is_last:
        return _Stretch(key, None, dict.fromkeys(ticks, Fraction(0)), Gap((), (1,), blank=1))
    exposures = tuple(exposure for gap in gaps[begin:end] for exposure in gap.exposures)
    is_eased = all(gap.is_eased for gap in gaps[begin:end])
    return _Stretch(key, after, ticks, Gap(tuple(ticks.values())[1:], exposures, is_eased=is_eased))


def _shown(cel: Cel, stretches: Sequence[_Stretch], paths: Sequence[Path]) -> Iterator[tuple[_Place, _Shown]]:
    """The picture of a layer in each drawing that shows it."""
    waiting = iter(paths)
    for one in stretches:
        opacity = cel.opacities.get(one.key, 1.0)
        after = opacity if one.next is None else cel.opacities.get(one.next, 1.0)
        path = next(waiting)
        for number, (place, tick) in enumerate(one.ticks.items()):
            if number and not one.is_held:
                path = next(waiting)
            yield place, _Shown(cel.name, path, opacity + float(tick) * (after - opacity))


def _compose(
    cut: Cut, drawn: Drawn, names: dict[_Place, str], stacks: dict[_Place, list[_Shown]], blank: Picture
) -> None:
    """Write the composites of all layers."""
    digests = _digests(cut)
    drawn.begin()
    for place, name in names.items():
        stack = stacks[place]
        sources = [[one.name, digest(one.path), one.opacity] for one in stack]
        recipe = {"key": digests[place[0]], "layers": sources, "pixels": str(blank.type)} | _tagged(blank)
        if drawn.recipe_of(name) == recipe:
            continue
        if Path(name).suffix == ".ora":
            drawn.write(name, lambda path, stack=stack: layers.write_ora(path, _layers(stack, blank)), recipe)
        else:
            drawn.write(name, _composed(stack, blank).write, recipe)
    drawn.remove_others(set(names.values()))


def _write_preview(path: Path, stacks: Iterable[list[_Shown]], blank: Picture, gaps: Sequence[Gap]) -> None:
    exposures = [count for gap in gaps for count in gap.exposures]
    pictures = (_composed(stack, blank).pixels for stack in stacks)
    write_preview(path, pictures, key_drawings.RATE, tags=blank.tags, exposures=exposures, there_and_back=False)


def _remove_other_layers(cut: Cut, out: Path) -> None:
    """Remove the drawings of layers that the cut no longer has, and the folders that this leaves empty."""
    wanted = [_folder_of(cel, out) for cel in cut.cels]
    for folder in sorted((out / _LAYERS).iterdir()):
        record = folder / RECORD
        if record.is_file() and not any(map(folder.samefile, wanted)):
            with holding(folder):
                drawn = Drawn(folder)
                drawn.remove_others(())
                if not drawn.names:
                    record.unlink()
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()


def _tagged(blank: Picture) -> dict[str, str]:
    """The setting for composites with a colour profile or a resolution."""
    return {"tags": digest_of([[part.hex() for part in chunk] for chunk in blank.tags])} if blank.tags else {}


def _check_places(cut: Cut, out: Path, preview: Path | None) -> None:
    """Raise InputError for drawings or a preview that would be taken for a layer or a key, or overwrite a key."""
    keys = [path for cel in cut.cels for path in cel.paths.values()]
    for folder in {path.parent.parent for path in keys}:
        if _is_same(out.absolute().parent, folder):
            raise InputError(f"{out} lies among the layers, and would be taken for one; choose another --out.")
        if preview and _is_same(preview.absolute().parent.parent, folder):
            raise InputError(f"{preview} lies among the layers, and would be taken for a key; choose another place.")
    if preview and any(_is_same(preview, path) for path in keys):
        raise InputError(f"{preview} is one of the keys and would be overwritten; choose another place.")


def _is_same(path: Path, existing: Path) -> bool:
    return path.exists() and path.samefile(existing)


def _check_drawn(cut: Cut, out: Path, drawn: Drawn, wanted: set[str], overwrite: bool) -> None:
    """Raise InputError for drawings in `out`, or of single layers, that this run must not replace.

    Args:
        drawn: the composites in `out`.
        wanted: names of the composites.
    """
    of_cels = [Drawn(_folder_of(cel, out)) for cel in cut.cels]
    if not overwrite:
        drawn.check(wanted | drawn.names)
        for of_cel in of_cels:
            of_cel.check(of_cel.names)
    keys = {digest(path) for cel in cut.cels for path in cel.paths.values()}
    check_keys(out, [drawn, *of_cels], keys.union(_digests(cut)))


def _folder_of(cel: Cel, out: Path) -> Path:
    return out / _LAYERS / _folder_name(cel.name)


def _layers(stack: list[_Shown], blank: Picture) -> list[Layer]:
    pictures = [formats.read(one.path).converted(blank.type) for one in stack]
    read = [
        Layer(one.name, picture.pixels, one.opacity, tags=picture.tags)
        for one, picture in zip(stack, pictures, strict=True)
    ]
    return read or [Layer("empty", blank.pixels, tags=blank.tags)]


def _composed(stack: list[_Shown], blank: Picture) -> Picture:
    return blank._replace(pixels=layers.composite(_layers(stack, blank)))


def _digests(cut: Cut) -> list[str]:
    """A digest of all layers of each key."""
    return [
        hashlib.sha256("".join(digest(cel.paths[key]) for cel in cut.cels if key in cel.paths).encode()).hexdigest()
        for key in cut.keys
    ]


def _of_sources(sources: Sequence[Path], folder: Path) -> Cut:
    documents = list(sources)
    if len(sources) == 1 and sources[0].is_dir():
        documents = _documents(sources[0])
        _warn_hints(sources[0], bool(documents))
        if not documents:
            return _of_folders(sources[0])
        key_drawings.warn_left_out(sources[0], documents)
    for path in documents:
        if path.suffix.lower() not in layers.SUFFIXES:
            raise InputError(f"{path} has no layers, but other keys have; give only {_LISTED}.")
    if len(documents) == 1:
        return _of_groups(documents[0], folder)
    return _of_documents(documents, folder)


def _warn_hints(folder: Path, has_documents: bool) -> None:
    """Print a warning if hints lie beside the layers, where they are not read."""
    hints_file = folder / "hints.json"
    if hints_file.is_file():
        remedy = (
            "documents take no hints; export layers as folders" if has_documents else "move it to the folder of a layer"
        )
        print(f"{hints_file} is not read: {remedy}.", file=sys.stderr)


def _of_folders(folder: Path) -> Cut:
    cels = []
    found = key_drawings.folders_of_pictures(folder)
    if empty := [path.name for path in key_drawings.folders_within(folder) if path not in found]:
        folders = counted(len(empty), "folder")
        print(
            f"{folder} holds {folders} with no pictures ({files.PICTURE_FORMATS}) directly within, "
            f"{listed(empty, len(empty))}: no layers.",
            file=sys.stderr,
        )
    for within in found:
        paths = {}
        for path in files.pictures(within):
            if key_names.name_of(path) in paths:
                raise InputError(f"{within} has two keys named {key_names.name_of(path)}; rename one.")
            paths[key_names.name_of(path)] = path
        key_drawings.warn_left_out(within, paths.values())
        beside = within / "hints.json"
        cels.append(Cel(within.name, paths, hints=beside if beside.is_file() else None))
    return _of_cels(_matched(cels))


def _matched(cels: list[Cel]) -> list[Cel]:
    """The same, with keys without the name of their layer, A/A0001 and B/B0001, if more keys of layers match then."""
    without = [_renamed(cel, {key: _without_layer(cel.name, key) for key in cel.paths}) for cel in cels]
    is_one_to_one = all(len(new.paths) == len(cel.paths) for new, cel in zip(without, cels, strict=True))
    if not is_one_to_one or _matches(without) <= _matches(cels):
        return cels
    layer, before, key = next(
        (cel.name, before, key)
        for cel, new in zip(cels, without, strict=True)
        for before, key in zip(cel.paths, new.paths, strict=True)
        if before != key
    )
    print(
        f"Keys match without the name of their layer: {before} of the layer {layer!r} is of key {key}.", file=sys.stderr
    )
    return without


def _renamed(cel: Cel, names: dict[str, str]) -> Cel:
    """A layer with other names of its keys."""
    paths = {names[key]: path for key, path in cel.paths.items()}
    return replace(cel, paths=paths, opacities={names[key]: opacity for key, opacity in cel.opacities.items()})


def _matches(cels: list[Cel]) -> int:
    """The number of keys of layers that another layer before has."""
    return sum(len(cel.paths) for cel in cels) - len({key for cel in cels for key in cel.paths})


def _without_layer(layer: str, key: str) -> str:
    """The name of a key without that of its layer: 0001 for A_0001, A0001 or A.0001, c12_0001 for c12_A_0001."""
    return re.sub(rf"(?<![^\W_]){re.escape(layer)}(?![^\W\d_])[\W_]*", "", key, count=1, flags=re.IGNORECASE) or key


def _read_document(path: Path) -> layers.Document:
    document = layers.read(path)
    h, w = document.size
    if min(h, w) < SMALLEST_SIDE:
        raise InputError(f"{path} is {w}×{h} pixels; each side needs at least {SMALLEST_SIDE}.")
    return document


def _of_documents(paths: list[Path], folder: Path) -> Cut:
    cels: dict[str, Cel] = {}
    order: list[str] = []
    sizes: dict[tuple[int, int], Path] = {}
    keys = [key_names.name_of(path) for path in paths]
    for path, key in zip(paths, keys, strict=True):
        if keys.count(key) > 1:
            raise InputError(f"Two keys are named {key}; drawings are named after keys: rename one.")
        document = _read_document(path)
        sizes[document.size] = path
        order = _merged(path, order, [layer.name for layer in document.layers])
        for layer in document.layers:
            cel = cels.setdefault(layer.name, Cel(layer.name))
            _put(folder, cel, key, layer, layer.opacity)
    if len(sizes) > 1:
        two = " and ".join(f"{path} is {w}×{h} pixels" for (h, w), path in list(sizes.items())[:2])
        raise InputError(f"{two}; bring all keys to one size.")
    return Cut(keys, [cels[name] for name in order])


def _of_groups(path: Path, folder: Path) -> Cut:
    cels = []
    for group in _read_document(path).layers:
        if not group.parts:
            raise InputError(
                f"{path}: the layer {group.name!r} is in no group; one document has its layers as groups of keys, or "
                "give one document for each key."
            )
        cel = Cel(group.name)
        for part in group.parts:
            if part.name in cel.paths:
                raise InputError(f"{path}: the group {group.name!r} has two keys named {part.name!r}; rename one.")
            _put(folder, cel, part.name, part, group.opacity * part.opacity)
        cels.append(cel)
    return _of_cels(_matched(cels))


def _of_cels(cels: list[Cel]) -> Cut:
    """Keys in the order of their names."""
    cels = _at_keys(cels)
    keys = {key for cel in cels for key in cel.paths}
    return Cut(sorted(keys, key=lambda name: (key_names.order(name), name)), cels)


def _at_keys(cels: list[Cel]) -> list[Cel]:
    """The same, where a drawing at a key that only other layers have, key_001+2of3+0of3, is that key of its layer."""
    orders = {key: key_names.order(key) for cel in cels for key in cel.paths}
    found = []
    for cel in cels:
        names = {key: key for key in cel.paths}
        for name in cel.paths:
            start = key_names.key_at(name)
            if start != name:
                at = (key for key in orders.keys() - {*names.values()} if orders[key] == key_names.order(start))
                names[name] = min(at, default=name)
        found.append(_renamed(cel, names))
    return found


def _put(folder: Path, cel: Cel, key: str, layer: Layer, opacity: float) -> None:
    within = folder / _folder_name(cel.name)
    with _writing_temporary(within):
        within.mkdir(exist_ok=True)
    path = within / files.fitting(_folder_name(key), ".png")
    if path.exists():
        raise InputError(f"Two keys or layers are named alike, as {key} of {cel.name}; rename one.")
    with _writing_temporary(path):
        formats.write(path, layer.pixels, layer.tags)
    cel.paths[key], cel.opacities[key] = path, opacity


def _merged(path: Path, order: list[str], names: list[str]) -> list[str]:
    """The order of the layers of all keys so far, from back to front, extended by the layers of another key."""
    common = [name for name in names if name in order]
    if common != [name for name in order if name in names]:
        raise InputError(
            f"{path} has its layers {', '.join(common)} in another order than the keys before; reorder them."
        )
    merged, at = list(order), 0
    for name in names:
        if name in order:
            at = merged.index(name) + 1
        else:
            merged.insert(at, name)
            at += 1
    return merged


def _check_names(cut: Cut) -> None:
    folders = [_folder_name(cel.name) for cel in cut.cels]
    for cel, folder in zip(cut.cels, folders, strict=True):
        if folders.count(folder) > 1:
            raise InputError(f"The layer {cel.name!r} and another would both be written to {folder}; rename one.")


def _blank(cut: Cut) -> Picture:
    """A transparent picture of the size of all layers: RGBA, the bit depth of the deepest, the tags of the first.

    Prints a warning if colour profiles differ.

    Raises:
        InputError: layers differ in size, or hold floating values.
    """
    surveyed = ((cel.name, path, _transparent(path)) for cel in cut.cels for path in cel.paths.values())
    rearmost, first, blank = next(surveyed)
    profile, others = png.shown_profile(blank.tags), dict[str, None]()
    for name, path, picture in surveyed:
        if picture.pixels.shape != blank.pixels.shape:
            (h0, w0), (h, w) = blank.pixels.shape[:2], picture.pixels.shape[:2]
            raise InputError(f"{path} is {w}×{h} pixels and {first} {w0}×{h0}; bring all layers to one size.")
        if png.shown_profile(picture.tags) != profile:
            others[name] = None
        blank = blank.converted(PixelType.common([blank.type, picture.type]))
    if others:
        where = f"{first.stem} of the layer {rearmost!r}"
        print(f"Composites are in the colours of {where}; layers have others: {listed(list(others))}.", file=sys.stderr)
    return blank


def _transparent(path: Path) -> Picture:
    """A transparent picture of the size, bit depth and tags of a file."""
    picture = formats.read(path)
    if not np.issubdtype(picture.pixels.dtype, np.integer):
        raise InputError(f"{path} holds floating values; layers are composited in 8 or 16 bits.")
    blank = np.zeros((*picture.pixels.shape[:2], 4), picture.pixels.dtype)
    return Picture(blank, tags=picture.tags).converted(PixelType.of(blank))


def _report_missing(cut: Cut, stretches: Sequence[Sequence[_Stretch]]) -> None:
    for cel, of_cel in zip(cut.cels, stretches, strict=True):
        shown = {i for one in of_cel for i, _ in one.ticks}
        missing = [key for i, key in enumerate(cut.keys) if i not in shown]
        if missing:
            held = "it is not shown there, and what precedes is held until then"
            print(f"The layer {cel.name!r} is not in {listed(missing)}; {held}.", file=sys.stderr)


def _documents(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix.lower() in layers.SUFFIXES and path.name[0] != "."]
    return sorted(found, key=lambda path: (key_names.order(path.stem), path.name))


def _folder_name(name: str) -> str:
    safe = "".join("_" if c in '/\\:*?"<>|' or ord(c) < 32 else c for c in name).strip(". ")
    return files.fitting(safe or "_", "")
