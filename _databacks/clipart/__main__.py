"""Render clip art for training, and look at what is made of it.

python -m _databacks.clipart FOLDER …                    _data/clipart/atlas.zip, from the SVGs in folders
python -m _databacks.clipart FOLDER … --things FOLDER …  the first move, grounds are made of the others
python -m _databacks.clipart --sheet                     _data/clipart/sheet.png: triplets
"""

import argparse
import os
from pathlib import Path

from _util import command, places
from _util.command import whole

SHEET = places.results("clipart") / "sheet.png"
_ROWS = 12  # of the sheet


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _databacks.clipart",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("figures", type=Path, nargs="*", metavar="FOLDER", help="SVGs of what moves, at any depth")
    add(
        "--things",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="SVGs that grounds are made of, and that move now and then (default: those of what moves)",
    )
    add("--grounds", type=whole(0), default=240, metavar="N", help="that are painted (default: 240)")
    cores = os.cpu_count() or 1
    add("--processes", type=whole(1), default=cores, metavar="N", help="that render (default: one for each core)")
    add("--sheet", type=Path, nargs="?", const=SHEET, metavar="FILE", help=f"draw a contact sheet (default: {SHEET})")
    add("--seed", type=whole(0), default=0, help="of the sheet")
    arguments = parser.parse_args()
    if not arguments.figures and (arguments.things or not arguments.sheet):
        parser.error("name a folder of SVGs of what moves, or --sheet alone")
    return arguments


def main() -> None:
    arguments = parse()
    if arguments.figures:
        build(arguments)
    if arguments.sheet:
        draw_sheet(arguments)


def build(arguments: argparse.Namespace) -> None:
    from _databacks.clipart import atlas, building
    from _util.counts import counted
    from _util.locks import holding

    with holding(atlas.PATH):
        count, unused = building.build(
            arguments.figures, arguments.things, atlas.PATH, arguments.grounds, arguments.processes
        )
    command.print_reasons(unused)
    left_out = f"; {counted(len(unused), 'file')} could not be used" if unused else ""
    print(f"{atlas.PATH}: {counted(count, 'drawing')}, {atlas.PATH.stat().st_size / 1e6:.1f} MB{left_out}")


def draw_sheet(arguments: argparse.Namespace) -> None:
    """One row a triplet: frames 0, t and 1, and the difference of the outer two."""
    import numpy as np

    from _databacks.clipart import atlas
    from _databacks.clipart.scenes import Clipart
    from _util import image
    from _util.files import make_folder

    triplets = Clipart(atlas.PATH, (256, 256), arguments.seed)
    rows = []
    for i in range(_ROWS):
        first, middle, last = triplets[i].frames
        rows.append([image.to_array(frame, np.uint8) for frame in (first, middle, last, (last - first).abs())])
    make_folder(arguments.sheet.parent)
    image.write(arguments.sheet, image.contact_sheet(rows))
    print(arguments.sheet)


if __name__ == "__main__":
    command.run(main)
