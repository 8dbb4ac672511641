"""Temporal quality of a sequence: how even the motion is, and how much lines flicker.

Frames can be good on their own and still jump or shimmer in playback. Both measures use dense inverse search between
successive frames, ends included, and need no ground truth.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from _util import image
from _util.dis import search
from _util.flow import backwarp
from _util.lines import difference_of_gaussians

SEQUENCE_TIMES = (0.25, 0.5, 0.75)  # four times the frame rate
_MOVES = 0.5  # pixels, summed over the sequence, from which on a pixel counts as moving
_LINE = 0.5  # response of `difference_of_gaussians` above which a pixel belongs to a line


def unevenness(frames: Sequence[Tensor]) -> float:
    """The standard deviation of successive motion lengths over their mean, averaged over moving pixels and weighted by
    how far they move: 0 for even motion, 1.7 if all the motion of four steps is in one.

    Args:
        frames: three or more frames (3, h, w) in [0, 1], in order and at even times.
    """
    steps = np.stack([np.linalg.norm(flow, axis=2) for flow in map(motion, frames, frames[1:])])
    steps = np.stack([cv2.blur(step, (9, 9)) for step in steps])  # tolerates small offsets of motion
    total = steps.sum(0)
    moving = total > _MOVES
    if not moving.any():
        return 0.0
    share = steps.std(0)[moving] / steps.mean(0)[moving]
    return float((share * total[moving]).sum() / total[moving].sum())


def flicker(frames: Sequence[Tensor]) -> float:
    """How much lines appear and disappear: the difference between the line response of every frame but the ends and the
    mean response of its neighbours, warped onto it, summed over line pixels, as a share of the larger of the two.

    Args:
        frames: as of `unevenness`.
    """
    changes, strengths = 0.0, 0.0
    responses = [difference_of_gaussians(frame[None].cpu(), sigma=1.0) - _LINE for frame in frames]
    for i in range(1, len(frames) - 1):
        around = [moved(responses[j], motion(frames[i], frames[j])) for j in (i - 1, i + 1)]
        here = responses[i].clamp(min=0)
        expected = (around[0].clamp(min=0) + around[1].clamp(min=0)) / 2
        lines = (here > 0) | (expected > 0)
        changes += float((here - expected).abs()[lines].sum())
        strengths += float(torch.maximum(here, expected)[lines].sum())
    return changes / strengths if strengths else 0.0


def motion(here: Tensor, there: Tensor) -> np.ndarray:
    """The flow (h, w, 2) from one frame (3, h, w) in [0, 1] to another, by dense inverse search."""
    grey0, grey1 = (cv2.cvtColor(image.to_array(x.cpu(), np.uint8), cv2.COLOR_RGB2GRAY) for x in (here, there))
    return search(grey0, grey1)


def moved(image: Tensor, flow: np.ndarray) -> Tensor:
    """Warp an image (1, c, h, w) backward along a flow (h, w, 2)."""
    return backwarp(image, torch.from_numpy(flow).permute(2, 0, 1)[None].to(image), quirk=False)
