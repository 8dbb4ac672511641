"""Compute the flow by segment-guided matching of a whole data set, once.

DATA, any triplets, ATD-12K among them   →   OUT/
                                                 NAME/guide_flo13.npy  guide_flo31.npy    (2, h, w), x then y, pixels

These are the names that ATD-12K's flows have. A run that was ended resumes when its command is given again.
"""

import argparse
from pathlib import Path

from _util import command, device
from _util.command import whole
from _util.locks import holding


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.sgm_flows",
        description="Compute the flow between the outer frames of triplets by segment-guided matching.",
        epilog="With --half --compress a triplet at 540×960 takes well under 1 MB instead of 8, and no vector is off "
        "by more than 0.05 pixels. A compressed file holds its array under the name `flow`.",
    )
    add = parser.add_argument
    add("data", metavar="DATA", type=Path, help="ATD-12K, or any folder of triplets")
    add("out", metavar="OUT", type=Path, help="where to write; what already exists is left alone")
    add("--split", choices=["test", "train"], default="test", help="of ATD-12K (default: test)")
    add(
        "--features",
        default="auto",
        help="vgg19 as published, vgg16, alexnet, or a file (default: auto, vgg19 if its file is there, else alexnet)",
    )
    add(
        "--penalty",
        choices=["released", "paper"],
        default="released",
        help="of distance and size, as in the released code or in the paper (default: released)",
    )
    add("--style", choices=["japanese", "western"], default="japanese", help="of drawing (default: japanese)")
    add("--half", action="store_true", help="16 bits to a number where they suffice")
    add("--compress", action="store_true", help="write .npz instead of .npy")
    add("--show", action="store_true", help="also write pieces1.png, pieces3.png and matches.png")
    add("--workers", type=whole(1), default=1, metavar="N", help="processes (default: 1)")
    add("--device", default="auto", help=f"of the network: {device.NAMES} (default: auto)")
    add("--checkpoints", type=Path, metavar="DIR", help="folder of weights (default: checkpoints)")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    from _train.frame_interpolation import sgm_flows
    from _util import checkpoints

    given = vars(arguments)
    processes = given.pop("workers")
    given["device"] = str(device.choose(arguments.device))
    given["checkpoints"] = arguments.checkpoints or checkpoints.FOLDER
    with holding(arguments.out):
        failed = sgm_flows.compute(sgm_flows.SGMFlowOptions(**given), processes)
    command.exit_if_failed(failed, f"{len(failed)} of the triplets cannot be used")


if __name__ == "__main__":
    command.run(main)
