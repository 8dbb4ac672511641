"""Layered pictures: OpenRaster (.ora) and Photoshop documents (.psd, .psb).

Layers are the top-level nodes of a document. A group is one layer, composited from the layers in it; hidden layers are
left out. Only normal blending is supported: a document that uses anything else is rejected by name. PNG files in
OpenRaster and Photoshop documents may have a colour profile and a resolution, which layers keep as `tags`.
"""

import math
import tempfile
import warnings
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

import numpy as np

from _util import extras, formats, png
from _util.alpha import resized
from _util.errors import InputError
from _util.files import replacing
from _util.formats import Picture
from _util.pixels import PixelType, as_8_bits, as_16_bits, encoded, paste, placed

SUFFIXES = (".ora", ".psd", ".psb")
_MIMETYPE = b"image/openraster"
_LONGEST_XML = 10_000_000  # bytes
_LONGEST_PICTURE = 2**30
_NORMAL = ("svg:src-over", "", None)
_THUMBNAIL = 256  # pixels of its longer side, as specified


class Layer(NamedTuple):
    """A layer on the canvas of its document."""

    name: str
    pixels: np.ndarray  # (h, w, 4) RGBA, uint8 or uint16
    opacity: float = 1.0
    parts: tuple["Layer", ...] = ()  # of a group, from back to front
    tags: tuple[png.Chunk, ...] = ()  # of colour and resolution; a group has those of its rearmost part


class Document(NamedTuple):
    size: tuple[int, int]  # (h, w)
    layers: tuple[Layer, ...]  # visible ones, from back to front


def read(path: Path) -> Document:
    """The layers of a file.

    Raises:
        InputError: it cannot be read, has no visible layers, or uses more than normal blending of layers.
    """
    is_ora = path.suffix.lower() == ".ora"
    if not is_ora:
        extras.require("psd_tools")
    try:
        document = _read_ora(path) if is_ora else _read_psd(path)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.") from error
    except Exception as error:  # a damaged file can fail in any way
        cause = " ".join(str(error).split())[:100]
        raise InputError(f"{path} is damaged or no layered picture ({cause}); export it again.") from error
    if not document.layers:
        raise InputError(f"{path} has no visible layers; show those that are to be drawn, or export them as pictures.")
    names = [layer.name for layer in document.layers]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path} has two layers named {name!r}; layers are known by name: rename one.")
    is_deep = any(layer.pixels.dtype == np.uint16 for layer in document.layers)
    return Document(document.size, tuple(map(_deep, document.layers))) if is_deep else document


def _deep(layer: Layer) -> Layer:
    return layer._replace(pixels=as_16_bits(layer.pixels), parts=tuple(map(_deep, layer.parts)))


def composite(layers: Sequence[Layer]) -> np.ndarray:
    """Composite layers of one size and type, from back to front: (h, w, 4)."""
    if len(layers) == 1 and layers[0].opacity == 1:
        return layers[0].pixels
    dtype = np.result_type(*(layer.pixels.dtype for layer in layers))
    if dtype == np.uint16:
        layers = [layer._replace(pixels=as_16_bits(layer.pixels)) for layer in layers]
    top = np.iinfo(dtype).max
    result = np.zeros((*layers[0].pixels.shape[:2], 4), np.float32)  # colours times alpha
    for layer in layers:
        alpha = layer.pixels[:, :, 3:] * np.float32(layer.opacity / top)
        result *= 1 - alpha
        result[:, :, :3] += layer.pixels[:, :, :3] * alpha
        result[:, :, 3:] += alpha
    alpha = result[:, :, 3:]
    result[:, :, :3] = np.where(alpha > 0, result[:, :, :3] / np.maximum(alpha, 1e-12), 0)
    result[:, :, 3:] *= top
    return result.round().clip(0, top).astype(dtype)


def write_ora(path: Path, layers: Sequence[Layer]) -> None:
    """Write an OpenRaster file with layers from back to front; it appears complete or not at all."""
    h, w = layers[0].pixels.shape[:2]
    merged = composite(layers)
    rows = [
        f'  <layer name={quoteattr(_printable(layer.name))} src="data/layer{i}.png" x="0" y="0" '
        f'opacity="{layer.opacity:.6g}" visibility="visible" composite-op="svg:src-over"/>'
        for i, layer in reversed(list(enumerate(layers)))
    ]
    body = "\n".join(rows)
    stack = f'<?xml version="1.0" encoding="UTF-8"?>\n<image version="0.0.3" w="{w}" h="{h}">\n <stack>\n{body}\n'
    scale = min(1, _THUMBNAIL / max(h, w))
    small = resized(merged, (max(1, round(h * scale)), max(1, round(w * scale))))
    members = {f"data/layer{i}.png": png.insert(encoded(layer.pixels), layer.tags) for i, layer in enumerate(layers)}
    members["mergedimage.png"] = png.insert(encoded(merged), layers[0].tags)
    members["Thumbnails/thumbnail.png"] = encoded(as_8_bits(small))
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, "mimetype", _MIMETYPE)
        _add(archive, "stack.xml", (stack + " </stack>\n</image>\n").encode(errors="replace"), zipfile.ZIP_DEFLATED)
        for name, content in members.items():
            _add(archive, name, content)


def _printable(name: str) -> str:
    """A name with unprintable characters, which XML may not hold, replaced."""
    return "".join(c if c.isprintable() else "_" for c in name)


def _add(archive: zipfile.ZipFile, name: str, content: bytes, how: int = zipfile.ZIP_STORED) -> None:
    """Add a member without a time stamp, so that the same layers give the same file."""
    archive.writestr(zipfile.ZipInfo(name), content, how)


def _read_ora(path: Path) -> Document:
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("stack.xml").file_size > _LONGEST_XML:
            raise InputError(f"{path} has a stack.xml of more than {_LONGEST_XML // 1_000_000} MB.")
        text = archive.read("stack.xml")
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise InputError(f"{path} has a stack.xml that defines entities, which OpenRaster has none of.")
        root = ET.fromstring(text)
        if root.tag != "image":
            raise InputError(f"{path} has a stack.xml that begins with <{root.tag}>, not <image>; export it again.")
        size = int(root.get("h", 0)), int(root.get("w", 0))
        _check_size(path, size)
        stack = root.find("stack")
        return Document(size, _ora_layers(path, archive, stack, size) if stack is not None else ())


def _ora_layers(path: Path, archive: zipfile.ZipFile, stack: Any, size: tuple[int, int]) -> tuple[Layer, ...]:
    layers = []
    for number, node in enumerate(reversed(list(stack)), 1):
        name = node.get("name") or f"layer {number}"
        if node.get("visibility", "visible") == "hidden":
            continue
        if node.get("composite-op") not in _NORMAL:
            raise _refused(path, name, f"the blend mode {node.get('composite-op')}")
        opacity = _opacity(path, name, float(node.get("opacity", 1)))
        if node.tag == "stack":
            parts = _ora_layers(path, archive, node, size)
            if parts:
                layers.append(Layer(name, composite(parts), opacity, parts, parts[0].tags))
        elif node.tag == "layer":
            picture = _ora_picture(archive, node.attrib["src"])
            at = int(node.get("y", 0)), int(node.get("x", 0))
            layers.append(Layer(name, placed(picture.pixels, at, size), opacity, tags=picture.tags))
        else:
            raise _refused(path, name, f"an element <{node.tag}>")
    return tuple(layers)


def _ora_picture(archive: zipfile.ZipFile, source: str) -> Picture:
    if archive.getinfo(source).file_size > _LONGEST_PICTURE:
        raise InputError(f"{archive.filename}: {source} is too large.")
    with tempfile.TemporaryDirectory() as folder:
        member = Path(folder) / Path(str(archive.filename)).name / Path(source).name  # as notices about it show
        member.parent.mkdir()
        member.write_bytes(archive.read(source))
        try:
            picture = formats.read(member)
        except InputError as error:
            raise InputError(f"{archive.filename}: {str(error).replace(str(member), source)}") from error
        return _with_alpha(formats.for_display(picture), picture.tags)


def _with_alpha(pixels: np.ndarray, tags: tuple[png.Chunk, ...]) -> Picture:
    """Pixels as (h, w, 4) RGBA, with the tags that fit them."""
    return Picture(pixels, tags=tags).converted(PixelType(4, pixels.dtype))


def _read_psd(path: Path) -> Document:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from psd_tools import PSDImage

        psd = PSDImage.open(path)
    if psd.color_mode.name not in ("RGB", "GRAYSCALE"):
        raise InputError(f"{path} is in {psd.color_mode.name} colours; convert it to RGB.")
    if psd.depth not in (8, 16):
        raise InputError(f"{path} has {psd.depth} bits; convert it to 8 or 16.")
    size = psd.height, psd.width
    _check_size(path, size)
    blank = _with_alpha(np.zeros((*size, 4), np.uint8 if psd.depth == 8 else np.uint16), _psd_tags(psd))
    return Document(size, _psd_layers(path, psd, blank))


def _psd_tags(psd: Any) -> tuple[png.Chunk, ...]:
    """The colour profile and the resolution of a document."""
    from psd_tools.constants import Resource

    profile = psd.image_resources.get_data(Resource.ICC_PROFILE)
    resolution = psd.image_resources.get_data(Resource.RESOLUTION_INFO)
    chunks: list[png.Chunk | None] = [png.icc_chunk(profile)] if profile else []
    if resolution is not None:
        x, y = (png.dots_per_metre(fixed / 65536) for fixed in (resolution.horizontal, resolution.vertical))
        chunks.append(png.resolution_chunk(x, y))
    return tuple(filter(None, chunks))


def _psd_layers(path: Path, group: Any, blank: Picture) -> tuple[Layer, ...]:
    """The layers of a document or a group; `blank` is a transparent layer."""
    layers = []
    for node in group:
        if not node.visible:
            continue
        name, mode = node.name, node.blend_mode.name
        if mode != "NORMAL" and not (node.is_group() and mode == "PASS_THROUGH"):
            raise _refused(path, name, f"the blend mode {mode.lower().replace('_', ' ')}")
        if node.clipping:
            raise _refused(path, name, "clipping to the layer below")
        if node.has_effects():
            raise _refused(path, name, "effects")
        if node.kind == "shape" and not node.has_pixels():
            raise _refused(path, name, "a shape without pixels")
        if node.kind != "shape" and node.has_vector_mask() and not node.vector_mask.disabled:
            raise _refused(path, name, "a vector mask")
        opacity = _opacity(path, name, node.opacity * node.fill_opacity / 255**2)
        if node.is_group():
            if node.has_mask() and not node.mask.disabled:
                raise _refused(path, name, "a mask of a group")
            parts = _psd_layers(path, node, blank)
            if parts:
                layers.append(Layer(name, composite(parts), opacity, parts, blank.tags))
        elif node.kind in ("pixel", "type", "smartobject", "shape"):
            if _is_softened(node):
                raise _refused(path, name, "a mask with density or feather")
            layers.append(Layer(name, _psd_pixels(node, blank.pixels), opacity, tags=blank.tags))
        else:
            raise _refused(path, name, f"a layer of the kind {node.kind}")
    return tuple(layers)


def _is_softened(node: Any) -> bool:
    """Whether a layer has a mask with a density below 100 % or a feather."""
    if not node.has_mask() or node.mask.disabled or not node.mask.parameters:
        return False
    parameters = node.mask.parameters
    densities = parameters.user_mask_density, parameters.vector_mask_density
    feathers = parameters.user_mask_feather, parameters.vector_mask_feather
    return any(one not in (None, 255) for one in densities) or any(feathers)


def _psd_pixels(node: Any, blank: np.ndarray) -> np.ndarray:
    size, dtype = blank.shape[:2], blank.dtype
    values = node.numpy()
    if values is None or not values.size:
        return blank
    if values.shape[2] in (1, 3):
        values = np.dstack([values, np.ones_like(values[:, :, :1])])
    colours = np.repeat(values[:, :, :1], 3, 2) if values.shape[2] == 2 else values[:, :, :3]
    pixels = np.dstack([colours, values[:, :, -1]])
    top = np.iinfo(dtype).max
    pixels = placed((pixels * top).round().astype(dtype), (node.top, node.left), size)
    if node.has_mask() and not node.mask.disabled:
        pixels[:, :, 3] = (pixels[:, :, 3] * _psd_mask(node, size)).round().astype(dtype)
    return pixels


def _psd_mask(node: Any, size: tuple[int, int]) -> np.ndarray:
    mask, drawn = node.mask, node.numpy("mask")
    whole = np.full(size, mask.background_color / 255, np.float32)
    if drawn is None:
        return whole
    values = np.ascontiguousarray(drawn.reshape(drawn.shape[:2]), np.float32)
    paste(whole, values, (mask.top, mask.left))
    return whole


def _check_size(path: Path, size: tuple[int, int]) -> None:
    if min(size) < 1 or math.prod(size) > formats.MOST_PIXELS:
        raise InputError(f"{path} is {size[1]}×{size[0]} pixels; up to {formats.MOST_PIXELS:,} are read.")


def _opacity(path: Path, name: str, opacity: float) -> float:
    if not 0 <= opacity <= 1:
        raise InputError(f"{path}: the layer {name!r} has an opacity of {opacity:g}; it lies in [0, 1].")
    return opacity


def _refused(path: Path, name: str, what: str) -> InputError:
    return InputError(
        f"{path}: the layer {name!r} has {what}; layers are laid over one another normally: merge it or hide it."
    )
