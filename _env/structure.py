"""Measures how the code is built, at any revision: files, lines, functions, rooms and the imports between them

python _env/structure.py [REVISION …]      a column each; what is checked out by default

A room is a folder. Imports count wherever they stand, but for those that types alone need.
"""

import argparse
import ast
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

FLOORS = ("_scripts", "_train", "_databacks", "_util")  # each imports those after it, and itself
HOUSE = "_train/frame_interpolation"
Graph = dict[str, set[str]]


def sources(root: Path, revision: str | None) -> dict[str, str]:
    """Text of the Python files of all floors, by path."""
    listing = ["git", "ls-files"] if revision is None else ["git", "ls-tree", "-r", "--name-only", revision]
    names = subprocess.run(listing, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    names = [name for name in names if name.endswith(".py") and name.split("/")[0] in FLOORS]
    if revision is None:
        return {name: (root / name).read_text(encoding="utf-8") for name in names if (root / name).exists()}
    return {name: _show(root, f"{revision}:{name}") for name in names}


def _show(root: Path, name: str) -> str:
    return subprocess.run(["git", "show", name], cwd=root, capture_output=True, text=True, check=True).stdout


def imports(files: dict[str, str]) -> Graph:
    """The files that each file imports."""
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in files}
    graph: Graph = {}
    for name, text in files.items():
        # What `from package import module` names is the module, not the package's own file.
        found = (inner if inner in modules else outer for outer, inner in _imported(ast.parse(text)))
        wanted = {modules[module] for module in found if module in modules}
        graph[name] = wanted - {name}
    return graph


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names of what may be modules, an outer and an inner one: `a.b` and `a.b.c` of `from a.b import c`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, f"{node.module}.{alias.name}") for alias in node.names)
        yield from _imported(node)


def room(name: str) -> str:
    return str(PurePosixPath(name).parent)


def between_rooms(graph: Graph) -> Graph:
    rooms: Graph = defaultdict(set)
    for name, wanted in graph.items():
        rooms[room(name)] |= {room(one) for one in wanted} - {room(name)}
    return dict(rooms)


def upward(graph: Graph) -> list[tuple[str, str]]:
    """Imports of a floor by one below it."""
    floors = {name: FLOORS.index(name.split("/")[0]) for name in graph}
    return [(name, one) for name, wanted in graph.items() for one in sorted(wanted) if floors[one] < floors[name]]


def circles(graph: Graph) -> list[list[str]]:
    """Files that import each other, directly or by way of others."""
    reached = {name: _reached(graph, name) for name in graph}
    found = {frozenset(one for one in seen if name in reached[one]) for name, seen in reached.items() if name in seen}
    return sorted(sorted(circle) for circle in found)


def _reached(graph: Graph, name: str) -> set[str]:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        new = graph[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def measure(files: dict[str, str]) -> dict[str, int]:
    """What is counted, by name: in the house, then everywhere."""
    graph = imports(files)
    house = {name: text for name, text in files.items() if name.startswith(f"{HOUSE}/")}
    inside = {name: wanted & house.keys() for name, wanted in graph.items() if name in house}
    functions = sum(isinstance(node, ast.FunctionDef) for text in house.values() for node in ast.walk(ast.parse(text)))
    return {
        f"files of {HOUSE}": len(house),
        "lines": _lines(house),
        "functions": functions,
        "rooms": len({room(name) for name in house}),
        "most files in a room": max(sum(room(name) == one for name in house) for one in map(room, house)),
        "imports between its files": sum(map(len, inside.values())),
        "imports between its rooms": sum(map(len, between_rooms(inside).values())),
        "circles of files": len(circles(graph)),
        "imports of a floor above": len(upward(graph)),
        "lines of all floors": _lines(files),
    }


def _lines(files: dict[str, str]) -> int:
    return sum(text.count("\n") for text in files.values())


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Measure how the code is built.")
    parser.add_argument("revisions", nargs="*", metavar="REVISION", help="a column each (default: what is checked out)")
    revisions = parser.parse_args().revisions or [None]
    columns = [measure(sources(root, revision)) for revision in revisions]
    print(f"| | {' | '.join(revision or 'now' for revision in revisions)} |")
    print(f"|---|{'---:|' * len(columns)}")
    for name in columns[0]:
        print(f"| {name} | {' | '.join(f'{column[name]:,}' for column in columns)} |")


if __name__ == "__main__":
    main()
