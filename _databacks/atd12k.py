"""ATD-12K, triplets of animated films with annotations (Li et al., "Deep Animation Video Interpolation in the Wild",
CVPR 2021), and the flows that EISAI publishes with it.

    _data/atd12k/
        raw/test_2k_540p/NAME/                 frame1.png  frame2.png  frame3.png
        raw/test_2k_annotations/NAME/NAME.json
        preprocessed/rfr_540p/test/NAME.pkl    array (2, 2, h, w): flow01, flow10; x, y

Names begin with `Japan_` (east) or `Disney_` (west). Frames and annotations may also lie outside of `raw/`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from _databacks.triplet import Annotation, Source, Triplet, folders_in, read_frames
from _util import files, pickles
from _util.errors import InputError

HOME = "https://github.com/lisiyao21/AnimeInterp"
COUNTS = {"test": 2000, "train": 10000}
LEVELS = ("easy", "medium", "hard")
_FRAMES = {"test": ("test_2k_540p",), "train": ("train_10k_540p", "train_10k")}
SUBSETS = {"Japan_": "east", "Disney_": "west"}
_SLACK = 1.0  # pixel by which the scaled region may exceed the border


class ATD12K(Source):
    """The triplets of a split in order of their names, with flows if `preprocessed/` exists.

    Args:
        split: "test" or "train".

    Raises:
        InputError: there are no frames.
    """

    is_annotated = True

    def __init__(self, path: str | Path, split: str = "test"):
        self.path, self.split = Path(path), split
        candidates = [self.path / parent / name for parent in ("raw", "") for name in _FRAMES[split]]
        self.frames = next((folder for folder in candidates if folder.is_dir()), candidates[0])
        self.flows = self.path / "preprocessed" / "rfr_540p" / split
        self.has_flows = self.flows.is_dir()
        self.annotations = self.frames.parent / "test_2k_annotations"
        self.names = folders_in(self.frames)
        if not self.names:
            raise InputError(f"{self.frames} holds 0 of {COUNTS[split]} triplets; ATD-12K is at {HOME}.")

    def __getitem__(self, index: int) -> Triplet:
        """The frames of a triplet and its flows, if there is a folder of them.

        Raises:
            InputError: a file is missing, damaged, or does not fit the others.
        """
        name = self.names[index]
        frames = read_frames(self.frames / name)
        flows = (
            _read_flows(self.flows / f"{name}.pkl", frames.shape[2:]) if self.has_flows and self.reads_flows else None
        )
        return Triplet(name, frames, flows)

    @property
    def title(self) -> str:
        return f"atd12k-{self.split}"

    def pictures(self, index: int) -> list[Path]:
        return files.pictures(self.frames / self.names[index])

    def files(self, index: int) -> list[Path]:
        name = self.names[index]
        return [*self.pictures(index), self.flows / f"{name}.pkl", self._annotation_path(name)]

    def shortages(self) -> list[str]:
        whole = COUNTS[self.split]
        flows = len(list(self.flows.glob("*.pkl")))
        found = {self.frames: (len(self), "triplets")}
        if self.has_flows and flows < len(self):
            found[self.flows] = flows, "flows (.pkl)"
        return [
            f"{folder} holds {count} of {whole} {what}; ATD-12K is at {HOME}."
            for folder, (count, what) in found.items()
            if count < whole
        ]

    def subset(self, index: int) -> str:
        """ "east" or "west", by the name; empty for other names."""
        name = self.names[index]
        return next((subset for prefix, subset in SUBSETS.items() if name.startswith(prefix)), "")

    def annotation(self, index: int, size: Sequence[int]) -> Annotation:
        """The annotation of a triplet whose frames are (h, w) = `size`.

        Raises:
            InputError: it is missing or damaged, or its region does not lie in the image.
        """
        path = self._annotation_path(self.names[index])
        try:
            noted = json.loads(path.read_text(encoding="utf-8"))
            level = LEVELS[int(noted["level"])] if int(noted["level"]) >= 0 else None
            region = [float(noted["motion_RoI"][key]) for key in ("x", "y", "width", "height")]
            if not np.isfinite(region).all():
                raise ValueError("a region of no finite size")
            across, down = _scale(noted["image_size"], size)
            motion, behaviour = _text(noted.get("general_motion_type")), _text(noted.get("behavior"))
        except FileNotFoundError as error:
            raise InputError(f"There is no annotation {path}; ATD-12K is at {HOME}.") from error
        except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise InputError(f"{path} is damaged ({type(error).__name__}: {error}); fetch it again.") from error
        if level is None:
            raise InputError(f"{path} has level {noted['level']}; it is 0, 1 or 2.")
        return Annotation(level, _region(path, region, across, down, size), motion, behaviour)

    def _annotation_path(self, name: str) -> Path:
        return self.annotations / name / f"{name}.json"


def _read_flows(path: Path, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    flows = pickles.read(path)
    if not isinstance(flows, np.ndarray) or flows.shape != (2, 2, *size) or flows.dtype.kind != "f":
        what = f"{flows.dtype} {flows.shape}" if isinstance(flows, np.ndarray) else type(flows).__name__
        raise InputError(f"{path} is {what} instead of floats (2, 2, {size[0]}, {size[1]}); fetch it again.")
    if not np.isfinite(flows).all():
        raise InputError(f"{path} holds values that are not finite; fetch it again.")
    flow01, flow10 = torch.from_numpy(flows.astype(np.float32))
    return flow01, flow10


def _scale(noted: dict | list, size: Sequence[int]) -> tuple[float, float]:
    """The scale from pixels of the annotation to pixels of the frames, horizontally and vertically."""
    h, w = size
    if isinstance(noted, dict):
        width, height = float(noted["width"]), float(noted["height"])
    else:  # either order occurs; take the one that gives the frames' shape
        width, height = min((noted[:2], noted[1::-1]), key=lambda pair: abs(pair[0] / pair[1] - w / h))
    return w / width, h / height


def _region(path: Path, region: list[float], across: float, down: float, size: Sequence[int]) -> tuple:
    x, y, width, height = region
    h, w = size
    left, top, right, bottom = x * across, y * down, (x + width) * across, (y + height) * down
    inside = min(left, top) >= -_SLACK and right <= w + _SLACK and bottom <= h + _SLACK
    left, top, right, bottom = max(round(left), 0), max(round(top), 0), min(round(right), w), min(round(bottom), h)
    if not inside or right <= left or bottom <= top:
        raise InputError(
            f"{path} has a region of {width:g}×{height:g} pixels at ({x:g}, {y:g}), which does not lie in its image of "
            f"{w / across:g}×{h / down:g}; correct or remove it."
        )
    return left, top, right, bottom


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "").strip()
