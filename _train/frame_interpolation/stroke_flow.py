"""Strokes of line drawings, for networks that find motion themselves; loaded when the first line drawing appears.

In: two frames. Out: paths of strokes (`_util.paths`), or no motion.
"""

import functools
import importlib.util
import sys

import numpy as np
import torch
from torch import Tensor

from _train.frame_interpolation.context import Context
from _util import extras, image
from _util.flow import Flows
from _util.tones import find_tones


class StrokeFlow:
    """The motion of `piece_flows.StrokesAndSearch`; none in frames that are no line drawings.

    Without Numba nothing is matched, and a note on stderr says so once.
    """

    def __init__(self, context: Context):
        self._context = context

    def __call__(self, frame0: Tensor, frame1: Tensor) -> Flows:
        """Paths (1, 9, h, w), or a flow (1, 2, h, w)."""
        pictures = (image.to_array(frame[0], np.float32) for frame in (frame0, frame1))
        if all(find_tones(picture) is not None for picture in pictures) and _has_numba():
            return self._strokes(frame0, frame1)
        still = torch.zeros_like(frame0[:, :2])
        return Flows(still, still)

    @functools.cached_property
    def _strokes(self):
        from _train.frame_interpolation.piece_flows import strokes_and_search

        return strokes_and_search(self._context).paths


@functools.cache
def _has_numba() -> bool:
    if importlib.util.find_spec("numba"):
        return True
    remedy = extras.how_to_install("methods")
    print(f"Lines are not matched stroke by stroke, which needs numba: {remedy}.", file=sys.stderr)
    return False
