"""Measures how the code is built, at any revision: files, lines, functions, folders and the imports between them

python _env/structure.py [REVISION …]      a column each; what is checked out by default

All imports count, also those within functions, except those under TYPE_CHECKING.
"""

import argparse
import ast
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PACKAGES = ("_scripts", "_train", "_databacks", "_util")  # each may import itself and those after it
MAIN_PACKAGE = "_train/frame_interpolation"
Graph = dict[str, set[str]]


def sources(root: Path, revision: str | None) -> dict[str, str]:
    """Text of the Python files of all packages, by path."""
    listing = ["git", "ls-files"] if revision is None else ["git", "ls-tree", "-r", "--name-only", revision]
    names = subprocess.run(listing, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    names = [name for name in names if name.endswith(".py") and name.split("/")[0] in PACKAGES]
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


def folder_of(name: str) -> str:
    return str(PurePosixPath(name).parent)


def folder_imports(graph: Graph) -> Graph:
    folders: Graph = defaultdict(set)
    for name, wanted in graph.items():
        folders[folder_of(name)] |= {folder_of(one) for one in wanted} - {folder_of(name)}
    return dict(folders)


def layer_violations(graph: Graph) -> list[tuple[str, str]]:
    """Imports of a package by one that it imports itself."""
    layers = {name: PACKAGES.index(name.split("/")[0]) for name in graph}
    return [(name, one) for name, wanted in graph.items() for one in sorted(wanted) if layers[one] < layers[name]]


def import_cycles(graph: Graph) -> list[list[str]]:
    """Files that import each other, directly or through others."""
    reached = {name: _reached(graph, name) for name in graph}
    found = {frozenset(one for one in seen if name in reached[one]) for name, seen in reached.items() if name in seen}
    return sorted(sorted(cycle) for cycle in found)


def _reached(graph: Graph, name: str) -> set[str]:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        new = graph[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def measure(files: dict[str, str]) -> dict[str, int]:
    """Counts by name: of the main package, then of all."""
    graph = imports(files)
    main = {name: text for name, text in files.items() if name.startswith(f"{MAIN_PACKAGE}/")}
    inside = {name: wanted & main.keys() for name, wanted in graph.items() if name in main}
    functions = sum(isinstance(node, ast.FunctionDef) for text in main.values() for node in ast.walk(ast.parse(text)))
    return {
        f"files of {MAIN_PACKAGE}": len(main),
        "lines": _lines(main),
        "functions": functions,
        "folders": len({folder_of(name) for name in main}),
        "most files in a folder": max(Counter(map(folder_of, main)).values()),
        "imports between its files": sum(map(len, inside.values())),
        "imports between its folders": sum(map(len, folder_imports(inside).values())),
        "import cycles": len(import_cycles(graph)),
        "imports against the layer order": len(layer_violations(graph)),
        "lines of all packages": _lines(files),
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
