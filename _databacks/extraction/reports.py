"""How a stage reports what it does: sentences for the user, and a bar of its progress."""

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from tqdm import tqdm


class StageReport(NamedTuple):
    """Where sentences and progress go."""

    say: Callable[[str], Any]
    bar: Callable[..., Any]  # with the arguments of `tqdm`


def _say(sentence: str) -> None:
    tqdm.write(sentence, file=sys.stderr)


ALOUD = StageReport(_say, tqdm)
QUIET = StageReport(lambda sentence: None, functools.partial(tqdm, disable=True))
