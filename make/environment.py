"""The project's environment: a virtual one, `.venv`, with what pyproject.toml requires.

INBETWEEN_VENV moves it away from `.venv`; PYTHON names the interpreter of a new one. INBETWEEN_TORCH=cpu installs
PyTorch without CUDA, a tenth of the download; =cuda installs it with CUDA; by default the NVIDIA driver decides.
INBETWEEN_CPU_INDEX is the index of the CPU build.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / (os.environ.get("INBETWEEN_VENV") or ".venv")
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
_STAMP = FOLDER / "setup.stamp"
_CPU_INDEX = os.environ.get("INBETWEEN_CPU_INDEX") or "https://download.pytorch.org/whl/cpu"
_USED = "import torch, torchvision, cv2, kornia, numba"


class SetupError(Exception):
    """The environment cannot be created; the message says why and what to do."""

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


class _Torch(NamedTuple):
    build: str  # "cpu" or "cuda"
    why: str


def set_up(*wanted: str) -> int:
    """Create the environment, with extras of pyproject.toml besides dev; extras requested once are remembered.

    Returns 0 immediately if it is up to date.
    """
    remembered = dict(line.split(": ", 1) for line in _stamp().splitlines() if ": " in line)
    torch = _choose_torch(remembered.get("torch"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = sorted({"dev", *wanted, *filter(None, remembered.get("extras", "").split(","))})
    if _stamp() and _stamp() == _state(extras, torch.build):
        return 0
    for extra in wanted:
        if extra not in project["optional-dependencies"]:
            raise SetupError(f"pyproject.toml has no extra {extra!r}.", 2)
    before = remembered.get("torch", torch.build)
    try:
        if not (_is_recent(PYTHON) and _succeeds(PYTHON, "-m", "pip", "--version")):
            _create()
    finally:
        if FOLDER.is_dir():
            _remember(remembered.get("extras", "dev"), before)
    if before != torch.build:
        _pip("uninstall", "--yes", "torch", "torchvision")
        _remember(remembered.get("extras", "dev"), torch.build)
    _install(list(_requirements(project, extras)), extras, torch)
    _STAMP.write_text(_state(extras, torch.build), "utf-8")
    if (ROOT / "_scripts").is_dir():
        _say("compiling the functions of matching, which takes about a minute.")
        if not _succeeds(PYTHON, "-m", "_scripts.compile"):
            _say("that failed, so they are compiled when they are first used.")
    return 0


def _remember(extras: str, torch: str) -> None:
    """Keep what was requested once, in a stamp that matches no state, until the environment is up to date."""
    _STAMP.write_text(f"extras: {extras}\ntorch: {torch}\n", "utf-8")


def _stamp() -> str:
    return _STAMP.read_text("utf-8") if _STAMP.is_file() else ""


def _state(extras: list[str], torch: str) -> str:
    """The state that an up-to-date environment was created from."""
    version = _run(PYTHON, "-V").stdout.strip()
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    return f"{version}\npyproject.toml {digest}\nextras: {','.join(extras)}\ntorch: {torch}\n"


def _choose_torch(before: str | None) -> _Torch:
    asked = os.environ.get("INBETWEEN_TORCH")
    if asked and asked not in ("cpu", "cuda"):
        raise SetupError(f"INBETWEEN_TORCH is {asked!r}; it is cpu or cuda.", 2)
    if asked:
        return _Torch(asked, "INBETWEEN_TORCH says")
    if before:
        return _Torch(before, "before")
    if Path("/proc/driver/nvidia/version").exists() or _succeeds("nvidia-smi"):
        return _Torch("cuda", "an NVIDIA driver is installed (INBETWEEN_TORCH=cpu selects the smaller build)")
    return _Torch("cpu", "no NVIDIA driver is installed (INBETWEEN_TORCH=cuda selects the other build)")


def _create() -> None:
    """Create an empty environment with the first interpreter that can; this one is tried first."""
    interpreters = [os.environ["PYTHON"]] if os.environ.get("PYTHON") else [sys.executable, "python3", "python"]
    for python in interpreters:
        if not _is_recent(python) or Path(shutil.which(python) or python).absolute() == PYTHON.absolute():
            continue
        if any(
            _succeeds(python, "-c", f"import {needed}") and _succeeds(python, *command, FOLDER)
            for needed, command in (
                ("ensurepip, venv", ("-m", "venv", "--clear")),
                ("virtualenv", ("-m", "virtualenv", "--quiet", "--clear")),
            )
        ):
            return
        if _succeeds("uv", "venv", "--quiet", "--clear", "--seed", "--python", python, FOLDER):
            return
    raise SetupError(
        "no Python from 3.11 on can make a virtual environment: install one (on Debian or Ubuntu: sudo apt-get install "
        "python3-venv), then run make/setup again.",
        2,
    )


def _install(requirements: list[str], extras: list[str], torch: _Torch) -> None:
    index = _index(torch)
    _say(f"installing into {FOLDER} with the extras {','.join(extras)} (the first time, this downloads much).")
    # One resolution for everything: torch and torchvision must be builds of each other.
    _pip("install", *index, *requirements)
    # The command `inbetween`, of this folder; the image holds the packages alone.
    if (ROOT / "inbetween").is_dir():
        _pip("install", "--no-deps", "--editable", ".")
    tried = _run(PYTHON, "-c", _USED)
    if tried.returncode:
        said = tried.stderr.strip().splitlines() or ["no reason given"]
        raise SetupError(
            f"the installed packages do not work together ({said[-1]}): delete {FOLDER}, check that pip's package "
            "index offers torch and torchvision of the same build, and run make/setup again."
        )


def _index(torch: _Torch) -> list[str]:
    """The options that make pip find the selected build of PyTorch."""
    if torch.build == "cuda":
        _say(f"taking PyTorch with CUDA, as {torch.why}.")
    elif _is_there(f"{_CPU_INDEX}/torch/"):
        _say(f"taking PyTorch without CUDA, as {torch.why}.")
        return ["--extra-index-url", _CPU_INDEX]
    else:
        _say(f"taking the PyTorch that pip's package index has, as {_CPU_INDEX} cannot be reached; {torch.why}.")
    return []


def _requirements(project: dict[str, Any], extras: Iterable[str]) -> Iterator[str]:
    """The requirements of a project and of extras; extras that name other extras include theirs."""
    pending = [*project["dependencies"], *(f"{project['name']}[{extra}]" for extra in extras)]
    seen = set()
    while pending:
        requirement = pending.pop(0)
        if requirement in seen:
            continue
        seen.add(requirement)
        if inner := re.fullmatch(re.escape(project["name"]) + r"\[(.*)\]", requirement):
            for extra in inner[1].split(","):
                pending += project["optional-dependencies"][extra]
        else:
            yield requirement


def _pip(*arguments: str) -> None:
    command = [PYTHON, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        remedy = "fix that"
        if not _succeeds(PYTHON, "-c", "import sys; sys.exit(sys.version_info >= (3, 15))"):
            remedy = f"required packages may have no wheels for this Python yet: delete {FOLDER}, install Python 3.14"
        raise SetupError(f"pip {arguments[0]} failed, as said above; {remedy}, and run make/setup again.", code)


def _is_recent(python: str | Path) -> bool:
    return _succeeds(python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))")


def _is_there(address: str) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (OSError, ValueError):
        return False


def _succeeds(*command: str | Path) -> bool:
    return _run(*command).returncode == 0


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:  # there is no such program
        return subprocess.CompletedProcess(command, 127, "", "")


def _say(message: str) -> None:
    print(f"make/setup: {message}", file=sys.stderr, flush=True)
