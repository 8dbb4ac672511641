"""Dense inverse search, at one size and at several."""

import cv2
import numpy as np
import pytest
import torch

from _util import image
from _util.dis import dis, multidis, select

H, W = 96, 128


@pytest.fixture
def texture():
    """(h, w, 3) uint8, larger than the frames cut from it."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    return cv2.resize(noise, (200, 160), interpolation=cv2.INTER_CUBIC)


def frames(texture, x, y):
    """Two frames of a pan: what is at p in the first is at p + (x, y) in the second."""
    cuts = (texture[top : top + H, left : left + W] for top, left in ((30, 30), (30 - y, 30 - x)))
    return [image.to_tensor(cut)[None] for cut in cuts]


@pytest.mark.parametrize("estimator", [dis, multidis])
@pytest.mark.parametrize("shift", [(0, 0), (5, 0), (-3, 4)])
def test_a_pan_is_found_both_ways(texture, estimator, shift):
    flow01, flow10 = estimator(*frames(texture, *shift))
    assert flow01.shape == flow10.shape == (1, 2, H, W)
    assert flow01.dtype == torch.float32
    inner = (slice(None), slice(None), slice(16, -16), slice(16, -16))
    expected = torch.tensor(shift).view(1, 2, 1, 1)
    assert (flow01[inner] - expected).abs().mean() < 0.2
    assert (flow10[inner] + expected).abs().mean() < 0.2


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (16, 200)])
def test_small_and_odd_sizes(size):
    one, other = torch.rand(2, 1, 3, *size)
    for flow in multidis(one, other):
        assert flow.shape == (1, 2, *size)
        assert flow.isfinite().all()


def test_the_flow_that_fits_is_selected_up_to_the_outline(texture):
    """A square moves by 9 over a still ground: of three motions each is taken where it holds."""
    ground, moving = texture[:H, :W].copy(), texture[60:100, 100:140]
    here, there = ground.copy(), ground.copy()
    here[30:70, 40:80], there[30:70, 49:89] = moving, moving
    flows = [np.full((H, W, 2), motion, np.float32) for motion in ((0, 0), (9, 0), (-4, 6))]
    flow = select(here, there, flows)
    truth = np.zeros((H, W), bool)
    truth[30:70, 40:80] = True
    hidden = np.zeros_like(truth)
    hidden[30:70, 80:89] = True  # the square will cover this
    right = np.where(truth, flow[:, :, 0] == 9, flow[:, :, 0] == 0) | hidden
    assert right.mean() > 0.97
    near = cv2.dilate(truth.astype(np.uint8), np.ones((9, 9))) - cv2.erode(truth.astype(np.uint8), np.ones((9, 9)))
    assert right[near > 0].mean() > 0.85


def test_few_pixels_choose_alone():
    """Of two motions neither fits; what is chosen forms patches, not specks that would be torn out of a drawing."""
    here, there = np.random.default_rng(0).integers(0, 256, (2, 200, 300, 3), np.uint8)
    flow = select(here, there, [np.full((200, 300, 2), motion, np.float32) for motion in (0, 9)])
    assert set(np.unique(flow)) == {0, 9}
    assert (flow[:, :, 0] != cv2.medianBlur(flow[:, :, 0], 5)).mean() < 0.05


def test_one_flow_is_returned_as_it_is(texture):
    flow = np.random.default_rng(1).normal(0, 5, (H, W, 2)).astype(np.float32)
    np.testing.assert_array_equal(select(texture[:H, :W], texture[20 : 20 + H, :W], [flow]), flow)


def test_several_sizes_find_what_one_loses(texture):
    """A patch moves by half of its side over a soft ground."""
    soft = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)[:6, :8]
    here = cv2.resize(soft, (256, 192), interpolation=cv2.INTER_CUBIC) // 2 + 100
    there, patch = here.copy(), cv2.resize(texture, (48, 48))
    here[40:88, 20:68] = patch
    there[40:88, 44:92] = patch
    truth = torch.tensor([24.0, 0]).view(2, 1, 1)
    wrong = []
    for estimator in (dis, multidis):
        flow = estimator(*(image.to_tensor(frame)[None] for frame in (here, there)))[0][0]
        wrong.append(((flow - truth)[:, 42:86, 22:66].norm(dim=0) > 3).float().mean())
    assert wrong[1] < 0.05 < wrong[0]
