"""Draw the demo pair: two frames of a hand-drawn shot, and any in-between of it.

A girl walks along a seaside street and waves, over a painted background. The shot holds what makes animation hard
to interpolate: flat fills with dark outlines, limbs that turn and cross the body, hair and a scarf that flow, a
camera pan with parallax, and a lamp post in front of it all. Everything is a function of a continuous time, so the
true in-between of the two frames is known, and the pictures are free of anyone else's rights.

Lengths are in units of a 960x540 picture, x to the right and y down; points are float arrays of shape (n, 2).
Masks are uint8 arrays, 0 or 255, of the shape of the supersampled picture. Angles are in degrees; directions of
limbs, hair and cloth are measured from straight down, positive towards the right.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

Colour = tuple[int, int, int]
Pair = tuple[float, float]

SUPERSAMPLE = 4
SUBPIXEL_BITS = 4
OUTLINE = 1.9  # units, before the zoom on the character
ZOOM = 1.15  # size of the character, drawn in units of its own
GROUND_PAN = 28.0  # units that the pavement moves to the left during a step
TO_LIGHT = np.array([5.0, -4.0])

INK = (52, 34, 48)
WHITE = (255, 252, 250)
SKIN, SKIN_SHADE = (255, 226, 204), (240, 182, 164)
HAIR, HAIR_SHADE, HAIR_LIGHT = (134, 78, 58), (92, 48, 48), (206, 138, 94)
COAT, COAT_SHADE = (250, 226, 166), (222, 176, 122)
SCARF, SCARF_SHADE, SCARF_STRIPE = (222, 66, 62), (168, 38, 58), (255, 232, 214)
SKIRT, SKIRT_SHADE = (70, 92, 152), (44, 56, 106)
SOCK, SOCK_SHADE = (250, 246, 244), (196, 190, 214)
LEATHER, LEATHER_SHADE = (140, 74, 52), (96, 46, 44)
IRON, IRON_SHADE, IRON_LIGHT = (58, 84, 88), (36, 54, 64), (122, 158, 152)
TRIM, TRIM_SHADE = (250, 245, 234), (150, 148, 168)
WOOD, WOOD_SHADE = (122, 104, 106), (86, 72, 84)
STONE, STONE_SHADE, SEAM = (232, 212, 188), (170, 150, 150), (196, 172, 160)
FAR_LEAVES = ((70, 122, 98), (94, 152, 106), (134, 182, 112))
NEAR_LEAVES = ((34, 74, 66), (62, 116, 72), (128, 176, 80))


# Geometry


def points(text: str) -> np.ndarray:
    """Points written as in the `points` attribute of SVG: "x,y x,y ..."."""
    return np.array([pair.split(",") for pair in text.split()], float)


def curve(through: np.ndarray) -> np.ndarray:
    """Open Catmull-Rom curve, 12 points per span."""
    p = np.vstack([2 * through[0] - through[1], through, 2 * through[-1] - through[-2]])
    a, b, c, d = p[:-3], p[1:-2], p[2:-1], p[3:]
    u = np.linspace(0, 1, 12, endpoint=False)[:, None, None]
    spans = b + u * (c - a) / 2 + u**2 * (a - 2.5 * b + 2 * c - d / 2) + u**3 * (1.5 * (b - c) + (d - a) / 2)
    return np.vstack([spans.swapaxes(0, 1).reshape(-1, 2), through[-1]])


def blob(through: np.ndarray) -> np.ndarray:
    """Closed Catmull-Rom curve as a polygon."""
    return curve(np.vstack([through[-2:], through, through[:2]]))[24:-12]


def scallops(corners: np.ndarray, bulge: float) -> np.ndarray:
    """Chain of arcs from corner to corner; each bows to its left by `bulge` times its chord."""
    start, end = corners[:-1], corners[1:]
    middle = (start + end) / 2 + 2 * bulge * (end - start)[:, ::-1] * (1, -1)
    u = np.linspace(0, 1, 10)[:, None, None]
    arcs = (1 - u) ** 2 * start + 2 * u * (1 - u) * middle + u**2 * end
    return arcs.swapaxes(0, 1).reshape(-1, 2)


def ellipse(centre: Pair, radii: Pair) -> np.ndarray:
    """Ellipse as a polygon."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)[:, None]
    return np.hstack([np.cos(angle), np.sin(angle)]) * radii + centre


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Rectangle as a polygon."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def line(start: Pair, end: Pair) -> np.ndarray:
    """Straight line of 30 points."""
    return np.linspace(start, end, 30)


def heading(degrees: np.ndarray | float) -> np.ndarray:
    """Unit vectors, (..., 2), for directions measured from straight down."""
    angle = np.radians(degrees)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1)


def streamer(root: np.ndarray, degrees: float, length: float, sway: float, phase: float) -> np.ndarray:
    """Centre line of hair or cloth in the wind: a wave of `sway` degrees that travels from root to tip."""
    s = np.linspace(0, 1, 40)
    steps = heading(degrees + sway * np.sqrt(s) * np.sin(2 * np.pi * s - phase)) * length / len(s)
    return root + np.cumsum(steps, axis=0) - steps[0]


def normals(path: np.ndarray) -> np.ndarray:
    """Unit normals of an open line, (n, 2)."""
    tangent = np.gradient(path, axis=0)
    return tangent[:, ::-1] * (-1, 1) / np.linalg.norm(tangent, axis=1, keepdims=True)


def band(path: np.ndarray, width: float) -> np.ndarray:
    """Polygon of constant width with square ends along an open line."""
    side = normals(path) * width / 2
    return np.vstack([path + side, (path - side)[::-1]])


def limb(joints: np.ndarray) -> np.ndarray:
    """Centre line through three joints with a tight bend at the middle one."""
    start, middle, end = joints
    return curve(np.array([start, middle + 0.22 * (start - middle), middle + 0.22 * (end - middle), end]))


def bent_leg(hip: np.ndarray, ankle: np.ndarray, thigh: float = 82, shin: float = 80) -> np.ndarray:
    """Hip, knee and ankle, (3, 2), with the knee to the right of the line from hip to ankle."""
    distance = np.hypot(*(ankle - hip))
    along = (thigh**2 - shin**2 + distance**2) / (2 * distance)
    unit = (ankle - hip) / distance
    knee = hip + along * unit + np.sqrt(thigh**2 - along**2) * unit[::-1] * (1, -1)
    return np.array([hip, knee, ankle])


def bent_arm(shoulder: np.ndarray, upper: float, lower: float) -> np.ndarray:
    """Shoulder, elbow and wrist, (3, 2), for the directions of the two bones."""
    elbow = shoulder + 56 * heading(upper)
    return np.array([shoulder, elbow, elbow + 50 * heading(lower)])


def turned(vectors: np.ndarray, degrees: float) -> np.ndarray:
    """Points turned clockwise around the origin."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vectors @ np.array([(cos, sin), (-sin, cos)])


@dataclass(frozen=True)
class Grid:
    """A bone's coordinate system: where its origin is, and how far it is turned clockwise."""

    origin: np.ndarray
    degrees: float

    def point(self, x: float, y: float) -> np.ndarray:
        """A point of this frame in the coordinates around it, (2,)."""
        return self.origin + turned(np.array([x, y]), self.degrees)


# Painting


def bounds(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns of the box around a mask, widened by `margin` pixels."""
    x, y, w, h = cv2.boundingRect(mask)
    return slice(max(y - margin, 0), y + h + margin), slice(max(x - margin, 0), x + w + margin)


def soft_noise(rows: np.ndarray, columns: np.ndarray, seed: int) -> np.ndarray:
    """Smooth noise in -1..1, float32 (len(rows), len(columns)), at positions given in lattice cells."""
    period = 64
    lattice = np.random.RandomState(seed).uniform(-1, 1, (period, period)).astype(np.float32)

    def weights(position: np.ndarray) -> np.ndarray:
        cell = np.floor(position).astype(int)
        u = position - cell
        w = np.zeros((len(position), period), np.float32)
        w[np.arange(len(position)), (cell + 1) % period] = u * u * (3 - 2 * u)
        w[np.arange(len(position)), cell % period] = 1 - u * u * (3 - 2 * u)
        return w

    return weights(rows) @ lattice @ weights(columns).T


@dataclass(frozen=True)
class Canvas:
    """An oversized RGB picture, and the view that drawings on it use: pixels per unit, origin in pixels, turn."""

    image: np.ndarray
    scale: float
    origin: np.ndarray
    degrees: float = 0.0

    def moved(self, dx: float, dy: float = 0.0, zoom: float = 1.0) -> "Canvas":
        """The same picture in a view moved by (dx, dy) units along the picture's axes, then zoomed."""
        return replace(self, origin=self.origin + self.scale * np.array([dx, dy]), scale=self.scale * zoom)

    def at(self, frame: Grid) -> "Canvas":
        """The same picture in the coordinates of a frame of this view."""
        origin = self.origin + self.scale * turned(frame.origin, self.degrees)
        return replace(self, origin=origin, degrees=self.degrees + frame.degrees)

    def pixels(self, vertices: np.ndarray) -> np.ndarray:
        """Points in the fixed-point pixel coordinates OpenCV draws with, int32."""
        position = turned(vertices, self.degrees) * self.scale + self.origin
        return np.rint(position * 2**SUBPIXEL_BITS).astype(np.int32)

    def mask(self, *polygons: np.ndarray) -> np.ndarray:
        """Union of polygons."""
        mask = np.zeros(self.image.shape[:2], np.uint8)
        for polygon in polygons:
            cv2.fillPoly(mask, [self.pixels(polygon)], 255, cv2.LINE_8, SUBPIXEL_BITS)
        return mask

    def tube(self, path: np.ndarray, radii: Sequence[float]) -> np.ndarray:
        """Mask of a round brush drawn along a line; `radii` are spread evenly over it."""
        radius = np.interp(np.linspace(0, 1, len(path)), np.linspace(0, 1, len(radii)), radii)
        side = normals(path) * radius[:, None]
        left, right = path + side, path - side
        mask = self.mask(*np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1))
        for centre, r in zip(self.pixels(path), np.rint(radius * self.scale * 2**SUBPIXEL_BITS), strict=True):
            cv2.circle(mask, centre.tolist(), int(r), 255, cv2.FILLED, cv2.LINE_8, SUBPIXEL_BITS)
        return mask

    def shifted(self, mask: np.ndarray, dx: float, dy: float) -> np.ndarray:
        """A mask moved by (dx, dy) units of the picture."""
        matrix = np.array([(1, 0, np.rint(dx * self.scale)), (0, 1, np.rint(dy * self.scale))])
        return cv2.warpAffine(mask, matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST)

    def noise(self, mask: np.ndarray, cell: Pair, seed: int) -> np.ndarray:
        """Noise in -1..1 with `cell` units (width, height) over the bounds of a mask; it moves with the view."""
        rows, columns = (
            (np.arange(span.start, span.stop) - origin) / self.scale / size
            for span, origin, size in zip(bounds(mask), self.origin[::-1], cell[::-1], strict=True)
        )
        return soft_noise(rows, columns, seed)

    def fill(self, polygon: np.ndarray, colour: Colour) -> None:
        """Fill one polygon with a flat colour."""
        cv2.fillPoly(self.image, [self.pixels(polygon)], colour, cv2.LINE_8, SUBPIXEL_BITS)

    def colour(self, mask: np.ndarray, colour: Colour) -> None:
        """Fill a mask with a flat colour."""
        region = bounds(mask)
        self.image[region][mask[region] > 0] = colour

    def cel(self, mask: np.ndarray, colour: Colour, shade: Colour, depth: float = 1.0) -> np.ndarray:
        """Paint a mask with an outline around it and a hard shadow away from the light; returns the mask."""
        radius = round(OUTLINE * self.scale)
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        region = bounds(mask, margin=radius)
        self.image[region][cv2.dilate(mask[region], brush) > 0] = INK
        self.colour(mask, colour)
        self.colour(mask & ~self.shifted(mask, *(depth * TO_LIGHT)), shade)
        return mask

    def stroke(self, path: np.ndarray, width: float, colour: Colour = INK, clip: np.ndarray | None = None) -> None:
        """Brush line that thins out at both ends; drawn only where `clip` is set."""
        mask = self.tube(path, width / 2 * np.sin(np.linspace(0.12, np.pi - 0.12, 21)) ** 0.7)
        self.colour(mask if clip is None else mask & clip, colour)

    def multiply(self, mask: np.ndarray, factor: np.ndarray) -> None:
        """Multiply the colours under a mask by `factor`, (h, w, 1 or 3) over the mask's bounds."""
        region = bounds(mask)
        product = np.clip(np.rint(self.image[region] * factor), 0, 255).astype(np.uint8)
        self.image[region] = np.where(mask[region][..., None] > 0, product, self.image[region])

    def texture(self, mask: np.ndarray, cell: Pair, amount: float, seed: int) -> None:
        """Vary the brightness under a mask by up to +-`amount` with noise."""
        self.multiply(mask, 1 + amount * self.noise(mask, cell, seed)[..., None])


def darker(colour: Colour, factor: float) -> Colour:
    """A colour times a factor."""
    red, green, blue = (int(channel * factor) for channel in colour)
    return red, green, blue


# Background, from far to near


def paint_foliage(
    canvas: Canvas, centre: Pair, radii: Pair, leaves: int, size: float, tones: Sequence[Colour], seed: int
) -> None:
    """A clump of leaves `size` units thick, dark inside and lighter towards the upper right."""
    random = np.random.RandomState(seed)
    angle, distance = random.uniform(0, 2 * np.pi, leaves), np.sqrt(random.uniform(0, 1, leaves))
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1) * distance[:, None]
    light = unit @ (0.5, -0.8) + random.uniform(-0.45, 0.45, leaves)
    turn = random.uniform(-60, 60, leaves)
    leaf = scallops(points("-1.5,0 1.5,0 -1.5,0") * size, 0.3)
    canvas.fill(ellipse(centre, (0.92 * radii[0], 0.92 * radii[1])), tones[0])
    for i in np.argsort(light):
        canvas.at(Grid(unit[i] * radii + centre, turn[i])).fill(leaf, tones[np.searchsorted((-0.1, 0.42), light[i])])


def paint_sky(canvas: Canvas) -> None:
    """Vertical gradient with brushed noise, and thin streaks of cloud."""
    y = (np.arange(canvas.image.shape[0]) - canvas.origin[1]) / canvas.scale
    stops = np.array([(70, 140, 214), (120, 186, 234), (196, 226, 238), (255, 240, 214)])
    canvas.image[:] = np.rint([np.interp(y, (0, 120, 230, 330), channel) for channel in stops.T]).T[:, None]
    canvas.texture(np.full_like(canvas.image[..., 0], 255), (150, 40), 0.03, seed=1)
    for x, y, length in ((60, 52, 190), (130, 66, 120), (560, 38, 230), (640, 54, 150), (520, 62, 90)):
        streak = curve(np.array([(x, y), (x + length / 2, y - 7), (x + length, y - 22)]))
        canvas.stroke(streak, 6, (206, 228, 244))
        canvas.stroke(streak[4:-4] - (0, 1), 3, (236, 244, 248))


def paint_clouds(canvas: Canvas) -> None:
    """Heaps of round puffs, each lit from the upper right."""
    random = np.random.RandomState(7)
    tones = ((0, 1, (198, 220, 238)), (0.2, 0.9, (226, 238, 246)), (0.4, 0.72, (255, 253, 246)))
    for x, y, width, height in ((70, 250, 420, 150), (390, 286, 330, 170), (640, 300, 320, 110), (880, 290, 380, 190)):
        across = random.uniform(-1, 1, 60)
        up = random.uniform(0, 1, 60) * (1 - across**2)
        radius = height * random.uniform(0.1, 0.2, 60) * (1.2 - 0.6 * np.abs(across))
        for offset, shrink, colour in tones:
            for u, v, r in zip(across, up, radius, strict=True):
                centre = x + u * width / 2 + 0.6 * offset * r, y - v * height - 0.8 * offset * r
                canvas.fill(ellipse(centre, (shrink * r, 0.9 * shrink * r)), colour)
    cv2.GaussianBlur(canvas.image, (0, 0), canvas.scale, dst=canvas.image)


def paint_sea(canvas: Canvas) -> None:
    """A wooded ridge in the haze, and the glittering sea before it."""
    ridge = curve(points("-60,232 90,214 220,240 380,222 540,246 700,218 860,236 1060,206"))
    hills = canvas.mask(np.vstack([ridge, points("1060,400 -60,400")]))
    canvas.colour(hills, (138, 178, 202))
    canvas.texture(hills, (22, 9), 0.05, seed=2)
    sea = canvas.mask(box(-60, 262, 1060, 400))
    canvas.colour(sea, (66, 144, 184))
    canvas.texture(sea, (60, 4), 0.1, seed=3)
    random = np.random.RandomState(5)
    for y in random.uniform(265, 345, 130):
        x, length = random.uniform(-40, 1040), random.uniform(0.1, 0.5) * (y - 240)
        canvas.fill(ellipse((x, y), (length, 0.9)), (190, 226, 232))


def paint_window(canvas: Canvas) -> None:
    """A sash window with its upper left corner at the origin."""
    canvas.fill(box(-3, -3, 25, 35), (120, 96, 96))
    canvas.fill(box(-2, -2, 24, 33), TRIM)
    canvas.fill(box(0, 0, 22, 31), (96, 132, 164))
    canvas.fill(points("0,31 0,20 22,4 22,18 4,31"), (164, 204, 220))
    canvas.fill(box(10, 0, 12, 31), TRIM)
    canvas.fill(box(0, 13, 22, 15), TRIM)
    canvas.fill(box(-5, 33, 27, 37), (226, 208, 190))
    canvas.fill(box(-5, 37, 27, 41), (150, 124, 130))


def paint_house(canvas: Canvas, width: float, wall: Colour, roof: Colour, seed: int) -> None:
    """A house front with a tiled roof and rows of windows; the left end of its eaves is the origin."""
    front = canvas.mask(box(0, 0, width, 240))
    canvas.colour(front, wall)
    canvas.fill(box(0, 0, 10, 240), darker(wall, 0.74))
    canvas.fill(np.array([(0, 0), (width, 0), (width, 9), (0, 16)]), darker(wall, 0.74))
    canvas.texture(front, (18, 60), 0.06, seed)
    tiles = canvas.mask(np.array([(-9, 0), (16, -56), (width - 16, -56), (width + 9, 0)]))
    canvas.colour(tiles, roof)
    joints = [box(-9, y, width + 9, y + 1.4) for y in range(-48, 0, 8)]
    joints += [box(x + 0.75 * y, y - 8, x + 0.75 * y + 1.2, y) for y in range(-48, 1, 8) for x in range(-9, 230, 12)]
    canvas.colour(canvas.mask(*joints) & tiles, darker(roof, 0.74))
    canvas.texture(tiles, (30, 14), 0.1, seed + 50)
    canvas.fill(box(-11, -3, width + 11, 3), darker(roof, 0.6))
    columns = int(width // 48)
    for column in range(columns):
        for y in (24, 86, 148):
            paint_window(canvas.moved(width * (column + 0.5) / columns - 8, y))


def paint_town(canvas: Canvas) -> None:
    """Houses with trees beside them, and a utility pole with its wires."""
    paint_foliage(canvas, (286, 292), (70, 74), 260, 5, FAR_LEAVES, seed=21)
    paint_foliage(canvas, (668, 300), (60, 64), 220, 5, FAR_LEAVES, seed=22)
    paint_house(canvas.moved(-30, 214), 120, (238, 214, 186), (196, 110, 88), seed=31)
    paint_house(canvas.moved(96, 176), 146, (250, 236, 212), (110, 130, 158), seed=32)
    paint_house(canvas.moved(730, 206), 118, (226, 206, 206), (150, 92, 96), seed=33)
    paint_house(canvas.moved(852, 160), 160, (248, 230, 196), (206, 124, 84), seed=34)
    canvas.fill(box(690, 60, 699, 400), WOOD)
    canvas.fill(box(690, 60, 693, 400), WOOD_SHADE)
    for y, sag in ((76, 34), (98, 40)):
        canvas.fill(box(662, y - 2, 728, y + 3), WOOD_SHADE)
        for x in (666, 724):
            canvas.fill(box(x - 2, y - 9, x + 2, y - 2), TRIM)
            for end in (-80, 1080):
                wire = curve(np.array([(x, y - 8), ((x + end) / 2, y + sag), (end, y - 22)]))
                canvas.stroke(wire, 1.5, (92, 92, 112))


def paint_hedge(canvas: Canvas) -> None:
    """A clipped hedge along the pavement."""
    for i in range(21):
        paint_foliage(canvas, (56 * i - 40, 372 + 5 * (i % 3)), (50, 40), 150, 4, FAR_LEAVES, seed=60 + i)


def paint_pavement(canvas: Canvas) -> None:
    """Paving stones in perspective, dappled with the shade of leaves, and a railing along them."""
    pavement = canvas.mask(box(-200, 396, 1300, 560))
    canvas.colour(pavement, STONE)
    canvas.fill(box(-200, 396, 1300, 402), STONE_SHADE)
    for y in (418, 440, 468, 502):
        canvas.fill(box(-200, y, 1300, y + 1.6), SEAM)
    for x in range(-900, 1900, 92):
        canvas.stroke(line((0.6 * x + 192, 402), (1.5 * x - 240, 545)), 2.2, SEAM)
    canvas.texture(pavement, (34, 9), 0.05, seed=41)
    dapple = canvas.noise(pavement, (80, 16), 43) + 0.6 * canvas.noise(pavement, (17, 5), 44)
    canvas.multiply(pavement, 1 - np.clip(8 * dapple - 3, 0, 1)[..., None] * np.float32([0.16, 0.23, 0.16]))
    for y, thickness in ((338, 7), (366, 5)):
        canvas.fill(box(-200, y, 1300, y + thickness), TRIM_SHADE)
        canvas.fill(box(-200, y, 1300, y + 0.6 * thickness), TRIM)
    for x in range(-60, 1150, 104):
        canvas.fill(box(x, 330, x + 9, 402), TRIM_SHADE)
        canvas.fill(box(x + 3, 330, x + 9, 402), TRIM)


def paint_foreground(canvas: Canvas) -> None:
    """A lamp post with bushes at its foot, and a branch in the upper right corner."""
    lamp = canvas.moved(338, 0)
    rings = [box(-w / 2, y, w / 2, y + 7) for y, w in ((112, 22), (132, 18), (420, 26), (432, 22))]
    lamp.cel(lamp.tube(line((0, 96), (0, 560)), [6, 6.5, 8]) | lamp.mask(*rings), IRON, IRON_SHADE)
    lamp.stroke(line((3, 142), (3, 416)), 2.4, IRON_LIGHT)
    lamp.cel(lamp.mask(points("-22,44 22,44 13,104 -13,104")), (255, 244, 206), (236, 206, 166))
    lamp.stroke(line((0, 46), (0, 102)), 2.5)
    lamp.cel(lamp.mask(blob(points("-30,44 -14,26 0,12 14,26 30,44"))), IRON, IRON_SHADE)
    for i, centre in enumerate(((60, 540), (160, 552), (260, 566), (-20, 510), (352, 574))):
        paint_foliage(canvas, centre, (74, 62), 110, 9, NEAR_LEAVES, seed=80 + i)
    canvas.stroke(curve(points("1060,-10 960,26 880,40 800,30")), 9, WOOD_SHADE)
    for i, centre in enumerate(((985, 20), (925, 52), (880, 14), (1010, 80), (835, 38))):
        paint_foliage(canvas, centre, (62, 36), 60, 9, NEAR_LEAVES, seed=90 + i)


# Character; its origin is on the ground


@dataclass(frozen=True)
class Posture:
    """Where the bones are at one time; legs and arms are three joints from the body outwards, (3, 2)."""

    time: float
    torso: Grid
    head: Grid
    near_leg: np.ndarray
    far_leg: np.ndarray
    near_arm: np.ndarray
    far_arm: np.ndarray
    near_foot: Grid
    far_foot: Grid
    near_hand: Grid
    far_hand: Grid


def pose_at(t: float) -> Posture:
    """The walk: the near foot stays on the ground while the far one swings past and the far hand waves."""
    torso = Grid(np.array([12 * t, -165 - 6 * t]), 2 + 5 * t)
    near_ankle = np.array([36 - GROUND_PAN / ZOOM * t, -14])
    far_ankle = np.array([-50 + 40 * t, -27 - 10 * t])
    near_arm = bent_arm(torso.point(-18, -79), -23 + 12 * t, -10 + 20 * t)
    far_arm = bent_arm(torso.point(22, -84), 110 + 5 * t, 138 + 30 * t)
    return Posture(
        time=t,
        torso=torso,
        head=Grid(torso.point(7, -150), -5 + 7 * t),
        near_leg=bent_leg(torso.point(-7, 0), near_ankle),
        far_leg=bent_leg(torso.point(9, 0), far_ankle),
        near_arm=near_arm,
        far_arm=far_arm,
        near_foot=Grid(near_ankle, -14 + 14 * min(1.0, 2 * t)),
        far_foot=Grid(far_ankle, 42 - 12 * t),
        near_hand=Grid(near_arm[2], 100 - 20 * t),
        far_hand=Grid(far_arm[2], -46 - 38 * t),
    )


def draw_leg(canvas: Canvas, joints: np.ndarray, ankle: Grid) -> None:
    """Bare knee, long sock and shoe."""
    path = limb(joints)
    canvas.cel(canvas.tube(path, [15, 14, 11.5, 10.5, 10.5, 8, 6.5]), SKIN, SKIN_SHADE)
    canvas.cel(canvas.tube(path[22:], [11.5, 11.5, 8.5, 7.5]), SOCK, SOCK_SHADE)
    foot = canvas.at(ankle)
    shoe = foot.mask(blob(points("-11,-5 -1,-8 9,-4 20,0 30,5 31,12 10,14 -9,14 -13,8")))
    foot.cel(shoe, LEATHER, LEATHER_SHADE)
    foot.stroke(curve(points("-12,10 10,10.5 31,9")), 1.8, clip=shoe)
    foot.stroke(curve(points("4,-6 9,1 6,9")), 1.8, clip=shoe)


def draw_skirt(canvas: Canvas, pose: Posture) -> None:
    """Pleated skirt that spreads with the legs."""
    near, far = (0.22 * leg[0] + 0.78 * leg[1] for leg in (pose.near_leg, pose.far_leg))
    u = np.linspace(0, 1, 9)[:, None]
    left, right = min(near[0], far[0]) - 33, max(near[0], far[0]) + 31
    bottom = near[1] + 3 + 9 * np.sin(np.pi * u) + 5 * np.sin(2 * np.pi * u + 2.2 * pose.time)
    hem = np.hstack([right + (left - right) * u, bottom])
    waist = pose.torso.point(27, -20) + u * (pose.torso.point(-27, -20) - pose.torso.point(27, -20))
    skirt = canvas.cel(canvas.mask(np.vstack([scallops(hem, 0.07), waist[::-1]])), SKIRT, SKIRT_SHADE)
    for top, end in zip(waist[1:-1], hem[1:-1], strict=True):
        canvas.colour(canvas.mask(np.array([top, end, end + np.array([8, 1])])) & skirt, SKIRT_SHADE)
        canvas.stroke(line(top, end), 2.0, clip=skirt)


def draw_coat(canvas: Canvas, pose: Posture) -> np.ndarray:
    """Short duffel coat with toggles; returns its mask."""
    torso = canvas.at(pose.torso)
    outline = points("-12,-102 -29,-90 -30,-62 -26,-34 -33,6 -14,13 14,14 35,7 27,-34 29,-62 27,-88 14,-101")
    coat = torso.cel(torso.mask(blob(outline)), COAT, COAT_SHADE, depth=1.8)
    torso.stroke(curve(points("10,-100 14,-60 13,-30 17,16")), 2.2, clip=coat)
    torso.stroke(curve(points("-19,-14 -11,-11 -3,-12")), 2.2)
    for y in (-70, -46, -22):
        torso.cel(torso.mask(ellipse((13, y), (6.5, 2.4))), LEATHER, LEATHER_SHADE, depth=0.3)
    return coat


def draw_sleeve(canvas: Canvas, joints: np.ndarray) -> None:
    """Coat sleeve with a turned cuff."""
    path = limb(joints)
    canvas.cel(canvas.tube(path, [14, 13, 12, 11.5, 11.5]), COAT, COAT_SHADE)
    canvas.cel(canvas.tube(path[-5:], [12.5, 12.5]), COAT, COAT_SHADE)


def draw_waving_hand(canvas: Canvas) -> None:
    """Open hand with spread fingers, which point along the x axis; the wrist is the origin."""
    hand = canvas.mask(blob(points("-8,-6 4,-9 17,-10 20,0 17,10 4,9 -8,6")))
    fingers = ((16, -7.5, -17, 16), (18, -2.6, -5, 19), (18, 2.6, 6, 18), (16, 7.2, 19, 14), (3, -5, -58, 17))
    for x, y, degrees, length in fingers:
        finger = canvas.at(Grid(np.array([x, y]), degrees))
        hand |= finger.tube(line((0, 0), (length, 0)), [4.1, 3.4, 3.0])
    canvas.cel(hand, SKIN, SKIN_SHADE, depth=0.6)
    canvas.stroke(curve(points("3,-1 9,0 14,-4")), 1.5, (208, 132, 120))


def draw_relaxed_hand(canvas: Canvas) -> None:
    """Half-closed hand, which points along the x axis; the wrist is the origin."""
    canvas.cel(canvas.mask(blob(points("-6,-6 6,-9 16,-8 24,-4 25,3 18,8 6,8 -6,6"))), SKIN, SKIN_SHADE, depth=0.7)
    for y in (-3, 2):
        canvas.stroke(curve(np.array([(15, y), (20, y + 1), (24, y + 1)])), 1.5)
    canvas.cel(canvas.tube(curve(points("4,-6 12,-10 18,-8")), [4.4, 4, 3]), SKIN, SKIN_SHADE, depth=0.3)


def draw_near_arm(canvas: Canvas, pose: Posture, coat: np.ndarray) -> None:
    """The arm in front of the body; its sleeve runs into the coat at the shoulder."""
    draw_relaxed_hand(canvas.at(pose.near_hand))
    draw_sleeve(canvas, pose.near_arm)
    canvas.colour(canvas.mask(ellipse(pose.near_arm[0] + (9, -6), (13, 11))) & coat, COAT)


def draw_scarf_tails(canvas: Canvas, pose: Posture) -> None:
    """Two ends of the scarf that flow behind, with stripes."""
    for length, degrees, lag in ((128, -84, 0.9), (146, -70, 0.0)):
        path = streamer(pose.torso.point(-12, -94), degrees - 6 * pose.time, length, 30, 1.2 + 1.6 * pose.time - lag)
        tail = canvas.cel(canvas.mask(band(path, 21)), SCARF, SCARF_SHADE)
        canvas.colour(canvas.mask(band(path[29:32], 40), band(path[33:36], 40)) & tail, SCARF_STRIPE)


def draw_scarf(canvas: Canvas) -> None:
    """Scarf wound around the neck, in the frame of the torso."""
    wrap = canvas.mask(blob(points("-25,-104 -8,-112 14,-113 28,-105 29,-93 14,-84 -8,-83 -25,-91")))
    canvas.cel(wrap, SCARF, SCARF_SHADE, depth=1.3)
    canvas.stroke(curve(points("-24,-99 -4,-94 16,-96 29,-102")), 2.2, clip=wrap)
    canvas.stroke(curve(points("-12,-84 2,-89 14,-90")), 2.0, clip=wrap)


def draw_ponytail(canvas: Canvas, pose: Posture) -> None:
    """Strands that flow from the back of the head, and the ribbon that holds them."""
    root = pose.head.point(-42, -44)
    strands = [
        streamer(root, degrees - 12 * pose.time, length, 26, 0.6 + 1.7 * pose.time - lag)
        for degrees, length, lag in ((-74, 104, 0.0), (-52, 132, 0.3), (-34, 118, 0.6), (-20, 92, 0.9))
    ]
    hair = np.bitwise_or.reduce([canvas.tube(strand, [7, 14, 14, 10, 5, 0]) for strand in strands])
    canvas.cel(hair, HAIR, HAIR_SHADE, depth=1.2)
    for strand in strands:
        canvas.stroke(strand[6:-4] - (0, -7), 2.0, HAIR_SHADE, clip=hair)
    canvas.stroke(strands[1][8:24] - (-2, 6), 4.0, HAIR_LIGHT, clip=hair)
    ribbon = canvas.at(Grid(root, pose.head.degrees))
    for loop in ("0,0 -8,-20 8,-24 6,-6", "0,0 -20,2 -20,16 -4,8"):
        ribbon.cel(ribbon.mask(blob(points(loop))), SCARF, SCARF_SHADE, depth=0.7)


def draw_eye(head: Canvas, centre: Pair, radii: Pair, outer: int) -> None:
    """One eye; `outer` is the side of its outer corner, -1 for left and 1 for right."""
    canvas = head.at(Grid(np.array(centre), 0))
    white = canvas.mask(blob(points("-1,-.2 -.6,-.9 .4,-1 1,-.3 .75,.75 0,1 -.75,.75") * radii))
    canvas.colour(white, WHITE)
    for shape, colour in (
        (ellipse((0.1, 0), (0.76, 1.02)), (66, 44, 72)),
        (ellipse((0.1, 0.14), (0.64, 0.8)), (48, 112, 136)),
        (ellipse((0.1, 0.52), (0.48, 0.36)), (126, 206, 204)),
        (ellipse((0.1, 0), (0.3, 0.46)), (36, 28, 52)),
        (box(-1, -1, 1, -0.55), (66, 44, 72)),
        (ellipse((0.32, -0.42), (0.26, 0.24)), WHITE),
        (ellipse((-0.25, 0.46), (0.13, 0.12)), WHITE),
    ):
        canvas.colour(canvas.mask(shape * radii) & white, colour)
    canvas.stroke(curve(points("-1,0 -.7,-.8 .1,-1.08 .8,-.74 1,0") * radii), 3.6)
    canvas.stroke(curve(points(".6,-.9 1.05,-.5 1.4,-.55") * radii * (outer, 1)), 2.4)
    canvas.stroke(curve(points("-.6,.9 0,1.08 .6,.9") * radii), 1.5)


def draw_face(canvas: Canvas, t: float) -> np.ndarray:
    """Face in three-quarter view, in the frame of the head, with a mouth that opens; returns its mask."""
    outline = points("-30,-30 -34,-8 -31,12 -22,28 -5,40 12,47 22,43 33,29 38.5,13 37,3 36,-6 37,-20 28,-40 0,-48")
    face = canvas.cel(canvas.mask(blob(outline)), SKIN, SKIN_SHADE, depth=0.8)
    canvas.colour(canvas.mask(ellipse((-10, 26), (7, 3)), ellipse((33, 26), (4, 3))) & face, (255, 186, 172))
    draw_eye(canvas, (0, 10), (10, 12.5), outer=-1)
    draw_eye(canvas, (27.5, 10), (7.2, 12), outer=1)
    canvas.stroke(curve(points("19,20 21.5,24 19,25")), 1.8, (186, 104, 96))
    drop = 5 + 3 * t
    lips = np.vstack([points("8,32 15,33.5 23,31.5"), points("21,.8 15,1.2 10,.8") * (1, drop) + (0, 31)])
    mouth = canvas.mask(blob(lips))
    canvas.cel(mouth, (150, 48, 58), (112, 32, 50), depth=0.3)
    canvas.colour(canvas.mask(ellipse((15, 34 + drop), (5, 4))) & mouth, (238, 124, 118))
    return face


def draw_fringe(canvas: Canvas, face: np.ndarray, t: float) -> None:
    """Hair over crown and brow, in the frame of the head, with the shadow it casts on the face."""
    crown = curve(points("-43,14 -54,-12 -49,-42 -26,-62 4,-67 30,-56 44,-30 45,-6 41,16"))
    tips = scallops(points("41,16 38,-16 29,-5 20,-24 9,-3 1,-25 -13,0 -19,-16 -27,44 -43,14"), 0.06)
    outline = np.vstack([crown, tips])
    outline[:, 0] -= 3.5 * np.sin(1 + 1.6 * t) * np.clip((outline[:, 1] + 24) / 50, 0, 1)
    hair = canvas.mask(outline)
    canvas.colour(canvas.shifted(hair, -1.5, 5) & face & ~hair, SKIN_SHADE)
    canvas.cel(hair, HAIR, HAIR_SHADE, depth=1.4)
    shine = points("-34,-36 -22,-30 -18,-38 -6,-28 0,-38 12,-29 17,-38 28,-28 34,-36 24,-46 0,-50 -24,-46")
    canvas.colour(canvas.mask(blob(shine)) & hair, HAIR_LIGHT)
    for strand in ("-2,-64 12,-47 20,-24", "-8,-62 0,-46 1,-25", "-16,-60 -15,-41 -19,-16", "6,-66 25,-43 38,-16"):
        canvas.stroke(curve(points(strand)), 1.8, HAIR_SHADE, clip=hair)
    canvas.stroke(curve(points("-38,-30 -42,-4 -32,26")), 1.8, HAIR_SHADE, clip=hair)


def draw_girl(canvas: Canvas, t: float) -> None:
    """The character and its shadow on the ground, from back to front."""
    pose = pose_at(t)
    shadow = canvas.mask(ellipse((-14 + 10 * t, 2), (84, 9)))
    canvas.multiply(shadow, np.float32([0.65, 0.57, 0.73]))
    draw_scarf_tails(canvas, pose)
    draw_sleeve(canvas, pose.far_arm)
    draw_waving_hand(canvas.at(pose.far_hand))
    draw_leg(canvas, pose.far_leg, pose.far_foot)
    draw_leg(canvas, pose.near_leg, pose.near_foot)
    draw_skirt(canvas, pose)
    coat = draw_coat(canvas, pose)
    draw_near_arm(canvas, pose, coat)
    neck = canvas.tube(line(pose.torso.point(-1, -104), pose.head.point(-5, 20)), [17, 16])
    canvas.cel(neck, SKIN_SHADE, SKIN_SHADE)
    draw_scarf(canvas.at(pose.torso))
    draw_ponytail(canvas, pose)
    face = draw_face(canvas.at(pose.head), t)
    draw_fringe(canvas.at(pose.head), face, t)


def draw(t: float, width: int = 960, height: int = 540) -> np.ndarray:
    """The picture at time `t` (0 is the first frame, 1 the second), (height, width, 3) uint8 RGB."""
    phase = 0.25 + t / 2  # of the step she takes; the pair shows the middle half of it
    scale = SUPERSAMPLE * max(width / 960, height / 540)
    origin = SUPERSAMPLE * np.array([width, height]) / 2 - scale * np.array([480, 270])
    canvas = Canvas(np.empty((SUPERSAMPLE * height, SUPERSAMPLE * width, 3), np.uint8), scale, origin)
    paint_sky(canvas.moved(-4 * phase))
    paint_clouds(canvas.moved(-4 * phase))
    paint_sea(canvas.moved(-9 * phase))
    paint_town(canvas.moved(-16 * phase))
    paint_hedge(canvas.moved(-22 * phase))
    paint_pavement(canvas.moved(-GROUND_PAN * phase))
    draw_girl(canvas.moved(458, 496, zoom=ZOOM), phase)
    paint_foreground(canvas.moved(-44 * phase))
    return cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA)


def main() -> None:
    """Write the pictures asked for on the command line."""
    parser = argparse.ArgumentParser(description="Draw the demo pair, or in-betweens of it.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--times", type=float, nargs="+", default=[0, 1], help="times to draw; 0 and 1 are the pair")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for t in arguments.times:
        name = f"frame{t:.0f}.png" if t in (0, 1) else f"t{t:.2f}.png"
        picture = cv2.cvtColor(draw(t), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(arguments.out / name), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
