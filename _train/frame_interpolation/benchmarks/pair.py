"""Latency for users: the time from two arrays to the first frame between them, and to each further one.

Compares the published computation with the project, on one device, with the same seeded weights of RFR, SoftsplatLite
and DTM. `stages` measures them by stage, in separate processes.
"""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from _train.frame_interpolation.benchmarks import stages
from _train.frame_interpolation.benchmarks.stages import PublishedStages, median_seconds
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.models.dtm import DTM
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _util import image


def compare(
    device: torch.device, frames: tuple[np.ndarray, np.ndarray], precision: str, repeats: int, published: bool = True
) -> list[dict[str, Any]]:
    """Milliseconds to the first frame and to each further one, and the GPU memory in MB, CUDA graphs included.

    Args:
        frames: (h, w, 3) uint8, in host memory, as are the results.
        precision: of the project.
        published: also measure the published computation, in exact fp32 and with PyTorch's default rounding; otherwise
            the project is compared with itself.
    """
    ways: list[_Published | _Ours] = []
    with tempfile.TemporaryDirectory() as folder:
        stages.write_checkpoints(Path(folder))
        if published:
            networks = stages.load_networks(Path(folder), device)
            ways += [_Published(device, networks, tf32) for tf32 in (False, True)]
        interpolator = Interpolator("rfr", "ssldtm", str(device), precision, folder)
        ways += [_Ours(interpolator, together) for together in (1, 8)]
    rows, drawn = [], []
    for way in ways:
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        with way.rounding():
            first = median_seconds(lambda way=way: way.first(frames), device, repeats)
            further = median_seconds(way.further, device, repeats) / way.together
            drawn.append(way.first(frames).astype(float))
        rows.append(
            {
                "implementation": way.name,
                "first frame ms": 1000 * first,
                "further frame ms": 1000 * further,
                "first, times as fast": rows[0]["first frame ms"] / (1000 * first) if rows else 1.0,
                "further, times as fast": rows[0]["further frame ms"] / (1000 * further) if rows else 1.0,
                "memory MB": torch.cuda.max_memory_reserved(device) / 2**20 if device.type == "cuda" else None,
                "mean difference /255": float(np.abs(drawn[-1] - drawn[0]).mean()),
            }
        )
    return rows


class _Published(PublishedStages):
    together = 1

    def __init__(self, device: torch.device, networks: tuple[RFR, SoftsplatLite, DTM], tf32: bool):
        super().__init__(networks)
        self.device, self.tf32 = device, tf32
        self.name = f"published, {'TF32' if tf32 else 'fp32'}"

    def rounding(self) -> contextlib.AbstractContextManager:
        return stages.convolution_precision(self.tf32)

    @torch.inference_mode()
    def first(self, frames: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        self.frames = [image.to_tensor(frame)[None].to(self.device) for frame in frames]
        self.flow()
        return self.further()

    @torch.inference_mode()
    def further(self) -> np.ndarray:
        return image.to_array(self.frame(0.5)[0], np.uint8)


class _Ours:
    def __init__(self, interpolator: Interpolator, together: int):
        self.interpolator, self.together = interpolator, together
        precisions = "/".join(interpolator.context.precisions)
        self.name = f"ours, {precisions}" + (f", {together} frames per call" if together > 1 else "")

    def rounding(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def first(self, frames: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        self.pair = self.interpolator.prepare(*frames)
        return self.interpolator.at(self.pair, 0.5)

    def further(self) -> list[np.ndarray]:
        times = [(i + 1) / (self.together + 1) for i in range(self.together)]
        return [frame() for frame in self.interpolator.draw(self.pair, times)]
