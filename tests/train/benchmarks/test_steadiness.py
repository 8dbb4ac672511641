"""A video whose disc moves evenly over what rests is found to be so; what flickers or jumps is found, too."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from _scripts import benchmark
from _train.frame_interpolation.benchmarks import steadiness
from _util import image, tables, video

SIZE = 400, 400
GROUND = np.full((*SIZE, 3), (90, 140, 110), np.uint8)


def write(path: Path, angles: np.ndarray, flicker: int = 0) -> Path:
    """A disc at places of its way, the corner of every second frame brighter."""
    with video.Writer(path, video.Encoding(SIZE, Fraction(24), "ffv1", source="gbrp")) as writer:
        for i, angle in enumerate(angles):
            frame = steadiness.drawing(GROUND, angle)
            frame[:9, :9] += np.uint8(flicker * (i % 2))
            writer.write(frame)
    return path


def test_even_and_uneven_steps(tmp_path):
    even = write(tmp_path / "even.mkv", np.arange(12) * 0.04)
    flicker, unevenness = steadiness.judge(even)
    assert flicker == 0
    assert unevenness < 0.01
    jumps = write(tmp_path / "jumps.mkv", np.repeat(np.arange(6), 2) * 0.08)
    assert steadiness.judge(jumps)[1] > 0.9


def test_what_flickers_is_found(tmp_path):
    assert steadiness.judge(write(tmp_path / "a.mkv", np.arange(6) * 0.04, flicker=3))[0] == 3


def test_the_default_is_steady(tmp_path, monkeypatch):
    monkeypatch.setattr(steadiness, "METHODS", (("dis", "splat"), ("auto", "auto")))
    ground = GROUND.copy()
    for x in range(0, 400, 40):  # saturated areas beside black lines, which RGB cannot represent with 4:2:0 chroma
        ground[:, x : x + 20] = (255, 30, 0)
        ground[:, x + 20 : x + 23] = 0
    image.write(tmp_path / "ground.png", ground)
    rows = steadiness.compare(tmp_path / "ground.png", SIZE, 1)
    assert rows[1]["flicker"] <= 1
    assert rows[1]["unevenness"] < 0.05
    assert "ifnet" in tables.of_figures(rows, benchmark.STEADINESS)
