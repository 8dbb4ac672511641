"""The pictures that toons are composed of, rendered once and kept in one file.

    _data/toons/atlas.zip
        drawing/00000.webp …       256×256 RGBA: procedural drawings, then icons with outlines of our own
        limb/00000.webp …          768×256 RGBA: segments of an arm or leg, upright, one below the other
        head/00000.webp …          1024×256 RGBA: hair behind, face, features, hair in front
        figure/00000.webp …        1024×256 RGBA: an arm behind, body, head, an arm in front
        background/00000.webp …    512×512 RGB
        caption/00000.webp …       256×256 RGBA: lettering that never moves

Icons are Fluent Emoji Flat (Microsoft, MIT) and Noto Emoji (Google, Apache-2.0), fetched with npm; where there is no
npm or no network, the atlas is made without them and says so. All other pictures are the same with and without them.

Finished pictures are stored in `atlas.parts/` until the atlas is complete, so that an interrupted build resumes.
"""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from tqdm import tqdm

from _databacks.toons.drawings import DRAWING_SIDE, background, drawing, rig
from _databacks.toons.rigs import RIGS
from _util import extras, places, runs
from _util.errors import InputError
from _util.files import make_folder, remove, replacing, write_bytes

PATH = places.cache("toons") / "atlas.zip"
ICON_SETS = ("@iconify-json/fluent-emoji-flat@1.2.6", "@iconify-json/noto@1.2.9")
KINDS = ("drawing", "background", "caption", *RIGS)


def load(path: Path = PATH) -> dict[str, Tensor]:
    """The pictures by kind, uint8 (n, 4, side, side) with colours multiplied by alpha, those of rigs by part,
    (n, parts, 4, side, side); built first if need be.

    Raises:
        InputError: the file is not an atlas.
    """
    if not path.exists():
        build(path)
    try:
        with zipfile.ZipFile(path) as file:
            names = sorted(file.namelist())
            pictures = {
                kind: [decode_rgba(file.read(name)).transpose(2, 0, 1) for name in names if name.startswith(kind)]
                for kind in KINDS
            }
        loaded = {kind: torch.from_numpy(np.stack(of_kind)) for kind, of_kind in pictures.items()}
        for kind, rig in RIGS.items():
            loaded[kind] = loaded[kind].unflatten(2, (len(rig.parts), -1)).transpose(1, 2)
        return loaded
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not an atlas of toons; delete it, and it is built again.") from error


def build(
    path: Path = PATH,
    drawings: int = 900,
    icons: int = 900,
    rigs: int = 240,
    backgrounds: int = 240,
    captions: int = 40,
    seed: int = 0,
) -> None:
    """Render an atlas and write it to `path`; the same arguments give the same pictures, also after an interruption.

    Raises:
        InputError: resvg is not installed, or the atlas cannot be written.
    """
    extras.require("resvg_py")
    import resvg_py

    def render(svg: str) -> Image.Image:
        return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg))))

    sets = _icon_sets() if icons else []
    jobs = [("drawing", lambda random: render(drawing(random)))] * drawings
    for kind in RIGS:
        jobs += [(kind, lambda random, kind=kind: _stack(map(render, rig(kind, random))))] * rigs
    jobs += [("background", lambda random: render(background(random)))] * backgrounds
    jobs += [("caption", _caption)] * captions
    for bodies in sets:  # last, since pictures are seeded by their number
        jobs += [("drawing", lambda random, bodies=bodies: render(_icon(bodies, random)))] * (icons // len(sets))

    def encode(i: int) -> bytes:
        kind, make = jobs[i]
        encoded = io.BytesIO()
        picture = make(np.random.default_rng((seed, i)))
        opaque = kind == "background"
        picture.convert("RGB" if opaque else "RGBA").save(encoded, "webp", lossless=not opaque, quality=90)
        return encoded.getvalue()

    parts = path.with_suffix(".parts")
    run = runs.digest_of([runs.digest_of_code(), drawings, icons, rigs, backgrounds, captions, seed])[:12]
    make_folder(path.parent)
    with replacing(path) as unfinished, zipfile.ZipFile(unfinished, "w") as file:
        for i, (kind, _) in enumerate(tqdm(jobs, desc="atlas of toons", unit="picture")):
            file.writestr(f"{kind}/{i:05}.webp", _stored(parts / f"{run}-{i:05}.webp", lambda i=i: encode(i)))
    remove(parts)


def _stored(part: Path, encode: Callable[[], bytes]) -> bytes:
    """The content of a file, which is made if it is missing. Other processes may store and remove it at any time."""
    with contextlib.suppress(FileNotFoundError):
        return part.read_bytes()
    content = encode()
    with contextlib.suppress(InputError):  # without it, the picture is drawn again if the build resumes
        make_folder(part.parent)
        write_bytes(part, content)
    return content


def _stack(parts: Iterable[Image.Image]) -> Image.Image:
    """Stack pictures of one size vertically."""
    arrays = [np.asarray(part.convert("RGBA")) for part in parts]
    return Image.fromarray(np.concatenate(arrays))


def decode_rgba(encoded: bytes) -> np.ndarray:
    """A picture as (h, w, 4) uint8 RGBA, colours multiplied by alpha."""
    rgba = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGBA")).astype(np.uint16)
    rgba[..., :3] = (rgba[..., :3] * rgba[..., 3:] + 127) // 255
    return rgba.astype(np.uint8)


def _icon_sets() -> list[dict[str, str]]:
    """The SVG bodies of each icon set, scaled to one another by their own viewBox."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(
                [shutil.which("npm") or "npm", "pack", *ICON_SETS], cwd=folder, check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError):
            print("Toons are drawn without icons, as npm could not fetch them.", file=sys.stderr)
            return []
        return [_read_icons(archive) for archive in sorted(Path(folder).glob("*.tgz"))]


def _read_icons(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as tar:
        file = tar.extractfile("package/icons.json")
        assert file is not None
        content = json.load(file)
    side = content.get("width", content.get("height", 16))
    return {
        name: f'<g transform="translate(8 8) scale({240 / icon.get("width", side):.4f})">{icon["body"]}</g>'
        for name, icon in content["icons"].items()
        if not name.startswith("flag") and not icon.get("hidden")
    }


def _icon(bodies: dict[str, str], random: np.random.Generator) -> str:
    """An icon, most often with an outline around each of its fills."""
    body = bodies[sorted(bodies)[random.integers(len(bodies))]]
    line = ""
    if random.random() < 0.7:
        line = f'stroke="#1a1416" stroke-width="{random.uniform(0.15, 0.6):.2f}" stroke-linejoin="round"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{DRAWING_SIDE}" '
        f'height="{DRAWING_SIDE}" viewBox="0 0 {DRAWING_SIDE} {DRAWING_SIDE}"><g {line}>{body}</g></svg>'
    )


def _caption(random: np.random.Generator) -> Image.Image:
    """One or two lines of letters with an outline, as subtitles and logos have."""
    picture = Image.new("RGBA", (DRAWING_SIDE, DRAWING_SIDE))
    draw = ImageDraw.Draw(picture)
    letters = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!?,. ")
    size = int(random.integers(14, 40))
    for line in range(random.integers(1, 3)):
        text = "".join(random.choice(letters, random.integers(4, 22)))
        fill = "white" if random.random() < 0.7 else tuple(int(v) for v in random.integers(0, 256, 3))
        position = (DRAWING_SIDE / 2, 110 + line * (size + 6))
        draw.text(position, text, fill, ImageFont.load_default(size), "mm", stroke_width=2, stroke_fill="black")
    return picture
