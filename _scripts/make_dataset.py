"""Make one data set of triplets from whole shows.

shows/                              OUT/
    A/  01.mkv  02.mkv  …               000001/  im1.jpg  im2.jpg  im3.jpg
    B/Season 1/  01.mp4  …      →       000002/  …
                                        index.csv    where each is from, and how it moves
                                        report.html  counts, histograms, a random sample

Run again, it resumes where it ended; with new videos, it adds theirs and leaves what is there as it is. Videos that
cannot be used are named and skipped, with exit code 1.
"""

import argparse
import functools
import os
import sys
from pathlib import Path

from _scripts import stages
from _util import command, device
from _util.command import number, whole


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.make_dataset",
        description="Make one data set of triplets from videos and folders of videos, searched at any depth.",
        epilog="A cluster's machines must all see the videos, OUT and this repository under the same paths (a shared "
        "file system that knows locks), and have the project installed with '.[cluster]'.",
    )
    parser.add_argument("shows", metavar="SHOWS", type=Path, nargs="+", help="a video or a folder of videos")
    parser.add_argument("out", metavar="OUT", type=Path, help="the data set: a new folder, or one made here")
    parser.add_argument(
        "--size",
        default="1080",
        help="height, to which larger videos are scaled down; WIDTHxHEIGHT, scaled and cropped; or source "
        "(default: 1080)",
    )
    parser.add_argument("--format", choices=["jpg", "png"], default="jpg", help="format of the pictures (default: jpg)")
    parser.add_argument("--quality", type=whole(1, 100), metavar="N", help="JPEG quality, 1 to 100 (default: 100)")
    parser.add_argument(
        "--layout",
        choices=["folders", "rrld"],
        default="folders",
        help="folders: 000001/im1.jpg …; rrld: images/A-B-C/A.jpg … (default: folders)",
    )
    parser.add_argument(
        "--one-per-cut", action="store_true", help="keep only the triplet with the lowest RRLD of each shot"
    )
    parser.add_argument(
        "--cut-threshold", type=number(above=0), metavar="X", help="threshold of the cut detector (default: its own)"
    )
    parser.add_argument(
        "--sensitivity",
        type=number(above=0),
        default=1,
        metavar="X",
        help="differences between frames are multiplied by this before the published model finds repeats (default: 1)",
    )
    parser.add_argument(
        "--near-duplicates",
        type=number(-1, 1),
        default=0.25,
        metavar="X",
        help="leave out triplets whose motion differs by this share or less from another's, 0 to 1; "
        "-1 keeps all (default: 0.25)",
    )
    parser.add_argument("--flow", default="dis", help="dis, multidis, sgm+dis, rfr, … or auto, the best (default: dis)")
    parser.add_argument("--device", default="auto", help=f"{device.NAMES} (default: auto)")
    parser.add_argument("--precision", choices=device.PRECISIONS, default="auto", help="of a network (default: auto)")
    parser.add_argument("--checkpoints", type=Path, metavar="DIR", help="folder of weights (default: checkpoints)")
    stages.add_thresholds(parser.add_argument_group("which triplets are accepted, by RRLD at 640×360"))
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=whole(1), metavar="N", help="videos at once (default: one for each 4 cores)")
    where.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="do the videos as tasks of the Ray cluster at this address, or auto; see below",
    )
    arguments = parser.parse_args()
    if arguments.quality and arguments.format != "jpg":
        parser.error("--quality is of JPEG; leave it out, or choose --format jpg")
    return arguments


def create_flow(flow: str, device: str, precision: str, checkpoints: Path | None):
    """The flow estimator that was asked for, in the process that needs it."""
    return stages.flow_estimator(flow, device, precision, checkpoints)[1]


def main() -> None:
    arguments = parse()
    from _databacks.dataset import making, workers
    from _databacks.dataset.preparing import Settings
    from _databacks.extraction.options import ExtractionOptions, parse_size

    size = parse_size(arguments.size)
    checkpoints = arguments.checkpoints and arguments.checkpoints.resolve()
    on_driver = "cpu" if arguments.cluster else arguments.device
    identity, _ = stages.flow_estimator(arguments.flow, on_driver, arguments.precision, checkpoints)
    name = identity.split()[0]
    options = ExtractionOptions(
        video_size=size,
        image_size=size,
        format=arguments.format,
        quality=arguments.quality or 100,
        flow=identity,
        sensitivity=arguments.sensitivity,
        one_per_cut=arguments.one_per_cut,
        cut_threshold=arguments.cut_threshold,
        thresholds=stages.thresholds(arguments),
    )
    if arguments.cluster:
        gpus = int(arguments.device.startswith("cuda"))
        execute = functools.partial(workers.cluster, address=arguments.cluster, gpus=gpus)
    else:
        count = arguments.workers or max(1, (os.cpu_count() or 1) // 4)
        execute = functools.partial(workers.processes, workers=count)
    skipped = making.make(
        arguments.shows,
        arguments.out,
        Settings(options, functools.partial(create_flow, name, arguments.device, arguments.precision, checkpoints)),
        execute,
        layout=arguments.layout,
        threshold=arguments.near_duplicates,
    )
    if skipped:
        sys.exit(1)


if __name__ == "__main__":
    command.run(main)
