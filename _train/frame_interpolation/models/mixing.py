"""Two frames sampled along the motion at the new frame, and mixed; areas that are static in both frames are copied.

A mean of two frames has less grain than either, so where they differ by grain alone, that of the nearer one is taken.

    frames (2, b, 3, h, w), motion (n, 4, h, w), mask (n, 1, h, w), static limit (b, 1, h, w)  ─mix─▶  (n, 3, h, w)

The sampling kernel is slightly sharper than bicubic, so that lines keep their contrast. On the CPU, OpenCV samples, and
everything is done in bands of few rows, which stay in the cache.
"""

import functools

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from _train.frame_interpolation.models.ifnet import Interpolation, enlarge, warp_both
from _util import threads
from _util.flow import CONTRAST

_ALIKE = 1.5 / 255  # difference of colours up to which frames agree
_NEAR, _FAR = 2, 32  # pixels to each side within which frames must agree, at least and at most
_STATIC = 0.5  # pixels of motion below which pixels that agree are at rest
_STEP = 16  # pixels between those at which grain is measured
_FINEST, _COARSEST = 0.2 / 255, 6 / 255  # standard deviations that are grain
_DEVIATIONS = 4  # of grain, up to which all of a difference is taken for grain; nothing from twice as many
_TINY = 1e-6  # deviation that divides instead of 0
_ROW = 15  # pixels, over which grain averages out
_SLOPE, _BIAS = 2.0, 0.3  # how fast, and how much sooner, logits switch from frame 1's grain to frame 0's
_KERNEL = 2  # pixels to each side that the sampling kernel reads
_LONGEST = 32767  # side, the limit of cv2.remap
_BAND = 32768  # pixels; OpenCV starts further threads from twice as many


def static_limit(frame0: Tensor, frame1: Tensor, coarser: int = 1) -> Tensor:
    """Map frames (b, 3, h, w) to (b, 1, h, w): the length of motion, in pixels, below which each pixel is at rest.

    Pixels are at rest where the frames agree in a window around them and motion is small, or large but samples only
    that window: such motion has spread from something that moves nearby. Windows are `_NEAR` pixels to each side, twice
    that, and so on.

    Args:
        coarser: the factor by which the finest block worked coarser than the frames; motion spreads that much further.
    """
    difference = (frame0 - frame1).abs_().amax(1, keepdim=True)
    radii = [_NEAR]
    while 2 * radii[-1] <= _FAR * coarser:
        radii.append(2 * radii[-1])
    limits = [_STATIC, *(radius - _KERNEL for radius in radii[1:])]
    if _fits_numpy(difference):
        return _limit_by_erosion(difference, radii, limits)
    largest = F.max_pool2d(F.pad(difference, 4 * [radii[-1]]), 2 * _NEAR + 1, 1)  # within the radius of each pixel
    result, (h, w) = torch.zeros_like(difference), difference.shape[2:]
    for radius, limit in zip(radii, limits, strict=True):
        within = radii[-1] - radius
        result = torch.where(largest[..., within : within + h, within : within + w] <= _ALIKE, limit, result)
        if radius < radii[-1]:
            largest = F.max_pool2d(largest, 3, 1, dilation=radius)
    return result


def _limit_by_erosion(difference: Tensor, radii: list[int], limits: list[float]) -> Tensor:
    """`static_limit` by OpenCV."""
    of_fits = np.zeros(256, np.float32)  # the limit by the number of windows that agree, which contain each other
    of_fits[1 : len(limits) + 1] = limits
    found = np.empty(difference.shape, np.float32)
    for result, agrees in zip(found[:, 0], (difference[:, 0] <= _ALIKE).numpy().view(np.uint8), strict=True):
        fits, eroded_by = np.zeros_like(agrees), 0
        for radius in radii:
            side = 2 * (radius - eroded_by) + 1
            agrees, eroded_by = cv2.erode(agrees, np.ones((side, side), np.uint8)), radius
            fits += agrees
        cv2.LUT(fits, of_fits, dst=result)
    return torch.from_numpy(found).to(difference.dtype)


def mix(frames: Tensor, motion: Tensor, mask: Tensor, limit: Tensor, factor: int = 1) -> Interpolation:
    """Warp both frames along the motion and mix them; pixels at rest are not moved.

    Args:
        frames: (2, b, 3, h, w).
        motion: (n, 4, ≥ h / factor, ≥ w / factor) in pixels of that size; n is b, or b is 1.
        mask: (n, 1, ·, ·) logits of frame 0's share, of the size of `motion`.
        limit: (b, 1, h, w) of `static_limit`.
        factor: by which motion and mask are enlarged bilinearly.

    Returns:
        frame (n, 3, h, w) in [0, 1], and motion and mask at the size of the frame.
    """
    if _fits_numpy(frames, motion, mask) and max(frames.shape[3:]) < _LONGEST:
        return _mix_in_bands(frames, motion, mask, limit, factor)
    motion, mask = enlarge(motion, mask, factor, frames.shape[3:])
    moves = motion.abs().amax(1, keepdim=True) >= limit
    motion = motion * moves.to(motion.dtype)  # faster than by a mask
    read0, read1 = warp_both(frames, motion, "sharp")
    difference, share = read0 - read1, torch.sigmoid(mask)
    detail = difference - F.avg_pool2d(F.pad(difference, (_ROW // 2, _ROW // 2, 0, 0), mode="replicate"), (1, _ROW), 1)
    is_grain = (2 - detail.abs().amax(1, keepdim=True) / (_DEVIATIONS * grain(frames)).clamp(min=_TINY)).clamp(0, 1)
    nearer = (0.5 + _SLOPE * (mask + _BIAS)).clamp(0, 1)
    frame = read1.addcmul(share, difference).addcmul((nearer - share) * is_grain, detail)
    return Interpolation(frame.clamp_(0, 1), motion, mask)


def grain(frames: Tensor) -> Tensor:
    """Map frames (2, b, 3, h, w) to (b, 1, 1, 1): the standard deviation of their grain, 0 if it is none.

    It is estimated from second differences (Immerkær, Fast Noise Variance Estimation, CVIU 1996), by their median,
    which is 0 if most of a frame is flat.
    """
    green = frames[:, :, 1].float()
    lines = green[..., :-2:_STEP, :] - 2 * green[..., 1:-1:_STEP, :] + green[..., 2::_STEP, :]
    found = lines[..., :-2:_STEP] - 2 * lines[..., 1:-1:_STEP] + lines[..., 2::_STEP]
    ordered = found.abs().flatten(2).sort(-1).values
    deviation = ordered[..., ordered.shape[-1] // 2].amin(0) / (6 * 0.6745)
    return (deviation * ((deviation >= _FINEST) & (deviation <= _COARSEST))).to(frames.dtype).view(-1, 1, 1, 1)


def _fits_numpy(*tensors: Tensor) -> bool:
    """Whether NumPy can compute on these tensors: on the CPU, without gradients, not while a graph is exported."""
    differentiable = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return tensors[0].device.type == "cpu" and not differentiable and not torch.compiler.is_compiling()


def _mix_in_bands(frames: Tensor, motion: Tensor, mask: Tensor, limit: Tensor, factor: int) -> Interpolation:
    """`mix` by OpenCV on PyTorch's threads, on which a band of few rows is not divided further.

    OpenCV 4 rounds positions to 1/32 of a pixel.
    """
    n, (h, w) = len(motion), frames.shape[3:]
    rows = factor * max(1, _BAND // w // factor)
    bands = -(-h // rows)
    pixels = frames.float().permute(0, 1, 3, 4, 2).contiguous().numpy()
    coarse = torch.cat([motion * factor, mask], 1).float().numpy()
    limits = limit.float().numpy()
    deviations = grain(frames).flatten().tolist()
    x, y = np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32)[:, None]
    frame = np.empty((n, h, w, 3), np.float32)
    fine = np.empty((n, 5, h, w), np.float32)

    def draw(start: int, stop: int) -> None:
        for i, band in (divmod(place, bands) for place in range(start, stop)):
            pair = i % len(limits)
            part = slice(band * rows, min((band + 1) * rows, h))
            found = _enlarged(coarse[i], part, factor, w)
            moves = np.abs(found[:4]).max(0) >= limits[pair, 0, part]
            found[:4] *= moves
            fine[i, :, part] = found
            reads = pixels[:, pair, part].copy()
            columns = np.flatnonzero(moves.any(0))
            if len(columns):
                across = slice(columns[0], columns[-1] + 1)
                for read, image, (to_x, to_y) in zip(reads, pixels[:, pair], (found[:2], found[2:4]), strict=True):
                    positions = x[across] + to_x[:, across], y[part] + to_y[:, across]
                    read[:, across] = _sharp(image, *positions)
            read0, read1 = reads
            share = 0.5 + 0.5 * np.tanh(0.5 * found[4])  # the sigmoid, without overflow
            difference = cv2.subtract(read0, read1)
            mixed = cv2.add(read1, cv2.multiply(difference, cv2.merge([share] * 3)), dst=frame[i, part])
            if deviations[pair]:
                detail = cv2.subtract(difference, cv2.blur(difference, (_ROW, 1), borderType=cv2.BORDER_REPLICATE))
                largest = functools.reduce(np.maximum, np.moveaxis(np.abs(detail), 2, 0))
                is_grain = np.clip(2 - largest / (_DEVIATIONS * deviations[pair]), 0, 1)
                nearer = np.clip(0.5 + _SLOPE * (found[4] + _BIAS), 0, 1)
                cv2.add(mixed, cv2.multiply(detail, cv2.merge([(nearer - share) * is_grain] * 3)), dst=mixed)

    threads.run(draw, n * bands)
    drawn, found = torch.from_numpy(frame).permute(0, 3, 1, 2), torch.from_numpy(fine)
    return Interpolation(*(each.to(frames.dtype) for each in (drawn.clamp_(0, 1), found[:, :4], found[:, 4:])))


def _enlarged(coarse: np.ndarray, part: slice, factor: int, w: int) -> np.ndarray:
    """Rows `part`, which start at a multiple of `factor`, of the channels (c, ·, ·) enlarged bilinearly: (c, h, w)."""
    first, last = part.start // factor, -(-part.stop // factor)
    if factor == 1:
        return coarse[:, first:last, :w].copy()
    above = min(first, 1)
    known = coarse[:, first - above : last + 1]
    size = known.shape[2] * factor, known.shape[1] * factor
    whole = np.stack([cv2.resize(channel, size, interpolation=cv2.INTER_LINEAR) for channel in known])
    return whole[:, above * factor :][:, : part.stop - part.start, :w]


def _sharp(pixels: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sample pixels (h, w, c) at positions (h', w'), the border repeated beyond it, as `backwarp` in mode "sharp"."""
    bilinear, bicubic = (
        cv2.remap(pixels, x, y, kind, borderMode=cv2.BORDER_REPLICATE) for kind in (cv2.INTER_LINEAR, cv2.INTER_CUBIC)
    )
    return cv2.addWeighted(bicubic, CONTRAST, bilinear, 1 - CONTRAST, 0)
