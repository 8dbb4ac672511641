"""Frames are judged as pictures of 8 bits, at the best time if wanted, and with position set aside."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from _databacks.triplet import Triplet
from _train.frame_interpolation.evaluation.items import JudgedItem
from _train.frame_interpolation.evaluation.judging import draw
from _train.frame_interpolation.evaluation.measures import ALIGNED_TIMES, Measures, quantised, register
from _train.frame_interpolation.evaluation.validation import Function
from _train.frame_interpolation.methods import PUBLISHED
from _util.image import to_tensor


def disc(x: float, y: float = 40) -> Tensor:
    """(1, 3, 80, 96): a disc with a dark rim over a plain ground."""
    rows, columns = torch.meshgrid(torch.arange(80.0), torch.arange(96.0), indexing="ij")
    far = (columns - x).hypot(rows - y)
    filled, rim = (15.5 - far).clamp(0, 1), (3 - (far - 15).abs()).clamp(0, 1)
    colours = torch.tensor([0.9, 0.8, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.5, 0.7]).view(3, 1, 1)
    return ((colours[0].lerp(colours[1], filled)) * (1 - 0.9 * rim))[None]


def item(truth: Tensor, ends: tuple[Tensor, Tensor], t: float = 0.5) -> JudgedItem:
    return JudgedItem(Triplet("a", torch.cat([ends[0], truth, ends[1]]), None, t), {}, None)


def at(t: float) -> Tensor:
    return disc(20 + 40 * t)


@pytest.mark.parametrize("drawn_at", [0.2, 0.5, 0.7])
def test_the_time_that_fits_is_found(drawn_at):
    measures, judged = Measures(aligned=True), item(at(drawn_at), (at(0), at(1)))
    frames = draw(Function(lambda frame0, frame1, t: at(t)), judged.triplet, measures)
    assert len(frames) == len(ALIGNED_TIMES)  # of which the time of the truth is one
    found = measures.compare(frames, judged, measures.prepare(judged))
    assert found["aligned_time"] == pytest.approx(drawn_at)
    assert found["aligned_lpips"] < 1e-4
    assert found["aligned_psnr"] > 40
    assert (found["lpips"] > found["aligned_lpips"]) == (drawn_at != 0.5)
    assert list(found) == list(measures.higher_is_better)


@pytest.mark.parametrize("t", [0.5, 0.8])
def test_where_nothing_moves_the_time_that_fits_is_that_of_the_truth(t):
    measures, judged = Measures(["psnr"], aligned=True), item(at(0), (at(0), at(0)), t)
    frames = draw(Function(lambda frame0, frame1, t: frame0), judged.triplet, measures)
    assert measures.compare(frames, judged, measures.prepare(judged))["aligned_time"] == t


def test_the_time_of_the_truth_may_fit_best_also_between_tenths():
    measures, judged = Measures(aligned=True), item(at(0.36), (at(0), at(1)), 0.36)
    frames = draw(Function(lambda frame0, frame1, t: at(t)), judged.triplet, measures)
    found = measures.compare(frames, judged, measures.prepare(judged))
    assert found["aligned_time"] == 0.36
    assert found["aligned_lpips"] == found["lpips"]


def test_position_is_set_aside_and_blur_is_not():
    measures, judged = Measures(["lpips", "chamfer", "psnr"], registered=True), item(at(0.5), (at(0), at(1)))
    truth = measures.prepare(judged)
    shifted = measures.compare([disc(43, 42)[0]], judged, truth)
    blurred = measures.compare([F.avg_pool2d(at(0.5), 7, 1, 3)[0]], judged, truth)
    assert shifted["registered_lpips"] < 0.2 * shifted["lpips"]
    assert shifted["registered_chamfer"] < 0.5 * shifted["chamfer"]
    assert blurred["registered_lpips"] > 0.7 * blurred["lpips"]
    assert shifted["registered_lpips"] < 0.2 * blurred["registered_lpips"]
    assert "registered_psnr" not in shifted


def test_what_is_in_place_stays():
    assert (register(at(0.5), at(0.5)) - at(0.5)).abs().max() < 0.02


def test_the_truth_is_a_picture_of_8_bits_too():
    deep = torch.arange(65536).float()[::41].view(1, 1, 41, -1).expand(-1, 3, -1, -1) / 65535
    measures, judged = Measures(["psnr"]), item(deep, (deep, deep))
    truth = measures.prepare(judged)
    assert measures.compare([deep[0]], judged, truth) == {"psnr": 100}
    levels = to_tensor(np.arange(256, dtype=np.uint8).repeat(12).reshape(48, 64, 1))
    assert torch.equal(quantised(levels), levels)


def test_figures_are_the_same_under_autocast():
    measures, judged = Measures(PUBLISHED), item(at(0.5), (at(0), at(1)))
    expected = measures.compare([at(0.4)[0]], judged, measures.prepare(judged))
    with torch.autocast("cpu", torch.bfloat16):
        assert measures.compare([at(0.4)[0]], judged, measures.prepare(judged)) == expected


def test_frames_are_pictures_of_8_bits():
    values = torch.tensor([-1, 0, 0.4 / 255, 0.6 / 255, 100.2 / 255, 1, 2])
    assert (255 * quantised(values)).round().tolist() == [0, 0, 0, 1, 100, 255, 255]
    truth = quantised(torch.rand(1, 3, 40, 40))
    measures, judged = Measures(["psnr", "lpips"]), item(truth, (truth, truth))
    found = measures.compare([(truth + 0.4 / 255)[0]], judged, measures.prepare(judged))
    assert found == {"psnr": 100, "lpips": 0}


def test_each_metric_is_measured_once_at_each_time(monkeypatch):
    measures, judged = Measures(["psnr", "ssim"], aligned=True), item(at(0.3), (at(0), at(1)))
    measured, value = [], Measures._value

    def counted(self, name, frame, prepared):
        measured.append((name, frame.sum().item()))
        return value(self, name, frame, prepared)

    monkeypatch.setattr(Measures, "_value", counted)
    measures.compare([at(time)[0] for time in measures.times(0.5)], judged, measures.prepare(judged))
    assert len(measured) == 2 + 9 + 1
