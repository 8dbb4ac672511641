"""Greedy matching of the lines of two drawings: the motion that explains most lines comes first.

A motion is tried at a point and grows from there over neighbours that it maps onto unclaimed lines of the other
drawing; it is refitted to the points mapped. Its score is the length of lines explained in both drawings, lower if it
rotates far or separates lines that were joined. Each accepted motion proposes others: rotations of adjacent lines about
the point that they share with it.
"""

from typing import NamedTuple

import numpy as np

from _util import threads
from _util.compiled import njit
from _util.strokes.fields import LineField, nearest_at
from _util.strokes.rigid import about, moved, moved_point
from _util.strokes.search import search
from _util.strokes.tracing import LinePoints, nearest_of, thinned

UNKNOWN = -1
_OFF, _LEAST_OFF = 2.2, 1.0  # largest distance from a line, in pixels at 540×960, and its least value at any size
_FIRST = 2  # factor on it in the first round, when a motion is still rough
_ROUNDS = 4
_FEWEST = 4  # least number of points that a motion maps
_LEAST = 24  # least score, in pixels of lines of both drawings at 540×960
_RESIDUE = 0.5  # score lost per point at the largest distance
_PARTED = 20  # pixels at 540×960 from which on joined lines count as fully separated
_PARTS = 0.3  # share of the score lost by that
_TURNED = 0.3  # share of the score lost by half a turn
_APART, _STEP = 4, 10  # pixels at 540×960 between pivots, degrees between rotations about them
_MOST = 60  # motions
_MOST_WALKED = 1_500_000_000  # rotations of points times neighbours; beyond, as in hatching, fewer pivots are tried
_MOST_VISITED = 200_000_000  # neighbours that motions reach; beyond, as in bricks, fewer motions are tried
_SAMPLED = 16  # motions for each one that tells how many visits all take


class StrokeMatching(NamedTuple):
    """k rigid motions (cos, sin, x, y), and the motion of each point of either drawing, or `UNKNOWN`."""

    motions: np.ndarray  # (k, 4), from drawing 0 to drawing 1
    owners: tuple[np.ndarray, np.ndarray]  # (n,) and (m,) int64


def match(lines: tuple[LinePoints, LinePoints], field: LineField, scale: float) -> StrokeMatching:
    """Match the lines of two drawings.

    Args:
        field: of the second drawing's lines.
        scale: of lengths, 1 at 540×960.
    """
    here, there = lines
    motions = np.zeros((0, 4))
    owners = np.full(len(here.points), UNKNOWN), np.full(len(there.points), UNKNOWN)
    if not len(here.points) or not len(there.points):
        return StrokeMatching(motions, owners)
    trials = _Trials(_Drawings(here, there, field, scale, *owners))
    trials.add(*search(here, there, field, scale), motions)
    for number in range(_MOST):
        motion, carried = trials.best(motions)
        if not len(carried):
            break
        motions = np.concatenate([motions, motion[None]])
        owners[0][carried] = number
        away, _ = nearest_of(moved(motion, here.points[carried]), there.points, on_line(scale))
        owners[1][np.isfinite(away) & (owners[1] == UNKNOWN)] = number
        trials.add(*_turned(here, owners[0], carried, motion, scale), motions)
    return StrokeMatching(motions, owners)


def _turned(
    lines: LinePoints, owners: np.ndarray, carried: np.ndarray, motion: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Points next to those that a motion carries, and motions that take each to the same place with other rotations."""
    is_carried = np.isin(np.arange(len(lines.points)), carried)
    beside = np.unique(lines.around.points[np.repeat(is_carried, np.diff(lines.around.firsts))])
    beside = beside[owners[beside] == UNKNOWN]
    beside = beside[thinned(lines.points[beside], _APART * scale)] if len(beside) else beside
    turns = np.radians(np.arange(-180 + _STEP, 181, _STEP)) + np.arctan2(motion[1], motion[0])
    beside = beside[:: 1 + len(beside) * len(turns) * len(lines.around.points) // _MOST_WALKED]
    points = np.repeat(beside, len(turns))
    return points, about(
        lines.points[points], np.tile(turns, len(beside)), moved(motion, lines.points[points])
    )  # fmt: skip


class _Drawings(NamedTuple):
    """What motions are evaluated against. Kernels read all of it; `_Trials.best` sees the owners change."""

    here: LinePoints
    there: LinePoints
    field: LineField  # of `there`
    scale: float
    owners: np.ndarray  # (n,), the accepted motion of each point of `here`
    claimed: np.ndarray  # (m,), of `there`


class _Visits(NamedTuple):
    """Buffers of one thread."""

    queue: np.ndarray  # (n,), points
    seen: np.ndarray  # (n,), the round in which each point of `here` was last reached
    hit: np.ndarray  # (m,), and of `there` hit
    rounds: np.ndarray  # (1,), the last round


class _Trials:
    """Candidate motions and their scores when last evaluated.

    Scores fall as other motions claim lines, except next to these. So candidates are evaluated again from the highest
    score down, until none can exceed the best of them (lazy greedy search, Minoux, 1978).
    """

    def __init__(self, drawings: _Drawings):
        self._drawings = drawings
        self.points, self.motions, self.counts = np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0)

    def add(self, points: np.ndarray, motions: np.ndarray, chosen: np.ndarray) -> None:
        """Add points (k,) and their motions (k, 4); `chosen` (m, 4) are the accepted motions."""
        sizes = self._evaluated(points[::_SAMPLED], motions[::_SAMPLED], chosen)[0]
        around = self._drawings.here.around
        visited = _SAMPLED * sizes.sum() * len(around.points) / len(around.firsts)
        stride = 1 + int(visited / _MOST_VISITED)
        points, motions = points[::stride], motions[::stride]
        counts = self._evaluated(points, motions, chosen)[1]
        useful = counts > _LEAST * self._drawings.scale
        self.points = np.concatenate([self.points, points[useful]])
        self.motions = np.concatenate([self.motions, motions[useful]])
        self.counts = np.concatenate([self.counts, counts[useful]])

    def _evaluated(self, points: np.ndarray, motions: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(k,) how many points each motion maps, and (k,) its score."""
        sizes, counts = np.zeros((2, len(points)))
        trials = np.ascontiguousarray(points), np.ascontiguousarray(motions)
        threads.run(_count, len(points), *trials, chosen, self._drawings, sizes, counts)
        return sizes, counts

    def best(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The motion of the highest score, refitted, and the points that it maps; no points if no score suffices."""
        order = np.argsort(-self.counts, kind="stable")
        return _best(order, self.points, self.motions, chosen, self._drawings, self.counts)


@njit()
def on_line(scale):
    """The largest distance in pixels at which a point lies on a line."""
    return max(_OFF * scale, _LEAST_OFF)


@njit()
def _best(order, points, motions, chosen, drawings, counts):
    visits = _visits(drawings)
    best, most = np.zeros(4), _LEAST * drawings.scale
    carried = np.zeros(0, np.int64)
    for trial in order:
        if counts[trial] <= most:
            break
        motion = motions[trial].copy()
        size, counts[trial] = _grow(points[trial], motion, chosen, drawings, visits)
        if counts[trial] > most:
            best, most = motion, counts[trial]
            carried = visits.queue[:size].copy()
    return best, carried


@njit()
def _count(points, motions, chosen, drawings, sizes, counts, start, stop):
    visits = _visits(drawings)
    for trial in range(start, stop):
        sizes[trial], counts[trial] = _grow(points[trial], motions[trial].copy(), chosen, drawings, visits)


@njit()
def _visits(drawings):
    n, m = len(drawings.owners), len(drawings.claimed)
    return _Visits(np.empty(n, np.int64), np.zeros(n, np.int64), np.zeros(m, np.int64), np.zeros(1, np.int64))


@njit()
def _grow(seed, motion, chosen, drawings, visits):
    """Grow a motion from its seed and refit it in place. Returns the number of points mapped, which are the first in
    the queue, and the score."""
    if drawings.owners[seed] != UNKNOWN:
        return 0, 0.0
    size, score, sums = 0, 0.0, np.empty(8)
    for step in range(_ROUNDS):
        off = on_line(drawings.scale) * (_FIRST if step == 0 else 1)
        size, hits, residue = _spread(seed, motion, off, drawings, visits, sums)
        if size < _FEWEST:
            return size, 0.0
        score = size + hits - _RESIDUE * residue / off
        if step < _ROUNDS - 1:
            _solve(sums, size, motion)
    share = 1 - _TURNED * abs(np.arctan2(motion[1], motion[0])) / np.pi
    return size, score * (share - _parting(visits.queue[:size], motion, chosen, drawings))


@njit()
def _spread(seed, motion, off, drawings, visits, sums):
    """Grow from the seed over neighbours that the motion maps onto unclaimed lines. Returns the number of these points,
    the number of points of the other drawing that they hit, and their total distance; fills `sums` for `_solve`."""
    here, there, field, _, owners, claimed = drawings
    queue, seen, hit, rounds = visits
    rounds[0] += 1
    mark = rounds[0]
    turn = np.arctan2(motion[1], motion[0])
    sums[:] = 0
    size, reached, hits, residue = 0, 1, 0, 0.0
    queue[0], seen[seed] = seed, mark
    head = 0
    while head < reached:
        point = queue[head]
        head += 1
        x, y = here.points[point]
        u, v = moved_point(motion, x, y)
        place, distance = nearest_at(field, u, v, here.directions[point] + turn, off)
        is_carried = place >= 0 and claimed[place] == UNKNOWN
        if is_carried:
            # Mapped points are compacted at the front of the queue, over processed entries.
            queue[size] = point
            size += 1
            residue += distance
            if hit[place] != mark:
                hit[place] = mark
                hits += 1
            u, v = there.points[place]
            sums += np.array([x, y, u, v, x * u, x * v, y * u, y * v])
        if is_carried or point == seed:
            for k in range(here.around.firsts[point], here.around.firsts[point + 1]):
                other = here.around.points[k]
                if seen[other] != mark and owners[other] == UNKNOWN:
                    seen[other], queue[reached] = mark, other
                    reached += 1
    return size, hits, residue


@njit()
def _parting(carried, motion, chosen, drawings):
    """The share of the score lost because the points carried part from points on the same lines, which have motions."""
    here, owners = drawings.here, drawings.owners
    parted, least, contacts = 0.0, 1.0, 0
    for point in carried:
        x, y = here.points[point]
        for k in range(here.along.firsts[point], here.along.firsts[point + 1]):
            owner = owners[here.along.points[k]]
            if owner != UNKNOWN:
                cos, sin = motion[0] - chosen[owner, 0], motion[1] - chosen[owner, 1]
                right, down = motion[2] - chosen[owner, 2], motion[3] - chosen[owner, 3]
                away = np.hypot(cos * x - sin * y + right, sin * x + cos * y + down)
                apart = min(away / (_PARTED * drawings.scale), 1.0)
                parted, least, contacts = parted + apart, min(least, apart), contacts + 1
    # Lines that stay joined at one contact may slide along the others.
    return _PARTS * (parted / contacts + least) / 2 if contacts else 0.0


@njit()
def _solve(sums, size, motion):
    """The least-squares rigid motion (Kabsch), written to `motion`."""
    x, y, u, v = sums[:4] / size
    cos = sums[4] + sums[7] - size * (x * u + y * v)
    sin = sums[5] - sums[6] - size * (x * v - y * u)
    length = np.hypot(cos, sin)
    if length > 0:
        cos, sin = cos / length, sin / length
        motion[0], motion[1], motion[2], motion[3] = cos, sin, u - cos * x + sin * y, v - sin * x - cos * y
