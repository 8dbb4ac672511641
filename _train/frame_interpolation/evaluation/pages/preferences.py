"""Statistics of pairwise preferences: shares with exact intervals, Bradley-Terry strengths, and agreement.

Counts of preferences are (m, m) arrays; `wins[i, j]` is how often i was preferred to j.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize, sparse, stats

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def share(successes: int, trials: int) -> Interval:
    """A share with its exact binomial interval (Clopper and Pearson, 1934); for no trials, NaN with interval [0, 1]."""
    if trials == 0:
        return Interval(np.nan, 0.0, 1.0)
    ends = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="exact")
    return Interval(successes / trials, float(ends.low), float(ends.high))


def bradley_terry(wins: np.ndarray) -> tuple[list[Interval], bool]:
    """Maximum likelihood strengths s with P(i is preferred to j) = 1 / (1 + exp(s_j - s_i)) and mean 0.

    Intervals are s ± 1.96 standard errors from the Fisher information, which assumes independent answers. If the
    maximum is not finite (Ford, 1957), as when a method always wins, half a win each way is added between every two
    methods.

    Args:
        wins: (m, m) counts; the diagonal does not matter.

    Returns:
        The strengths, and whether wins were added.
    """
    count = len(wins)
    wins = np.where(np.eye(count, dtype=bool), 0.0, wins)
    has_prior = sparse.csgraph.connected_components(wins > 0, connection="strong")[0] > 1
    if has_prior:
        wins = wins + 0.5 * (1 - np.eye(count))
    games = wins + wins.T

    def chances(free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = np.append(0.0, free)
        difference = s[:, None] - s[None]
        return difference, np.exp(-np.logaddexp(0, -difference))

    def cost(free: np.ndarray) -> tuple[float, np.ndarray]:
        difference, p = chances(free)
        return float((wins * np.logaddexp(0, -difference)).sum()), (games * p - wins).sum(1)[1:]

    def information(free: np.ndarray) -> np.ndarray:
        p = chances(free)[1]
        weights = games * p * (1 - p)
        return np.diag(weights.sum(1)) - weights

    found = optimize.minimize(
        cost,
        np.zeros(count - 1),
        jac=True,
        hess=lambda free: information(free)[1:, 1:],
        method="trust-exact",
        options={"gtol": 1e-10},
    )
    strengths = np.append(0.0, found.x)
    strengths -= strengths.mean()
    reach = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(np.diag(np.linalg.pinv(information(found.x))))
    intervals = [Interval(float(s), float(s - r), float(s + r)) for s, r in zip(strengths, reach, strict=True)]
    return intervals, has_prior


def agreement(counts: np.ndarray) -> float:
    """The mean probability that two people who judged the same subject agree; NaN if no subject has two judgements.

    Args:
        counts: (subjects, categories), how many people assigned a subject to a category.
    """
    people = counts.sum(1)
    alike = (counts * (counts - 1)).sum(1)[people > 1] / (people * (people - 1))[people > 1]
    return float(alike.mean()) if len(alike) else np.nan


def fleiss_kappa(*groups: np.ndarray) -> float:
    """Agreement above chance (Fleiss, 1971), over subjects judged by at least two people.

    Subjects may have different numbers of judgements. NaN if there are no such subjects or chance agreement is 1.
    Agreement by chance is that within each group of subjects that have categories of their own, such as pairs of
    methods.

    Args:
        groups: of each group, counts as of `agreement`.
    """
    judged = [of for counts in groups if len(of := counts[counts.sum(1) > 1])]
    if not judged:
        return np.nan
    subjects = [len(of) for of in judged]
    by_chance = np.average([((of.sum(0) / of.sum()) ** 2).sum() for of in judged], weights=subjects)
    agreed = np.average([agreement(of) for of in judged], weights=subjects)
    return float((agreed - by_chance) / (1 - by_chance)) if by_chance < 1 else np.nan
