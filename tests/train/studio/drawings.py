"""Keys in small, and a session that draws them quickly."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _train.frame_interpolation.studio.session import Session
from _train.frame_interpolation.studio.worker import Worker
from _util import image

SIZE = 48, 64
SIMPLE = {"flow": "dis", "synthesis": "splat", "device": "cpu", "line_art": "off"}


def key(place: int, channels: int = 3) -> np.ndarray:
    """A disc at x = 12 + place over white, or over nothing: (h, w, channels) uint8."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(x - 12 - place, y - 24)
    frame = np.full((*SIZE, channels), 255, np.uint8)
    if channels == 4:
        frame[:, :, 3] = np.where(distance < 9, 255, 0)
    frame[distance < 9, :3] = (200, 60, 40)
    frame[np.abs(distance - 8) < 1.2, :3] = 20
    return frame


def write_keys(folder: Path, count: int = 3, channels: int = 3) -> Path:
    folder.mkdir()
    for i in range(count):
        image.write(folder / f"k{i + 1}.png", key(8 * i, channels))
    return folder


def until(is_so: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def draw_all(session: Session, worker: Worker) -> None:
    """Begin a worker, and wait until there is nothing more to draw."""
    worker.start()
    until(lambda: session.method and session.wanted() is None and not session.drawing)
