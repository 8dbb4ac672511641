"""Finds classes of the project that share a name; a class is known by its name wherever it is met

`SHARED` names those that are left, which may not become more.
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

FOLDERS = ("_util", "_databacks", "_train", "_scripts", "supplementary")
SHARED = frozenset({
    "Prepared", "Source",
})  # fmt: skip


def shared_names(root: Path) -> dict[str, list[str]]:
    """Names of two or more classes, private ones too, with the files and lines they stand in."""
    places = defaultdict(list)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(f"{path.relative_to(root)}:{node.lineno}")
    return {name: found for name, found in places.items() if len(found) > 1}


def main() -> None:
    found = shared_names(Path(__file__).resolve().parent.parent)
    for name in sorted(found.keys() - SHARED):
        print(f"Classes share the name {name}: {', '.join(found[name])}; rename one.", file=sys.stderr)
    for name in sorted(SHARED - found.keys()):
        print(f"{name} is the name of one class by now; take it out of SHARED.", file=sys.stderr)
    sys.exit(found.keys() != SHARED)


if __name__ == "__main__":
    main()
