"""File names, the image files of a folder, and atomic writes."""

import contextlib
import errno
import functools
import hashlib
import itertools
import json
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _util.counts import counted, listed
from _util.errors import InputError

PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".tga"),
    *(".exr", ".avif", ".jp2", ".j2k", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".jpe", ".jfif", ".j2c", ".jpc", ".jpf", ".jpx"),
)
VIDEO_SUFFIXES = (
    *(".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".vob"),
    *(".wmv", ".flv", ".f4v", ".ogv", ".ogm", ".3gp", ".m2v", ".mxf"),
)
_OTHER_SUFFIXES = (  # of files that may be drawings and are not read among pictures
    *(".psd", ".psb", ".ora", ".kra", ".clip", ".csp", ".xcf", ".sai", ".sai2", ".mdp", ".tvpp", ".procreate"),
    *(".ai", ".svg", ".pdf", ".heic", ".heif", ".hif", ".jxl", ".dpx", ".cin", ".hdr"),
    *(".apng", ".qoi", ".sgi", ".pam", ".pfm", ".iff", ".jxr", *VIDEO_SUFFIXES),
)
PICTURE_FORMATS = "PNG, JPEG, WebP, TIFF, EXR, BMP, TGA, GIF, PNM, AVIF or JPEG 2000"
_LONGEST = 255  # bytes of a file name, on nearly all file systems
_LONGEST_TEXT = 10_000_000  # bytes
_NUMBERED = re.compile(r"(\D*?)((?:^|(?<=[\s_.(]))-(?=\d))?(\d+|$)")  # a minus sign begins a name or follows one of _.(
_HOST = hashlib.sha256(socket.gethostname().encode(errors="replace")).hexdigest()[:8]
_TEMPORARY = re.compile(rf"\..*\.tmp-{_HOST}-(\d+)(\.[^.]*)?", re.DOTALL)


def index_of(written: str, names: Sequence[str]) -> int | None:
    """The index of the name that a user wrote in a table, which may have a picture's suffix, or another Unicode form.

    File names on macOS, for example, may have letters and their accents apart.
    """
    suffix = Path(written).suffix
    bare = written.removesuffix(suffix) if suffix.lower() in PICTURE_SUFFIXES else written
    forms: tuple[Callable[[str], str], ...] = (str, functools.partial(unicodedata.normalize, "NFC"))
    for text, form in itertools.product((written, bare), forms):
        for i, name in enumerate(names):
            if form(name) == form(text):
                return i
    return None


def natural(name: str) -> list[tuple[str, int]]:
    """Key for natural sorting: 2 before 10, and -10 before -2 before 1."""
    return [(text, number or 0) for text, number in _parts(name)]


def order(name: str) -> tuple[list[tuple[str, int]], str]:
    """Key for natural sorting in which no two names are equal, as `shot1` and `shot01` are by `natural`."""
    return natural(name), name


def _parts(name: str) -> list[tuple[str, int | None]]:
    """The parts of a name in lower case, each with the number that follows it; None at the end of the name."""
    parts = _NUMBERED.findall(name)
    return [(text.lower(), int(sign + digits) if digits else None) for text, sign, digits in parts]


def is_picture(name: str) -> bool:
    """Whether a file has the suffix of an image, and is not hidden."""
    return Path(name).suffix.lower() in PICTURE_SUFFIXES and name[0] != "."


def pictures(folder: Path) -> list[Path]:
    """The image files of a folder, recognised by suffix, in natural order, without hidden ones.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        files = [path for path in folder.iterdir() if is_picture(path.name)]
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); a folder of pictures is needed.") from error
    return sorted(files, key=lambda path: order(path.name))


def walk(root: Path, without: Iterable[Path] = ()) -> Iterator[tuple[Path, list[str]]]:
    """A folder and all in it, at any depth, each once, with the names of the files in each.

    Links are followed, except to what lies in `root` itself. Hidden folders are skipped. Folders that cannot be read
    are reported on stderr.

    Args:
        without: folders to skip, resolved.
    """
    inside, seen = root.resolve(), set(without)
    for folder, subfolders, names in os.walk(root, onerror=_report_unreadable, followlinks=True):
        here = Path(folder).resolve()
        if here in seen:
            subfolders.clear()
            continue
        seen.add(here)
        visible = (Path(folder, name) for name in subfolders if name[0] != ".")
        subfolders[:] = [
            path.name for path in visible if not (path.is_symlink() and path.resolve().is_relative_to(inside))
        ]
        yield Path(folder), names


def _report_unreadable(error: OSError) -> None:
    print(f"{error.filename} cannot be read ({error.strerror}): left out.", file=sys.stderr)


def left_out(folder: Path, used: Iterable[Path]) -> str | None:
    """A sentence about possible drawings of a folder that are not used, nor named like one that is, or None."""
    stems = {path.stem for path in used}
    others = (path for path in folder.iterdir() if path.suffix.lower() in _OTHER_SUFFIXES and path.name[0] != ".")
    names = sorted((path.name for path in others if path.stem not in stems), key=natural)
    if not names:
        return None
    count = counted(len(names), "file")
    return (
        f"{folder} holds {count} in formats that are not read there, {listed(names)}: left out; export drawings as PNG."
    )


class Numbered(NamedTuple):
    """A picture and its number in a folder."""

    path: Path
    number: int


def numbered(folder: Path) -> list[Numbered]:
    """The pictures of a folder in natural order, with increasing numbers that may have gaps.

    If all names differ only in their last number (`shot2_-01.png`, `shot2_00.png`), it is the picture's number.
    Otherwise (`a1.png`, `a2.png`, `b1.png`), pictures are numbered from 0 in their order.

    Raises:
        InputError: the folder cannot be read, two files have the same number, or only some have a number.
    """
    return number(pictures(folder))


def number(paths: list[Path]) -> list[Numbered]:
    """Like `numbered`, for files in natural order.

    Raises:
        InputError: two files have the same number, or only some have a number.
    """
    names = [_parts(path.stem) for path in paths]
    for before, path, name in zip(paths, paths[1:], names, strict=False):
        if name == _parts(path.stem):
            raise InputError(f"{before} and {path.name} are one picture by name and number; keep one of them there.")
    numbers = [next((number for _, number in reversed(name) if number is not None), None) for name in names]
    if None in numbers and any(number is not None for number in numbers):
        path = paths[numbers.index(None)]
        raise InputError(f"{path} has no number, as others in its folder have; number it, or move it elsewhere.")
    known = [number for number in numbers if number is not None]
    if len(known) < len(paths) or len({_around(name) for name in names}) > 1:
        known = range(len(paths))
    return [Numbered(path, number) for path, number in zip(paths, known, strict=True)]


def _around(name: list[tuple[str, int | None]]) -> tuple[tuple[str, int | None], ...]:
    """The parts of a name without its last number."""
    last = max(i for i, (_, number) in enumerate(name) if number is not None)
    return tuple((text, None if i == last else number) for i, (text, number) in enumerate(name))


def fitting(name: str, suffix: str) -> str:
    """`name + suffix`; if that is too long for a file system, `name` is shortened and ends in a digest of itself."""
    room = _LONGEST - len(os.fsencode(suffix))
    whole = os.fsencode(name)
    if len(whole) > room:
        digest = hashlib.sha256(whole).hexdigest()[:16]
        name = f"{whole[: room - 17].decode(errors='ignore')}-{digest}"
    return name + suffix


def hidden_beside(path: Path, suffix: str) -> Path:
    """The hidden path beside `path` that ends in `suffix`: `.clip.mp4.lock` for `clip.mp4`.

    Raises:
        InputError: the path has no name, such as a root directory.
    """
    if not path.name:
        raise InputError(f"{path} has no file name; choose another place.")
    return path.with_name(fitting(f".{path.name}", suffix))


def exists(path: Path) -> bool:
    """Whether there is a file or a folder.

    Raises:
        PermissionError: that cannot be known; `Path.exists` returns False then from Python 3.14 on.
    """
    try:
        path.stat()
    except PermissionError:
        raise
    except (OSError, ValueError):  # as for names that are too long, or that cannot be
        return False
    return True


def beginning(path: Path, size: int) -> bytes:
    """The first `size` bytes of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(size)


def read_text(path: Path, wanted: str, errors: str = "strict") -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        wanted: the expected content, for messages: "a chart as CSV".
        errors: how bytes that are not UTF-8 are handled, as for `bytes.decode`.

    Raises:
        InputError: the file cannot be read, is longer than 10 MB, or is not UTF-8.
    """
    try:
        if path.stat().st_size > _LONGEST_TEXT:
            raise InputError(f"{path} is longer than {_LONGEST_TEXT // 1_000_000} MB; {wanted} is needed.")
        return path.read_text("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text in UTF-8; {wanted} is needed.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {wanted} is needed.") from error


def read_json(path: Path, wanted: str) -> Any:
    """Read a JSON file. Bytes that are not UTF-8, as in file names, become surrogate escapes.

    Args:
        wanted: the expected content, for messages: "a JSON file of hints".

    Raises:
        InputError: the file cannot be read, is longer than 10 MB, is not JSON, or has an object with a name twice.
    """
    text = read_text(path, wanted, "surrogateescape")
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged, or no JSON ({error}); {wanted} is needed.") from error


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        raise ValueError(f"an object has {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8; surrogate escapes, as in file names, become their original bytes.

    Raises:
        InputError: the file cannot be written.
    """
    write_bytes(path, text.encode(errors="surrogateescape"))


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Write a file atomically, so that it is either new or unchanged even after a power failure.

    Raises:
        InputError: the file cannot be written, for lack of space or permission.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def make_folder(folder: Path, remedy: str = "choose another place") -> None:
    """Create a folder and its parents, unless they exist.

    Args:
        remedy: what the user can do about a failure, for the message.

    Raises:
        InputError: the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be created ({_why_no_folder(folder, error)}); {remedy}.") from error


def _why_no_folder(folder: Path, error: OSError) -> str | None:
    for path in (folder, *folder.parents):
        if path.is_symlink() and not path.exists():
            return f"{'it' if path == folder else path} is a symbolic link that leads nowhere"
        if path.is_file():
            return f"{'it' if path == folder else path} is a file"
    return error.strerror


@contextlib.contextmanager
def making_folder(folder: Path) -> Iterator[None]:
    """Create a folder and its missing parents; at the end of the block, those created are removed again if empty.

    Raises:
        InputError: the folder cannot be created.
    """
    missing = []
    try:
        with contextlib.suppress(OSError):  # make_folder reports it
            missing += [path for path in (folder, *folder.parents) if not path.exists()]
        make_folder(folder)
        yield
    finally:
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()


def resolved(path: Path) -> Path:
    """The absolute path, with symbolic links followed; it need not exist.

    Raises:
        InputError: a link leads back to itself.
    """
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a RuntimeError before Python 3.13
        if isinstance(error, RuntimeError) or error.errno == errno.ELOOP:
            raise InputError(f"{path} is a symbolic link that leads back to itself; choose another place.") from error
        return path.resolve()


def require_outside(path: Path, data: Path, remedy: str = "choose another folder") -> None:
    """Check that an output is not within data that is read, of which it would become a part.

    Args:
        path, data: files or folders; links are followed, and neither need exist.
        remedy: what the user can do about it, for the message.

    Raises:
        InputError: `path` is `data` or lies in it.
    """
    if resolved(path).is_relative_to(resolved(data)):
        raise InputError(f"{path} would lie in the data {data}; {remedy}.")


def temporary_beside(path: Path) -> Path:
    """The temporary file of `path`: hidden, named after host and process, with the same suffix."""
    bare = path.with_suffix("") if path.name else path
    return hidden_beside(bare, f".tmp-{_HOST}-{os.getpid()}{path.suffix}")


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to `path` when the block succeeds and deleted when it fails.

    The file is synced to disk before the rename, and its folder after it. A symbolic link is followed: its target is
    replaced. Temporary files that killed processes have left in the folder are removed.

    Raises:
        InputError: there is no space, or no permission to write.
    """
    real = Path(os.path.realpath(path))
    temporary = temporary_beside(real)
    _remove_stale(real.parent)
    try:
        with writing(path, temporary=temporary):
            yield temporary
            publish(temporary, real)
    finally:
        remove(temporary)


@contextlib.contextmanager
def writing(path: str | Path, remedy: str | None = None, temporary: Path | None = None) -> Iterator[None]:
    """Convert an `OSError` raised in the block into an `InputError` about `path`.

    Args:
        remedy: what the user can do about it, for the message (default: that of `remedy_for`).
        temporary: a file or folder that becomes `path`; an `InputError` that names it names `path` instead.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be written ({reason}); {remedy or remedy_for(error.errno)}.") from error
    except InputError as error:
        if temporary is None or str(temporary) not in str(error):
            raise
        raise InputError(str(error).replace(str(temporary), str(path))) from error


def remedy_for(number: int | None) -> str:
    """What the user can do about a file that cannot be written, by the `errno` of the error, for messages."""
    is_full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "make room or choose another place" if is_full else "choose another place"


def check_writable(path: Path) -> None:
    """Create the folders of a file and a temporary file beside it, as permission bits are not enough.

    Raises:
        InputError: the file cannot be written.
    """
    with writing(path), making_folder(path.parent):
        tempfile.TemporaryFile(dir=path.parent).close()
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(path.stat().st_mode):  # is_dir would not raise for a name that is too long
                raise IsADirectoryError(errno.EISDIR, "it is a folder")


def publish(temporary: Path, path: Path) -> None:
    """Rename a complete file, so that after a power failure, `path` is either the old file or the new one."""
    sync(temporary)
    if sys.platform == "win32" and temporary.is_dir() and path.is_dir():
        path.rmdir()  # an empty folder, which other systems replace
    temporary.replace(path)
    with contextlib.suppress(OSError):  # not all systems can sync folders
        sync(path.parent)


def append(path: Path, line: str) -> None:
    """Append a line to a text file, and sync it to disk.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("a") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Sync a file, or the entries of a folder, to disk.

    Raises:
        OSError: it cannot be synced.
    """
    is_folder = path.is_dir()
    if is_folder and sys.platform == "win32":  # which syncs files only
        return
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@functools.cache
def _remove_stale(folder: Path) -> None:
    """Remove temporary files left in a folder by dead processes of this machine; once per folder."""
    if os.name != "posix":  # elsewhere, os.kill(process, 0) is no mere test
        return
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            match = _TEMPORARY.fullmatch(entry.name)
            if match and not _lives(int(match[1])):
                remove(Path(entry.path))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # of another user
    return True


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents, as far as that is permitted."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
