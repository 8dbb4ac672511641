"""Flow in half precision, every value of it within 2⁻¹⁰ of itself.

Half precision rounds to within 2⁻¹¹ where it has all its digits, between 2⁻¹⁴ and 65504. What flow has beyond that,
far-off or next to nothing, is kept beside it with its place.
"""

from typing import NamedTuple

import numpy as np

LARGEST_ERROR = 2.0**-10  # relative
BEYOND = "flows_beyond_half_places", "flows_beyond_half"  # names of what is kept beside


class Half(NamedTuple):
    """Values in half precision, and those that it cannot hold."""

    values: np.ndarray  # (…) float16
    places: np.ndarray  # (n,) int64, in the flattened values
    exact: np.ndarray  # (n,) float32


def to_half(flow: np.ndarray) -> Half:
    """Float32 values of any shape, with infinities and NaN as they are."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = flow.astype(np.float16)
        is_beyond = np.abs(values.astype(np.float32) - flow) > LARGEST_ERROR * np.abs(flow)
    places = np.flatnonzero(is_beyond)
    return Half(values, places, flow.reshape(-1)[places])


def from_half(half: Half) -> np.ndarray:
    """Restore the float32 values."""
    flow = half.values.astype(np.float32)
    flow.reshape(-1)[half.places] = half.exact
    return flow
