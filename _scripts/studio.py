"""A page on this machine to see and correct the in-betweens of a folder of key drawings.

keys/   →   http://127.0.0.1:…/…/    film strip, timing charts, hints, playing, exports
            keys/studio.json, keys/hints.json, keys/.studio/    the project; keys are never written to
            _data/studio/                                       exports
"""

import argparse
import time
import webbrowser
from pathlib import Path

from _scripts import drawing
from _util import command, extras, places
from _util.command import whole
from _util.errors import InputError

RESULTS = places.results("studio")


def parse() -> argparse.Namespace:
    parser = command.Parser(
        prog="python -m _scripts.studio",
        description="Serve a page on this machine only, to see and correct the in-betweens of a folder of keys.",
    )
    parser.add_argument("keys", metavar="KEYS", type=Path, help="a folder of two key drawings or more")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", default=RESULTS, help=f"where exports are written (default: {RESULTS})"
    )
    parser.add_argument(
        "--port", type=whole(0, 65535), metavar="N", default=0, help="port of the page (default: one that is free)"
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    group = parser.add_argument_group("timing of gaps for which the project has none, as in _scripts.interpolate")
    group.add_argument("--between", metavar="N", default="1", help="in-betweens of each gap (default: 1)")
    group.add_argument("--ease", metavar="CURVE", default="none", help="in, out, in-out, none or cubic-bezier(…)")
    group.add_argument("--on", metavar="N", default="1", help="frames that each drawing is exposed for (default: 1)")
    group.add_argument("--chart", type=Path, metavar="FILE", help="timing by key: CSV of key,between,ease,ticks,on")
    drawing.add_options(parser)
    drawing.add_line_art(parser)
    drawing.add_matching(parser, default="auto")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    drawing.check(arguments)
    extras.require("starlette", "uvicorn")
    from _train.frame_interpolation.keys import key_drawings
    from _train.frame_interpolation.studio import server
    from _train.frame_interpolation.studio.project import PROJECT_FILE
    from _util.locks import holding

    require_folder(arguments.keys)
    key_drawings.check_out(arguments.out, arguments.keys)
    key_drawings.warn_left_out(arguments.keys, key_drawings.find_keys([arguments.keys]))
    timing = {name: getattr(arguments, name) for name in ("between", "ease", "on", "chart")}
    options = {"line_art": arguments.line_art, "matching": arguments.matching, **drawing.given(arguments)}
    with (
        holding(arguments.keys / PROJECT_FILE),
        server.serving(arguments.keys, timing, arguments.out, arguments.port, **options) as address,
    ):
        print(f"Page: {address}\nCtrl-C ends it; all edits are saved as they are made.", flush=True)
        if not arguments.no_browser:
            webbrowser.open(address)
        try:
            while True:
                time.sleep(3600)
        except command.Terminated:
            raise
        except KeyboardInterrupt:
            pass
    print("Closed.")


def require_folder(keys: Path) -> None:
    if not keys.is_dir():
        raise InputError(f"{keys} is not a folder; a folder of key drawings is needed.")


if __name__ == "__main__":
    command.run(main)
