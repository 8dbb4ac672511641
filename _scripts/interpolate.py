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
from _util import command, files


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.interpolate",
        description="Draw the frames between two frames of 2D animation.",
        epilog="Weights are looked for in checkpoints/: published files first, then those the project ships.",
    )
    parser.add_argument(
        "frames",
        metavar="FRAME",
        type=Path,
        nargs="+",
        help="two frames of one size: PNG, JPEG, WebP, TIFF, EXR, BMP, TGA, AVIF or JPEG 2000",
    )
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
    require_two_frames(arguments.frames)
    drawing.check(arguments)
    from _train.frame_interpolation import pairs

    written = pairs.interpolate_files(
        *arguments.frames,
        out=arguments.out or default_out(*arguments.frames),
        times=arguments.times,
        fps=None if arguments.times else arguments.fps or 12,
        preview=arguments.preview,
        show_flow=arguments.show_flow,
        **drawing.given(arguments),
    )
    print(f"Frames: {len(written)} in {written[0].parent}")
    if arguments.preview:
        print(f"Preview: {arguments.preview}")


def require_two_frames(paths: list[Path]) -> None:
    from _util.errors import InputError

    for_folders = "python -m _scripts.interpolate_video FOLDER OUT draws between all drawings of a folder"
    folder = next((path for path in paths if path.is_dir()), None)
    if folder:
        raise InputError(f"{folder} is a folder; give two files, or {for_folders}.")
    if len(paths) != 2:
        raise InputError(f"Two frames are interpolated, not {len(paths)}; give two files, or {for_folders}.")


def default_out(frame0: Path, frame1: Path) -> Path:
    """`_data/interpolated/FRAME0-FRAME1`, after the names without suffixes; digits are no suffix, as in shot.001."""
    names = (path.name if path.suffix[1:].isdecimal() else path.stem for path in (frame0, frame1))
    return Path("_data/interpolated") / files.fitting("-".join(names), "")


if __name__ == "__main__":
    command.run(main)
