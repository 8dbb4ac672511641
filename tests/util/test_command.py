"""What all command lines do alike."""

import argparse
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest

from _util import command

ROOT = Path(__file__).parents[2]
COMMANDS = [
    f"_scripts.{path.stem}" for path in sorted((ROOT / "_scripts").glob("*.py")) if "__main__" in path.read_text()
]
UNIGNORED = "hasattr(signal, 'SIGHUP') and signal.signal(signal.SIGHUP, signal.SIG_DFL)"  # where `nohup` runs tests
HEAVY = {"torch", "lightning", "cv2", "numpy", "numba", "PIL", "av", "ray", "torchmetrics"}


def python(program: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30
    )


@pytest.mark.alone
@pytest.mark.parametrize("name", [*COMMANDS, "_databacks.toons", "_train.frame_interpolation.train"])
def test_help_is_quick_and_needs_no_libraries(name):
    program = (
        "import runpy, sys\n"
        f"try: runpy.run_module({name!r}, run_name='__main__')\n"
        f"finally: print('loaded', {HEAVY} & set(sys.modules))\n"
    )
    start = time.perf_counter()
    finished = python(program, "--help")
    assert time.perf_counter() - start < 2
    assert finished.returncode == 0
    assert f"usage: python -m {name} " in finished.stdout
    assert finished.stdout.endswith("loaded set()\n")


def test_a_reason_of_several_is_printed_once(capsys):
    reasons = {"bad-0": "bad.json is\ndamaged.", "b": "b is gone.", "bad-1": "bad.json is damaged.", "c": "c is gone."}
    command.print_reasons(reasons, most=2)
    assert capsys.readouterr().err == "bad-0, bad-1: bad.json is damaged.\nb: b is gone.\nand 1 more: c\n"


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("has_pthread_kill", [True, False])  # which Windows lacks
def test_an_interrupt_within_a_callback_of_c_is_not_lost(has_pthread_kill, number):
    program = (
        "import ctypes, os, signal, time\n"
        f"{'' if has_pthread_kill else 'del signal.pthread_kill'}\n"
        f"{UNIGNORED}\n"
        "from _util import command\n"
        f"def callback(): os.kill(os.getpid(), signal.{number}); time.sleep(1)\n"
        "def main():\n"
        "    ctypes.CFUNCTYPE(None)(callback)()\n"
        f"    for _ in range({1 if has_pthread_kill else 100}): time.sleep({10 if has_pthread_kill else 0.1})\n"
        "command.run(main)\n"
    )
    start = time.perf_counter()
    finished = python(program)
    assert finished.returncode == 128 + getattr(signal, number)
    assert finished.stderr == "Interrupted; files written so far are complete.\n"
    assert time.perf_counter() - start < 8


def test_what_fails_by_an_interrupt_within_a_callback_of_c_is_interrupted():
    program = (
        "import ctypes, os, signal, time\n"
        "from _util import command\n"
        "def callback(): os.kill(os.getpid(), signal.SIGINT); time.sleep(1)\n"
        "def main():\n"
        "    ctypes.CFUNCTYPE(None)(callback)()\n"
        "    raise RuntimeError('no compiled object yet')\n"
        "command.run(main)\n"
    )
    finished = python(program)
    assert finished.returncode == 128 + signal.SIGINT
    assert finished.stderr == "Interrupted; files written so far are complete.\n"


def test_an_interrupt_while_modules_are_imported_leaves_no_traceback(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    @staticmethod\n"
        "    def find_spec(name, *_):\n"
        "        if name == '_util': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting)\n"
    )
    program = [sys.executable, "-m", "_scripts.interpolate", "--help"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    finished = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert finished.returncode == -signal.SIGINT
    assert finished.stderr == finished.stdout == ""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_signals_end_a_command_as_an_interrupt_does(tmp_path, number):
    program = (
        f"import os, signal, sys, time\n{UNIGNORED}\n"
        "from pathlib import Path\n"
        "from _util import command, files\n"
        "def main():\n"
        "    with files.replacing(Path(sys.argv[1])) as temporary:\n"
        "        temporary.write_text('half')\n"
        f"        os.kill(os.getpid(), signal.{number})\n"
        "        time.sleep(10)\n"
        "command.run(main)\n"
    )
    finished = python(program, str(tmp_path / "out.txt"))
    assert finished.returncode == 128 + getattr(signal, number)
    assert finished.stderr == "Interrupted; files written so far are complete.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_code_that_takes_interrupts_for_errors_of_its_own_is_ended_at_once(number):
    program = (
        "import os, signal, sys, time\n"
        "from _util import command\n"
        "def export():\n"
        f"    try: os.kill(os.getpid(), signal.{number}); time.sleep(5)\n"
        "    except BaseException: raise AttributeError('partially initialized module')\n"
        "def main():\n"
        "    print('one')\n"
        "    with command.ending_at_once(): pass\n"
        f"    try: os.kill(os.getpid(), signal.{number}); time.sleep(5)\n"
        "    except KeyboardInterrupt: print('as usual after it')\n"
        "    with command.ending_at_once(): export()\n"
        "command.run(main)\n"
    )
    finished = python(program)
    assert finished.returncode == 128 + getattr(signal, number)
    assert finished.stderr == "Interrupted; files written so far are complete.\n"
    assert finished.stdout == "one\nas usual after it\n"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_what_nohup_ignores_does_not_end_a_command():
    program = (
        "import os, signal\n"
        "from _util import command\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "command.run(lambda: (os.kill(os.getpid(), signal.SIGHUP), print('done')))\n"
    )
    finished = python(program)
    assert (finished.returncode, finished.stdout) == (0, "done\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_sigterm_ends_a_forked_worker_at_once():
    program = (
        "import os, signal, time\n"
        "from _util import command\n"
        "def main():\n"
        "    begun, begin = os.pipe()\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os.write(begin, b'.')\n"
        "        time.sleep(10)\n"
        "        os._exit(0)\n"
        "    os.read(begun, 1)\n"
        "    os.kill(child, signal.SIGTERM)\n"
        "    print(os.WTERMSIG(os.waitpid(child, 0)[1]))\n"
        "command.run(main)\n"
    )
    assert python(program).stdout == f"{int(signal.SIGTERM)}\n"


def test_a_current_folder_that_is_gone_is_one_sentence():
    finished = python(
        "import os, tempfile\nfrom _util import command\n"
        "with tempfile.TemporaryDirectory() as folder: os.chdir(folder)\n"
        "command.run(lambda: os.getcwd())"
    )
    assert finished.returncode == 2
    assert finished.stderr == "The current folder has been removed; go to another one (cd), and run again.\n"


def test_a_name_that_is_too_long_is_one_sentence():
    finished = python("import os\nfrom _util import command\ncommand.run(lambda: os.stat('x' * 300))")
    assert finished.returncode == 2
    assert finished.stderr == f"The file name {'x' * 300} is too long; choose a shorter one.\n"


@pytest.mark.parametrize("number", ["EACCES", "EPERM", "EROFS"])
def test_a_path_without_permission_is_one_sentence(number):
    raised = f"raise OSError(errno.{number}, 'Not allowed', 'secret/a.mkv')"
    finished = python(f"import errno\nfrom _util import command\ndef main(): {raised}\ncommand.run(main)")
    assert finished.returncode == 2
    assert finished.stderr.startswith("secret/a.mkv cannot be used (Not allowed); change its permissions")
    assert len(finished.stderr.splitlines()) == 1


def test_too_little_memory_is_one_sentence():
    finished = python("from _util import command\ncommand.run(lambda: bytes(2**62))")
    assert finished.returncode == 2
    assert finished.stderr == "There is not enough memory; close other programs, or choose smaller pictures.\n"


@pytest.mark.parametrize("raised", ["OSError(errno.EPERM, 'Not allowed')", "OSError(errno.EIO, 'I/O', 'a.mkv')"])
def test_errors_that_the_user_cannot_fix_show_where_they_arose(raised):
    finished = python(f"import errno\nfrom _util import command\ndef main(): raise {raised}\ncommand.run(main)")
    assert finished.returncode == 1
    assert finished.stderr.startswith("Traceback")


@pytest.mark.parametrize(
    ("raised", "returncode", "first"),
    [
        ("ImportError('cannot import name')", 2, "av 16.0.1"),
        ("ModuleNotFoundError('No module', name='av.added')", 2, "av 16.0.1"),
        ("AttributeError('no attribute')", 1, "Traceback"),
    ],
)
def test_packages_of_unsupported_versions_are_named_where_a_command_fails(tmp_path, raised, returncode, first):
    (tmp_path / "av-16.0.1.dist-info").mkdir()
    (tmp_path / "av-16.0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: av\nVersion: 16.0.1\n")
    finished = python(
        f"import sys; sys.path.insert(0, sys.argv[1])\nfrom _util import command\ndef main(): raise {raised}\n"
        "command.run(main)",
        str(tmp_path),
    )
    assert finished.returncode == returncode
    assert finished.stderr.startswith(first)
    last = finished.stderr.splitlines()[-1]
    assert last.startswith('av 16.0.1 is installed, which this does not support: run make/setup, or pip install "av')


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_command_runs_with_closed_streams(tmp_path, closed):
    program = (
        f"import os, sys\nfor n in {closed}: os.close(n)\n"
        "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1], *sys.argv[2:]])"
    )
    command_line = (
        "import sys\nfrom pathlib import Path\nfrom _util import command\n"
        "def main():\n"
        "    with open(sys.argv[1], 'w') as file:\n"
        "        print('nowhere', flush=True)\n"
        "        print('nowhere', file=sys.stderr, flush=True)\n"
        "        file.write(str(file.fileno() > 2))\n"
        "command.run(main)"
    )
    assert python(program, command_line, str(tmp_path / "out")).returncode == 0
    assert (tmp_path / "out").read_text() == "True"


def test_a_reader_that_has_read_enough_is_no_error():
    program = "from _util import command\ncommand.run(lambda: print('line\\n' * 100_000))"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_other_errors_that_cannot_be_raised_are_reported():
    program = (
        "from _util import command\n"
        "class Broken:\n"
        "    def __del__(self): raise RuntimeError('told')\n"
        "command.run(Broken)\n"
    )
    finished = python(program)
    assert finished.returncode == 0
    assert "RuntimeError: told" in finished.stderr


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            command.whole(1),
            {"1": 1, "12": 12},
            {"0": "must be 1 or more", "1.5": "not a whole number", "x": "not a whole"},
        ),
        (command.whole(0, 51), {"0": 0, "51": 51}, {"52": "must be from 0 to 51", "-1": "from 0 to 51"}),
        (
            command.number(0, 1),
            {"0": 0, "1": 1, "0.5": 0.5},
            {"1.01": "0 or more and 1 or less", "nan": "out of range"},
        ),
        (command.number(above=0), {"1e-9": 1e-9}, {"0": "must be above 0", "inf": "above 0", "x": "not a number"}),
        (command.number(above=0, below=1), {"0.5": 0.5}, {"1": "above 0 and below 1"}),
        (command.number(), {"-3": -3}, {"inf": "must be finite"}),
        (
            command.rate,
            {"24000/1001": Fraction(24000, 1001), "12.5": Fraction(25, 2), "1e-05": Fraction(1, 10**5)},
            {"1/0": "not a number", "0": "above 0", "1e999": "not a number", "1e-999999999": "not a number"},
        ),
    ],
)
def test_numbers_of_options(kind, good, bad):
    for text, value in good.items():
        assert kind(text) == value
    for text, message in bad.items():
        with pytest.raises(argparse.ArgumentTypeError, match=message):
            kind(text)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")  # noqa: PTH110
@pytest.mark.parametrize(
    ("statement", "unbuffered"),
    [
        *(("print(1)", ""), ("print(1, flush=True)", ""), ("print(1); sys.exit(1)", ""), ("print(1)", "1")),
        *(("parse('short')", ""), ("parse(9999 * 'long ')", "")),
    ],
)
def test_a_full_standard_output_is_a_sentence(monkeypatch, statement, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    program = (
        "import sys\n"
        "from _util import command\n"
        "def parse(text): command.Parser('python -m _scripts.draw', description=text).parse_args(['--help'])\n"
        f"def main(): {statement}\n"
        "command.run(main)\n"
    )
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=full, stderr=subprocess.PIPE)
    assert finished.returncode == 2
    said = "Standard output, or a temporary file, cannot be written (No space left on device); make room, or choose"
    assert finished.stderr.decode() == f"{said} another place.\n"


def test_options_may_stand_between_positional_arguments():
    parser = command.Parser("python -m _scripts.draw")
    parser.add_argument("data", nargs="+")
    parser.add_argument("out")
    parser.add_argument("--steps", type=int)
    options = parser.parse_args(["a", "b", "--steps", "3", "c"])
    assert (options.data, options.out, options.steps) == (["a", "b"], "c", 3)


def test_a_file_that_begins_with_a_dash_is_recognised(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    Path("-a.png").touch()
    monkeypatch.setattr(sys, "argv", ["draw", "-a.png", "-b.png"])
    parser = command.Parser("python -m _scripts.draw")
    parser.add_argument("names", nargs="+")
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args()
    assert "; write ./-a.png for the file -a.png (see --help)" in capsys.readouterr().err


def test_an_empty_path_is_not_the_current_folder(capsys):
    parser = command.Parser("python -m _scripts.draw")
    parser.add_argument("name", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    assert parser.parse_args(["a", "--out", "."]) == argparse.Namespace(name=Path("a"), out=Path())
    for arguments, name in ((["a", "--out", ""], "--out"), ([""], "name")):
        with pytest.raises(SystemExit, match="2"):
            parser.parse_args(arguments)
        assert f"argument {name}: the path is empty; name a file or folder" in capsys.readouterr().err


def test_names_that_begin_with_a_dash_follow_two():
    parser = command.Parser("python -m _scripts.draw")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--out")
    assert parser.parse_args(["--out", "o", "--", "-a.png", "-b.png"]).names == ["-a.png", "-b.png"]
