"""Flow of pieces that rotate, scale and bend, used alone, only where it is better than that of matching and search, or
only where a network loses them. In line drawings, the pieces are strokes.

In: two frames. Out: the flow in both directions, or paths (`_util.paths`), which give positions at every time.
"""

import cv2
import numpy as np
import torch
from scipy.ndimage import find_objects
from torch import Tensor

from _train.frame_interpolation.context import Context
from _train.frame_interpolation.flows import better, sgm
from _train.frame_interpolation.models.splatting import SplatSource, half_warp, splat_metric
from _train.frame_interpolation.rotation import carried_along, rotates
from _train.frame_interpolation.syntheses import FrameSynthesis
from _util import image, paths
from _util.dis import costs, unlikeness
from _util.flow import Flows, from_arrays, to_array
from _util.pieces.affine import angles
from _util.pieces.confidence import confidences
from _util.pieces.motion import Pieces, find
from _util.pieces.ownership import GROUND, UNKNOWN
from _util.sgm import SGM
from _util.sgm.motion import REFERENCE
from _util.strokes import motion as strokes
from _util.strokes.agreement import cost, unexplained
from _util.strokes.tracing import LinePoints, is_dense, scale_of, trace
from _util.tones import find_tones, share_of_ink

_NO_GROUND = 1.0  # depth order of what is not known to be ground
_BOW = 0.5  # minimum deviation from a straight path at t = 0.5, in pixels, of a piece that rotates
_CONFIDENCE = 0.8  # minimum, of a piece that rotates
_WORSE = 0.01  # tolerance of the mean matching cost (at most 1) against that of the flow
_BETTER = 0.95  # maximum disagreement along a rotating piece, relative to that along the flow
_CHEAP = 0.1  # cost of a flow on lines (at most 1.5) up to which the flow is kept
_MUCH_BETTER = 0.6  # maximum cost of strokes, relative to that of the flow
_UNEXPLAINED, _MOTIONS = 0.35, 20  # of strokes, at most; many motions, or lines left over, match by chance
_FAR = 2.0  # the same as _BOW for pieces that a network loses, in pixels at 540×960
_TURNED = 4.0  # degrees; pieces on a curve that rotate by less must be rigid and joined to one that rotates
_SURE, _SEEN = 0.85, 0.83  # minimum confidence of such a piece, and share of it that both frames show
_MISFIT = 0.4  # maximum difference between the outlines of a piece that is not long; more is a wrong match
_LONG = 0.22  # share of the square over its diagonal that a long piece fills at most
_FOLLOWED, _LINES_FOLLOWED = 0.8, 0.75  # overlap with what the network draws from which on pieces, or lines, are kept
_RIGID, _RIGID_FOLLOWED = 0.93, 0.9  # both minima from which on a piece is rigid if it hardly bends; overlap of such
_GROWN = 1.25  # maximum area that the network draws, relative to the piece's own; more is a wrong match
_UNLIKE = 24  # levels from which on a pixel is not what a motion says
_WITHIN_A_PIXEL = np.ones((3, 3), np.uint8)
_MOST_UNLIKE = 0.1  # maximum share of such pixels of a piece; more is a wrong match
_CUT = 0.6  # minimum ratio of the areas that both frames show of a piece; less is a wrong match
_SEEN_ONCE, _NOT_SEEN = 0.05, 0.1  # cost of pixels that one frame or none shows at t = 0.5; 1 is full disagreement


def pieces_alone(context: Context) -> "PieceFlow":
    return PieceFlow(sgm(context))


def pieces_and_search(context: Context) -> "PiecesAndSearch":
    return PiecesAndSearch(sgm(context))


def lost_strokes(context: Context, network: FrameSynthesis) -> "LostStrokes":
    return LostStrokes(sgm(context), network)


def lost_pieces(context: Context, network: FrameSynthesis) -> "LostPieces":
    return LostPieces(sgm(context), network)


class PieceFlow:
    """The motion of pieces alone; 0 where it is unknown."""

    def __init__(self, sgm: SGM):
        self.sgm = sgm

    def __call__(self, frame0: Tensor, frame1: Tensor) -> Flows:
        return _ends(self.paths(frame0, frame1))

    def paths(self, frame0: Tensor, frame1: Tensor) -> Flows:
        """The same motion as paths (1, 9, h, w)."""
        drawing = _line_drawing(frame0, frame1)
        if drawing is not None:
            return _paths(strokes.find(*drawing), frame0)
        return _paths(find(*image.pictures_of(frame0, frame1), self.sgm.match(frame0, frame1)), frame0)


class PiecesAndSearch(PieceFlow):
    """The motion of rotating pieces and of a resting ground where it is reliable, else that of `sgm+dis`.

    The rotation of a piece is accepted if its outlines fit, if it matches both frames about as well as the flow of
    `sgm+dis`, and if both frames, warped to t = 0.5, agree better along it: on the piece and on everything that it
    covers and uncovers, along both motions. Strokes are accepted all or none: if few motions map most lines of
    both drawings onto each other, much better than the flow.
    """

    def paths(self, frame0: Tensor, frame1: Tensor) -> Flows:
        """The motion as paths (1, 9, h, w); if nothing rotates, the flow of `sgm+dis` (1, 2, h, w)."""
        matching = self.sgm.match(frame0, frame1)
        straight = better(frame0, frame1, self.sgm.flow(frame0, frame1, matching))
        drawing = _line_drawing(frame0, frame1)
        if drawing is not None:
            return _strokes_or(straight, *drawing)
        pieces = find(*image.pictures_of(frame0, frame1), matching)
        matched = _paths(pieces, frame0)
        turns = _bows(pieces, matched) >= _BOW
        if pieces.is_line_art or not turns.any():
            return straight
        found = _find_themselves(frame0, frame1, pieces, matched, straight)
        turns &= found
        turns &= confidences(pieces, turns) >= _CONFIDENCE
        if turns.any():
            turns &= _agree_better(frame0, frame1, pieces, _composed(pieces, matched, straight, found), straight, turns)
        if not turns.any():
            return straight
        turns[GROUND] = found[GROUND]
        return _composed(pieces, matched, straight, turns)


class LostStrokes:
    """The motion of strokes of line drawings, as in `PiecesAndSearch`, where a network loses them; else none.

    Args:
        network: a synthesis that finds motion itself.
    """

    def __init__(self, sgm: SGM, network: FrameSynthesis):
        self.sgm, self.network = sgm, network

    def __call__(self, frame0: Tensor, frame1: Tensor) -> Flows | None:
        """The motion as paths (1, 9, h, w), or None."""
        drawing = _line_drawing(frame0, frame1)
        if drawing is None:
            return None
        found = _strokes_or(better(frame0, frame1, self.sgm(frame0, frame1)), *drawing)
        rotating = torch.cat([rotates(path) for path in found])
        if not rotating.any():
            return None
        overlaps, _ = carried_along(self.network, frame0, frame1, rotating, found)
        return found if overlaps[0] < _LINES_FOLLOWED else None


class LostPieces:
    """The motion of pieces of which some rotate far, and a network loses those; else none.

    What rotates must look the same in both frames: its outlines fit, and little of it is covered in either of them.

    Args:
        network: a synthesis that finds motion itself.
    """

    def __init__(self, sgm: SGM, network: FrameSynthesis):
        self.sgm, self.network = sgm, network

    def __call__(self, frame0: Tensor, frame1: Tensor) -> Flows | None:
        """The motion as paths (1, 9, h, w), straight where the network follows, or None."""
        pictures = image.pictures_of(frame0, frame1)
        pieces = find(*pictures, self.sgm.match(frame0, frame1))
        if pieces.is_line_art:
            return None
        matched, scale = _paths(pieces, frame0), (frame0[0, 0].numel() / REFERENCE) ** 0.5
        turned = np.abs(np.degrees(angles(pieces.chains.matrices))) >= _TURNED
        turns = turned | pieces.chains.joined_to(turned)
        bows = _bows(pieces, matched, turns)
        bends = _bends(pieces)
        turns &= (bows >= _BOW) & ((pieces.misfits <= _MISFIT) | _are_long(pieces))
        seen, unlike = _compared(pictures, pieces, matched)
        turns &= (unlike <= _MOST_UNLIKE) & _are_whole(pieces)
        sure = confidences(pieces, turns)
        turns &= (seen >= np.where(turned, _SEEN, _RIGID)) & (sure >= np.where(turned, _SURE, _RIGID))
        are_far = turns & (bows >= _FAR * scale)
        if not are_far.any():
            return None
        rotating = np.flatnonzero(turns)
        shown = np.stack([[owners == k for k in rotating] for owners in pieces.owners])
        masks = torch.from_numpy(shown).to(frame0)
        overlaps, areas = carried_along(self.network, frame0, frame1, masks, matched)
        is_rigid = (np.minimum(seen, sure) >= _RIGID) & (bends < _FAR * scale)
        is_lost = overlaps < torch.from_numpy(np.where(is_rigid, _RIGID_FOLLOWED, _FOLLOWED)[rotating]).to(overlaps)
        lost = np.zeros(len(turns), bool)
        lost[rotating] = (is_lost & (areas <= _GROWN)).cpu().numpy()
        lost &= are_far
        turns &= lost | pieces.chains.joined_to(lost & turned)
        turns &= turned | pieces.chains.joined_to(turns & turned)
        if not turns.any():
            return None
        return _before_others(pieces, matched, turns)


def _line_drawing(
    frame0: Tensor, frame1: Tensor
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[LinePoints, LinePoints]] | None:
    """The share of ink (h, w) and the lines of two line drawings; None for other frames and for lines too dense."""
    inks = []
    for frame in (frame0, frame1):
        picture = image.to_array(frame[0], np.float32)
        tones = find_tones(picture)
        if tones is None:
            return None
        inks.append(share_of_ink(picture, tones))
    lines = trace(inks[0]), trace(inks[1])
    return None if any(map(is_dense, lines)) else ((inks[0], inks[1]), lines)


def _strokes_or(straight: Flows, inks: tuple[np.ndarray, np.ndarray], lines: tuple[LinePoints, LinePoints]) -> Flows:
    """The paths of strokes if few motions map most lines onto lines, much better than the flow, else the flow."""
    pieces, scale = strokes.find(inks, lines), scale_of(inks[0].shape)
    if len(pieces.layers) - 1 > _MOTIONS:
        return straight
    matched = _paths(pieces, straight[0])
    by_strokes, by_flow = (
        (to_array(paths.flow(forth)), to_array(paths.flow(back))) for forth, back in (matched, straight)
    )
    if unexplained(lines, by_strokes, scale) > _UNEXPLAINED:
        return straight
    of_flow = cost(lines, by_flow, scale)
    return matched if of_flow > _CHEAP and cost(lines, by_strokes, scale) < _MUCH_BETTER * of_flow else straight


def _bows(pieces: Pieces, matched: Flows, of: np.ndarray | None = None) -> np.ndarray:
    """(k,): each piece's maximum deviation from a straight path at t = 0.5, in pixels; 0 where `of` (k,) is false."""
    found = np.zeros(len(pieces.layers))
    measured = np.append(np.ones(len(found), bool) if of is None else of, False)
    for owners, path in zip(pieces.owners, matched, strict=True):
        is_measured = measured[owners]
        x, y = paths.off_straight(path, 0.5)[0].cpu().numpy()[:, is_measured]
        np.maximum.at(found, owners[is_measured], np.hypot(x, y))
    return found


def _bends(pieces: Pieces) -> np.ndarray:
    """(k,): the mean length of each piece's bends, in pixels."""
    sums = 0.0
    for owners, bends in zip(pieces.owners, pieces.bends, strict=True):
        known = owners != UNKNOWN
        sums = sums + np.bincount(owners[known], np.linalg.norm(bends[known], axis=1), len(pieces.layers))
    return sums / np.maximum(np.add(*_areas(pieces)), 1)


def _are_whole(pieces: Pieces) -> np.ndarray:
    """(k,): whether neither frame shows much less of a piece than the other."""
    areas = _areas(pieces)
    return np.minimum(*areas) >= _CUT * np.maximum(*areas)


def _are_long(pieces: Pieces) -> np.ndarray:
    """(k,): whether a piece fills little of the square over the diagonal of its bounds in frame 0, as limbs do."""
    bounds = find_objects(pieces.owners[0] + 1, len(pieces.layers))
    squares = [sum((side.stop - side.start) ** 2 for side in sides) if sides else 1 for sides in bounds]
    return _areas(pieces)[0] <= _LONG * np.array(squares)


def _areas(pieces: Pieces) -> list[np.ndarray]:
    """Twice (k,): the area of each piece in either frame, in pixels."""
    return [np.bincount(owners.ravel() + 1, minlength=len(pieces.layers) + 1)[1:] for owners in pieces.owners]


def _composed(pieces: Pieces, matched: Flows, straight: Flows, chosen: np.ndarray) -> Flows:
    """The paths of the chosen pieces (k,), and the flow elsewhere."""
    found = []
    for owners, path, flow in zip(pieces.owners, matched, straight, strict=True):
        is_chosen = torch.from_numpy(np.append(chosen, False)[owners])  # the last entry is for unknown owners, -1
        found.append(torch.where(is_chosen.to(path.device), path, paths.straight(flow, _NO_GROUND)))
    return Flows(*found)


def _before_others(pieces: Pieces, matched: Flows, turns: np.ndarray) -> Flows:
    """The paths of pieces that rotate (k,), in front of others of their layer, which move straight."""
    orders = torch.from_numpy(np.append(pieces.layers - np.isin(pieces.layers, pieces.layers[turns]), 0)).clamp(min=0)
    found = []
    for owners, path in zip(pieces.owners, matched, strict=True):
        owners = torch.from_numpy(owners).long()
        straight = paths.straight(paths.flow(path))
        straight[:, -1] = orders[owners].to(path).where(path[:, -1] != paths.NOT_DRAWN, paths.NOT_DRAWN)
        found.append(torch.where(torch.from_numpy(np.append(turns, False))[owners].to(path.device), path, straight))
    return Flows(*found)


def _compared(pictures: tuple[np.ndarray, np.ndarray], pieces: Pieces, matched: Flows) -> tuple[np.ndarray, np.ndarray]:
    """How much of each piece finds itself in the other frame, of what does not land behind other pieces there.

    Returns:
        (k,) in [0, 1]: the share that lands on the same piece, the lower of both directions; (k,) in [0, 1]: the share
        that differs from all within a pixel of where it lands.
    """
    count, layers = len(pieces.layers), np.append(pieces.layers, -1)
    seen, unlike, areas = np.ones(count), np.zeros(count), np.zeros(count)
    for i, (owners, others, path) in enumerate(zip(pieces.owners, pieces.owners[::-1], matched, strict=True)):
        places = _landings(path, 1)
        landed = others.ravel()[places]
        shown = (owners != UNKNOWN) & ((landed == owners) | (layers[landed] <= layers[owners]))
        own, same = owners[shown], landed[shown] == owners[shown]
        darkest, lightest = (
            of(pictures[1 - i], _WITHIN_A_PIXEL).reshape(-1, 3)[places[shown]] for of in (cv2.erode, cv2.dilate)
        )
        here = pictures[i][shown]
        differs = (np.maximum(cv2.subtract(here, lightest), cv2.subtract(darkest, here)) > _UNLIKE).any(1)
        pixels = np.bincount(own, minlength=count)
        seen = np.minimum(seen, np.bincount(own, same, count) / pixels.clip(min=1))
        unlike, areas = unlike + np.bincount(own, differs, count), areas + pixels
    return seen, unlike / areas.clip(min=1)


def _find_themselves(frame0: Tensor, frame1: Tensor, pieces: Pieces, matched: Flows, straight: Flows) -> np.ndarray:
    """(k,): whether the part of a piece visible in both frames matches about as well by its motion as by the flow."""
    pictures, count = image.pictures_of(frame0, frame1), len(pieces.layers)
    is_found = np.ones(count, bool)
    for i, (path, flow) in enumerate(zip(matched, straight, strict=True)):
        owners = pieces.owners[i]
        visible = (owners != UNKNOWN) & (pieces.owners[1 - i].ravel()[_landings(path, 1)] == owners)
        motions = [to_array(motion) for motion in (paths.flow(path), flow)]
        by_piece, by_flow = (
            np.bincount(owners[visible], cost[visible], count)
            for cost in costs(pictures[i], pictures[1 - i], motions)
        )  # fmt: skip
        is_found &= by_piece <= by_flow + _WORSE * np.bincount(owners[visible], minlength=count)
    return is_found


def _agree_better(
    frame0: Tensor, frame1: Tensor, pieces: Pieces, turned: Flows, straight: Flows, turns: np.ndarray
) -> np.ndarray:
    """(k,): whether both frames, warped to t = 0.5, agree better along paths than along the flow, on all pixels where a
    rotating piece lands along either."""
    places, size, count = [], frame0.shape[2] * frame0.shape[3], len(turns)
    for i, owners in enumerate(pieces.owners):
        is_turning = np.append(turns, False)[owners]
        pixels = owners[is_turning].astype(np.int64) * size
        places += [pixels + _landings(motion[i], 0.5)[is_turning] for motion in (turned, straight)]
    piece, place = np.divmod(np.unique(np.concatenate(places)), size)
    along_paths, along_flow = (
        np.bincount(piece, _disagreement(frame0, frame1, motion).ravel()[place], count) for motion in (turned, straight)
    )
    return along_paths < _BETTER * along_flow


def _disagreement(frame0: Tensor, frame1: Tensor, motion: Flows) -> np.ndarray:
    """(h, w) in [0, 1]: how much the frames differ when both are warped to t = 0.5."""
    source = SplatSource(torch.cat([frame0, frame1]), torch.cat(motion), splat_metric(frame0, frame1, *motion))
    warp = half_warp(source, 0.5)
    moved = [image.to_array(warped[0].clamp(0, 1), np.uint8) for warped in warp.warps]
    shown = [mask[0, 0].cpu().numpy() > 0.5 for mask in warp.masks]
    seen_less = np.where(shown[0] | shown[1], _SEEN_ONCE, _NOT_SEEN)
    return np.where(shown[0] & shown[1], unlikeness(*moved), seen_less)


def _landings(motion: Tensor, t: float) -> np.ndarray:
    """(h, w) int64: the flat index of the pixel where each pixel is at time t, clamped to the frame."""
    x, y = paths.at(motion, t)[0].cpu().numpy()
    h, w = x.shape
    column = np.rint(x + np.arange(w)).astype(np.int64).clip(0, w - 1)
    return np.rint(y + np.arange(h)[:, None]).astype(np.int64).clip(0, h - 1) * w + column


def _ends(motion: Flows) -> Flows:
    return Flows(*(paths.flow(path).contiguous() for path in motion))


def _paths(pieces: Pieces, like: Tensor) -> Flows:
    return from_arrays(pieces.paths(), like.device)
