"""A user study in the browser: build its page from the clips of several methods, and analyse the answers.

METHOD_A/  METHOD_B/  …              →   OUT/index.html      publish OUT, or open it from disk
    shot_1/  0001.png  0002.png  …
    shot_2.webp

answers-….json, from participants    →   tables on stdout: preference shares, Bradley-Terry strengths, agreement
"""

import argparse
import sys
from pathlib import Path

from _util import command, tables
from _util.locks import holding

TEXT_COLUMNS = ("method", "other")


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.user_study",
        description="Build a page on which people choose between two animations, and analyse their answers.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="build|analyse")
    build = commands.add_parser(
        "build",
        help="make a static page from folders of clips",
        description="Make a static page for side-by-side forced choice; methods stay hidden from participants.",
        epilog="A clip is a folder of frames or a .webp, .gif, .mp4, .mkv, .mov or .webm; all methods name them alike.",
    )
    build.add_argument("methods", metavar="METHOD_DIR", type=Path, nargs="+", help="clips by a method, two or more")
    build.add_argument("out", metavar="OUT", type=Path, help="folder for the page")
    build.add_argument("--truth", type=Path, metavar="DIR", help="true clips of the items, for the checks of attention")
    build.add_argument(
        "--seconds",
        type=command.number(0.05, 60),
        metavar="S",
        help="length of a clip, one way (default: an animation's own, 1 for a folder of frames)",
    )
    build.add_argument("--loop", action="store_true", help="start again at the end instead of playing there and back")
    build.add_argument("--question", default="Which animation looks better?", help="asked above the clips")
    build.add_argument(
        "--trials", type=command.whole(1), metavar="N", help="comparisons per participant (default: all there are)"
    )
    build.add_argument(
        "--checks",
        type=command.whole(0),
        metavar="N",
        help="checks of attention (default: one in ten comparisons, at least 2)",
    )
    build.add_argument("--seed", type=command.whole(0), default=0, help="of the choice of checks (default: 0)")
    analyse = commands.add_parser(
        "analyse",
        help="turn answers into tables",
        description="Preference shares with exact intervals, Bradley-Terry strengths, and how far people agree.",
        epilog="Files that cannot be used are named, and then the exit code is 1.",
    )
    analyse.add_argument(
        "answers", metavar="ANSWERS.json", type=Path, nargs="+", help="as participants downloaded them"
    )
    analyse.add_argument(
        "--min-attention",
        type=command.number(0, 1),
        default=0.8,
        metavar="SHARE",
        help="of the checks that a participant must have passed to count (default: 0.8)",
    )
    return parser.parse_args()


def build(arguments: argparse.Namespace) -> None:
    from _train.frame_interpolation.evaluation.pages import study

    with holding(arguments.out):
        built = study.build(
            arguments.methods,
            arguments.out,
            truth=arguments.truth,
            showing=study.Showing(arguments.seconds, arguments.loop),
            question=arguments.question,
            trials=arguments.trials,
            checks=arguments.checks,
            seed=arguments.seed,
        )
    print(
        f"{built.page}: {built.items} items, {built.comparisons} comparisons "
        f"and {built.checks} checks of attention per participant"
    )


def analyse(arguments: argparse.Namespace) -> None:
    from _train.frame_interpolation.evaluation.pages import answers, results

    gathered = answers.gather(arguments.answers)
    for complaint in gathered.complaints:
        print(complaint, file=sys.stderr)
    print(text_of(results.results(gathered.sheets, arguments.min_attention)))
    if gathered.complaints:
        left, total = len(gathered.complaints), len(arguments.answers)
        print(f"{left} of {total} files were left out; the tables are over the rest.", file=sys.stderr)
        sys.exit(1)


def text_of(found) -> str:
    """Results as text and tables."""
    pairs = [
        {
            "method": pair.first,
            "other": pair.second,
            "answers": str(pair.answers),
            **interval(("preferred %", "95 %"), pair.share, 100, 1),
            **agreement(pair),
        }
        for pair in found.pairs
    ]
    if len(pairs) > 1:
        pairs.append({"method": "all", "answers": str(found.answers), **agreement(found)})
    methods = [
        {
            "method": method.name,
            "answers": str(method.answers),
            **interval(("preferred %", "95 %"), method.share, 100, 1),
            **interval(("Bradley-Terry", "its 95 %"), method.strength, 1, 2),
        }
        for method in found.methods
    ]
    lines = [
        f"Participants: {found.participants}; answers: {found.answers}; "
        f"participants left out by checks of attention: {found.inattentive}.",
        "",
        tables.aligned(pairs, TEXT_COLUMNS),
        "",
        tables.aligned(methods, TEXT_COLUMNS),
        "",
        "Intervals of shares are exact (Clopper-Pearson). Bradley-Terry strengths are log-odds with mean 0, of largest "
        "likelihood, with intervals from the Fisher information. Both take answers for independent; those of one "
        "person or on one item are not quite, so true intervals are wider.",
    ]
    if found.has_prior:
        lines[-1] += (
            " As they are not finite for these answers, half a win each way was added between every two methods."
        )
    return "\n".join(lines)


def interval(titles: tuple[str, str], found, scale: float, digits: int) -> dict[str, str]:
    """The cells of a value and its interval."""
    value, low, high = (number(scale * end, digits) for end in found)
    return dict(zip(titles, (value, f"{low} … {high}"), strict=True))


def agreement(found) -> dict[str, str]:
    return {"agreement %": number(100 * found.agreement, 1), "Fleiss' κ": number(found.kappa, 2)}


def number(value: float, digits: int) -> str:
    return "–" if value != value else f"{value:.{digits}f}"


def main() -> None:
    arguments = parse()
    {"build": build, "analyse": analyse}[arguments.command](arguments)


if __name__ == "__main__":
    command.run(main)
