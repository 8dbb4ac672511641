"""Motion that networks lose, of strokes and of flat pieces that rotate far; loaded when such a drawing appears.

In: two frames. Out: paths of what the network does not carry along (`_util.paths`), or no motion.
"""

import contextlib
import functools
import importlib.util
import sys
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

from _train.frame_interpolation.context import Context
from _train.frame_interpolation.flows import sgm
from _train.frame_interpolation.syntheses import FrameSynthesis
from _util import extras, image
from _util.flow import Flows
from _util.tones import find_tones

_CHANGES, _LIKE, _EDGE = 12, 1, 16  # levels: least change; largest step within a flat area; least step of an edge
_TIMEOUT = 5.0  # seconds after which it is explained that the first matching takes longer
_FLAT = 0.75  # least share of flat pixels among those that change and are on no edge; films have less
_OFF_EDGES = 0.15  # least share of these; dithered pictures have less


class LostMotion:
    """The motion of strokes of line drawings, and of pieces of flat drawings, where a network loses them.

    Without Numba nothing is matched, and a note on stderr says so once.

    Args:
        network: the synthesis that loses them, one that finds motion itself.
        of_all: whether pieces are matched in all drawings, not in flat ones alone.
    """

    def __init__(self, context: Context, network: FrameSynthesis, of_all: bool):
        self._context, self._network, self._of_all = context, network, of_all

    def __call__(self, frame0: Tensor, frame1: Tensor) -> Flows:
        """Paths (1, 9, h, w), or no flow (1, 2, h, w)."""
        pictures = [image.to_array(frame[0], np.float32) for frame in (frame0, frame1)]
        are_lines = all(find_tones(picture) is not None for picture in pictures)
        found = None
        if (are_lines or self._of_all or _are_flat(*image.pictures_of(frame0, frame1))) and _has_numba():
            with _explained_if_slow():
                found = (self._strokes if are_lines else self._pieces)(frame0, frame1)
        still = torch.zeros_like(frame0[:, :2])
        return found or Flows(still, still)

    @functools.cached_property
    def _strokes(self):
        from _train.frame_interpolation.lost_pieces import LostStrokes

        return LostStrokes(sgm(self._context), self._network)

    @functools.cached_property
    def _pieces(self):
        from _train.frame_interpolation.lost_pieces import LostPieces

        return LostPieces(sgm(self._context), self._network)


def _are_flat(picture0: np.ndarray, picture1: np.ndarray) -> bool:
    """Whether most of what changes between two pictures, (h, w, 3) uint8, is of flat colours, apart from edges."""
    changes = image.difference(picture0, picture1) > _CHANGES
    flat = inside = 0
    for steps in map(_steps, (picture0, picture1)):
        edges = cv2.dilate((steps >= _EDGE).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        inside += np.count_nonzero(changes & ~edges)
        flat += np.count_nonzero(changes & ~edges & (steps <= _LIKE))
    return bool(flat > _FLAT * inside and inside > _OFF_EDGES * 2 * np.count_nonzero(changes))


def _steps(picture: np.ndarray) -> np.ndarray:
    """(h, w) uint8: the difference of each pixel from those to its left and above it, the larger one."""
    steps = np.zeros(picture.shape[:2], np.uint8)
    here, left, above = picture[1:, 1:], picture[1:, :-1], picture[:-1, 1:]
    steps[1:, 1:] = cv2.max(image.difference(here, left), image.difference(here, above))
    return steps


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
    print("Matching is compiled when it is first used, which may take a minute.", file=sys.stderr)


@functools.cache
def _has_numba() -> bool:
    if importlib.util.find_spec("numba"):
        return True
    remedy = extras.how_to_install("methods")
    print(f"Strokes and pieces that rotate far are not matched, which needs numba: {remedy}.", file=sys.stderr)
    return False
