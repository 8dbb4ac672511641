"""Centre lines of a drawing, as points with their neighbours.

In: the share of ink (h, w). Out: `LinePoints`, a point for each pixel of the lines' skeletons.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array, eye_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from _util.sgm.motion import scale_of

_INK = 0.5  # share of ink above which a pixel belongs to a line
_MOST_POINTS = 40_000  # of lines; a drawing with more is dense
_HOPS = 3  # directions are measured over 2^(_HOPS - 1) steps along lines
_NEAR, _FAR = 14, 80  # pixels at 540×960 within which points are neighbours, and within which lines are linked
_MOST_NEAR, _SAMPLE = 40, 1000  # mean number of neighbours above which `_NEAR` shrinks; points that measure it
_FEWEST = 3  # pixels; least value of `_NEAR`
_LINKS = 3  # from each line to the nearest of others
_MOST_LINES = 400  # above which no lines are linked, as neighbours within `_NEAR` suffice


class Neighbours(NamedTuple):
    """Neighbours of points: those of point i are `points[firsts[i] : firsts[i + 1]]`."""

    firsts: np.ndarray  # (n + 1,) int64
    points: np.ndarray  # (k,) int64


class LinePoints(NamedTuple):
    """n points of lines."""

    points: np.ndarray  # (n, 2) float64, x, y, pixels
    directions: np.ndarray  # (n,), radians; a line has two, half a turn apart
    along: Neighbours  # on the same line
    around: Neighbours  # these, and the nearest of other lines


def is_dense(lines: LinePoints) -> bool:
    """Whether a drawing has more lines than can be matched in reasonable time."""
    return len(lines.points) > _MOST_POINTS


def trace(ink: np.ndarray) -> LinePoints:
    """Trace the lines of a drawing, given its share of ink (h, w) float32 in [0, 1]."""
    from skimage.morphology import skeletonize  # slow to import, and rarely needed

    skeleton = skeletonize(ink > _INK)
    y, x = np.nonzero(skeleton)
    steps = _steps(skeleton, x, y)
    reach = csr_array(steps + eye_array(len(x)))
    counts = np.diff(reach.indptr)[:, None]
    points = reach @ _centred(ink, x, y) / counts
    return LinePoints(
        points, _directions(points, reach), _neighbours(steps), _neighbours(_links(points, steps, scale_of(ink.shape)))
    )


def thinned(points: np.ndarray, apart: float) -> np.ndarray:
    """Indices of a subset of points (n, 2): no two are within `apart` of each other, and all others are near one."""
    tree, kept = KDTree(points), []
    is_open = np.ones(len(points), bool)
    for i in np.random.default_rng(0).permutation(len(points)).tolist():
        if is_open[i]:
            kept.append(i)
            is_open[tree.query_ball_point(points[i], apart)] = False
    return np.sort(np.array(kept, np.int64))


def nearest_of(points: np.ndarray, places: np.ndarray, within: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Distance and index of the nearest of points (n, 2) to each place (k, 2); beyond `within`, infinity and n."""
    away, nearest = KDTree(points).query(places, distance_upper_bound=within)
    return np.asarray(away), np.asarray(nearest)


def _steps(skeleton: np.ndarray, x: np.ndarray, y: np.ndarray) -> csr_array:
    """Adjacency of the skeleton's pixels (8-connected): (n, n), 1 where two touch."""
    h, w = skeleton.shape
    numbers = np.full((h + 1, w + 2), -1)
    numbers[y, x + 1] = np.arange(len(x))
    pairs = []
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        others = numbers[y + down, x + 1 + right]
        ones = np.flatnonzero(others >= 0)
        pairs.append(np.stack([ones, others[ones]]))
    return _symmetric(np.concatenate(pairs, 1), len(x))


def _symmetric(pairs: np.ndarray, count: int) -> csr_array:
    one, other = np.concatenate([pairs, pairs[::-1]], 1)
    matrix = coo_array((np.ones(len(one)), (one, other)), (count, count)).tocsr()
    matrix.data[:] = 1
    return matrix


def _centred(ink: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, 2), the centroid of the ink in the 3×3 pixels around each pixel."""
    around = np.pad(ink, 1)
    offsets = np.array([(right, down) for down in (-1, 0, 1) for right in (-1, 0, 1)])
    weights = np.stack([around[y + 1 + down, x + 1 + right] for right, down in offsets], 1)
    return np.stack([x, y], 1) + weights @ offsets / weights.sum(1, keepdims=True)


def _directions(points: np.ndarray, reach: csr_array) -> np.ndarray:
    """(n,), the direction of the principal axis of the points within some steps."""
    for _ in range(_HOPS - 1):
        reach = csr_array(reach @ reach)
    reach.data[:] = 1
    x, y = points.T
    counts = np.diff(reach.indptr)
    mean_x, mean_y, xx, xy, yy = (reach @ np.stack([x, y, x * x, x * y, y * y], 1) / counts[:, None]).T
    return np.arctan2(2 * (xy - mean_x * mean_y), (xx - mean_x**2) - (yy - mean_y**2)) / 2


def _links(points: np.ndarray, steps: csr_array, scale: float) -> csr_array:
    """The steps along lines, plus links to near points."""
    if not len(points):
        return steps
    tree = KDTree(points)
    pairs = [tree.query_pairs(_radius(tree, scale), output_type="ndarray").T]
    count, line = connected_components(steps, directed=False)
    if 1 < count <= _MOST_LINES:
        for number in range(count):
            own, others = np.flatnonzero(line == number), np.flatnonzero(line != number)
            away, nearest = nearest_of(points[others], points[own], _FAR * scale)
            links = np.argsort(away)[:_LINKS]
            links = links[np.isfinite(away[links])]
            pairs.append(np.stack([own[links], others[nearest[links]]]))
    return csr_array(steps + _symmetric(np.concatenate(pairs, 1).astype(np.int64), len(points)))


def _radius(tree: KDTree, scale: float) -> float:
    """The distance within which points are neighbours, in pixels."""
    sample, radius = tree.data[:: max(1, len(tree.data) // _SAMPLE)], _NEAR * scale
    while radius > _FEWEST and tree.query_ball_point(sample, radius, return_length=True).mean() > _MOST_NEAR:
        radius *= 0.8
    return max(_FEWEST, radius)


def _neighbours(matrix: csr_array) -> Neighbours:
    return Neighbours(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64))
