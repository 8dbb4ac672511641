"""Segment-guided matching, SGM (Li et al., "Deep Animation Video Interpolation in the Wild", CVPR 2021, section 4.1).

Flat colours have no texture to track, but the pieces into which outlines divide a drawing can be matched as wholes,
however far they move. Both frames are segmented, each piece is described by a network's features averaged over it,
pieces are matched, and a matched pair gives flow: the shift of its centres, and optical flow within it.

In: two frames, (1, 3, h, w) RGB in [0, 1]. Out: flow01 and flow10, (1, 2, h, w) float32, x then y, in pixels, 0 where
no piece was matched.

    pooling     activations and label maps to features of pieces
    colours     features that complement AlexNet's
    matching    features to pairs of pieces
    motion      pairs to flow
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _util import checkpoints, threads
from _util.errors import InputError
from _util.features import best, open_backbone
from _util.flow import from_arrays
from _util.image import pictures_of
from _util.segmentation import Segments, Style, segment
from _util.sgm.colours import own_and_around
from _util.sgm.matching import Matching, Penalty, match
from _util.sgm.motion import REFERENCE, flow_of_pieces
from _util.sgm.pooling import pool

__all__ = ["LAYERS", "SGM", "Matching", "match"]
LAYERS = {
    "vgg19": ("relu1_2", "relu2_2", "relu3_4", "relu4_4"),
    "vgg16": ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
    "alexnet": ("relu1", "relu2", "relu3"),
}
# AlexNet's activations are sparse in space and describe the surroundings of a piece more than the piece. Each of its
# layers has weight 1; the colours of the piece and of those around it have these.
_OWN_COLOUR, _COLOURS_AROUND = 3, 2


class _Described(NamedTuple):
    """The pieces of a frame, and their features (n, channels)."""

    segments: Segments
    features: np.ndarray


class SGM:
    """Flow estimation by segment-guided matching.

    The last frame that was matched is remembered, since the next pair of a sequence begins with it.

    Args:
        features: "vgg19" as published, "vgg16", "alexnet", or "auto": VGG-19 if its file is in the folder of
            checkpoints, else AlexNet, which is shipped. Or the file of one of them.
        penalty: of sizes and distances, see `match`: as "released" or as in the "paper".
        style: of the drawing, see `segment`.
        smallest: area in pixels at 540×960 below which pieces are merged into others; it scales with the frame.
        device: where the network runs.
        folder: of checkpoints.

    Raises:
        InputError: there are no such weights.
    """

    def __init__(
        self,
        features: str = "auto",
        penalty: Penalty = "released",
        style: Style = "japanese",
        smallest: int = 500,
        device: str | torch.device = "cpu",
        folder: Path = checkpoints.FOLDER,
    ):
        if features == "auto":
            features = best(folder)
        backbone = open_backbone(features, LAYERS, folder)
        # Activations take the memory format of the weights, and pooling needs them channels last.
        self.backbone = backbone.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # not in the stubs
        self.penalty: Penalty = penalty
        self.style: Style = style
        self.smallest, self.device = smallest, torch.device(device)
        self._last: tuple[Tensor, _Described] | None = None

    def __call__(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        """The flow between two frames of equal size.

        Raises:
            InputError: the sizes differ.
        """
        return self.flow(frame0, frame1, self.match(frame0, frame1))

    def segment(self, frame: Tensor) -> Segments:
        """The pieces of a frame."""
        smallest = max(1, round(self.smallest * frame.shape[2] * frame.shape[3] / REFERENCE))
        return segment(frame.cpu(), self.style, smallest)

    def match(self, frame0: Tensor, frame1: Tensor, segments: tuple[Segments, Segments] | None = None) -> Matching:
        """Match the pieces of two frames.

        Args:
            segments: the pieces of both frames, if they are known.

        Raises:
            InputError: the sizes of the frames differ.
        """
        if frame0.shape != frame1.shape:
            raise InputError(f"Frames of {_size(frame0)} and {_size(frame1)} cannot be matched; make both one size.")
        if segments is None:
            is_on_cpu = frame0.device.type == self.device.type == "cpu"
            described0, described1 = (threads.each if is_on_cpu else map)(self._described, (frame0, frame1))
            self._last = frame1.clone(), described1
        else:
            described0, described1 = map(self._describe, (frame0, frame1), segments)
        return match(described0.segments, described1.segments, described0.features, described1.features, self.penalty)

    def flow(self, frame0: Tensor, frame1: Tensor, matching: Matching) -> tuple[Tensor, Tensor]:
        """The flow of matched pieces in both directions."""
        return from_arrays(flow_of_pieces(*pictures_of(frame0, frame1), matching), frame0.device)

    def _described(self, frame: Tensor) -> _Described:
        last = self._last
        if last is not None and last[0].device == frame.device and torch.equal(last[0], frame):
            return last[1]
        return self._describe(frame, self.segment(frame))

    @torch.inference_mode()
    def _describe(self, frame: Tensor, segments: Segments) -> _Described:
        right, down = (max(0, self.backbone.smallest_side - side) for side in frame.shape[:1:-1])
        levels = self.backbone(F.pad(frame.to(self.device), (0, right, 0, down), "replicate"))
        activations = [level[0].permute(1, 2, 0).float().cpu().contiguous().numpy() for level in levels]
        pooled = pool(activations, self.backbone.grids, segments.labels)
        if self.backbone.architecture != "alexnet":
            return _Described(segments, pooled)
        ends = np.cumsum(self.backbone.channels)[:-1]
        return _Described(segments, _joined(np.split(pooled, ends, 1), *own_and_around(segments)))


def _joined(levels: list[np.ndarray], own: np.ndarray, around: np.ndarray) -> np.ndarray:
    sums = [level.sum(1, keepdims=True) for level in levels]
    shares = [level / np.where(total > 0, total, 1) for level, total in zip(levels, sums, strict=True)]
    return np.concatenate([*shares, _OWN_COLOUR * own, _COLOURS_AROUND * around], 1)


def _size(frame: Tensor) -> str:
    return f"{frame.shape[3]}×{frame.shape[2]}"
