"""Computes the results of a study from its answers: for every two methods, and for each method against all others."""

import itertools
from collections import Counter
from typing import NamedTuple

import numpy as np

from _train.frame_interpolation.evaluation.pages.answers import Preference, Sheet
from _train.frame_interpolation.evaluation.pages.preferences import (
    Interval,
    agreement,
    bradley_terry,
    fleiss_kappa,
    share,
)
from _util.errors import InputError


class PairResult(NamedTuple):
    """How one method compares with another."""

    first: str
    second: str
    answers: int
    share: Interval  # of answers that preferred the first
    agreement: float  # see `preferences.agreement`, over items
    kappa: float


class MethodResult(NamedTuple):
    """How one method compares with all others together."""

    name: str
    answers: int
    share: Interval  # of answers that preferred this method
    strength: Interval  # Bradley-Terry, in log-odds, mean 0


class Results(NamedTuple):
    """The results of a study."""

    participants: int
    inattentive: int  # participants excluded by their checks
    answers: int
    pairs: list[PairResult]
    methods: list[MethodResult]
    agreement: float  # over items and pairs of methods
    kappa: float  # see `preferences.fleiss_kappa`
    has_prior: bool  # see `preferences.bradley_terry`


def results(sheets: list[Sheet], min_attention: float) -> Results:
    """Compute the results of participants who passed at least the share `min_attention` of their checks.

    Args:
        sheets: of one study, one per participant.

    Raises:
        InputError: there are no such participants, or they gave no answers.
    """
    attentive = [sheet for sheet in sheets if sheet.attention >= min_attention]
    preferences = [preference for sheet in attentive for preference in sheet.preferences]
    if not preferences:
        raise InputError(
            f"{len(attentive)} of {len(sheets)} participants passed {min_attention:.0%} of their checks of attention "
            "and they compared nothing; gather more answers."
        )
    methods = sheets[0].methods
    wins = np.zeros((len(methods), len(methods)), int)
    for preference in preferences:
        wins[preference.winner, preference.loser] += 1
    strengths, has_prior = bradley_terry(wins)
    counts = {pair: _counts(preferences, *pair) for pair in itertools.combinations(range(len(methods)), 2)}
    pairs = [
        PairResult(
            methods[a],
            methods[b],
            int(wins[a, b] + wins[b, a]),
            share(int(wins[a, b]), int(wins[a, b] + wins[b, a])),
            agreement(by_item),
            fleiss_kappa(by_item),
        )
        for (a, b), by_item in counts.items()
    ]
    answers, won = (wins + wins.T).sum(1), wins.sum(1)
    of_methods = [
        MethodResult(name, int(answers[m]), share(int(won[m]), int(answers[m])), strengths[m])
        for m, name in enumerate(methods)
    ]
    return Results(
        len(attentive),
        len(sheets) - len(attentive),
        len(preferences),
        pairs,
        of_methods,
        agreement(np.concatenate(list(counts.values()))),
        fleiss_kappa(*counts.values()),
        has_prior,
    )


def _counts(preferences: list[Preference], a: int, b: int) -> np.ndarray:
    """(items, 2): how many people preferred `a`, and how many `b`."""
    chosen = Counter((p.item, p.winner) for p in preferences if {p.winner, p.loser} == {a, b})
    items = sorted({item for item, _ in chosen})
    return np.array([[chosen[item, a], chosen[item, b]] for item in items], int).reshape(-1, 2)
