"""Common parts of pages that open from disk.

A page consists of static files from this folder, copied unchanged, and a script with its data, because a page on
file:// can run scripts but not fetch other files.
"""

import hashlib
import json
import re
from pathlib import Path

from _util.errors import InputError
from _util.files import make_folder, write_text

_FILES = Path(__file__).parent


def safe_name(name: str) -> str:
    """A unique file name for any text: letters, digits, `-` and `_`, at most 60 characters."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:43]
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{readable}_{digest}"


def write_page(folder: Path, page: str, data: object) -> Path:
    """Write `PAGE.css`, `PAGE.js`, `data.js`, which sets `DATA`, and last `index.html`, whose path is returned.

    Args:
        data: JSON-serialisable; floats may also be infinite or NaN.

    Raises:
        InputError: a file cannot be written.
    """
    write_text(folder / "data.js", f"const DATA = {json.dumps(data, separators=(',', ':'))};\n")
    for suffix in ("css", "js"):
        write_text(folder / f"{page}.{suffix}", (_FILES / f"{page}.{suffix}").read_text(encoding="utf-8"))
    index = folder / "index.html"
    write_text(index, (_FILES / f"{page}.html").read_text(encoding="utf-8"))
    return index


def make_page_folder(folder: Path, page: str) -> None:
    """Create a folder for a page if it does not exist.

    Raises:
        InputError: it cannot be created, or holds another `index.html`.
    """
    make_folder(folder)
    if (folder / "index.html").exists() and not (folder / f"{page}.js").exists():
        raise InputError(f"{folder} holds an index.html that is no {page} of this kind; choose another folder.")
