"""Render clip art for training, and look at what is made of it.

python -m _databacks.clipart FOLDER …                    _data/clipart/atlas.zip, from the SVGs in folders
python -m _databacks.clipart FOLDER … --things FOLDER …  people and animals move; things make up the grounds
python -m _databacks.clipart --sheet                     _data/clipart/sheet.png: 12 triplets
python -m _databacks.clipart --rate                      triplets per second
"""

import argparse
import os
from pathlib import Path

from _util import command, places
from _util.command import whole

SHEET = places.results("clipart") / "sheet.png"
_MOST_REASONS = 12


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _databacks.clipart",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("figures", type=Path, nargs="*", metavar="FOLDER", help="SVGs of what moves, at any depth")
    add("--things", type=Path, nargs="+", default=[], metavar="FOLDER", help="SVGs that grounds are made of")
    add(
        "--processes",
        type=whole(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="that render (default: a core each)",
    )
    add("--sheet", type=Path, nargs="?", const=SHEET, metavar="FILE", help=f"draw a contact sheet (default: {SHEET})")
    add("--rate", action="store_true", help="count the triplets composed in a second")
    add("--size", type=whole(32), nargs=2, default=(256, 256), metavar=("H", "W"), help="of the frames")
    add("--seed", type=whole(0), default=0)
    arguments = parser.parse_args()
    if not (arguments.figures or arguments.sheet or arguments.rate):
        parser.error("name a folder of SVGs, or --sheet or --rate")
    if arguments.things and not arguments.figures:
        parser.error("--things go with folders of figures")
    return arguments


def main() -> None:
    arguments = parse()
    from _databacks.clipart import atlas

    if arguments.figures:
        _build(arguments)
    if arguments.sheet or arguments.rate:
        from _databacks.clipart.scenes import Clipart
        from _databacks.clipart.show import rate, sheet
        from _util import image
        from _util.files import make_folder

        source = Clipart(atlas.PATH, tuple(arguments.size), arguments.seed)
        if arguments.sheet:
            make_folder(arguments.sheet.parent)
            image.write(arguments.sheet, sheet(source))
            print(arguments.sheet)
        if arguments.rate:
            print(f"{rate(source):.2f} triplets/s at {source.size[0]}×{source.size[1]}")


def _build(arguments: argparse.Namespace) -> None:
    from _databacks.clipart import atlas, building
    from _util.locks import holding

    with holding(atlas.PATH):
        count, unused = building.build(arguments.figures, arguments.things, processes=arguments.processes)
    command.print_reasons(unused, _MOST_REASONS)
    left_out = f"; {len(unused)} files could not be used" if unused else ""
    print(f"{atlas.PATH}: {count} drawings, {atlas.PATH.stat().st_size / 1e6:.0f} MB{left_out}")


if __name__ == "__main__":
    command.run(main)
