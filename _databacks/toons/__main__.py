"""Look at toons: a contact sheet of scenes, or how many are composed in a second.

python -m _databacks.toons --sheet                  _data/toons/sheet.png
python -m _databacks.toons --sheet FILE --seed 7    another one
python -m _databacks.toons --rate --device cuda     sequences per second
python -m _databacks.toons --atlas                  render the atlas of drawings anew
"""

import argparse
import time
from pathlib import Path

from _util import command

SHEET = Path("_data/toons/sheet.png")


def parse() -> argparse.Namespace:
    parser = command.Parser(prog="python -m _databacks.toons", description="Endless cartoon motion with exact flow.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--sheet", type=Path, nargs="?", const=SHEET, metavar="FILE", help=f"draw a contact sheet (default: {SHEET})"
    )
    what.add_argument("--rate", action="store_true", help="count the sequences composed in a second")
    what.add_argument("--atlas", action="store_true", help="render the atlas of drawings anew")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("H", "W"), help="of the frames")
    parser.add_argument("--batch-size", type=int, metavar="N", help="scenes at once (default: 12, for --rate 32)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="cpu, cuda or cuda:N (default: a GPU if there is one)")
    arguments = parser.parse_args()
    if min(arguments.size) < 16:
        parser.error(f"--size is {arguments.size[0]} {arguments.size[1]}; both must be 16 or more")
    return arguments


def main() -> None:
    arguments = parse()
    from _databacks.toons import atlas
    from _databacks.toons.scenes import Toons
    from _util import device, image, memory

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
    arguments.sheet.parent.mkdir(parents=True, exist_ok=True)
    image.write(arguments.sheet, sheet(toons))
    print(arguments.sheet)


def sheet(toons):
    """One row a scene: frames 0, t and 1, flow01 and flow10 in Middlebury's colours, what each frame alone shows.

    Returns:
        (rows, columns, 3) uint8.
    """
    import numpy as np

    from _util import flow, image

    scenes = toons.batch(0)
    rows = []
    for i in range(toons.batch_size):
        cells = [image.to_array(frame, np.uint8) for frame in scenes.frames[i]]
        cells += [flow.to_colours(both[i], largest=0.2 * toons.size[1]) for both in scenes.flows]
        cells += [image.to_array(mask[i].expand(3, -1, -1), np.uint8) for mask in scenes.occlusions]
        rows.append(np.concatenate([np.pad(cell, ((1, 1), (1, 1), (0, 0))) for cell in cells], 1))
    return np.concatenate(rows)


def rate(toons, seconds: float = 5) -> float:
    """Sequences composed in a second."""
    import torch

    def wait() -> None:
        if toons.device.type == "cuda":
            torch.cuda.synchronize(toons.device)

    for index in range(3):
        toons.batch(index)
    wait()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        toons.batch(count)
        count += 1
        wait()
    return count * toons.batch_size / (time.perf_counter() - start)


if __name__ == "__main__":
    command.run(main)
