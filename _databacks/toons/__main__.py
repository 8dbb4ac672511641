"""Look at toons: a contact sheet of scenes, or how many are composed in a second.

python -m _databacks.toons --sheet                  _data/toons/sheet.png
python -m _databacks.toons --sheet FILE --seed 7    another one
python -m _databacks.toons --rate --device cuda     sequences per second
python -m _databacks.toons --atlas                  render the atlas of drawings again
"""

import argparse
from pathlib import Path

from _util import command, device, places
from _util.command import whole

SHEET = places.results("toons") / "sheet.png"


def parse() -> argparse.Namespace:
    parser = command.Parser(prog="python -m _databacks.toons", description="Endless cartoon motion with exact flow.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--sheet", type=Path, nargs="?", const=SHEET, metavar="FILE", help=f"draw a contact sheet (default: {SHEET})"
    )
    what.add_argument("--rate", action="store_true", help="count the sequences composed in a second")
    what.add_argument("--atlas", action="store_true", help="render the atlas of drawings again")
    parser.add_argument("--size", type=whole(32), nargs=2, default=(256, 256), metavar=("H", "W"), help="of the frames")
    parser.add_argument("--batch-size", type=whole(1), metavar="N", help="scenes at once (default: 12, for --rate 32)")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--device", default="auto", help=f"{device.NAMES} (default: auto)")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    from _databacks.toons import atlas
    from _databacks.toons.scenes import Toons
    from _databacks.toons.show import rate, sheet
    from _util import image, memory
    from _util.files import make_folder

    memory.keep_freed()
    if arguments.atlas:
        atlas.build()
        print(atlas.PATH)
        return
    batch_size = arguments.batch_size or (32 if arguments.rate else 12)
    toons = Toons(tuple(arguments.size), batch_size, arguments.seed, device.choose(arguments.device))
    if arguments.rate:
        print(f"{rate(toons):.1f} sequences/s at {toons.size[0]}×{toons.size[1]}, batch {batch_size}")
        return
    make_folder(arguments.sheet.parent)
    image.write(arguments.sheet, sheet(toons))
    print(arguments.sheet)


if __name__ == "__main__":
    command.run(main)
