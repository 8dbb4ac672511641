"""The command `inbetween`: its first argument names a sub-command, whose `main` gets the others."""

import difflib
import importlib
import os
import sys
from typing import NoReturn

from inbetween import ROOT
from inbetween._commands import COMMANDS, OTHER_NAMES


def main() -> NoReturn:
    from _util import command

    arguments = sys.argv[1:]
    if not arguments:
        print(help_text(), file=sys.stderr)
        sys.exit(2)
    if arguments[0] in ("-h", "--help", "help"):
        command.run(lambda: print(help_text()))
    if arguments == ["--version"]:
        command.run(_print_version)
    name = OTHER_NAMES.get(arguments[0], arguments[0])
    if name not in COMMANDS:
        wrong = "--version stands alone" if arguments[0] == "--version" else _unknown(arguments[0])
        print(f"inbetween: {wrong} (see --help)", file=sys.stderr)
        sys.exit(2)
    command.set_name(f"inbetween {arguments[0]}")
    _let_children_import()
    sys.argv[1:] = arguments[1:]
    command.run(lambda: importlib.import_module(COMMANDS[name].module).main())


def help_text() -> str:
    width = max(map(len, COMMANDS))
    others = {name: other for other, name in OTHER_NAMES.items()}
    lines = [
        f"  {name:{width}}  {of_it.summary}" + (f"; also: {others[name]}" if name in others else "")
        for name, of_it in COMMANDS.items()
    ]
    return "\n".join(
        [
            "usage: inbetween COMMAND [OPTION ...]",
            "",
            "Frame interpolation for 2D animation.",
            "",
            *lines,
            "",
            "`inbetween COMMAND --help` lists the options of a command, `inbetween --version` is the version.",
        ]
    )


def _print_version() -> None:
    from _util.version import VERSION

    print(f"inbetween {VERSION}")


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, [*COMMANDS, *OTHER_NAMES], 1)
    return f"there is no command {name!r}" + (f"; {near[0]} is one" if near else "")


def _let_children_import() -> None:
    """Let Python processes that a command starts, such as those of a benchmark, import the same packages."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(ROOT) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, paths)])


if __name__ == "__main__":
    main()
