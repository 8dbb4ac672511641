"""Draw the frames between two frames.

a.png  b.png   →   _data/interpolated/a-b/
                       12_00.png  a.png
                       12_01.png  at 1/12 of the way
                       …
                       12_12.png  b.png
"""

import argparse
from pathlib import Path

from _scripts import drawing
from _util import command


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.interpolate",
        description="Draw the frames between two frames of 2D animation.",
        epilog="Weights are looked for in checkpoints/: published files first, then those the project ships.",
    )
    parser.add_argument("frame0", metavar="FRAME0", type=Path, help="the first frame: PNG, JPEG, WebP or TIFF")
    parser.add_argument("frame1", metavar="FRAME1", type=Path, help="the second frame, of the same size")
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--fps", type=int, metavar="N", help="write N-1 frames between, at even times, and both frames (default: 12)"
    )
    when.add_argument("--times", type=float, nargs="+", metavar="T", help="write the frames at these times, 0 < T < 1")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default: _data/interpolated/FRAME0-FRAME1)"
    )
    drawing.add_options(parser)
    parser.add_argument(
        "--preview", type=Path, metavar="FILE", help="also write an animation, there and back: .webp, .gif or .mp4"
    )
    parser.add_argument(
        "--show-flow", action="store_true", help="also write flow01.png and flow10.png, in Middlebury's colours"
    )
    arguments = parser.parse_args()
    if arguments.fps is not None and arguments.fps < 1:
        parser.error(f"--fps is {arguments.fps}; it must be 1 or more")
    for t in arguments.times or []:
        if not 0 < t < 1:
            parser.error(f"--times has {t:g}; times lie above 0 and below 1")
    return arguments


def main() -> None:
    arguments = parse()
    from _train.frame_interpolation import pairs

    pairs.interpolate_files(
        arguments.frame0,
        arguments.frame1,
        out=arguments.out or Path("_data/interpolated") / f"{arguments.frame0.stem}-{arguments.frame1.stem}",
        times=arguments.times,
        fps=None if arguments.times else arguments.fps or 12,
        preview=arguments.preview,
        show_flow=arguments.show_flow,
        **drawing.chosen(arguments),
    )


if __name__ == "__main__":
    command.run(main)
