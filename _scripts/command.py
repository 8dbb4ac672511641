"""What every command line here does alike: errors are one sentence on stderr and exit code 2."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help tells more)\n")


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's `main` and exit: 0, 2 for what the user can mend, 130 when interrupted."""
    # Huge pages spare PyTorch most of the page faults of its large activations; read when it first allocates.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from _util.errors import InputError

    try:
        main()
    except InputError as error:
        sys.exit(_sentence(error))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _sentence(error: Exception) -> int:
    print(" ".join(str(error).split()), file=sys.stderr)
    return 2
