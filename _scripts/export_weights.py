"""Turn a checkpoint of training into weights to interpolate with.

OUT/checkpoints/best.ckpt   →   checkpoints/default/
                                    rfr.safetensors                    of --model rfr
                                    ssl.safetensors  dtm.safetensors   of --model ssldtm
                                    resunet_flow.safetensors           of --model resunet --task optflow
                                    MODEL.safetensors                  of any other
"""

import argparse
from pathlib import Path

from _util import command, places
from _util.command import number

HALF_WAY = 0.5


def default_folder() -> Path:
    """Weights there are found by the name of their network; in the repository they are those that are shipped."""
    return places.added_weights() / "default"


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.export_weights",
        description="Export the averaged weights of the best checkpoint, else the last, as fp16 safetensors. "
        "What they were trained on, for how long, by which commit and command is kept in them.",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder of a run of training")
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help=f"where to write (default: {default_folder()}, where they are found)"
    )
    parser.add_argument(
        "--start", type=Path, metavar="WEIGHTS", help="the file that the run started from, to go --share of the way"
    )
    parser.add_argument("--share", type=number(0, 1), metavar="S", help=f"from --start, 0 to 1 (default: {HALF_WAY})")
    parser.add_argument("--overwrite", action="store_true", help="replace weights of the same names")
    arguments = parser.parse_args()
    if arguments.share is not None and not arguments.start:
        parser.error("--share is of the way from --start; add --start WEIGHTS")
    return arguments


def main() -> None:
    arguments = parse()
    from _train.frame_interpolation.training import journal

    folder = arguments.to or default_folder()
    share = HALF_WAY if arguments.share is None else arguments.share
    for path in journal.export(arguments.out, folder, arguments.start, share, arguments.overwrite):
        print(path)


if __name__ == "__main__":
    command.run(main)
