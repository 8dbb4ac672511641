"""Pack a data set of triplets into one file, for training and evaluation.

DATA, of any kind       →   OUT.h5
    name/{a,b,c}.png            frames, flows in half precision, names, what is known of each,
    rrld/images/ flows/         and a checksum of every byte
    atd12k, keyframes DIR …

A packing that was ended resumes when its command is given again: OUT.h5.parts holds what is ready, and OUT.h5 appears
whole. Items that cannot be read are left out and reported, with exit code 1.
"""

import argparse
from pathlib import Path

from _databacks import sources
from _util import command
from _util.counts import counted


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.dataset_to_hdf5",
        description="Pack a data set of triplets into one HDF5 file.",
        epilog="The file serves as DATA for the trainer and as --data for evaluate.",
    )
    parser.add_argument(
        "data",
        nargs="*",
        metavar="DATA",
        help=f"a folder or file; its kind is detected, or named before it. Kinds: {sources.summaries()}",
    )
    parser.add_argument("out", metavar="OUT.h5", type=Path, help="the file")
    parser.add_argument("--split", choices=["test", "train"], help="of ATD-12K (default: test)")
    parser.add_argument(
        "--frames",
        choices=["arrays", "bytes"],
        help="arrays: decoded, several times faster to read than PNG, and larger by as much; or bytes: the image files "
        "themselves (default: arrays)",
    )
    then = parser.add_mutually_exclusive_group()
    then.add_argument("--check", action="store_true", help="only verify that OUT.h5 is undamaged; without DATA")
    then.add_argument(
        "--measure", action="store_true", help="only measure random reads of DATA and OUT.h5 by 4 workers"
    )
    arguments = parser.parse_args()
    if bool(arguments.data) == arguments.check:
        parser.error("--check takes no DATA" if arguments.check else "DATA or OUT.h5 is missing")
    if arguments.check and arguments.split:
        parser.error("--split is of DATA, which --check does not read; leave it out")
    if arguments.frames and (arguments.check or arguments.measure):
        parser.error("--frames is of packing; leave it out")
    if arguments.out.suffix.lower() not in (".h5", ".hdf5"):
        parser.error(f"{arguments.out} does not end in .h5")
    if not arguments.out.parent.is_dir():
        parser.error(f"there is no folder {arguments.out.parent}")
    return arguments


def main() -> None:
    arguments = parse()
    if arguments.check:
        check(arguments.out)
        return
    source = sources.open_source(arguments.data, arguments.split or sources.TEST)
    if arguments.measure:
        measure(source, arguments.out)
    else:
        pack(source, arguments.out, arguments.frames != "bytes")


def pack(source, out: Path, as_arrays: bool) -> None:
    from _databacks.hdf5 import packing

    damaged = packing.pack(source, out, as_arrays)
    print(f"{out}: {len(source) - len(damaged)} triplets of {source.title}, {out.stat().st_size / 2**20:.1f} MiB")
    command.exit_if_failed(damaged, f"{len(damaged)} of {len(source)} items are left out")


def check(path: Path) -> None:
    from tqdm import tqdm

    from _databacks.hdf5.reading import HDF5

    source = HDF5(path)
    found = {name: source.damage(i) for i, name in enumerate(tqdm(source.names, unit="item", disable=None))}
    damaged = {name: reason for name, reason in found.items() if reason}
    command.exit_if_failed(damaged, f"{len(damaged)} of {len(source)} items are damaged")
    print(f"{path}: {counted(len(source), 'item')}, none damaged")


def measure(source, path: Path) -> None:
    from _databacks.hdf5.reading import HDF5
    from _databacks.hdf5.speed import compare

    rates = compare({"DATA": source, "HDF5": HDF5(path)})
    for name, rate in rates.items():
        print(f"{name}  {rate:6.1f} triplets a second, at random, from 4 workers")
    print(f"ratio {rates['HDF5'] / rates['DATA']:6.2f}")


if __name__ == "__main__":
    command.run(main)
