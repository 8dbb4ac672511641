"""Flow in half precision, every value of it within 2⁻¹⁰ of itself.

Half precision rounds to within 2⁻¹¹ where it has all its digits, between 2⁻¹⁴ and 65504. What flow has beyond that,
far-off or next to nothing, is kept beside it with its place.
"""

from collections.abc import Mapping

import numpy as np

ARRAY = "flows"
_PLACES, _EXACT = "flows_beyond_half_places", "flows_beyond_half"
ARRAYS = ARRAY, _PLACES, _EXACT
_LARGEST_ERROR = 2.0**-10  # relative


def to_arrays(flow: np.ndarray) -> dict[str, np.ndarray]:
    """Float32 values of any shape, infinities and NaN too, as arrays to store.

    Returns:
        The values as float16 and, if there are any that these cannot hold, their places in the flattened values, (n,)
        int64, and what they are, (n,) float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = flow.astype(np.float16)
        is_beyond = np.abs(values.astype(np.float32) - flow) > _LARGEST_ERROR * np.abs(flow)
    places = np.flatnonzero(is_beyond)
    return {ARRAY: values} | ({_PLACES: places, _EXACT: flow.reshape(-1)[places]} if len(places) else {})


def from_arrays(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The float32 values from what `to_arrays` made of them."""
    flow = arrays[ARRAY].astype(np.float32)
    if _PLACES in arrays:
        flow.reshape(-1)[arrays[_PLACES]] = arrays[_EXACT]
    return flow
