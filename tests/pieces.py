"""Pieces whose label map is given."""

import numpy as np
from skimage.measure import label
from torch import Tensor

from _util.image import to_array
from _util.segmentation import Segments, describe


def described(labels: np.ndarray, image: Tensor) -> Segments:
    """The pieces of an image, (3, h, w) or (1, 3, h, w) RGB in [0, 1]: the 4-connected parts of equal labels (h, w)."""
    connected = label(labels, background=int(labels.min()) - 1, connectivity=1)
    return describe(connected, to_array(image.reshape(image.shape[-3:]), np.uint8))
