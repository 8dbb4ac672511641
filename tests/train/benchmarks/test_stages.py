"""The benchmark measures both computations, and they agree."""

import numpy as np
import pytest
from PIL import Image

from _scripts.benchmark import table
from _train.frame_interpolation.benchmarks import stages
from _util import image
from _util.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    stages.write_checkpoints(folder)
    noise = np.random.default_rng(0).integers(0, 256, (10, 12, 3), np.uint8)
    scene = np.array(Image.fromarray(noise).resize((168, 128), Image.Resampling.BICUBIC))
    for i in range(2):
        image.write(folder / f"frame{i}.png", np.ascontiguousarray(scene[:, 8 * i :][:, :160]))
    return folder


@pytest.fixture(scope="module")
def results(folder) -> dict[str, dict]:
    return {which: stages.measure(which, folder, 1, "fp32", "cpu") for which in ("baseline", "project")}


@pytest.mark.parametrize("which", ["baseline", "project"])
def test_every_stage_is_measured(results, which):
    result = results[which]
    assert tuple(result["seconds"]) == tuple(result["peak_mb"]) == stages.STAGES
    assert all(0 <= seconds < 60 for seconds in result["seconds"].values())
    assert result["seconds"]["time"] > 0
    assert all(10 < megabytes < 1e5 for megabytes in result["peak_mb"].values())
    assert result["precision"] == {"flow": "float32", "synthesis": "float32"}


def test_both_draw_the_same_frame(results, folder):
    frames = [image.read(folder / f"{which}.png").astype(int) for which in results]
    assert np.abs(frames[0] - frames[1]).max() <= 1
    assert frames[0].std() > 5


def test_each_is_measured_in_a_process_of_its_own(folder, monkeypatch):
    monkeypatch.setitem(stages.SIZES, "tiny", (128, 160))
    frames = folder / "frame0.png", folder / "frame1.png"
    found = stages.compare(*frames, ["tiny"], 1, "fp32", "cpu")["sizes"]["tiny"]
    assert found["first_frame_ratio"] > 0
    assert found["mean_difference"] < 0.5
    assert found["project"]["precision"] == {"flow": "float32", "synthesis": "float32"}
    with pytest.raises(InputError, match="no precision 'fp7'"):
        stages._in_process("project", folder, 1, "fp7", "cpu")


def test_the_table_shows_every_stage(results):
    report = {
        "machine": {"cpu": "Z80", "threads": 1, "bf16": False, "gpu": None, "torch": "2"},
        "sizes": {
            "tiny": {**results, "first_frame_ratio": 2.5, "further_time_ratio": 4.0, "mean_difference": 0.125},
        },
    }
    lines = table(report).splitlines()
    assert lines[0] == "Z80, 1 threads, bf16 no, PyTorch 2"
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ") and "---" not in line]
    assert [row[0] for row in rows] == ["tiny", *stages.STAGES]
    assert float(rows[-2][1]) == pytest.approx(results["baseline"]["seconds"]["time"], abs=1e-3)
    assert "first frame 2.50×, each further time 4.00× as fast; mean |Δ| 0.125/255" in lines[-1]
