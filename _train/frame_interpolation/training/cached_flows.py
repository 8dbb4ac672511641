"""Optical flow of triplets, estimated once and then read from files."""

import contextlib
import hashlib
import os
import re
import zlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from _databacks.triplet import Source, Triplet
from _train.frame_interpolation.flows import FlowEstimator
from _train.frame_interpolation.training.notices import Notices
from _util import files, torchrun
from _util.errors import InputError


class CachedFlows(Source):
    """A source with the flows of a frozen estimator, computed when a triplet is first read and cached in a file.

        folder/shot_12-9c56cc51b374.safetensors     flows (2, 2, h, w) float16: flow01, flow10

    Files that are damaged, or that belong to other frames or another estimator, are computed again; once `compute_all`
    has ended, the triplet comes without flows instead.

    Args:
        estimator: as in `flows`: takes two frames (1, 3, h, w) RGB in [0, 1], returns flow01 and flow10, (1, 2, h, w).
            A loader's workers need one that can be pickled, such as `_util.dis.dis`.
        identity: of the estimator, with its weights.
        device: of the estimator's input.
    """

    def __init__(
        self,
        source: Source,
        estimator: FlowEstimator,
        folder: Path,
        identity: str,
        device: torch.device | str = "cpu",
    ):
        self.source, self.folder, self.device = source, Path(folder), device
        self.estimator: FlowEstimator | None = estimator
        self.identity = identity
        self.names, self.path, self._notices = source.names, source.path, Notices()
        files.make_folder(self.folder)

    def __getitem__(self, index: int) -> Triplet:
        triplet = self.source[index]
        path = self.folder / f"{_file_name(triplet.name)}.safetensors"
        origin = f"{zlib.crc32(triplet.frames.numpy().tobytes()):08x} {self.identity}"
        flows = _load(path, origin)
        if flows is None:
            if self.estimator is None:
                return triplet._replace(flows=None)
            flows = self._estimate(self.estimator, triplet.frames).half()
            try:
                files.write_bytes(path, save({"flows": flows}, {"origin": origin}))
            except InputError as error:
                self._notices.say(f"Flows are not kept: {error}")
        return triplet._replace(flows=tuple(flows.float()))

    def compute_all(self) -> None:
        """Compute the flows of all triplets, and do without the estimator from then on, as a loader's workers must if
        it is on a GPU. Processes start at different triplets and skip each other's files."""
        first = len(self) * torchrun.rank() // torchrun.count()
        order = (*range(first, len(self)), *range(first))
        for i in tqdm(order, f"flows of {self.path.name}", unit="triplet", disable=torchrun.rank() > 0):
            with contextlib.suppress(InputError):
                self[i]
        self.estimator = None

    @torch.no_grad()
    def _estimate(self, estimator: FlowEstimator, frames: Tensor) -> Tensor:
        frame0, _, frame1 = frames[:, None].to(self.device)
        return torch.cat(estimator(frame0, frame1)).cpu()


def _load(path: Path, origin: str) -> Tensor | None:
    try:
        with safe_open(path, "pt") as file:
            return file.get_tensor("flows") if (file.metadata() or {}).get("origin") == origin else None
    except (OSError, SafetensorError):
        return None


def _file_name(name: str) -> str:
    """A file name for a triplet: the ASCII letters and digits of its name, and a digest."""
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', name)[:60]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
