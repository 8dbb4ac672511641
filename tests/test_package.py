"""The wheel, installed where nothing can be written, and run from elsewhere by a user without privileges."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from _util import image

ROOT = Path(__file__).parents[1]
SOURCES = ("inbetween", "_util", "_databacks", "_train", "_scripts", "checkpoints", "supplementary")
pytest.importorskip("setuptools", "77", reason="a wheel is built with setuptools")
pytestmark = pytest.mark.slow


def pip(*arguments: object) -> None:
    options = "--quiet", "--disable-pip-version-check", "--no-cache-dir"
    subprocess.run([sys.executable, "-m", "pip", *options, *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of the working tree, built without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
    (source / "checkpoints/ssl.pt").touch()  # what a user has put there
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", out, source)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_code_and_the_shipped_weights_once(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    held = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    code = [path for folder in SOURCES[:5] for path in (ROOT / folder).rglob("*") if path.is_file()]
    kept = {".py", ".html", ".css", ".js"}
    expected = {path.relative_to(ROOT).as_posix() for path in code if path.suffix in kept}
    expected = {name if name.startswith("inbetween/") else f"inbetween/{name}" for name in expected}
    assert {name for name in held if Path(name).suffix in kept} == expected
    weights = {name for name in held if "/checkpoints/" in name}
    shipped = [path for path in (ROOT / "checkpoints/default").iterdir() if path.suffix != ".md"]
    assert {f"inbetween/checkpoints/default/{path.name}" for path in shipped} == {
        name for name in weights if not name.endswith(".md")
    }
    assert len(names) == len(set(names))
    assert {name.split("/")[0] for name in held} == {"inbetween"}


@pytest.fixture(scope="module")
def prefix(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel and the packages of this one, whose files cannot be written."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(venv), "platbase": str(venv)}))
    python = next(path for path in (venv / "bin/python", venv / "Scripts/python.exe") if path.exists())
    pip("--python", python, "install", "--no-deps", "--no-index", "--no-compile", wheel)
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    subprocess.run(["chmod", "-R", "a-w", venv], check=True)
    yield venv
    subprocess.run(["chmod", "-R", "u+w", venv], check=True)


@pytest.fixture
def run(prefix, tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs a program of the environment from a folder with two pictures, as a user who cannot write elsewhere."""
    here, home = tmp_path / "here", tmp_path / "home"
    for folder in (here, home):
        folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    image.write(here / "a.png", noise)
    image.write(here / "b.png", np.roll(noise, 2, 1))
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment = {**kept, "HOME": str(home), "OMP_NUM_THREADS": "1"}
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root and not shutil.which("setpriv"):
        pytest.skip("root can write everywhere, and there is no setpriv to drop that privilege")
    dropped = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if is_root else []

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess:
        command = [*dropped, str(prefix / "bin" / program), *arguments]
        return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)

    return run


def test_a_pair(run, prefix, tmp_path):
    assert run("python", "-c", f"open({str(prefix / 'x')!r}, 'w')").returncode == 1  # nothing can be written there
    finished = run("inbetween", "interpolate", "a.png", "b.png", "--fps", "2", "--device", "cpu")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == f"Frames: 3 in {Path('interpolated/a-b')}\n"
    found = {path.relative_to(tmp_path / "here").as_posix() for path in (tmp_path / "here").rglob("[!.]*.*")}
    assert found == {"a.png", "b.png", *(f"interpolated/a-b/02_0{i}.png" for i in range(3))}
    assert not [path for path in (tmp_path / "home").rglob("*") if "inbetween" in path.name]


def test_compiled_functions_are_kept_elsewhere(run, tmp_path):
    program = (
        "import inbetween, numpy as np\n"
        "from _util.lab import pixels_to_lab\n"
        "pixels_to_lab(np.zeros((8, 8, 3), np.uint8))\n"
    )
    finished = run("python", "-c", program)
    assert finished.returncode == 0, finished.stderr
    assert list((tmp_path / "home").rglob("*.nbi"))


def test_spawned_processes_and_started_ones_find_the_code(run, tmp_path):
    (tmp_path / "here/spawn.py").write_text(
        "import multiprocessing\n"
        "import inbetween\n"
        "from _util.files import natural\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(natural, ['b10']))\n"
    )
    finished = run("python", "spawn.py")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "[[('b', 10), ('', 0)]]\n"
    program = (
        "import subprocess, sys\n"
        "from inbetween import __main__\n"
        "__main__._let_children_import()\n"
        "subprocess.run([sys.executable, '-c', 'import _databacks.sources'], check=True)\n"
    )
    assert run("python", "-c", program).returncode == 0


def test_weights_of_the_user_come_first(run, tmp_path):
    program = "import inbetween\nfrom _util import checkpoints\nprint(checkpoints.find('ifnet'))"
    assert run("python", "-c", program).stdout.endswith("inbetween/checkpoints/default/ifnet.safetensors\n")
    for folder in (".local/share/inbetween/checkpoints", "../here/checkpoints"):
        added = tmp_path / "home" / folder / "default/ifnet.safetensors"
        added.parent.mkdir(parents=True)
        added.touch()
        found = run("python", "-c", program).stdout.strip()
        assert (tmp_path / "here" / found).samefile(added)


def test_what_is_missing_says_where_it_belongs(run, tmp_path):
    finished = run("inbetween", "interpolate", "a.png", "b.png", "--synthesis", "rife")
    assert finished.returncode == 2
    folder = tmp_path / "home/.local/share/inbetween/checkpoints"
    assert finished.stderr == (
        f"There are no weights for rife: run inbetween get-weights rife, or put rife.pkl into {folder}.\n"
    )
    finished = run("python", "-m", "inbetween", "evaluate", "--data", "atd12k")
    assert finished.returncode == 2
    assert "inbetween/atd12k" in finished.stderr


def test_modules_run_by_name(run):
    assert run("python", "-m", "inbetween", "--version").stdout.startswith("inbetween ")
    assert run("inbetween", "methods").stdout.startswith("|")
