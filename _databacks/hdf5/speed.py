"""How quickly triplets can be read at random by several workers, as training reads them."""

import time
import warnings
from typing import cast

import numpy as np
from torch.utils.data import DataLoader, Dataset

from _databacks.triplet import Source


def compare(sources: dict[str, Source], workers: int = 4, count: int = 100, rounds: int = 2) -> dict[str, float]:
    """Triplets a second of each source, by name; its best round counts, the rounds of all taking turns.

    Args:
        count: triplets that are read in a round, after one for each worker to warm up.
    """
    rates = dict.fromkeys(sources, 0.0)
    for seed in range(rounds):
        for name, source in sources.items():
            rates[name] = max(rates[name], random_reads(source, workers, count, seed))
    return rates


def random_reads(source: Source, workers: int, count: int, seed: int) -> float:
    """Triplets a second that arrive from a loader's workers, in a random order with repeats."""
    order = np.random.default_rng(seed).integers(len(source), size=workers + count).tolist()
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # more workers than cores
        loaded = iter(DataLoader(cast(Dataset, source), batch_size=None, sampler=order, num_workers=workers))
    for _ in range(workers):
        next(loaded)
    start = time.perf_counter()
    for _ in loaded:
        pass
    return count / (time.perf_counter() - start)
