"""Cost of a flow between two line drawings: how well it maps lines onto each other, and how far it tears them apart."""

import numpy as np

from _util.strokes.tracing import LinePoints, nearest_of

_FAR = 9  # pixels at 540×960 at which distances to lines are clipped
_TORN, _WEIGHT = 4, 0.5  # pixels at which the separation of neighbours on a line is clipped, and its weight


def cost(lines: tuple[LinePoints, LinePoints], flows: tuple[np.ndarray, np.ndarray], scale: float) -> float:
    """The cost of a flow, from 0 to 1.5: `unexplained` plus half of `torn`.

    Args:
        flows: flow01 and flow10, (h, w, 2), x then y, pixels.
        scale: of lengths, 1 at 540×960.
    """
    return unexplained(lines, flows, scale) + _WEIGHT * torn(lines, flows)


def unexplained(lines: tuple[LinePoints, LinePoints], flows: tuple[np.ndarray, np.ndarray], scale: float) -> float:
    """Chamfer distance in [0, 1] between moved lines and those of the other drawing, in both directions of flow."""
    if not all(len(of.points) for of in lines):
        return 1.0
    off = []
    for here, there, flow in zip(lines, lines[::-1], flows, strict=True):
        landed = here.points + _ways(here, flow)
        off += [nearest_of(there.points, landed)[0], nearest_of(landed, there.points)[0]]
    return float(np.minimum(np.concatenate(off) / (_FAR * scale), 1).mean())


def torn(lines: tuple[LinePoints, LinePoints], flows: tuple[np.ndarray, np.ndarray]) -> float:
    """In [0, 1], how far the displacements of neighbours on lines differ, in both directions of flow."""
    parted = []
    for of, flow in zip(lines, flows, strict=True):
        ways = _ways(of, flow)
        ones = np.repeat(ways, np.diff(of.along.firsts), 0)
        parted.append(np.hypot(*(ones - ways[of.along.points]).T))
    both = np.concatenate(parted)
    return float(np.minimum(both / _TORN, 1).mean()) if len(both) else 0.0


def _ways(lines: LinePoints, flow: np.ndarray) -> np.ndarray:
    x, y = np.rint(lines.points).astype(int).clip(0, [flow.shape[1] - 1, flow.shape[0] - 1]).T
    return flow[y, x]
