"""What every command line here does alike: errors are one sentence on stderr and exit code 2."""

import _thread
import argparse
import io
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

_PYTHON = "python -m "
_name: str | None = None  # of the command, where it is not run by `python -m`


def begin_as(name: str) -> None:
    """Let usage and errors of the command that is to run call it so: `inbetween video`."""
    global _name
    _name = name


def name(module: str) -> str:
    """What the command line of a module begins with: `python -m _scripts.evaluate`, or what `begin_as` was given."""
    return _name or _PYTHON + module


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence; `prog` is `python -m MODULE`, unless `begin_as` gave a name."""

    def __init__(self, prog: str | None = None, **options: Any):
        module = (prog or "").removeprefix(_PYTHON)
        super().__init__(prog if module == prog else name(module), **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help tells more)\n")


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's `main` and exit: 0, 2 for what the user can mend, 130 when interrupted."""
    from _util import extras
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
    except ModuleNotFoundError as error:
        sentence = extras.missing(error)
        if sentence is None:
            raise
        print(sentence, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted; what has been written is whole.", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _keep_interrupt(unraisable) -> None:
    """Where Ctrl-C met code that cannot raise, such as a callback of a C library, raise it again, shortly after."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Timer(0.05, _interrupt).start()
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt() -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # ends a call that waits, too
    else:  # Windows
        _thread.interrupt_main()
