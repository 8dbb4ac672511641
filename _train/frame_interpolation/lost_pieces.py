"""Pieces that rotate or move far, and strokes of line drawings, where a network loses them.

In: two frames, and a network that finds motion itself. Out: paths (`_util.paths`), or None where the network draws
everything better. A piece must pass many tests, since one that is matched badly does more harm than one that is lost.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import torch
from scipy.ndimage import find_objects
from torch import Tensor

from _train.frame_interpolation.flatness import areas_of
from _train.frame_interpolation.flows import better
from _train.frame_interpolation.piece_flows import (
    MIN_DEVIATION,
    by_pixel,
    deviations_of,
    landings,
    line_drawing,
    matched_strokes,
    paths_of,
)
from _train.frame_interpolation.rotation import carried_along
from _train.frame_interpolation.syntheses import FrameSynthesis
from _util import image, paths
from _util.flow import Flows
from _util.pieces.affine import angles
from _util.pieces.confidence import confidences
from _util.pieces.motion import FittedPieces, Pieces, complete, fit
from _util.pieces.ownership import UNKNOWN
from _util.pieces.parting import LONG
from _util.sgm import SGM
from _util.sgm.motion import scale_of

_FLAT = 0.75  # minimum share of flat pixels of a flat piece, off edges
_OFF_EDGES = 0.1  # minimum share of these of its pixels
_TURNED = 4.0  # degrees; pieces on a curve that rotate by less must be rigid and joined to one that rotates
_MOST_TURNED = 150.0  # degrees on what it is joined to; more is rather a smile that becomes a frown
_SHIFTED = 60.0  # minimum displacement of a piece that moves far without rotating, in pixels at 540×960
_NEARLY = 0.8  # share of _TURNED and _SHIFTED that bends and joints may complete
_TOGETHER = 30.0  # difference of displacements up to which joined pieces move alike, in pixels at 540×960
_ALONG = 6.0  # the same, up to which a piece that matches badly is drawn along, as a tyre whose spokes rotate
_MOST_OF = 0.6  # minimum share of the area of what moves far together that matches well; else none of it is drawn
_SURE, _SEEN = 0.85, 0.83  # minimum confidence of a piece that rotates, and share of it that both frames show
_RIGID = 0.93  # minimum of both from which on a piece is rigid if it hardly bends
_MISFIT = 0.4  # maximum difference between the outlines of a piece that is not long; more is a wrong match
_UNLIKE = 24  # levels from which on a pixel is not what a motion says
_MOST_UNLIKE = 0.1  # maximum share of such pixels of a piece; more is a wrong match
_WITHIN_A_PIXEL = np.ones((3, 3), np.uint8)
_CUT = 0.6  # minimum ratio of the areas that both frames show of a piece; less is a wrong match
_FAR = 2.0  # minimum deviation from a straight path that a network may lose, in pixels at 540×960
_BENT = 2.0  # mean bend from which on a piece is not rigid, in pixels at 540×960
_FOLLOWED = 0.8  # overlap with what the network draws from which on it follows a piece
_RIGID_FOLLOWED = 0.9  # the same of rigid pieces
_MOVED_FOLLOWED = 0.75  # the same of pieces that move far without rotating, which networks fade rather than bend
_LINES_FOLLOWED = 0.75  # the same of lines
_GROWN = 1.25  # maximum area that the network draws, relative to the piece's own; more is a wrong match


class LostStrokes:
    """The motion of strokes of line drawings, of which some rotate, and a network loses those; else none.

    Args:
        network: a synthesis that finds motion itself.
    """

    def __init__(self, sgm: SGM, network: FrameSynthesis):
        self.sgm, self.network = sgm, network

    def __call__(self, frame0: Tensor, frame1: Tensor) -> Flows | None:
        """The motion as paths (1, 9, h, w), or None."""
        drawing = line_drawing(frame0, frame1)
        if drawing is None:
            return None
        found = matched_strokes(better(frame0, frame1, self.sgm(frame0, frame1)), *drawing)
        if found is None:
            return None
        pieces, matched = found
        turns = (deviations_of(pieces, matched) >= MIN_DEVIATION) & ~pieces.torn
        if not turns.any():
            return None
        overlaps, _ = _carried_along(self.network, frame0, frame1, pieces, matched, turns)
        turns &= overlaps < _LINES_FOLLOWED
        return _before_others(pieces, matched, turns) if turns.any() else None


class LostPieces:
    """The motion of pieces of which some rotate or move far, and a network loses those; else none.

    They must look the same in both frames: their outlines fit, and little of them is covered in either frame. What only
    moves must be rigid, and its match unambiguous (`Pieces.are_anchored`), or be joined to such a piece.

    Args:
        network: a synthesis that finds motion itself.
    """

    def __init__(self, sgm: SGM, network: FrameSynthesis):
        self.sgm, self.network = sgm, network

    def __call__(self, frame0: Tensor, frame1: Tensor, flat_alone: bool = False) -> Flows | None:
        """The motion as paths (1, 9, h, w), straight where the network follows, or None.

        Args:
            flat_alone: only pieces of flat colours count, as others are often matched by chance.
        """
        pictures = image.pictures_of(frame0, frame1)
        fitted, scale = fit(*pictures, self.sgm.match(frame0, frame1)), scale_of(frame0.shape[2:])
        if fitted.is_line_art or not _may_be_lost(fitted, scale):
            return None
        pieces = complete(fitted)
        matched = paths_of(pieces, frame0)
        candidates = _are_flat(pictures, pieces) if flat_alone else np.full(len(pieces.layers), True)
        found = _find_turning(pictures, pieces, matched, candidates, scale)
        if not (found.turns & found.are_far).any():
            return None
        lost = found.are_far & self._are_lost(frame0, frame1, pieces, matched, found)
        joined_to, is_turned = pieces.chains.joined_to, found.is_turned
        figures = _spread(lost & found.moves_far, joined_to, found.moves_far)  # whole, as parts left behind are hidden
        turns = found.turns & (lost | np.where(found.moves_far, figures, joined_to(lost & is_turned)))
        turns &= is_turned | joined_to(turns & is_turned)
        return _before_others(pieces, matched, turns) if turns.any() else None

    def _are_lost(
        self, frame0: Tensor, frame1: Tensor, pieces: Pieces, matched: Flows, found: "_Turning"
    ) -> np.ndarray:
        """(k,): whether a piece turns and the network does not carry it along."""
        overlaps, areas = _carried_along(self.network, frame0, frame1, pieces, matched, found.turns)
        followed = np.where(found.are_rigid, _RIGID_FOLLOWED, _FOLLOWED).astype(overlaps.dtype)
        followed[found.moves_far] = _MOVED_FOLLOWED
        return found.turns & (overlaps < followed) & ((areas <= _GROWN) | found.moves_far)


def _carried_along(
    network: FrameSynthesis, frame0: Tensor, frame1: Tensor, pieces: Pieces, matched: Flows, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`carried_along` of chosen pieces (k,) bool: twice (k,), 0 for others."""
    numbers = np.flatnonzero(chosen)
    shown = np.stack([[owners == k for k in numbers] for owners in pieces.owners])
    found = np.zeros((2, len(chosen)), np.float32)
    for of, values in zip(
        found, carried_along(network, frame0, frame1, torch.from_numpy(shown).to(frame0.device), matched), strict=True
    ):
        of[numbers] = values.detach().float().cpu().numpy()
    return found[0], found[1]


class _Turning(NamedTuple):
    """Which of k pieces turn, or move far without that; each (k,) bool."""

    turns: np.ndarray  # on an arc or far, matched well
    is_turned: np.ndarray  # by itself, not only carried along by another
    are_far: np.ndarray  # off the straight path or on it, by as much as a network may lose
    are_rigid: np.ndarray  # matched very well, and hardly bent
    moves_far: np.ndarray  # without rotating


def _may_be_lost(fitted: FittedPieces, scale: float) -> bool:
    """Whether a piece rotates or moves by about as much as a network may lose."""
    turned = np.abs(fitted.rotations()) >= _NEARLY * _TURNED
    return bool((turned | (fitted.displacements() >= _NEARLY * _SHIFTED * scale)).any())


def _find_turning(
    pictures: tuple[np.ndarray, np.ndarray], pieces: Pieces, matched: Flows, candidates: np.ndarray, scale: float
) -> _Turning:
    chains, joined_to = pieces.chains, pieces.chains.joined_to
    rotations = np.degrees(angles(chains.matrices))
    is_turned = np.abs(rotations) >= _TURNED
    bows, areas = deviations_of(pieces, matched), _areas(pieces)
    ways = _displacements(pieces, matched, areas[0])
    turns = (is_turned | joined_to(is_turned)) & (bows >= MIN_DEVIATION)
    shifts = ~is_turned & (np.hypot(*ways) >= _SHIFTED * scale)
    matches = candidates & (turns | shifts) & ((pieces.misfits <= _MISFIT) | _are_long(pieces, areas[0]))
    matches &= np.minimum(*areas) >= _CUT * np.maximum(*areas)
    relative = (rotations - np.where(chains.parents < 0, 0, rotations[chains.parents]) + 180) % 360 - 180
    matches &= np.maximum(np.abs(relative), np.abs(rotations[chains.roots()])) <= _MOST_TURNED
    matches &= ~_come_off(pieces, matches & turns, is_turned)
    seen, unlike = _compared(pictures, pieces, matched, matches)
    matches &= unlike <= _MOST_UNLIKE
    sure = confidences(pieces, matches)
    are_sure = np.minimum(seen, sure) >= _RIGID
    matches &= are_sure | ((seen >= _SEEN) & (sure >= _SURE))
    are_rigid = are_sure & (_bends(pieces, matches, np.add(*areas)) < _BENT * scale)
    moves_far = _spread(shifts & matches & are_rigid & pieces.are_anchored, joined_to, shifts & matches)
    together = _moving_together(pieces, ways, _TOGETHER * scale)
    share = (together & moves_far & ~pieces.torn) @ areas[0] / ((together & shifts) @ areas[0]).clip(min=1)
    moves_far &= share >= _MOST_OF
    along = _moving_together(pieces, ways, _ALONG * scale) & moves_far
    moves_far |= shifts & (pieces.misfits <= _MISFIT) & along.any(1)
    turns &= matches & (is_turned | are_sure)
    return _Turning(turns | moves_far, is_turned | moves_far, (bows >= _FAR * scale) | moves_far, are_rigid, moves_far)


def _moving_together(pieces: Pieces, ways: np.ndarray, apart: float) -> np.ndarray:
    """(k, k): whether two pieces are joined, directly or by way of others, and their displacements `ways` (2, k) differ
    by at most `apart` pixels."""
    roots = pieces.chains.roots()
    return (roots[:, None] == roots) & (np.hypot(*(ways[:, :, None] - ways[:, None])) <= apart)


def _displacements(pieces: Pieces, matched: Flows, areas: np.ndarray) -> np.ndarray:
    """(2, k): the mean displacement from frame 0 to frame 1, x and y, in pixels, of pieces of areas (k,) in frame 0."""
    owners = pieces.owners[0]
    known = owners != UNKNOWN
    sums = [np.bincount(owners[known], of[known], len(pieces.layers)) for of in paths.flow(matched[0])[0].cpu().numpy()]
    return np.stack(sums) / areas.clip(min=1)


def _are_flat(pictures: tuple[np.ndarray, np.ndarray], pieces: Pieces) -> np.ndarray:
    """(k,): whether pieces are of flat colours in both frames, apart from edges."""
    found = np.full(len(pieces.layers), True)
    for picture, owners in zip(pictures, pieces.owners, strict=True):
        all_, inside, flat = (
            np.bincount(owners[mask & (owners >= 0)], minlength=len(found)) for mask in (np.True_, *areas_of(picture))
        )
        found &= (flat >= _FLAT * inside) & (inside >= _OFF_EDGES * all_)
    return found


def _bends(pieces: Pieces, chosen: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """(k,): the mean length of each chosen piece's bends, in pixels; 0 for others. `areas` (k,) are of both frames."""
    sums = 0.0
    for owners, bends in zip(pieces.owners, pieces.bends, strict=True):
        known = by_pixel(chosen, owners)
        sums = sums + np.bincount(owners[known], np.linalg.norm(bends[known], axis=1), len(pieces.layers))
    return sums / np.maximum(areas, 1)


def _come_off(pieces: Pieces, turns: np.ndarray, is_turned: np.ndarray) -> np.ndarray:
    """(k,): whether a piece that turns comes off what it touches, or is joined to one that does.

    What is joined to a piece that does not turn, as an arm to a body, comes off nothing unless it parts from it.
    """
    comes_off = pieces.parted | (pieces.torn & is_turned[pieces.chains.roots()])
    return _spread(turns & comes_off, pieces.chains.joined_to, turns)


def _spread(pieces: np.ndarray, joined_to: Callable[[np.ndarray], np.ndarray], among: np.ndarray) -> np.ndarray:
    """Pieces (k,) bool, and those among others (k,) bool that are joined to them, directly or by way of such."""
    found = pieces.copy()
    while (more := among & ~found & joined_to(found)).any():
        found |= more
    return found


def _are_long(pieces: Pieces, areas: np.ndarray) -> np.ndarray:
    """(k,): whether a piece, of areas (k,), fills little of the square over the diagonal of its bounds in frame 0, as
    limbs do."""
    bounds = find_objects(pieces.owners[0] + 1, len(pieces.layers))
    squares = [sum((side.stop - side.start) ** 2 for side in sides) if sides else 1 for sides in bounds]
    return areas <= LONG * np.array(squares)


def _areas(pieces: Pieces) -> list[np.ndarray]:
    """Twice (k,): the area of each piece in either frame, in pixels."""
    return [np.bincount(owners.ravel() + 1, minlength=len(pieces.layers) + 1)[1:] for owners in pieces.owners]


def _before_others(pieces: Pieces, matched: Flows, turns: np.ndarray) -> Flows:
    """The paths of pieces that rotate or move far (k,), in front of others of their layer, which the network draws."""
    orders = np.maximum(pieces.layers - np.isin(pieces.layers, pieces.layers[turns]), 0)
    found = []
    for owners, path in zip(pieces.owners, matched, strict=True):
        order, is_turning = (torch.from_numpy(by_pixel(of, owners)).to(path.device) for of in (orders, turns))
        drawn = paths.as_curved(path)
        paths.offsets(drawn).masked_fill_(~is_turning, 0)
        drawn[:, -1] = drawn[:, -1].where(is_turning | (path[:, -1] == paths.NOT_DRAWN), order.to(path))
        found.append(drawn)
    return Flows(*found)


def _compared(
    pictures: tuple[np.ndarray, np.ndarray], pieces: Pieces, matched: Flows, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much of each chosen piece finds itself in the other frame, of what does not land behind other pieces there.

    Args:
        chosen: (k,) bool.

    Returns:
        (k,) in [0, 1]: the share that lands on the same piece, the lower of both directions; (k,) in [0, 1]: the share
        that differs from all within a pixel of where it lands. Both are 0 for other pieces.
    """
    count, layers = len(pieces.layers), np.append(pieces.layers, -1)
    seen, unlike, areas = np.ones(count), np.zeros(count), np.zeros(count)
    for i, (owners, others, path) in enumerate(zip(pieces.owners, pieces.owners[::-1], matched, strict=True)):
        is_chosen = by_pixel(chosen, owners)
        own, places = owners[is_chosen], landings(path, 1, is_chosen)
        landed = others.ravel()[places]
        shown = (landed == own) | (layers[landed] <= layers[own])
        own, places, here = own[shown], places[shown], pictures[i][is_chosen][shown]
        darkest, lightest = (
            of(pictures[1 - i], _WITHIN_A_PIXEL).reshape(-1, 3)[places] for of in (cv2.erode, cv2.dilate)
        )
        nearest = here.clip(darkest, lightest)
        differs = (np.maximum(here, nearest) - np.minimum(here, nearest) > _UNLIKE).any(1)
        pixels = np.bincount(own, minlength=count)
        seen = np.minimum(seen, np.bincount(own, landed[shown] == own, count) / pixels.clip(min=1))
        unlike, areas = unlike + np.bincount(own, differs, count), areas + pixels
    return seen, unlike / areas.clip(min=1)
