"""Shot boundary detection.

Two frames belong to one shot if forward-backward consistent optical flow maps much of what changed in one to the other.
Contrast and brightness do not matter, so fades, dissolves and lightning are not cuts. Distance matters little, so pans
and big gestures are not cuts either; but if the whole picture jumps while it is calm before and after, that is a cut
within a scene. Similar palettes do not hide a cut. In drawings on a ground of one colour, which flow follows badly,
what keeps its place and its colour counts as found again too. Frames of a single colour, as in flashes, belong to the
current shot if it is seen again after them.

Frames are (h, w, 3) RGB, uint8 or uint16; they are compared at 108×192, in grey except where colour is named.
"""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

LOOKAHEAD = 6  # frames; the longest flash and the frame after it

_THRESHOLD = 0.2
_SIZE = 108, 192
_GRID = 12, 16  # blocks in which frames are compared
_FLAT = 1  # of 255; contrast below which a frame is blank
_FAINT = 0.3  # contrast relative to another frame's, below which a flash may hide the picture
_FADING = 0.7  # contrast relative to neighbouring frames', below which a frame is part of a fade
_CHANGED = 3  # of 255; grey difference above which a block or pixel has changed
_EVEN = 0.5  # of 255; contrast added to the weight of every block
_STILL = 0.35  # share of the picture that suffices for a hold if it is unchanged
_SMALL = 0.1  # share of the picture's area below which a change is no cut
_SURE = 0.5  # share found again above which no further flow is computed
_ALIKE = 10  # of 255; largest difference of a channel at which colours are the same
_PLAIN = 0.5  # share of the picture from which on a colour that both frames have there is their ground

_JUMP = 0.07  # of the width; motion above which a jump is a cut if the picture is calm before and after
_CALM = 1 / 3  # of that motion


@dataclass(frozen=True, eq=False)
class _Frame:
    grey: np.ndarray  # (h, w) float32 in [0, 255]
    normalized: np.ndarray  # (h, w) uint8, in mean and contrast
    detail: np.ndarray  # (h, w) float32, grey minus its local mean
    contrast: float  # root mean square of the detail
    colour: np.ndarray  # (h, w, 3) uint8


class _Match(NamedTuple):
    """How much of one frame is found again in another."""

    share: float  # of what changed between them: 1 for a held frame, 0 for a cut
    motion: float  # median displacement, pixels


_HELD = _Match(1.0, 0.0)
_Matcher = Callable[[_Frame, _Frame], _Match]


def detect(frames: Iterable[np.ndarray], threshold: float | None = None) -> Iterator[bool]:
    """Whether each frame begins a new shot, in order. The first does.

    Args:
        frames: (h, w, 3) RGB, uint8 or uint16, all of one size. At most `LOOKAHEAD` are read ahead.
        threshold: share of what changed that must be found again in the next frame of a shot, in [0, 1]; None: 0.2.
            A higher threshold finds more cuts.
    """
    threshold = _THRESHOLD if threshold is None else threshold
    match = functools.lru_cache(8 * LOOKAHEAD)(_FlowMatcher())
    past: deque[_Frame] = deque(maxlen=LOOKAHEAD + 1)  # of this shot
    for frame, *ahead in _windows(map(_reduce, frames)):
        is_cut = not past or _begins_shot(past, frame, ahead, match, threshold)
        if is_cut:
            past.clear()
        past.append(frame)
        yield is_cut


def _windows(frames: Iterator[_Frame]) -> Iterator[list[_Frame]]:
    """Each frame and the next `LOOKAHEAD` frames; fewer at the end."""
    window = deque(itertools.islice(frames, LOOKAHEAD))
    while window:
        window.extend(itertools.islice(frames, 1))
        yield list(window)
        window.popleft()


def _begins_shot(past: deque[_Frame], frame: _Frame, ahead: list[_Frame], match: _Matcher, threshold: float) -> bool:
    """Whether `frame` begins a shot, given the previous frames of the current shot and the next frames."""
    previous = past[-1]
    found = match(previous, frame)
    if found.share >= threshold:
        is_far = found.motion > _JUMP * _SIZE[1]
        return is_far and all(other.motion < _CALM * found.motion for other in _around(past, frame, ahead, match))
    if frame.contrast < _FAINT * previous.contrast:
        return _cuts_to_faint(past, frame, ahead, match, threshold)
    if previous.contrast < _FAINT * frame.contrast:
        return _cuts_from_faint(past, frame, ahead, match, threshold)
    shares = [other.share for other in _around(past, frame, ahead, match)]
    too_swift_to_follow = max(shares) < threshold and found.share > min(shares) / 2
    return not too_swift_to_follow


def _cuts_to_faint(past: deque[_Frame], frame: _Frame, ahead: list[_Frame], match: _Matcher, threshold: float) -> bool:
    """Whether a frame of much less contrast is a cut, rather than the end of a fade or a flash."""
    previous = past[-1]
    if frame.contrast < _FLAT and previous.contrast < _FADING * max(other.contrast for other in past):
        return False  # the end of a fade
    return all(match(previous, later).share < threshold for later in ahead)


def _cuts_from_faint(
    past: deque[_Frame], frame: _Frame, ahead: list[_Frame], match: _Matcher, threshold: float
) -> bool:
    """Whether a frame of much more contrast is a cut, rather than the start of a fade or the end of a flash."""
    previous = past[-1]
    if previous.contrast < _FLAT and frame.contrast < _FADING * max(other.contrast for other in [frame, *ahead]):
        return False  # the start of a fade
    clear = [other for other in past if other.contrast >= _FAINT * frame.contrast]
    return not clear or match(clear[-1], frame).share < threshold


def _around(past: deque[_Frame], frame: _Frame, ahead: list[_Frame], match: _Matcher) -> Iterator[_Match]:
    """The last match before this frame, and the first after it, that is not a hold; a hold where there is none."""
    for frames in (reversed(past), [frame, *ahead]):
        matches = itertools.starmap(match, itertools.pairwise(frames))
        yield next((found for found in matches if found.share < 1), _HELD)


def _reduce(frame: np.ndarray) -> _Frame:
    grey = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), _SIZE[::-1], interpolation=cv2.INTER_AREA)
    grey = grey.astype(np.float32) * np.float32(255 / np.iinfo(frame.dtype).max)
    mean, deviation = (value.item() for value in cv2.meanStdDev(grey))
    normalized = np.clip(128 + (grey - mean) * (50 / max(deviation, 2)), 0, 255).astype(np.uint8)
    detail = grey - cv2.blur(grey, (11, 11))
    colour = cv2.resize(frame, _SIZE[::-1], interpolation=cv2.INTER_AREA)
    colour = cv2.convertScaleAbs(colour, alpha=255 / np.iinfo(frame.dtype).max)
    return _Frame(grey, normalized, detail, cv2.norm(detail) / detail.size**0.5, colour)


class _FlowMatcher:
    """Matches two frames by optical flow.

    Blocks are compared by the correlation of their detail, weighted by contrast. Unchanged pixels do not count, unless
    they make up much of the picture, so black bars and captions cannot outweigh the rest.
    """

    def __init__(self):
        self.flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self.window = cv2.createHanningWindow(_SIZE[::-1], cv2.CV_32F)
        self.y, self.x = np.mgrid[: _SIZE[0], : _SIZE[1]].astype(np.float32)

    def __call__(self, one: _Frame, other: _Frame) -> _Match:
        if max(one.contrast, other.contrast) < _FLAT:
            return _HELD
        weight = np.sqrt(np.maximum(_pool(one.detail**2), _pool(other.detail**2))) + _EVEN
        difference = cv2.absdiff(one.grey, other.grey)
        is_changed = _pool(difference) > _CHANGED
        changed = weight * is_changed
        if is_changed.mean() < _SMALL or changed.sum() <= (1 - _STILL) * weight.sum():
            return _HELD
        differs = (difference > _CHANGED).astype(np.float32)
        standing = _correlation(one.detail * differs, other.detail * differs, changed)
        found = _Match(abs(standing), 0.0)  # absolute, as an inverted picture is the same one
        if found.share > _SURE or min(one.contrast, other.contrast) < _FLAT:
            return found
        found = max(found, self._follow(one, other, changed, differs, (0, 0)))
        if found.share > _SURE:
            return found
        pan, _ = cv2.phaseCorrelate(one.detail, other.detail, self.window)
        found = max(found, self._follow(one, other, changed, differs, pan))
        return found._replace(share=1 - (1 - found.share) * (1 - _share_in_place(one, other)))

    def _follow(
        self, one: _Frame, other: _Frame, changed: np.ndarray, differs: np.ndarray, pan: Sequence[float]
    ) -> _Match:
        start = np.full((*_SIZE, 2), pan, np.float32)
        forth = self.flow.calc(one.normalized, other.normalized, start.copy())
        back = self.flow.calc(other.normalized, one.normalized, -start)
        x, y = self.x + forth[:, :, 0], self.y + forth[:, :, 1]
        apart = forth + cv2.remap(back, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        square = (forth**2).sum(2)
        agrees = (apart**2).sum(2) < 1 + 0.01 * square
        inside = ((x >= 0) & (y >= 0) & (x < _SIZE[1]) & (y < _SIZE[0])).astype(np.float32)
        carried = cv2.remap(other.detail, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        seen = changed * (_pool(inside) > 0.5)
        if np.count_nonzero(seen) < _SMALL * seen.size or not agrees.any():
            return _Match(0.0, 0.0)
        return _Match(
            _correlation(one.detail * differs, carried * differs, seen, agrees), float(np.median(square[agrees])) ** 0.5
        )


def _share_in_place(one: _Frame, other: _Frame) -> float:
    """The share of what is not ground in both frames that has the same colour in both; 0 if they share no ground."""
    is_same = cv2.absdiff(one.colour, other.colour).max(2) <= _ALIKE
    colours = one.colour[is_same]
    if len(colours) < _PLAIN * is_same.size:
        return 0.0
    numbers = (colours >> 3).astype(np.int32) @ (1, 32, 1024)
    ground = colours[numbers == np.bincount(numbers).argmax()].mean(0)
    is_ground = is_same & (np.abs(one.colour - ground).max(2) <= _ALIKE)
    if np.count_nonzero(is_ground) < _PLAIN * is_same.size or is_ground.all():
        return 0.0
    return float(is_same[~is_ground].mean())


def _correlation(one: np.ndarray, other: np.ndarray, weight: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Weighted mean over blocks of the correlation of detail; pixels outside the mask count as 0."""
    product = one * other if mask is None else one * other * mask
    scale = np.sqrt(np.maximum(_pool(one**2) * _pool(other**2), 0.01))
    return float((weight * _pool(product) / scale).sum() / weight.sum()) if weight.any() else 0.0


def _pool(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, _GRID[::-1], interpolation=cv2.INTER_AREA)
