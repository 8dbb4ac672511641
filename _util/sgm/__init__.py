"""Segment-guided matching, SGM (Li et al., "Deep Animation Video Interpolation in the Wild", CVPR 2021, section 4.1).

Flat colours have nothing to follow pixel by pixel, but the pieces that outlines cut a drawing into can be found again
as wholes, however far they move. Both frames are segmented, each piece is described by the mean features that a network
sees in it, pieces are matched, and a matched pair has a motion: a shift, a turn about a joint, a stretch, a bend.

In: two frames, (1, 3, h, w) RGB in [0, 1]. Out: flow01 and flow10, (1, 2, h, w) float32, x then y, in pixels, 0 where
no piece was found again; or paths, which know where everything is between.

    pooling     activations and label maps to features of pieces
    colours     features that AlexNet's are joined by
    matching    features to pairs of pieces
    outlines    of pieces, and where they touch
    fitting     outlines to motions
    joints      motions to chains that turn about joints
    motion      pairs to moving pieces, and these to flow
    shifts      pairs to flow as published, by shifts and search alone
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _util import checkpoints, features, image
from _util.errors import InputError
from _util.segmentation import Segments, segment
from _util.sgm.colours import own_and_around
from _util.sgm.matching import Matching, Penalty, match
from _util.sgm.motion import Pieces, find
from _util.sgm.pooling import pool
from _util.sgm.shifts import flow_of_shifts

__all__ = ["LAYERS", "SGM", "Matching", "Pieces", "match"]
LAYERS = {
    "vgg19": ("relu1_2", "relu2_2", "relu3_4", "relu4_4"),
    "vgg16": ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
    "alexnet": ("relu1", "relu2", "relu3"),
}
# AlexNet's activations lie far apart, and see what is around a piece more than the piece. Each of its layers has a
# weight of 1, the colour of the piece and those around it have these.
_OWN_COLOUR, _COLOURS_AROUND = 3, 2
_REFERENCE = 540 * 960


class SGM:
    """A flow estimator by pieces.

    Args:
        features: "vgg19" as published, "vgg16", "alexnet", or "auto": VGG-19 if its file is in the folder of
            checkpoints, else AlexNet, which is shipped. Or the file of one of them.
        penalty: of sizes and distances, as `match`: as "released" or as in the "paper".
        style: of drawing, as `segment`.
        smallest: area in pixels of 540×960 below which pieces are merged into others; it scales with the frame.
        turns: pieces may turn, grow and bend; False: they shift, and optical flow is searched for within them, as
            published.
        device: where the network runs.
        folder: of checkpoints.

    Raises:
        InputError: there are no such weights.
    """

    def __init__(
        self,
        features: str = "auto",
        penalty: Penalty = "released",
        style: str = "japanese",
        smallest: int = 500,
        turns: bool = True,
        device: str | torch.device = "cpu",
        folder: Path = checkpoints.FOLDER,
    ):
        self.backbone = _open(features, folder).to(device)
        self.penalty, self.style, self.smallest, self.turns = penalty, style, smallest, turns
        self.device = torch.device(device)

    def __call__(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        """The flow between two frames of one size, of any size.

        Raises:
            InputError: frames of two sizes.
        """
        return self.flow(frame0, frame1, self.match(frame0, frame1))

    def segment(self, frame: Tensor) -> Segments:
        """The pieces of a frame."""
        smallest = max(1, round(self.smallest * frame.shape[2] * frame.shape[3] / _REFERENCE))
        return segment(frame.cpu(), self.style, smallest)

    def match(self, frame0: Tensor, frame1: Tensor, segments: tuple[Segments, Segments] | None = None) -> Matching:
        """The pieces of two frames that are each other's best.

        Args:
            segments: pieces of both frames, where they are known.

        Raises:
            InputError: frames, or label maps, of two sizes.
        """
        if frame0.shape != frame1.shape:
            raise InputError(f"Frames of {_size(frame0)} and {_size(frame1)} cannot be matched; make both one size.")
        if segments is None:
            segments = self.segment(frame0), self.segment(frame1)
        for piece in segments:
            if piece.labels.shape != frame0.shape[2:]:
                found = "×".join(map(str, piece.labels.shape[::-1]))
                raise InputError(f"A label map of {found} does not fit a frame of {_size(frame0)}; make both one size.")
        return match(*segments, *self._features(frame0, frame1, segments), self.penalty)

    def flow(self, frame0: Tensor, frame1: Tensor, matching: Matching) -> tuple[Tensor, Tensor]:
        """The flow, both ways, of the pieces of two frames that were matched."""
        if self.turns:
            return _to_tensors(self.pieces(frame0, frame1, matching).flows(), frame0)
        return _to_tensors(flow_of_shifts(*_pictures(frame0, frame1), matching), frame0)

    def pieces(self, frame0: Tensor, frame1: Tensor, matching: Matching | None = None) -> Pieces:
        """How the pieces of two frames move, turns included, from how they were matched or matched anew."""
        matching = self.match(frame0, frame1) if matching is None else matching
        return find(*_pictures(frame0, frame1), matching)

    def paths(self, frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        """The motion of pieces both ways as paths (1, 9, h, w), which know where all is at any time (`_util.paths`);
        the flow, where pieces do not turn."""
        if not self.turns:
            return self(frame0, frame1)
        return _to_tensors(self.pieces(frame0, frame1).paths(), frame0)

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


def _pictures(frame0: Tensor, frame1: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return image.to_array(frame0[0], np.uint8), image.to_array(frame1[0], np.uint8)


def _to_tensors(flows: tuple[np.ndarray, np.ndarray], like: Tensor) -> tuple[Tensor, Tensor]:
    forth, back = (torch.from_numpy(flow).permute(2, 0, 1)[None].contiguous().to(like.device) for flow in flows)
    return forth, back


def _joined(levels: list[np.ndarray], own: np.ndarray, around: np.ndarray) -> np.ndarray:
    sums = [level.sum(1, keepdims=True) for level in levels]
    shares = [level / np.where(total > 0, total, 1) for level, total in zip(levels, sums, strict=True)]
    return np.concatenate([*shares, _OWN_COLOUR * own, _COLOURS_AROUND * around], 1)


def _open(name: str, folder: Path) -> features.Backbone:
    if name == "auto":
        name = "vgg19" if features.find("vgg19", folder) else "alexnet"
    architecture = name if name in features.BACKBONES else features.recognise(Path(name))
    return features.open_backbone(name, LAYERS[architecture], folder)


def _size(frame: Tensor) -> str:
    return f"{frame.shape[3]}×{frame.shape[2]}"
