"""Fixtures that several tests share.

`shared/`, beside the repository, holds material that is not part of the project; tests that need it skip without it.
"""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from _util import command

TESTS = Path(__file__).parent
SHARED = TESTS.parents[1] / "shared"


def require_shared(relative: str) -> Path:
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared/` beside the repository."""
    return require_shared("")


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """Reference tensors computed with the released code."""
    with np.load(TESTS / "parity" / "golden.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def pair() -> tuple[Tensor, Tensor]:
    """Two real frames, (1, 3, 540, 960) float RGB in [0, 1]."""
    folder = require_shared("data/pair")
    first, last = (np.asarray(Image.open(folder / f"frame{i}.png").convert("RGB")) for i in (1, 3))
    return tuple(torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float() / 255 for frame in (first, last))


class Finished(NamedTuple):
    code: int
    said: str  # on stderr
    written: str  # on stdout


@pytest.fixture
def call(monkeypatch, capsys) -> Callable[..., Finished]:
    """Runs a command line's `main` with arguments, in this process, as `command.run` runs it."""

    def call(main: Callable[[], None], *arguments) -> Finished:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            command.run(main)
        written, said = capsys.readouterr()
        return Finished(caught.value.code, said, written)

    return call


@pytest.fixture
def notes(capsys) -> Callable[[], list[str]]:
    """Returns the lines that stderr has had since the last call, without those of progress bars."""

    def notes() -> list[str]:
        lines = re.split(r"[\r\n]+", capsys.readouterr().err)
        return [line for line in lines if line.strip() and not re.search(r"frame/s|s/frame", line)]

    return notes


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


def pytest_configure() -> None:
    """Let the commands that tests start be interrupted, also where the tests run in the background of a shell, which
    ignores interrupts there, and so would they."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="there is no CUDA device")
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(skip)


@pytest.fixture
def with_threads() -> Iterator[Callable[[int], None]]:
    """Sets PyTorch's number of threads, for this test alone."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
