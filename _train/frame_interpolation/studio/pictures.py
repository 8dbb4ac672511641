"""Pictures for the browser: 8-bit PNG, in full size or scaled down."""

import io
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from PIL import Image

from _util import formats, png
from _util.alpha import resized
from _util.formats import Picture
from _util.pixels import as_8_bits

SIDES = {"thumbnail": 192, "view": 1280}  # longer side in pixels; larger pictures are reduced to it
_MOST_BYTES = 192 * 2**20  # size of the cache
_FAST = 1  # of zlib's levels


class Pictures:
    """Encodes pictures, and caches those used last; thread-safe."""

    def __init__(self):
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._bytes = 0

    def get(self, id: str, read: Callable[[], Picture], size: str) -> bytes:
        """A picture as PNG.

        Args:
            id: identifies its content.
            read: called if the picture is not cached; what it raises is passed on.
            size: "full", or one of `SIDES`.
        """
        with self._lock:
            if (id, size) in self._kept:
                self._kept.move_to_end((id, size))
                return self._kept[id, size]
        data = encoded(read(), SIDES.get(size))
        with self._lock:
            if (id, size) not in self._kept:
                self._kept[id, size] = data
                self._bytes += len(data)
            while self._bytes > _MOST_BYTES and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return data


def encoded(picture: Picture, side: int | None) -> bytes:
    """Encode a picture as 8-bit PNG with its tags, scaled so that its longer side is at most `side` pixels."""
    pixels = as_8_bits(formats.for_display(picture))
    file = io.BytesIO()
    Image.fromarray(_reduced(pixels, side)).save(file, "PNG", compress_level=_FAST)
    return png.insert(file.getvalue(), picture.tags)


def _reduced(pixels: np.ndarray, side: int | None) -> np.ndarray:
    h, w = pixels.shape[:2]
    scale = side / max(h, w) if side else 1.0
    return pixels if scale >= 1 else resized(pixels, (max(1, round(h * scale)), max(1, round(w * scale))))
