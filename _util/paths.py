"""Flow that knows its way: where each pixel is at any time between, not at the end alone.

A flow (b, 2, h, w) is straight: half of it is half of the way. A path (b, 9, h, w) begins with the same flow, x then y;
then come, for ¼, ½ and ¾ of the time, by how much x and y are off the straight way, all in pixels; and last an order,
larger for what lies in front. Between these times the way is the polynomial of degree 4 through them, which is within
0.2 % of the radius of an arc of 120°. Whatever takes paths takes flows, too.
"""

import torch
from torch import Tensor

KNOTS = (0.25, 0.5, 0.75)
CHANNELS = 2 + 2 * len(KNOTS) + 1
_IN_FRONT = 3.0  # logarithm of how much more than what is behind it something counts


def flow(path: Tensor) -> Tensor:
    """(b, 2, h, w), where everything ends."""
    return path[:, :2]


def at(path: Tensor, t: float | Tensor) -> Tensor:
    """(b, 2, h, w), how far everything is from its beginning.

    Args:
        path: a flow or a path.
        t: the share of the time from this frame to the other, in [0, 1]: one, or one for each of the batch, (b, 1, 1, 1).
    """
    return flow(path) * t + off_straight(path, t) if path.shape[1] > 2 else path * t


def off_straight(path: Tensor, t: float | Tensor) -> Tensor:
    """(b, 2, h, w), `at` less the flow times t; 0 of a flow."""
    if path.shape[1] == 2:
        return torch.zeros_like(path)
    bows = path[:, 2 : 2 + 2 * len(KNOTS)].split(2, 1)
    return sum(_weight(i, t) * bow for i, bow in enumerate(bows))


def order(path: Tensor) -> Tensor | float:
    """(b, 1, h, w), what is to be added to the logarithm of what each pixel counts when splatted; 0 of a flow."""
    return _IN_FRONT * path[:, -1:] if path.shape[1] > 2 else 0.0


def straight(flow: Tensor, order: Tensor | None = None) -> Tensor:
    """The path of a flow."""
    b, _, h, w = flow.shape
    order = flow.new_zeros(b, 1, h, w) if order is None else order
    return torch.cat([flow, flow.new_zeros(b, 2 * len(KNOTS), h, w), order], 1)


def _weight(knot: int, t: float | Tensor) -> float | Tensor:
    """Of one knot, at a time: the polynomial that is 1 there and 0 at the others and at both ends."""
    weight = 1.0
    for other in (0.0, 1.0, *(time for i, time in enumerate(KNOTS) if i != knot)):
        weight = weight * (t - other) / (KNOTS[knot] - other)
    return weight
