"""Methods are timed beside RIFE's network, and the levels of quality with what they give."""

import numpy as np
import pytest

from _scripts import benchmark
from _train.frame_interpolation import Interpolator
from _train.frame_interpolation.benchmarks import against_rife, qualities, stages
from _util import checkpoints, image, tables
from _util.errors import InputError
from _util.metrics import LPIPS


@pytest.fixture
def keyframes(tmp_path, monkeypatch):
    """Three drawings of a disc that moves."""
    monkeypatch.setitem(stages.SIZES, "540p", (64, 96))
    y, x = np.mgrid[:64, :96]
    for i in range(3):
        disc = np.hypot(x - 30 - 12 * i, y - 32) < 14
        image.write(tmp_path / f"{i}.png", np.where(disc[..., None], (200, 60, 40), (240, 240, 230)).astype(np.uint8))
    return tmp_path


def test_levels_of_quality_are_timed_and_judged(keyframes):
    frames = keyframes / "0.png", keyframes / "2.png"
    baseline, *levels = qualities.compare(frames, 1, checkpoints.FOLDER, "cpu", keyframes)
    assert baseline["first_ratio"] == 1
    assert [level["quality"] for level in levels] == ["fast", "balanced", "best"]
    assert [level["method"].partition("@")[0] for level in levels] == ["ifnet-fast", "auto", "auto"]
    assert levels[2]["precision"] == "float32"
    assert all(level["first"] > 0 and level["further"] > 0 and level["peak_mb"] > 0 for level in levels)
    middle = Interpolator(precision="fp32", device="cpu")(*map(image.read, frames), 0.5)[0]
    truth = image.read(keyframes / "1.png")
    lpips = LPIPS()(image.to_tensor(middle)[None], image.to_tensor(truth)[None]).item()
    assert levels[2]["lpips"] == pytest.approx(lpips, abs=1e-3)
    rows = tables.of_figures([baseline, *levels], benchmark.QUALITIES).splitlines()
    assert len(rows) == 6
    assert f"{levels[0]['lpips']:.4f}" in rows[3]
    assert "ifnet-fast" in tables.of_figures([{"size": "540p", **level} for level in levels], benchmark.METHODS)


def test_keyframes_are_looked_at_first(monkeypatch, tmp_path):
    monkeypatch.setattr(against_rife, "compare", lambda *_: pytest.fail("it measures"))
    with pytest.raises(InputError, match="is not a folder"):
        qualities.compare((tmp_path / "a.png",) * 2, 1, checkpoints.FOLDER, "cpu", tmp_path / "none")


def test_methods_are_timed_in_the_precision_asked_for(keyframes):
    frames, methods = (keyframes / "0.png", keyframes / "2.png"), ["ifnet", "ifnet@bf16"]
    rows = against_rife.compare(frames, ["540p"], methods, 1, checkpoints.FOLDER, "cpu", "fp32")
    assert [row["precision"] for row in rows] == ["float32", "float32", "bfloat16"]


def test_memory_is_that_of_the_device(monkeypatch, keyframes):
    asked = []
    monkeypatch.setattr(against_rife, "reset_peak", asked.append)
    monkeypatch.setattr(against_rife, "peak", lambda device: asked.append(device) or 7.0)
    monkeypatch.setattr(against_rife, "_measure", lambda *_: (2.0, 1.0))
    rows = against_rife.compare((keyframes / "0.png", keyframes / "2.png"), ["540p"], [], 1, checkpoints.FOLDER, "cpu")
    assert [row["peak_mb"] for row in rows] == [7]
    assert {str(device) for device in asked} == {"cpu"}
