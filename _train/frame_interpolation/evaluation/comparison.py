"""Tables of scores: of one method in the published form, of several side by side, and paired differences of two.

Means alone are misleading: all methods do badly on hard items, and that spread hides the differences between methods.
So methods are compared by the difference per item, the confidence interval of its mean, and the share of wins.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import stats

from _databacks import atd12k
from _train.frame_interpolation.evaluation.scores import Row
from _util.counts import counted

CONFIDENCE = 0.95
RESAMPLES = 10_000
_FEW = 5  # values, of which the smallest and largest hold the median in less than 95 % of cases: 1 - 2 ** (1 - n)
_AT_ONCE = 2**22  # resampled values
_CATEGORIES = {*atd12k.SUBSETS.values(), "easier", "harder"}  # subsets that divide a data set: no sample of many others
_PERCENT = ("ssim", "roi_ssim")
_TWO_DECIMALS = (*_PERCENT, "psnr", "roi_psnr", "ie", "roi_ie", "time", "unevenness", "flicker")


class PairedDifference(NamedTuple):
    """How the scores of one method differ from those of another on the same items."""

    mean: float
    low: float  # ends of the 95 % interval of the mean
    high: float
    wins: float  # share of items on which the first method is better; ties count half


def difference(
    first: Sequence[float], second: Sequence[float], higher_is_better: bool, clusters: Sequence[str] | None = None
) -> PairedDifference:
    """The paired difference first - second, with a bootstrap interval of its mean over items, the same in every call.

    Items of one production have much in common, so that an interval that takes them for independent is too narrow.
    Whole clusters are therefore resampled, without resampling within them (Davison and Hinkley, "Bootstrap Methods and
    their Application", 1997, section 3.8), and Student's interval is of the variance between clusters (Liang and Zeger,
    Biometrika 1986).

    Percentiles are expanded for the number of clusters, as intervals of few are too narrow otherwise (Hesterberg, "What
    Teachers Should Know About the Bootstrap", The American Statistician 2015). No resample lies beyond the values
    themselves, so the interval of up to five clusters is Student's; that of one cluster is infinite.

    Args:
        clusters: the name of each item's cluster; by default, every item is one of its own.
    """
    paired = np.asarray(first, float) - np.asarray(second, float)
    better = paired if higher_is_better else -paired
    wins = float(((better > 0) + 0.5 * (better == 0)).mean())
    cluster = np.arange(len(paired)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    return PairedDifference(float(paired.mean()), *_interval(np.bincount(cluster, paired), np.bincount(cluster)), wins)


def _interval(sums: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """The interval of the mean over items, of which clusters (n,) have `counts` and these `sums`."""
    n = len(sums)
    if n == 1:
        return -np.inf, np.inf
    if n <= _FEW:
        mean = sums.sum() / counts.sum()
        reach = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * stats.sem((sums - mean * counts) / counts.mean())
        return float(mean - reach), float(mean + reach)
    random = np.random.default_rng(0)
    rows = max(1, _AT_ONCE // n)
    drawn = (random.integers(n, size=(min(rows, RESAMPLES - start), n)) for start in range(0, RESAMPLES, rows))
    means = np.concatenate([sums[part].sum(1) / counts[part].sum(1) for part in drawn])
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
        for value in sorted(
            values, key=lambda value: (atd12k.LEVELS.index(value) if value in atd12k.LEVELS else -1, value)
        ):
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


def clusters(rows: Sequence[Row], names: set[str]) -> list[str] | None:
    """The cluster of each of the named items, in the order of `by_method`: its subset, if there are several, such as
    cuts or productions; one without a subset is a cluster of its own. None if there are not several, or if they are
    categories, such as east and west.
    """
    subsets = {row.name: row.metadata.get("subset", "") for row in rows if row.name in names}
    if len(found := set(subsets.values()) - {""}) < 2 or found <= _CATEGORIES:
        return None
    return [f"subset {subset}" if subset else f"item {name}" for name, subset in subsets.items()]


TEXT_COLUMNS = ("item", "subset", "metric", "difference", "interval over")


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
    """The formatted paired differences of every two methods, by subset and metric, with what intervals are over."""
    table = []
    for subset, names in groups(rows).items():
        clustered = clusters(rows, names)
        over = counted(len(names), "item") if clustered is None else counted(len(set(clustered)), "subset")
        for metric, higher in higher_is_better.items():
            columns = by_method(rows, metric, names)
            for first, second in combinations(columns, 2):
                found = difference(columns[first], columns[second], higher, clustered)
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
                        "interval over": over,
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
