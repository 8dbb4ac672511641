"""Distance transforms by direction (directional chamfer matching, Liu et al., CVPR 2010): the distance from each pixel
to the nearest line of about a given direction, and the nearest point."""

from typing import NamedTuple

import numpy as np

from _util.compiled import njit
from _util.morphology import nearest_known
from _util.strokes.tracing import LinePoints

_DIRECTIONS = 12
_TURNED = 1.5  # pixels at 540×960 added to the distance per 15° between directions
_MOST_TURNED = 2  # such steps
FAR = 1e3  # distance in pixels if no line has the direction


class LineField(NamedTuple):
    """Fields for k directions, evenly spaced over half a turn."""

    distances: np.ndarray  # (k, h, w) float32, pixels
    nearest: np.ndarray  # (k, h, w) int32, index of the point; -1 where there is none


def line_field(lines: LinePoints, size: tuple[int, int], scale: float) -> LineField:
    """The field of lines in a frame of (h, w); `scale` is that of lengths, 1 at 540×960."""
    exact = LineField(
        np.full((_DIRECTIONS, *size), FAR, np.float32), np.full((_DIRECTIONS, *size), -1, np.int32)
    )  # fmt: skip
    channels = np.rint(lines.directions / np.pi * _DIRECTIONS).astype(int) % _DIRECTIONS
    x, y = np.rint(lines.points).astype(int).clip(0, [size[1] - 1, size[0] - 1]).T
    for channel in np.unique(channels).tolist():
        chosen = np.flatnonzero(channels == channel)
        numbers = np.full(size, -1, np.int32)
        numbers[y[chosen], x[chosen]] = chosen
        exact.nearest[channel], exact.distances[channel] = nearest_known(numbers, numbers >= 0)
    found = LineField(exact.distances.copy(), exact.nearest.copy())
    for channel in range(_DIRECTIONS):
        for turned in range(-_MOST_TURNED, _MOST_TURNED + 1):
            other = (channel + turned) % _DIRECTIONS
            distance = exact.distances[other] + np.float32(_TURNED * scale * abs(turned))
            nearer = distance < found.distances[channel]
            found.distances[channel][nearer] = distance[nearer]
            found.nearest[channel][nearer] = exact.nearest[other][nearer]
    return found


@njit()
def _channel_of(direction, channels):
    return round(direction / np.pi * channels) % channels


@njit()
def distance_at(distances, x, y, direction, most):
    """The distance from a position to the nearest line of a direction, clipped at `most`; `most` outside the frame."""
    column, row = round(x), round(y)
    if not (0 <= row < distances.shape[1] and 0 <= column < distances.shape[2]):
        return most
    return min(distances[_channel_of(direction, distances.shape[0]), row, column], most)


@njit()
def nearest_at(field, x, y, direction, most):
    """The nearest point on a line of a direction, and its distance; -1 and `most` if it is further away than that."""
    column, row = round(x), round(y)
    if not (0 <= row < field.distances.shape[1] and 0 <= column < field.distances.shape[2]):
        return -1, most
    channel = _channel_of(direction, field.distances.shape[0])
    distance = field.distances[channel, row, column]
    return (field.nearest[channel, row, column], distance) if distance <= most else (-1, most)
