"""Lottie animations as triplets: vector drawings that people animated, rendered at any time between their frames.

    FOLDER/  dance.json  rocket.json  …

Each animation gives several triplets. The start, the gap between the outer frames, up to a third of a second, and the
time of the truth between them are drawn at random, and drawn again if almost nothing moves.
"""

import functools
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from _databacks.triplet import Source, Triplet
from _util import extras
from _util.errors import InputError
from _util.files import natural

SHORTEST_GAP, LONGEST_GAP = 1 / 24, 1 / 3  # seconds
LEAST_CHANGE = 0.004  # mean difference of the outer frames' colours and alpha
_TRIES = 16
_EACH_IN_TRAINING = 64
_PREVIEW = 96, 96  # size at which motion is looked for
_TIMEOUT = 60  # timeout of the renderer, seconds


def _background(random: np.random.Generator, size: tuple[int, int]) -> Tensor:
    """A background of one colour, or of two that run into each other in any direction: (3, h, w) RGB in [0, 1]."""
    h, w = size
    colours = torch.from_numpy(random.uniform(size=(2, 3, 1, 1)).astype(np.float32))
    angle, is_plain = random.uniform(0, 2 * np.pi), random.uniform() < 0.3
    y, x = torch.meshgrid(torch.linspace(-0.5, 0.5, h), torch.linspace(-0.5, 0.5, w), indexing="ij")
    share = (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(2) + 0.5
    return colours[0].lerp(colours[1], torch.zeros_like(share) if is_plain else share)


class Lottie(Source):
    """Triplets of the animations in a folder. Item i depends on the seed and i alone.

    Args:
        size: (h, w) of the frames; an animation of another shape is centred.
        each: number of triplets per animation.

    Raises:
        InputError: there are no animations, or rlottie-python is not installed.
    """

    def __init__(self, path: str | Path, size: tuple[int, int] = (540, 960), seed: int = 0, each: int = 16):
        self.path = Path(path)
        self.animations = sorted(self.path.glob("*.json"), key=lambda file: natural(file.name))
        if not self.animations:
            raise InputError(f"{path} holds no Lottie animations; they are .json files.")
        extras.require("rlottie_python")
        self.size, self.seed, self.each = size, seed, each
        self.names = [f"{file.stem}-{k}" for file in self.animations for k in range(each)]

    def __getitem__(self, index: int) -> Triplet:
        """Three frames of an animation; `time` is when the middle one was rendered, half of the time 0.5.

        Raises:
            InputError: the file is not an animation, cannot be rendered, or hardly moves.
        """
        index = range(len(self))[index]
        path, random = self.animations[index // self.each], np.random.default_rng((self.seed, index))
        first, middle, last = _choose(path, random)
        layer = _render(path, [first, middle, last], self.size)
        colours, alpha = layer.split([3, 1], 1)
        frames = (colours + (1 - alpha) * _background(random, self.size)).clamp(0, 1)
        return Triplet(self.names[index], frames, time=(middle - first) / (last - first))

    def files(self, index: int) -> list[Path]:
        return [self.animations[index // self.each]]

    def for_crops(self, size: tuple[int, int], seed: int) -> "Lottie":
        """Most of a wide frame would be empty, and a longer training needs more of each animation."""
        larger = size[0] * 5 // 4, size[1] * 5 // 4
        return Lottie(self.path, larger, seed, _EACH_IN_TRAINING)


def _choose(path: Path, random: np.random.Generator) -> tuple[int, int, int]:
    """The numbers of three frames between whose outer two something moves."""
    count, rate = _length(path)
    shortest, longest = (max(1, min(int(gap * rate), count - 1) // 2) for gap in (SHORTEST_GAP, LONGEST_GAP))
    for _ in range(_TRIES if count > 2 else 0):
        gap = 2 * int(random.integers(shortest, longest, endpoint=True))  # even, so that there is a middle frame
        first = int(random.integers(count - gap))
        time = 0.5 if random.uniform() < 0.5 else random.uniform(0.1, 0.9)
        middle = first + min(max(round(gap * time), 1), gap - 1)
        ends = _render(path, [first, first + gap], _PREVIEW)
        is_shown = ends[:, 3].mean((1, 2)).min() > LEAST_CHANGE
        if is_shown and (ends[1] - ends[0]).abs().mean() > LEAST_CHANGE:
            return first, middle, first + gap
    raise InputError(f"{path} hardly moves; leave it out.")


def _length(path: Path) -> tuple[int, float]:
    """How many frames there are to render, and how many of them go by in a second."""
    header, _ = _renderer(os.getpid()).request(path, [], _PREVIEW)
    return header["count"], header["rate"]


def _render(path: Path, frames: list[int], size: tuple[int, int]) -> Tensor:
    """Frames by number as (n, 4, h, w) in [0, 1]: red, green, blue, multiplied by alpha, and alpha."""
    _, content = _renderer(os.getpid()).request(path, frames, size)
    pixels = torch.frombuffer(content, dtype=torch.uint8).view(len(frames), *size, 4)
    return pixels[..., [2, 1, 0, 3]].permute(0, 3, 1, 2).float() / 255


@functools.cache
def _renderer(_process: int) -> "_Renderer":
    return _Renderer()  # one per process: forked workers must not share their parent's


class _Renderer:
    """The other end of `lottie_renderer`; started when needed, and restarted when an animation has brought it down."""

    def __init__(self):
        self.process = None
        self._lock = threading.Lock()

    def request(self, path: Path, frames: list[int], size: tuple[int, int]) -> tuple[dict, bytearray]:
        with self._lock:  # answers come in the order of the questions
            header, content = self._answer(path, frames, size)
        if "error" in header:
            raise InputError(f"{path} cannot be rendered as a Lottie animation ({header['error']}); leave it out.")
        return header, content

    def _answer(self, path: Path, frames: list[int], size: tuple[int, int]) -> tuple[dict, bytearray]:
        if self.process is None or self.process.poll() is not None:
            self.process = self._start()
        hung = threading.Timer(_TIMEOUT, self.process.kill)
        hung.start()
        try:
            return self._ask({"path": str(path.resolve()), "frames": frames, "size": size})
        except (BrokenPipeError, EOFError, json.JSONDecodeError) as error:
            self.process.kill()
            self.process.wait()
            raise InputError(f"{path} brings down the Lottie renderer; leave it out.") from error
        finally:
            hung.cancel()

    def _ask(self, question: dict) -> tuple[dict, bytearray]:
        assert self.process is not None
        questions, answers = self.process.stdin, self.process.stdout
        assert questions is not None
        assert answers is not None
        questions.write(json.dumps(question).encode() + b"\n")
        questions.flush()
        line = answers.readline()
        if not line:
            raise EOFError
        header = json.loads(line)
        expected = 0 if "error" in header else len(question["frames"]) * math.prod(question["size"]) * 4
        content = bytearray(answers.read(expected))
        if len(content) < expected:
            raise EOFError
        return header, content

    def _start(self) -> subprocess.Popen:
        program = [sys.executable, "-P", str(Path(__file__).with_name("lottie_renderer.py"))]
        return subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the trainer, which still needs its frames
        )
