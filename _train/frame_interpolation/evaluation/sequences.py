"""Whether frames make a good sequence: how evenly motion proceeds from one to the next, and whether lines flicker.

A frame can be fine on its own and still jump or shimmer in play. Both are measured along dense inverse search between
successive frames, ends included, so they need no truth.
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

SEQUENCE_TIMES = (0.25, 0.5, 0.75)  # four times the frames
_MOVES = 0.5  # pixels, summed over the sequence, from which on a pixel counts as moving
_LINE = 0.5  # of `difference_of_gaussians`, above which a pixel is line


def unevenness(frames: Sequence[Tensor]) -> float:
    """How much the lengths of successive motions differ, as the standard deviation over the mean: 0 for motion at an
    even pace, 1.7 where all of four steps happens in one; the mean over moving pixels, weighed by how far they move.

    Args:
        frames: three or more of (3, h, w) in [0, 1], in order and at even times.
    """
    steps = np.stack([np.linalg.norm(flow, axis=2) for flow in map(motion, frames, frames[1:])])
    steps = np.stack([cv2.blur(step, (9, 9)) for step in steps])  # where, not which pixel exactly
    total = steps.sum(0)
    moving = total > _MOVES
    if not moving.any():
        return 0.0
    share = steps.std(0)[moving] / steps.mean(0)[moving]
    return float((share * total[moving]).sum() / total[moving].sum())


def flicker(frames: Sequence[Tensor]) -> float:
    """How much lines come and go: the mean, over the lines of every frame but the ends, of how far its line response
    lies from the mean of the frames before and after, moved onto it, as a share of the response.

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
    """An image (1, c, h, w) read where a flow (h, w, 2) points to."""
    return backwarp(image, torch.from_numpy(flow).permute(2, 0, 1)[None].to(image), quirk=False)
