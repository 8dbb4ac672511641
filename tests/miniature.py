"""ATD-12K in small: a few triplets in the published layout, with flows and annotations."""

import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("Disney_a_1_frame", "Disney_b_2_frame", "Japan_c_1_frame", "Japan_d_10_frame", "Japan_d_9_frame")
SIZE = 72, 96


def picture(random: np.random.Generator, shift: float, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Discs with dark rims over a plain ground, moved to the right: (h, w, 3) uint8."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    frame = np.full((h, w, 3), random.integers(120, 255, 3), float)
    for _ in range(4):
        cx, cy, radius = random.uniform(0, w), random.uniform(0, h), random.uniform(6, 20)
        far = np.hypot(x - cx - shift, y - cy)
        frame[far < radius] = random.integers(60, 255, 3)
        frame[np.abs(far - radius) < 1.5] = 20
    return frame.astype(np.uint8)


def build(root: Path, names: tuple[str, ...] = NAMES) -> Path:
    """Write the data set; regions are noted at twice the size of the frames."""
    h, w = SIZE
    for i, name in enumerate(names):
        frames = root / "raw" / "test_2k_540p" / name
        frames.mkdir(parents=True)
        for k in range(3):
            Image.fromarray(picture(np.random.default_rng(i), 4 * k)).save(frames / f"frame{k + 1}.png")
        flows = np.zeros((2, 2, h, w), np.float32)
        flows[0, 0], flows[1, 0] = 8, -8
        flows += np.random.default_rng(i).normal(0, 0.3, flows.shape).astype(np.float32)
        folder = root / "preprocessed" / "rfr_540p" / "test"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(flows, protocol=2 + i % 4))
        notes = root / "raw" / "test_2k_annotations" / name
        notes.mkdir(parents=True)
        annotation = {
            "level": i % 3,
            "motion_RoI": {"x": 20 + 4 * i, "y": 10, "width": 100, "height": 80 + 2 * i},
            "image_size": {"width": 2 * w, "height": 2 * h},
            "general_motion_type": ["translation", "rotation"][i % 2],
            "behavior": "walking",
        }
        (notes / f"{name}.json").write_text(json.dumps(annotation))
    return root


def annotation_path(root: Path, name: str) -> Path:
    return root / "raw" / "test_2k_annotations" / name / f"{name}.json"


def flow_path(root: Path, name: str) -> Path:
    return root / "preprocessed" / "rfr_540p" / "test" / f"{name}.pkl"


def frame_path(root: Path, name: str, number: int) -> Path:
    return root / "raw" / "test_2k_540p" / name / f"frame{number}.png"
