"""In-betweens that follow hints, with any method.

1. The pieces that hints move (see `cutouts`) are cut out of both keys. The holes are filled from the other key along
   the motion around them, or by inpainting where neither key shows what is behind.
2. Hints on the ground deform it smoothly around them.
3. The pipeline draws the in-between of the ground. It draws that of each piece from two cut-outs which are aligned by
   the motion of the piece, so little motion is left to find.
4. The pieces are composited onto the ground, each moved to its place at the given time.
5. The result is blended with the automatic in-between, which is unchanged beyond a quarter of the width from any hint.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from _train.frame_interpolation import pipeline
from _train.frame_interpolation.guides import cutouts
from _train.frame_interpolation.guides.cut_keys import CutKey, disc
from _train.frame_interpolation.guides.cutouts import Piece
from _train.frame_interpolation.guides.hints import Hint
from _train.frame_interpolation.guides.parted import AutomaticMotion
from _train.frame_interpolation.pipeline import Pipeline
from _util import alpha, image
from _util.inpainting import push_pull
from _util.similarity import Similarity, warped

REACH = 0.25  # of the width
_FULL = 0.17  # of the width, up to which hints have full effect
_EDGE = 2  # pixels around a piece that are filled as well
_BLEEDS = 6  # pixels around a piece in which the motion may be the piece's
_RETURNS = 2.5  # pixels; largest error of forward-backward consistency
_MARGIN = 8  # pixels around a piece that is drawn by itself
_SMALLEST = 16
_MEETS = 2.0  # pixels within which the automatic motion meets a hint on ground
_SPREAD, _LEAST_SPREAD, _MOST_SPREAD = 0.5, 0.03, 0.075  # of a hint on ground: of its length; of the width


class _Layer(NamedTuple):
    piece: Piece
    prepared: pipeline.PreparedPair
    corner: complex  # of its canvas, in key 0
    size: tuple[int, int]  # of its canvas, (h, w)


class Attached(NamedTuple):
    """k masks of key 0, attached to each of the pictures that an in-between is composed of.

    Attributes:
        automatic, rest: (2, k, h, w), in both keys; None without masks.
        layers: for each piece, k arrays of the size of its canvas.
    """

    automatic: Tensor | None
    rest: Tensor | None
    layers: list[list[np.ndarray]]


class PreparedHints:
    """A pair of keys and their hints, prepared for drawing at any time.

    Args:
        frame0, frame1: (1, 3, h, w) RGB or (1, 4, h, w) RGBA in [0, 1].
        hints: all within the frames.
    """

    def __init__(self, pipe: Pipeline, frame0: Tensor, frame1: Tensor, hints: Sequence[Hint]):
        self.pipeline, self.device = pipe, frame0.device
        self.automatic = pipe.prepare(frame0, frame1)
        flows = [flow[0].float().cpu().numpy() for flow in pipe.flow(self.automatic)]
        frames = [_array(frame) for frame in (frame0, frame1)]
        keys = [CutKey(_array(seen)) for seen in _seen(frame0, frame1)]
        self.share = _share(hints, frames[0].shape[:2])
        pieces = cutouts.find(keys[0], keys[1], hints, flows[0], self.share > 0)
        masks = [[piece.mask0 for piece in pieces], [piece.mask1 for piece in pieces]]
        rest = _without(frames, masks, flows)
        on_ground = cutouts.loose(keys[0], keys[1], hints)
        self.shift = _Shift(on_ground, flows[0], frames[0].shape[:2]) if len(on_ground) else None
        if self.shift is not None:
            rest = _moved(rest[0], -0.5 * self.shift.at(0)), _moved(rest[1], 0.5 * self.shift.at(1))
        self.rest = pipe.prepare(self._tensor(rest[0]), self._tensor(rest[1]))
        self.layers = [self._layer(frames, piece) for piece in pieces]

    def frames(self, times: Sequence[float]) -> Tensor:
        """The frames (n, c, h, w) at times in (0, 1)."""
        nothing = Attached(None, None, [[] for _ in self.layers])
        return torch.cat([self.carry(one, nothing)[0] for one in times])

    def attach(self, masks: Tensor) -> Attached:
        """Masks (1, k, h, w) of key 0, for `carry`."""
        of_rest = of_key = list(masks[0].float().cpu().numpy())
        if self.shift is not None:
            of_rest = [_read(mask, -0.5 * self.shift.at(0)) for mask in of_key]
        return Attached(
            AutomaticMotion(self.pipeline, self.automatic).attach(masks),
            AutomaticMotion(self.pipeline, self.rest).attach(self._tensor(np.dstack(of_rest)).to(masks)),
            [[warped(mask, Similarity(1, -one.corner), one.size) for mask in of_key] for one in self.layers],
        )

    def carry(self, t: float, attached: Attached) -> tuple[Tensor, Tensor]:
        """The frame (1, c, h, w) at time t in (0, 1), and the masks moved to that time, (1, k, h, w)."""
        automatic = self.pipeline.carry(self.automatic, t, attached.automatic)
        drawn, carried = self.pipeline.carry(self.rest, t, attached.rest)
        result, masks = _array(drawn), list(carried[0].float().cpu().numpy())
        if self.shift is not None:
            back = _inverse((t - 0.5) * self.shift.at(t))
            result, masks = _moved(result, back), [_read(mask, back) for mask in masks]
        for layer, of_layer in zip(self.layers, attached.layers, strict=True):
            drawn = _array(self.pipeline.frames(layer.prepared, t))
            motion = layer.piece.at(t)
            placement = Similarity(motion.a, motion(layer.corner))
            result = _over(result, drawn, placement)
            masks = [
                _mask_over(mask, own, drawn[:, :, 3], placement) for mask, own in zip(masks, of_layer, strict=True)
            ]
        hinted = self._tensor(result), self._tensor(np.dstack(masks)) if masks else automatic[1]
        frame, carried = (self._near_hints(*both) for both in zip(automatic, hinted, strict=True))
        return frame, carried

    def _near_hints(self, automatic: Tensor, hinted: Tensor) -> Tensor:
        """Blend both by the weight of hints; exactly `automatic` where it is 0."""
        share = torch.from_numpy(self.share).to(automatic)
        return torch.where(share > 0, automatic.lerp(hinted.to(automatic), share), automatic)

    def _tensor(self, frame: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))[None].to(self.device)

    def _layer(self, frames: list[np.ndarray], piece: Piece) -> _Layer:
        """A piece on a canvas of its own, with its drawing of key 1 moved back to its place in key 0."""
        back = piece.motion.inverse()
        box0, box1 = _corners(piece.mask0), back(_corners(piece.mask1))
        points = np.concatenate([box0, box1])
        low = complex(np.floor(points.real.min()) - _MARGIN, np.floor(points.imag.min()) - _MARGIN)
        high = complex(np.ceil(points.real.max()) + _MARGIN, np.ceil(points.imag.max()) + _MARGIN)
        size = max(_SMALLEST, int(high.imag - low.imag) + 1), max(_SMALLEST, int(high.real - low.real) + 1)
        motions = Similarity(1, -low), Similarity(back.a, back.b - low)
        masks = piece.mask0, piece.mask1
        cut = [_cut_out(frame, mask, motion, size) for frame, mask, motion in zip(frames, masks, motions, strict=True)]
        return _Layer(piece, self.pipeline.prepare(self._tensor(cut[0]), self._tensor(cut[1])), low, size)


def _array(frame: Tensor) -> np.ndarray:
    return image.to_array(frame[0], np.float32)


def _seen(frame0: Tensor, frame1: Tensor) -> Sequence[Tensor]:
    """Both frames as RGB; transparent ones are composited over a plain background."""
    if frame0.shape[1] == 3:
        return frame0, frame1
    colours, alphas = zip(*(frame.split([3, 1], 1) for frame in (frame0, frame1)), strict=True)
    return pipeline.over_plain_background(colours, alphas)


def _share(hints: Sequence[Hint], size: tuple[int, int]) -> np.ndarray:
    """(h, w) float32, the weight of hints: 1 near them, exactly 0 beyond their reach."""
    distance = distance_to(hints, size) / size[1]
    x = ((REACH - 0.01 - distance) / (REACH - 0.01 - _FULL)).clip(0, 1)
    return (x * x * (3 - 2 * x)).astype(np.float32)


def distance_to(hints: Sequence[Hint], size: tuple[int, int]) -> np.ndarray:
    """(h, w) float32: the distance in pixels to the nearest line from a start of a hint to its end."""
    free = np.ones(size, np.uint8)
    for start, end in np.concatenate([hint.samples() for hint in hints]).round().astype(int).tolist():
        cv2.line(free, start, end, 0)
    return cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


class _Shift:
    """The deformation by hints on ground, (n, 2, 2): their residual from the automatic motion, decaying around them.

    Each key is deformed by half of it, so that the automatic motion takes each hinted point to its counterpart. The
    in-between is then deformed back to its time, which restores what does not move around the hints.
    """

    def __init__(self, points: np.ndarray, flow01: np.ndarray, size: tuple[int, int]):
        start, end = points.astype(np.float32).transpose(1, 0, 2)
        x, y = start.round().astype(int).T
        misses = end - start - flow01[:, y, x].T
        self._size, self._misses = size, misses * (np.hypot(*misses.T) > _MEETS)[:, None]
        self._ends = start + self._misses / 2, end - self._misses / 2

    def at(self, t: float) -> np.ndarray:
        """The full deformation (h, w, 2), x, y in pixels, on the grid of time t."""
        h, w = self._size
        y, x = np.mgrid[:h, :w].astype(np.float32)
        total, weights = np.zeros((h, w, 2), np.float32), np.zeros((h, w, 1), np.float32)
        for miss, start, end in zip(self._misses, *self._ends, strict=True):
            middle_x, middle_y = (1 - t) * start + t * end
            spread = min(max(_SPREAD * float(np.hypot(*miss)), _LEAST_SPREAD * w), _MOST_SPREAD * w)
            weight = np.exp(-((x - middle_x) ** 2 + (y - middle_y) ** 2) / (2 * spread**2))[:, :, None]
            total += weight * miss
            weights += weight
        return total / np.maximum(weights, 1)


def _inverse(shift: np.ndarray) -> np.ndarray:
    """The inverse of a shift (h, w, 2): by fixed-point iteration."""
    back = -shift
    for _ in range(4):
        back = -cv2.remap(shift, *_places(back), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return back


def _places(shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The end points of a shift (h, w, 2): x and y, (h, w) float32."""
    h, w = shift.shape[:2]
    y, x = np.mgrid[:h, :w].astype(np.float32)
    return x + shift[:, :, 0].astype(np.float32), y + shift[:, :, 1].astype(np.float32)


def _moved(frame: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A frame, RGB or RGBA, sampled at the end points of a shift (h, w, 2)."""
    return _unpremultiplied(_read(alpha.premultiplied(frame, 1), shift)) if frame.shape[2] == 4 else _read(frame, shift)


def _read(values: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Values (h, w) or (h, w, c) in [0, 1], sampled at the end points of a shift (h, w, 2)."""
    return cv2.remap(values, *_places(shift), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).clip(0, 1)


def _corners(mask: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(mask)
    if not len(x):
        return np.zeros(0, complex)
    return np.array([i + 1j * j for i in (x.min(), x.max()) for j in (y.min(), y.max())])


def _cut_out(frame: np.ndarray, mask: np.ndarray, motion: Similarity, size: tuple[int, int]) -> np.ndarray:
    """A piece of a frame as (h, w, 4) RGBA, its colours extended beyond its edge, moved onto a canvas."""
    share = cv2.GaussianBlur(cv2.dilate(mask.astype(np.float32), disc(1)), (0, 0), 0.6)
    if frame.shape[2] == 4:
        share = share * frame[:, :, 3]
    picture = alpha.premultiplied(np.dstack([frame[:, :, :3], share]), 1)
    moved = warped(picture, motion, size, cv2.INTER_CUBIC if motion.a != 1 else cv2.INTER_LINEAR).clip(0, 1)
    return _unpremultiplied(moved)


def _unpremultiplied(premultiplied: np.ndarray) -> np.ndarray:
    """RGBA with straight alpha from premultiplied RGBA."""
    share = premultiplied[:, :, 3:]
    colours = (premultiplied[:, :, :3] / np.maximum(share, 1e-4)).clip(0, 1)
    return np.dstack([np.where(share > 1e-3, colours, 0), np.where(share > 1e-3, share, 0)]).astype(np.float32)


def _over(ground: np.ndarray, layer: np.ndarray, placement: Similarity) -> np.ndarray:
    """A layer, RGBA, composited over a ground, RGB or RGBA, at its place."""
    top = warped(alpha.premultiplied(layer, 1), placement, ground.shape[:2], cv2.INTER_CUBIC).clip(0, 1)
    rest = 1 - top[:, :, 3:]
    if ground.shape[2] == 3:
        return top[:, :, :3] + ground * rest
    colours = top[:, :, :3] + ground[:, :, :3] * ground[:, :, 3:] * rest
    return _unpremultiplied(np.dstack([colours, top[:, :, 3:] + ground[:, :, 3:] * rest]))


def _mask_over(ground: np.ndarray, mask: np.ndarray, share: np.ndarray, placement: Similarity) -> np.ndarray:
    """A mask (h, w) after a layer with a mask and an alpha `share` of its own is composited over it."""
    top, hides = (warped(values, placement, ground.shape) for values in (mask * share, share))
    return top + ground * (1 - hides)


def _without(
    frames: list[np.ndarray], masks: list[list[np.ndarray]], flows: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Both frames with their pieces removed and the holes filled.

    Args:
        masks: of all pieces in frame 0, and in frame 1.
        flows: flow01 and flow10, (2, h, w).
    """
    gone = [_union(of_key, frames[0].shape[:2], _EDGE) for of_key in masks]
    near = [_union(of_key, frames[0].shape[:2], _BLEEDS) for of_key in masks]
    motions = [push_pull(flow.transpose(1, 2, 0), ~hole) for flow, hole in zip(flows, near, strict=True)]
    first = _behind(frames[0], frames[1], gone[0], gone[1], motions[0], motions[1])
    last = _behind(frames[1], frames[0], gone[1], gone[0], motions[1], motions[0])
    return first, last


def _union(masks: list[np.ndarray], size: tuple[int, int], grown: int) -> np.ndarray:
    union = np.zeros(size, np.uint8)
    for mask in masks:
        union |= mask.astype(np.uint8)
    return cv2.dilate(union, disc(grown)) > 0


def _behind(
    here: np.ndarray, there: np.ndarray, gone: np.ndarray, gone_there: np.ndarray, to: np.ndarray, back: np.ndarray
) -> np.ndarray:
    """A frame whose hole `gone` is filled from the other frame along the motion around it, else by inpainting.

    Args:
        to, back: (h, w, 2), motion from this frame to the other, and from the other to this one.
    """
    (h, w), place = gone.shape, _places(to)
    returned = to + cv2.remap(back, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = (place[0] >= 0) & (place[0] <= w - 1) & (place[1] >= 0) & (place[1] <= h - 1)
    hidden = cv2.remap(gone_there.astype(np.float32), *place, cv2.INTER_LINEAR) > 0
    known = inside & ~hidden & (np.linalg.norm(returned, axis=2) < _RETURNS)
    picture = np.where(gone[:, :, None], _read(there, to), here)
    return push_pull(picture, ~gone | known)
