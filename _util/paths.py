"""Paths: flow with the position of each pixel at any time in between, not only at the end.

A flow (b, 2, h, w) is straight: half of it is half of the way. A path (b, 9, h, w) begins with the same flow, x then y;
then come, for ¼, ½ and ¾ of the time, by how much x and y are off the straight line, all in pixels; and last an order,
larger for what lies in front. Between these times the way is the polynomial of degree 4 through them, which is within
0.2 % of the radius of an arc of 120°. Whatever takes paths takes flows, too.
"""

import torch
from torch import Tensor

KNOTS = (0.25, 0.5, 0.75)
CHANNELS = 2 + 2 * len(KNOTS) + 1
LAYERS = 4  # orders 0 … 3
NOT_DRAWN = -1  # order of what is splatted nowhere
_BEHIND = 6.0  # logarithm of how much less something counts than what is one layer behind it, where holes are filled


def flow(path: Tensor) -> Tensor:
    """(b, 2, h, w), where everything ends."""
    return path[:, :2]


def at(path: Tensor, t: float | Tensor) -> Tensor:
    """(b, 2, h, w), how far everything is from its beginning.

    Args:
        path: a flow or a path.
        t: the share of the time from this frame to the other, in [0, 1]: one, or (b, 1, 1, 1).
    """
    return flow(path) * t + off_straight(path, t) if path.shape[1] > 2 else path * t


def off_straight(path: Tensor, t: float | Tensor) -> Tensor:
    """(b, 2, h, w), `at` less the flow times t; 0 of a flow."""
    if path.shape[1] == 2:
        return torch.zeros_like(path)
    bows = path[:, 2 : 2 + 2 * len(KNOTS)].split(2, 1)
    return torch.stack([_weight(i, t) * bow for i, bow in enumerate(bows)]).sum(0)


def behind(path: Tensor) -> Tensor:
    """(b, 1, h, w), 1 for what lies behind everything, next to nothing for what lies in front."""
    return (-_BEHIND * path[:, -1:]).exp()


def straight(flow: Tensor, order: float = 0.0) -> Tensor:
    """The path of a flow, in one order everywhere."""
    b, _, h, w = flow.shape
    return torch.cat([flow, flow.new_zeros(b, 2 * len(KNOTS), h, w), flow.new_full((b, 1, h, w), order)], 1)


def _weight(knot: int, t: float | Tensor) -> float | Tensor:
    """Of one knot, at a time: the polynomial that is 1 there and 0 at the others and at both ends."""
    weight = 1.0
    for other in (0.0, 1.0, *(time for i, time in enumerate(KNOTS) if i != knot)):
        weight = weight * (t - other) / (KNOTS[knot] - other)
    return weight
