"""The index of a packed file: the positions of its arrays, and checksums of every byte.

    user block, 512 bytes      where the index is, its checksum and the block's own
    HDF5                       what HDF5 libraries read
    index                      JSON: the items, and the checksums of what lies between them

HDF5 itself has no checksums of data that lies in one piece and of some of its structure. So what HDF5 wrote is looked
through once when a file is packed: the arrays and headers of an item belong to it, all else to the whole.
"""

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from _util.errors import InputError

USER_BLOCK = 512
FORMAT = "inbetween triplets 1"
AGAIN = "pack it again"


class Extent(NamedTuple):
    """Bytes of a file."""

    start: int
    size: int


class Checked(NamedTuple):
    """Extents and the CRC-32 of their bytes, one after the other."""

    extents: list[Extent]
    checksum: int


class Array(NamedTuple):
    dtype: str
    shape: list[int]
    checked: Checked


class Item(NamedTuple):
    name: str
    time: float
    metadata: dict  # subset and annotation, where they are known
    arrays: dict[str, Array]
    headers: Checked


class DamageError(ValueError):
    """A checksum does not match; names the item if known."""

    def __init__(self, item: int | None = None):
        super().__init__(item)
        self.item = item


def write(path: Path) -> None:
    """Add index and user block to a file that `packing` has made with HDF5, and written with a user block.

    Raises:
        DamageError: an array of an item no longer matches its checksum.
    """
    import h5py

    with h5py.File(path) as file:
        members = cast(h5py.Group, file["items"])
        groups = (members[name] for name in sorted(members, key=int))
        items = [_read_layout(group, file.userblock_size) for group in groups]
    with path.open("rb+") as file:
        for number, item in enumerate(items):
            if not all(_is_whole(file, array.checked) for array in item.arrays.values()):
                raise DamageError(number)
        items = [item._replace(headers=_check(file, item.headers.extents)) for item in items]
        end = file.seek(0, os.SEEK_END)
        owned = [extent for item in items for extent in _extents(item)]
        between = [_check(file, [gap]) for gap in _gaps(owned, USER_BLOCK, end)]
        content = json.dumps([items, between], separators=(",", ":")).encode()
        file.seek(end)
        file.write(content)
        metadata = {"format": FORMAT, "index": end, "size": len(content), "checksum": zlib.crc32(content)}
        block = json.dumps(metadata).encode().ljust(USER_BLOCK - 4)
        file.seek(0)
        file.write(block + zlib.crc32(block).to_bytes(4, "little"))
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[Item]:
    """Read the items in the index of a file, and verify it and everything between them.

    Raises:
        InputError: the file is damaged there, or is not a packed file.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error


def _read(path: Path, file) -> list[Item]:
    block = file.read(USER_BLOCK)
    if len(block) < USER_BLOCK or zlib.crc32(block[:-4]) != int.from_bytes(block[-4:], "little"):
        raise InputError(
            f"{path} is damaged in its first {USER_BLOCK} bytes or was not packed by _scripts.dataset_to_hdf5; {AGAIN}."
        )
    metadata = json.loads(block[:-4])
    if metadata["format"] != FORMAT:
        raise InputError(f"{path} holds {metadata['format']}; this program reads {FORMAT}; {AGAIN}.")
    size, whole = os.fstat(file.fileno()).st_size, metadata["index"] + metadata["size"]
    if size != whole:
        raise InputError(f"{path} has {size} bytes instead of {whole}; copy it again.")
    file.seek(metadata["index"])
    content = file.read()
    if zlib.crc32(content) != metadata["checksum"]:
        raise InputError(f"{path} is damaged in its index, behind byte {metadata['index']}; {AGAIN}.")
    items, between = json.loads(content)
    for checked in (_checked(*checked) for checked in between):
        if not _is_whole(file, checked):
            start, size = checked.extents[0]
            raise InputError(
                f"{path} is damaged in what lies around its items, bytes {start} to {start + size}; {AGAIN}."
            )
    return [_item(*item) for item in items]


def load(file, array: Array) -> np.ndarray:
    """Read an array from an open file.

    Raises:
        DamageError: its checksum does not match.
        OSError: it cannot be read.
    """
    values = np.empty(array.shape, array.dtype)
    content, start = memoryview(values.data).cast("B") if values.size else memoryview(b""), 0
    for extent in array.checked.extents:
        _fill(file, content[start : start + extent.size], extent.start)
        start += extent.size
    if zlib.crc32(content) != array.checked.checksum:
        raise DamageError
    return values


def require_whole(file, checked: Checked) -> None:
    """Raise DamageError if bytes of an open file do not match their checksum."""
    if not _is_whole(file, checked):
        raise DamageError


def _read_layout(group, offset: int) -> Item:
    """An item as HDF5 has laid it out; addresses of headers count from the end of the user block."""
    arrays, headers = {}, [_header(group, offset)]
    for name, dataset in group.items():
        checked = Checked(_chunks(dataset), int(dataset.attrs["crc32"]))
        arrays[name] = Array(dataset.dtype.str, list(dataset.shape), checked)
        headers.append(_header(dataset, offset))
    attributes = dict(group.attrs)
    metadata = {"subset": attributes["subset"]}
    if "annotation" in attributes:
        metadata["annotation"] = json.loads(attributes["annotation"])
    return Item(str(attributes["name"]), float(attributes["time"]), metadata, arrays, Checked(sorted(headers), 0))


def _header(thing, offset: int) -> Extent:
    import h5py

    info = h5py.h5o.get_info(thing.id)  # pyright: ignore[reportAttributeAccessIssue]
    is_whole = info.hdr.nchunks == 1  # as copying leaves it; one in pieces counts as lying between items
    return Extent(offset + info.addr, info.hdr.space.total if is_whole else 0)


def _chunks(dataset) -> list[Extent]:
    if dataset.chunks is None:
        return [Extent(dataset.id.get_offset(), dataset.id.get_storage_size())]
    infos = (dataset.id.get_chunk_info(i) for i in range(dataset.id.get_num_chunks()))
    return [Extent(info.byte_offset, info.size) for info in sorted(infos, key=lambda info: info.chunk_offset)]


def _extents(item: Item) -> Iterator[Extent]:
    yield from item.headers.extents
    for array in item.arrays.values():
        yield from array.checked.extents


def _gaps(owned: Iterable[Extent], start: int, end: int) -> Iterator[Extent]:
    for extent in sorted(owned):
        if extent.start > start:
            yield Extent(start, extent.start - start)
        start = max(start, extent.start + extent.size)
    if end > start:
        yield Extent(start, end - start)


def _check(file, extents: list[Extent]) -> Checked:
    return Checked(extents, _checksum(file, extents))


def _is_whole(file, checked: Checked) -> bool:
    return _checksum(file, checked.extents) == checked.checksum


def _checksum(file, extents: Iterable[Extent]) -> int:
    checksum = 0
    for extent in extents:
        content = memoryview(bytearray(extent.size))
        _fill(file, content, extent.start)
        checksum = zlib.crc32(content, checksum)
    return checksum


def _fill(file, content: memoryview, start: int) -> None:
    file.seek(start)
    while content:
        count = file.readinto(content)
        if not count:
            raise DamageError
        content = content[count:]


def _item(name: str, time: float, metadata: dict, arrays: dict, headers: list) -> Item:
    kept = {key: Array(dtype, shape, _checked(*checked)) for key, (dtype, shape, checked) in arrays.items()}
    return Item(name, time, metadata, kept, _checked(*headers))


def _checked(extents: list, checksum: int) -> Checked:
    return Checked([Extent(*extent) for extent in extents], checksum)
