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

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _util import checkpoints
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


class SGM:
    """Flow estimation by segment-guided matching.

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
        self.backbone = open_backbone(features, LAYERS, folder).to(device)
        self.penalty: Penalty = penalty
        self.style: Style = style
        self.smallest, self.device = smallest, torch.device(device)

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
            segments = self.segment(frame0), self.segment(frame1)
        features0, features1 = self._features(frame0, frame1, segments)
        return match(*segments, features0, features1, self.penalty)

    def flow(self, frame0: Tensor, frame1: Tensor, matching: Matching) -> tuple[Tensor, Tensor]:
        """The flow of matched pieces in both directions."""
        return from_arrays(flow_of_pieces(*pictures_of(frame0, frame1), matching), frame0.device)

    @torch.inference_mode()
    def _features(self, frame0: Tensor, frame1: Tensor, segments: tuple[Segments, Segments]) -> list[np.ndarray]:
        lacking = [max(0, self.backbone.smallest_side - side) for side in frame0.shape[:1:-1]]
        frames = F.pad(torch.cat([frame0, frame1]).to(self.device), (0, lacking[0], 0, lacking[1]), "replicate")
        levels = self.backbone(frames)
        activations = [
            [level[i].permute(1, 2, 0).float().cpu().contiguous().numpy() for level in levels] for i in range(2)
        ]
        pooled = pool(activations, self.backbone.grids, [piece.labels for piece in segments])
        if self.backbone.architecture != "alexnet":
            return pooled
        ends = np.cumsum(self.backbone.channels)[:-1]
        return [
            _joined(np.split(levels, ends, 1), *own_and_around(piece))
            for levels, piece in zip(pooled, segments, strict=True)
        ]


def _joined(levels: list[np.ndarray], own: np.ndarray, around: np.ndarray) -> np.ndarray:
    sums = [level.sum(1, keepdims=True) for level in levels]
    shares = [level / np.where(total > 0, total, 1) for level, total in zip(levels, sums, strict=True)]
    return np.concatenate([*shares, _OWN_COLOUR * own, _COLOURS_AROUND * around], 1)


def _size(frame: Tensor) -> str:
    return f"{frame.shape[3]}×{frame.shape[2]}"
