"""A flow, a synthesis and a metric are each one file and one entry in the table; all command lines then know them."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from _scripts import evaluate, interpolate, interpolate_video, make_dataset
from _train.frame_interpolation import methods
from _train.frame_interpolation.context import Context
from _train.frame_interpolation.flows import Flows
from _train.frame_interpolation.interpolator import Interpolator
from _train.frame_interpolation.methods import FLOWS, METRICS, SYNTHESES, Method, Metric
from _train.frame_interpolation.syntheses import Pair
from _util.errors import InputError
from _util.metrics import ImageMetric

HERE = __name__


def rightward(_: Context):
    """A flow that sees everything move by one pixel."""

    def estimate(frame0: Tensor, frame1: Tensor) -> tuple[Tensor, Tensor]:
        flow = torch.zeros_like(frame0[:, :2])
        flow[:, 0] = 1
        return flow, -flow

    return estimate


class Grey:
    """A synthesis that draws the time, whatever there is."""

    def __init__(self, _: Context):
        pass

    def prepare(self, pair: Pair, flow: Flows | None) -> tuple[Pair, Flows]:
        assert (flow.flow01[:, 0] == 1).all()
        return pair, flow

    def synthesise(self, prepared: tuple[Pair, Flows], t: float | Tensor, carried: Tensor | None = None) -> Tensor:
        return torch.full_like(prepared[0].frame0, t)

    def flow(self, prepared: tuple[Pair, Flows]) -> Flows:
        return prepared[1]


class Brightness(ImageMetric):
    """A metric that is the mean of the drawn frame."""

    higher_is_better = True

    def compare(self, predicted: Tensor, truth: Tensor) -> Tensor:
        return predicted.mean((1, 2, 3))


@pytest.fixture
def toys() -> Iterator[None]:
    flow = {"rightward": Method("a toy that moves", f"{HERE}:rightward")}
    synthesis = {"grey": Method("a toy that is grey", f"{HERE}:Grey")}
    metric = {"brightness": Metric(f"{HERE}:Brightness")}
    with (
        mock.patch.dict(FLOWS, flow | FLOWS, clear=True),
        mock.patch.dict(SYNTHESES, synthesis | SYNTHESES, clear=True),
        mock.patch.dict(METRICS, metric),
    ):
        yield


@pytest.mark.usefixtures("toys")
class TestOneEntry:
    @pytest.mark.parametrize("script", [interpolate, interpolate_video, evaluate])
    def test_is_in_help(self, call, script):
        words = " ".join(call(script.main, "--help").written.split())
        assert "rightward" in words
        assert "grey" in words
        assert script is evaluate or "grey: a toy that is grey" in words
        assert script is not evaluate or "brightness" in words

    def test_is_what_auto_takes_if_it_is_the_first(self, tmp_path):
        interpolator = Interpolator(device="cpu", folder=tmp_path)
        assert interpolator.method == "rightward+grey"
        frame = np.zeros((16, 20, 3), np.uint8)
        (drawn,) = interpolator(frame, frame + 1, [0.2])
        assert (drawn == 51).all()

    def test_is_compared(self, call, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("keys").mkdir()
        for i in range(3):
            Image.new("RGB", (40, 40), (0, 60 * i, 0)).save(f"keys/{i}.png")
        options = ("--data", "keys", "--compare", "grey", "blend", "--metrics", "brightness", "psnr")
        finished = call(evaluate.main, *options, "--flow", "rightward", "--device", "cpu", "--out", "out.csv")
        assert finished.code == 0, finished.said
        rows = [line.split() for line in finished.written.split("\n\n")[0].splitlines()]
        assert rows[0] == ["subset", "metric", "rightward+grey", "blend"]
        assert rows[1][:3] == ["all", "brightness", "0.50"]  # 128 of 255

    def test_is_among_what_there_is(self):
        with pytest.raises(InputError, match="it is auto, rightward, rfr"):
            methods.find("flow", FLOWS, "raft")


@pytest.mark.parametrize("table", [FLOWS, SYNTHESES, METRICS], ids=["flows", "syntheses", "metrics"])
def test_every_entry_leads_somewhere(table):
    assert all(callable(entry.creator()) for entry in table.values())


def test_scripts_take_flows_from_the_table(toys, call):
    finished = call(make_dataset.main, "shows", "out", "--flow", "raft", "--device", "cpu")
    assert finished.code == 2
    assert "no flow 'raft'; it is auto, rightward, rfr" in finished.said
