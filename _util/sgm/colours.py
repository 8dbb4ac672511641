"""Colour features of pieces: their own colour, and those of the pieces around them.

In: pieces. Out: for each piece, a soft histogram of its mean colour, and one of its neighbours', weighted by length of
border. Both are invariant to shift, rotation and scale, and change little under slight recolouring.
"""

import numpy as np
from scipy.sparse import coo_array, csr_array

from _util.segmentation import Segments
from _util.segmentation.borders import adjacent

_BINS, _SOFTNESS = 6, 0.14  # of each channel; standard deviation, in [0, 1]


def own_and_around(segments: Segments) -> tuple[np.ndarray, np.ndarray]:
    """Two histograms (n, bins) float32 that sum to 1 each; the second is 0 for a piece without neighbours."""
    own = _histogram(segments.colours)
    around = borders(segments) @ own
    total = np.sum(around, 1, keepdims=True)
    return own, around / np.where(total > 0, total, 1)


def _histogram(colours: np.ndarray) -> np.ndarray:
    centres = np.linspace(0, 1, _BINS)
    shares = np.exp(-(((colours[:, :, None] - centres) / _SOFTNESS) ** 2) / 2)
    shares /= shares.sum(2, keepdims=True)
    return np.einsum("ni,nj,nk->nijk", *shares.transpose(1, 0, 2)).reshape(len(colours), -1).astype(np.float32)


def borders(segments: Segments) -> csr_array:
    """(n, n), the lengths of borders between pieces in pixels."""
    labels, count = segments.labels, len(segments.areas)
    one, other = (labels.flat[pixels] for pixels in adjacent(labels))
    touching = coo_array((np.ones(len(one), np.float32), (one, other)), (count, count)).tocsr()
    return touching + touching.T
