"""Damaged inputs: each is used or refused in a sentence, soon, in little memory, and nothing half-made is left.

    python -m tests.mutations --count 5000 --seed 1 --kinds png safetensors

Whole inputs of each kind are made, bytes of them flipped, cut off, moved, repeated and replaced, and what a user does
with them is done, in a process of their own. What goes wrong is printed with its number, by which it can be done again
(`--only`), and the input is kept in `_data/mutations`.
"""

import argparse
import io
import json
import multiprocessing
import shutil
import sqlite3
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

LONGEST, MOST_MEMORY = 20, 2048  # seconds, MB
KEPT = Path("_data/mutations")


class Kind(NamedTuple):
    """One kind of input."""

    write: Callable[[Path], Path]  # makes it in an empty folder, and returns the file to be damaged
    use: Callable[[Path], object]  # does with the folder what a user does; raises InputError


class Outcome(NamedTuple):
    number: int
    kind: str
    said: str  # "used", "refused: …" or a fault
    is_fault: bool
    seconds: float
    memory: float


def frame(shift: int = 0) -> np.ndarray:
    import cv2

    noise = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    return np.roll(cv2.resize(noise, (48, 40), interpolation=cv2.INTER_CUBIC), shift, 1)


def picture_kinds() -> dict[str, Kind]:
    """Files of pictures, each the first of a pair that is interpolated."""

    def pillow(suffix: str, mode: str = "RGB", **options) -> Callable[[Path], Path]:
        def write(folder: Path) -> Path:
            from PIL import Image

            path = folder / f"a{suffix}"
            Image.fromarray(frame()).convert(mode).save(path, **options)
            Image.fromarray(frame(2)).convert(mode).save(folder / "b.png" if mode != "CMYK" else folder / f"b{suffix}")
            return path

        return write

    def deep(folder: Path) -> Path:
        from _util import formats, icc, png

        tags = (png.icc_chunk(icc.of_gamma(2.2)), png.resolution_chunk(3000, 3000))
        formats.write(folder / "a.png", frame() * np.uint16(257), tags)
        formats.write(folder / "b.png", frame(2) * np.uint16(257))
        return folder / "a.png"

    def floating(suffix: str) -> Callable[[Path], Path]:
        def write(folder: Path) -> Path:
            from _util import formats

            for name, shift in (("a", 0), ("b", 2)):
                formats.write(folder / f"{name}{suffix}", frame(shift).astype(np.float32) / 255)
            return folder / f"a{suffix}"

        return write

    return {
        "png": Kind(pillow(".png", dpi=(300, 300)), interpolate),
        "png palette": Kind(pillow(".png", "P"), interpolate),
        "png 16 bits": Kind(deep, interpolate),
        "jpeg": Kind(pillow(".jpg", dpi=(72, 72)), interpolate),
        "jpeg cmyk": Kind(pillow(".jpg", "CMYK"), interpolate),
        "webp": Kind(pillow(".webp", lossless=True), interpolate),
        "gif": Kind(pillow(".gif"), interpolate),
        "bmp": Kind(pillow(".bmp"), interpolate),
        "tga": Kind(pillow(".tga"), interpolate),
        "tiff": Kind(pillow(".tif"), interpolate),
        "avif": Kind(pillow(".avif"), interpolate),
        "jpeg 2000": Kind(pillow(".jp2"), interpolate),
        "tiff floating": Kind(floating(".tif"), interpolate),
        "exr": Kind(floating(".exr"), interpolate),
    }


def interpolate(folder: Path) -> None:
    from _train.frame_interpolation import pairs

    first, second = (next(folder.glob(f"{name}.*")) for name in "ab")
    pairs.interpolate_files(first, second, folder / "out", fps=2, flow="dis", synthesis="splat", device="cpu")


def data_kinds() -> dict[str, Kind]:
    """Files of data sets and of their making."""

    def triplets(folder: Path) -> Path:
        from _util import image

        for i in range(2):
            (folder / "images" / f"{i}-{i + 1}-{i + 2}").mkdir(parents=True)
            for k in range(3):
                image.write(folder / "images" / f"{i}-{i + 1}-{i + 2}" / f"{k}.png", frame(i + k))
        return folder

    def rrld(folder: Path) -> Path:
        path = triplets(folder) / "rrld.txt"
        path.write_text("frames,linearity,coverage\n0-1-2,0.25,0.5\n1-2-3,0.125,0.75\n")
        return path

    def use_rrld(folder: Path) -> None:
        from _databacks.extraction.triplets import read_triplets

        read_triplets(folder)
        use_source(folder)

    def flows(folder: Path) -> Path:
        import torch

        path = triplets(folder) / "flows/0-1-2.pt"
        path.parent.mkdir()
        torch.save(torch.zeros(2, 2, 40, 48), path)
        return path

    def hdf5(folder: Path) -> Path:
        from _databacks.hdf5.packing import pack
        from _databacks.sources import open_source

        with tempfile.TemporaryDirectory() as place:
            pack(open_source(triplets(Path(place))), folder / "data.h5")
        return folder / "data.h5"

    def lottie(folder: Path) -> Path:
        from tests.databacks.test_lottie import moving_square

        (folder / "a.json").write_text(json.dumps(moving_square()))
        return folder / "a.json"

    def database(folder: Path) -> Path:
        path = folder / "duplicates.db"
        path.with_suffix(".json").write_text(json.dumps({"made_from": {}, "finished": True, "found": {}}))
        with sqlite3.connect(path) as table:
            names = ("rgb_mean", "rgb_max", "lab_mean", "lab_max", "psnr", "ssim")
            table.execute(f"CREATE TABLE duplicates (frame INTEGER PRIMARY KEY, {' REAL, '.join(names)} REAL)")
            rows = [(i, *range(6)) for i in range(1, 99)]
            table.executemany("INSERT INTO duplicates VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        table.close()
        return path

    def use_database(folder: Path) -> None:
        from _databacks.extraction.duplicates import read_differences

        read_differences(folder)

    def record(folder: Path) -> Path:
        path = database(folder).with_suffix(".json")
        found = {"cuts": [0, 7, 12], "frames": 98}
        path.write_text(json.dumps({"made_from": {"video": "x" * 32}, "finished": True, "found": found}, indent=1))
        rrld(folder).with_suffix(".json").write_bytes(path.read_bytes())
        return folder / "rrld.json"

    def made(folder: Path) -> Path:
        work = folder / "out/.work"
        work.mkdir(parents=True)
        (work / "options.json").write_text(json.dumps({"size": "1080", "quality": 100}, indent=2))
        return work / "options.json"

    def use_made(folder: Path) -> None:
        from _databacks.dataset import planning

        with planning.claim(folder / "out", folder / "out/.work", {"size": "1080", "quality": 100}):
            pass

    def indexed(folder: Path) -> Path:
        from _databacks.dataset.assembly import MadeRow

        rows = [",".join(MadeRow._fields)] + [",".join(f"{i}{name}" for name in MadeRow._fields) for i in range(5)]
        (folder / "index.csv").write_text("\n".join([*rows, ""]))
        return folder / "index.csv"

    def use_indexed(folder: Path) -> None:
        from _databacks.dataset.assembly import read_index

        read_index(folder)

    def answers(folder: Path) -> Path:
        import base64

        from _train.frame_interpolation.evaluation.pages.study import study_name

        clips = {"c0": [0, "i0"], "c1": [1, "i0"]}
        key = json.dumps({"methods": ["a", "b"], "clips": clips, "whole": {}, "broken": {}})
        sealed = base64.b64encode(key.encode()).decode()
        answer = {"left": "c0", "right": "c1", "choice": "left", "milliseconds": 2310}
        sheet = {"study": study_name(sealed), "sealed": sealed, "participant": "91ab", "answers": [answer]}
        (folder / "answers.json").write_text(json.dumps(sheet))
        return folder / "answers.json"

    def use_answers(folder: Path) -> None:
        from _train.frame_interpolation.evaluation.pages.answers import gather

        gather([folder / "answers.json"])

    return {
        "rrld.txt": Kind(rrld, use_rrld),
        "flows .pt": Kind(flows, use_source),
        "hdf5": Kind(hdf5, lambda folder: use_source(folder / "data.h5")),
        "lottie": Kind(lottie, use_source),
        "database": Kind(database, use_database),
        "record json": Kind(record, use_rrld),
        "options json": Kind(made, use_made),
        "index.csv": Kind(indexed, use_indexed),
        "answers json": Kind(answers, use_answers),
    }


def use_source(path: Path) -> None:
    """Read all that can be read, as training and evaluation do, where one damaged item does not matter."""
    from _databacks.sources import open_source
    from _util.errors import InputError

    source = open_source(path)
    refusals = []
    for i in range(len(source)):
        try:
            source[i]
        except InputError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def weight_kinds() -> dict[str, Kind]:
    """Files of weights and of training."""

    def network():
        import torch

        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))

    def safetensors(folder: Path) -> Path:
        from safetensors.torch import save_file

        save_file(network().state_dict(), folder / "w.safetensors", {"data": "toons"})
        return folder / "w.safetensors"

    def published(folder: Path) -> Path:
        import torch

        state = {f"module.{name}": tensor for name, tensor in network().state_dict().items()}
        torch.save({"model_state_dict": state, "epoch": 3}, folder / "w.pt")
        return folder / "w.pt"

    def use_weights(folder: Path) -> None:
        from _util import checkpoints

        checkpoints.load(network(), next(folder.glob("w.*")))

    def checkpoint(folder: Path) -> Path:
        import torch

        (folder / "checkpoints").mkdir()
        average = {f"ssl.{name}": tensor for name, tensor in network().state_dict().items()}
        options = {"data": ["toons"], "seed": 0}
        leg = {"command": "python -m x", "commit": "abc", "hardware": "1 × x", "processes": 1}
        facts = {"options": options, "legs": [leg]}
        state = {"step": 7, "seconds": 1.5, "networks": average, "average": average, "facts": facts}
        torch.save(state, folder / "checkpoints/last.ckpt")
        return folder / "checkpoints/last.ckpt"

    def use_checkpoint(folder: Path) -> None:
        from _train.frame_interpolation.training import journal

        journal.export(folder, folder / "out", overwrite=True)

    def metrics(folder: Path) -> Path:
        (folder / "metrics.csv").write_text("step,loss,lr\n" + "".join(f"{i},{i / 3:.7g},0.001\n" for i in range(20)))
        return folder / "metrics.csv"

    def use_metrics(folder: Path) -> None:
        from _train.frame_interpolation.training.journal import Journal

        Journal(folder, 10).events.close()

    return {
        "safetensors": Kind(safetensors, use_weights),
        "weights .pt": Kind(published, use_weights),
        "checkpoint": Kind(checkpoint, use_checkpoint),
        "metrics.csv": Kind(metrics, use_metrics),
    }


def kinds() -> dict[str, Kind]:
    return picture_kinds() | data_kinds() | weight_kinds()


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Bytes with one to three things wrong with them; checksums of PNG are mended half of the times."""
    for _ in range(random.integers(1, 4)):
        data = _MUTATIONS[random.integers(len(_MUTATIONS))](data, random)
    return _with_checksums(data) if data.startswith(b"\x89PNG") and random.random() < 0.5 else data


def _stretch(data: bytes, random: np.random.Generator) -> slice:
    """Some bytes, rarely a large share of them."""
    start = int(random.integers(len(data) + 1))
    return slice(start, min(len(data), start + int(len(data) ** random.uniform(0, 0.7))))


def _flip(data: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(random.integers(1, 2 + min(8, len(data) // 100)) if data else 0):
        changed[random.integers(len(data))] ^= 1 << random.integers(8)
    return bytes(changed)


def _cut(data: bytes, random: np.random.Generator) -> bytes:
    return data[: random.integers(len(data) + 1)]


def _remove(data: bytes, random: np.random.Generator) -> bytes:
    place = _stretch(data, random)
    return data[: place.start] + data[place.stop :]


def _splice(data: bytes, random: np.random.Generator) -> bytes:
    place = int(random.integers(len(data) + 1))
    return data[:place] + data[_stretch(data, random)] + data[place:]


def _noise(data: bytes, random: np.random.Generator) -> bytes:
    place = _stretch(data, random)
    return data[: place.start] + random.bytes(place.stop - place.start) + data[place.stop :]


def _number(data: bytes, random: np.random.Generator) -> bytes:
    """A number at one of the bounds of its type, in binary or in digits."""
    place = int(random.integers(len(data) + 1))
    number = int(random.choice([0, 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1]))
    forms = [struct.pack("<I", number), struct.pack(">I", number), str(number).encode(), b"-1", b"1e999", b"NaN"]
    form = forms[random.integers(len(forms))]
    return data[:place] + form + data[place + len(form) :]


_MUTATIONS = (_flip, _flip, _cut, _remove, _splice, _noise, _number, _number)


def _with_checksums(data: bytes) -> bytes:
    mended, at = io.BytesIO(), 8
    mended.write(data[:8])
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        mended.write(data[at : at + 8] + content + struct.pack(">I", zlib.crc32(name + content)))
        at += 12 + length
    return mended.getvalue()


def run(
    count: int,
    seed: int = 0,
    names: list[str] | None = None,
    only: int | None = None,
    make_kinds: Callable[[], dict[str, Kind]] = kinds,
    longest: float = LONGEST,
) -> Iterator[Outcome]:
    """Damage inputs and use them, of each kind as many.

    Args:
        only: the number of the one to do.
        longest: seconds that one may take.
    """
    names = names or list(make_kinds())
    with tempfile.TemporaryDirectory() as folder:
        worker = _Worker(Path(folder), seed, make_kinds, longest)
        for number in range(count) if only is None else [only]:
            yield worker.do(names[number % len(names)], number)
        worker.stop()


class _Worker:
    """A process that uses inputs, and is replaced when it hangs or dies."""

    def __init__(self, folder: Path, seed: int, make_kinds: Callable[[], dict[str, Kind]], longest: float):
        self._folder, self._longest = folder, longest
        self._arguments = folder, seed, make_kinds
        self._process, self._connection = None, None

    def do(self, kind: str, number: int) -> Outcome:
        if self._process is None:
            self._connection, theirs = multiprocessing.Pipe()
            self._process = multiprocessing.get_context("spawn").Process(
                target=_serve, args=(theirs, *self._arguments), daemon=True
            )
            self._process.start()
            theirs.close()
            self._connection.recv()  # it has imported what it needs
        self._connection.send((kind, number))
        try:
            if self._connection.poll(self._longest):
                return self._connection.recv()
            said = f"takes longer than {self._longest} s"
        except EOFError:
            said = "ends the process"
        self.stop()
        if (self._folder / "now").exists():
            _keep(self._folder / "now", kind, number)
        return Outcome(number, kind, said, True, self._longest, 0)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.join()
        self._process = None


def _serve(connection: Connection, folder: Path, seed: int, make_kinds: Callable[[], dict[str, Kind]]) -> None:
    import torch

    import _train.frame_interpolation.interpolator  # noqa: F401

    torch.set_num_threads(1)
    sys.stderr = io.StringIO()
    connection.send("ready")
    while True:
        kind, number = connection.recv()
        connection.send(_use(make_kinds()[kind], kind, number, seed, folder))


def _use(kind: Kind, name: str, number: int, seed: int, folder: Path) -> Outcome:
    from _util import memory
    from _util.errors import InputError

    whole, now = folder / f"whole {name}", folder / "now"
    if not whole.exists():
        whole.mkdir()
        damaged = kind.write(whole)
        (folder / f"{name}.path").write_text(str(damaged.relative_to(whole)))
        shutil.copytree(whole, folder / "undamaged")
        kind.use(folder / "undamaged")  # raises if what is whole cannot be used
        shutil.rmtree(folder / "undamaged")
    shutil.rmtree(now, ignore_errors=True)
    shutil.copytree(whole, now)
    path = now / (folder / f"{name}.path").read_text()
    path.write_bytes(mutated(path.read_bytes(), np.random.default_rng([seed, number])))
    before = sorted(now.rglob("*"))
    memory.reset_peak()
    start, fault = time.perf_counter(), True
    try:
        kind.use(now)
        said, fault = "used", False
    except InputError as error:
        said = f"refused: {' '.join(str(error).split())}"
        left = [str(path.relative_to(now)) for path in sorted(now.rglob("*")) if path not in before]
        fault = bool(left)
        said = f"leaves {', '.join(left)}; {said}" if left else said
    except BaseException:
        said = traceback.format_exc()
    seconds, used = time.perf_counter() - start, memory.peak()
    if used > MOST_MEMORY:
        said, fault = f"takes {used:.0f} MB; {said}", True
    if fault:
        _keep(now, name, number)
    return Outcome(number, name, said, fault, seconds, used)


def _keep(folder: Path, kind: str, number: int) -> None:
    place = KEPT / f"{number} {kind}"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder, place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the damages (default: 0)")
    parser.add_argument("--kinds", nargs="+", choices=list(kinds()), metavar="KIND", help=", ".join(kinds()))
    parser.add_argument("--only", type=int, metavar="NUMBER", help="do this one alone")
    arguments = parser.parse_args()
    outcomes = []
    for outcome in run(arguments.count, arguments.seed, arguments.kinds, arguments.only):
        outcomes.append(outcome)
        if outcome.is_fault or arguments.only is not None:
            print(f"{outcome.number} {outcome.kind}: {outcome.said}", flush=True)
    faults = sum(outcome.is_fault for outcome in outcomes)
    counts = Counter((outcome.kind, outcome.said.partition(":")[0]) for outcome in outcomes if not outcome.is_fault)
    for kind in dict.fromkeys(outcome.kind for outcome in outcomes):
        print(f"{kind:14} used {counts[kind, 'used']:5}  refused {counts[kind, 'refused']:5}")
    longest, most = max(o.seconds for o in outcomes), max(o.memory for o in outcomes)
    print(f"{len(outcomes)} inputs, {faults} faults; up to {longest:.1f} s and {most:.0f} MB")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
