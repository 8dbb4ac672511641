"""Endless cartoon motion with its exact flow, composed on the device that trains.

A scene is a background and some drawings over it, nearest last. Each is a picture with coordinates of its own,
[-1, 1]², carried into the frame at time t by a map with a closed inverse: two shears along sine waves, which bend it
smoothly, then scale, turn and shift. Some are limbs: segments that turn about joints, each carried by the one before.
The inverse draws the frame at any time; inverse, then map give the exact motion, of what is hidden too.

Most scenes move evenly. In the others each part has a timing of its own, and `progress` tells how far what shows at a
pixel of the middle frame has come along its way.

`Toons(size, batch_size, seed, device).batch(i)` is a pure function of the seed and i.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from _databacks.toons import atlas, damage

PICTURES = ("drawing", "limb", "background", "caption")
_SAME_MOTION = 0.05  # pixels: what moves alike to within this is one thing
_CALMEST = -1.6  # logarithm of the least share of their motion that scenes have
_EVEN = 0.6  # share of scenes all of whose parts move evenly; of the parts of others, as many do
_LIMBS, _LARGEST_TURN = 0.5, 1.8  # share of scenes with a limb; radians by which a segment turns on the one before it
_JOINT = 0.8  # where segments are joined, from their middle
_WHOLE = 0.98  # share of a pixel that must be one thing for its colour to be found again


class Scenes(NamedTuple):
    """A batch of sequences of three frames, at times 0, t and 1."""

    frames: Tensor  # (b, 3, 3, h, w) RGB in [0, 1]
    times: Tensor  # (b,) of the middle frame, in (0, 1)
    flows: tuple[Tensor, Tensor]  # flow01, flow10, (b, 2, h, w), x then y, pixels
    occlusions: tuple[Tensor, Tensor]  # (b, 1, h, w) 1 where the other frame does not show what this pixel shows
    motion: Tensor  # (b, 4, h, w) from the middle frame, x y to frame 0, x y to frame 1, pixels
    seen: Tensor  # (b, 2, h, w) 1 where frame 0, where frame 1 shows what this pixel of the middle frame shows
    progress: Tensor  # (b, 1, h, w) of the middle frame, in [0, 1]: how far from frame 0 to frame 1 that has come


class Pose(NamedTuple):
    """How each picture of each scene lies in the frame at one time."""

    matrix: Tensor  # (b, layers, 2, 3) from bent coordinates to pixels
    bend: Tensor  # (b, layers, 2) amplitude of the two shears
    phase: Tensor  # (b, layers, 2) radians
    waves: Tensor  # (b, layers, 2) radians per unit; the same at all times
    progress: Tensor  # (b, layers) from 0 at time 0 to 1 at time 1


class Toons:
    """Batches of scenes, each a function of the seed and its index alone.

    Args:
        size: (h, w) of the frames.
        device: where they are composed.
        drawings: the most that one scene holds.
        times: the range that t is drawn from; 0.5 half of the time.
        damaged: whether frames suffer what sources suffer: compression, grain, fades, reduced chroma.
        pictures: an atlas in memory; by default the one in `atlas.PATH`.
    """

    def __init__(
        self,
        size: tuple[int, int] = (256, 256),
        batch_size: int = 8,
        seed: int = 0,
        device: torch.device | str = "cpu",
        drawings: int = 6,
        times: tuple[float, float] = (0.1, 0.9),
        damaged: bool = True,
        pictures: dict[str, Tensor] | None = None,
    ):
        pictures = pictures or atlas.load()
        self.pictures = {kind: pictures[kind].to(device) for kind in PICTURES}
        self.size, self.batch_size, self.seed, self.drawings = size, batch_size, seed, drawings
        self.times, self.damaged, self.device = times, damaged, torch.device(device)

    @torch.no_grad()
    def batch(self, index: int) -> Scenes:
        """The batch of that index."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        with torch.autocast(self.device.type, enabled=False):  # flow must stay exact
            return self._compose(random)

    def _compose(self, random: torch.Generator) -> Scenes:
        b, (h, w) = self.batch_size, self.size
        times = torch.empty(b).uniform_(*self.times, generator=random)
        times = torch.where(torch.rand(b, generator=random) < 0.5, 0.5, times)
        motion = _Motion(random, b, self.drawings, self.size)
        backgrounds, drawings = self._choose(random, motion.limbed)
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
        flows = [_to_frame(inverses[i], poses[2 - i]) - pixels for i in (0, 2)]  # (b, layers, 2, h, w)
        flow01, seen0 = _follow(flows[0], shown[0], shown[2])
        flow10, seen1 = _follow(flows[1], shown[2], shown[0])
        from_middle = [_follow(_to_frame(inverses[1], poses[i]) - pixels, shown[1], shown[i]) for i in (0, 2)]
        motion, seen = (torch.cat(x, 1) for x in zip(*from_middle, strict=True))
        owner = shown[1].max(1, keepdim=True).indices
        progress = poses[1].progress[..., None, None].expand_as(shown[1]).gather(1, owner)
        frames = torch.stack(frames, 1)
        if self.damaged:
            frames = damage.damage(frames, times.to(self.device), random)
        occlusions = 1 - seen0, 1 - seen1
        return Scenes(frames.clamp(0, 1), times.to(self.device), (flow01, flow10), occlusions, motion, seen, progress)

    def _choose(self, random: torch.Generator, limbed: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures: backgrounds (b, 4, S, S) and drawings (b, drawings + 1, 4, s, s), a caption or nothing last.

        Args:
            limbed: (b, drawings) True where a drawing is a segment of a limb.
        """
        b, k = self.batch_size, self.drawings

        def pick(kind: str, *shape: int) -> Tensor:
            chosen = torch.randint(len(self.pictures[kind]), shape, generator=random)
            return self.pictures[kind][chosen.to(self.device)].float() / 255

        backgrounds, drawings = pick("background", b), pick("drawing", b, k)
        limbs = pick("limb", b, 1).expand(-1, k, -1, -1, -1)  # the segments of a limb look alike
        drawings = torch.where(limbed.to(self.device)[..., None, None, None], limbs, drawings)
        drawings = _recolour(drawings, random, limbed.any(1))
        detail = torch.rand(b, 1, 1, 1, generator=random).to(self.device)
        plain = backgrounds.mean((2, 3), keepdim=True)
        backgrounds = torch.where(detail < 0.15, plain.lerp(backgrounds, 0.2), backgrounds)
        present = torch.rand(b, k, 1, 1, 1, generator=random) < 0.8
        present[:, -1] = True
        present |= limbed[..., None, None, None]
        captions = pick("caption", b, 1) * (torch.rand(b, 1, 1, 1, 1, generator=random) < 0.15).to(self.device)
        return backgrounds, torch.cat([drawings * present.to(self.device), captions], 1)


class _Motion:
    """Draws the motion of every picture of a batch of scenes and gives their poses at any time."""

    def __init__(self, random: torch.Generator, b: int, drawings: int, size: tuple[int, int]):
        h, w = size
        k = drawings + 2  # background first, caption last

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return torch.empty(b, *shape).uniform_(low, high, generator=random)

        def happens(share: float, *shape: int) -> Tensor:
            return (torch.rand(b, *shape, generator=random) < share).float()

        side = min(h, w)
        self.centre = torch.stack([uniform(-0.1, 1.1, k) * w, uniform(-0.1, 1.1, k) * h], -1)
        self.scale = side * 0.5 * torch.exp(uniform(-0.7, 0.8, k))
        self.angle = uniform(-0.6, 0.6, k) * happens(0.7, k) + torch.pi * happens(0.1, k)
        self.waves = uniform(0.8, 3.5, k, 2)
        self.bend = uniform(-0.15, 0.15, k, 2) * happens(0.6, k, 1)
        self.phase = uniform(-torch.pi, torch.pi, k, 2)

        # Changes from time 0 to 1. A part moves with the group (a character) or alone, or is still.
        heading = uniform(0, 2 * torch.pi, k + 1)
        length = torch.exp(uniform(0, 1, k + 1) ** 1.5 * math.log(0.25 * w))
        shift = length.unsqueeze(-1) * torch.stack([heading.cos(), heading.sin()], -1)
        alone, grouped = happens(0.55, k), happens(0.35, k)
        self.shift = shift[:, :k] * alone.unsqueeze(-1) + shift[:, k:] * grouped.unsqueeze(-1)
        self.growth = uniform(-0.2, 0.2, k) * happens(0.3, k) * alone
        self.turn = uniform(-0.35, 0.35, k) * happens(0.4, k)
        bends = happens(0.4, k, 1)
        self.bending = uniform(-0.12, 0.12, k, 2) * bends
        self.waving = uniform(-1.0, 1.0, k, 2) * bends

        still = happens(0.5, 1)  # cameras: still, or a pan that seldom turns or zooms
        pan = uniform(0, 2 * torch.pi, 1)
        reach = torch.exp(uniform(0, 1, 1) ** 1.5 * math.log(0.2 * w))
        zoom, turn = uniform(-0.12, 0.12, 1) * happens(0.3, 1), uniform(-0.06, 0.06, 1) * happens(0.15, 1)
        self.camera = torch.stack([reach * pan.cos(), reach * pan.sin(), zoom, turn], -1) * (1 - still).unsqueeze(-1)
        self.camera = self.camera.repeat(1, k, 1)

        self._draw_limb(random, uniform, happens)
        calm = torch.exp(uniform(_CALMEST, 0, 1))  # shows move less than they might
        self.shift *= calm.unsqueeze(-1)
        self.bending *= calm.unsqueeze(-1)
        self.waving *= calm.unsqueeze(-1)
        self.camera *= calm.unsqueeze(-1)
        self.growth *= calm
        self.turn *= calm

        # The background fills the frame and has no motion but the camera's; the caption not even that.
        self.centre[:, 0] = torch.tensor([w / 2, h / 2])
        self.scale[:, 0] = max(h, w) / 2 * torch.exp(uniform(-0.1, 0.6))
        for quantity in (self.bend, self.shift, self.growth, self.turn, self.bending, self.waving):
            quantity[:, 0] = 0
            quantity[:, -1] = 0
        self.angle[:, 0] *= 0.3
        self.camera[:, -1] = 0
        self.angle[:, -1] = 0
        self.scale[:, -1] = side * 0.5 * torch.exp(uniform(-0.3, 0.5))
        self.middle = torch.tensor([w / 2, h / 2])

        self.linear = happens(0.6, k)
        self.power = torch.exp(uniform(-0.8, 0.8, k))
        self.smooth = happens(0.4, k)
        self.linear = torch.maximum(self.linear, happens(_EVEN, 1))
        for quantity in (self.linear, self.power, self.smooth):  # a limb keeps one timing
            first = quantity.gather(1, self.root).expand_as(quantity)
            quantity[:, 1:-1] = torch.where(self.limbed, first[:, 1:-1], quantity[:, 1:-1])

    def _draw_limb(self, random: torch.Generator, uniform: Callable, happens: Callable) -> None:
        """Half of the scenes have one limb of two or three segments among the last of their drawings."""
        b, k = len(self.scale), self.scale.shape[1] - 2
        segments = torch.randint(2, 4, (b, 1), generator=random).clamp(max=k)
        place = torch.arange(k)
        first = k - 1 - torch.randint(2, (b, 1), generator=random).clamp(max=k - 2) - (segments - 1)
        first = first.clamp(min=0)
        self.limbed = (place >= first) & (place < first + segments) & (happens(_LIMBS, 1) > 0)
        self.root = first + 1  # among all pictures
        self.carried = torch.zeros(b, k + 2, dtype=torch.bool)
        self.carried[:, 1:-1] = self.limbed & (place > first)
        is_limb = torch.zeros_like(self.carried)
        is_limb[:, 1:-1] = self.limbed
        length = self.scale.gather(1, self.root) * torch.exp(uniform(-0.3, 0.1, k + 2))
        self.scale = torch.where(is_limb, length, self.scale)
        self.angle = torch.where(self.carried, uniform(-1.3, 1.3, k + 2), self.angle)
        self.angle = torch.where(is_limb & ~self.carried, uniform(-torch.pi, torch.pi, k + 2), self.angle)
        self.turn = torch.where(is_limb, uniform(-_LARGEST_TURN, _LARGEST_TURN, k + 2), self.turn)
        self.growth = self.growth * ~is_limb
        self.shift = self.shift * ~self.carried.unsqueeze(-1)
        for quantity in (self.bend, self.bending, self.waving):
            quantity *= ~is_limb.unsqueeze(-1)

    def at(self, times: Tensor) -> Pose:
        """The poses at times (b,)."""
        t = times[:, None]
        eased = torch.where(self.smooth > 0, t * t * (3 - 2 * t), t**self.power)
        s = torch.where(self.linear > 0, t.expand_as(eased), eased)
        around = s - 0.5  # growth and turns are about the middle pose
        each = around.unsqueeze(-1)
        scale, angle = self.scale * torch.exp(around * self.growth), self.angle + around * self.turn
        centre = self.centre + each * self.shift - self.middle
        for i in range(2, centre.shape[1] - 1):  # each segment begins where the one before it ends
            carried = self.carried[:, i]
            angle[:, i] = torch.where(carried, angle[:, i] + angle[:, i - 1], angle[:, i])
            reach = sum(_JOINT * scale[:, j, None] * _down(angle[:, j]) for j in (i - 1, i))
            centre[:, i] = torch.where(carried[:, None], centre[:, i - 1] + reach, centre[:, i])
        own = _similarity(scale, angle, centre)
        shift, zoom, turn = (self.camera * each).split([2, 1, 1], -1)
        camera = _similarity(zoom[..., 0].exp(), turn[..., 0], shift + self.middle)
        matrix = (camera @ own)[..., :2, :]
        return Pose(matrix, self.bend + each * self.bending, self.phase + each * self.waving, self.waves, s)


def _down(angle: Tensor) -> Tensor:
    """The direction (…, 2) in the frame that points down in a picture turned by an angle."""
    return torch.stack([-angle.sin(), angle.cos()], -1)


def _similarity(scale: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """(…, 3, 3): scale and turn, then shift."""
    cos, sin, zero = scale * angle.cos(), scale * angle.sin(), torch.zeros_like(angle)
    rows = (cos, -sin, shift[..., 0]), (sin, cos, shift[..., 1]), (zero, zero, zero + 1)
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


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
    """The frame (b, 3, h, w), and how much of each pixel is of each layer (b, layers, h, w)."""
    b, (h, w) = len(backgrounds), size
    inverse = inverse.permute(0, 1, 3, 4, 2)
    ground = F.grid_sample(backgrounds, inverse[:, 0], padding_mode="reflection", align_corners=False)
    layers = F.grid_sample(drawings.flatten(0, 1), inverse[:, 1:].flatten(0, 1), align_corners=False)
    layers = layers.view(b, -1, 4, h, w)
    colour, shown, room = torch.zeros_like(ground[:, :3]), [], torch.ones_like(ground[:, :1])
    for layer in layers.flip(1).unbind(1):
        colour = colour + room * layer[:, :3]
        shown.append(room * layer[:, 3:])
        room = room * (1 - layer[:, 3:])
    return colour + room * ground[:, :3], torch.cat([room, *shown[::-1]], 1)


def _follow(flows: Tensor, shown: Tensor, shown_there: Tensor) -> tuple[Tensor, Tensor]:
    """Each pixel's flow, that of the layer it shows most of, and 1 where the other frame shows the same.

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
    """Half of the pictures with their colours mixed anew: a random turn about grey, a gain and a shade.

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
