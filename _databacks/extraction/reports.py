"""How a stage reports its work: messages to the user, and a progress bar."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from tqdm import tqdm


class StageReport(NamedTuple):
    """The receivers of messages and progress."""

    say: Callable[[str], Any]
    bar: Callable[..., Any]  # with the arguments of `tqdm`


def _say(sentence: str) -> None:
    tqdm.write(sentence, file=sys.stderr)


CONSOLE = StageReport(_say, tqdm)
