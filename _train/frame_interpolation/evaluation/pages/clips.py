"""Animation clips: the items of a method's folder, read as frames, and written for playback in a browser.

METHOD_DIR/
    shot_1/  12_00.png  12_01.png  …      an item is a folder of frames in natural order,
    shot_2.webp                           or one animation: .webp, .gif, .mp4, .mkv, .mov, .webm
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageSequence

from _util import image, video
from _util.counts import counted
from _util.errors import InputError
from _util.files import natural, pictures, replacing

PICTURES = (".webp", ".gif")
VIDEOS = (".mp4", ".mkv", ".mov", ".webm")
LARGEST = 960  # pixels of the longer side, as two clips are shown side by side
FASTEST = 60  # frames per second; browsers slow down animations above 90
_ROUNDING = 0.001  # second, the unit of WebP
_SHORTEST, _INSTEAD = 10, 100  # milliseconds: browsers show a frame of at most the former for the latter


class Clip(NamedTuple):
    """Frames reduced to `LARGEST` pixels."""

    frames: list[np.ndarray]  # (h, w, 3) uint8 RGB, all of one size
    durations: list[float] | None  # of each frame, in seconds; None if the source does not specify them: all alike

    @property
    def seconds(self) -> float | None:
        return None if self.durations is None else sum(self.durations)


def items(folder: Path) -> dict[str, Path]:
    """The folders of frames and the animations in a method's folder, by item, in natural order.

    Raises:
        InputError: no such folder, no items, or two items of the same name.
    """
    try:
        paths = [path for path in folder.iterdir() if path.name[0] != "."]
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); a folder of clips is needed.") from error
    found = {}
    for path in sorted(paths, key=lambda path: natural(path.name)):
        if not path.is_dir() and path.suffix.lower() not in PICTURES + VIDEOS:
            continue
        name = path.name if path.is_dir() else path.stem
        if name in found:
            raise InputError(f"{folder} holds both {found[name].name} and {path.name}; leave one of them.")
        found[name] = path
    if not found:
        kinds = ", ".join(PICTURES + VIDEOS)
        raise InputError(f"{folder} holds no clips; folders of frames or animations ({kinds}) are needed.")
    return found


def sources(path: Path) -> list[Path]:
    """The files that a clip is read from, in order.

    Raises:
        InputError: the folder has fewer than two pictures.
    """
    if not path.is_dir():
        return [path]
    files = pictures(path)
    if len(files) < 2:
        raise InputError(f"{path} holds {counted(len(files), 'picture')}; a clip needs two frames or more.")
    return files


def read(path: Path) -> Clip:
    """Read a folder of frames or an animation, composited over white, and reduce it to `LARGEST` pixels.

    Raises:
        InputError: fewer than two frames, one that cannot be read, or frames of different sizes.
    """
    if path.is_dir():
        files, frames, size = sources(path), [], None
        for file in files:
            pixels = image.read(file)
            size = size or pixels.shape[:2]
            if pixels.shape[:2] != size:
                raise InputError(f"{file} is not as large as {files[0].name}; make all frames of a clip one size.")
            frames.append(_shown(pixels))
        return Clip(frames, None)
    clip = _read_video(path) if path.suffix.lower() in VIDEOS else _read_pictures(path)
    if len(clip.frames) < 2:
        raise InputError(f"{path} holds {counted(len(clip.frames), 'frame')}; a clip needs two or more.")
    return clip


def scramble(clip: Clip, generator: np.random.Generator) -> Clip:
    """Shuffle the 6 × 6 tiles of a clip, which any attentive viewer finds worse."""
    height, width = (side // 6 for side in clip.frames[0].shape[:2])
    parts = [np.s_[y * height : (y + 1) * height, x * width : (x + 1) * width] for y in range(6) for x in range(6)]
    moved = [parts[i] for i in generator.permutation(len(parts))]

    def scrambled(frame: np.ndarray) -> np.ndarray:
        result = frame.copy()
        for here, there in zip(parts, moved, strict=True):
            result[here] = frame[there]
        return result

    return clip._replace(frames=[scrambled(frame) for frame in clip.frames])


def write(path: Path, clip: Clip, seconds: float, loop: bool) -> None:
    """Write a WebP that repeats forever, atomically, of at most `FASTEST` frames per second.

    Args:
        seconds: from the first frame to the end of the last, one way; frames keep their shares of it.
        loop: restart after the last frame, instead of playing back to the first, which takes as long again.

    Raises:
        InputError: the file cannot be written.
    """
    count = len(clip.frames)
    ends = np.cumsum(clip.durations or count * [1.0])
    ends *= seconds / ends[-1]
    shown = np.arange(count)
    if np.diff(ends, prepend=0).min() < 1 / FASTEST - _ROUNDING:
        moments = np.linspace(0, seconds, max(2, round(FASTEST * seconds)))
        shown = np.searchsorted(ends, moments, side="right").clip(max=count - 1)
        is_last = np.append(np.diff(shown) > 0, True)
        shown, ends = shown[is_last], (seconds * np.arange(1, len(moments) + 1) / len(moments))[is_last]
    frames = [Image.fromarray(clip.frames[i]) for i in shown]
    durations = np.diff((1000 * ends).round().astype(int), prepend=0).clip(min=1).tolist()
    if not loop:
        there = [2 * durations[0], *durations[1:-1], 2 * durations[-1]]
        frames, durations = frames + frames[-2:0:-1], there + there[-2:0:-1]
    with replacing(path) as temporary:
        frames[0].save(
            temporary, "WEBP", save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=90, method=3
        )


def _read_pictures(path: Path) -> Clip:
    frames, durations = [], []
    try:
        with Image.open(path) as file:
            for picture in ImageSequence.Iterator(file):
                frames.append(_shown(np.array(picture.convert("RGBA"))))
                milliseconds = picture.info.get("duration", 0)
                durations.append((milliseconds if milliseconds > _SHORTEST else _INSTEAD) / 1000)
    except Exception as error:  # damaged files raise many types of errors
        raise InputError(f"{path} is damaged or no animation ({error}); export it again.") from error
    return Clip(frames, durations)


def _read_video(path: Path) -> Clip:
    reader = video.Reader(path)
    frames, times = [], []
    for frame in reader:
        frames.append(_shown(frame.pixels))
        times.append(float(frame.time))
    if reader.damage:
        raise InputError(reader.damage)
    assert reader.end is not None  # the whole video was read
    return Clip(frames, np.diff([*times, float(reader.end)]).tolist())


def _shown(pixels: np.ndarray) -> np.ndarray:
    """Convert any image to (h, w, 3) uint8 as it is shown: over white, of at most `LARGEST` pixels."""
    colours = image.to_tensor(pixels)
    if len(colours) == 4:
        colours = 1 + (colours[:3] - 1) * colours[3:]
    frame = image.to_array(colours.expand(3, -1, -1), np.dtype(np.uint8))
    scale = LARGEST / max(frame.shape[:2])
    if scale >= 1:
        return frame
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
