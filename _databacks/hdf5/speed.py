"""Speed of random reads of triplets by several workers, as in training."""

import sys
import time
import warnings

import numpy as np
from torch.utils.data import DataLoader

from _databacks.triplet import Source
from _util.counts import counted
from _util.errors import InputError
from _util.loading import ErrorsAsItems


def compare(sources: dict[str, Source], workers: int = 4, count: int = 100, rounds: int = 2) -> dict[str, float]:
    """Triplets per second of each source, by name: the best of several rounds, in which the sources take turns.

    Args:
        count: triplets read per round, after one per worker as warm-up.

    Raises:
        InputError: none of them can be read.
    """
    rates = dict.fromkeys(sources, 0.0)
    for seed in range(rounds):
        for name, source in sources.items():
            rates[name] = max(rates[name], random_reads(source, workers, count, seed))
    return rates


def random_reads(source: Source, workers: int, count: int, seed: int) -> float:
    """Triplets per second from a loader's workers, in random order with repeats; the number of those that cannot be
    read is printed to stderr."""
    order = np.random.default_rng(seed).integers(len(source), size=workers + count).tolist()
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # more workers than cores
        loaded = iter(DataLoader(ErrorsAsItems(source), batch_size=None, sampler=order, num_workers=workers))
    for _ in range(workers):
        next(loaded)
    start = time.perf_counter()
    errors = [item for item in loaded if isinstance(item, InputError)]
    seconds = time.perf_counter() - start
    if len(errors) == count:
        raise errors[0]
    if errors:
        print(f"{counted(len(errors), 'triplet')} of {count} cannot be read; the first: {errors[0]}", file=sys.stderr)
    return (count - len(errors)) / seconds
