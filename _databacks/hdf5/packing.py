"""From a source of triplets to one HDF5 file, item by item, resuming where it was interrupted.

OUT.h5.parts/       while packing; twice the space of OUT.h5 is needed at the end
    settings.json       what is packed, and how
    stamps.json         sizes and times of the files of each item; items whose files change are packed again
    000000.h5 …         items, each there whole or not at all
    whole.h5            their assembly, which becomes OUT.h5
"""

import contextlib
import json
import os
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from _databacks.hdf5 import frames, half, index
from _databacks.triplet import Source, Triplet
from _util import extras, files, runs
from _util.counts import counted
from _util.errors import InputError
from _util.locks import holding

_STAMPS = "stamps.json"
_FRAMES = "frames"  # attribute of the file: "arrays" or "bytes", as it was asked for
_PACKED = "stamps"  # attribute of the file: a digest of the stamps of its items
_VERSIONS = ("v110", "v110")  # of the file format: readers from 2016 on know it


def pack(source: Source, out: Path, as_arrays: bool = True) -> dict[str, str]:
    """Pack all items of a source that can be read.

    Those that an interrupted packing has left ready are not packed again, unless their files have changed since.

    Args:
        source: any.
        out: the file to make.
        as_arrays: store frames decoded, which is fast to read, or as picture files, which is small.

    Returns:
        The reasons for skipped items, by name.

    Raises:
        InputError: the source has no end, the file exists with other items, or of files that have changed since,
            another packing was begun, no item can be read, or the disk is full.
    """
    extras.require("h5py")
    source.require_end()
    with holding(out):
        return _pack(source, out, as_arrays)


def _pack(source: Source, out: Path, as_arrays: bool) -> dict[str, str]:
    if out.exists():
        return _left_out_of(source, out, as_arrays)
    parts = _begin(source, out, as_arrays)
    damaged = {}
    for number, name in enumerate(tqdm(source.names, unit="item", disable=None)):
        part = _part(parts, number)
        if not part.exists():
            try:
                triplet = source[number]
            except InputError as error:
                damaged[name] = str(error)
                continue
            metadata, pictures = _metadata(source, number, triplet), source.pictures(number)
            arrays = frames.to_array(triplet.frames) if as_arrays else frames.to_files(triplet.frames, pictures)
            with files.replacing(part) as temporary:
                _write(temporary, triplet, metadata, arrays)
    if len(damaged) == len(source):
        shutil.rmtree(parts)
        raise InputError(
            f"None of {counted(len(source), 'item')} can be read; the first: {next(iter(damaged.values()))}"
        )
    _assemble(parts, out, as_arrays)
    shutil.rmtree(parts)
    return damaged


def _left_out_of(source: Source, out: Path, as_arrays: bool) -> dict[str, str]:
    """What a packing has left out that came to its end, or was killed right before it.

    Raises:
        InputError: the file is of something else.
    """
    try:
        items = index.read(out)
    except InputError as error:
        raise _taken(out) from error
    left_out = _unreadable(source, {item.name for item in items})
    names = [name for name in source.names if name not in left_out]
    in_items = _frames(all(frames.ARRAY in item.arrays for item in items))  # of files of earlier versions
    if [item.name for item in items] != names or (_attribute(out, _FRAMES) or in_items) != _frames(as_arrays):
        raise _taken(out)
    if _attribute(out, _PACKED) not in (None, runs.digest_of(_stamps_of(source))):
        raise InputError(
            f"{out} already exists, packed from other files, or these have changed since; remove it or choose another "
            "name."
        )
    print(f"{out} already exists, with these items; nothing to do.", file=sys.stderr)
    shutil.rmtree(_parts_of(out), ignore_errors=True)
    return left_out


def _taken(out: Path) -> InputError:
    return InputError(f"{out} already exists; remove it or choose another name.")


def _unreadable(source: Source, packed: set[str]) -> dict[str, str]:
    """Why items that are not packed cannot be read, by name; those after one that can are not looked at."""
    reasons = {}
    for number, name in enumerate(source.names):
        if name not in packed:
            try:
                source[number]
            except InputError as error:
                reasons[name] = str(error)
            else:
                break
    return reasons


def _frames(as_arrays: bool) -> str:
    return "arrays" if as_arrays else "bytes"


def _attribute(out: Path, name: str) -> str | None:
    """An attribute of a whole file; None in files of earlier versions."""
    import h5py

    with h5py.File(out) as file:
        found = file.attrs.get(name)
    return None if found is None else str(found)


def _parts_of(out: Path) -> Path:
    return out.with_name(files.fitting(out.name, ".parts"))


def _begin(source: Source, out: Path, as_arrays: bool) -> Path:
    """The folder of parts, which this packing begins or resumes."""
    parts = _parts_of(out)
    names = zlib.crc32("\n".join(source.names).encode(errors="surrogateescape"))
    settings = {"items": len(source), "names": names, "frames": _frames(as_arrays)}
    path, remedy = parts / "settings.json", "remove it or choose another OUT"
    files.make_folder(parts, remedy)
    if path.exists() and (changes := runs.changes(runs.read(path, f"remove {parts}"), settings)):
        raise InputError(f"{parts} was begun with other data or --frames ({changes}); {remedy}.")
    runs.write(path, settings)
    _remove_changed(source, parts)
    return parts


def _part(parts: Path, number: int) -> Path:
    return parts / f"{number:06d}.h5"


def _remove_changed(source: Source, parts: Path) -> None:
    """Remove the parts whose items have changed since, also those of other data with the same names.

    Stamps are of before the items are read: of what changes meanwhile, the next run packs more than it has to.
    """
    path = parts / _STAMPS
    try:
        before = dict(enumerate(json.loads(path.read_text())))
    except (OSError, ValueError, TypeError):
        before = {}
    now = _stamps_of(source)
    changed = (_part(parts, number) for number, stamp in enumerate(now) if before.get(number) != stamp)
    removed = [part for part in changed if part.exists()]
    for part in removed:
        part.unlink()
    if removed:
        items = counted(len(removed), "item")
        print(f"{parts} held {items} whose files have changed since; they are packed again.", file=sys.stderr)
    files.write_text(path, json.dumps(now))


def _stamps_of(source: Source) -> list[str]:
    numbers = tqdm(range(len(source)), unit="item", desc="looking for changes", disable=None, leave=False)
    return [source.stamp(number) for number in numbers]


def _metadata(source: Source, number: int, triplet: Triplet) -> dict[str, str]:
    metadata = {"subset": source.subset(number)}
    if source.is_annotated:
        with contextlib.suppress(InputError):  # evaluation by annotations says which are missing
            metadata["annotation"] = json.dumps(source.annotation(number, triplet.frames.shape[2:])._asdict())
    return metadata


def _write(path: Path, triplet: Triplet, metadata: dict[str, str], arrays: dict[str, np.ndarray]) -> None:
    """Write an item. HDF5 builds it in memory, because on a full disk HDF5 ends the process."""
    import h5py

    if triplet.flows is not None:
        arrays = arrays | half.to_arrays(np.stack([flow.numpy() for flow in triplet.flows]))
    with h5py.File("item.h5", "w", libver=_VERSIONS, driver="core", backing_store=False) as file:
        item = file.create_group("item")
        for name, array in arrays.items():
            chunks = (1, *array.shape[1:]) if name == frames.ARRAY else None
            dataset = item.create_dataset(name, data=array, chunks=chunks)
            dataset.attrs["crc32"] = zlib.crc32(np.ascontiguousarray(array).data)
        item.attrs["time"] = triplet.time
        for key, text in ({"name": triplet.name} | metadata).items():
            encoded = text.encode(errors="surrogateescape")  # as names of files are, in any encoding
            item.attrs.create(key, encoded, dtype=h5py.string_dtype())
        file.flush()
        path.write_bytes(file.id.get_file_image())


def _assemble(parts: Path, out: Path, as_arrays: bool) -> None:
    import h5py

    whole, numbers = parts / "whole.h5", sorted((path.stem for path in parts.glob("[0-9]*.h5")), key=int)
    whole.unlink(missing_ok=True)
    needed = sum((parts / f"{number}.h5").stat().st_size for number in numbers)
    free = shutil.disk_usage(parts).free
    if free < needed:
        raise InputError(
            f"{out} cannot be assembled: it takes {needed / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free; what is "
            f"packed is kept in {parts}: make room, and run again."
        )
    try:
        with h5py.File(whole, "w", libver=_VERSIONS, userblock_size=index.USER_BLOCK) as file:
            file.attrs[_FRAMES] = _frames(as_arrays)
            file.attrs[_PACKED] = runs.digest_of(json.loads((parts / _STAMPS).read_text()))
            items = file.create_group("items")
            for number in tqdm(numbers, unit="item", desc="assembling", disable=None, leave=False):
                with _open_part(parts / f"{number}.h5") as part:
                    part.copy("item", items, number)
        index.write(whole)
        files.publish(whole, Path(os.path.realpath(out)))
    except index.DamageError as error:
        item = "whole" if error.item is None else numbers[error.item]
        raise _discard_damaged(parts / f"{item}.h5") from error
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{out} cannot be assembled ({error}); what is packed is kept in {parts}: make room, and run again."
        ) from error


def _open_part(path: Path):
    import h5py

    try:
        return h5py.File(path)
    except OSError as error:
        raise _discard_damaged(path) from error


def _discard_damaged(part: Path) -> InputError:
    """What became of a part on the disk shall not get into the file."""
    part.unlink(missing_ok=True)
    return InputError(f"{part} was damaged on the disk and is removed; run again, to pack it again.")
