"""Draw the frames between two frames, or the in-betweens of a sequence of key drawings.

a.png  b.png   →   _data/interpolated/a-b/
                       12_00.png  a.png
                       12_01.png  at 1/12 of the way
                       …
                       12_12.png  b.png

keys/   →   _data/interpolated/keys/
                key_001+0of3.png  key_001.png
                key_001+1of3.png  the first of three in-betweens
                …
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _scripts import drawing
from _util import command, files, places
from _util.command import number, whole
from _util.counts import counted
from _util.errors import InputError

RESULTS = places.results("interpolated")


def parse(frames: Sequence[Path] = (), out: Path | None = None, preview: Path | None = None) -> argparse.Namespace:
    """The arguments, with these defaults; where `frames` are given, the command line names none."""
    parser = command.Parser(
        prog="python -m _scripts.interpolate",
        description="Draw the frames between two frames of 2D animation, or the in-betweens of a sequence of keys.",
        epilog="Weights are looked for in checkpoints/: published files first, then those the project ships.",
    )
    if frames:
        parser.set_defaults(frames=frames)
    else:
        parser.add_argument(
            "frames",
            metavar="FRAME",
            type=Path,
            nargs="+",
            help=f"two frames of one size: {files.PICTURE_FORMATS}; or more, which are keys, or a folder of keys; "
            "keys in layers: .ora, .psd, or a folder of folders",
        )
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--fps",
        type=whole(1),
        metavar="N",
        help="write N-1 evenly spaced frames between, up to 9999, and both frames (default: 12)",
    )
    when.add_argument(
        "--times",
        type=number(above=0, below=1),
        nargs="+",
        metavar="T",
        help="write the frames at these times, 0 < T < 1",
    )
    of_names = f"{RESULTS}/FRAME0-FRAME1, or /FOLDER"
    parser.add_argument(
        "--out", type=Path, default=out, metavar="DIR", help=f"where to write (default: {out or of_names})"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="overwrite files in DIR, a preview and a time sheet that this command did not write, or that were changed",
    )
    add_timing(parser)
    add_guides(parser)
    drawing.add_options(parser)
    parser.add_argument(
        "--preview",
        type=Path,
        default=preview,
        metavar="FILE",
        help="also write an animation, .webp, .gif or .mp4; that of two frames plays forward and back"
        + (f" (default: {preview})" if preview else ""),
    )
    parser.add_argument(
        "--show-flow", action="store_true", help="also write flow01.png and flow10.png, in Middlebury's colours"
    )
    arguments = parser.parse_args()
    if is_sequence(arguments):
        for name in ("fps", "times", "show_flow"):
            if getattr(arguments, name):
                maker = _option_of_sequences(arguments)
                why = f", which {_written(maker)} makes a sequence" if maker and len(arguments.frames) == 2 else ""
                parser.error(f"{_written(name)} is only for two frames{why}; --between and --ticks time a sequence")
    if arguments.sheet and (name := next((n for n in ("between", "ticks", "chart") if getattr(arguments, n)), None)):
        parser.error(f"--{name} is not allowed with --sheet, which says when drawings are exposed")
    if arguments.layer and not arguments.sheet:
        parser.error("--layer names a layer of a time sheet; add --sheet")
    return arguments


def add_timing(parser: argparse.ArgumentParser) -> None:
    """Add the options of sequences of keys; with any of them, two frames are a sequence as well."""
    group = parser.add_argument_group("a sequence of keys")
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--between", metavar="N", help="in-betweens in every gap, or in each one, as 3,1,0,5 (default: 1)"
    )
    where.add_argument(
        "--ticks", metavar="T", help="or their positions, 0 < T < 1, as 0.25,1/2; in each gap, as 0.25,1/2:0.5::1/3"
    )
    group.add_argument(
        "--ease",
        metavar="CURVE",
        help="in, out, in-out, none or cubic-bezier(x1,y1,x2,y2), as in CSS; or auto, estimated from the "
        "neighbouring gaps (default: none)",
    )
    group.add_argument("--on", metavar="N", help="frames that each drawing is exposed for, 24 a second (default: 1)")
    group.add_argument("--chart", type=Path, metavar="FILE", help="timing by key: CSV of key,between,ease,ticks,on")
    group.add_argument(
        "--sheet", type=Path, metavar="FILE", help="timing from the exposures of the keys in a time sheet, .xdts"
    )
    group.add_argument(
        "--layer", metavar="NAME", help="layer of the keys in the sheet (default: the only one with cells)"
    )
    group.add_argument(
        "--write-sheet", type=Path, metavar="FILE", help="also write a time sheet of all drawings, numbered from 1"
    )
    group.add_argument(
        "--as",
        dest="as_layers",
        choices=("png", "ora"),
        default="png",
        help="format of drawings of keys in layers: PNG, or OpenRaster with layers (default: png)",
    )
    group.add_argument("--loop", action="store_true", help="also draw in-betweens from the last key to the first")


def add_guides(parser: argparse.ArgumentParser) -> None:
    """Add the options that guide the motion of a gap."""
    group = parser.add_argument_group("guiding the motion")
    group.add_argument(
        "--hint",
        action="append",
        default=[],
        metavar="X,Y:X,Y",
        help="a point of the first key and its place in the second, or a stroke of each; may be repeated",
    )
    group.add_argument(
        "--hints", type=Path, metavar="FILE", help="hints by key, JSON (default: hints.json in a folder of keys)"
    )
    group.add_argument(
        "--part",
        action="append",
        default=[],
        metavar="MASK=TIMING",
        help="a part of the first key, white in MASK, with its own ease or ticks, as hair.png=in; may be repeated",
    )
    group.add_argument("--parts", type=Path, metavar="FILE", help="parts by key: CSV of key,mask,ease,ticks")
    drawing.add_line_art(group)
    drawing.add_matching(group, default="auto")


def timing_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of timing that were given, as keywords of `timing.plan`."""
    return command.given(arguments, ("between", "ticks", "ease", "on", "chart"))


def is_sequence(arguments: argparse.Namespace) -> bool:
    has_folder = len(arguments.frames) == 1 and arguments.frames[0].is_dir()
    return len(arguments.frames) > 2 or has_folder or _option_of_sequences(arguments) is not None


def _option_of_sequences(arguments: argparse.Namespace) -> str | None:
    """An option that was given and that makes a sequence of two frames."""
    others = ("loop", "sheet", "write_sheet", "hints", "part", "parts")
    return next(iter([*(name for name in others if getattr(arguments, name)), *timing_of(arguments)]), None)


def _written(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def main() -> None:
    draw(parse())


def draw(arguments: argparse.Namespace) -> None:
    from _train.frame_interpolation.keys import layered_keys

    drawing.check(arguments)
    require_a_source(arguments.frames)
    if layered_keys.is_layered(arguments.frames):
        draw_layers(arguments)
    elif arguments.as_layers == "ora" and all(path.exists() for path in arguments.frames):
        raise InputError("--as ora is of keys in layers, and these have none; leave it out.")
    elif is_sequence(arguments):
        draw_sequence(arguments)
    else:
        draw_pair(arguments)
    if arguments.preview:
        print(f"Preview: {arguments.preview}")


def results_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """How anything is drawn and written, as keywords."""
    names = ("preview", "overwrite", "line_art", "matching")
    return {name: getattr(arguments, name) for name in names} | drawing.given(arguments)


def draw_pair(arguments: argparse.Namespace) -> None:
    require_two_frames(arguments.frames)
    from _train.frame_interpolation import pairs
    from _train.frame_interpolation.guides import hints

    written = pairs.interpolate_files(
        *arguments.frames,
        hints=[hints.parse(text) for text in arguments.hint],
        out=arguments.out or default_out(*arguments.frames),
        times=arguments.times,
        fps=None if arguments.times else arguments.fps or 12,
        show_flow=arguments.show_flow,
        **results_of(arguments),
    )
    print(f"Frames: {len(written)} in {written[0].parent}")


def draw_sequence(arguments: argparse.Namespace) -> None:
    from _train.frame_interpolation.keys import drawn, exposure_sheets, key_drawings, key_names, timing

    keys = key_drawings.find_keys(arguments.frames)
    if arguments.frames[0].is_dir():
        key_drawings.warn_left_out(arguments.frames[0], keys)
    names = list(map(key_names.name_of, keys))
    options = timing_of(arguments)
    layer = exposure_sheets.read_layer(arguments.sheet, arguments.layer) if arguments.sheet else None
    if layer:
        ease, on = timing.parse_ease(options.get("ease", "none")), options.get("on")
        gaps = exposure_sheets.plan(layer, names, arguments.loop, ease, timing.parse_on(on) if on else None)
    else:
        gaps = timing.plan(names, arguments.loop, **options)
    check_places(arguments)
    out = arguments.out or default_out(*arguments.frames)
    sheet = arguments.write_sheet
    if sheet and not arguments.overwrite:
        drawn.check_file(sheet, out)
    guides = guides_of(arguments, names, gaps)
    result = key_drawings.interpolate_keys(keys, out, gaps, guides=guides, **results_of(arguments))
    print(f"Drawings: {len(result.paths)} in {out}")
    print(f"In-betweens: {len(result.paths) - len(keys)}, drawn now: {result.drawn}")
    if sheet:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        drawn.write_file(sheet, out, lambda place: exposure_sheets.write(place, gaps, out.name, layer))
        print(f"Sheet: {sheet}")


def draw_layers(arguments: argparse.Namespace) -> None:
    from _train.frame_interpolation.keys import key_drawings, layered_keys, timing

    refused = ("fps", "times", "show_flow", "sheet", "write_sheet", "hint", "hints", "part", "parts")
    if name := next((name for name in refused if getattr(arguments, name)), None):
        raise InputError(f"{_written(name)} is not of keys in layers; give one layer by itself.")
    with layered_keys.opened(arguments.frames) as cut:
        gaps = timing.plan(cut.keys, arguments.loop, **timing_of(arguments))
        check_places(arguments)
        out = arguments.out or default_out(*arguments.frames)
        for source in arguments.frames:
            key_drawings.check_out(out, source if source.is_dir() else source.parent)
        result = layered_keys.interpolate(cut, out, gaps, suffix=f".{arguments.as_layers}", **results_of(arguments))
    print(f"Drawings: {len(result.paths)} in {out}, of {counted(len(cut.cels), 'layer')}, each in {out / 'layers'}")
    print(f"In-betweens drawn now: {result.drawn}")


def guides_of(arguments: argparse.Namespace, names: list[str], gaps: list[Any]) -> Any:
    """The hints and parts that were given, of a sequence."""
    from _train.frame_interpolation.guides import hints
    from _train.frame_interpolation.keys import parts
    from _train.frame_interpolation.keys.key_drawings import Guides

    for option, given in (("hint", arguments.hint), ("part", arguments.part)):
        if given and len(names) - 1 + arguments.loop > 1:
            raise InputError(f"--{option} is of one gap, and there are several; --{option}s FILE has them by key.")
        if given and getattr(arguments, f"{option}s"):
            raise InputError(f"Both --{option} and --{option}s are given; keep one of them.")
    beside, source = arguments.frames[0] / "hints.json", arguments.hints
    if arguments.hint and beside.is_file():
        print(f"{beside} is not read, as --hint is given.", file=sys.stderr)
    if source:
        of_gaps = hints.read(source, names, arguments.loop)
    elif beside.is_file() and not arguments.hint:
        source, of_gaps = beside, hints.read(beside, names, arguments.loop, is_found=True)
    else:
        of_gaps = {0: tuple(map(hints.parse, arguments.hint))}
    if arguments.parts:
        return Guides(of_gaps, parts.read(arguments.parts, names, gaps), source)
    return Guides(of_gaps, {0: tuple(parts.parse(text, gaps[0]) for text in arguments.part)}, source)


def check_places(arguments: argparse.Namespace) -> None:
    """Raise InputError for a preview that would be taken for a key, or a sheet that cannot be written."""
    preview, sheet, folder = arguments.preview, arguments.write_sheet, arguments.frames[0]
    if preview and preview.parent.is_dir() and folder.is_dir() and preview.parent.samefile(folder):
        raise InputError(f"{preview} lies among the keys, and would be taken for one; choose another place.")
    if sheet:
        if sheet.suffix.lower() != ".xdts":
            raise InputError(f"{sheet} does not end in .xdts, the format of the time sheets that are written.")
        files.check_writable(sheet)
        if arguments.sheet and sheet.exists() and sheet.samefile(arguments.sheet):
            raise InputError(f"{sheet} is the sheet that is read, and would be overwritten; choose another place.")


def require_a_source(paths: list[Path]) -> None:
    if len(paths) == 1 and not paths[0].exists():
        raise InputError(f"There is no file or folder {paths[0]}; give two files or more, or one folder of keys alone.")


def require_two_frames(paths: list[Path]) -> None:
    folder = next((path for path in paths if path.is_dir()), None)
    if folder:
        raise InputError(f"{folder} is a folder; give two files or more, or one folder of keys alone.")
    if len(paths) != 2:
        raise InputError("Two frames are interpolated, not 1; give two files or more, or one folder of keys alone.")


def default_out(first: Path, *others: Path) -> Path:
    """`RESULTS`/FRAME0-FRAME1, after the first and last name without suffix, or after a folder."""
    from _train.frame_interpolation.keys.key_drawings import name_of

    names = [first.resolve().name or "keys"] if first.is_dir() else [name_of(first), *map(name_of, others[-1:])]
    return RESULTS / files.fitting("-".join(names), "")


if __name__ == "__main__":
    command.run(main)
