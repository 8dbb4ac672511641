"""What the benchmark of a GPU measures, on the CPU at small sizes, so that only the device differs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from _scripts import benchmark as script
from _train.frame_interpolation.benchmarks import agreement, gpu, pair, reference, stages, training, video
from _train.frame_interpolation.benchmarks.gpu import GpuSettings
from _train.frame_interpolation.benchmarks.video import Watch
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.softsplat_lite import FeatureExtractor
from _train.frame_interpolation.training.tasks.flow import RFRTask
from _util import image
from _util.errors import InputError
from tests.feigned_gpu import feigned_gpu
from tests.train.test_cuda_devices import features_at_the_size_given

CPU = torch.device("cpu")
SETTINGS = GpuSettings(CPU, (Path("a.png"), Path("b.png")), None, "fp32", 1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Without warming up, one iteration of RFR or none, features not at 256 pixels."""
    monkeypatch.setitem(stages.WARM_UP, "cpu", 0)
    monkeypatch.setattr(RFR.both_ways, "__defaults__", (1, *RFR.both_ways.__defaults__[1:]))
    monkeypatch.setattr(reference, "estimate_flow", lambda rfr, image0, image1, *_: 0 * image0[:, :2])
    monkeypatch.setattr(RFRTask, "iterations", 1)
    monkeypatch.setattr(FeatureExtractor, "forward", features_at_the_size_given)


@pytest.fixture
def frames() -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    scene = np.kron(noise, np.ones((16, 16, 1), np.uint8))
    return scene[:48, :64].copy(), scene[:48, 4:68].copy()


def test_the_device_agrees_with_the_cpu():
    rows = agreement.compare(CPU, (64, 64), 1)
    assert len(rows) > 12
    assert all(row["difference"] == 0 and row["passed"] for row in rows)


def test_a_device_that_errs_is_reported(monkeypatch):
    right = agreement.opening
    errors = iter([0, 0.01])
    monkeypatch.setattr(agreement, "opening", lambda mask: right(mask) + next(errors))
    monkeypatch.setattr(agreement, "_networks", lambda iterations: {})
    rows = {row["check"]: row for row in agreement.compare(CPU, (64, 64), 1)}
    assert rows["opening"]["difference"] == pytest.approx(0.01)
    assert [name for name, row in rows.items() if not row["passed"]] == ["opening"]


def test_pair(frames):
    published, rounded, ours, together = pair.compare(CPU, frames, "fp32", 1)
    assert [published["implementation"], ours["implementation"]] == ["published, fp32", "ours, float32/float32"]
    assert together["implementation"] == "ours, float32/float32, 8 frames per call"
    assert ours["first, times as fast"] == pytest.approx(published["first frame ms"] / ours["first frame ms"])
    assert ours["further, times as fast"] == pytest.approx(published["further frame ms"] / ours["further frame ms"])
    assert rounded["mean difference /255"] == 0
    assert 0 < ours["mean difference /255"] < 128


@pytest.fixture
def settings(tmp_path, frames) -> GpuSettings:
    """Of frames in files."""
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for path, frame in zip(paths, frames, strict=True):
        image.write(path, frame)
    return SETTINGS._replace(frames=paths)


def test_frames_are_8_bit_rgb_of_any_files(tmp_path):
    ramp = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20
    image.write(tmp_path / "grey.png", ramp)
    image.write(tmp_path / "rgba.png", np.dstack([ramp] * 4))
    grey, rgba = (stages.read_frame(tmp_path / name, (48, 64)) for name in ("grey.png", "rgba.png"))
    assert (grey.shape, grey.dtype) == ((48, 64, 3), np.uint8)
    np.testing.assert_array_equal(grey, rgba)


def test_stages(settings, monkeypatch):
    monkeypatch.setitem(stages.SIZES, "540p", (48, 64))
    rows = gpu.SECTIONS["stages"].measure(settings)
    assert [row["stage"] for row in rows] == list(stages.STAGES)
    assert all(row["published MB"] > 10 and row["ours ms"] > 0 for row in rows)


@pytest.mark.slow
def test_steps_of_training():
    rows = training.steps(CPU, (64, 64), 1, 1)
    assert [row["model"] for row in rows] == 3 * ["rfr"] + 3 * ["ssldtm"]
    for row in rows:
        assert row["steps a second"] > 0
        assert 0 < row["share of data"] < 1
    assert rows[3]["times as fast"] == 1


def test_generator():
    (row,) = training.generator(CPU, (32, 32), 2, 1)
    assert row["sequences a second"] == pytest.approx(2 * row["batches a second"])


def test_video(tmp_path, frames, monkeypatch):
    interpolator = Interpolator("dis", "splat", "cpu")
    monkeypatch.setattr(video, "Interpolator", lambda *_, **__: interpolator)
    image.write(tmp_path / "a.png", frames[0])
    rows = video.rates(CPU, tmp_path / "a.png", (48, 64), 8)
    assert len(rows) == 2
    for row in rows:
        assert row["frames"] == 16
        assert row["frames a second"] == pytest.approx(16 / row["seconds"])
        assert row["GPU idle"] is None


def test_video_beside_the_interpolator_alone_is_of_the_cpu(frames, tmp_path, monkeypatch):
    created = []
    monkeypatch.setattr(
        video, "Interpolator", lambda *a, **k: created.append(str(Interpolator(*a, **k).device)) or 1 / 0
    )
    image.write(tmp_path / "a.png", frames[0])
    with feigned_gpu(), pytest.raises(ZeroDivisionError):
        video.compare(tmp_path / "a.png", 1)
    assert created == ["cpu"]


def test_lpips(tmp_path, frames, monkeypatch):
    monkeypatch.setattr(gpu, "Interpolator", lambda device, precision: _Blend(precision))
    for i, frame in enumerate((*frames, frames[0])):
        image.write(tmp_path / f"{i}.png", frame)
    exact, default = gpu.SECTIONS["lpips"].measure(SETTINGS._replace(keyframes=tmp_path))
    assert exact["lpips"] > 0
    assert exact["change"] == default["change"] == 0


class _Blend:
    """In the place of an interpolator and its pipeline."""

    method, context = "blend", Context()

    def __init__(self, precision: str):
        assert precision in ("fp32", "auto")
        self.pipeline = self

    def prepare(self, *frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return frames

    def frames(self, prepared: tuple[torch.Tensor, ...], t: float) -> torch.Tensor:
        return (1 - t) * prepared[0] + t * prepared[1]


def test_the_default_beside_rife(settings, monkeypatch):
    for name in ("1080p", "2160p"):
        monkeypatch.delitem(stages.SIZES, name)
    monkeypatch.setitem(stages.SIZES, "540p", (48, 64))
    rows = gpu.SECTIONS["default"].measure(settings)
    assert [row["method"] for row in rows] == ["rife", "ifnet", "ifnet-fast"]
    assert rows[0]["first, of RIFE's"] == 1
    assert all(row["first ms"] > 0 for row in rows)


def test_idle_share_is_of_the_steady_state():
    watch = Watch(CPU)
    watch.busy = [0, 0, 90, 100, 95, 95, 100, 90, 0, 0]
    assert watch.idle() == pytest.approx(0.05)
    assert Watch(CPU).idle() is None


def test_kernels_are_not_measured_without_cupy():
    with pytest.raises(InputError, match="CuPy"):
        gpu.SECTIONS["kernels"].measure(SETTINGS)


def test_table():
    rows = [
        {"check": "a", "difference": 1e-7, "passed": True, "MB": 12345.6},
        {"check": "b", "difference": 0.5, "passed": False, "MB": None},
    ]
    assert gpu.table(rows).splitlines() == [
        "| check | difference | passed | MB |",
        "| --- | --- | --- | --- |",
        "| a | 1e-07 | yes | 12346 |",
        "| b | 0.5 | no | unknown |",
    ]


# In the place of a section: one that works, one that fails, one that hangs.
PROGRAM = """
import json, sys, time
name = sys.argv[1]
if name == "agreement": raise RuntimeError("a kernel died")
if name == "video": time.sleep(60)
print("said on the way")
print(json.dumps([[{"device": json.loads(sys.argv[2])["device"]}], "the table of " + name]))
"""


def test_sections_fail_alone(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu, "PROGRAM", PROGRAM)
    for name in ("video", "training"):
        monkeypatch.setitem(gpu.SECTIONS, name, gpu.SECTIONS[name]._replace(seconds=0.5))
    report = tmp_path / "report.md"
    found = gpu.run(SETTINGS, report, ["agreement", "toons", "video", "lpips"])
    assert found["agreement"] == "Not measured: RuntimeError: a kernel died"
    assert found["toons"] == found["lpips"] == [{"device": "cpu"}]
    assert "longer than" in found["video"]
    written = report.read_text()
    assert written.strip() == capsys.readouterr().out.strip()
    for part in ("- PyTorch: ", "## Agreement with the CPU", "a kernel died", "the table of lpips"):
        assert part in written


def test_a_report_keeps_what_is_not_measured_again(monkeypatch, tmp_path):
    report = tmp_path / "report.md"
    measured = {
        "toons": ([{"x": 1}], "old toons"),
        "agreement": ([{"x": 1}], "old agreement"),
        "video": (None, "Not measured: a"),
    }
    monkeypatch.setattr(gpu, "_measured", lambda name, *_: measured[name])
    gpu.run(SETTINGS, report, ["toons", "agreement", "video"])
    head = report.read_text().partition("\n\n##")[0]
    measured = {
        "toons": ([{"x": 2}], "new toons"),
        "agreement": (None, "Not measured: b"),
        "video": (None, "Not measured: b"),
    }
    gpu.run(SETTINGS, report, ["video", "agreement", "toons"])
    assert report.read_text().startswith(head)
    assert [part.split("\n\n")[-1] for part in gpu._parts_of(report).values()][1:] == [
        "new toons",
        "old agreement",
        "Not measured: b",
    ]


def test_sections_of_another_machine_say_so(monkeypatch, tmp_path):
    report = tmp_path / "report.md"
    monkeypatch.setattr(gpu, "_measured", lambda *_: ([{"x": 1}], "table"))
    for card, sections in (("A", ["toons", "video"]), ("B", ["toons"])):
        monkeypatch.setattr(gpu, "machine", lambda device, card=card: {"Card": card})
        gpu.run(SETTINGS, report, sections)
    head, toons, other = gpu._parts_of(report).values()
    assert "- Card: A" in head
    assert toons.split("\n\n")[1] == f"Card: B. {gpu.SECTIONS['toons'].note}"
    assert "Card" not in other
    gpu.run(SETTINGS, report, ["video", "toons"])
    head, toons, _ = gpu._parts_of(report).values()
    assert "- Card: B" in head
    assert "Card" not in toons


def test_no_time_left(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "PROGRAM", PROGRAM)
    found = gpu.run(SETTINGS, tmp_path / "report.md", ["toons"], longest=0)
    assert found["toons"] == "Not measured: there was no time left."


def test_the_program_of_a_process(monkeypatch, capsys):
    section = gpu.SECTIONS["toons"]._replace(measure=lambda settings: [{}] if settings == SETTINGS else [])
    monkeypatch.setitem(gpu.SECTIONS, "toons", section)
    monkeypatch.setattr("sys.argv", ["-c", "toons", json.dumps(SETTINGS._asdict(), default=str)])
    exec(gpu.PROGRAM)
    rows, table = json.loads(capsys.readouterr().out)
    assert rows == [{}]
    assert table == gpu.table(rows)


def test_lpips_needs_keyframes():
    with pytest.raises(RuntimeError, match="--keyframes"):
        gpu.SECTIONS["lpips"].measure(SETTINGS)


def test_command_wants_sections_and_a_gpu(call):
    finished = call(script.main, "--device", "cuda", "--sections", "speed")
    assert finished.code == 2
    assert "no section 'speed'; it is kernels, agreement" in finished.said
