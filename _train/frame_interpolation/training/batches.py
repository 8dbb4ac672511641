"""Batches of augmented triplets for training.

Batch i depends on the seed and i alone. A run that was killed resumes with the same batches, and n processes share the
work by taking every n-th batch:

    batches = TripletBatches([(folders, 2), (toons, 1)], batch_size=8, size=(256, 256), seed=0)
    for batch in DataLoader(batches, batch_size=None, sampler=range(first + rank, last, processes)): ...
"""

import functools
import signal
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from _databacks.triplet import Source, Triplet
from _train.frame_interpolation.training.augmentation import augment
from _train.frame_interpolation.training.notices import Notices
from _util.counts import counted
from _util.errors import InputError
from _util.flow import Flows
from _util.loading import ErrorsAsItems


class Batch(NamedTuple):
    """The input of one training step, or of a part of it."""

    frames: Tensor  # (b, 3, 3, h, w) RGB in [0, 1]: frame 0, truth, frame 1
    times: Tensor  # (b,) of the truth, in (0, 1)
    flows: tuple[Tensor, Tensor] | None  # flow01, flow10, (b, 2, h, w), x then y, pixels
    occlusions: tuple[Tensor, Tensor] | None  # (b, 1, h, w) 1 where a pixel is occluded in the other frame
    names: list[str]
    exact: bool  # flows are ground truth, not estimates
    motion: Tensor | None = None  # (b, 4, h, w) exact, from the middle frame, x y to frame 0, x y to frame 1, pixels
    seen: Tensor | None = None  # (b, 2, h, w) 1 where a pixel of the truth is visible in frame 0, in frame 1
    progress: Tensor | None = None  # (b, 1, h, w) fraction of the way from frame 0 to 1, per pixel of the truth


def collate(triplets: Sequence[Triplet]) -> Batch:
    """Collate triplets of one size into a batch; without flows if any of them has none."""
    flows = [triplet.flows for triplet in triplets if triplet.flows is not None]
    return Batch(
        frames=torch.stack([triplet.frames for triplet in triplets]),
        times=torch.tensor([triplet.time for triplet in triplets]),
        flows=Flows(*map(torch.stack, zip(*flows, strict=True))) if len(flows) == len(triplets) else None,
        occlusions=None,
        names=[triplet.name for triplet in triplets],
        exact=False,
    )


class Triplets(Dataset):
    """Augmented triplets of a source. Item (index, seed) is the triplet of that index, augmented by that seed.

    A triplet that cannot be read is replaced by the next readable one, and the reason is printed to stderr once.

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
        raise InputError(
            f"None of {counted(len(self.source), 'triplet')} can be read; the first: {' '.join(reasons[:1])}"
        )


class ToonRequest(NamedTuple):
    """A batch that the main process draws, on the device that trains: `sources[source].batch(index)`."""

    source: int  # place among the sources of `TripletBatches`
    index: int  # pyright: ignore[reportIncompatibleMethodOverride]


class TripletBatches(Dataset):
    """Endless batches. Item i is the whole batch i: a `Batch`, or a `ToonRequest` if its source is toons.

    Each batch comes from one source, drawn according to the weights. A single source is reshuffled for each pass over
    it. Of several, the passes are those that each would make alone, of which it fills its share of the batches.

    Args:
        sources: sources of triplets, or `Toons` (anything with `batch(index)`), and their weights, which need not sum
            to 1.
        size: (h, w) of the crops.

    Raises:
        InputError: as of `Triplets`.
    """

    def __init__(self, sources: Sequence[tuple], batch_size: int, size: tuple[int, int], seed: int = 0):
        self.batch_size, self.seed = batch_size, seed
        self._triplets = [None if hasattr(source, "batch") else Triplets(source, size) for source, _ in sources]
        weights = np.array([weight for _, weight in sources], float)
        self._shares = weights / weights.sum()

    def __getitem__(self, i: int) -> Batch | ToonRequest:
        source = int(np.random.default_rng((self.seed, i)).choice(len(self._shares), p=self._shares))
        triplets = self._triplets[source]
        if triplets is None:
            return ToonRequest(source, i)
        places = range(i * self.batch_size, (i + 1) * self.batch_size)
        return collate([triplets[self._index(len(triplets), place), self._seed(place)] for place in places])

    def _index(self, count: int, place: int) -> int:
        return int(_order(count, self.seed, place // count)[place % count])

    def _seed(self, place: int) -> int:
        return int(np.random.SeedSequence((self.seed, place)).generate_state(1, np.uint64)[0])


@functools.lru_cache(8)
def _order(count: int, seed: int, round_: int) -> np.ndarray:
    return np.random.default_rng((seed, count, round_)).permutation(count)


def from_toons(scenes) -> Batch:
    """Convert the result of `Toons.batch` to a batch with exact flow."""
    return Batch(**scenes._asdict(), names=["toons"] * len(scenes.times), exact=True)


def load(batches: TripletBatches, numbers: range, workers: int, pinned: bool) -> Iterator[Batch | ToonRequest]:
    """Load the batches of the given numbers, in order.

    Args:
        workers: number of loading processes; 0 loads in this process.
        pinned: whether batches are put into pinned memory, for asynchronous copies to a GPU.

    Raises:
        InputError: no triplet of a source can be read any more.
    """
    loader = DataLoader(
        ErrorsAsItems(batches),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        worker_init_fn=_leave_interrupts_to_the_main_process,
        pin_memory=pinned,
    )
    for batch in loader:
        if isinstance(batch, InputError):
            raise batch
        yield batch


def _leave_interrupts_to_the_main_process(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which that process ends this one
