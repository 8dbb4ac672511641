"""Contact sheets of clip art triplets."""

import numpy as np

from _databacks.clipart.scenes import Clipart
from _util import image

_ROWS = 12


def sheet(source: Clipart) -> np.ndarray:
    """One row per triplet: frames 0, t and 1, and the difference of the outer two: (rows, columns, 3) uint8."""
    rows = []
    for i in range(_ROWS):
        first, middle, last = source[i].frames
        cells = [image.to_array(frame, np.uint8) for frame in (first, middle, last, (last - first).abs())]
        rows.append(np.concatenate([np.pad(cell, ((1, 1), (1, 1), (0, 0))) for cell in cells], 1))
    return np.concatenate(rows)
