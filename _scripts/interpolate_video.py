"""Bring a video, or a folder of numbered drawings, to another frame rate.

clip.mp4  24 a second, drawn on twos   →   out.mp4  48 a second, all of them different
                                           with the sound, subtitles, chapters and tags of clip.mp4
a.mkv  b.mkv  …    or a folder of them →   OUT/a.mkv  OUT/b.mkv  …
"""

import argparse
import functools
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _scripts import drawing
from _train.frame_interpolation.video.excerpt import Excerpt, parse_crop, parse_scale, parse_still, parse_time
from _util import command, files, sequences
from _util.command import number, rate, reading
from _util.counts import counted
from _util.errors import InputError

if TYPE_CHECKING:
    from _train.frame_interpolation.video.batch import VideoJob
    from _train.frame_interpolation.video.interpolate import Options, PairInterpolator, Summary

    Create = Callable[[], tuple[PairInterpolator, dict[str, Any]]]


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.interpolate_video",
        description="Bring a video of 2D animation to another frame rate, its motion spread evenly over held drawings.",
        epilog="Interrupted or killed, it resumes with --resume. "
        "Weights are looked for in checkpoints/: published files first, then those the project ships.",
    )
    parser.add_argument(
        "sources",
        metavar="IN",
        type=Path,
        nargs="+",
        help="a video, or numbered drawings: a folder, a pattern as shot.%%04d.png, or a glob in quotes; "
        "- is standard input; or several of them, or a folder of videos, made one after the other into the folder OUT",
    )
    parser.add_argument(
        "out",
        metavar="OUT",
        type=command.path_text,
        help="a video, .mp4, .mkv, .mov, .webm or .y4m; an animation, .gif, .webp or .apng; a folder, for numbered "
        "PNG; OUT/, with a slash, for a video under the name of IN in a folder; - is standard output, as Y4M",
    )
    add_rates(parser)
    add_detection(parser)
    add_encoding(parser)
    add_running(parser)
    add_excerpt(parser)
    parser.add_argument(
        "--suffix",
        metavar=".EXT",
        help="of several IN: what each becomes (default: its own, .mkv where that is not made)",
    )
    drawing.add_options(parser)
    drawing.add_matching(parser, default="off")
    arguments = parser.parse_args()
    arguments.is_folder = arguments.out.endswith(("/", os.sep))
    arguments.out = Path(arguments.out)
    if arguments.scene_list and arguments.cut_threshold is not None:
        parser.error("--cut-threshold is not allowed with --scene-list, which says where cuts are")
    if arguments.scene_list and str(arguments.sources[0]) == "-":
        parser.error("--scene-list needs a file as IN, since standard input is read only once")
    if arguments.suffix and not arguments.suffix.startswith("."):
        arguments.suffix = f".{arguments.suffix}"
    return arguments


def add_rates(parser: argparse.ArgumentParser) -> None:
    """Add frames a second of IN and OUT."""
    group = parser.add_argument_group("frames a second")
    frequency = group.add_mutually_exclusive_group()
    frequency.add_argument("--fps", type=rate, metavar="N", help="frames a second of OUT, as 48 or 24000/1001")
    frequency.add_argument("--times-fps", type=rate, metavar="N", help="or N times those of IN (default: 2)")
    group.add_argument("--in-fps", type=rate, metavar="N", help="drawings a second of IN (default: 24)")


def add_detection(parser: argparse.ArgumentParser) -> None:
    """Add how drawings, holds and cuts are found in the frames of IN, and how motion between drawings proceeds."""
    add = parser.add_argument_group("drawings, motion and cuts").add_argument
    add("--close-gaps", action="store_true", help="skip missing numbers instead of holding the drawing before")
    add(
        "--deinterlace",
        choices=("auto", "on", "off"),
        default="auto",
        help="make whole frames of interlaced ones (default: auto, where flags and pictures say so)",
    )
    add("--detelecine", action="store_true", help="inverse telecine: four frames from every five")
    add(
        "--no-dedup",
        dest="dedup",
        action="store_false",
        help="take every frame of IN for a drawing of its own, repeated or not",
    )
    add(
        "--no-camera-holds",
        dest="camera_holds",
        action="store_false",
        help="under a moving camera, take every frame for a drawing, also where a figure is held for two or three",
    )
    add(
        "--longest-hold",
        type=rate,
        metavar="S",
        help="in a hold longer than S seconds, the drawing stays still and moves only at the end (default: 0.25)",
    )
    add(
        "--ease",
        choices=("none", "auto"),
        help="auto: motion between two drawings speeds up or slows down, estimated from the neighbouring drawings "
        "(default: none, it is even)",
    )
    add(
        "--cut-threshold",
        type=number(0, 1),
        metavar="X",
        help="share of a picture that the next one must repeat to belong to the same shot; higher finds more cuts "
        "(default: 0.2)",
    )


def add_encoding(parser: argparse.ArgumentParser) -> None:
    """Add how OUT is encoded."""
    add = parser.add_argument_group("encoding").add_argument
    add(
        "--codec",
        metavar="NAME",
        help="FFmpeg's name (default: libx264; for .webm and .ivf, libvpx-vp9; for .mpg, .vob and .mxf, mpeg2video; "
        "for .mov, .mkv and .avi of an IN with alpha, one that keeps it)",
    )
    add(
        "--crf",
        type=number(),
        metavar="Q",
        help="quality, as the codec counts; 0 is best (default: 18, libx264's 16); for encoders without a constant "
        "rate factor, their own quality option",
    )
    add("--preset", metavar="NAME", help="how thoroughly the codec works (default: its own; libx264's veryfast)")
    add(
        "--pix-fmt",
        dest="pixel_format",
        metavar="NAME",
        help="FFmpeg's name (default: of the codec's the one that keeps most of IN)",
    )


def add_running(parser: argparse.ArgumentParser) -> None:
    """Add what becomes of earlier results, and of what is found."""
    add = parser.add_argument_group("running").add_argument
    add("--resume", action="store_true", help="resume from what an earlier run has finished")
    add("--overwrite", action="store_true", help="replace OUT, a scene list, and what an earlier run has finished")
    add(
        "--scene-list", type=Path, metavar="FILE", help="cuts as PySceneDetect lists them, CSV, instead of finding them"
    )
    add("--write-scene-list", type=Path, metavar="FILE", help="also write such a list, in a dry run too")
    add("--dry-run", action="store_true", help="only count drawings and cuts, and estimate time and size from a sample")


def add_excerpt(parser: argparse.ArgumentParser) -> None:
    """Add what of IN is interpolated, and how it is shown."""
    add = parser.add_argument_group("a part of IN").add_argument
    add("--from", dest="start", type=reading(parse_time), metavar="TIME", help="of IN, in seconds or as 1:23.5")
    add("--to", dest="stop", type=reading(parse_time), metavar="TIME", help="of IN, where the part ends")
    add("--crop", type=reading(parse_crop), metavar="W:H[:X:Y]", help="part of the pictures (default: in the middle)")
    add("--scale", type=reading(parse_scale), metavar="[WxH]H", help="size of the pictures, of what is cropped")
    add(
        "--slow-motion",
        dest="slowness",
        type=rate,
        metavar="N",
        help="make it N times as long, sound at the same pitch; at the rate of IN, if no other is given",
    )
    add(
        "--still",
        type=reading(parse_still),
        action="append",
        metavar="X,Y,W,H",
        help="area of the result that is never moved, as a caption; can be given again for others",
    )
    add("--side-by-side", action="store_true", help="show IN on the left of what is made")


def method_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """How frames are drawn, as keywords of `Interpolator`."""
    matching = {"matching": arguments.matching} if arguments.matching != "off" else {}
    return drawing.given(arguments) | matching


def require_source(source: Path) -> None:
    """Raise InputError if there is nothing there; PyTorch is not imported for that."""
    if str(source) != "-" and not files.exists(source) and not sequences.is_pattern(source):
        raise InputError(f"There is no video {source}.")


def jobs_of(arguments: argparse.Namespace) -> "tuple[list[VideoJob], bool]":
    """The videos to make, and whether they are a batch, in which those that are made already are kept."""
    first, *others = arguments.sources
    if not others:
        require_source(first)
    from _train.frame_interpolation.video import batch

    is_batch = bool(others or arguments.suffix or batch.videos_of(first)) or (
        arguments.is_folder and batch.is_video(first)
    )
    jobs = [batch.VideoJob(first, arguments.out)]
    if is_batch:
        jobs = batch.plan(batch.find(arguments.sources), arguments.out, arguments.suffix)
    read, written = arguments.scene_list, arguments.write_scene_list
    if read and written and files.resolved(read) == files.resolved(written):
        raise InputError(f"{written} is the list of scenes that is read; choose another name for the one to write.")
    if len(jobs) > 1 and (read or written):
        raise InputError("A list of scenes belongs to one video; interpolate that one alone.")
    return jobs, is_batch


def main() -> None:
    arguments = parse()
    drawing.check(arguments)
    jobs, is_batch = jobs_of(arguments)
    if is_batch:
        arguments.resume = arguments.resume or not arguments.overwrite
    from _train.frame_interpolation.interpolator import Interpolator
    from _train.frame_interpolation.methods import SYNTHESES
    from _train.frame_interpolation.video import batch
    from _train.frame_interpolation.video.interpolate import already_made, open_source

    options = options_of(arguments, jobs[0].source)

    @functools.cache
    def create() -> "tuple[PairInterpolator, dict[str, Any]]":
        interpolator = Interpolator(**method_of(arguments))
        synthesis = SYNTHESES[interpolator.synthesis]
        if arguments.matching != "off" and not (synthesis.finds_motion and synthesis.along_paths):
            matching = f"--matching {arguments.matching}"
            print(f"{matching} has no effect with {interpolator.method}; it has with ifnet.", file=sys.stderr)
        return interpolator, interpolator.settings()

    process = functools.partial(
        print_forecast if arguments.dry_run else make, options=options, create=create, arguments=arguments
    )
    if not is_batch:
        process(jobs[0])
        return
    if len(jobs) == 1:
        open_source(jobs[0].source, options)  # where nothing else follows, what is wrong with it ends the run
    settings = {name: str(value) for name, value in {**options._asdict(), **method_of(arguments)}.items()}

    def forecast_or_keep(job: "VideoJob") -> None:
        if not arguments.overwrite and batch.is_made(job, settings):
            print(already_made(job.out), file=sys.stderr)
        else:
            process(job)

    if arguments.dry_run:
        end(batch.each(jobs, forecast_or_keep))
        return
    tally = batch.run(jobs, settings, process, arguments.overwrite)
    print(f"{len(tally.made)} made, {len(tally.kept)} made before, {len(tally.failed)} failed.")
    end(tally.failed)


def options_of(arguments: argparse.Namespace, source: Path) -> "Options":
    """What is to be made; of this source, if a list of its scenes is read."""
    from _train.frame_interpolation.video.interpolate import Options, open_source

    options = Options(**command.given(arguments, Options._fields))._replace(
        excerpt=Excerpt(**command.given(arguments, Excerpt._fields)),
        still=tuple(arguments.still) if arguments.still else None,
    )
    if arguments.slowness and not arguments.fps and not arguments.times_fps:
        options = options._replace(times_fps=Fraction(1))
    if arguments.scene_list:
        from _train.frame_interpolation.video import scenes

        rate_of_source = open_source(source, options)[0].rate * options.excerpt.slowness
        options = options._replace(scenes=tuple(scenes.read(arguments.scene_list, rate_of_source)))
    return options


def flags_of(job: "VideoJob", arguments: argparse.Namespace) -> dict[str, Any]:
    """How a result is written, as keywords of `interpolate_video`."""
    return {
        "resume": arguments.resume,
        "overwrite": arguments.overwrite,
        "scenes": arguments.write_scene_list,
        "as_folder": job.as_folder,
    }


def make(job: "VideoJob", options: "Options", create: "Create", arguments: argparse.Namespace) -> "Summary | None":
    """Interpolate one video, and say what was made; None if nothing was left to be done."""
    from _train.frame_interpolation.video.interpolate import interpolate_video

    summary = interpolate_video(job.source, job.out, options, create, **flags_of(job, arguments))
    if summary is not None:
        print(
            f"{counted(summary.drawings, 'drawing')} in {counted(summary.source_frames, 'frame')}, "
            f"{counted(summary.cuts, 'cut')}; "
            f"{job.out} has {counted(summary.frames, 'frame')}, {float(summary.fps):.6g} a second.",
            file=sys.stderr if str(job.out) == "-" else sys.stdout,
        )
    return summary


def print_forecast(job: "VideoJob", options: "Options", create: "Create", arguments: argparse.Namespace) -> None:
    """Print what `make` would make, or raise the InputError that it would raise."""
    from _train.frame_interpolation.video.forecast import forecast
    from _train.frame_interpolation.video.interpolate import already_made

    makes_folder = job.out != arguments.out  # of several videos
    found = forecast(job.source, job.out, options, create, makes_folder=makes_folder, **flags_of(job, arguments))
    if found is None:
        print(already_made(job.out), file=sys.stderr)
        return
    print(
        f"{job.source}: {counted(found.drawings, 'drawing')} in {counted(found.source_frames, 'frame')}, "
        f"{counted(found.cuts, 'cut')}; {job.out} would "
        f"have {counted(found.frames, 'frame')}, {float(found.fps):.6g} a second, {found.drawn} of them drawn: "
        f"about {found.seconds:.0f} s and {found.bytes / 1e6:.1f} MB."
    )


def end(failed: dict[Path, str]) -> None:
    """Name the sources with which something failed, with exit code 1 if there are any."""
    command.exit_if_failed({str(source): reason for source, reason in failed.items()})


if __name__ == "__main__":
    command.run(main)
