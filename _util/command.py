"""What every command line here does alike: errors are one sentence on stderr and exit code 2."""

import argparse
import io
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help tells more)\n")


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's `main` and exit: 0, 2 for what the user can mend, 130 when interrupted."""
    from _util.errors import InputError

    for stream in (sys.stdout, sys.stderr):  # names of files may hold what a terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.unraisablehook = _keep_interrupt
    for stream in (sys.stdout, sys.stderr):  # names of files may hold what a terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except InputError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted; what has been written is whole.", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _keep_interrupt(unraisable) -> None:
    """Where Ctrl-C met code that cannot raise, such as a callback of a C library, raise it again, shortly after."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        again = threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        again.start()
    else:
        sys.__unraisablehook__(unraisable)
