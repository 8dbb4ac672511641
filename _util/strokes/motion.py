"""Motion of the lines of two drawings at any time.

In: the share of ink and the lines of both. Out: `Pieces`: lines that move together, on paper that does not move.
"""

import numpy as np

from _util.morphology import dilated_mask
from _util.pieces.affine import applied
from _util.pieces.joints import Chains, chain
from _util.pieces.motion import Pieces
from _util.pieces.ownership import GROUND, UNKNOWN
from _util.sgm.motion import scale_of
from _util.strokes.bending import bend
from _util.strokes.fields import line_field
from _util.strokes.matching import match
from _util.strokes.rigid import matrices_of
from _util.strokes.tracing import LinePoints, nearest_of

_VISIBLE = 0.15  # share of ink above which a pixel moves with the nearest line; fainter ink may be grain of paper
_FAINT, _RIM = 1 / 255, 3  # the same within so many pixels of such a pixel


def find(inks: tuple[np.ndarray, np.ndarray], lines: tuple[LinePoints, LinePoints]) -> Pieces:
    """The motion of all lines that were matched.

    Args:
        inks: the share of ink in both drawings, (h, w) float32 in [0, 1].
        lines: traced in these.
    """
    size = inks[0].shape[0], inks[0].shape[1]
    scale = scale_of(size)
    field = line_field(lines[1], size, scale)
    matching, bends = bend(lines, field, match(lines, field, scale), scale)
    adopted = [_adopted(*of) for of in zip(lines, matching.owners, bends, strict=True)]
    matrices = np.concatenate([np.eye(2, 3)[None], matrices_of(matching.motions)])  # the ground is the first
    maps = [_map(ink, of, *own) for ink, of, own in zip(inks, lines, adopted, strict=True)]
    layers = np.ones(len(matrices), np.float32)
    layers[GROUND] = 0
    misfits, nothing = np.zeros(len(matrices)), np.zeros(size, bool)
    (owners0, bends0), (owners1, bends1) = maps
    chains, torn = _chain(lines[0], adopted[0][0], matrices)
    return Pieces(
        (owners0, owners1),
        chains,
        (bends0, bends1),
        layers,
        misfits,
        (nothing, nothing),
        False,
        torn,
        np.full(len(layers), False),
        np.full(len(layers), False),
    )


def _adopted(lines: LinePoints, owners: np.ndarray, bends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Owners of points, numbered from 1, and bends; points without take those of the nearest point on the same line."""
    owners, bends = np.where(owners == UNKNOWN, UNKNOWN, owners + 1), bends.copy()
    reached = np.flatnonzero(owners != UNKNOWN).tolist()
    for point in reached:  # grows meanwhile
        for other in lines.along.points[lines.along.firsts[point] : lines.along.firsts[point + 1]].tolist():
            if owners[other] == UNKNOWN:
                owners[other], bends[other] = owners[point], bends[point]
                reached.append(other)
    return owners, bends


def _map(ink: np.ndarray, lines: LinePoints, owners: np.ndarray, bends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Owners (h, w) and bends (h, w, 2) of pixels: ink moves with the nearest point of a line."""
    found, bent = np.full(ink.shape, GROUND, np.int32), np.zeros((*ink.shape, 2), np.float32)
    y, x = np.nonzero(dilated_mask(ink > _VISIBLE, _RIM) & (ink > _FAINT))
    if len(lines.points):
        nearest = nearest_of(lines.points, np.stack([x, y], 1))[1]
        found[y, x], bent[y, x] = owners[nearest], bends[nearest]
    return found, bent


def _chain(lines: LinePoints, owners: np.ndarray, matrices: np.ndarray) -> tuple[Chains, np.ndarray]:
    """Chains of lines that rotate about their contacts; and (k,) bool, which touch others and are joined to none."""
    count = len(matrices)
    one = np.repeat(np.arange(len(owners)), np.diff(lines.along.firsts))
    first, second = owners[one], owners[lines.along.points]
    touching = (first != UNKNOWN) & (second != UNKNOWN) & (first < second)
    keys, places = np.unique(first[touching] * count + second[touching], return_inverse=True)
    sizes = np.bincount(places, minlength=len(keys))
    between = (lines.points[one[touching]] + lines.points[lines.along.points[touching]]) / 2
    points = np.stack([np.bincount(places, between[:, i], len(keys)) for i in range(2)], 1) / sizes[:, None]
    pairs = np.stack([keys // count, keys % count], 1)
    ends = (applied(matrices[pairs[:, 0]], points) + applied(matrices[pairs[:, 1]], points)) / 2
    known = owners != UNKNOWN
    areas = np.bincount(owners[known], minlength=count).astype(float)
    centres = np.stack([np.bincount(owners[known], lines.points[known, i], count) for i in range(2)], 1)
    chains = chain(matrices, areas, centres / np.maximum(areas, 1)[:, None], pairs, np.concatenate([points, ends], 1))
    torn = np.zeros(count, bool)
    torn[pairs] = True
    return chains, torn & ~chains.joined_to(np.ones(count, bool))
