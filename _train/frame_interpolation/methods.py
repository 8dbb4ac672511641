"""What evaluation judges, by name: ways to draw the frame between two frames.

dis+splat, rfr+ssldtm     a flow and a synthesis, each of which may be auto
precomputed+ssldtm        with the flows that come with the data
blend                     both frames, each as strong as it is near: what there is without interpolation
frames/film               a folder of frames that something else has drawn, named by item: NAME.png, or NAME/ with one
                          picture
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from _databacks.keyframes import read
from _databacks.triplet import Triplet
from _train.frame_interpolation import flows, syntheses
from _train.frame_interpolation.interpolator import Interpolator
from _util import checkpoints, image, paths
from _util.errors import InputError

PRECOMPUTED = "precomputed"
BLEND = ("blend", "mean")


class Drawn(NamedTuple):
    frame: Tensor  # (3, h, w) float32 in [0, 1], on the method's device
    flow01: Tensor | None = None  # (2, h, w), where the method has one
    flow10: Tensor | None = None


class Method(ABC):
    """Draws the frame of a triplet from its outer ones.

    Attributes:
        name: as it appears in tables.
        device: where it draws.
    """

    name: str
    device = torch.device("cpu")

    @abstractmethod
    def draw(self, triplet: Triplet) -> Drawn:
        """The frame at the triplet's time.

        Raises:
            InputError: it cannot be drawn, or is no picture of this size.
        """

    def sources(self, name: str) -> list[Path]:
        """Files on which the frame of an item depends, other than the item's own."""
        return []


class Blend(Method):
    """The mean of both frames, weighed by their nearness in time."""

    name = "blend"

    def draw(self, triplet: Triplet) -> Drawn:
        return Drawn((1 - triplet.time) * triplet.frames[0] + triplet.time * triplet.frames[2])


class Interpolation(Method):
    """A flow and a synthesis.

    Args:
        flow, synthesis: of `Interpolator`, or "precomputed" flow: that of the triplets.
        options: `device`, `precision` and `folder` of `Interpolator`.

    Raises:
        InputError: as `Interpolator`.
    """

    def __init__(self, flow: str, synthesis: str, **options: str | Path):
        self.is_precomputed = flow == PRECOMPUTED
        # An estimator without weights stands in for one that is never asked.
        self.interpolator = Interpolator("dis" if self.is_precomputed else flow, synthesis, **options)
        self.device = self.interpolator.device
        self.folder = Path(options.get("folder", checkpoints.FOLDER))
        self.name = f"{PRECOMPUTED if self.is_precomputed else self.interpolator.flow}+{self.interpolator.synthesis}"

    @torch.inference_mode()
    def draw(self, triplet: Triplet) -> Drawn:
        frame0, frame1 = (triplet.frames[i, None].to(self.device) for i in (0, 2))
        if self.is_precomputed:
            if triplet.flows is None:
                raise InputError(f"{triplet.name} comes without flows; estimate them with --flow rfr or dis.")
            if not all(flow.isfinite().all() for flow in triplet.flows):
                raise InputError(f"The flows of {triplet.name} hold values that are no finite numbers.")
            flow01, flow10 = (flow[None].to(self.device) for flow in triplet.flows)
        else:
            flow01, flow10 = flows.at_moderate_size(self.interpolator.motion, frame0, frame1)
        prepared = self.interpolator.synthesiser.prepare(frame0, frame1, flow01, flow10)
        frame = self.interpolator.synthesiser.synthesise(prepared, triplet.time)[0]
        return Drawn(frame.float().clamp(0, 1), *paths.flow(prepared.image.flow))

    def sources(self, name: str) -> list[Path]:
        return [path for path in (*self.folder.glob("*"), *self.folder.glob("default/*")) if path.is_file()]


class FrameFolder(Method):
    """Frames that were drawn by something else.

    Raises:
        InputError: the folder holds none of the frames.
    """

    def __init__(self, path: Path, names: list[str]):
        self.path, self.name = path, str(path)
        if not any(self._find(name) for name in names):
            raise InputError(
                f"{path} holds 0 of {len(names)} frames; they are named by item, such as {self._expected(names[0])}."
            )

    def draw(self, triplet: Triplet) -> Drawn:
        path = self._find(triplet.name)
        if path is None:
            raise InputError(f"There is no frame {self._expected(triplet.name)}.")
        frame = read(path)
        if frame.shape != triplet.frames.shape[1:]:
            sizes = [f"{picture.shape[2]}×{picture.shape[1]}" for picture in (frame, triplet.frames[1])]
            raise InputError(f"{path} is {sizes[0]} pixels, but the frames of {triplet.name} are {sizes[1]}.")
        return Drawn(frame)

    def sources(self, name: str) -> list[Path]:
        return [path for path in [self._find(name)] if path]

    def _find(self, name: str) -> Path | None:
        bare = self.path / name
        for path in (bare, *(bare.with_name(bare.name + suffix) for suffix in image.SUFFIXES)):
            if path.is_file():
                return path
        if bare.suffix in image.SUFFIXES:  # keyframes have files for names
            return self._find(str(Path(name).with_suffix("")))
        inside = image.pictures(bare) if bare.is_dir() else []
        return inside[0] if len(inside) == 1 else None

    def _expected(self, name: str) -> Path:
        return self.path / (name if Path(name).suffix in image.SUFFIXES else f"{name}.png")


def create(word: str, names: list[str], has_flows: bool, **options: str | Path) -> Method:
    """The method of a name, as in the module's docstring.

    Args:
        names: of the items that will be judged.
        has_flows: whether they come with flows, which flow "auto" then takes.
        options: `device`, `precision` and `folder` of `Interpolator`.

    Raises:
        InputError: there is no such method, or it lacks weights or frames.
    """
    if word in BLEND:
        return Blend()
    flow_names = ("auto", PRECOMPUTED, *flows.NAMES)
    flow, _, synthesis = (word, "", "auto") if word in flow_names else word.rpartition("+")
    flow = flow or "auto"
    if flow in flow_names and synthesis in ("auto", *syntheses.NAMES):
        if flow == PRECOMPUTED and not has_flows:
            raise InputError(f"{word} needs flows that come with the data, and there are none; take another flow.")
        takes_theirs = flow == "auto" and has_flows and synthesis not in syntheses.REFINING
        return Interpolation(PRECOMPUTED if takes_theirs else flow, synthesis, **options)
    if Path(word).is_dir():
        return FrameFolder(Path(word), names)
    raise InputError(
        f"There is no method {word!r}: it is a folder of frames, blend, or FLOW+SYNTHESIS, where FLOW is "
        f"{', '.join(flow_names)} and SYNTHESIS auto, {', '.join(syntheses.NAMES)}."
    )


def create_all(words: list[str], names: list[str], has_flows: bool, **options: str | Path) -> list[Method]:
    """As `create`, for several.

    Raises:
        InputError: as there, or two of them are one and the same.
    """
    created = [create(word, names, has_flows, **options) for word in words]
    for i, method in enumerate(created):
        if method.name in (other.name for other in created[:i]):
            raise InputError(f"{words[i]} is {method.name}, which is given already; compare different methods.")
    return created
