"""`python -m make TASK [ARGUMENT ...]`: sets up the environment where needed, and does a task in it."""

import inspect
import sys

from make.environment import SetupError
from make.tasks import TASKS


def main() -> int:
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        width = max(map(len, TASKS))
        lines = [f"  {task:{width}}  {of_it.summary}" for task, of_it in TASKS.items()]
        print("usage: python -m make TASK [ARGUMENT ...]", "", *lines, sep="\n")
        return 0
    if name not in TASKS:
        print(f"make: there is no task {name!r}; it is {', '.join(TASKS)}.", file=sys.stderr)
        return 2
    try:
        inspect.signature(TASKS[name].do).bind(*arguments)
    except TypeError:
        print(f"make: {name} takes no arguments.", file=sys.stderr)
        return 2
    try:
        return TASKS[name].do(*arguments)
    except SetupError as error:
        print(f"make/setup: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
