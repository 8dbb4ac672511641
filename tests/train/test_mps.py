"""The default and other methods run on Apple's GPUs with the kernels that those have; shown without one."""

import numpy as np
import pytest
import torch

from _databacks.toons.scenes import Scenes
from _databacks.triplet import Triplet
from _train.frame_interpolation import Interpolator, interpolator
from _train.frame_interpolation.evaluation.items import JudgedItem
from _train.frame_interpolation.evaluation.measures import Measures
from _train.frame_interpolation.evaluation.validation import flow_errors
from _train.frame_interpolation.methods import PUBLISHED
from _util import distance_transform
from _util.errors import InputError
from _util.image import to_tensor
from tests.feigned_cuda import LacksKernelError, feigned_mps


def frames(channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Two frames (48, 80): a disc moves to the right over a ramp."""
    y, x = np.mgrid[:48, :80]
    pair = []
    for middle in (30, 36):
        frame = np.repeat((60 + 2 * x)[..., None], channels, 2)
        frame[np.hypot(x - middle, y - 24) < 12] = 230
        pair.append(frame.astype(np.uint8))
    return pair[0], pair[1]


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("synthesis", ["ifnet", "ifnet-fast"])
def test_frames_are_those_of_the_cpu(synthesis, channels, monkeypatch):
    options = {"synthesis": synthesis, "precision": "fp32"}
    expected = Interpolator(device="cpu", **options)(*frames(channels), [0.25, 0.5])
    with feigned_mps() as device:
        monkeypatch.setattr(interpolator, "choose_device", lambda name: device)
        found = Interpolator(device="mps", **options)(*frames(channels), [0.25, 0.5])
    for ours, theirs in zip(found, expected, strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 3  # OpenCV 4 rounds positions to 1/32
        assert np.abs(ours.astype(int) - theirs).mean() < 0.1


def test_distances_need_no_float64():
    on_line = torch.rand(2, 9, 13, generator=torch.Generator().manual_seed(0)) > 0.9
    expected = distance_transform._compose(on_line)
    with feigned_mps() as device:
        assert torch.equal(distance_transform._compose(on_line.to(device)).cpu(), expected)


def test_figures_are_those_of_the_cpu():
    first, last = (to_tensor(frame) for frame in frames())
    judged = JudgedItem(Triplet("a", torch.stack([first, last, last])), {}, None)
    measures = Measures(PUBLISHED)
    expected = measures.compare([first], judged, measures.prepare(judged))
    with feigned_mps() as device, torch.inference_mode():
        measures = Measures(PUBLISHED, device=device)
        assert measures.compare([first.to(device)], judged, measures.prepare(judged)) == expected


def test_flow_is_judged():
    still, right = torch.zeros(1, 2, 40, 60), torch.full((1, 2, 40, 60), 3.0)
    occlusion, pair = torch.zeros(1, 1, 40, 60), torch.rand(1, 3, 3, 40, 60)
    with feigned_mps() as device:
        still, right, occlusion, pair = (x.to(device) for x in (still, right, occlusion, pair))
        scene = Scenes(pair, torch.full((1,), 0.5), occlusion, (right, right), (occlusion, occlusion), None, None)
        assert flow_errors(lambda *_: (still, still), [scene], device)["epe"] == pytest.approx(18**0.5)


def test_what_apple_lacks_is_an_error_here():
    with feigned_mps() as device:
        image, grid = torch.rand(1, 1, 4, 4, device=device), torch.zeros(1, 2, 2, 2, device=device)
        with pytest.raises(LacksKernelError, match="padding 1"):
            torch.nn.functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
        with pytest.raises(LacksKernelError, match="float64"):
            image.double()


@pytest.mark.parametrize("name", ["mps", "xpu"])
def test_a_device_that_is_not_there_is_reported(name):
    with pytest.raises(InputError, match="cannot be used"):
        Interpolator(device=name)
