"""Procedural line drawings and painted backgrounds, as SVG text.

Drawings have what cel animation has: closed splines with outlines, flat fills, shadows with a hard edge, hair that ends
in thin tips, large areas without texture, gradients and repeated patterns. Backgrounds are still and detailed: painted
gradients, noise, foliage, line architecture. Each is a pure function of its random generator.
"""

import colorsys
from typing import Any

import numpy as np

DRAWING_SIDE, BACKGROUND_SIDE = 256, 512
_INK = ("#1a1416", "#2b1d1a", "#101420", "#3a2a3a", "#000000")
Random = np.random.Generator
Points = np.ndarray  # (n, 2)


def drawing(random: Random) -> str:
    """A figure or an object on a transparent ground, 256×256."""
    kinds = (_figure, _head, _blob, _hair, _cloth, _machine)
    kind = kinds[random.choice(len(kinds), p=(0.25, 0.2, 0.15, 0.15, 0.1, 0.15))]
    return _svg(DRAWING_SIDE, kind(random, _Pen(random)))


def rig(kind: str, random: Random) -> list[str]:
    """The parts of a "limb", a "head" or a "figure" on transparent grounds, 256×256 each, as `rigs.RIGS` has them."""
    pen = _Pen(random)
    bodies = {"limb": _limb_parts, "head": _head_parts, "figure": _figure_parts}[kind](random, pen)
    return [_svg(DRAWING_SIDE, body) for body in bodies]


def background(random: Random) -> str:
    """A picture without motion of its own, 512×512, opaque."""
    kinds = (_landscape, _town, _room, _foliage, _wall, _clouds)
    kind = kinds[random.integers(len(kinds))]
    body = kind(random)
    if random.random() < 0.7:
        body += _grain(random)
    return _svg(BACKGROUND_SIDE, body)


def _svg(side: int, body: str) -> str:
    return _tag("svg", body, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {side} {side}", width=side, height=side)


def _tag(name: str, inner: str = "", **attributes: Any) -> str:
    """An SVG element; underscores in names of attributes become hyphens, and numbers keep one decimal."""
    written = {k.replace("_", "-"): f"{v:.1f}" if isinstance(v, float) else v for k, v in attributes.items()}
    return f"<{name} " + " ".join(f'{k}="{v}"' for k, v in written.items()) + (f">{inner}</{name}>" if inner else "/>")


class _Pen:
    """One hand: ink colour, line width and palette of one drawing, and names for its clips and patterns."""

    def __init__(self, random: Random):
        self.random = random
        self.ink = _INK[random.integers(len(_INK))]
        self.width = random.uniform(0.8, 4)
        self.hue, self.spread = random.random(), random.uniform(0.05, 0.5)
        self.names = 0

    def colour(self) -> tuple[float, float, float]:
        random = self.random
        hue = self.hue + self.spread * random.uniform(-1, 1)
        return hue % 1, random.uniform(0, 0.8) ** 1.2, random.uniform(0.15, 1)

    def shape(self, path: str, colour: tuple[float, float, float] | None = None) -> str:
        """A closed path, filled, with a hard shadow on one side and an outline over both."""
        random, colour = self.random, colour or self.colour()
        self.names += 1
        name, fill = f"p{self.names}", _hex(colour)
        before = ""
        style = random.random()
        if style < 0.12:
            before, fill = self._pattern(name, colour), f"url(#{name}f)"
        elif style < 0.27:
            before, fill = self._gradient(name, colour), f"url(#{name}f)"
        base = _hex(colour)  # patterns and gradients leave seams where nothing is under them
        body = f'{before}<path d="{path}" fill="{base}"/><path d="{path}" fill="{fill}"/>'
        if random.random() < 0.7:
            dx, dy = random.uniform(-40, 40, 2)
            hue, saturation, value = colour
            shadow = _hex((hue, min(1, saturation * 1.15), value * random.uniform(0.55, 0.85)))
            body += (
                f'<clipPath id="{name}"><path d="{path}"/></clipPath><g clip-path="url(#{name})">'
                f'<path d="{path} M-300-300V600H600V-300Z" fill-rule="evenodd" fill="{shadow}" '
                f'transform="translate({dx:.1f} {dy:.1f})"/></g>'
            )
        return body + self.line(path)

    def line(self, path: str, scale: float = 1.0) -> str:
        if self.random.random() < 0.04:
            return ""
        return (
            f'<path d="{path}" fill="none" stroke="{self.ink}" stroke-width="{max(0.8, self.width * scale):.2f}" '
            'stroke-linejoin="round" stroke-linecap="round"/>'
        )

    def _gradient(self, name: str, colour: tuple[float, float, float]) -> str:
        x, y = self.random.integers(0, 2, 2)
        return (
            f'<linearGradient id="{name}f" x2="{x}" y2="{max(y, 1 - x)}"><stop stop-color="{_hex(colour)}"/>'
            f'<stop offset="1" stop-color="{_hex(self.colour())}"/></linearGradient>'
        )

    def _pattern(self, name: str, colour: tuple[float, float, float]) -> str:
        side, other, turn = self.random.uniform(8, 28), _hex(self.colour()), self.random.uniform(0, 90)
        motif = (
            f'<rect width="{side / 2:.1f}" height="{side:.1f}" fill="{other}"/>',
            f'<circle cx="{side / 2:.1f}" cy="{side / 2:.1f}" r="{side / 4:.1f}" fill="{other}"/>',
            f'<path d="M0 0H{side / 2:.1f}V{side:.1f}H{side:.1f}V{side / 2:.1f}H0Z" fill="{other}"/>',
        )[self.random.integers(3)]
        return (
            f'<pattern id="{name}f" width="{side:.1f}" height="{side:.1f}" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate({turn:.0f})"><rect width="{side:.1f}" height="{side:.1f}" '
            f'fill="{_hex(colour)}"/>{motif}</pattern>'
        )


def _hex(hsv: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in colorsys.hsv_to_rgb(*hsv))


def _spline(points: Points, closed: bool = True) -> str:
    """A Catmull-Rom spline through the points, as Bézier segments."""
    n = len(points)
    take = (lambda i: points[i % n]) if closed else (lambda i: points[min(max(i, 0), n - 1)])
    path = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for i in range(n if closed else n - 1):
        a, b, c, d = (take(i + k) for k in (-1, 0, 1, 2))
        handle0, handle1 = b + (c - a) / 6, c - (d - b) / 6
        path.append(f"C{handle0[0]:.1f} {handle0[1]:.1f} {handle1[0]:.1f} {handle1[1]:.1f} {c[0]:.1f} {c[1]:.1f}")
    return "".join(path) + ("Z" if closed else "")


def _ring(
    random: Random, centre: Points | tuple[float, float], radii: tuple[float, float], rough: float, n: int = 10
) -> Points:
    """Points around an ellipse, each at a radius of its own."""
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False) + random.uniform(0, 2 * np.pi)
    reach = 1 + rough * random.uniform(-1, 1, n)
    return np.array(centre) + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1) * np.array(radii)


def _limb(start: Points, middle: Points, end: Points, wide: float, thin: float) -> str:
    """A bent tube that narrows from `wide` to `thin`; a thin end of 0 is a tip."""
    along = np.array([start, (start + middle) / 2, middle, (middle + end) / 2, end])
    tangent = np.gradient(along, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1) / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6)
    width = np.linspace(wide, thin, len(along))[:, None] / 2
    left, right = along + normal * width, along - normal * width
    if thin == 0:
        return _spline(left, closed=False) + "L" + _spline(right[::-1], closed=False)[1:] + "Z"
    return _spline(np.concatenate([left, right[::-1]]))


def _strands(random: Random, pen: _Pen, root: Points, spread: float, length: float, count: int) -> str:
    """Locks of hair from about one root, each a curved spike, and single hairs."""
    colour, body = pen.colour(), ""
    heading = random.uniform(0, 2 * np.pi)
    for angle in heading + np.sort(random.uniform(-spread, spread, count)):
        reach = length * random.uniform(0.5, 1)
        direction = np.array([np.cos(angle), np.sin(angle)])
        bend = np.array([-direction[1], direction[0]]) * random.uniform(-0.35, 0.35) * reach
        start = root + random.uniform(-12, 12, 2)
        tip = np.clip(start + direction * reach + bend, 4, DRAWING_SIDE - 4)
        middle = (start + tip) / 2 + bend
        if random.random() < 0.75:
            body += pen.shape(_limb(start, middle, tip, random.uniform(6, 30), 0), colour)
        else:
            body += pen.line(_spline(np.array([start, middle, tip]), closed=False), 0.6)
    return body


def _face(random: Random, pen: _Pen, centre: Points, size: float) -> str:
    return "".join(_face_parts(random, pen, centre, size))


def _face_parts(random: Random, pen: _Pen, centre: Points, size: float) -> tuple[str, str]:
    """The face, and eyes and mouth."""
    tilt, body = random.uniform(-0.3, 0.3), ""
    skin = (random.uniform(0.03, 0.1), random.uniform(0.1, 0.5), random.uniform(0.6, 1))
    face = pen.shape(_spline(_ring(random, centre, (size, size * 1.15), 0.06, 12)), skin)
    for side in (-1, 1):
        eye = centre + size * np.array([0.4 * side + tilt, 0.1])
        wide, tall = size * random.uniform(0.12, 0.22), size * random.uniform(0.12, 0.3)
        x, y = eye
        body += _tag("ellipse", cx=x, cy=y, rx=wide, ry=tall, fill="#fff")
        body += _tag("ellipse", cx=x, cy=y, rx=wide * 0.7, ry=tall * 0.9, fill=_hex(pen.colour()))
        body += _tag("circle", cx=x - wide / 3, cy=y - tall / 3, r=wide / 4, fill="#fff")
        lid = eye + np.array([[-wide, -tall * 0.6], [0, -tall], [wide, -tall * 0.6]])
        body += pen.line(_spline(lid, closed=False))
        body += pen.line(_spline(lid - [0, size * 0.15], closed=False), 0.6)
    mouth = centre + size * np.array([tilt, 0.65])
    smile = mouth + size * np.array([[-0.2, 0], [0, random.uniform(-0.1, 0.15)], [0.2, 0]])
    return face, body + pen.line(_spline(smile, closed=False), 0.7)


def _limb_parts(random: Random, pen: _Pen) -> list[str]:
    """Three segments of a limb that narrows, upright, round where they are joined."""
    widths, colour = np.sort(random.uniform(22, 60, 4))[::-1], pen.colour()
    return [_segment(random, pen, widths[i], widths[i + 1], colour) for i in range(3)]


def _segment(random: Random, pen: _Pen, wide: float, thin: float, colour: tuple[float, float, float]) -> str:
    middle, ends = DRAWING_SIDE / 2, []
    for y, width, turn in ((0.1 * DRAWING_SIDE, wide, 0), (0.9 * DRAWING_SIDE, thin, np.pi)):
        angles = turn + np.linspace(0, np.pi, 7)
        ends.append(np.array([middle, y]) - width / 2 * np.stack([np.cos(angles), np.sin(angles)], 1))
    bulges = (wide + thin) / 4 + random.uniform(-6, 10, 2)
    right, left = np.array([[middle + bulges[0], middle]]), np.array([[middle - bulges[1], middle]])
    body = pen.shape(_spline(np.concatenate([ends[0], right, ends[1], left])), colour)
    if random.random() < 0.4:  # a sleeve, a stripe
        y = random.uniform(0.3, 0.7) * DRAWING_SIDE
        body += pen.line(_spline(np.array([[x, y + random.uniform(-6, 6)] for x in (108, 128, 148)]), closed=False))
    return body


def _head_parts(random: Random, pen: _Pen, centre: tuple[float, float] = (128, 128)) -> list[str]:
    """Hair behind, face, features and hair in front."""
    middle, size = np.array(centre, float), random.uniform(45, 75)
    behind = _strands(random, pen, middle, np.pi, 120, int(random.integers(4, 14)))
    face, features = _face_parts(random, pen, middle, size)
    fringe = _strands(random, pen, middle - [0, size], 0.9, size * 1.3, int(random.integers(4, 10)))
    return [behind, face, features, fringe]


def _figure_parts(random: Random, pen: _Pen) -> list[str]:
    """An arm behind, body and legs, head, and an arm in front; arms hang from (128, 102), the head from (128, 92)."""
    shoulder, neck, hip = np.array([128.0, 102.0]), np.array([128.0, 92.0]), np.array([128.0, 165.0])
    sleeve, trousers = pen.colour(), pen.colour()

    def limb(root: Points, reach: float, colour: tuple[float, float, float]) -> str:
        down = random.uniform(0.2, 0.8) * np.pi
        joint = root + reach / 2 * np.array([np.cos(down), np.sin(down)])
        turn = down + random.uniform(-0.8, 0.8)
        tip = np.clip(joint + reach / 2 * np.array([np.cos(turn), np.sin(turn)]), 6, DRAWING_SIDE - 6)
        return pen.shape(_limb(root, joint, tip, random.uniform(16, 28), random.uniform(9, 18)), colour)

    legs = limb(hip, 80, trousers) + limb(hip, 80, trousers)
    torso = pen.shape(_limb(neck, (neck + hip) / 2, hip, random.uniform(35, 60), random.uniform(30, 70)))
    middle, size = neck - [random.uniform(-8, 8), 36], random.uniform(24, 34)
    head = _strands(random, pen, middle, np.pi, 60, int(random.integers(3, 9))) + _face(random, pen, middle, size)
    head += _strands(random, pen, middle - [0, 25], 1.0, 35, int(random.integers(2, 7)))
    return [limb(shoulder, 80, sleeve), legs + torso, head, limb(shoulder, 80, sleeve)]


def _head(random: Random, pen: _Pen) -> str:
    return "".join(_head_parts(random, pen, tuple(random.uniform(110, 146, 2))))


def _figure(random: Random, pen: _Pen) -> str:
    neck, hip = np.array([128 + random.uniform(-15, 15), 95]), np.array([128 + random.uniform(-20, 20), 165])
    limbs = []
    for root, reach in ((neck, 70), (neck, 70), (hip, 80), (hip, 80)):
        down = random.uniform(0.1, 0.9) * np.pi
        joint = root + reach / 2 * np.array([np.cos(down), np.sin(down)]) * random.uniform(0.8, 1.2)
        turn = down + random.uniform(-1.2, 1.2)
        tip = np.clip(joint + reach / 2 * np.array([np.cos(turn), np.sin(turn)]), 6, DRAWING_SIDE - 6)
        limbs.append(pen.shape(_limb(root, joint, tip, random.uniform(16, 28), random.uniform(9, 18))))
    torso = pen.shape(_limb(neck, (neck + hip) / 2, hip, random.uniform(35, 60), random.uniform(30, 70)))
    head = neck - [random.uniform(-8, 8), 38]
    hair = _strands(random, pen, head, np.pi, 60, int(random.integers(3, 9)))
    fringe = _strands(random, pen, head - [0, 25], 1.0, 35, int(random.integers(2, 7)))
    face = _face(random, pen, head, random.uniform(24, 34))
    return limbs[0] + limbs[2] + hair + limbs[3] + torso + face + fringe + limbs[1]


def _blob(random: Random, pen: _Pen) -> str:
    outline = _ring(random, (128, 128), tuple(random.uniform(60, 115, 2)), 0.25, int(random.integers(6, 14)))
    body = pen.shape(_spline(outline))
    for _ in range(random.integers(0, 5)):
        centre = random.uniform(70, 186, 2)
        body += pen.shape(
            _spline(_ring(random, centre, tuple(random.uniform(8, 45, 2)), 0.3, int(random.integers(5, 10))))
        )
    for _ in range(random.integers(0, 6)):
        body += pen.line(_spline(random.uniform(60, 196, (3, 2)), closed=False), 0.7)
    return body


def _hair(random: Random, pen: _Pen) -> str:
    body = "".join(
        _strands(random, pen, random.uniform(70, 186, 2), random.uniform(0.2, 1.2), 150, int(random.integers(4, 12)))
        for _ in range(random.integers(1, 4))
    )
    return body + _strands(random, pen, np.array([128, 60.0]), 0.6, 190, int(random.integers(3, 9)))


def _cloth(random: Random, pen: _Pen) -> str:
    """A large area almost without texture: cape, skirt, flag."""
    top = np.stack([np.linspace(50, 206, 4), random.uniform(10, 60, 4)], 1)
    hem = np.stack([np.linspace(250, 6, 8), random.uniform(180, 250, 8)], 1)
    body = pen.shape(_spline(np.concatenate([top, hem])))
    for _ in range(random.integers(1, 7)):
        ends = ([60, 60], [196, 90]), ([60, 60], [196, 196]), ([40, 170], [216, 220])
        fold = np.array([random.uniform(*corners) for corners in ends])
        body += pen.line(_spline(fold, closed=False), 0.8)
    return body


def _machine(random: Random, pen: _Pen) -> str:
    """Straight edges: vehicles, swords, furniture."""
    body = ""
    for _ in range(random.integers(3, 9)):
        x, y = random.uniform(15, 170, 2)
        wide, tall = random.uniform(15, 110, 2)
        corners = np.array([[x, y], [x + wide, y], [x + wide, y + tall], [x, y + tall]])
        corners = np.clip(corners + random.uniform(-12, 12, (4, 2)), 6, DRAWING_SIDE - 6)
        body += pen.shape("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in corners) + "Z")
        if random.random() < 0.4:
            centre = corners.mean(0)
            body += pen.shape(_spline(_ring(random, tuple(centre), (wide / 4, wide / 4), 0, 12)))
    return body


def _sky(random: Random, *stops: str) -> str:
    turn = random.uniform(-0.3, 0.3)
    marks = "".join(_tag("stop", offset=f"{i / (len(stops) - 1):.2f}", stop_color=stop) for i, stop in enumerate(stops))
    return _tag("linearGradient", marks, id="sky", x2=turn, y2="1") + _ground("url(#sky)")


def _ground(fill: str) -> str:
    return _tag("rect", x=0, y=0, width=BACKGROUND_SIDE, height=BACKGROUND_SIDE, fill=fill)


def _tone(random: Random, hue: float, dark: float = 0.2, light: float = 1.0) -> str:
    return _hex(((hue + random.normal(0, 0.04)) % 1, random.uniform(0.05, 0.7), random.uniform(dark, light)))


def _grain(random: Random) -> str:
    """Paint: noise of one or more octaves over everything, light and dark."""
    across, down = 10 ** random.uniform(-2.2, -0.5, 2)
    strength = random.uniform(0.1, 0.5)
    noise = _tag(
        "feTurbulence",
        type=("turbulence", "fractalNoise")[random.integers(2)],
        baseFrequency=f"{across:.4f} {down:.4f}",
        numOctaves=random.integers(1, 5),
        seed=random.integers(10**6),
    )
    red, green, blue = random.integers(2), random.random(), random.random()
    colour = f"0 0 0 0 {red} 0 0 0 0 {green:.2f} 0 0 0 0 {blue:.2f} 1.8 0 0 0 -0.6"
    grain = _tag("filter", noise + _tag("feColorMatrix", values=colour), id="grain", x=0, y=0, width=1, height=1)
    return grain + _tag("rect", width=512, height=512, filter="url(#grain)", opacity=f"{strength:.2f}")


def _line(random: Random, hue: float, low: float = 0.6, high: float = 2.5) -> dict[str, Any]:
    return {"stroke": _tone(random, hue, 0, 0.4), "stroke_width": random.uniform(low, high)}


def _landscape(random: Random) -> str:
    hue = random.random()
    body = _sky(random, _tone(random, hue, 0.5), _tone(random, hue, 0.6), _tone(random, hue + 0.1, 0.7))
    for level in np.sort(random.uniform(150, 480, random.integers(2, 7))):
        points = [(x, level + random.normal(0, 25)) for x in range(-40, 561, 60)]
        ridge = _spline(np.array(points), closed=False)
        line = _line(random, hue) if random.random() < 0.5 else {}
        body += _tag("path", d=f"{ridge}V512H-40Z", fill=_tone(random, hue + 0.25), **line)
        for _ in range(random.integers(0, 40)):
            x, y, r = random.uniform(0, 512), level + random.uniform(-10, 120), random.uniform(3, 26)
            body += _tag("ellipse", cx=x, cy=y, rx=r, ry=r * random.uniform(0.4, 1.3), fill=_tone(random, hue + 0.3))
    return body


def _town(random: Random) -> str:
    hue = random.random()
    body = _sky(random, _tone(random, hue, 0.3), _tone(random, hue, 0.5))
    for _ in range(random.integers(4, 14)):
        x, y, wide = random.uniform(-40, 500), random.uniform(20, 380), random.uniform(40, 180)
        line = _line(random, hue)
        body += _tag("rect", x=x, y=y, width=wide, height=520, fill=_tone(random, hue), **line)
        step, rise = random.uniform(10, 34), random.uniform(12, 40)
        pane, glass = random.uniform(0.35, 0.75), _tone(random, hue + 0.5)
        for left in np.arange(x + 4, x + wide - step, step):
            for top in np.arange(y + 6, 512, rise):
                body += _tag("rect", x=left, y=top, width=step * pane, height=rise * pane, fill=glass, **line)
    return body


def _room(random: Random) -> str:
    hue, (x, y) = random.random(), random.uniform(120, 390, 2)
    left, right = x - random.uniform(60, 160), x + random.uniform(60, 160)
    top, bottom = y - random.uniform(40, 110), y + random.uniform(30, 90)
    body, line = _ground(_tone(random, hue, 0.3)), _line(random, hue)
    walls = (
        ((0, 0), (512, 0), (right, top), (left, top)),
        ((0, 512), (512, 512), (right, bottom), (left, bottom)),
        ((0, 0), (left, top), (left, bottom), (0, 512)),
        ((512, 0), (right, top), (right, bottom), (512, 512)),
    )
    for wall in walls:
        corners = " ".join(f"{a:.0f},{b:.0f}" for a, b in wall)
        body += _tag("polygon", points=corners, fill=_tone(random, hue, 0.3), **line)
    for a in np.linspace(-700, 1200, random.integers(8, 40)):
        far = left + (right - left) * (a + 700) / 1900
        body += _tag("path", d=f"M{a:.0f} 512L{far:.0f} {bottom:.0f}", **line)
    for _ in range(random.integers(3, 16)):
        (a, b), (wide, tall) = random.uniform(0, 450, 2), random.uniform(12, 130, 2)
        fill = _tone(random, hue + random.uniform(0, 0.6))
        body += _tag("rect", x=a, y=b, width=wide, height=tall, rx=random.uniform(0, 8), fill=fill, **line)
        for c in np.linspace(a, a + wide, random.integers(2, 9))[1:-1]:
            body += _tag("path", d=f"M{c:.0f} {b:.0f}v{tall:.0f}", **line)
    return body


def _foliage(random: Random) -> str:
    hue = random.uniform(0.05, 0.5)
    body = _ground(_tone(random, hue, 0.1, 0.6))
    for shade in np.linspace(0.2, 1, random.integers(150, 500)):
        (x, y), size, turn = random.uniform(0, 512, 2), random.uniform(5, 40), random.uniform(0, 360)
        colour = _hex(((hue + random.normal(0, 0.03)) % 1, random.uniform(0.2, 0.8), shade * random.uniform(0.6, 1)))
        leaf = f"M0 0Q{size:.0f} {-size / 2:.0f} {2 * size:.0f} 0Q{size:.0f} {size / 2:.0f} 0 0"
        body += _tag("path", d=leaf, fill=colour, transform=f"translate({x:.0f} {y:.0f}) rotate({turn:.0f})")
    return body


def _wall(random: Random) -> str:
    """Bricks, tiles, planks, shelves: the same thing over and over."""
    hue, wide, tall = random.random(), random.uniform(14, 90), random.uniform(8, 60)
    body = _ground(_tone(random, hue, 0.1, 0.7))
    gap, shift = random.uniform(1, 5), random.choice([0, 0.5])
    for i, y in enumerate(np.arange(-10, 520, tall)):
        for x in np.arange(-wide, 520, wide) + shift * wide * (i % 2):
            body += _tag("rect", x=x, y=y, width=wide - gap, height=tall - gap, fill=_tone(random, hue, 0.4, 0.9))
    return body


def _clouds(random: Random) -> str:
    hue = random.uniform(0.45, 0.75)
    body = _sky(random, _tone(random, hue, 0.4), _tone(random, hue, 0.7), _tone(random, hue + 0.4, 0.8))
    for _ in range(random.integers(3, 12)):
        centre, colour = random.uniform(0, 512, 2), _hex((hue, random.uniform(0, 0.2), random.uniform(0.8, 1)))
        for _ in range(random.integers(4, 14)):
            x, y = centre + random.normal(0, 30, 2)
            opacity = f"{random.uniform(0.5, 1):.2f}"
            body += _tag("circle", cx=x, cy=y, r=random.uniform(8, 45), fill=colour, opacity=opacity)
    return body
