"""What all command lines share: argument types, and errors as one sentence on stderr with exit code 2."""

import _thread
import argparse
import contextlib
import errno
import io
import itertools
import math
import operator
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from _util import clock, places

T = TypeVar("T")

# Signals that end a command in order, besides Ctrl-C; Windows has no SIGHUP.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_INTERRUPTED = "Interrupted; files written so far are complete."
_PYTHON = "python -m "
_name: str | None = None  # of the command, if it is not run by `python -m`


def set_name(name: str) -> None:
    """Set the name of the command, such as `inbetween video`, for its usage and error messages."""
    global _name
    _name = name


def name(module: str) -> str:
    """The command that runs a module: `python -m _scripts.evaluate`, or the name set by `set_name`."""
    return _name or _PYTHON + module


def as_typed(module: str) -> str:
    """The command line of this process, which runs a module."""
    return shlex.join([*name(module).split(), *sys.argv[1:]])


def line(module: str) -> str:
    """What runs another command: `python -m _scripts.export_onnx`, or `inbetween export-onnx` if installed."""
    installed = f"inbetween {module.rpartition('.')[2].replace('_', '-')}"
    return _PYTHON + module if places.IS_REPOSITORY else installed


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence and which accepts options between positional arguments.

    An empty path, which `Path` takes for the current folder, is an error.

    `prog` is `python -m MODULE`, unless `set_name` set a name.
    """

    def __init__(self, prog: str | None = None, **options: Any):
        module = (prog or "").removeprefix(_PYTHON)
        super().__init__(prog if module == prog else name(module), **options)
        self.register("type", Path, lambda text: Path(path_text(text)))

    def parse_args(self, *arguments: Any, **options: Any) -> Any:
        given = arguments[0] if arguments else sys.argv[1:]
        if self._subparsers or "--" in given:  # argparse does not support intermixed arguments with either
            return super().parse_args(*arguments, **options)
        return self.parse_intermixed_args(*arguments, **options)

    def print_help(self, file: Any = None) -> None:
        (file or sys.stdout).write(self.format_help())  # argparse would ignore that it cannot be written

    def error(self, message: str) -> NoReturn:
        file = next((text for text in sys.argv[1:] if text.startswith("-") and os.path.exists(text)), None)  # noqa: PTH110
        if file:
            message += f"; write ./{file} for the file {file}"
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see --help)\n")


def path_text(text: str) -> str:
    """A type for `add_argument`: the text of a path, with a slash at its end if it has one, and not empty."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; name a file or folder")
    return text


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for `add_argument`: integers from `least` to `most`."""
    span = f"{least} or more" if most is None else f"from {least} to {most}"

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; it must be {span}") from error
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{value} is out of range; it must be {span}")
        return value

    return convert


def number(
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    parse: Callable[[str], Any] = float,
) -> Callable[[str], Any]:
    """A type for `add_argument`: finite numbers from `least` to `most`; `above` and `below` exclude the bounds."""
    tests: list[tuple[float | None, str, Callable[[Any, Any], bool]]] = [
        (least, "{:g} or more", operator.ge),
        (above, "above {:g}", operator.gt),
        (most, "{:g} or less", operator.le),
        (below, "below {:g}", operator.lt),
    ]
    bounds = [(bound, span, holds) for bound, span, holds in tests if bound is not None]
    wanted = "it must be " + (" and ".join(span.format(bound) for bound, span, _ in bounds) or "finite")

    def convert(text: str) -> Any:
        try:
            value = parse(text)
        except (ValueError, ZeroDivisionError) as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number; {wanted}") from error
        if not math.isfinite(value) or not all(holds(value, bound) for bound, _, holds in bounds):
            raise argparse.ArgumentTypeError(f"{text} is out of range; {wanted}")
        return value

    return convert


def rate(text: str) -> Fraction:
    """A type for `add_argument`: a number above 0, also as a fraction, such as 24000/1001."""
    return number(above=0, parse=clock.parse)(text)


def reading(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A type for `add_argument`: what a function that may raise ValueError makes of the text."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def given(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """The arguments of these names that were given, or have defaults."""
    return {name: value for name in names if (value := getattr(arguments, name, None)) is not None}


def print_reasons(reasons: Mapping[str, str], most: int = 20) -> None:
    """Print names with their reasons to stderr, one line per reason; after the first `most`, only the names."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(" ".join(reason.split()), []).append(name)
    for reason, of_reason in list(names.items())[:most]:
        print(f"{', '.join(of_reason)}: {reason}", file=sys.stderr)
    if rest := list(itertools.chain.from_iterable(list(names.values())[most:])):
        print(f"and {len(rest)} more: {', '.join(rest)}", file=sys.stderr)


def exit_if_failed(failed: Mapping[str, str], summary: str = "") -> None:
    """Print to stderr what failed, by name with the reasons, and exit with code 1; return if nothing did."""
    if failed:
        if summary:
            print(f"{summary}:", file=sys.stderr)
        print_reasons(failed)
        sys.exit(1)


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's `main` and exit: 0, 1 for a closed pipe, 2 for errors the user can fix, 130, 143 or 129 if
    interrupted by Ctrl-C, SIGTERM or SIGHUP. An interrupt that has a message is reported by it.
    """
    from _util import extras
    from _util.errors import InputError

    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):  # file names may hold characters that the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.unraisablehook = _keep_interrupt
    _interrupt_on_signals()
    try:
        _require_current_folder()
        try:
            main()
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except InputError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        _discard_stdout()
        sys.exit(1)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            print(f"The file name {error.filename} is too long; choose a shorter one.", file=sys.stderr)
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = error.filename or "Standard output, or a temporary file,"
            print(f"{what} cannot be written ({error.strerror}); make room, or choose another place.", file=sys.stderr)
            _discard_stdout()
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and error.filename is not None:
            remedy = "change its permissions or those of its folder, or choose another place"
            print(f"{error.filename} cannot be used ({error.strerror}); {remedy}.", file=sys.stderr)
        else:
            raise
        sys.exit(2)
    except MemoryError as error:
        what = f" ({error})" if str(error) else ""
        print(f"There is not enough memory{what}; close other programs, or choose smaller pictures.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as error:
        _end_interrupted(_number_of(error), str(error))
    except Exception as error:
        if _kept:  # what was interrupted, such as a compiler, has failed
            _end_interrupted(_kept[0])
        sentence = extras.missing(error) or extras.unsupported()
        if sentence is None:
            raise
        if not isinstance(error, ImportError):
            error.add_note(sentence)
            raise
        print(sentence, file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Within this block, an interrupt says so and ends the process without an exception, so that nothing is cleaned up.

    For code that does not pass exceptions on at any place: PyTorch's exporter takes them for failures of its own, or
    aborts. Does nothing in threads other than the main one, which have no interrupts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: Any) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # the terminal was closed, or something is being printed
            print(_INTERRUPTED, file=sys.stderr, flush=True)
        os._exit(128 + number)

    sys.stdout.flush()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDING)}
    handle_interrupts(end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_interrupted(number: signal.Signals, message: str = "") -> NoReturn:
    with contextlib.suppress(OSError):  # the terminal was closed
        print(message or _INTERRUPTED, file=sys.stderr)
    sys.exit(128 + number)


def _discard_stdout() -> None:
    """Discard what standard output does not take, which Python would try to write once more at exit."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_closed_streams() -> None:
    """Redirect closed standard streams (`>&-`) to the null device, so that no opened file takes their descriptors."""
    for descriptor in range(3):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            continue
        os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - open as long as the process


def _require_current_folder() -> None:
    from _util.errors import InputError

    try:
        os.getcwd()  # noqa: PTH109 - pathlib's error does not name the cause
    except FileNotFoundError as error:
        raise InputError("The current folder has been removed; go to another one (cd), and run again.") from error


class Terminated(KeyboardInterrupt):
    """SIGTERM, as `kill`, `timeout`, Slurm and containers send it, or SIGHUP, as a terminal that is closed does."""

    def __init__(self, message: str = "", number: int = signal.SIGTERM):
        super().__init__(message)
        self.number = number


def interrupt(number: int, message: str = "") -> KeyboardInterrupt:
    """The exception of a signal that interrupts."""
    return KeyboardInterrupt(message) if number == signal.SIGINT else Terminated(message, number)


def handle_interrupts(handler: Callable[[int, Any], None]) -> None:
    """Let a handler take Ctrl-C, SIGTERM, and SIGHUP unless `nohup` ignores it."""
    for number in (signal.SIGINT, *_ENDING):
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _number_of(error: BaseException | None) -> signal.Signals:
    return signal.Signals(error.number) if isinstance(error, Terminated) else signal.SIGINT


def _interrupt_on_signals() -> None:
    """Let Ctrl-C raise, and SIGTERM and SIGHUP end this process likewise, so that temporary files are removed."""
    process = os.getpid()
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as `_scripts` sets it while modules are imported
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def terminate(number: int, _frame: Any) -> None:
        if os.getpid() == process:
            raise interrupt(number)
        signal.signal(number, signal.SIG_DFL)  # of a forked worker
        os.kill(os.getpid(), number)

    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, terminate)


_kept: list[signal.Signals] = []  # interrupts that are to be raised again


def _keep_interrupt(unraisable) -> None:
    """Raise an interrupt again, shortly after, if it arrived in code that cannot raise, such as a callback from C."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _kept.append(_number_of(unraisable.exc_value))
        timer = threading.Timer(0.05, _interrupt, _kept[-1:])
        timer.daemon = True
        timer.start()
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt(number: signal.Signals) -> None:
    _kept.remove(number)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)  # also ends a blocking call
    else:  # Windows
        _thread.interrupt_main(number)
