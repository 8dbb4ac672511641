"""The methods that evaluation compares, by name.

dis+splat, rfr+ssldtm     a flow and a synthesis, each of which may be auto
ifnet, rife               a synthesis that finds motion itself
unet, auto+unet           a flow of that name; the synthesis of that name
precomputed+ssldtm        a synthesis with the flows that come with the data
ifnet@ease                a synthesis that finds motion itself, at times estimated from the neighbouring keyframes
blend                     both frames, weighted by nearness in time: the baseline without interpolation
frames/film/              a folder of frames drawn by another program, named by item: NAME.png, or NAME/ with one
                          picture
"""

import itertools
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from _databacks.triplet import Triplet, read_frame
from _train.frame_interpolation import easing, methods
from _train.frame_interpolation.easing import Easing
from _train.frame_interpolation.flows import Flows
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.methods import FLOWS, SYNTHESES
from _train.frame_interpolation.pipeline import PreparedPair
from _util import files
from _util.errors import InputError

PRECOMPUTED = "precomputed"
BLEND = ("blend", "mean")
EASED = "@ease"
Neighbours = Mapping[str, tuple[Path | None, Path | None]]


class JudgedMethod(ABC):
    """Draws the middle frame of a triplet from its outer frames.

    Attributes:
        name: as shown in tables.
        device: where it draws.
        draws_any_time: whether it can draw other times than the triplet's own.
    """

    name: str
    device = torch.device("cpu")
    draws_any_time = True

    @abstractmethod
    def draw(self, triplet: Triplet, times: Sequence[float]) -> list[Tensor]:
        """The frames (3, h, w) float32 in [0, 1], on the method's device, at times in (0, 1), the triplet's own first.
        Methods that cannot draw other times return that frame alone.

        Raises:
            InputError: a frame cannot be drawn or read, or has another size.
        """

    def flow01(self, triplet: Triplet) -> Tensor | None:
        """The flow (2, h, w) that the method uses, if any."""
        return None

    def sources(self, name: str) -> list[Path]:
        """The files that the frame of an item depends on, besides the item's own."""
        return []


class Blend(JudgedMethod):
    """The mean of both frames, weighted by nearness in time."""

    name = "blend"

    def draw(self, triplet: Triplet, times: Sequence[float]) -> list[Tensor]:
        return [(1 - t) * triplet.frames[0] + t * triplet.frames[2] for t in times]


class JudgedInterpolation(JudgedMethod):
    """A flow and a synthesis.

    Args:
        flow, synthesis: as of `Interpolator`; the flow "precomputed" is that of the triplets.
        options: `device`, `precision` and `folder` of `Interpolator`.

    Raises:
        InputError: as `Interpolator`.
    """

    def __init__(self, flow: str, synthesis: str, **options: Any):
        self.is_precomputed = flow == PRECOMPUTED
        # With precomputed flow the estimator is never called, so take one that needs no weights.
        self.interpolator = Interpolator("dis" if self.is_precomputed else flow, synthesis, **options)
        self.device = self.interpolator.device
        self.name = f"{PRECOMPUTED}+{self.interpolator.synthesis}" if self.is_precomputed else self.interpolator.method

    def draw(self, triplet: Triplet, times: Sequence[float]) -> list[Tensor]:
        prepared = self._prepare(triplet)
        frames = (self.interpolator.pipeline.frames(prepared, t)[0] for t in times)
        return [frame.float().clamp(0, 1) for frame in frames]

    def flow01(self, triplet: Triplet) -> Tensor:
        return self.interpolator.pipeline.flow(self._prepare(triplet)).flow01[0]

    def _prepare(self, triplet: Triplet) -> PreparedPair:
        frame0, frame1 = (triplet.frames[i, None].to(self.device) for i in (0, 2))
        if not self.is_precomputed:
            return self.interpolator.pipeline.prepare(frame0, frame1)
        if triplet.flows is None:
            raise InputError(f"{triplet.name} comes without flows; estimate them with --flow rfr or dis.")
        if not all(flow.isfinite().all() for flow in triplet.flows):
            raise InputError(f"The flows of {triplet.name} hold values that are not finite.")
        flow = Flows(*(flow[None].to(self.device) for flow in triplet.flows))
        return self.interpolator.pipeline.prepare(frame0, frame1, flow)

    def sources(self, name: str) -> list[Path]:
        return list(self.interpolator.weights().values())


class EasedInterpolation(JudgedInterpolation):
    """A synthesis whose motion is eased by the drawings before and after each triplet.

    Args:
        neighbours: the files of these drawings by the name of the triplet; None where there is none.
        flow, synthesis, options: as of `JudgedInterpolation`.

    Raises:
        InputError: as `Interpolator`, or the synthesis does not find motion itself.
    """

    def __init__(self, neighbours: Neighbours, flow: str, synthesis: str, **options: Any):
        super().__init__(flow, synthesis, **options)
        self.interpolator.check_eases()
        self._neighbours, self.name = neighbours, self.name + EASED

    def draw(self, triplet: Triplet, times: Sequence[float]) -> list[Tensor]:
        found = self._easing(triplet)
        if found is None:
            return super().draw(triplet, times)
        prepared, pipeline = self._prepare(triplet), self.interpolator.pipeline
        is_map = pipeline.takes_maps(prepared)
        eased = (found.progress(t, prepared.size) if is_map else found.mean(t) for t in times)
        return [pipeline.frames(prepared, t)[0].float().clamp(0, 1) for t in eased]

    def _easing(self, triplet: Triplet) -> Easing | None:
        before, after = self._neighbours[triplet.name]
        if before is None or after is None:
            return None
        frames = read_frame(before), triplet.frames[0], triplet.frames[2], read_frame(after)
        return easing.estimate(*itertools.starmap(self._gap, itertools.pairwise(frames)))

    def _gap(self, frame0: Tensor, frame1: Tensor) -> easing.GapMotion:
        frames = (frame[None].to(self.device) for frame in (frame0, frame1))
        return easing.GapMotion(self.interpolator.pipeline.displacement(*frames), 1.0)

    def sources(self, name: str) -> list[Path]:
        return super().sources(name) + [path for path in self._neighbours[name] if path]


class FrameFolder(JudgedMethod):
    """Frames that were drawn by another program.

    Raises:
        InputError: the folder holds none of the frames.
    """

    draws_any_time = False

    def __init__(self, path: Path, names: list[str]):
        self.path, self.name = path, f"{path}/"  # unlike a method of that name
        self._pictures: dict[Path, dict[str, list[Path]]] = {}  # of each folder within, by name without suffix
        if not any(self._find(name) for name in names):
            raise InputError(
                f"{path} holds 0 of {len(names)} frames; they are named by item, such as {self._expected(names[0])}."
            )

    def draw(self, triplet: Triplet, times: Sequence[float]) -> list[Tensor]:
        path = self._find(triplet.name)
        if path is None:
            raise InputError(f"There is no frame {self._expected(triplet.name)}.")
        frame = read_frame(path)
        if frame.shape != triplet.frames.shape[1:]:
            sizes = [f"{picture.shape[2]}×{picture.shape[1]}" for picture in (frame, triplet.frames[1])]
            raise InputError(f"{path} is {sizes[0]} pixels, but the frames of {triplet.name} are {sizes[1]}.")
        return [frame]

    def sources(self, name: str) -> list[Path]:
        return [path for path in [self._find(name)] if path]

    def _find(self, name: str) -> Path | None:
        bare = self.path / name
        if bare.is_file():
            return bare
        if found := self._pictures_of(bare.parent).get(unicodedata.normalize("NFC", bare.name)):
            return min(found, key=lambda path: files.PICTURE_SUFFIXES.index(path.suffix.lower()))
        if _has_suffix(name):  # keyframes are named by their files
            return self._find(str(Path(name).with_suffix("")))
        inside = files.pictures(bare) if bare.is_dir() else []
        return inside[0] if len(inside) == 1 else None

    def _pictures_of(self, folder: Path) -> dict[str, list[Path]]:
        """The pictures of a folder by name without suffix, in Unicode's form NFC; each folder is read once."""
        if folder not in self._pictures:
            found: dict[str, list[Path]] = {}
            for path in filter(Path.is_file, files.pictures(folder) if folder.is_dir() else []):
                found.setdefault(unicodedata.normalize("NFC", path.stem), []).append(path)
            self._pictures[folder] = found
        return self._pictures[folder]

    def _expected(self, name: str) -> Path:
        return self.path / (name if _has_suffix(name) else f"{name}.png")


def _has_suffix(name: str) -> bool:
    return Path(name).suffix.lower() in files.PICTURE_SUFFIXES


def create(
    word: str, names: list[str], has_flows: bool, neighbours: Neighbours | None = None, **options: str | Path
) -> JudgedMethod:
    """Create a method by its name, see the module's docstring.

    Args:
        names: of the items to evaluate.
        has_flows: whether the items come with flows; "auto" then selects these.
        neighbours: of `EasedInterpolation`; None if no item has any.
        options: `device`, `precision` and `folder` of `Interpolator`.

    Raises:
        InputError: an unknown method, or its weights, flows or frames are missing.
    """
    if word in BLEND:
        return Blend()
    flow_names, synthesis_names = ("auto", PRECOMPUTED, *FLOWS), ("auto", *SYNTHESES)
    is_eased = word.endswith(EASED) and not Path(word).is_dir()
    flow, synthesis = methods.split(word.removesuffix(EASED) if is_eased else word, PRECOMPUTED)
    if flow in flow_names and synthesis in synthesis_names:
        if flow == PRECOMPUTED and not has_flows:
            raise InputError(f"{word} needs flows that come with the data, and there are none; take another flow.")
        method = SYNTHESES.get(synthesis)
        if method and method.finds_motion and flow != "auto" and not (flow in FLOWS and method.uses(FLOWS[flow])):
            raise InputError(f"{synthesis} finds motion itself and does not use {flow}; leave it out.")
        if is_eased:
            if neighbours is None:
                raise InputError(f"{word} is of keyframes with others before and after them, and there are none.")
            return EasedInterpolation(neighbours, flow, synthesis, **options)
        wants_flow = method is None or not (method.refines or method.finds_motion)
        return JudgedInterpolation(
            PRECOMPUTED if flow == "auto" and has_flows and wants_flow else flow, synthesis, **options
        )
    if Path(word).is_dir():
        return FrameFolder(Path(word), names)
    raise InputError(
        f"There is no method {word!r}: it is a folder of frames, blend, or FLOW+SYNTHESIS, where FLOW is "
        f"{', '.join(flow_names)} and SYNTHESIS {', '.join(synthesis_names)}; one of them may be left out."
    )


def create_all(
    words: list[str], names: list[str], has_flows: bool, neighbours: Neighbours | None = None, **options: str | Path
) -> list[JudgedMethod]:
    """As `create`, for several methods.

    Raises:
        InputError: as of `create`, or two names stand for the same method.
    """
    created = [create(word, names, has_flows, neighbours, **options) for word in words]
    for i, method in enumerate(created):
        if method.name in (other.name for other in created[:i]):
            raise InputError(f"{words[i]} is {method.name}, which is given already; compare different methods.")
    return created
