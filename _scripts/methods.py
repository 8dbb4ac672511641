"""List the methods: how flow is found and how frames are drawn, and write that list into a document.

python -m _scripts.methods                        the table
python -m _scripts.methods --write README.md      between its two marks, <!-- methods … --> and <!-- /methods -->
"""

import re
from pathlib import Path

from _train.frame_interpolation.methods import FLOWS, SYNTHESES, Method
from _util import command, tables
from _util.errors import InputError

_MARKED = re.compile(r"(<!-- methods\b.*?-->\n).*?(<!-- /methods -->)", re.DOTALL)


def table() -> str:
    """The methods in Markdown, those that "auto" chooses among first."""
    rows = [_row("--synthesis", name, method) for name, method in SYNTHESES.items()]
    rows += [_row("--flow", name, method) for name, method in FLOWS.items()]
    return tables.markdown(rows)


def _row(option: str, name: str, method: Method) -> dict[str, str]:
    needs = ", ".join(f"`{weights}`" for weights in method.weights)
    return {"": f"`{option} {name}`", "what it does": method.summary, "weights": needs}


def main() -> None:
    parser = command.Parser(prog="python -m _scripts.methods", description="List how flow is found and frames drawn.")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table between the marks in a document")
    arguments = parser.parse_args()
    if not arguments.write:
        print(table())
        return
    from _util.files import read_text, write_text

    text = read_text(arguments.write, "a document with a table of methods")
    if not _MARKED.search(text):
        raise InputError(f"{arguments.write} has no lines <!-- methods --> and <!-- /methods -->; add them first.")
    write_text(arguments.write, _MARKED.sub(lambda match: f"{match[1]}{table()}\n{match[2]}", text))


if __name__ == "__main__":
    command.run(main)
