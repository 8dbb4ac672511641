"""Interpolate the two demo drawings, with all options of `interpolate`.

_data/demo/  12_00.png … 12_12.png  preview.webp
"""

import re
from pathlib import Path

from _scripts import interpolate
from _util import command, places

FRAMES = [places.ROOT / "supplementary" / "demo" / f"frame{i}.png" for i in range(2)]
OUT = Path("_data/demo" if places.IS_REPOSITORY else "inbetween-demo")
PREVIEW = "preview.webp"
_WRITTEN = re.compile(rf"\d\d+_\d\d+\.png|{re.escape(PREVIEW)}")


def main() -> None:
    command.set_name(command.name("_scripts.demo"))
    arguments = interpolate.parse(FRAMES, OUT, OUT / PREVIEW)
    if arguments.out == OUT:
        _remove_earlier()
    interpolate.draw(arguments)


def _remove_earlier() -> None:
    """Remove the frames and preview of an earlier demo, which may have been at another rate."""
    for path in OUT.iterdir() if OUT.is_dir() else ():
        if _WRITTEN.fullmatch(path.name):
            path.unlink()


if __name__ == "__main__":
    command.run(main)
