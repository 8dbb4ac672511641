"""Paths: flow with curved trajectories, which give the position of each pixel at any time between the frames.

A flow (b, 2, h, w) is linear in time. A path (b, 9, h, w) holds the same flow, x then y; then the offsets of x and y
from the straight line at ¼, ½ and ¾ of the time; all in pixels; and last a depth order, larger for what lies in front.
Between these times the trajectory is the polynomial of degree 4 through them, which deviates from an arc of 120° by at
most 0.2 % of its radius. Functions that take paths also take flows.
"""

import torch
from torch import Tensor

KNOTS = (0.25, 0.5, 0.75)
CHANNELS = 2 + 2 * len(KNOTS) + 1
LAYERS = 8  # orders 0 … 7
NOT_DRAWN = -1  # order of pixels that are not splatted
_CURVED = 1e-3  # offset in pixels of a path that counts as curved though it is straight
_BEHIND = 6.0  # logarithm of the ratio of weights of adjacent layers where holes are filled: the one behind prevails
_FARTHEST = 3  # order from which on weights no longer decrease, for float32


def flow(path: Tensor) -> Tensor:
    """The flow (b, 2, h, w) of a path: the displacement at time 1."""
    return path[:, :2]


def at(path: Tensor, t: float | Tensor) -> Tensor:
    """Displacements (b, 2, h, w) at time t.

    Args:
        path: a flow or a path.
        t: time from this frame to the other, in [0, 1]: a number, or (b, 1, 1, 1).
    """
    return flow(path) * t + off_straight(path, t) if path.shape[1] > 2 else path * t


def off_straight(path: Tensor, t: float | Tensor) -> Tensor:
    """(b, 2, h, w), `at` minus the flow times t; 0 for a flow."""
    if path.shape[1] == 2:
        return torch.zeros_like(path)
    first, second, third = (_weight(i, t) * bow for i, bow in enumerate(offsets(path).split(2, 1)))
    return first + second + third


def offsets(path: Tensor) -> Tensor:
    """The offsets (b, 6, h, w) of a path from the straight line at `KNOTS`; (b, 0, h, w) for a flow."""
    return path[:, 2 : 2 + 2 * len(KNOTS)]


def as_curved(path: Tensor) -> Tensor:
    """A path (b, 9, h, w) with an offset of 1/1000 pixel where it is straight, so that it counts as curved."""
    curved = path.clone()
    curved[:, 2] += _CURVED * ~offsets(path).any(1)
    return curved


def behind(path: Tensor) -> Tensor:
    """Weights (b, 1, h, w): 1 for order 0, decreasing exponentially towards the front."""
    return (-_BEHIND * path[:, -1:].clamp(max=_FARTHEST)).exp()


def straight(flow: Tensor, order: float = 0.0) -> Tensor:
    """The path of a flow, with the same order everywhere."""
    b, _, h, w = flow.shape
    return torch.cat([flow, flow.new_zeros(b, 2 * len(KNOTS), h, w), flow.new_full((b, 1, h, w), order)], 1)


def _weight(knot: int, t: float | Tensor) -> float | Tensor:
    """The Lagrange polynomial of a knot at time t: 1 at the knot, 0 at the other knots and at both ends."""
    weight = 1.0
    for other in (0.0, 1.0, *(time for i, time in enumerate(KNOTS) if i != knot)):
        weight = weight * (t - other) / (KNOTS[knot] - other)
    return weight
