"""Training stages: what is trained from which step on, with which loss weights and learning rate.

`--stages frozen vgg@20000 style@5e`: names of `STAGES`, each with the step at which it begins, or the epoch, as in 5e.
The first begins immediately.

    frozen    all but the flow network, by L1
    l1        the whole network, by L1
    vgg       the whole network, by L1 and L_vgg
    style     the whole network, by L1, L_vgg and L_gram
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from _util.errors import InputError
from _util.losses import StyleWeights


class Stage(NamedTuple):
    trains_flow: bool
    weights: StyleWeights
    rate: float  # factor of the learning rate


STAGES = {
    "frozen": Stage(False, StyleWeights(1, 0, 0), 1 / 3),
    "l1": Stage(True, StyleWeights(1, 0, 0), 1 / 3),
    "vgg": Stage(True, StyleWeights(1, 1, 0), 1),
    "style": Stage(True, StyleWeights(1, 0.25, 40), 1),
}
_WORD = re.compile(r"(?P<name>[a-z0-9]+)(?:@(?P<start>\d+)(?P<epoch>e?))?")


class StagePlan:
    """The stage of every step.

    Args:
        words: the values of `--stages`.
        steps_in_epoch: None if the training data is endless.

    Raises:
        InputError: invalid words, or epochs of endless data.
    """

    def __init__(self, words: Sequence[str], steps_in_epoch: int | None):
        self.starts: list[tuple[int, Stage]] = []
        for word in words:
            match = _WORD.fullmatch(word)
            if not match or match["name"] not in STAGES:
                raise InputError(f"--stages has {word!r}; a stage is {', '.join(STAGES)}, then @STEP or @EPOCHe.")
            start = int(match["start"] or 0)
            if match["epoch"]:
                if steps_in_epoch is None:
                    raise InputError(f"--stages has {word!r}, but toons have no epochs; give a step.")
                start *= steps_in_epoch
            if bool(start) != bool(self.starts) or (self.starts and start <= self.starts[-1][0]):
                raise InputError(
                    f"--stages has {word!r}; the first stage begins at 0, each other after the one before."
                )
            self.starts.append((start, STAGES[match["name"]]))

    def stage(self, step: int) -> Stage:
        """`step`: counted from 0."""
        return [stage for start, stage in self.starts if start <= step][-1]
