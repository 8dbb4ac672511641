"""Painted-looking grounds: clip art in rows, over a sky or a drawn ground, blurred and toned."""

import io
import zipfile
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from _databacks.clipart.atlas import Entry, LayeredDrawing, read_drawing
from _databacks.toons.drawings import background

SIZE = 540, 760  # (h, w)


def paint(file: zipfile.ZipFile, ingredients: Sequence[Entry], random: np.random.Generator) -> np.ndarray:
    """A ground of `SIZE`, (h, w, 3) uint8 RGB.

    Args:
        file: an atlas that already has drawings.
        ingredients: things to place on the ground, and scenes that fill it.
    """
    h, w = SIZE
    scenes = [entry for entry in ingredients if entry.kind == "scene"]
    things = [entry for entry in ingredients if entry.kind != "scene"] or scenes
    ground = _horizon(random) if random.random() < 0.35 else _drawn(random)

    def put(entries: Sequence[Entry], size: float, foot: tuple[float, float]) -> None:
        picture = flatten(read_drawing(file, entries[int(random.integers(len(entries)))]))
        _put(ground, picture if random.random() < 0.5 else picture[:, ::-1], size, foot)

    if scenes and random.random() < 0.25:
        put(scenes, w * random.uniform(1, 1.4), (w / 2, 1.1 * h))
    for y in np.sort(random.uniform(0.25, 1.2, random.integers(14))):
        put(things, np.exp(random.uniform(np.log(60), np.log(330))) * (0.4 + 0.8 * y), (random.uniform(0, w), y * h))
    return _tone(ground, random).clip(0, 255).astype(np.uint8)


def flatten(drawing: LayeredDrawing) -> np.ndarray:
    """(h, w, 4) float32 RGBA in [0, 255], colours multiplied by alpha."""
    w, h = drawing.entry.size
    whole = np.zeros((h, w, 4), np.float32)
    for layer, (x, y) in zip(drawing.layers, drawing.entry.corners, strict=True):
        part = whole[y : y + layer.shape[0], x : x + layer.shape[1]]
        part[:] = layer + part * (1 - layer[..., 3:] / 255)
    return whole


def _horizon(random: np.random.Generator) -> np.ndarray:
    """A sky that lightens or darkens towards a floor, which darkens towards the front."""
    h, w = SIZE
    top, low, floor = random.uniform(20, 255, (3, 3))
    y, horizon = np.linspace(0, 1, h)[:, None, None], random.uniform(0.3, 0.8)
    sky, near = top + (low - top) * y / horizon, (y - horizon) / (1 - horizon)
    return np.broadcast_to(np.where(y < horizon, sky, floor * (1 - 0.4 * near)), (h, w, 3)).astype(np.float32)


def _drawn(random: np.random.Generator) -> np.ndarray:
    import resvg_py

    h, w = SIZE
    content = bytes(resvg_py.svg_to_bytes(svg_string=background(random), skip_system_fonts=True))
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(np.float32)
    return np.ascontiguousarray(cv2.resize(picture, (w, w), interpolation=cv2.INTER_CUBIC)[:h])


def _put(ground: np.ndarray, picture: np.ndarray, size: float, foot: tuple[float, float]) -> None:
    """Draw a picture, its longer side scaled to `size` pixels, the middle of its lower side at `foot`."""
    scale = size / max(picture.shape[:2])
    w, h = (max(2, round(side * scale)) for side in (picture.shape[1], picture.shape[0]))
    picture = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = int(foot[0] - w / 2), int(foot[1] - h)
    seen = ground[max(0, top) : max(0, top + h), max(0, left) : max(0, left + w)]
    part = picture[max(0, -top) :, max(0, -left) :][: seen.shape[0], : seen.shape[1]]
    seen[:] = part[..., :3] + seen * (1 - part[..., 3:] / 255)


def _tone(ground: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Flattened as by a brush, greyed, tinted, mottled, with the grain of paper, out of focus; each at times."""
    h, w = SIZE
    if random.random() < 0.4:
        brush, strength = random.uniform(10, 60), random.uniform(0.15, 0.45)
        painted = cv2.stylization(ground.clip(0, 255).astype(np.uint8), sigma_s=brush, sigma_r=strength)
        ground = painted.astype(np.float32)
    grey = ground.mean(-1, keepdims=True)
    ground = (grey + (ground - grey) * random.uniform(0.3, 1)) * random.uniform(0.55, 1.05, 3) * random.uniform(0.7, 1)
    patches = random.normal(size=(random.integers(3, 9), random.integers(4, 11)))
    mottling = cv2.resize(patches, (w, h), interpolation=cv2.INTER_CUBIC)
    ground = ground * (1 + random.uniform(0, 0.18) * mottling)[..., None]
    if random.random() < 0.5:
        grain = cv2.GaussianBlur(
            random.normal(size=(h, w)), (0, 0), random.uniform(0.7, 2.5), sigmaY=random.uniform(0.7, 6)
        )
        ground = ground + (grain / grain.std() * random.uniform(1, 7))[..., None]
    if random.random() < 0.65:
        ground = cv2.GaussianBlur(ground, (0, 0), np.exp(random.uniform(np.log(0.4), np.log(5))))
    return ground
