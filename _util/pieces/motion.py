"""Motion of matched pieces at any time, and their order in depth.

In: two frames and a matching. Out: `Pieces`: the moving piece that each pixel of both frames belongs to, the motion of
each piece as part of a chain about joints, its bends and its layer; from these, flow or paths. A motion is fitted to
outlines, and the residual is estimated by dense inverse search on the piece alone. If the result does not explain both
frames, the piece is not moved. A piece that the identity explains as well is not moved. Pieces that surround
everything and look the same in both frames are static background.
"""

from typing import NamedTuple

import numpy as np

from _util import paths, threads
from _util.compiled import njit
from _util.image import difference
from _util.pieces import fitting
from _util.pieces.affine import angles, applied, inverted, moved
from _util.pieces.bending import bend_within
from _util.pieces.following import follow
from _util.pieces.ground import LARGE, SAME, core_colours, find_divided_ground, find_ground, shows_lines_alone
from _util.pieces.joints import Chains, chain
from _util.pieces.layering import find_layers
from _util.pieces.outlines import OCCLUDER_RATIO, Contacts, contacts
from _util.pieces.ownership import GROUND, UNKNOWN, assign_unmatched, find_mixed, leave_out_unexplained, with_lines
from _util.pieces.pairing import exchange_sides, pair_nearest
from _util.pieces.parting import APART, gaps_of
from _util.pieces.resting import find_resting
from _util.pieces.splitting import split
from _util.pieces.tearing import find_torn
from _util.segmentation import Segments
from _util.sgm.matching import Matching
from _util.sgm.motion import SMALLEST, are_plausible, scale_of

_JOINT = 0.3  # share of the outline of a piece up to which a contact is a joint
_FITS = 0.25  # cost of the unoccluded points up to which other pieces occlude the rest
_RIM = 10  # pixels at 540×960 to either side of a border in which lines are reassigned to the piece they move with


class Pieces(NamedTuple):
    """k moving pieces of two frames of (h, w); the first is the ground, which does not move.

    `chains.at(t)` takes positions of frame 0 to time t. Before that, `bends` are added to them, in pixels of frame 0.
    """

    owners: tuple[np.ndarray, np.ndarray]  # (h, w) int32 in either frame: the piece, or -1 where it is not known
    chains: Chains
    bends: tuple[np.ndarray, np.ndarray]  # (h, w, 2) float32, by pixels of either frame
    layers: np.ndarray  # (k,) float32, larger in front
    misfits: np.ndarray  # (k,) in [0, 1], how much outlines differ before they are bent
    mixed: tuple[np.ndarray, np.ndarray]  # (h, w) bool in either frame: ground blended with the rim of a piece
    is_line_art: bool  # much of the drawn area has the ground's colour, so that matches are often wrong
    torn: np.ndarray  # (k,) bool, pieces that come off what they touch; what joins them was not found
    parted: np.ndarray  # (k,) bool, pieces that part from what they touch in both frames, or come off what was matched
    are_anchored: np.ndarray  # (k,) bool, pieces whose match is unambiguous at any distance

    def paths(self) -> tuple[np.ndarray, np.ndarray]:
        """Paths from either frame to the other, (h, w, 9) float32, see `_util.paths`; 0 where the piece is unknown."""
        times = (0.0, *paths.KNOTS, 1.0)
        h, w = self.owners[0].shape
        matrices = np.stack([self.chains.at(t) for t in times], 1)
        inverse = inverted(self.chains.matrices)
        found = np.zeros((2, paths.CHANNELS, h, w), np.float32)  # as tensors have them
        for i in range(2):
            threads.run(
                _trace, h, self.owners[i], self.bends[i], matrices, inverse, np.array(times), i, self.layers, found[i]
            )
            found[i, -1, self.mixed[i]] = paths.NOT_DRAWN
        return found[0].transpose(1, 2, 0), found[1].transpose(1, 2, 0)


class FittedPieces(NamedTuple):
    """Matched pieces of two frames of (h, w), and the motions fitted to them, before they are bent and joined."""

    frames: "_Frames"
    fitted: "_Fitted"
    matching: Matching

    @property
    def is_line_art(self) -> bool:
        """As of `Pieces`."""
        return self.frames.is_line_art

    def rotations(self) -> np.ndarray:
        """(k,): by how much each matched piece rotates, in degrees."""
        return np.degrees(angles(_matrices(self.fitted.fits)))

    def displacements(self) -> np.ndarray:
        """(k,): how far the centre of each matched piece moves, in pixels."""
        centres = self.frames.both[0].centroids[self.fitted.pairs[:, 0]]
        return np.linalg.norm(applied(_matrices(self.fitted.fits), centres) - centres, axis=1)


def find(picture0: np.ndarray, picture1: np.ndarray, matching: Matching) -> Pieces:
    """The motion of all matched pieces that move plausibly; `fit`, then `complete`."""
    return complete(fit(picture0, picture1, matching))


def fit(picture0: np.ndarray, picture1: np.ndarray, matching: Matching) -> FittedPieces:
    """Fit motions to all matched pieces that move plausibly.

    A pair is left out if its centres are more than 250 pixels apart and its match is not anchored
    (`pairing.pair_nearest`), if one piece has no more than 50 pixels or at least three times as many as the other, or
    if at most 80 % of either piece, once moved, lies in the other, not counting what other pieces cover. Pixels are
    those of 540×960; at other sizes lengths scale with √(h·w).

    Args:
        picture0, picture1: (h, w, 3) RGB uint8.
    """
    scale = scale_of(picture0.shape)
    frames = _Frames.of((picture0, picture1), matching)
    fitted = _fit(frames, matching.pairs, scale)
    if (
        parted := split(frames.pictures, matching, fitted.pairs, _matrices(fitted.fits), frames.stays, scale)
    ) is not None:
        matching = parted
        frames = _Frames.of((picture0, picture1), matching)
        fitted = _fit(frames, matching.pairs, scale)
    return FittedPieces(frames, fitted, matching)


def complete(pieces: FittedPieces) -> Pieces:
    """Bend fitted pieces, join them, order them in depth, and find the pixels of each."""
    frames, fitted, matching = pieces
    pictures, both, colours, stays, _, is_line_art = frames
    pairs, are_anchored, fits, rests, gaps, touching = fitted
    scale = scale_of(pictures[0].shape)
    size = (*pictures[0].shape[:2], 2)
    bends = np.zeros(size, np.float32), np.zeros(size, np.float32)
    occluder_areas = np.where(rests, 0, np.where(fits[:, 7] <= _FITS, OCCLUDER_RATIO * _larger(pairs, both), np.inf))
    accepted = bend_within(pairs, _matrices(fits), occluder_areas, matching, pictures, bends, scale)
    kept = np.cumsum(accepted)  # the ground is the first
    matrices = np.concatenate([np.eye(2, 3)[None], _matrices(fits)[accepted]])
    of_labels = tuple(np.full(len(segments.areas), UNKNOWN, np.int32) for segments in both)
    for i in range(2):
        of_labels[i][stays[i]] = GROUND
        of_labels[i][pairs[accepted, i]] = kept[accepted]
    assign_unmatched(of_labels, both, matrices)
    owners = tuple(of[segments.labels] for of, segments in zip(of_labels, both, strict=True))
    chains = _chain(pairs, accepted, kept, matrices, both, touching)
    layers = find_layers(owners, bends, chains, scale)
    rim = max(2, round(_RIM * scale))
    owners = with_lines(pictures, both, colours, owners, bends, matrices, rim)
    torn, parted = find_torn(pairs[accepted], matrices[1:], both, frames.borders, stays)
    parted |= gaps[accepted] > APART
    torn, parted = (np.append(False, of) for of in (torn, parted))
    mixed = find_mixed(pictures, owners, scale)
    leave_out_unexplained(pictures, owners, mixed, rim)
    misfits = np.append(0, fits[accepted, 6:].min(1))
    anchored = np.append(True, are_anchored[accepted])
    return Pieces(owners, chains, bends, layers, misfits, mixed, is_line_art, torn, parted, anchored)


class _Frames(NamedTuple):
    """Two frames and their pieces, as they are known before any is moved."""

    pictures: tuple[np.ndarray, np.ndarray]
    both: tuple[Segments, Segments]
    colours: list[np.ndarray]  # (n, 3), of the pieces of either frame
    stays: list[np.ndarray]  # (n,) bool, the pieces of either frame that are ground
    borders: list[Contacts]
    is_line_art: bool

    @classmethod
    def of(cls, pictures: tuple[np.ndarray, np.ndarray], matching: Matching) -> "_Frames":
        both = matching.segments0, matching.segments1
        colours = threads.each(core_colours, pictures, both)
        stays = find_ground(pictures, both)
        is_line_art = any(shows_lines_alone(*of) for of in zip(pictures, both, colours, stays, strict=True))
        if not is_line_art:
            stays = find_divided_ground(pictures, both, colours, stays)
        return cls(pictures, both, colours, stays, threads.each(contacts, both), is_line_art)


class _Fitted(NamedTuple):
    """Pairs of pieces, and the motions fitted to them."""

    pairs: np.ndarray  # (k, 2)
    are_anchored: np.ndarray  # (k,) bool, see `pairing.pair_nearest`
    fits: np.ndarray  # (k, 8), see `fitting.fit`
    rests: np.ndarray  # (k,) bool, those that are static whatever was fitted
    gaps: np.ndarray  # (k,), see `parting.gaps_of`
    touching: "_Touching"


def _fit(frames: _Frames, matched: np.ndarray, scale: float) -> _Fitted:
    """The matched pairs that move plausibly, and those found where these take pieces that no match was found for."""
    pictures, both, colours, stays, borders, _ = frames
    free = [~ground & (of.areas <= LARGE * of.labels.size) for ground, of in zip(stays, both, strict=True)]
    large_enough = [may & (of.areas > SMALLEST * scale**2) for may, of in zip(free, both, strict=True)]
    pairs, are_anchored = pair_nearest(matched, both, colours, large_enough, borders, difference(*pictures) <= SAME)
    kept = are_plausible(pairs, *both, largest=1, are_near=are_anchored)
    kept &= ~(stays[0][pairs[:, 0]] & stays[1][pairs[:, 1]])
    pairs, are_anchored = pairs[kept], are_anchored[kept]
    shapes, exchanged = threads.each(fitting.shapes_of, pictures, both), False
    while True:
        touching = _Touching(pairs, both, borders)
        area = np.mean([of.areas[pairs[:, i]] for i, of in enumerate(both)], 0)
        sizes, joints = (area, OCCLUDER_RATIO * _larger(pairs, both)), touching.by_pair(len(pairs))
        fits = np.zeros((len(pairs), 8))
        threads.run(fitting.fit, len(pairs), pairs, *shapes, *sizes, joints, scale, fits)
        if not exchanged:
            exchanged = True
            sides = exchange_sides(pairs, _matrices(fits), both, colours, touching.pairs, touching.places)
            if (sides != pairs).any():
                pairs = sides
                continue
        gaps = _turn_end_for_end(pairs, shapes, both, sizes, touching, scale, fits)
        more = follow(pairs, _matrices(fits), both, colours, free, borders)
        if not len(more):
            rests = find_resting(pictures, pairs, both, _matrices(fits))
            fits[rests], gaps[rests] = [*np.eye(2, 3).ravel(), 0, 0], 0
            return _Fitted(pairs, are_anchored, fits, rests, gaps, touching)
        pairs = np.concatenate([pairs, more])
        are_anchored = np.append(are_anchored, np.full(len(more), False))


def _turn_end_for_end(
    pairs: np.ndarray,
    shapes: list[fitting.Shapes],
    both: tuple[Segments, Segments],
    sizes: tuple[np.ndarray, np.ndarray],
    touching: "_Touching",
    scale: float,
    fits: np.ndarray,
) -> np.ndarray:
    """Turn the fits (k, 8) of pieces by half, in place, that part from what they touch unless they are turned.

    Returns:
        (k,): the gaps that are left, see `parting.gaps_of`.
    """
    gaps = gaps_of(pairs, _matrices(fits), both, touching.pairs)
    parted = np.flatnonzero(gaps > APART)
    if len(parted):
        turned, some = fits.copy(), fits[parted]
        threads.run(
            fitting.fit_end_for_end, len(parted), pairs[parted], *shapes, *(of[parted] for of in sizes), scale, some
        )
        turned[parted] = some
        gaps_if_turned = gaps_of(pairs, _matrices(turned), both, touching.pairs)
        closer = parted[gaps_if_turned[parted] <= APART]
        fits[closer], gaps[closer] = turned[closer], gaps_if_turned[closer]
    return gaps


def _matrices(fits: np.ndarray) -> np.ndarray:
    """(k, 2, 3)."""
    return fits[:, :6].copy().reshape(-1, 2, 3)  # contiguous, however many they are: each layout is compiled on its own


def _larger(pairs: np.ndarray, both: tuple[Segments, Segments]) -> np.ndarray:
    """(k,): the area of the larger piece of each pair."""
    return np.maximum(*(of.areas[pairs[:, i]] for i, of in enumerate(both)))


class _Touching:
    """The matched pieces that touch in both frames, and their contacts."""

    def __init__(self, pairs: np.ndarray, both: tuple[Segments, Segments], borders: list[Contacts]):
        are_small = [of.areas[pairs[:, i]] <= LARGE * of.labels.size for i, of in enumerate(both)]
        small = np.flatnonzero(np.logical_and(*are_small))
        place = np.full(len(both[0].areas), -1)
        place[pairs[small, 0]] = small
        first = borders[0]
        one, other = (place[labels] for labels in (first.keys // first.pieces, first.keys % first.pieces))
        known = (one >= 0) & (other >= 0)
        one, other = one[known], other[known]
        there = borders[1].find(pairs[one, 1], pairs[other, 1])
        again = there >= 0
        self.pairs = np.stack([one[again], other[again]], 1)
        self.places = np.concatenate([first.centres[known][again], borders[1].centres[there[again]]], 1)
        shares = [first.shares[known][again], borders[1].shares[there[again]]]
        swapped = (pairs[one, 1] > pairs[other, 1])[again]
        shares[1][swapped] = shares[1][swapped, ::-1]
        self.is_joint = np.maximum(*shares) < _JOINT  # (j, 2), of either piece of a pair

    def by_pair(self, count: int) -> fitting.Joints:
        """The contacts of each piece that are short against its outline; others are borders of pieces that overlap."""
        ends = np.concatenate([self.pairs[self.is_joint[:, i], i] for i in range(2)])
        places = np.concatenate([self.places[self.is_joint[:, i]] for i in range(2)])
        order = np.argsort(ends, kind="stable")
        firsts = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=count))])
        return fitting.Joints(places[order], firsts)


def _chain(
    pairs: np.ndarray,
    accepted: np.ndarray,
    kept: np.ndarray,
    matrices: np.ndarray,
    both: tuple[Segments, Segments],
    touching: _Touching,
) -> Chains:
    moving = accepted[touching.pairs].all(1)
    areas = np.concatenate([[0], both[0].areas[pairs[accepted, 0]]])
    centres = np.concatenate([np.zeros((1, 2)), both[0].centroids[pairs[accepted, 0]]])
    return chain(matrices, areas, centres, kept[touching.pairs[moving]], touching.places[moving])


@njit()
def _trace(owners, bends, matrices, inverse, times, frame, layers, found, start, stop):
    """Paths of pixels, row by row; of `matrices` (k, times, 2, 3), the last takes frame 0 to frame 1."""
    last = len(times) - 1
    for y in range(start, stop):
        for x in range(owners.shape[1]):
            owner = owners[y, x]
            if owner < 0:
                continue
            found[8, y, x] = layers[owner]
            if owner == GROUND:
                continue
            bend_x, bend_y = bends[y, x]
            u, v = x + 0.0, y + 0.0
            if frame == 1:
                u, v = moved(inverse[owner], x, y)
                # In frame 1 the whole bend has been applied: start from the unbent position in frame 0, and undo it.
                u, v = u + bend_x, v + bend_y
                bend_x, bend_y = -bend_x, -bend_y
            for k in range(1, last + 1):
                place = last - k if frame == 1 else k
                t = times[place]
                p, q = moved(matrices[owner, place], u + t * bend_x, v + t * bend_y)
                channel = 0 if k == last else 2 * k
                found[channel, y, x], found[channel + 1, y, x] = p - x, q - y
            for k in range(1, last):
                found[2 * k, y, x] -= times[k] * found[0, y, x]
                found[2 * k + 1, y, x] -= times[k] * found[1, y, x]
