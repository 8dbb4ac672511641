"""A small benchmark that anyone can make: 60 triplets, 40 of toons and 20 of Lottie animations, in two difficulties.

    _data/benchmark/
        easier/toons_01/   frame1.png  frame2.png  frame3.png      frame2 is the truth, half way in time
        easier/lottie_01/  …
        harder/…

The set is a function of the seed: toons of procedural drawings alone, exact and not degraded, and the animations in
`supplementary/benchmark`. Of several candidates, ordered by how much their outer frames differ, the easier ones come
from the lower part and the harder ones from the upper part.

python -m _databacks.benchmark_set [FOLDER]
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from _databacks.lottie import Lottie
from _databacks.toons import atlas
from _databacks.toons.scenes import Toons
from _util import command, image, places
from _util.errors import InputError
from _util.files import writing

FOLDER = places.results("benchmark")
ANIMATIONS = places.ROOT / "supplementary" / "benchmark"
SIZE = 270, 480
SEED = 20260
COUNTS = {"toons": 20, "lottie": 10}  # in each difficulty
_CANDIDATES = {"toons": 80, "lottie": 48}  # at least
_SHARES = {"easier": (0.1, 0.45), "harder": (0.55, 0.9)}  # of the ordered candidates, without outliers


def build(folder: Path = FOLDER, size: tuple[int, int] = SIZE, seed: int = SEED) -> None:
    """Draw the benchmark into a new folder, atomically.

    Raises:
        InputError: the folder exists, resvg or rlottie is not installed, or the disk is full.
    """
    if folder.exists():
        raise InputError(f"{folder} already exists; delete it first.")
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place, _one_thread():
            unfinished = Path(place) / folder.name
            for kind, candidates in (("toons", _toons(size, seed, Path(place))), ("lottie", _lottie(size, seed))):
                _write(kind, candidates, unfinished)
            unfinished.rename(folder)


def digest(folder: Path = FOLDER) -> str:
    """A checksum over the names and pixels of all pictures, which identifies the benchmark."""
    checksum = hashlib.sha256()
    for path in sorted(folder.glob("*/*/frame*.png")):
        checksum.update(path.relative_to(folder).as_posix().encode())
        checksum.update(image.read(path).tobytes())
    return checksum.hexdigest()[:12]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Use a single thread: with several, results differ in the last bits by their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _toons(size: tuple[int, int], seed: int, place: Path) -> list[Tensor]:
    path = place / "atlas.zip"
    atlas.build(path, drawings=100, icons=0, rigs=27, backgrounds=32, captions=8, seed=seed)
    toons = Toons(size, 4, seed, times=(0.5, 0.5), degraded=False, pictures=atlas.load(path))
    return [frames for i in range(_CANDIDATES["toons"] // 4) for frames in toons.batch(i).frames]


def _lottie(size: tuple[int, int], seed: int) -> list[Tensor]:
    triplets = Lottie(ANIMATIONS, size, seed, each=8)
    found = []
    for i in range(len(triplets)):
        with contextlib.suppress(InputError):  # hardly moves
            triplet = triplets[i]
            if triplet.time == 0.5:
                found.append(triplet.frames)
    if len(found) < _CANDIDATES["lottie"]:
        raise InputError(f"Of {ANIMATIONS}, only {len(found)} triplets can be rendered; restore its animations.")
    return found


def _write(kind: str, candidates: list[Tensor], folder: Path) -> None:
    ordered = sorted(candidates, key=lambda frames: float((frames[2] - frames[0]).abs().double().mean()))
    for difficulty, (low, high) in _SHARES.items():
        places = np.linspace(low, high, COUNTS[kind]) * (len(ordered) - 1)
        for number, place in enumerate(places.round().astype(int), 1):
            triplet = folder / difficulty / f"{kind}_{number:02d}"
            triplet.mkdir(parents=True)
            for i, frame in enumerate(ordered[place], 1):
                image.write(triplet / f"frame{i}.png", image.to_array(frame, np.uint8))


def main() -> None:
    parser = command.Parser(
        prog="python -m _databacks.benchmark_set", description="Draw the small benchmark: 60 triplets of cartoons."
    )
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help=f"where (default: {FOLDER})")
    folder = parser.parse_args().folder
    build(folder)
    print(f"{folder}: {digest(folder)}")


if __name__ == "__main__":
    command.run(main)
