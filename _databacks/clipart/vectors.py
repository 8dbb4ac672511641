"""SVG drawings whose shapes can be rendered separately, by resvg."""

import io
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Container
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from PIL import Image

from _util.errors import InputError

LONGEST_FILE = 1_000_000  # bytes
_SHAPES = {"path", "circle", "ellipse", "rect", "polygon", "polyline", "line", "use"}
_GROUPS = {"svg", "g", "a", "switch"}
_LEFT_OUT = {"text", "flowRoot", "image", "feImage", "foreignObject", "script"}  # fonts, and what other files hold
_PIXELS = {"mm": 3.54, "cm": 35.4, "in": 90, "pt": 1.25, "pc": 15}
_PREVIEW = 400  # pixels
_DISPLAY = re.compile(r"display\s*:\s*(\w+)\s*;?")


class VectorDrawing:
    """An SVG, cropped to its visible content.

    Attributes:
        shapes: number of shapes, in painting order.
        extent: (w, h) of the visible content, in its own units.

    Raises:
        InputError: the file is not an SVG, is too long, or shows nothing.
    """

    def __init__(self, path: Path):
        self._root = _parse(path)
        x, y, w, h = _page(self._root)
        for name in ("width", "height", "viewBox", "preserveAspectRatio", "enable-background", "style", "x", "y"):
            self._root.attrib.pop(name, None)
        self._shapes = _clean(self._root)
        self.shapes = len(self._shapes)
        self._box = x - w / 2, y - h / 2, 2 * w, 2 * h  # drawings may extend beyond their page
        for _ in range(2):
            self._crop()
        self.extent = self._box[2:]

    def render(self, size: tuple[int, int], shown: Container[int] | None = None) -> np.ndarray:
        """(h, w, 4) float32 RGBA in [0, 255], colours multiplied by alpha.

        Args:
            size: (w, h) in pixels, with the proportions of `extent`.
            shown: numbers of the shapes to render; all by default.
        """
        import resvg_py

        for number, shape in enumerate(self._shapes):
            if shown is None or number in shown:
                shape.attrib.pop("display", None)
            else:
                shape.set("display", "none")
        w, h = size
        self._root.attrib |= {"viewBox": " ".join(map(str, self._box)), "width": str(w), "height": str(h)}
        try:
            text = ElementTree.tostring(self._root, "unicode")
            content = bytes(resvg_py.svg_to_bytes(svg_string=text, width=w, height=h, skip_system_fonts=True))
        except (ValueError, RecursionError) as error:
            raise InputError(f"cannot be rendered ({error})") from error
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")).astype(np.float32)
        picture[..., :3] *= picture[..., 3:] / 255
        return picture

    def _crop(self) -> None:
        x, y, w, h = self._box
        scale = _PREVIEW / max(w, h)
        seen = self.render((max(1, int(scale * w)), max(1, int(scale * h))))[..., 3] > 40
        if not seen.any():
            raise InputError("shows nothing")
        (top, bottom), (left, right) = (_ends(places) for places in np.nonzero(seen))
        self._box = (
            *(x + (left - 2) / scale, y + (top - 2) / scale),
            *((right - left + 4) / scale, (bottom - top + 4) / scale),
        )


def _ends(places: np.ndarray) -> tuple[int, int]:
    """The first index, and the last one plus 1."""
    return int(places.min()), int(places.max()) + 1


def _parse(path: Path) -> Element:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from error
    if len(content) > LONGEST_FILE:
        raise InputError(f"is longer than {LONGEST_FILE / 1e6:g} MB")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise InputError(f"is damaged, or no SVG ({error})") from error
    if _tag(root) != "svg":
        raise InputError("is not an SVG")
    return root


def _tag(element: Element) -> str:
    return element.tag.rsplit("}", 1)[-1]


def _page(root: Element) -> tuple[float, float, float, float]:
    """Left, top, width and height of the page, in the drawing's units."""
    w, h = (_length(root.get(name, "")) for name in ("width", "height"))
    try:
        numbers = [float(number) for number in re.split(r"[\s,]+", root.get("viewBox", f"0 0 {w} {h}").strip())]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)) or not 0 < min(numbers[2:]) <= max(numbers) < 1e7:
        raise InputError("has no size that makes sense")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _length(text: str) -> float:
    match = re.match(r"\s*(\d*\.?\d+(?:e[-+]?\d+)?)\s*(\w*)\s*$", text, re.ASCII)
    return float(match[1]) * _PIXELS.get(match[2], 1) if match else 1000.0


def _clean(root: Element) -> list[Element]:
    """The shapes that are painted; what is hidden, or is left out, is removed."""
    for parent in list(root.iter()):
        for child in list(parent):
            if _tag(child) in _LEFT_OUT or _is_hidden(child):
                parent.remove(child)
    shapes, waiting = [], [root]
    while waiting:
        element = waiting.pop()
        if _tag(element) in _SHAPES:
            element.attrib["style"] = _DISPLAY.sub("", element.get("style", ""))
            shapes.append(element)
        elif _tag(element) in _GROUPS:
            waiting += reversed(element)
    return shapes


def _is_hidden(element: Element) -> bool:
    style = _DISPLAY.search(element.get("style", ""))
    return (style[1] if style else element.get("display")) == "none"
