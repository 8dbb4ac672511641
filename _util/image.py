"""Image files, arrays and tensors.

An image in a file is an array of its own kind: (h, w) grey, (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16. The
networks see (b, 3, h, w) float32 in [0, 1].
"""

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from _util.errors import InputError
from _util.files import replacing


def read(path: str | Path) -> np.ndarray:
    """Read an image file, upright, as (h, w), (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16 as it was stored.

    Palettes become the colours they stand for, grey with alpha becomes RGBA.

    Raises:
        InputError: no such file, not an image, or a damaged one.
    """
    path = Path(path)
    try:
        with Image.open(path) as image:
            is_deep = _is_deep(image)
            image.load()
            pixels = _read_deep(path) if is_deep else _read_plain(image)
    except FileNotFoundError as error:
        raise InputError(f"There is no image {path}.") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; an image file is needed.") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image that can be read; PNG, JPEG, WebP and TIFF are.") from error
    except Exception as error:  # a damaged file can fail in any way
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path} cannot be read ({error.strerror}).") from error
        raise InputError(f"{path} is damaged or cut short ({error}); export it again.") from error
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path} holds {pixels.dtype} values; export it with 8 or 16 bits.")
    return pixels


def _is_deep(image: Image.Image) -> bool:
    # Of grey, Pillow keeps more than 8 bits; of colours it would drop the rest, and only the decoder's raw mode tells.
    return image.mode[0] in "IF" or any(";16" in str(tile[3]) for tile in image.tile)


def _read_plain(image: Image.Image) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
    if image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.array(image)


def _read_deep(path: Path) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("it cannot be decoded")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return pixels


def write(path: str | Path, image: np.ndarray) -> None:
    """Write (h, w), (h, w, 3) RGB or (h, w, 4) RGBA, uint8 or uint16, as PNG; the file appears whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".png", image)[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded)


def to_tensor(image: np.ndarray) -> Tensor:
    """(h, w) or (h, w, c), uint8, uint16 or float in [0, 1], to (c, h, w) float32 in [0, 1]."""
    pixels = np.ascontiguousarray(image if image.ndim == 3 else image[:, :, None])
    scale = 1 if np.issubdtype(pixels.dtype, np.floating) else np.iinfo(pixels.dtype).max
    return torch.from_numpy(pixels.astype(np.float32) / np.float32(scale)).permute(2, 0, 1).contiguous()


def to_array(tensor: Tensor, dtype: np.dtype) -> np.ndarray:
    """(c, h, w) in [0, 1] to (h, w, c), or (h, w) if c is 1, of the given dtype; integers are rounded, not cut."""
    pixels = tensor.detach().float().clamp(0, 1).permute(1, 2, 0).cpu()
    if np.issubdtype(dtype, np.integer):
        pixels = (pixels * np.iinfo(dtype).max).round_()
    array = np.ascontiguousarray(pixels.numpy().astype(dtype))
    return array[:, :, 0] if array.shape[2] == 1 else array


def logit(image: Tensor) -> Tensor:
    """`log(p / (1 - p))` of values in [0, 1], drawn in by one step of 255 on both sides to keep it finite."""
    p = (253 * image + 1) / 255
    return (p / (1 - p)).log()


def inverse_logit(logits: Tensor) -> Tensor:
    """Values in [0, 1] whose `logit` it is; 0 and 1 where it is beyond theirs."""
    return ((255 * logits.sigmoid() - 1) / 253).clamp(0, 1)


def resize_rows(image: Tensor, size: tuple[int, int], start: int, stop: int) -> Tensor:
    """Rows `start … stop - 1` of `image` resized bilinearly to (h, w) = `size`.

    Args:
        image: (b, c, any, any).

    Returns:
        (b, c, stop - start, w); equal to those rows of `F.interpolate(image, size, mode="bilinear")`.
    """
    h, w = size
    if (start, stop) == (0, h):
        return F.interpolate(image, size, mode="bilinear", align_corners=False)
    rows = image.shape[2]
    y = ((torch.arange(start, stop, device=image.device) + 0.5) * (rows / h) - 0.5).clamp(min=0)
    above = y.long().clamp(max=rows - 1)
    share = (y - above).view(-1, 1).to(image.dtype)
    band = image[:, :, above].lerp(image[:, :, (above + 1).clamp(max=rows - 1)], share)
    return F.interpolate(band, (stop - start, w), mode="bilinear", align_corners=False)
