"""Motion that networks lose, of strokes and of flat pieces that rotate far; loaded when such a drawing appears.

In: two frames. Out: paths of what the network does not carry along (`_util.paths`), or no motion.
"""

import contextlib
import functools
import importlib.util
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from _train.frame_interpolation.context import Context
from _train.frame_interpolation.flatness import share_of_change
from _train.frame_interpolation.flows import sgm
from _train.frame_interpolation.syntheses import FrameSynthesis
from _util import checkpoints, extras, features, image
from _util.flow import Flows
from _util.tones import find_tones

if TYPE_CHECKING:
    from _util.sgm import SGM

_TIMEOUT = 5.0  # seconds after which it is explained that the first matching takes longer
_FLAT = 0.75  # share of flat colours from which on all pieces of a drawing count; films have less
_PARTLY_FLAT = 0.3  # share from which on those pieces count that are flat, as before a painted background


class LostMotion:
    """The motion of strokes of line drawings, and of pieces of flat drawings, where a network loses them.

    Without Numba nothing is matched, and a note on stderr says so once.

    Args:
        network: the synthesis that loses them, one that finds motion itself.
        of_all: whether pieces are matched in all drawings, not only in flat ones and those that are flat in part.

    Raises:
        InputError: the weights that pieces are matched by are missing or damaged; they are loaded with the first ones.
    """

    def __init__(self, context: Context, network: FrameSynthesis, of_all: bool):
        features.check(features.best(context.folder), context.folder)
        self._context, self._network, self._of_all = context, network, of_all

    def __call__(self, frame0: Tensor, frame1: Tensor) -> Flows:
        """Paths (1, 9, h, w), or no flow (1, 2, h, w)."""
        are_lines = all(find_tones(image.to_array(frame[0], np.float32)) is not None for frame in (frame0, frame1))
        flat = 1.0 if are_lines or self._of_all else share_of_change(*image.pictures_of(frame0, frame1))
        found = None
        if flat > _PARTLY_FLAT and _has_numba():
            with _explained_if_slow():
                found = self._strokes(frame0, frame1) if are_lines else self._pieces(frame0, frame1, flat <= _FLAT)
        still = torch.zeros_like(frame0[:, :2])
        return found or Flows(still, still)

    @functools.cached_property
    def _strokes(self):
        from _train.frame_interpolation.lost_pieces import LostStrokes

        return LostStrokes(self._sgm, self._network)

    @functools.cached_property
    def _pieces(self):
        from _train.frame_interpolation.lost_pieces import LostPieces

        return LostPieces(self._sgm, self._network)

    @functools.cached_property
    def _sgm(self) -> "SGM":
        with checkpoints.skip_initialization():
            return sgm(self._context)


@contextlib.contextmanager
def _explained_if_slow() -> Iterator[None]:
    timer = threading.Timer(_TIMEOUT, _explain)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@functools.cache
def _explain() -> None:
    print("Matching takes a while; when it is first used, it is compiled, for up to a minute.", file=sys.stderr)


@functools.cache
def _has_numba() -> bool:
    if importlib.util.find_spec("numba"):
        return True
    remedy = extras.how_to_install("methods")
    print(f"Strokes and pieces that rotate far are not matched, which needs numba: {remedy}.", file=sys.stderr)
    return False
