"""Endless cartoon motion with its exact flow, composed on the device that trains.

A scene is a background and some drawings over it, nearest last. Each is a picture with coordinates of its own,
[-1, 1]², carried into the frame at time t by a map with a closed inverse: two shears along sine waves, which bend it
smoothly, then scale, turn and shift. Some are parts of a rig: an arm, a head or a figure, whose parts turn about joints
and shift against one another (see `rigs`). The inverse draws the frame at any time; inverse, then map give the exact
motion, of what is hidden too.

Most scenes move evenly. In the others each part has a timing of its own, and `progress` tells how far what shows at a
pixel of the middle frame has come along its way.

`Toons(size, batch_size, seed, device).batch(i)` is a pure function of the seed and i.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from _databacks.toons import atlas, degradation
from _databacks.toons.motion import Motion, Pose

DRAWINGS = 6  # at most, in a scene
_SAME_MOTION = 0.05  # pixels: what moves alike to within this is one thing
_PAPER = 0.12  # share of scenes on a ground of one colour, half of them on white
_WHOLE = 0.98  # share of a pixel that must be one thing for its colour to be found again


class Scenes(NamedTuple):
    """A batch of sequences of three frames, at times 0, t and 1."""

    frames: Tensor  # (b, 3, 3, h, w) RGB in [0, 1]
    times: Tensor  # (b,) of the middle frame, in (0, 1)
    progress: Tensor  # (b, 1, h, w) of the middle frame, in [0, 1]: how far from frame 0 to frame 1 that has come
    flows: tuple[Tensor, Tensor] | None  # flow01, flow10, (b, 2, h, w), x then y, pixels
    occlusions: tuple[Tensor, Tensor] | None  # (b, 1, h, w) 1 where the other frame does not show what a pixel shows
    motion: Tensor | None  # (b, 4, h, w) from the middle frame, x y to frame 0, x y to frame 1, pixels
    seen: Tensor | None  # (b, 2, h, w) 1 where frame 0, where frame 1 shows what this pixel of the middle frame shows


class Toons:
    """Batches of scenes, each a function of the seed and its index alone.

    Args:
        size: (h, w) of the frames.
        device: where they are composed.
        times: the range that t is drawn from; 0.5 with probability 1/2.
        between_ends: compute `flows` and `occlusions`.
        from_middle: compute `motion` and `seen`.
        degraded: degrade frames as real sources do: compression, grain, fades, reduced chroma.
        pictures: an atlas in memory; by default the one in `atlas.PATH`.
    """

    def __init__(
        self,
        size: tuple[int, int] = (256, 256),
        batch_size: int = 8,
        seed: int = 0,
        device: torch.device | str = "cpu",
        times: tuple[float, float] = (0.1, 0.9),
        degraded: bool = True,
        between_ends: bool = True,
        from_middle: bool = True,
        pictures: dict[str, Tensor] | None = None,
    ):
        pictures = pictures or atlas.load()
        self.pictures = {kind: pictures[kind].to(device) for kind in atlas.KINDS}
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.between_ends, self.from_middle = between_ends, from_middle
        self.times, self.degraded, self.device = times, degraded, torch.device(device)

    @torch.no_grad()
    def batch(self, index: int) -> Scenes:
        """The batch of that index."""
        random = torch.Generator().manual_seed((self.seed * 1_000_003 + index) % 2**64)
        with torch.autocast(self.device.type, enabled=False):  # flow must stay exact
            return self._compose(random)

    def _compose(self, random: torch.Generator) -> Scenes:
        b, (h, w) = self.batch_size, self.size
        times = torch.empty(b).uniform_(*self.times, generator=random)
        times = torch.where(torch.rand(b, generator=random) < 0.5, 0.5, times)
        motion = Motion(random, b, DRAWINGS, self.size)
        backgrounds, drawings = self._choose(random, motion)
        poses = [motion.at(t) for t in (torch.zeros(b), times, torch.ones(b))]
        poses = [Pose(*(x.to(self.device) for x in pose)) for pose in poses]
        pixels = _pixels(h, w, self.device)

        frames, shown, inverses = [], [], []
        for pose in poses:
            inverse = _to_picture(pixels, pose)
            frame, visible = _draw(backgrounds, drawings, inverse, self.size)
            frames.append(frame)
            shown.append(visible)
            inverses.append(inverse)

        def follow(i: int, j: int) -> tuple[Tensor, Tensor]:
            return _follow(_to_frame(inverses[i], poses[j]) - pixels, shown[i], shown[j])

        flows = occlusions = motion = seen = None
        if self.between_ends:
            flows, shared = zip(follow(0, 2), follow(2, 0), strict=True)
            occlusions = 1 - shared[0], 1 - shared[1]
        if self.from_middle:
            motion, seen = (torch.cat(x, 1) for x in zip(follow(1, 0), follow(1, 2), strict=True))
        owner = shown[1].max(1, keepdim=True).indices
        progress = poses[1].progress[..., None, None].expand_as(shown[1]).gather(1, owner)
        frames = torch.stack(frames, 1)
        if self.degraded:
            frames = degradation.degrade(frames, times.to(self.device), random)
        return Scenes(frames.clamp(0, 1), times.to(self.device), progress, flows, occlusions, motion, seen)

    def _choose(self, random: torch.Generator, motion: Motion) -> tuple[Tensor, Tensor]:
        """Pictures: backgrounds (b, 4, S, S) and drawings (b, DRAWINGS + 1, 4, s, s), a caption or nothing last."""
        b, k = self.batch_size, DRAWINGS

        def pick(kind: str, *shape: int) -> Tensor:
            chosen = torch.randint(len(self.pictures[kind]), shape, generator=random)
            return self.pictures[kind][chosen.to(self.device)].float() / 255

        backgrounds, drawings = pick("background", b), pick("drawing", b, k)
        present = torch.rand(b, k, 1, 1, 1, generator=random) < 0.8
        present[:, -1] = True
        for i, (kind, parts) in enumerate(zip(motion.rigs, motion.parts, strict=True)):
            if kind is not None:
                drawings[i, parts] = pick(kind)[: len(drawings[i, parts])]
                present[i, parts] = True
        drawings = _recolour(drawings, random, torch.tensor([kind is not None for kind in motion.rigs]))
        detail = torch.rand(b, 1, 1, 1, generator=random).to(self.device)
        plain = backgrounds.mean((2, 3), keepdim=True)
        backgrounds = torch.where(detail < 0.15, plain.lerp(backgrounds, 0.2), backgrounds)
        paper = torch.where(detail < _PAPER / 2, 1.0, plain)  # drawings are often seen before they are put on a ground
        backgrounds = torch.where(detail < _PAPER, paper, backgrounds)
        captions = pick("caption", b, 1) * (torch.rand(b, 1, 1, 1, 1, generator=random) < 0.15).to(self.device)
        return backgrounds, torch.cat([drawings * present.to(self.device), captions], 1)


def _pixels(h: int, w: int, device: torch.device) -> Tensor:
    """(2, h, w), x then y."""
    y, x = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
    return torch.stack([x, y]).float()


def _affine(points: Tensor, matrix: Tensor) -> Tensor:
    """Points (b, layers, 2, h, w), or (2, h, w) for all, by matrices (b, layers, 2, 3)."""
    h, w = points.shape[-2:]
    matrix = matrix.flatten(0, 1)
    flat = points.reshape(-1, 2, h * w).expand(len(matrix), 2, h * w)
    return torch.baddbmm(matrix[..., 2:], matrix[..., :2], flat)


def _shear(pose: Pose, axis: int, moved: Tensor, along: Tensor, sign: int) -> Tensor:
    """`moved` shifted by a sine wave of the other coordinate; (b · layers, h · w)."""
    bend, phase, waves = (x[..., axis].reshape(-1, 1) for x in (pose.bend, pose.phase, pose.waves))
    return torch.addcmul(moved, bend, torch.addcmul(phase, waves, along).sin_(), value=sign)


def _to_frame(u: Tensor, pose: Pose) -> Tensor:
    """Coordinates in the pictures to pixels of the frame, (b, layers, 2, h, w)."""
    x, y = u.flatten(0, 1).flatten(-2).unbind(1)
    x = _shear(pose, 0, x, y, 1)
    y = _shear(pose, 1, y, x, 1)
    return _affine(torch.stack([x, y], 1).view(u.shape), pose.matrix).view(u.shape)


def _to_picture(pixels: Tensor, pose: Pose) -> Tensor:
    """Pixels of the frame (2, h, w) to coordinates in each picture (b, layers, 2, h, w): `_to_frame` undone."""
    turn, shift = pose.matrix.split([2, 1], -1)
    inverse = turn.inverse()
    x, y = _affine(pixels, torch.cat([inverse, -inverse @ shift], -1)).unbind(1)
    y = _shear(pose, 1, y, x, -1)
    x = _shear(pose, 0, x, y, -1)
    return torch.stack([x, y], 1).view(*pose.bend.shape[:2], *pixels.shape)


def _draw(backgrounds: Tensor, drawings: Tensor, inverse: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Draw the frame (b, 3, h, w); also returns the share of each layer in each pixel (b, layers, h, w)."""
    b, (h, w) = len(backgrounds), size
    inverse = inverse.permute(0, 1, 3, 4, 2)
    ground = F.grid_sample(backgrounds, inverse[:, 0], padding_mode="reflection", align_corners=False)
    layers = F.grid_sample(drawings.flatten(0, 1), inverse[:, 1:].flatten(0, 1), align_corners=False)
    layers = layers.view(b, -1, 4, h, w)
    colour, shown, room = torch.zeros_like(ground[:, :3]), [], torch.ones_like(ground[:, :1])
    for layer in reversed(layers.unbind(1)):
        colour = colour + room * layer[:, :3]
        shown.append(room * layer[:, 3:])
        room = room * (1 - layer[:, 3:])
    return colour + room * ground[:, :3], torch.cat([room, *shown[::-1]], 1)


def _follow(flows: Tensor, shown: Tensor, shown_there: Tensor) -> tuple[Tensor, Tensor]:
    """The flow of each pixel's dominant layer, and 1 where the other frame shows the same.

    Args:
        flows: (b, layers, 2, h, w) of each layer from this frame to the other, shown or not.
        shown, shown_there: (b, layers, h, w) share of each pixel that is of each layer, here and in the other frame.

    Returns:
        flow (b, 2, h, w), seen (b, 1, h, w).
    """
    h, w = shown.shape[2:]
    owner = shown.max(1, keepdim=True).indices.unsqueeze(2)
    flow = flows.gather(1, owner.expand(-1, -1, 2, -1, -1))
    alike = (flows - flow).square_().sum(2) < _SAME_MOTION**2
    target = _pixels(h, w, flow.device) + flow[:, 0]
    grid = (2 * target.permute(0, 2, 3, 1) + 1) / target.new_tensor([w, h]) - 1
    there = F.grid_sample(shown_there, grid, align_corners=False)
    whole = torch.minimum((shown * alike).sum(1, keepdim=True), (there * alike).sum(1, keepdim=True)) > _WHOLE
    return flow[:, 0], whole.to(flow.dtype)


def _recolour(pictures: Tensor, random: torch.Generator, alike: Tensor) -> Tensor:
    """Half of the pictures with their colours mixed: a random turn about grey, a gain and a shade.

    Args:
        alike: (b,) True where all pictures of a scene are mixed in the same way.
    """
    b, k = pictures.shape[:2]
    colour, alpha = pictures.split([3, 1], 2)
    angle = torch.rand(b, k, generator=random) * 2 * torch.pi * (torch.rand(b, k, generator=random) < 0.5)
    cos, sin = angle.cos(), angle.sin() / 3**0.5
    same, before, after = cos + (1 - cos) / 3, (1 - cos) / 3 - sin, (1 - cos) / 3 + sin
    rows = (same, before, after), (after, same, before), (before, after, same)
    matrix = torch.stack([torch.stack(row, -1) for row in rows], -2)
    matrix = matrix * torch.empty(b, k, 1, 1).uniform_(0.5, 1.1, generator=random)
    matrix = torch.where(alike.view(-1, 1, 1, 1), matrix[:, :1], matrix).to(pictures.device)
    turned = torch.einsum("bkij,bkjhw->bkihw", matrix, colour)
    return torch.cat([turned.clamp(min=0).minimum(alpha), alpha], 2)
