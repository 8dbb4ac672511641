"""Counts pyright's type errors, which must not increase

Folders of `CLEAN` have none; what fixes some elsewhere lowers `ALLOWED`. Types go unchecked where there is no Node.js.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

CLEAN = ("_util", "_train/frame_interpolation/models")
ALLOWED = 1
PYRIGHT = (sys.executable, "-m", "pyright")


def main() -> None:
    root = Path(__file__).resolve().parent.parent
    if subprocess.run([*PYRIGHT, "--version"], cwd=root, capture_output=True, check=False).returncode:
        print("Types were not checked: pyright needs Node.js, and none is installed nor can be downloaded.")
        return
    found = subprocess.run([*PYRIGHT, "--outputjson"], cwd=root, stdout=subprocess.PIPE, text=True, check=False).stdout
    diagnostics = json.loads(found)["generalDiagnostics"]
    errors = defaultdict(list)
    for one in diagnostics:
        if one["severity"] == "error":
            path = Path(one["file"]).relative_to(root)
            folder = next((folder for folder in CLEAN if path.is_relative_to(folder)), "")
            errors[folder].append(f"{path}:{one['range']['start']['line'] + 1}: {one['message']}")
    remaining = errors.pop("", [])
    worse = [error for in_folder in errors.values() for error in in_folder]
    worse += remaining if len(remaining) > ALLOWED else []
    for error in worse:
        print(error, file=sys.stderr)
    clean = ", ".join(f"{len(errors[folder])} in {folder}" for folder in CLEAN)
    print(f"Type errors: {clean}, where none are allowed; {len(remaining)} elsewhere, of {ALLOWED} allowed.")
    sys.exit(bool(worse))


if __name__ == "__main__":
    main()
