"""Random motion of the pictures of a batch of scenes, known at every time.

Every picture has a similarity of its own, two bends, and the camera over all. The parts of a rig share one similarity
and have a map within it (see `rigs`).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from _databacks.toons.rigs import RIGS, Rig

CALMEST = -1.6  # logarithm of the least share of their motion that scenes have: shows move less than they might
EVEN = 0.6  # share of scenes all of whose parts move evenly; of the parts of others, as many do
RIGGED = 0.75  # share of scenes with a rig


class Pose(NamedTuple):
    """The placement of each picture of each scene in the frame at one time."""

    matrix: Tensor  # (b, layers, 2, 3) from bent coordinates to pixels
    bend: Tensor  # (b, layers, 2) amplitude of the two shears
    phase: Tensor  # (b, layers, 2) radians
    waves: Tensor  # (b, layers, 2) radians per unit; the same at all times
    progress: Tensor  # (b, layers) from 0 at time 0 to 1 at time 1


class Motion:
    """The motion of every picture of a batch of scenes.

    Args:
        b: scenes.
        drawings: pictures between the background, which is first, and the caption, which is last.
        size: (h, w) of the frames.

    Attributes:
        rigs: the kind of each scene's rig, of `RIGS`, or None.
        parts: the slice of its drawings that are its parts.
    """

    def __init__(self, random: torch.Generator, b: int, drawings: int, size: tuple[int, int]):
        self._random, self._b = random, b
        self._choose_rigs(drawings)
        self._place(drawings + 2, size)
        self._move(drawings + 2, size)
        self._hold_ends(size)
        self._articulate(drawings + 2)
        self._time(drawings + 2)

    def _uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(self._b, *shape).uniform_(low, high, generator=self._random)

    def _happens(self, share: float, *shape: int) -> Tensor:
        return (torch.rand(self._b, *shape, generator=self._random) < share).float()

    def _integer(self, below: int) -> int:
        return int(torch.randint(below, (), generator=self._random))

    def _choose_rigs(self, drawings: int) -> None:
        self.rigs: list[str | None] = []
        self.parts: list[slice] = []
        for has_rig in self._happens(RIGGED):
            kind = list(RIGS)[self._integer(len(RIGS))] if has_rig else None
            count = len(RIGS[kind].parts) if kind else 0
            if kind == "limb":
                count -= self._integer(2)
            if count > drawings:
                kind, count = None, 0
            first = drawings - count - (self._integer(min(2, drawings - count) + 1) if kind else 0)
            self.rigs.append(kind)
            self.parts.append(slice(first, first + count))

    def _place(self, k: int, size: tuple[int, int]) -> None:
        h, w = size
        self.centre = torch.stack([self._uniform(-0.1, 1.1, k) * w, self._uniform(-0.1, 1.1, k) * h], -1)
        self.scale = min(h, w) * 0.5 * torch.exp(self._uniform(-0.7, 0.8, k))
        self.angle = self._uniform(-0.6, 0.6, k) * self._happens(0.7, k) + torch.pi * self._happens(0.1, k)
        self.waves = self._uniform(0.8, 3.5, k, 2)
        self.bend = self._uniform(-0.15, 0.15, k, 2) * self._happens(0.6, k, 1)
        self.phase = self._uniform(-torch.pi, torch.pi, k, 2)

    def _move(self, k: int, size: tuple[int, int]) -> None:
        """Draw the changes from time 0 to 1. A picture moves with a group (a character), on its own, or is static."""
        w = size[1]
        heading = self._uniform(0, 2 * torch.pi, k + 1)
        length = torch.exp(self._uniform(0, 1, k + 1) ** 1.5 * math.log(0.25 * w))
        shift = length.unsqueeze(-1) * torch.stack([heading.cos(), heading.sin()], -1)
        alone, grouped = self._happens(0.55, k), self._happens(0.35, k)
        self.shift = shift[:, :k] * alone.unsqueeze(-1) + shift[:, k:] * grouped.unsqueeze(-1)
        self.growth = self._uniform(-0.2, 0.2, k) * self._happens(0.3, k) * alone
        self.turn = self._uniform(-0.35, 0.35, k) * self._happens(0.4, k)
        bends = self._happens(0.4, k, 1)
        self.bending = self._uniform(-0.12, 0.12, k, 2) * bends
        self.waving = self._uniform(-1.0, 1.0, k, 2) * bends

        still = self._happens(0.5, 1)  # cameras: still, or a pan that seldom turns or zooms
        pan = self._uniform(0, 2 * torch.pi, 1)
        reach = torch.exp(self._uniform(0, 1, 1) ** 1.5 * math.log(0.2 * w))
        zoom = self._uniform(-0.12, 0.12, 1) * self._happens(0.3, 1)
        turn = self._uniform(-0.06, 0.06, 1) * self._happens(0.15, 1)
        camera = torch.stack([reach * pan.cos(), reach * pan.sin(), zoom, turn], -1) * (1 - still).unsqueeze(-1)

        self.calm = torch.exp(self._uniform(CALMEST, 0, 1))
        self.camera = (camera * self.calm.unsqueeze(-1)).repeat(1, k, 1)
        for quantity in (self.shift, self.bending, self.waving):
            quantity *= self.calm.unsqueeze(-1)
        for quantity in (self.growth, self.turn):
            quantity *= self.calm

    def _hold_ends(self, size: tuple[int, int]) -> None:
        """Make the background fill the frame and move with the camera only; the caption does not move at all."""
        h, w = size
        self.middle = torch.tensor([w / 2, h / 2])
        self.centre[:, 0] = self.middle
        self.scale[:, 0] = max(h, w) / 2 * torch.exp(self._uniform(-0.1, 0.6))
        for quantity in (self.bend, self.shift, self.growth, self.turn, self.bending, self.waving):
            quantity[:, 0] = 0
            quantity[:, -1] = 0
        self.angle[:, 0] *= 0.3
        self.camera[:, -1] = 0
        self.angle[:, -1] = 0
        self.scale[:, -1] = min(h, w) * 0.5 * torch.exp(self._uniform(-0.3, 0.5))

    def _articulate(self, k: int) -> None:
        """Give the parts of a rig one similarity, and each its joint."""
        b = self._b
        self.here, self.there, self.drift = (torch.zeros(b, k, 2) for _ in range(3))
        self.part_angle, self.part_turn = torch.zeros(b, k), torch.zeros(b, k)
        self.is_chained = torch.zeros(b, k, dtype=torch.bool)
        signed = self._uniform(-1, 1, k, 2)
        directions = self._uniform(-1, 1, 2) * torch.tensor([1.0, 0.4])
        for i, (kind, parts) in enumerate(zip(self.rigs, self.parts, strict=True)):
            if kind is not None:
                layers = slice(parts.start + 1, parts.stop + 1)  # after the background
                self._articulate_one(i, layers, RIGS[kind], signed[i, layers], directions[i])

    def _articulate_one(self, i: int, layers: slice, rig: Rig, signed: Tensor, direction: Tensor) -> None:
        parts = rig.parts[: layers.stop - layers.start]
        for quantity in (self.centre, self.scale, self.angle, self.shift, self.growth):
            quantity[i, layers] = quantity[i, layers.start].clone()
        if rig.is_chain:
            self.angle[i, layers] = torch.pi * signed[0, 0]
            self.growth[i, layers] = 0
        self.turn[i, layers] = self.calm[i] * rig.turn * signed[0, 1]
        for quantity in (self.bend, self.bending):
            quantity[i, layers] *= 0 if rig.is_chain else 0.3
        for quantity in (self.bend, self.bending, self.phase, self.waving, self.waves):  # parts stay joined
            quantity[i, layers] = quantity[i, layers.start].clone()
        self.here[i, layers] = torch.tensor([part.joint for part in parts])
        self.there[i, layers] = torch.tensor([part.joint if part.hangs is None else part.hangs for part in parts])
        self.part_angle[i, layers] = torch.tensor([part.angle for part in parts]) * signed[:, 0]
        self.part_turn[i, layers] = torch.tensor([part.turn for part in parts]) * signed[:, 1] * self.calm[i]
        parallax = torch.tensor([part.parallax for part in parts])[:, None] * rig.parallax
        self.drift[i, layers] = parallax * direction * self.calm[i]
        self.is_chained[i, layers.start + 1 : layers.stop] = rig.is_chain

    def _time(self, k: int) -> None:
        self.linear = torch.maximum(self._happens(0.6, k), self._happens(EVEN, 1))
        self.power = torch.exp(self._uniform(-0.8, 0.8, k))
        self.smooth = self._happens(0.4, k)
        for i, parts in enumerate(self.parts):  # a rig keeps one timing
            layers = slice(parts.start + 1, parts.stop + 1)
            for quantity in (self.linear, self.power, self.smooth):
                quantity[i, layers] = quantity[i, parts.start].clone()

    def at(self, times: Tensor) -> Pose:
        """The poses at times (b,)."""
        t = times[:, None]
        eased = torch.where(self.smooth > 0, t * t * (3 - 2 * t), t**self.power)
        s = torch.where(self.linear > 0, t.expand_as(eased), eased)
        around = s - 0.5  # growth and turns are about the middle pose
        each = around.unsqueeze(-1)
        whole = similarity(
            self.scale * torch.exp(around * self.growth),
            self.angle + around * self.turn,
            self.centre + each * self.shift - self.middle,
        )
        shift, zoom, turn = (self.camera * each).split([2, 1, 1], -1)
        camera = similarity(zoom[..., 0].exp(), turn[..., 0], shift + self.middle)
        bend, phase = self.bend + each * self.bending, self.phase + each * self.waving
        matrix = (camera @ whole @ self._within(around, bend, phase))[..., :2, :]
        return Pose(matrix, bend, phase, self.waves, s)

    def _within(self, around: Tensor, bend: Tensor, phase: Tensor) -> Tensor:
        """Where parts lie within their rig, (b, layers, 3, 3); for other pictures, where they are."""
        one, nothing = torch.ones_like(around), torch.zeros_like(around)
        bent = self._bent(self.here, bend, phase)
        there = self.there + bent - self.here + self.drift * around.unsqueeze(-1)
        placed = similarity(one, self.part_angle + around * self.part_turn, there)
        within = placed @ similarity(one, nothing, -bent)
        parts = [within[:, 0]]
        for i in range(1, within.shape[1]):
            chained = self.is_chained[:, i, None, None]
            parts.append(torch.where(chained, parts[-1] @ within[:, i], within[:, i]))
        return torch.stack(parts, 1)

    def _bent(self, points: Tensor, bend: Tensor, phase: Tensor) -> Tensor:
        """Points (b, layers, 2) of each picture, sheared along x, then along y."""
        x, y = points.unbind(-1)
        x = x + bend[..., 0] * (phase[..., 0] + self.waves[..., 0] * y).sin()
        y = y + bend[..., 1] * (phase[..., 1] + self.waves[..., 1] * x).sin()
        return torch.stack([x, y], -1)


def similarity(scale: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """(…, 3, 3): scale and turn, then shift."""
    cos, sin, zero = scale * angle.cos(), scale * angle.sin(), torch.zeros_like(angle)
    rows = (cos, -sin, shift[..., 0]), (sin, cos, shift[..., 1]), (zero, zero, zero + 1)
    return torch.stack([torch.stack(row, -1) for row in rows], -2)
