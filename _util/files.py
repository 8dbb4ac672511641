"""Files and folders."""

import hashlib
import os
from pathlib import Path

_LONGEST = 255  # bytes of a name, on nearly all file systems


def hidden_beside(path: Path, suffix: str) -> Path:
    """The hidden path beside `path` that ends in `suffix`: `.clip.mp4.lock` for `clip.mp4`.

    Where that name would be too long for a file system, it is cut, and a digest of the whole keeps it unique.
    """
    name = f".{path.name}{suffix}"
    if len(os.fsencode(name)) > _LONGEST:
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
        kept = os.fsencode(path.name)[: _LONGEST - len(os.fsencode(suffix)) - len(digest) - 2]
        name = f".{os.fsdecode(kept).encode(errors='ignore').decode()}-{digest}{suffix}"
    return path.with_name(name)
