"""Tables of scores: of one method in the published form, of several side by side, and paired differences of two.

Means alone are misleading: all methods do badly on hard items, and that spread hides the differences between methods.
So methods are compared by the difference per item, the confidence interval of its mean, and the share of wins.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import stats

from _databacks.atd12k import LEVELS
from _train.frame_interpolation.evaluation.scores import Row

CONFIDENCE = 0.95
RESAMPLES = 10_000
_FEW = 5  # items, whose smallest and largest value hold the median in less than 95 % of cases: 1 - 2 ** (1 - n)
_AT_ONCE = 2**22  # resampled values
_PERCENT = ("ssim", "roi_ssim")
_TWO_DECIMALS = (*_PERCENT, "psnr", "roi_psnr", "ie", "roi_ie", "time", "unevenness", "flicker")


class PairedDifference(NamedTuple):
    """How the scores of one method differ from those of another on the same items."""

    mean: float
    low: float  # ends of the 95 % interval of the mean
    high: float
    wins: float  # share of items on which the first method is better; ties count half


def difference(first: Sequence[float], second: Sequence[float], higher_is_better: bool) -> PairedDifference:
    """The paired difference first - second, with a bootstrap interval over items, the same in every call.

    Percentiles are expanded for the number of items, as intervals of few items are too narrow otherwise (Hesterberg,
    "What Teachers Should Know About the Bootstrap", The American Statistician 2015). No resample lies beyond the
    values themselves, so the interval of up to five items is Student's; that of one item is infinite.
    """
    paired = np.asarray(first, float) - np.asarray(second, float)
    better = paired if higher_is_better else -paired
    wins = float(((better > 0) + 0.5 * (better == 0)).mean())
    return PairedDifference(float(paired.mean()), *_interval(paired), wins)


def _interval(values: np.ndarray) -> tuple[float, float]:
    n = len(values)
    if n == 1:
        return -np.inf, np.inf
    if n <= _FEW:
        reach = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * stats.sem(values)
        return float(values.mean() - reach), float(values.mean() + reach)
    random = np.random.default_rng(0)
    rows = max(1, _AT_ONCE // n)
    parts = [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]
    means = np.concatenate([values[random.integers(n, size=(part, n))].mean(1) for part in parts])
    tail = stats.norm.cdf(stats.t.ppf((1 - CONFIDENCE) / 2, n - 1) * np.sqrt(n / (n - 1)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def groups(rows: Sequence[Row]) -> dict[str, set[str]]:
    """The names of the items of each subset: all, then by each metadata value, such as east, west, easy or hard.

    A label that is taken, as by a folder named `all`, is preceded by the name of its metadata: `subset:all`.
    """
    metadata = {row.name: row.metadata for row in rows}
    found = {"all": set(metadata)}
    for fact in dict.fromkeys(fact for row in rows for fact in row.metadata):
        values = {known.get(fact, "") for known in metadata.values()} - {""}
        for value in sorted(values, key=lambda value: (LEVELS.index(value) if value in LEVELS else -1, value)):
            label = value if fact in ("subset", "level") else f"{fact}:{value}"
            label = "_".join(label.split())
            while label in found:
                label = f"{fact}:{label}"
            found[label] = {name for name, known in metadata.items() if known.get(fact) == value}
    return found


def by_method(rows: Sequence[Row], metric: str, names: set[str]) -> dict[str, list[float]]:
    """The scores of the named items by method, in the same order for all methods."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        if row.name in names:
            columns.setdefault(row.method, []).append(row.scores[metric])
    return columns


TEXT_COLUMNS = ("item", "subset", "metric", "difference")


def summary(rows: Sequence[Row], metrics: Sequence[str]) -> list[dict[str, str]]:
    """Formatted means: one row per subset and metric, one column per method.

    The column of a single method is named `score`, as in the published table.
    """
    methods = list(dict.fromkeys(row.method for row in rows))
    table = []
    for subset, names in groups(rows).items():
        for metric in metrics:
            columns = by_method(rows, metric, names)
            scores = {
                method if len(methods) > 1 else "score": shown(metric, float(np.mean(columns[method])))
                for method in methods
            }
            table.append({"subset": subset, "metric": metric, **scores})
    return table


def items(rows: Sequence[Row], metrics: Sequence[str]) -> list[dict[str, str]]:
    """The formatted scores of every item."""
    return [{"item": row.name, **{metric: shown(metric, row.scores[metric]) for metric in metrics}} for row in rows]


def differences(rows: Sequence[Row], higher_is_better: Mapping[str, bool]) -> list[dict[str, str]]:
    """The formatted paired differences of every two methods, by subset and metric."""
    table = []
    for subset, names in groups(rows).items():
        for metric, higher in higher_is_better.items():
            columns = by_method(rows, metric, names)
            for first, second in combinations(columns, 2):
                found = difference(columns[first], columns[second], higher)
                low, high = (shown(metric, bound, signed=True) for bound in (found.low, found.high))
                table.append(
                    {
                        "subset": subset,
                        "metric": metric,
                        "difference": f"{first} − {second}",
                        "mean": shown(metric, found.mean, signed=True),
                        "95 % interval": f"[{low}, {high}]",
                        f"{first} better" if len(columns) == 2 else "first better": f"{100 * found.wins:.1f} %",
                        "items": str(len(names)),
                    }
                )
    return table


def shown(metric: str, value: float, signed: bool = False) -> str:
    """Format a score for tables: SSIM in percent, PSNR as 29.29, metrics of unknown range, as LPIPS, as 3.4943e-2."""
    sign = "+" if signed else ""
    metric = metric.removeprefix("aligned_").removeprefix("registered_")
    if metric in _TWO_DECIMALS:
        return f"{100 * value if metric in _PERCENT else value:{sign}.2f}"
    mantissa, _, exponent = f"{value:{sign}.4e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa
