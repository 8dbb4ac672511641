"""The command `inbetween`: the same code as `python -m`, quick to answer, with no more libraries than it needs."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from _util import command, extras, image, places
from _util.errors import InputError
from inbetween._commands import COMMANDS, OTHER_NAMES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HEAVY = {"torch", "cv2", "numpy", "numba", "PIL", "av", "scipy", "tqdm"}
CPU_OF_HELP = 5  # times that of Python alone


def python(program: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def inbetween(*arguments: str, cwd: Path = ROOT, before: str = "") -> subprocess.CompletedProcess:
    return python(f"{before}\nfrom inbetween.__main__ import main\nmain()", *arguments, cwd=cwd)


def test_every_command_line_is_a_command():
    scripts = {f"_scripts.{path.stem}" for path in (ROOT / "_scripts").glob("*.py") if "__main__" in path.read_text()}
    assert scripts <= {one.module for one in COMMANDS.values()}


@pytest.mark.parametrize("name", COMMANDS)
def test_modules_of_commands_are_there(name):
    assert importlib.util.find_spec(COMMANDS[name].module) is not None


def test_commands_that_messages_name_exist(monkeypatch):
    floors = (path for floor in ("_util", "_databacks", "_train") for path in (ROOT / floor).rglob("*.py"))
    modules = {module for path in floors for module in re.findall(r"command\.line\(.([\w.]+)", path.read_text())}
    assert "_scripts.get_weights" in modules
    monkeypatch.setattr(places, "IS_REPOSITORY", False)
    for module in modules:
        name = command.line(module).removeprefix("inbetween ")
        assert COMMANDS[name].module.removesuffix(".__main__") == module


def test_help_lists_the_commands():
    shown = inbetween("--help").stdout.splitlines()
    for name, one in COMMANDS.items():
        assert any(line.startswith(f"  {name} ") and one.summary in line for line in shown)
    for other in OTHER_NAMES:
        assert any(line.endswith(f"also: {other}") for line in shown)


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["interpolate"], "inbetween interpolate"),
        (["pair"], "inbetween pair"),
        (["video"], "inbetween video"),
        (["train"], "inbetween train"),
        (["study", "build"], "inbetween study build"),
        (["rrld-filter"], "inbetween rrld-filter"),
        (["demo"], "inbetween demo"),
    ],
)
def test_usage_has_the_name_of_the_command(arguments, usage):
    finished = inbetween(*arguments, "--help")
    assert finished.returncode == 0
    assert finished.stdout.startswith(f"usage: {usage} ")


@pytest.mark.parametrize("arguments", [["--help"], ["interpolate", "--help"]])
def test_help_is_quick_and_needs_no_libraries(arguments):
    measure = (
        "import atexit, sys, time\n"
        "loaded = lambda: {name for name in sys.modules if '.' not in name}\n"
        "atexit.register(lambda: print('\\nCPU', time.process_time(), 'loaded', loaded()))"
    )
    seconds, alone = [], []
    for _ in range(3):
        told = inbetween(*arguments, before=measure).stdout.splitlines()[-1]
        seconds.append(float(told.split()[1]))
        assert not HEAVY & set(re.findall(r"'(\w+)'", told))
        alone.append(float(python("import time; print(time.process_time())").stdout))
    assert min(seconds) < CPU_OF_HELP * min(alone)


def test_a_command_that_is_not_there():
    finished = inbetween("vidoe")
    assert finished.returncode == 2
    assert finished.stderr == "inbetween: there is no command 'vidoe'; video is one (see --help)\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")  # noqa: PTH110
def test_a_version_that_cannot_be_printed():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "inbetween", "--version"]
        finished = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert finished.returncode == 2
    assert finished.stderr.startswith("Standard output, or a temporary file, cannot be written")
    assert finished.stderr.count("\n") == 1


def test_a_version_stands_alone():
    finished = inbetween("--version", "video")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr == "inbetween: --version stands alone (see --help)\n"


def test_errors_have_the_name_of_the_command():
    finished = inbetween("video", "in.mp4")
    assert finished.returncode == 2
    assert finished.stderr.startswith("inbetween video: ")
    assert finished.stderr.count("\n") == 1


def test_names_of_the_package():
    program = (
        "import sys, inbetween\n"
        "assert 'torch' not in sys.modules\n"
        "from inbetween import InputError, Interpolator, __version__\n"
        "from _train.frame_interpolation.interpolator import Interpolator as same\n"
        "assert Interpolator is same and issubclass(InputError, ValueError) and 'Interpolator' in dir(inbetween)\n"
        "print(__version__)\n"
    )
    finished = python(program)
    assert finished.returncode == 0, finished.stderr
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", finished.stdout)
    assert "has no attribute 'absent'" in python("import inbetween; inbetween.absent").stderr


def test_an_installed_package_hides_no_module_of_a_program(tmp_path):
    installed, own, names = tmp_path / "site/inbetween", tmp_path / "own", ("commands", "checkpoints", "supplementary")
    for name in ("_util", "_databacks", "_train", "_scripts", "checkpoints", "supplementary"):
        (installed / name).mkdir(parents=True)
    for path in (ROOT / "inbetween").glob("*.py"):
        shutil.copy(path, installed)
    own.mkdir()
    for name in names:
        (own / f"{name}.py").touch()
    program = "import sys; sys.path[:0] = sys.argv[1:]; import inbetween\n"
    program += "\n".join(f"import {name}; print({name}.__file__)" for name in names)
    finished = python(program, str(installed.parent), str(own))
    assert finished.stdout.split() == [str(own / f"{name}.py") for name in names]


def test_another_package_of_the_same_name_is_named(tmp_path):
    (tmp_path / "_util").mkdir()
    (tmp_path / "_util/__init__.py").write_text("")
    finished = python(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import _util; import inbetween")
    assert "ImportError: inbetween has a package '_util', and another one of that name is imported" in finished.stderr


def blocked(*names: str) -> str:
    return f"import sys\nsys.modules.update(dict.fromkeys({names!r}))"


def write_pair(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    image.write(folder / "a.png", noise)
    image.write(folder / "b.png", np.roll(noise, 2, 1))


def test_a_pair_needs_no_extra(tmp_path):
    write_pair(tmp_path)
    report = "\nimport atexit\natexit.register(lambda: print('scipy' in sys.modules, file=sys.stderr))"
    finished = inbetween(
        *("interpolate", "a.png", "b.png", "--fps", "2", "--out", "out", "--device", "cpu"),
        cwd=tmp_path,
        before=blocked(*extras.EXTRAS) + report,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.splitlines()[-1] == "False"
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


def test_drawings_need_no_extra_but_for_what_is_matched(tmp_path):
    for name, column in (("a", 40), ("b", 56)):
        paper = np.full((96, 128, 3), 255, np.uint8)
        paper[20:80, column : column + 2] = 0
        image.write(tmp_path / f"{name}.png", paper)
    finished = inbetween(
        *("interpolate", "a.png", "b.png", "--fps", "3", "--out", "out", "--device", "cpu"),
        cwd=tmp_path,
        before=blocked(*extras.EXTRAS),
    )
    assert finished.returncode == 0, finished.stderr
    note = "Strokes and pieces that rotate far are not matched, which needs numba: run make/setup methods."
    assert finished.stderr.splitlines().count(note) == 1
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


@pytest.mark.parametrize(
    ("absent", "arguments", "extra"),
    [
        ("av", ["video", "triplets/one", "out.mp4"], "video"),
        ("numba", ["interpolate", "a.png", "b.png", "--synthesis", "fusion"], "methods"),
        ("av", ["interpolate", "a.png", "b.png", "--preview", "p.mp4"], "video"),
        ("torchmetrics", ["evaluate", "--data", "triplets", "--baseline", "mean"], "evaluate"),
    ],
)
def test_a_package_that_is_missing_is_one_sentence(tmp_path, absent, arguments, extra):
    write_pair(tmp_path)
    triplet = tmp_path / "triplets/one"
    triplet.mkdir(parents=True)
    for name in "abc":
        image.write(triplet / f"{name}.png", np.zeros((40, 40, 3), np.uint8))
    finished = inbetween(*arguments, cwd=tmp_path, before=blocked(absent))
    assert finished.returncode == 2
    said = finished.stderr.splitlines()[-1]
    assert said == f"This needs {absent}, which is not installed: run make/setup {extra}."
    assert "Traceback" not in finished.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "triplets"]


def test_packages_that_are_missing_are_named_together(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name == "matplotlib" else None)
    with pytest.raises(InputError) as raised:
        extras.require("lightning", "matplotlib", "tensorboard")
    assert str(raised.value) == "This needs lightning, tensorboard, which are not installed: run make/setup train."


def required(extra: str | None) -> set[str]:
    """Names of the distributions that an extra, or the base for None, brings, in lower case."""
    listed = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    found = set()
    for requirement in listed:
        if inner := re.fullmatch(r"inbetween\[(.*)\]", requirement):
            found |= set().union(*map(required, inner[1].split(",")))
        else:
            found.add(re.match(r"[\w-]+", requirement)[0].lower().replace("_", "-"))
    return found


def test_extras_bring_what_messages_promise():
    distributions = importlib.metadata.packages_distributions()
    for package, extra in extras.EXTRAS.items():
        names = {name.lower().replace("_", "-") for name in distributions.get(package, [])}
        if names:  # what is not installed here cannot be looked up
            assert names & required(extra), f"{package} is not of {extra}"
            assert not names & required(None), f"{package} is of every installation"


def test_all_and_dev_bring_everything():
    extras_of_commands = ("layers", "video", "methods", "pages", "dataset", "evaluate", "studio", "train")
    assert required("all") == set().union(*map(required, extras_of_commands))
    assert required("evaluate") <= required("dev")
