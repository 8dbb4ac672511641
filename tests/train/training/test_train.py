"""Training: what a run leaves behind, and that nothing which interrupts it changes what it arrives at."""

import argparse
import csv
import errno
import functools
import itertools
import math
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from _databacks.sources import KINDS, open_source
from _databacks.toons import scenes
from _scripts import export_weights
from _train.frame_interpolation import flows, train
from _train.frame_interpolation.models import unet
from _train.frame_interpolation.models.animeinterp import AnimeInterp
from _train.frame_interpolation.models.ifnet import IFNet
from _train.frame_interpolation.models.rfr import RFR
from _train.frame_interpolation.models.sharp_ifnet import SharpIFNet
from _train.frame_interpolation.models.softsplat_lite import SoftsplatLite
from _train.frame_interpolation.models.unet import FlowUNet, FrameUNet
from _train.frame_interpolation.training import augmentation, batches, elastic, tasks
from _train.frame_interpolation.training import data as training_data
from _train.frame_interpolation.training.journal import read_checkpoint
from _train.frame_interpolation.training.options import OUTPUTS, split_weight
from _train.frame_interpolation.training.tasks.animeinterp import combine
from _train.frame_interpolation.training.tasks.stages import STAGES, StagePlan
from _util import checkpoints, files
from _util.errors import InputError
from _util.locks import holding
from tests import train_tiny

pytest.importorskip("lightning", reason="training needs what make/setup train installs")
from lightning.fabric import Fabric

ROOT = Path(__file__).parents[3]
TINY = ("--model", "tiny", "--batch-size", 2, "--crop", 64, 64, "--log-every", 1, "--device", "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """`train/`, 4 triplets of a disc over a painted ground, and `val/`, one of them as keyframes."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "val").mkdir()
    for i in range(4):
        noise = np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8)
        ground = cv2.resize(noise, (64, 64), interpolation=cv2.INTER_CUBIC)
        (folder / "train" / f"{i}").mkdir(parents=True)
        for k, name in enumerate("abc"):
            frame = ground.copy()
            cv2.circle(frame, (26 + 4 * k, 28 + 2 * i), 12, (40 * i, 200 - 40 * i, 90), -1, cv2.LINE_AA)
            cv2.imwrite(str(folder / "train" / f"{i}" / f"{name}.png"), frame)
            if i == 0:
                cv2.imwrite(str(folder / "val" / f"{k}.png"), frame)
    return folder


@pytest.fixture
def run(call):
    """Trains in this process; returns the exit code and what was said on stderr."""
    return lambda *arguments: call(train.main, *arguments)[:2]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many as `start` allows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def start(*arguments) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    program = [sys.executable, str(ROOT / "tests/train_tiny.py"), *map(str, arguments)]
    return subprocess.Popen(
        program, cwd=ROOT, env={**environment, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True
    )


def last(out: Path) -> dict:
    return read_checkpoint(out / "checkpoints/last.ckpt")


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same_bits(ours, theirs, path: str = "") -> None:
    """Equal but for how long they took and what was asked for."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for key in ours.keys() - {"seconds", "metadata"}:
            assert_same_bits(ours[key], theirs[key], f"{path}/{key}")
    elif isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), path
    else:
        assert ours == theirs, path


def test_validation_on_other_pictures_has_a_best_of_its_own(run, data, tmp_path):
    """After validation on pictures that are as easy as can be, another folder begins a best checkpoint again."""
    for name in ("easy", "moved"):
        shutil.copytree(data / "val", tmp_path / name)
    for path in (tmp_path / "easy").iterdir():
        shutil.copy(data / "val/0.png", path)
    shutil.copytree(data / "val", tmp_path / "val")

    def best(step: int, folder: str) -> tuple[int, float]:
        options = ("--steps", step, "--validate", tmp_path / folder, "--validate-every", 1)
        assert run(data / "train", tmp_path / "out", *TINY, *options)[0] == 0
        state = read_checkpoint(tmp_path / "out/checkpoints/best.ckpt")
        return state["step"], state["best"]

    first, easy = best(1, "easy")
    second, hard = best(2, "val")
    assert (first, second) == (1, 2)
    assert easy < hard
    last_step = {**last(tmp_path / "out"), "best": -1.0}
    torch.save(last_step, tmp_path / "out/checkpoints/last.ckpt")
    assert best(3, "moved") == (2, hard)


def test_atd12k_trains_on_its_training_split(data, tmp_path):
    for split in ("test_2k_540p", "train_10k"):
        shutil.copytree(data / "train/0", tmp_path / "raw" / split / f"Japan_{split}")
    options = argparse.Namespace(crop=(64, 64), seed=0)
    source = training_data.open_data(str(tmp_path), options, finds_motion=False)
    assert source.names == ["Japan_train_10k"]
    assert not source.reads_flows
    shutil.rmtree(tmp_path / "raw/train_10k")
    with pytest.raises(InputError, match="train_10k_540p holds 0 of 10000"):
        training_data.open_data(str(tmp_path), options, finds_motion=False)


def test_what_a_run_leaves_behind(run, data, tmp_path):
    code, _ = run(
        data / "train", tmp_path / "out", *TINY, "--steps", 4, "--validate", data / "val", "--validate-every", 2
    )
    assert code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "checkpoints", "metrics.csv", "curves.png", "samples", "tensorboard"
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "out/checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    figures = rows(tmp_path / "out")
    assert [row["step"] for row in figures] == ["1", "2", "3", "4"]
    assert [bool(row["validation_lpips"]) for row in figures] == [False, True, False, True]
    assert all(float(row["validation_chamfer"]) >= 0 for row in figures[1::2])
    assert cv2.imread(str(tmp_path / "out/samples/0000004-0.png")).shape == (64, 3 * 64, 3)
    assert cv2.imread(str(tmp_path / "out/curves.png")) is not None
    best = min(float(row["validation_lpips"]) for row in figures[1::2])
    assert read_checkpoint(tmp_path / "out/checkpoints/best.ckpt")["best"] == pytest.approx(best, rel=1e-5)


def test_without_git_a_run_names_no_commit(run, data, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(data / "train", tmp_path / "out", *TINY, "--steps", 1)[0] == 0
    assert last(tmp_path / "out")["metadata"]["runs"][0]["commit"] == "unknown"


@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_a_leg_after_a_leg_equals_one(run, data, tmp_path, schedule):
    options = (*TINY, "--steps", 5, "--schedule", schedule, "--accumulate", 2, "--save-every", 2)
    options += ("--validate", data / "val", "--validate-every", 2)
    run(data / "train", tmp_path / "whole", *options)
    run(data / "train", tmp_path / "legs", *options, "--budget", 0)
    assert last(tmp_path / "legs")["step"] == 1
    for budget in (0, 0, 1, 1):
        run(data / "train", tmp_path / "legs", *options, "--budget", budget)
    assert_same_bits(last(tmp_path / "legs"), last(tmp_path / "whole"))
    columns = [[{**row, "minutes": ""} for row in rows(tmp_path / name)] for name in ("legs", "whole")]
    assert columns[0] == columns[1]


def test_rows_average_all_their_steps_after_a_kill(run, data, tmp_path, monkeypatch):
    options = (*TINY, "--steps", 4, "--log-every", 4, "--save-every", 1)
    run(data / "train", tmp_path / "whole", *options)
    right, calls = train_tiny.Tiny.training_loss, itertools.count()

    def killed(self, batch):
        if next(calls) == 2:
            raise InputError("killed")
        return right(self, batch)

    with monkeypatch.context() as patched:
        patched.setattr(train_tiny.Tiny, "training_loss", killed)
        assert run(data / "train", tmp_path / "killed", *options)[0] == 2
    run(data / "train", tmp_path / "killed", *options)
    columns = [[{**row, "minutes": ""} for row in rows(tmp_path / name)] for name in ("killed", "whole")]
    assert columns[0] == columns[1]


def test_a_run_that_has_ended_has_nothing_to_do(call, run, data, tmp_path):
    run(data / "train", tmp_path / "out", *TINY, "--steps", 2)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    code, _, written = call(train.main, data / "train", tmp_path / "out", *TINY, "--steps", 2)
    assert code == 0
    assert "is at step 2 already; nothing to do" in written
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_file_in_the_way_of_the_curves_is_one_sentence(run, data, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/tensorboard").touch()
    code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 1)
    assert code == 2
    assert "tensorboard cannot be written" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_the_first_process_alone_writes(run, data, tmp_path, monkeypatch):
    monkeypatch.setattr(Fabric, "is_global_zero", property(lambda self: False))
    code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 1)
    assert code == 0, said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_a_resumed_run_repeats_is_ended_by_the_last_checkpoint(run, data, tmp_path, monkeypatch):
    """Whatever a kill may keep from being written, `last.ckpt` is of a step before."""
    written = []
    right = files.write_bytes
    monkeypatch.setattr(files, "write_bytes", lambda path, content: (written.append(path.name), right(path, content)))
    run(data / "train", tmp_path / "out", *TINY, "--steps", 1, "--validate", data / "val")
    assert written == ["metrics.csv", "curves.png", "best.ckpt", "last.ckpt"]


BEFORE_FABRIC = ROOT / "tests/parity/before_fabric"  # written by the trainer that stood on Lightning's Trainer


def test_a_checkpoint_of_the_trainer_before_fabric_resumes(run, data, tmp_path, monkeypatch):
    monkeypatch.chdir(data)  # both runs read "train"
    checkpoint = tmp_path / "out/checkpoints/last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    shutil.copy(BEFORE_FABRIC / "step1.ckpt", checkpoint)
    code, said = run("train", tmp_path / "out", *TINY, "--steps", 4)
    assert code == 0, said
    ours, theirs = last(tmp_path / "out"), read_checkpoint(BEFORE_FABRIC / "step4.ckpt")
    assert ours["step"] == theirs["step"] == 4
    for part in ("networks", "average"):
        for name, tensor in theirs[part].items():
            torch.testing.assert_close(ours[part][name], tensor, atol=1e-5, rtol=1e-4, msg=f"{part}/{name}")


def test_bf16_is_of_the_networks_alone(run, data, tmp_path, monkeypatch):
    """Flow is estimated, and drawn frames are compared, in the precision of the pictures."""
    seen = set()

    def loss(task, batch):
        frame0, truth, frame1 = batch.frames.unbind(1)
        drawn = task.networks["tiny"](torch.cat([frame0, frame1], 1))
        seen.add((truth.dtype, drawn.dtype))
        return (drawn - truth).square().mean(), {}

    monkeypatch.setattr(train_tiny.Tiny, "training_loss", loss)
    code, said = run(data / "train", tmp_path, *TINY, "--steps", 1, "--precision", "bf16")
    assert code == 0, said
    assert seen == {(torch.float32, torch.bfloat16)}


def test_flow_is_estimated_in_fp32(monkeypatch):
    def estimate(frame0, frame1):
        product = frame0[0, 0] @ frame1[0, 0]
        return product.expand(1, 2, -1, -1), product.expand(1, 2, -1, -1)

    monkeypatch.setattr(flows, "create", lambda name, context: estimate)
    task = tasks.TASKS["fusion"](argparse.Namespace(flow="rfr", precision="bf16"), torch.device("cpu"))
    frames = torch.rand(2, 3, 3, 32, 32)
    with task.autocast():
        found = task.flows_of(batches.Batch(frames, torch.full((2,), 0.5), None, None, ["a", "b"], exact=False))
    assert [flow.dtype for flow in found] == [torch.float32] * 2
    assert torch.equal(found[0][1], torch.cat(estimate(*frames[1:, ::2].unbind(1)))[0])


class Estimator(torch.nn.Conv2d):
    """A network that estimates flow."""

    def __call__(self, frame0, frame1):
        return self.forward(frame0), self.forward(frame1)


@pytest.fixture
def synthesis(monkeypatch) -> tasks.Task:
    """A task that trains on the flow of a network."""
    monkeypatch.setattr(flows, "create", lambda name, context: Estimator(3, 2, 1))
    return tasks.TASKS["fusion"](argparse.Namespace(flow="dis", precision="fp32"), torch.device("cpu"))


def test_estimators_are_not_trained(synthesis):
    trained = {name for name, parameter in synthesis.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"networks"}


def test_loading_processes_need_no_task(synthesis, data, tmp_path):
    synthesis.cannot_be_pickled = threading.Lock()
    options = argparse.Namespace(workers=1, device=torch.device("cpu"))
    source = training_data.with_flow(open_source(data / "train"), tmp_path, options, synthesis)
    assert pickle.loads(pickle.dumps(source))[0].flows[0].shape == (2, 64, 64)


def test_flows_of_unlimited_sources_are_not_kept(synthesis, data, tmp_path):
    source = open_source(data / "train")
    source.is_unlimited = True
    options = argparse.Namespace(workers=1, device=torch.device("cuda"))
    assert training_data.with_flow(source, tmp_path / "flows", options, synthesis) is source
    assert not (tmp_path / "flows").exists()
    assert KINDS["clipart"].creator().is_unlimited


def test_averaged_weights_follow_slowly(run, data, tmp_path):
    run(data / "train", tmp_path / "fast", *TINY, "--steps", 3, "--ema", 0)
    state = last(tmp_path / "fast")
    assert_same_bits(state["average"], state["networks"])
    run(data / "train", tmp_path / "slow", *TINY, "--steps", 3, "--ema", 0.9)
    slow = last(tmp_path / "slow")
    assert_same_bits(slow["networks"], state["networks"])
    assert not torch.equal(slow["average"]["tiny.0.weight"], slow["networks"]["tiny.0.weight"])


def test_batch_norms_freeze(run, data, tmp_path):
    for name, option in (("frozen", ["--freeze-batch-norm"]), ("free", [])):
        run(data / "train", tmp_path / name, *TINY, "--steps", 2, *option)
    assert not last(tmp_path / "frozen")["networks"]["tiny.1.running_mean"].any()
    assert last(tmp_path / "free")["networks"]["tiny.1.running_mean"].any()


class TestLossThatIsNotFinite:
    @pytest.fixture
    def break_steps(self, monkeypatch):
        """Makes the loss of some calls NaN, through a forward pass that spoils the running statistics too."""

        def break_steps(broken: set[int]) -> None:
            right, calls = train_tiny.Tiny.training_loss, iter(range(1000))

            def wrong(self, batch):
                bad = math.nan if next(calls) in broken else 1
                return right(self, batch._replace(frames=batch.frames * bad))

            monkeypatch.setattr(train_tiny.Tiny, "training_loss", wrong)

        return break_steps

    def test_is_skipped_and_counted(self, run, data, tmp_path, break_steps):
        break_steps({1, 2, 4})
        code, _ = run(data / "train", tmp_path / "out", *TINY, "--steps", 6)
        assert code == 0
        assert [row["skipped"] for row in rows(tmp_path / "out")] == ["0", "1", "2", "2", "3", "3"]
        state = last(tmp_path / "out")
        assert state["skipped"] == 3
        assert all(tensor.isfinite().all() for which in ("networks", "average") for tensor in state[which].values())

    def test_motion_that_is_not_finite_ends_no_process(self, run, data, tmp_path, monkeypatch):
        """At such coordinates, the backward pass of grid_sample crashes on the CPU."""
        right = train_tiny.Tiny.training_loss

        def wrong(self, batch):
            loss, figures = right(self, batch)
            grid = torch.full((1, 8, 8, 2), math.nan) * loss
            read = F.grid_sample(torch.ones(1, 1, 8, 8), grid, padding_mode="border", align_corners=False)
            return loss + math.nan * read.sum(), figures

        monkeypatch.setattr(train_tiny.Tiny, "training_loss", wrong)
        code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 9)
        assert code == 2
        assert "not finite 3 steps in a row" in said

    def test_stops_after_three_in_a_row(self, run, data, tmp_path, break_steps):
        break_steps({3, 4, 5})
        code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 9, "--save-every", 1)
        assert code == 2
        assert "not finite 3 steps in a row, up to step 6; choose another OUT and a lower --lr, --from" in said
        assert [line for line in said.splitlines() if not line.startswith("step ")] == [said.splitlines()[-1]]
        assert last(tmp_path / "out")["step"] == 5


def test_full_disk_leaves_the_last_checkpoint(run, data, tmp_path, monkeypatch):
    run(data / "train", tmp_path / "out", *TINY, "--steps", 2)
    before = (tmp_path / "out/checkpoints/last.ckpt").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 4, "--log-every", 100)
    assert code == 2
    assert "No space left on device" in said
    assert said.count("\n") == 1
    assert (tmp_path / "out/checkpoints/last.ckpt").read_bytes() == before
    assert not list((tmp_path / "out").rglob(".*"))


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_a_leg_cleanly(run, data, tmp_path, monkeypatch, number, exit_code):
    right, calls = train_tiny.Tiny.training_loss, iter(range(1000))

    def signalled(self, batch):
        if next(calls) == 2:
            os.kill(os.getpid(), number)
        return right(self, batch)

    monkeypatch.setattr(train_tiny.Tiny, "training_loss", signalled)
    if number == signal.SIGHUP:  # which nohup ignores
        signal.signal(number, signal.SIG_DFL)
    code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 50)
    assert code == exit_code
    assert said.splitlines()[-1] == "Interrupted after step 3 of 50, which is saved; the same command resumes."
    assert last(tmp_path / "out")["step"] == 3


def test_a_signal_during_the_last_step_comes_too_late(run, data, tmp_path, monkeypatch):
    right = train_tiny.Tiny.training_loss

    def signalled(self, batch):
        os.kill(os.getpid(), signal.SIGTERM)
        return right(self, batch)

    monkeypatch.setattr(train_tiny.Tiny, "training_loss", signalled)
    code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 1)
    assert (code, last(tmp_path / "out")["step"]) == (0, 1)
    assert "Interrupted" not in said


class TestWhatIsWrongIsSaidInOneSentence:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["nothing", "out"], "nothing"),
            (["empty", "out"], "empty"),
            (["DATA", "file"], "file"),
            (["DATA", "out", "--model", "gan"], "no model 'gan'"),
            (["DATA", "out", "--validate", "empty"], "empty"),
            (["DATA", "out", "--steps", "0"], "--steps"),
            (["DATA", "out", "--weights", "1", "2"], "--weights"),
            (["DATA", "out", "--crop", "8", "8"], "--crop"),
            (["DATA", "out", "--seed", str(2**64)], "--seed"),
            (["DATA", "out", "--from", "nothing"], "nothing"),
            (["toons", "nothing", "out", "--model", "rfr"], "There is no folder nothing"),
            (["toons", "DATA", "out", "--model", "rfr"], "train comes without exact flow; add --self-supervise"),
            (["toons", "DATA", "out", "--model", "fusion", "--flow", "exact"], "choose another --flow"),
            (["DATA", "out", "--model", "ssldtm", "--features", "nothing"], "nothing"),
            (["DATA", "out", "--model", "ssldtm", "--flow", "nothing"], "no flow 'nothing'"),
            (["DATA", "out", "--model", "ssldtm", "--from", "a", "b"], "2 places"),
            (["DATA", "out", "--model", "ifnet", "--from", "nothing"], "no checkpoint nothing"),
            (["DATA", "out", "--model", "ifnet", "--from", "empty"], "no checkpoint empty/ifnet.safetensors"),
            (["DATA", "out", "--model", "ifnet", "--from", "file"], "file is damaged"),
            (["DATA", "out", "--model", "ifnet", "--from", "rife.pkl"], "rife.pkl does not fit the network (missing: "),
            (["DATA", "out", "--model", "rfr", "--task", "vfi"], "one task"),
            (["DATA", "out", "--model", "fusion", "--stages", "style"], "--stages"),
            (["DATA", "out", "--model", "unet", "--style-features", "nothing"], "no backbone nothing"),
        ],
    )
    def test_at_the_start(self, run, data, tmp_path, monkeypatch, arguments, sentence):
        monkeypatch.chdir(tmp_path)
        Path("empty").mkdir()
        Path("file").touch()
        torch.save({"block0.conv0.0.0.weight": torch.zeros(96, 7, 3, 3)}, "rife.pkl")
        code, said = run(*TINY, "--steps", 1, *(data / "train" if a == "DATA" else a for a in arguments))
        assert code == 2
        assert sentence in said
        assert said.count("\n") == 1
        assert not Path("out").exists()

    def test_changed_options(self, run, data, tmp_path):
        run(data / "train", tmp_path / "out", *TINY, "--steps", 1)
        code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 2, "--seed", 1)
        assert code == 2
        assert "seed 0 instead of 1" in said
        run(data / "train", tmp_path / "out", *TINY, "--steps", 2)
        code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 1)
        assert code == 2
        assert "at step 2 already" in said

    def test_other_start_weights(self, run, data, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        network = train_tiny.Tiny(argparse.Namespace(freeze_batch_norm=False), torch.device("cpu")).networks["tiny"]
        save_file(network.state_dict(), "a.safetensors")
        assert run(data / "train", "out", *TINY, "--steps", 1, "--from", "a.safetensors")[0] == 0
        code, said = run(data / "train", "out", *TINY, "--steps", 2, "--from", "b.safetensors")
        assert code == 2
        assert "from ['a.safetensors'] instead of ['b.safetensors']" in said
        Path("a.safetensors").unlink()
        assert run(data / "train", "out", *TINY, "--steps", 2, "--from", "a.safetensors")[0] == 0
        assert run(data / "train", "out", *TINY, "--steps", 3)[0] == 0
        code, said = run(data / "train", "out", *TINY, "--steps", 4, "--from", "b.safetensors")
        assert code == 2

    def test_damaged_checkpoint(self, run, data, tmp_path):
        run(data / "train", tmp_path / "out", *TINY, "--steps", 1)
        (tmp_path / "out/checkpoints/last.ckpt").write_bytes(b"PK" * 100)
        code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 2)
        assert code == 2
        assert "last.ckpt is damaged" in said


STAGED = ("--model", "animeinterp", "--stages", "frozen", "vgg@1", "style@2", "--style-features", "alexnet")
STAGED += ("--flow", "dis", "--batch-size", 1, "--crop", 32, 32, "--device", "cpu", "--log-every", 1, "--save-every", 1)


@pytest.mark.slow
def test_stages_switch_at_their_steps(run, small, data, tmp_path):
    """Each leg is a step: the frozen network stays, the loss gains terms, the rate rises; one leg ends alike."""
    states = []
    for _ in range(3):
        code, said = run(data / "train", tmp_path / "legs", *STAGED, "--steps", 3, "--budget", 0)
        assert code == 0, said
        states.append(last(tmp_path / "legs")["networks"])
    table = rows(tmp_path / "legs")
    assert [bool(row["vgg"]) for row in table] == [False, True, True]
    assert [bool(row["gram"]) for row in table] == [False, False, True]
    assert [float(row["lr"]) for row in table] == pytest.approx([1e-6, 3e-6, 3e-6])
    for row, (vgg, gram) in zip(table, ((0, 0), (1, 0), (0.25, 40)), strict=True):
        terms = float(row["l1"]) + vgg * float(row["vgg"] or 0) + gram * float(row["gram"] or 0)
        assert float(row["loss"]) == pytest.approx(terms, rel=1e-4)
    torch.manual_seed(0)  # as the run did, before it made its network
    new = AnimeInterp().flownet.update_block.encoder.convc1.weight
    flow, drawn = (
        "animeinterp.flownet.update_block.encoder.convc1.weight",
        "animeinterp.synnet.residual_model_tail.3.bias",
    )
    assert torch.equal(states[0][flow], new)
    assert not torch.equal(states[1][flow], new)
    assert not torch.equal(states[0][drawn], states[1][drawn])
    run(data / "train", tmp_path / "whole", *STAGED, "--steps", 3)
    assert_same_bits(last(tmp_path / "legs"), last(tmp_path / "whole"))


def test_stages_begin_at_steps_or_epochs():
    plan = StagePlan(["frozen", "vgg@3", "style@2e"], steps_in_epoch=5)
    assert [plan.stage(step) for step in (0, 2, 3, 9, 10, 10**6)] == [
        STAGES[name] for name in ("frozen", "frozen", "vgg", "vgg", "style", "style")
    ]
    assert STAGES["vgg"].weights == (1, 1, 0)
    assert STAGES["style"].weights == (1, 0.25, 40)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["toons:0"], "toons has weight 0; weights are above 0"),
        (["toons:nan"], "toons has weight nan"),
        (["toons", "toons:inf"], "toons has weight inf"),
        (["toons", "--weights", 1, 2], "--weights must be 1 number, one for each DATA, not 2"),
        (["toons:0.5", "--weights", 1], "--weights is not allowed with weights of DATA such as PATH:0.3"),
        (["toons", "--align"], "--align is of validation; add --validate FOLDER"),
        (["toons", "--validate-every", 5], "--validate-every is of validation; add --validate FOLDER"),
        (["toons", "--schedule", "plateau"], "--schedule plateau is of validation; add --validate FOLDER"),
        (["toons", "--model", "ifnet", "--flow", "dis"], "ifnet does not use --flow; leave it out."),
        (["toons", "--model", "ifnet", "--self-supervise"], "ifnet does not use --self-supervise; leave it out."),
        (["toons", "--model", "rfr", "--features", "random"], "rfr does not use --features; leave it out."),
        (
            ["toons", "--model", "unet", "--task", "vfi", "--self-supervise"],
            "unet with --task vfi does not use --self-supervise; leave it out.",
        ),
        (
            ["toons", "--model", "unet", "--task", "optflow", "--style-features", "alexnet"],
            "--style-features is of learning by appearance; add --self-supervise, or leave it out.",
        ),
        (["toons", "nowhere"], "There is no folder nowhere"),
        (["toons", "--device", "mps"], "This command does not run on 'mps'; choose auto, cpu, cuda"),
        (["toons", "--device", "xpu:0"], "This command does not run on 'xpu:0'"),
    ],
)
def test_a_refusal_leaves_nothing(run, tmp_path, arguments, sentence):
    data = [argument for argument in arguments if str(argument).startswith(("toons", "nowhere"))]
    code, said = run(*data, tmp_path / "new/out", *TINY, "--steps", 1, *arguments[len(data) :])
    assert code == 2
    assert sentence in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["train", "train/run", "train/new/run", "link/run", "val/run", "more/a/run"])
def test_a_run_does_not_get_into_what_it_reads(run, data, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    for name, source in {"train": "train", "val": "val", "more/a": "val"}.items():
        shutil.copytree(data / source, name)
    Path("link").symlink_to("train")
    before = sorted(tmp_path.rglob("*"))
    options = ("--steps", 2, "--validate", "val", "more", "--validate-every", 1)
    code, said = run("toons:0.5", "train:0.5", place, *TINY, *options)
    assert code == 2
    assert f"{place} would lie in the data" in said
    assert said.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("other", ["thesis/a.txt", "samples.txt", "checkpoints/rife.pkl tests/a.py"])
def test_a_run_does_not_mix_with_other_files(run, data, tmp_path, other):
    for name in other.split():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).touch()
    before = sorted(tmp_path.rglob("*"))
    code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 1)
    assert code == 2
    assert said == f"{tmp_path / 'out'} holds something other than a run of training; choose a new or empty folder.\n"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("left", ["", "tensorboard/events", "checkpoints/.last.tmp.ckpt", "flows/0/a.npy", ".DS_Store"])
def test_a_run_goes_on_where_one_left_no_checkpoint(run, data, tmp_path, left):
    (tmp_path / "out" / left).parent.mkdir(parents=True, exist_ok=True)
    if left:
        (tmp_path / "out" / left).touch()
    assert run(data / "train", tmp_path / "out", *TINY, "--steps", 1)[0] == 0
    (tmp_path / "out/notes.txt").touch()
    assert run(data / "train", tmp_path / "out", *TINY, "--steps", 2)[0] == 0


def test_the_files_of_a_run_are_known_as_its_own(run, data, tmp_path):
    options = ("--model", "fusion", *TINY[2:], "--steps", 1, "--validate", data / "val")
    run(data / "train", tmp_path / "out", *options)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(OUTPUTS)


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(elastic, "choose", torch.device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert elastic.choose_device("cuda:1") == torch.device("cuda:1")
    for name, value in {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "LOCAL_RANK": 1, "RANK": 1}.items():
        monkeypatch.setenv(name, str(value))
    assert elastic.choose_device("cuda") == torch.device("cuda:1")
    assert elastic.choose_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="cuda:1 is one GPU, for 2 processes; choose --device cuda"):
        elastic.choose_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="2 processes share 1 GPU on this machine"):
        elastic.choose_device("cuda")


def test_a_folder_with_a_colon_in_its_name_has_no_weight(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shots:2").mkdir()
    assert split_weight("shots:2") == ("shots:2", 1)
    assert split_weight("shots:2:0.5") == ("shots:2", 0.5)
    assert split_weight("other:2") == ("other", 2)


def test_a_kind_before_a_number_has_no_weight(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert split_weight("keyframes:2024") == ("keyframes:2024", 1)
    assert split_weight("keyframes:2024:0.5") == ("keyframes:2024", 0.5)
    assert split_weight("clipart:0.5") == ("clipart", 0.5)
    Path("lottie").mkdir()
    assert split_weight("lottie:2") == ("lottie", 2)


def test_a_second_run_in_one_folder_is_refused(run, data, tmp_path):
    with holding(tmp_path / "out"):
        code, said = run(data / "train", tmp_path / "out", *TINY, "--steps", 1)
        assert (code, (tmp_path / "out").exists()) == (2, False)
        assert f"is in use by another run (process {os.getpid()} on " in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["vgg@1"], "begins at 0"),
        (["vgg", "style"], "begins at 0"),
        (["vgg", "style@5", "l1@5"], "each other after the one before"),
        (["gan"], "'gan'"),
        (["vgg@-1"], "'vgg@-1'"),
        (["vgg", "style@2e"], "no epochs"),
    ],
)
def test_stages_that_make_no_sense(words, sentence):
    with pytest.raises(InputError, match=sentence):
        StagePlan(words, steps_in_epoch=None)


def test_an_epoch_sees_every_triplet(data):
    options = argparse.Namespace(batch_size=3, accumulate=1)
    folder = open_source(str(data / "train"))
    assert training_data.steps_in_epoch([folder], options, 1) == 2
    assert training_data.steps_in_epoch([folder, folder], options, 2) == 2
    assert training_data.steps_in_epoch([folder, Painted((32, 32), 4)], options, 1) is None


class TestStartOfIFNet:
    def begin(self, start: Path) -> SharpIFNet:
        torch.manual_seed(0)
        task = tasks.choose("ifnet", None)(
            argparse.Namespace(start=[start], blocks=1, model="ifnet"), torch.device("cpu")
        )
        task.begin()
        return task.networks["ifnet"]

    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_weights_of_rife_become_those_of_the_motion(self, tmp_path, prefix):
        state = checkpoints.seeded(IFNet().state_dict())
        assert len(state) == 120
        torch.save({f"{prefix}{name}": tensor for name, tensor in state.items()}, tmp_path / "rife.pkl")
        network = self.begin(tmp_path / "rife.pkl")
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, state[name]), name

    def test_its_own_weights_are_taken_whole(self, tmp_path):
        state = checkpoints.seeded(SharpIFNet().state_dict())
        save_file(state, tmp_path / "ifnet.safetensors")
        for start in (tmp_path, tmp_path / "ifnet.safetensors"):
            for name, tensor in self.begin(start).state_dict().items():
                assert torch.equal(tensor, state[name]), name


def test_the_finest_blocks_alone_learn(run, small, data, tmp_path):
    options = ("--model", "ifnet", "--batch-size", 4, "--crop", 32, 32, "--device", "cpu", "--blocks", 2)
    code, said = run("toons", tmp_path / "out", *options, "--steps", 1, "--lr", 1e-3)
    assert code == 0, said
    state = last(tmp_path / "out")["networks"]
    torch.manual_seed(0)
    new = tasks.choose("ifnet", None)(argparse.Namespace(start=None, blocks=2, model="ifnet"), torch.device("cpu"))
    start = new.networks.state_dict()
    changed = {name.split(".")[1] for name, tensor in state.items() if not torch.equal(tensor, start[name])}
    assert changed == {"block2", "block3"}

    code, said = run("toons", tmp_path / "five", *options[:-1], 5, "--steps", 1)
    assert code == 2
    assert "has 4 blocks" in said


class TestStartOfAnimeInterp:
    def test_gma_takes_what_animeinterp_lacks(self, tmp_path):
        """Of two files, the first that has a tensor of that name and shape gives it; others stay as they were."""
        network = AnimeInterp(aggregate=True)
        mine = {f"module.{name}": torch.full_like(x, 2) for name, x in AnimeInterp().state_dict().items()}
        flow = network.flownet.state_dict()
        theirs = {f"module.{name}": torch.full_like(x, 3) for name, x in flow.items() if "attention2" not in name}
        del theirs["module.att.to_qk.weight"]
        theirs["module.update_block.aggregator.to_v.weight"] = torch.zeros(7)
        paths = [tmp_path / "anime_interp.ckpt", tmp_path / "gma.pth"]
        torch.save({"model_state_dict": mine}, paths[0])
        torch.save(theirs, paths[1])
        fresh = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        counts = combine(network, paths)
        state = network.state_dict()
        for name, tensor in state.items():
            kept = name in ("flownet.att.to_qk.weight", "flownet.update_block.aggregator.to_v.weight")
            agrees = f"module.{name}" in mine and mine[f"module.{name}"].shape == tensor.shape
            expected = fresh[name] if kept else torch.full_like(tensor, 2 if agrees else 3)
            assert torch.equal(tensor, expected), name
        assert (state["flownet.update_block.aggregator.gamma"] == 3).all()
        assert sum(counts) == len(state) - 2

    def test_nothing_fits(self, tmp_path):
        torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
        with pytest.raises(InputError, match=r"Nothing in .*other\.pth fits"):
            combine(AnimeInterp(), [tmp_path / "other.pth"])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["vfi", "optflow"])
def test_a_trained_unet_is_exported_under_its_name(run, call, small, data, tmp_path, task):
    options = ("--model", "resunet", "--task", task, "--style-features", "alexnet", "--batch-size", 4, "--steps", 1)
    options += ("--crop", 64, 64, "--device", "cpu", "--validate", data / "val")
    options += ("--self-supervise",) if task == "optflow" else ()
    code, said = run(data / "train", tmp_path / "out", *options)
    assert code == 0, said
    names = set(rows(tmp_path / "out")[0])
    both = {"loss", "psnr", "ssim", "validation_loss", "validation_psnr", "validation_ssim"}
    assert task == "optflow" or both <= names
    call(export_weights.main, tmp_path / "out", "--to", tmp_path / "weights")
    name, network = {"vfi": ("resunet", FrameUNet), "optflow": ("resunet_flow", FlowUNet)}[task]
    new = network("resunet", channels=(12, 16, 24))
    checkpoints.load(new, tmp_path / "weights" / f"{name}.safetensors")
    trained = last(tmp_path / "out")["average"][f"{name}.encoder.levels.0.reduce.0.weight"]
    torch.testing.assert_close(new.encoder.levels[0].reduce[0].weight, trained, atol=1e-3, rtol=1e-3)


def test_weights_of_data():
    assert split_weight("toons") == ("toons", 1)
    assert split_weight("a/b:0.3") == ("a/b", 0.3)
    assert split_weight("a:b") == ("a:b", 1)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["fusion", "ifnet"])  # tests.kills does that with a tiny one
def test_killed_and_resumed_equals_never_killed(run, data, tmp_path, one_thread, model):
    options = (*TINY, "--model", model, "--steps", 10, "--save-every", 2, "--workers", 1)
    options += ("--validate", data / "val", "--validate-every", 5, "--log-every", 10)
    assert run(data / "train", tmp_path / "whole", *options)[0] == 0
    process = start(data / "train", tmp_path / "killed", *options)
    checkpoint = tmp_path / "killed/checkpoints/last.ckpt"
    while not checkpoint.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.2))
    process.kill()
    process.wait()
    assert read_checkpoint(checkpoint)["step"] < 10
    assert run(data / "train", tmp_path / "killed", *options)[0] == 0
    assert_same_bits(last(tmp_path / "killed"), last(tmp_path / "whole"))


SMALL_IFNET = (24, 16, 16, 16), (1, 1, 1, 1)  # widths and depths
STILL = (4 + 20**0.5 + 20**0.5 + 2) / 4  # pixels, the mean motion of `Painted`


class Painted:
    """In the place of toons: always the same four triplets, of painted ground that moves, with their exact flow."""

    def __init__(self, size, batch_size, *_, **__):
        h, w = size
        self.scenes = []
        motion = torch.tensor([[4, 0], [-4, 2], [2, -4], [0, 2]]).float()
        for (dx, dy), i in zip(motion.int().tolist(), range(batch_size), strict=True):
            noise = np.random.default_rng(i).integers(0, 256, (h // 4 + 4, w // 4 + 4, 3), np.uint8)
            ground = cv2.resize(noise, (w + 16, h + 16), interpolation=cv2.INTER_CUBIC)
            views = [ground[8 - dy * k // 2 :, 8 - dx * k // 2 :][:h, :w] for k in range(3)]
            self.scenes.append(torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2) / 255)
        flow = motion[:, :, None, None].expand(-1, -1, h, w).contiguous()
        self.flows = flow, -flow

    def batch(self, _):
        times, hidden = torch.full((4,), 0.5), torch.zeros(4, 1, *self.scenes[0].shape[2:])
        motion, seen = torch.cat(self.flows[::-1], 1) / 2, torch.ones(4, 2, *hidden.shape[2:])
        frames, progress = torch.stack(self.scenes), torch.full_like(hidden, 0.5)
        return scenes.Scenes(frames, times, progress, self.flows, (hidden, hidden), motion, seen)


@pytest.fixture
def small(monkeypatch):
    """Networks with few channels and iterations, and triplets of folders as they are, not augmented."""
    for network, channels in (("FrameUNet", (12, 16, 24)), ("FlowUNet", (12, 16, 24))):
        monkeypatch.setattr(tasks.unet, network, functools.partial(getattr(unet, network), channels=channels))
    network = functools.partial(SharpIFNet, *SMALL_IFNET)
    monkeypatch.setattr(tasks.ifnet, "SharpIFNet", network)
    monkeypatch.setattr(tasks.flow.RFRTask, "iterations", 2)
    refine = AnimeInterp.refine
    monkeypatch.setattr(AnimeInterp, "refine", lambda self, *inputs: refine(self, *inputs, iterations=2))
    monkeypatch.setattr(batches, "augment", lambda triplet, size, _: augmentation.crop(triplet, 0, 0, size))
    monkeypatch.setattr(scenes, "Toons", Painted)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["unet", "resunet", "transunet", "fusion"])
def test_overfits_four_triplets(run, small, data, tmp_path, model):
    """A new network splats; the perceptual distance that this leaves falls by 40 %, LPIPS by a quarter."""
    measure, share = ("lpips", 0.75) if model == "fusion" else ("perceptual", 0.6)
    options = ("--lr", 2e-3, *(() if model == "fusion" else ("--style-features", "alexnet")))
    figures = overfit(run, data / "train", tmp_path, measure, "--model", model, "--steps", 32, *options)
    assert figures[-1] < share * figures[0], figures


@pytest.mark.slow
@pytest.mark.parametrize("model", ["unet", "resunet", "transunet"])
def test_flow_overfits_four_triplets(run, small, tmp_path, model):
    options = ("--model", model, "--task", "optflow", "--steps", 30, "--lr", 3e-3, "--crop", 32, 32)
    figures = overfit(run, "toons", tmp_path, "end_point_error", *options)
    assert figures[0] == pytest.approx(STILL, rel=0.01)  # a new network says that nothing moves
    assert figures[-1] < 0.7 * STILL, figures


@pytest.mark.slow
def test_ifnet_overfits_four_triplets(run, small, tmp_path):
    options = ("--model", "ifnet", "--blocks", 4, "--steps", 30, "--lr", 2e-3, "--crop", 32, 32)
    overfit(run, "toons", tmp_path, "lpips", *options)
    first, *_, ended = rows(tmp_path / "out")
    for figure, share in (("lpips", 0.8), ("end_point_error", 0.8), ("colour", 0.8)):
        assert float(ended[figure]) < share * float(first[figure]), figure


@pytest.mark.slow
def test_rfr_overfits_four_triplets(run, small, tmp_path):
    """From weights large enough for their output to matter: RFR's own begin too small for a test's patience."""
    save_file(checkpoints.seeded(RFR().state_dict()), tmp_path / "seeded.safetensors")
    options = (
        "--model",
        "rfr",
        "--steps",
        20,
        "--lr",
        6e-4,
        "--crop",
        32,
        32,
        "--from",
        tmp_path / "seeded.safetensors",
    )
    figures = overfit(run, "toons", tmp_path, "end_point_error", *options)
    assert figures[-1] < 0.95 * STILL, figures


@pytest.mark.slow
@pytest.mark.parametrize("model", ["animeinterp", "animeinterp-gma"])
def test_animeinterp_overfits_four_triplets(run, small, data, tmp_path, model):
    """From nothing, not from published weights; most of it is the picture that is drawn from noise."""
    options = ("--model", model, "--steps", 10, "--lr", 3e-3, "--flow", "dis", "--style-features", "alexnet")
    figures = overfit(run, data / "train", tmp_path, "l1", *options, "--stages", "l1", "--crop", 32, 32)
    assert figures[-1] < 0.6 * figures[0], figures


def overfit(run, source, tmp_path, measure: str, *options) -> list[float]:
    """What a run on one batch of four measures, step by step."""
    usual = ("--batch-size", 4, "--crop", 64, 64, "--device", "cpu", "--log-every", 1)
    code, said = run(source, tmp_path / "out", *usual, *options)
    assert code == 0, said
    return [float(row[measure]) for row in rows(tmp_path / "out")]


@pytest.mark.slow
def test_ssldtm_overfits_four_triplets(run, data, tmp_path):
    resnet = SoftsplatLite().feature_extractor.state_dict()
    torch.save(resnet, tmp_path / "resnet50.pth")
    options = ("--model", "ssldtm", "--features", tmp_path / "resnet50.pth", "--batch-size", 4, "--crop", 64, 64)
    options += ("--device", "cpu", "--steps", 10, "--log-every", 2, "--validate", data / "val")
    code, _ = run(data / "train", tmp_path / "out", *options)
    assert code == 0
    lpips = [float(row["lpips"]) for row in rows(tmp_path / "out")]
    assert lpips[0] > 0.02  # there is something to learn
    assert lpips[-1] < 0.01
    assert float(rows(tmp_path / "out")[-1]["validation_lpips"]) < 0.01
