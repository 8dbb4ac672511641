"""Counts the errors that pyright finds, which may not become more

Folders of `CLEAN` have none; what fixes some elsewhere lowers `ALLOWED`. Types go unchecked where there is no Node.js.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

CLEAN = ("_util", "_train/frame_interpolation/models")
ALLOWED = 2
PYRIGHT = (sys.executable, "-m", "pyright")


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    if subprocess.run([*PYRIGHT, "--version"], cwd=root, capture_output=True, check=False).returncode:
        print("Types were not checked: pyright needs Node.js, and none is installed nor can be downloaded.")
        return
    found = subprocess.run([*PYRIGHT, "--outputjson"], cwd=root, stdout=subprocess.PIPE, text=True, check=False).stdout
    diagnostics = json.loads(found)["generalDiagnostics"]
    errors = [_Error(root, one) for one in diagnostics if one["severity"] == "error"]
    counts = Counter(error.folder for error in errors)
    remaining = counts.pop("", 0)
    is_worse = bool(counts) or remaining > ALLOWED
    for error in errors if is_worse else ():
        if error.folder or remaining > ALLOWED:
            print(error.text, file=sys.stderr)
    clean = ", ".join(f"{counts[folder]} in {folder}" for folder in CLEAN)
    print(f"Errors of type: {clean}, where none are allowed; {remaining} elsewhere, of {ALLOWED} allowed.")
    sys.exit(is_worse)


class _Error:
    def __init__(self, root: Path, diagnostic: dict):
        path = Path(diagnostic["file"]).relative_to(root)
        self.folder = next((one for one in CLEAN if path.is_relative_to(one)), "")
        self.text = f"{path}:{diagnostic['range']['start']['line'] + 1}: {diagnostic['message']}"


if __name__ == "__main__":
    main()
