"""Bring a video, or a folder of numbered drawings, to another frame rate.

clip.mp4  24 a second, drawn on twos   →   out.mp4  48 a second, all of them different
                                           with the sound, subtitles, chapters and tags of clip.mp4
"""

import argparse
import sys
from pathlib import Path

from _scripts import drawing
from _util import command
from _util.command import number, rate


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.interpolate_video",
        description="Bring a video of 2D animation to another frame rate, its motion spread evenly over held drawings.",
        epilog="Interrupted or killed, it resumes with --resume. "
        "Weights are looked for in checkpoints/: published files first, then those the project ships.",
    )
    parser.add_argument(
        "source",
        metavar="IN",
        type=Path,
        help="a video, or numbered drawings: a folder, a pattern as shot.%%04d.png, or a glob in quotes; "
        "- is standard input",
    )
    parser.add_argument(
        "out",
        metavar="OUT",
        type=Path,
        help="a video, .mp4, .mkv, .mov, .webm or .y4m; an animation, .gif, .webp or .apng; or a folder, for numbered "
        "PNG; - is standard output, as Y4M",
    )
    frequency = parser.add_mutually_exclusive_group()
    frequency.add_argument("--fps", type=rate, metavar="N", help="frames a second of OUT, as 48 or 24000/1001")
    frequency.add_argument("--times-fps", type=rate, metavar="N", help="or N times those of IN (default: 2)")
    parser.add_argument("--in-fps", type=rate, metavar="N", help="drawings a second of IN (default: 24)")
    parser.add_argument("--close-gaps", action="store_true", help="numbers that drawings lack take no time")
    parser.add_argument(
        "--deinterlace",
        choices=("auto", "on", "off"),
        default="auto",
        help="make whole frames of interlaced ones (default: auto, where flags and pictures say so)",
    )
    parser.add_argument(
        "--detelecine", action="store_true", help="bring telecined film back to its frames, four of five"
    )
    parser.add_argument(
        "--no-dedup", action="store_true", help="take every frame of IN for a drawing of its own, repeated or not"
    )
    parser.add_argument(
        "--no-camera-holds",
        action="store_true",
        help="under a moving camera, take every frame for a drawing, also where a figure is held for two or three",
    )
    parser.add_argument(
        "--longest-hold",
        type=rate,
        metavar="S",
        help="seconds from which on a held drawing rests, and moves only as it is left (default: 0.25)",
    )
    parser.add_argument(
        "--cut-threshold",
        type=number(0, 1),
        metavar="X",
        help="share of a picture that must be found again in the next one of its shot; more finds more cuts "
        "(default: 0.2)",
    )
    parser.add_argument("--codec", metavar="NAME", help="FFmpeg's name (default: libx264; for .webm, libvpx-vp9)")
    parser.add_argument(
        "--crf",
        type=number(),
        metavar="Q",
        help="quality, as the codec counts; 0 is best (default: 18, libx264's 16); of encoders without a constant rate "
        "factor, what they have instead",
    )
    parser.add_argument(
        "--preset", metavar="NAME", help="how thoroughly the codec works (default: its own; libx264's veryfast)"
    )
    parser.add_argument(
        "--pix-fmt", metavar="NAME", help="FFmpeg's name (default: of the codec's the one that keeps most of IN)"
    )
    parser.add_argument("--resume", action="store_true", help="resume from what an earlier run has finished")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT, and what an earlier run has finished")
    drawing.add_options(parser)
    return parser.parse_args()


def require_source(source: Path) -> None:
    """Raise InputError if there is nothing there; PyTorch is not imported for that."""
    from _util import sequences
    from _util.errors import InputError

    if str(source) != "-" and not source.exists() and not sequences.is_pattern(source):
        raise InputError(f"There is no video {source}.")


def main() -> None:
    arguments = parse()
    drawing.check(arguments)
    require_source(arguments.source)
    from _train.frame_interpolation.video.interpolate import Options, create_interpolator, interpolate_video

    given = {
        name: value
        for name in ("fps", "times_fps", "in_fps", "longest_hold", "cut_threshold", "codec", "crf", "preset")
        if (value := getattr(arguments, name)) is not None
    }
    to_stream = str(arguments.out) == "-"
    summary = interpolate_video(
        arguments.source,
        arguments.out,
        Options(
            **given,
            dedup=not arguments.no_dedup,
            camera_holds=not arguments.no_camera_holds,
            pixel_format=arguments.pix_fmt,
            deinterlace=arguments.deinterlace,
            detelecine=arguments.detelecine,
            close_gaps=arguments.close_gaps,
        ),
        lambda: create_interpolator(**drawing.chosen(arguments)),
        resume=arguments.resume,
        overwrite=arguments.overwrite,
    )
    if summary is None:
        return
    print(
        f"{summary.drawings} drawings in {summary.source_frames} frames, {summary.cuts} cuts; "
        f"{arguments.out} has {summary.frames} frames, {float(summary.fps):.6g} a second.",
        file=sys.stderr if to_stream else sys.stdout,
    )


if __name__ == "__main__":
    command.run(main)
