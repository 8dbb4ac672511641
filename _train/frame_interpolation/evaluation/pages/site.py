"""What pages that open from disk have in common.

A page is files that lie beside this module, copied as they are, and its data in a script, because a page on file://
may run scripts but not fetch anything else.
"""

import hashlib
import json
import re
from pathlib import Path

from _util.errors import InputError
from _util.files import make_folder, write_text

_FILES = Path(__file__).parent


def safe_name(name: str) -> str:
    """A file name for any text, alike for like texts alone: letters, digits, `-`, `_`, at most 60 characters."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:43]
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{readable}_{digest}"


def write_page(folder: Path, page: str, data: object) -> Path:
    """Write `PAGE.css`, `PAGE.js`, the script `data.js` that sets `DATA`, and at last `index.html`, which is returned.

    Args:
        data: what JSON can hold; floats may also be infinite or not a number.

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
    """Make a folder for a page, where there is none.

    Raises:
        InputError: it cannot be made, or holds an `index.html` of something else.
    """
    make_folder(folder)
    if (folder / "index.html").exists() and not (folder / f"{page}.js").exists():
        raise InputError(f"{folder} holds an index.html that is no {page} of this kind; choose another folder.")
