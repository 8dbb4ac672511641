"""Triplets that the RRLD pipeline extracted from a video (Chen and Zwicker, ECCV 2022, section 4).

FOLDER/
    rrld.txt                                 frames,linearity,coverage; then 000012-000013-000015,<rrld>,<share>
    images/000012-000013-000015/             000012.png  000013.png  000015.png
    flows/000012-000013-000015.pt            optional: (2, 2, h, w), flow10 then flow01, y before x
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from _databacks.triplet import Source, Triplet, folders_in, read_frames
from _util.errors import InputError
from _util.files import pictures


class RRLDExtract(Source):
    """The triplets that `rrld.txt` lists, in its order; without that file, all in `images/`.

    Raises:
        InputError: there are none, or `rrld.txt` is damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        listing = self.path / "rrld.txt"
        self.names = _listed(listing) if listing.exists() else folders_in(self.path / "images")
        if not self.names:
            raise InputError(f"{path} holds no triplets; images/A-B-C/ with three pictures each are needed.")
        self.has_flows = (self.path / "flows").is_dir()

    def __getitem__(self, index: int) -> Triplet:
        """The frames of a triplet and, where there is a file of them, its flows, as x and y.

        Raises:
            InputError: the pictures are not three of one size, or a file is damaged.
        """
        name = self.names[index]
        frames = read_frames(self.path / "images" / name)
        path = self._flows(index)
        flows = _read_flows(path, frames.shape[2:]) if self.reads_flows and path.exists() else None
        return Triplet(name, frames, flows)

    def pictures(self, index: int) -> list[Path]:
        return pictures(self.path / "images" / self.names[index])

    def files(self, index: int) -> list[Path]:
        return [*self.pictures(index), self._flows(index)]

    def _flows(self, index: int) -> Path:
        return self.path / "flows" / f"{self.names[index]}.pt"


def _listed(path: Path) -> list[str]:
    try:
        header, *rows = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read or is empty; extract the video again.") from error
    names = [row.split(",")[0] for row in rows if row.strip()]
    if header.split(",")[0] != "frames" or any(name.count("-") != 2 or {"/", "\\"} & set(name) for name in names):
        raise InputError(f"{path} is not a list of triplets; rows begin with three frames, as 000012-000013-000015.")
    return names


def _read_flows(path: Path, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise many types of errors
        raise InputError(f"{path} is damaged or holds more than a tensor; compute it again.") from error
    if not isinstance(stored, Tensor) or stored.shape != (2, 2, *size):
        what = "×".join(map(str, stored.shape)) if isinstance(stored, Tensor) else "not a tensor"
        raise InputError(f"{path} is {what} instead of 2×2×{size[0]}×{size[1]}; compute it again at the frames' size.")
    flow10, flow01 = stored.float().flip(1)
    return flow01.contiguous(), flow10.contiguous()
