"""Contact sheets of toons, and the speed of their composition."""

import time

import numpy as np
import torch

from _databacks.toons.scenes import Toons
from _util import flow, image


def sheet(toons: Toons) -> np.ndarray:
    """One row a scene: frames 0, t and 1, flow01 and flow10 in Middlebury's colours, what the other frame hides.

    Returns:
        (rows, columns, 3) uint8.
    """
    scenes = toons.batch(0)
    assert scenes.flows is not None
    assert scenes.occlusions is not None
    rows = []
    for i in range(toons.batch_size):
        cells = [image.to_array(frame, np.uint8) for frame in scenes.frames[i]]
        cells += [flow.to_colours(both[i], largest=0.2 * toons.size[1]) for both in scenes.flows]
        cells += [image.to_array(mask[i].expand(3, -1, -1), np.uint8) for mask in scenes.occlusions]
        rows.append(cells)
    return image.contact_sheet(rows)


def rate(toons: Toons, seconds: float = 5) -> float:
    """Sequences composed per second, measured for `seconds` after three warm-up batches."""

    def compose(index: int) -> None:
        toons.batch(index)
        if toons.device.type == "cuda":
            torch.cuda.synchronize(toons.device)

    for index in range(3):
        compose(index)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        compose(count)
        count += 1
    return count * toons.batch_size / (time.perf_counter() - start)
