"""Triplets on their way from a source to a trainer: cropped, augmented, batched, with flows that are computed once.

Whatever is drawn here is a function of the seed and a number that counts up, never of what came before. So a run that
was killed resumes with the batches it would have had, and processes share the work by taking every n-th batch:

    batches = TripletBatches([(folders, 2), (toons, 1)], batch_size=8, size=(256, 256), seed=0)
    for batch in DataLoader(batches, batch_size=None, sampler=range(first + rank, last, processes)): ...
"""

import contextlib
import functools
import hashlib
import os
import re
import signal
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from _databacks.triplet import Source, Triplet
from _util import files, flow, torchrun
from _util.errors import InputError
from _util.flow import Flows


class Batch(NamedTuple):
    """What one step of a trainer, or a part of it, sees."""

    frames: Tensor  # (b, 3, 3, h, w) RGB in [0, 1]: frame 0, truth, frame 1
    times: Tensor  # (b,) of the truth, in (0, 1)
    flows: tuple[Tensor, Tensor] | None  # flow01, flow10, (b, 2, h, w), x then y, pixels
    occlusions: tuple[Tensor, Tensor] | None  # (b, 1, h, w) 1 where the other frame does not show this pixel
    names: list[str]
    exact: bool  # flows are the truth, not an estimate
    motion: Tensor | None = None  # (b, 4, h, w) true, from the truth, x y to frame 0, x y to frame 1, pixels
    seen: Tensor | None = None  # (b, 2, h, w) 1 where frame 0, where frame 1 shows what a pixel of the truth shows
    progress: Tensor | None = None  # (b, 1, h, w) how far what a pixel of the truth shows has come from frame 0 to 1


def collate(triplets: Sequence[Triplet]) -> Batch:
    """Triplets of one size as a batch; without flows if one of them has none."""
    flows = [triplet.flows for triplet in triplets if triplet.flows is not None]
    return Batch(
        frames=torch.stack([triplet.frames for triplet in triplets]),
        times=torch.tensor([triplet.time for triplet in triplets]),
        flows=Flows(*map(torch.stack, zip(*flows, strict=True))) if len(flows) == len(triplets) else None,
        occlusions=None,
        names=[triplet.name for triplet in triplets],
        exact=False,
    )


def augment(triplet: Triplet, size: tuple[int, int], random: torch.Generator) -> Triplet:
    """A random crop of (h, w) = `size`, mirrored half of the time and played backwards half of the time.

    The published augmentations (Chen and Zwicker, ECCV 2022). Frames smaller than the crop are enlarged first.
    """
    triplet = enlarge(triplet, size)
    top, left = (
        int(torch.randint(whole - part + 1, (), generator=random))
        for whole, part in zip(triplet.frames.shape[2:], size, strict=True)
    )
    mirrored, reversed_ = torch.rand(2, generator=random) < 0.5
    triplet = crop(triplet, top, left, size)
    triplet = mirror(triplet) if mirrored else triplet
    return reverse(triplet) if reversed_ else triplet


def enlarge(triplet: Triplet, size: tuple[int, int]) -> Triplet:
    """Resized, by the same factor both ways, so that it is at least (h, w) = `size`; as it is if it is that large."""
    h, w = triplet.frames.shape[2:]
    factor = max(size[0] / h, size[1] / w)
    if factor <= 1:
        return triplet
    larger = max(size[0], round(h * factor)), max(size[1], round(w * factor))
    frames = F.interpolate(triplet.frames, larger, mode="bilinear", align_corners=False)
    return _with(triplet, frames, lambda field: flow.resize(field[None], larger)[0])


def crop(triplet: Triplet, top: int, left: int, size: tuple[int, int]) -> Triplet:
    """The part of (h, w) = `size` that begins at a row and a column."""

    def cut(field: Tensor) -> Tensor:
        return field[..., top : top + size[0], left : left + size[1]].contiguous()

    return _with(triplet, cut(triplet.frames), cut)


def mirror(triplet: Triplet) -> Triplet:
    """Left becomes right, in flows too."""
    sign = torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    return _with(triplet, triplet.frames.flip(-1), lambda field: field.flip(-1) * sign)


def reverse(triplet: Triplet) -> Triplet:
    """Played backwards: the last frame first, flow10 as flow01, time counted from the other end."""
    flows = None if triplet.flows is None else triplet.flows[::-1]
    return triplet._replace(frames=triplet.frames.flip(0), flows=flows, time=1 - triplet.time)


def _with(triplet: Triplet, frames: Tensor, change: Callable[[Tensor], Tensor]) -> Triplet:
    flows = None if triplet.flows is None else tuple(map(change, triplet.flows))
    return triplet._replace(frames=frames, flows=flows)


class Notices:
    """Says a thing on stderr once, whichever of a loader's workers says it first."""

    def __init__(self):
        self._said = torch.zeros(1 << 16, dtype=torch.bool).share_memory_()  # by checksum

    def say(self, message: str) -> None:
        place = zlib.crc32(message.encode(errors="surrogateescape")) % len(self._said)
        if not self._said[place]:
            self._said[place] = True
            print(" ".join(message.split()), file=sys.stderr, flush=True)


class Triplets(Dataset):
    """Augmented triplets of a source. Item (index, seed) is that triplet, augmented as that seed has it.

    Where a triplet cannot be read, the next one that can takes its place, and the reason is written to stderr, once.

    Args:
        size: (h, w) of the crops.

    Raises:
        InputError: no triplet of the source can be read.
    """

    def __init__(self, source: Source, size: tuple[int, int]):
        self.source, self.size, self._notices = source, size, Notices()
        self._read(0)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int]) -> Triplet:
        index, seed = key
        return augment(self._read(index), self.size, torch.Generator().manual_seed(seed))

    def _read(self, index: int) -> Triplet:
        reasons = []
        for i in range(len(self.source)):
            try:
                return self.source[(index + i) % len(self.source)]
            except InputError as error:
                reasons.append(str(error))
                self._notices.say(f"Skipped: {error}")
        raise InputError(f"None of {len(self.source)} triplets can be read; the first: {' '.join(reasons[:1])}")


class ToonOrder(NamedTuple):
    """A batch that the main process draws, on the device that trains: `sources[source].batch(index)`."""

    source: int  # place among the sources of `TripletBatches`
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]


class TripletBatches(Dataset):
    """Endless batches. Item i is the whole batch i: a `Batch`, or a `ToonOrder` where it is drawn from toons.

    A batch comes from one source, drawn by the sources' weights. The triplets of a source are gone through in an order
    that is shuffled anew for each pass.

    Args:
        sources: sources of triplets, or `Toons` (anything with `batch(index)`), and how often each is drawn; the sum of
            the weights does not matter.
        size: (h, w) of the crops.

    Raises:
        InputError: as `Triplets`.
    """

    def __init__(self, sources: Sequence[tuple], batch_size: int, size: tuple[int, int], seed: int = 0):
        self.batch_size, self.seed = batch_size, seed
        self._triplets = [None if hasattr(source, "batch") else Triplets(source, size) for source, _ in sources]
        weights = np.array([weight for _, weight in sources], float)
        self._shares = weights / weights.sum()

    def __getitem__(self, i: int) -> Batch | ToonOrder:
        source = int(np.random.default_rng((self.seed, i)).choice(len(self._shares), p=self._shares))
        triplets = self._triplets[source]
        if triplets is None:
            return ToonOrder(source, i)
        places = range(i * self.batch_size, (i + 1) * self.batch_size)
        return collate([triplets[self._index(source, place), self._seed(place)] for place in places])

    def _index(self, source: int, place: int) -> int:
        triplets = self._triplets[source]
        assert triplets is not None
        count = len(triplets)
        return int(_order(count, self.seed, place // count)[place % count])

    def _seed(self, place: int) -> int:
        return int(np.random.SeedSequence((self.seed, place)).generate_state(1, np.uint64)[0])


@functools.lru_cache(8)
def _order(count: int, seed: int, round_: int) -> np.ndarray:
    return np.random.default_rng((seed, count, round_)).permutation(count)


def from_toons(scenes) -> Batch:
    """What `Toons.batch` draws, as a batch with exact flow."""
    return Batch(**scenes._asdict(), names=["toons"] * len(scenes.times), exact=True)


class CachedFlows(Source):
    """A source with the flows of a frozen estimator, computed when a triplet is first read and then kept in a file.

        folder/shot_12-9c56cc51b374.safetensors     flows (2, 2, h, w) float16: flow01, flow10

    A file that is damaged, or that belongs to other frames, is computed anew. One folder serves one estimator.

    Args:
        estimator: as in `flows`: (1, 3, h, w) RGB in [0, 1] twice to flow01 and flow10, (1, 2, h, w). A
            loader's workers need one that they can copy, such as `_util.dis.dis`.
        device: where the estimator takes its frames.
    """

    def __init__(
        self,
        source: Source,
        estimator: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        folder: Path,
        device: torch.device | str = "cpu",
    ):
        self.source, self.estimator, self.folder, self.device = source, estimator, Path(folder), device
        self.names, self.path, self._notices = source.names, source.path, Notices()
        files.make_folder(self.folder)

    def __getitem__(self, index: int) -> Triplet:
        triplet = self.source[index]
        path = self.folder / f"{_file_name(triplet.name)}.safetensors"
        checksum = f"{zlib.crc32(triplet.frames.numpy().tobytes()):08x}"
        flows = _load(path, checksum)
        if flows is None:
            flows = self._estimate(triplet.frames).half()
            try:
                with files.replacing(path) as temporary:
                    temporary.write_bytes(save({"flows": flows}, {"frames": checksum}))
            except InputError as error:
                self._notices.say(f"Flows are not kept: {error}")
        return triplet._replace(flows=tuple(flows.float()))

    def compute_all(self) -> None:
        """Compute the flow of every triplet; processes begin apart, and find each other's files."""
        first = len(self) * torchrun.rank() // torchrun.count()
        for i in (*range(first, len(self)), *range(first)):
            with contextlib.suppress(InputError):
                self[i]

    @torch.no_grad()
    def _estimate(self, frames: Tensor) -> Tensor:
        frame0, _, frame1 = frames[:, None].to(self.device)
        return torch.cat(self.estimator(frame0, frame1)).cpu()


def _load(path: Path, checksum: str) -> Tensor | None:
    try:
        with safe_open(path, "pt") as file:
            return file.get_tensor("flows") if (file.metadata() or {}).get("frames") == checksum else None
    except (OSError, SafetensorError):
        return None


def _file_name(name: str) -> str:
    """Names as files: what is readable of it, and a digest."""
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', name)[:60]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"


def load(batches: TripletBatches, numbers: range, workers: int, pinned: bool) -> DataLoader:
    """The batches of some numbers, in order, made by worker processes if there are any.

    Args:
        pinned: in memory that a GPU copies from while it computes.
    """
    return DataLoader(
        batches,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        worker_init_fn=_leave_interrupts_to_the_main_process,
        pin_memory=pinned,
    )


def _leave_interrupts_to_the_main_process(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
