"""How much of the lines of two drawings a flow leaves unexplained."""

import numpy as np

from _util.strokes.tracing import LinePoints, nearest_of

_FAR = 9  # pixels at 540×960 from which on it makes no difference how far off a line is


def unexplained(lines: tuple[LinePoints, LinePoints], flows: tuple[np.ndarray, np.ndarray], scale: float) -> float:
    """In [0, 1], how far lines land from those of the other drawing, and these from what lands, both ways.

    Args:
        flows: flow01 and flow10, (h, w, 2), x then y, pixels.
        scale: of lengths, 1 at 540×960.
    """
    if not all(len(of.points) for of in lines):
        return 1.0
    off = []
    for here, there, flow in zip(lines, lines[::-1], flows, strict=True):
        x, y = np.rint(here.points).astype(int).clip(0, [flow.shape[1] - 1, flow.shape[0] - 1]).T
        landed = here.points + flow[y, x]
        off += [nearest_of(there.points, landed)[0], nearest_of(landed, there.points)[0]]
    return float(np.minimum(np.concatenate(off) / (_FAR * scale), 1).mean())
