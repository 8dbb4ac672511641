"""Flow of pieces that rotate, scale and bend, used alone, or only where it is better than that of matching and search.
In line drawings, the pieces are strokes.

In: two frames. Out: the flow in both directions, or paths (`_util.paths`), which give positions at every time.
"""

import numpy as np
import torch
from torch import Tensor

from _train.frame_interpolation.context import Context
from _train.frame_interpolation.flows import better, sgm
from _train.frame_interpolation.models.splatting import SplatSource, half_warp, splat_metric
from _util import image, paths
from _util.dis import costs, dissimilarity
from _util.flow import Flows, from_arrays, to_array
from _util.pieces.confidence import confidences
from _util.pieces.motion import Pieces, find
from _util.pieces.ownership import GROUND, UNKNOWN
from _util.sgm import SGM
from _util.sgm.motion import scale_of
from _util.strokes import motion as strokes
from _util.strokes.agreement import cost, unexplained
from _util.strokes.tracing import LinePoints, is_dense, trace
from _util.tones import find_tones, share_of_ink

_NO_GROUND = 1.0  # depth order of what is not known to be ground
MIN_DEVIATION = 0.5  # minimum deviation from a straight path at t = 0.5, in pixels, of a piece that rotates
_CONFIDENCE = 0.8  # minimum, of a piece that rotates
_WORSE = 0.01  # tolerance of the mean matching cost (at most 1) against that of the flow
_BETTER = 0.95  # maximum disagreement along a rotating piece, relative to that along the flow
_CHEAP = 0.1  # cost of a flow on lines (at most 1.5) up to which the flow is kept
_MUCH_BETTER = 0.6  # maximum cost of strokes, relative to that of the flow
_UNEXPLAINED, _MOTIONS = 0.35, 20  # of strokes, at most; many motions, or lines left over, match by chance
_SEEN_ONCE, _NOT_SEEN = 0.05, 0.1  # cost of pixels that one frame or none shows at t = 0.5; 1 is full disagreement


def pieces_alone(context: Context) -> "PieceFlow":
    return PieceFlow(sgm(context))


def pieces_and_search(context: Context) -> "PiecesAndSearch":
    return PiecesAndSearch(sgm(context))


class PieceFlow:
    """The motion of pieces alone; 0 where it is unknown."""

    def __init__(self, sgm: SGM):
        self.sgm = sgm

    def __call__(self, frame0: Tensor, frame1: Tensor) -> Flows:
        return _ends(self.paths(frame0, frame1))

    def paths(self, frame0: Tensor, frame1: Tensor) -> Flows:
        """The same motion as paths (1, 9, h, w)."""
        drawing = line_drawing(frame0, frame1)
        if drawing is not None:
            return paths_of(strokes.find(*drawing), frame0)
        return paths_of(find(*image.pictures_of(frame0, frame1), self.sgm.match(frame0, frame1)), frame0)


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
        drawing = line_drawing(frame0, frame1)
        if drawing is not None:
            found = matched_strokes(straight, *drawing)
            return found[1] if found else straight
        pieces = find(*image.pictures_of(frame0, frame1), matching)
        matched = paths_of(pieces, frame0)
        turns = deviations_of(pieces, matched) >= MIN_DEVIATION
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


def line_drawing(
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


def matched_strokes(
    straight: Flows, inks: tuple[np.ndarray, np.ndarray], lines: tuple[LinePoints, LinePoints]
) -> tuple[Pieces, Flows] | None:
    """Strokes and their paths if few motions map most lines onto lines, much better than the flow `straight`."""
    pieces, scale = strokes.find(inks, lines), scale_of(inks[0].shape)
    if len(pieces.layers) - 1 > _MOTIONS:
        return None
    matched = paths_of(pieces, straight[0])
    by_strokes, by_flow = (
        (to_array(paths.flow(forth)), to_array(paths.flow(back))) for forth, back in (matched, straight)
    )
    if unexplained(lines, by_strokes, scale) > _UNEXPLAINED:
        return None
    of_flow = cost(lines, by_flow, scale)
    is_better = of_flow > _CHEAP and cost(lines, by_strokes, scale) < _MUCH_BETTER * of_flow
    return (pieces, matched) if is_better else None


def deviations_of(pieces: Pieces, matched: Flows) -> np.ndarray:
    """(k,): each piece's maximum deviation from a straight path at t = 0.5, in pixels."""
    found = np.zeros(len(pieces.layers))
    for owners, path in zip(pieces.owners, matched, strict=True):
        is_curved = (owners != UNKNOWN) & paths.offsets(path)[0].cpu().numpy().any(0)
        x, y = paths.off_straight(_selected(path, is_curved), 0.5)[0].cpu().numpy()
        np.maximum.at(found, owners[is_curved], np.hypot(x, y).astype(float))  # of one type it is 20 times as fast
    return found


def by_pixel(values: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """(h, w): the value (k,) of the piece that each pixel belongs to; 0 or false where it is not known."""
    return np.append(values, values.dtype.type(0))[owners]


def _composed(pieces: Pieces, matched: Flows, straight: Flows, chosen: np.ndarray) -> Flows:
    """The paths of the chosen pieces (k,), and the flow elsewhere."""
    found = []
    for owners, path, flow in zip(pieces.owners, matched, straight, strict=True):
        is_chosen = torch.from_numpy(by_pixel(chosen, owners))
        found.append(torch.where(is_chosen.to(path.device), path, paths.straight(flow, _NO_GROUND)))
    return Flows(*found)


def _find_themselves(frame0: Tensor, frame1: Tensor, pieces: Pieces, matched: Flows, straight: Flows) -> np.ndarray:
    """(k,): whether the part of a piece visible in both frames matches about as well by its motion as by the flow."""
    pictures, count = image.pictures_of(frame0, frame1), len(pieces.layers)
    is_found = np.ones(count, bool)
    for i, (path, flow) in enumerate(zip(matched, straight, strict=True)):
        owners = pieces.owners[i]
        visible = owners != UNKNOWN
        visible[visible] = pieces.owners[1 - i].ravel()[landings(path, 1, visible)] == owners[visible]
        motions = [to_array(motion) for motion in (paths.flow(path), flow)]
        by_piece, by_flow = (
            np.bincount(owners[visible], unlike[visible], count)
            for unlike in costs(pictures[i], pictures[1 - i], motions)
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
        is_turning = by_pixel(turns, owners)
        pixels = owners[is_turning].astype(np.int64) * size
        places += [pixels + landings(motion[i], 0.5, is_turning) for motion in (turned, straight)]
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
    return np.where(shown[0] & shown[1], dissimilarity(*moved), seen_less)


def landings(motion: Tensor, t: float, chosen: np.ndarray) -> np.ndarray:
    """(n,) int64: the flat index of the pixel where each of n chosen pixels is at time t, clamped to the frame.

    Args:
        chosen: (h, w) bool.
    """
    h, w = chosen.shape
    x, y = paths.at(_selected(motion, chosen), t)[0].cpu().numpy()
    row, column = np.nonzero(chosen)
    column = np.rint(x + column).astype(np.int64).clip(0, w - 1)
    return np.rint(y + row).astype(np.int64).clip(0, h - 1) * w + column


def _selected(motion: Tensor, chosen: np.ndarray) -> Tensor:
    """The motion (1, c, n) of chosen pixels (h, w)."""
    return motion.flatten(2).index_select(2, torch.from_numpy(np.flatnonzero(chosen)).to(motion.device))


def _ends(motion: Flows) -> Flows:
    return Flows(*(paths.flow(path).contiguous() for path in motion))


def paths_of(pieces: Pieces, like: Tensor) -> Flows:
    return from_arrays(pieces.paths(), like.device)
