"""Finds classes of the project that share a name; a class is known by its name wherever it is met"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

FOLDERS = ("_util", "_databacks", "_train", "_scripts", "supplementary")


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
    for name, places in sorted(found.items()):
        print(f"Classes share the name {name}: {', '.join(places)}; rename one.", file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
